//! The live process tree, from events alone.
