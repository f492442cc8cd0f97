//! A command line: redacted once, twice, and left alone.

use tracer::session::redact::{MARK, redact_cmdline};

use crate::{about, fingerprint};

/// Redacts it.
///
/// # Panics
/// When an argument comes or goes, the count is wrong, or redacting again finds more.
#[must_use]
pub fn target(data: &[u8]) -> u64 {
    let nuls = |bytes: &[u8]| bytes.split(|&byte| byte == 0).count();
    let mut once = data.to_vec();
    let count = redact_cmdline(&mut once);
    assert_eq!(nuls(&once), nuls(data));
    assert_eq!(count == 0, once == data);
    let mut twice = once.clone();
    assert_eq!(
        redact_cmdline(&mut twice),
        0,
        "{:?}",
        String::from_utf8_lossy(&once)
    );
    let marks = once
        .windows(MARK.len())
        .filter(|window| *window == MARK)
        .count();
    assert!(count == 0 || marks > 0);
    fingerprint((
        about(count as usize),
        about(marks),
        about(nuls(data)),
        once.len() < data.len(),
    ))
}
