//! Journal lines to records: what `encode` wrote, read back exactly.
//!
//! Keys this version does not know are ignored and kinds it does not know become
//! [`Body::Unknown`]; so does a known kind whose keys no longer fit. Pure, and total: there are no
//! bytes that make it panic.

mod account;
mod control;
mod events;
mod session;

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value};

use self::{
    account::AccountKeys,
    control::{CrashKeys, EndKeys, EventKey, GapKeys, LossKeys, NoteKeys, TargetKeys},
    events::{ExecKeys, ExitKeys, ForkKeys, OomKeys, SignalKeys},
};
use crate::{
    event::EventKind,
    session::journal::{
        anomaly::Anomaly,
        record::{Body, Crash, Note, SnapshotEvent},
        text::{cmdline_from_text, parse_hex},
    },
    snapshot::{SnapshotRow, TreeTotals},
    units::{BootNs, Comm, ProcKey, Process, Tgid},
};

/// Reads the body of a line, given whole and without its newline, of this `kind`. `None` when the
/// line is not a JSON object.
#[must_use]
pub fn decode_body(kind: &str, line: &[u8]) -> Option<Body> {
    // Once for the whole line: several times faster than string by string, and strings nobody asks for
    // are looked at as well.
    let line = std::str::from_utf8(line).ok()?;
    decode_known(kind, line).or_else(|| decode_unknown(kind, line))
}

fn decode_known(kind: &str, line: &str) -> Option<Body> {
    Some(match kind {
        "fork" => Body::Event(EventKind::Fork(parse::<ForkKeys<'_>>(line)?.fork()?)),
        "exec" => Body::Event(EventKind::Exec(Box::new(
            parse::<ExecKeys<'_>>(line)?.exec()?,
        ))),
        "exit" => Body::Event(EventKind::Exit(Box::new(
            parse::<ExitKeys<'_>>(line)?.exit()?,
        ))),
        "signal" => Body::Event(EventKind::Signal(Box::new(
            parse::<SignalKeys<'_>>(line)?.signal()?,
        ))),
        "oom" => Body::Event(EventKind::Oom(Box::new(parse::<OomKeys<'_>>(line)?.oom()?))),
        "account" => Body::Event(EventKind::Account(parse::<AccountKeys>(line)?.account())),
        "session" => Body::Session(Box::new(session::decode(line)?)),
        "target" => Body::Target(Box::new(parse::<TargetKeys<'_>>(line)?.target()?)),
        "snapshot" => {
            let event = match parse::<EventKey<'_>>(line)?.event.as_ref() {
                "snapshot" => SnapshotEvent::Snapshot,
                "exit_snapshot" => SnapshotEvent::ExitSnapshot,
                _ => return None,
            };
            Body::Snapshot {
                row: Box::new(parse::<SnapshotRow>(line)?),
                event,
            }
        }
        "tick" => Body::Tick(Box::new(parse::<TreeTotals>(line)?)),
        "anomaly" => Body::Anomaly(Box::new(parse::<Anomaly>(line)?)),
        "loss" => {
            let keys = parse::<LossKeys>(line)?;
            Body::Loss {
                reason: keys.reason,
                count: keys.count,
            }
        }
        "gap" => Body::Gap(Box::new(parse::<GapKeys>(line)?.gap())),
        "note" => {
            let keys = parse::<NoteKeys>(line)?;
            Body::Note(Box::new(Note {
                topic: keys.topic,
                text: keys.text,
                data: keys.data,
            }))
        }
        "crash" => {
            let keys = parse::<CrashKeys>(line)?;
            Body::Crash(Box::new(Crash {
                cause: keys.cause,
                detail: keys.detail,
            }))
        }
        "end" => Body::End(Box::new(parse::<EndKeys<'_>>(line)?.end())),
        _ => return None,
    })
}

fn decode_unknown(kind: &str, line: &str) -> Option<Body> {
    let mut value: Map<String, Value> = parse(line)?;
    for key in ["seq", "t_boot_ns", "kind", "crc"] {
        value.remove(key);
    }
    Some(Body::Unknown {
        kind: kind.to_owned(),
        value,
    })
}

fn parse<'a, T: Deserialize<'a>>(line: &'a str) -> Option<T> {
    serde_json::from_str(line).ok()
}

type Text<'a> = Cow<'a, str>;

/// The bytes of a text and its hex key.
fn bytes(text: &str, hex: Option<&str>) -> Option<Vec<u8>> {
    hex.map_or_else(|| Some(text.as_bytes().to_vec()), parse_hex)
}

fn comm(text: &str, hex: Option<&str>) -> Option<Comm> {
    Some(match hex {
        None => Comm::from_bytes(text.as_bytes()),
        Some(hex) => Comm::from_bytes(&parse_hex(hex)?),
    })
}

fn cmdline(text: &str, hex: Option<&str>) -> Option<Vec<u8>> {
    hex.map_or_else(|| Some(cmdline_from_text(text)), parse_hex)
}

fn argv(texts: &[Text<'_>], hex: Option<&[Option<Text<'_>>]>) -> Option<Vec<Vec<u8>>> {
    let hex_of = |at: usize| hex.and_then(|list| list.get(at)?.as_deref());
    texts
        .iter()
        .enumerate()
        .map(|(at, text)| bytes(text, hex_of(at)))
        .collect()
}

/// A process from its keys; an absent pid is the same as `pid`.
fn process(pid: u32, init: Option<u32>, inner: Option<u32>, start: u64) -> Process {
    Process {
        key: ProcKey {
            init: init.unwrap_or(pid),
            start: BootNs(start),
        },
        tgid: Tgid(pid),
        inner: inner.unwrap_or(pid),
    }
}
