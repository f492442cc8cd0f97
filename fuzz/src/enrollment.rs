//! An enrollment, of any schema, with its checksum and without.

use tracer::session::{
    enrollment::{Enrollment, EnrollmentError},
    journal::encode::TAIL_BYTES,
};

use crate::fingerprint;

/// Reads it, and writes what was read once more.
///
/// # Panics
/// When that is not the same.
#[must_use]
pub fn target(data: &[u8]) -> u64 {
    let sealed = read(data);
    // Behind the checksum, where no mutation would ever get.
    let bare = data
        .trim_ascii_end()
        .split_last_chunk::<TAIL_BYTES>()
        .map(|(body, _)| [body, b"}"].concat());
    fingerprint((sealed, bare.map(|bare| read(&bare))))
}

fn read(data: &[u8]) -> u64 {
    let enrollment = match Enrollment::parse(data) {
        Ok(enrollment) => enrollment,
        Err(EnrollmentError::Schema(_)) => return 1,
        Err(EnrollmentError::Checksum) => return 2,
        Err(EnrollmentError::Malformed(why)) => {
            let what: String = why
                .chars()
                .filter(|c| !c.is_ascii_digit())
                .take(24)
                .collect();
            return fingerprint(what);
        }
    };
    let written = enrollment.encode();
    let mut again = Enrollment::parse(&written).expect("what we wrote");
    // Times are written to the µs.
    again.enrolled_at = enrollment.enrolled_at;
    assert_eq!(again, enrollment, "{}", String::from_utf8_lossy(&written));
    fingerprint((
        enrollment.labels.len().min(3),
        enrollment.unresolved.is_some(),
        enrollment.observer.is_some(),
        enrollment.cmdline.contains(&0),
        enrollment.starttime_ticks.is_some(),
    ))
}
