//! Anomalies for people: a line when one opens or closes, one line of the block, a list of them all.

use std::fmt::Write as _;

use super::escape::printable;
use crate::{
    anomaly::{about, phrase},
    session::{
        anomalies::{Overview, Told, particulars},
        journal::anomaly::{Anomaly, Stage},
    },
};

/// Anomalies that the block tells of one by one.
const BLOCK_MAX: usize = 3;

/// One record in words, without the time.
pub(super) fn anomaly_words(anomaly: &Anomaly) -> String {
    let about = about(&anomaly.anomaly, anomaly.pid, anomaly.comm.as_deref());
    match anomaly.phase {
        Stage::Opened => {
            let detail: Vec<String> = anomaly
                .detail
                .iter()
                .filter(|(_, value)| value.is_number())
                .map(|(key, value)| format!("{key} {value}"))
                .chain(particulars(&anomaly.detail))
                .collect();
            format!("{} {about}: {}", anomaly.severity, detail.join(", "))
        }
        Stage::Closed => {
            let phrase = phrase(
                &anomaly.anomaly,
                anomaly.worst,
                anomaly.count,
                anomaly.lasted_ns(),
            );
            format!("over   {about}: {phrase}")
        }
    }
}

/// Adds the block's line, if there is anything to say.
pub(super) fn put_line(text: &mut String, count: u64, anomalies: &Overview) {
    let worst = &anomalies.worst;
    if count == 0 {
        return;
    }
    let told: Vec<String> = worst.iter().take(BLOCK_MAX).map(Told::sentence).collect();
    let more = match count.saturating_sub(told.len() as u64) {
        0 => String::new(),
        more => format!("; {more} more"),
    };
    let line = printable(&format!("{count}: {}{more}", told.join("; ")));
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  anomalies   {line}");
}
