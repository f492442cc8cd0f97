//! The record of one observation: its directory, its journal, and what is derived from it.
