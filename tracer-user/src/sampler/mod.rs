//! Snapshots of every tracked process at an interval.
