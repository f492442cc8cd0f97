//! One line of `/proc/<pid>/stat`, and the other files of one line.

use tracer::procfs::{stat::ProcStat, statm::ProcStatm};

use crate::fingerprint;

/// Parses it.
///
/// # Panics
/// When a name that was read is longer than the kernel's.
#[must_use]
pub fn target(data: &[u8]) -> u64 {
    let stat = ProcStat::parse(data);
    let statm = ProcStatm::parse(data);
    let told = match &stat {
        Ok(stat) => format!("{:?}", stat.state),
        // Which field, not what stood there.
        Err(error) => error
            .to_string()
            .chars()
            .filter(|c| !c.is_ascii_digit())
            .take(40)
            .collect(),
    };
    fingerprint((told, statm.is_some()))
}
