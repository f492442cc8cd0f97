//! A record of the ring buffer: from the kernel's bytes to a journal line and back.

use tracer::{
    event::EventKind,
    probe::decode::{DecodeError, DecodeUnits, decode},
    session::{
        journal::{Record, reader::Entry},
        redact::Redactor,
    },
};

use crate::{about, fingerprint, journal::written_and_read};

/// Decodes it, and writes what was decoded.
///
/// # Panics
/// When the journal says something else than the kernel did.
#[must_use]
pub fn target(data: &[u8]) -> u64 {
    let mut event = match decode(data, DecodeUnits { page_kb: 4 }) {
        Ok(event) => event,
        Err(DecodeError::TooShort { kind, .. }) => return u64::from(kind),
        Err(DecodeError::UnknownKind(_)) => return u64::MAX,
        Err(DecodeError::BadLengths { .. }) => return u64::MAX - 1,
    };
    let words = |kind: &EventKind| match kind {
        EventKind::Exec(exec) => exec.argv.len(),
        _ => 0,
    };
    let before = words(&event.kind);
    let entry = |event: &tracer::event::Event| {
        let Record { t, body } = Record::from(event.clone());
        Entry { seq: 7, t, body }
    };
    written_and_read(&entry(&event));
    Redactor::new(true).event(&mut event.kind);
    assert_eq!(words(&event.kind), before);
    written_and_read(&entry(&event));
    let place = entry(&event);
    fingerprint((place.body.kind(), about(before), data.len() > 512))
}
