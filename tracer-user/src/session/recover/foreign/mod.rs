//! Another recorder's files.
pub mod names;
pub mod rows;
