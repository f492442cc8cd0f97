//! Names of sessions: ours, unique, and in time order when sorted as text.
//!
//! `20261121T054512.123456Z-0a1b2c3d`: the start in UTC with µs, then 32 random bits. The fixed
//! width makes text order time order; there is no character that any file system, shell or URL gives
//! a meaning. Pure: the clock and the random bits are arguments. A user's name or label never
//! becomes part of an id, and nothing that is not exactly of this form is one.

use std::{fmt, str::FromStr};

use jiff::{Timestamp, civil::DateTime, tz::Offset};
use thiserror::Error;

/// Bytes of an id.
const LEN: usize = 32;
/// What stands where: `0` a decimal digit, `x` a lower-case hex digit, anything else itself.
const SHAPE: &[u8; LEN] = b"00000000T000000.000000Z-xxxxxxxx";

/// The id of a session, which is also the name of its directory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId([u8; LEN]);

/// A text that is not a session id.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("{text:?} is not a session id; ids look like 20261121T054512.123456Z-0a1b2c3d")]
pub struct ParseIdError {
    text: String,
}

impl SessionId {
    /// The id of a session that starts at `at`. Years outside 0 to 9999 are counted modulo 10,000.
    #[must_use]
    pub fn new(at: Timestamp, random: [u8; 4]) -> Self {
        let t = Offset::UTC.to_datetime(at);
        let mut id = *SHAPE;
        let mut put = |from: usize, to: usize, value: i64| {
            let mut rest = value.unsigned_abs();
            for slot in id[from..to].iter_mut().rev() {
                *slot = b'0' + u8::try_from(rest % 10).unwrap_or(0);
                rest /= 10;
            }
        };
        put(0, 4, i64::from(t.year()));
        put(4, 6, i64::from(t.month()));
        put(6, 8, i64::from(t.day()));
        put(9, 11, i64::from(t.hour()));
        put(11, 13, i64::from(t.minute()));
        put(13, 15, i64::from(t.second()));
        put(16, 22, i64::from(t.subsec_nanosecond()) / 1_000);
        for (pair, byte) in id[24..].chunks_exact_mut(2).zip(random) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        Self(id)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Every constructor lets only ASCII in.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// When the session started, as the id has it; `None` when its digits are no date.
    #[must_use]
    pub fn started(&self) -> Option<Timestamp> {
        let text = self.as_str();
        let digits = |from: usize, to: usize| text.get(from..to)?.parse::<i32>().ok();
        let small = |from, to| i8::try_from(digits(from, to)?).ok();
        let time = DateTime::new(
            i16::try_from(digits(0, 4)?).ok()?,
            small(4, 6)?,
            small(6, 8)?,
            small(9, 11)?,
            small(11, 13)?,
            small(13, 15)?,
            digits(16, 22)? * 1_000,
        );
        Offset::UTC.to_timestamp(time.ok()?).ok()
    }

    /// The eight random digits at the end: enough for people to name a session by.
    #[must_use]
    pub fn short(&self) -> &str {
        self.as_str().get(24..).unwrap_or_default()
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

impl FromStr for SessionId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let refuse = || ParseIdError {
            text: text.chars().take(80).collect(),
        };
        let bytes: [u8; LEN] = text.as_bytes().try_into().map_err(|_| refuse())?;
        let fits = bytes.iter().zip(SHAPE).all(|(byte, shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            b'x' => HEX.contains(byte),
            other => byte == other,
        });
        if fits { Ok(Self(bytes)) } else { Err(refuse()) }
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn an_id_shows_its_start_and_parses_back() {
        let id = SessionId::new(
            at("2026-11-21T05:45:12.123456789Z"),
            [0x0a, 0x1b, 0x2c, 0x3d],
        );
        assert_eq!(id.to_string(), "20261121T054512.123456Z-0a1b2c3d");
        assert_eq!(id.as_str().parse(), Ok(id));
        assert_eq!(id.started(), Some(at("2026-11-21T05:45:12.123456Z")));
        assert_eq!(id.short(), "0a1b2c3d");
        let never: SessionId = "20261399T054512.123456Z-0a1b2c3d"
            .parse()
            .expect("of the form");
        assert_eq!(never.started(), None);
    }

    #[test]
    fn text_order_is_time_order() {
        let early = SessionId::new(at("2026-11-21T05:45:12.000009Z"), [0xff; 4]);
        let late = SessionId::new(at("2026-11-21T05:45:12.00001Z"), [0; 4]);
        assert!(early < late && early.as_str() < late.as_str());
    }

    #[test]
    fn nothing_else_is_an_id() {
        for text in [
            "",
            ".",
            "..",
            "../../etc/passwd",
            "20261121T054512.123456Z-0A1b2c3d",
            "20261121T054512.123456Z-0a1b2c3d ",
            "20261121T054512/123456Z-0a1b2c3d",
            "2026112\u{0661}054512.123456Z-0a1b2c3d",
        ] {
            assert!(text.parse::<SessionId>().is_err(), "{text:?}");
        }
    }
}
