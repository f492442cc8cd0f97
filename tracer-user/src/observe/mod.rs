//! The main path: target, probe, run, drain, end.
