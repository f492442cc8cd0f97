//! Times as people give them: a date, a time, or how long ago. Pure.

use anyhow::{Context as _, bail};
use jiff::{Span, SpanRelativeTo, Timestamp, civil, tz::Offset};

/// A time: `2026-11-21`, `2026-11-21T05:45:12`, both in UTC, `2026-11-21T05:45:12+01:00`, or `2h`, `7d`,
/// `1h 30m` before `now`.
pub(super) fn parse(text: &str, now: Timestamp) -> anyhow::Result<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    if let Ok(at) = text.parse::<civil::DateTime>() {
        return Offset::UTC
            .to_timestamp(at)
            .with_context(|| format!("{text:?} is out of range"));
    }
    let Ok(span) = text.parse::<Span>() else {
        bail!("give a time such as 2026-11-21, 2026-11-21T05:45:12Z, 2h or 7d (ago)");
    };
    let ago = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .context("give it in weeks, days, hours, minutes or seconds")?;
    if ago.is_negative() {
        bail!("{text:?} is in the future");
    }
    now.checked_sub(ago)
        .with_context(|| format!("{text:?} is out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_date_a_moment_or_how_long_ago() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        for (text, at) in [
            ("2026-11-20", "2026-11-20T00:00:00Z"),
            ("2026-11-20T05:45:12", "2026-11-20T05:45:12Z"),
            ("2026-11-20 05:45", "2026-11-20T05:45:00Z"),
            ("2026-11-20T05:45:12+02:00", "2026-11-20T03:45:12Z"),
            ("2h", "2026-11-21T10:00:00Z"),
            ("7d", "2026-11-14T12:00:00Z"),
            ("1w", "2026-11-14T12:00:00Z"),
            ("1h 30m", "2026-11-21T10:30:00Z"),
        ] {
            assert_eq!(parse(text, now).unwrap(), at.parse().unwrap(), "{text}");
        }
        for wrong in [
            "",
            "5",
            "yesterday",
            "-2h",
            "1 month",
            "2026-13-01",
            "99999999w",
        ] {
            assert!(parse(wrong, now).is_err(), "{wrong:?}");
        }
    }
}
