//! The process that is observed: started or joined, and pinned behind its wrappers.
