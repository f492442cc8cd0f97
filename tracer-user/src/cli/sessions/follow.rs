//! `tracer sessions show --follow`: a session's events, while they are recorded.

use super::{hint, print};
use crate::{
    cli::{anomalies::anomaly_words, escape::printable, show::event_line},
    event::Event,
    session::{
        dir::Dir,
        follow::{Follow, Next},
        journal::{
            encode::Encoder,
            reader::Entry,
            record::{Body, TargetBody},
        },
    },
    units::BootNs,
};

pub(super) fn follow(dir: &Dir, json: bool) -> anyhow::Result<u8> {
    let mut follow = Follow::start(dir)?;
    let mut began = None;
    let mut encoder = Encoder::default();
    loop {
        match follow.advance()? {
            Next::Record(entry) => {
                if let Body::Session(info) = &entry.body {
                    encoder.tick_rule = info.tick_rule;
                }
                let began = *began.get_or_insert(entry.t);
                if json {
                    let mut line = Vec::new();
                    encoder.line(&mut line, entry.seq, entry.t, &entry.body);
                    print(&line)?;
                } else if let Some(line) = line(&entry, began) {
                    print(format!("{line}\n").as_bytes())?;
                }
                if entry.body.is_terminal() {
                    return Ok(0);
                }
            }
            Next::Later => follow.wait(),
            Next::Interrupted => {
                hint(
                    "interrupted: its observer is gone without an end; `tracer recover` finishes it",
                );
                return Ok(0);
            }
        }
    }
}

/// The record as a line; `None` for what is no news to people.
fn line(entry: &Entry, began: BootNs) -> Option<String> {
    let what = match &entry.body {
        Body::Event(kind) => {
            let event = Event {
                t: entry.t,
                kind: kind.clone(),
            };
            let line = event_line(&event, began);
            return Some(line.trim_start_matches("tracer: ").to_owned());
        }
        Body::Session(info) if info.epoch > 0 => format!("epoch  {} begins", info.epoch),
        Body::Session(info) => format!("begin  {}", info.session_id),
        Body::Target(target) => match target.as_ref() {
            TargetBody::Pinned(pinned) => {
                format!("target {} ({})", pinned.process.tgid, pinned.comm)
            }
            TargetBody::Unresolved { reason } => format!("target not found: {reason}"),
        },
        Body::Anomaly(anomaly) => anomaly_words(anomaly),
        Body::Loss { reason, count } => format!("loss   {count} events: {reason}"),
        Body::Gap(gap) => format!("gap    {} records: {}", gap.dropped, gap.reason),
        Body::Note(note) => format!("note   {}: {}", note.topic, note.text),
        Body::Crash(crash) => format!("crash  {}", crash.cause),
        Body::End(end) => format!("end    {}: {}", end.ending.as_str(), end.cause),
        Body::Snapshot { .. } | Body::Tick(_) | Body::Unknown { .. } => return None,
    };
    #[expect(clippy::cast_precision_loss, reason = "milliseconds for people")]
    let seconds = entry.t.since(began) as f64 / 1e9;
    Some(printable(&format!("{seconds:9.3}s {what}")))
}
