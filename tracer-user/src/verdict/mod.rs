//! How a process ended, and why.
