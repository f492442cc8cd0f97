//! A crash line, read back by whoever recovers the session.
//!
//! There it is input like any other: a line counts when its checksum is right and it says what a crash
//! line says; whatever else a lease holds is somebody else's. Pure.

use std::fmt;

use serde::Deserialize;

use crate::{
    session::{
        crash::{line::END_BYTES, told},
        journal::record::Crash,
    },
    units::BootNs,
};

/// Longest line that is believed.
const LINE_MAX: usize = 16 << 10;

/// A crash line, read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastWords {
    /// Which stretch of the session.
    pub epoch: u32,
    /// When.
    pub t: BootNs,
    /// `seq` of the last record taken in.
    pub last_accepted: u64,
    /// `seq` of the last record in the file, as far as was known.
    pub last_written: u64,
    /// What a `crash` record would say.
    pub crash: Crash,
}

#[derive(Deserialize)]
struct Keys {
    kind: String,
    epoch: u32,
    cause: String,
    #[serde(default)]
    detail: String,
    signal: Option<i32>,
    code: Option<i32>,
    pid: u32,
    tid: u32,
    t_boot_ns: u64,
    last_accepted: u64,
    last_written: u64,
    address: Option<String>,
    sender_pid: Option<u32>,
    sender_uid: Option<u32>,
}

impl LastWords {
    /// Reads one line of a lease, without its newline; `None` when it is no whole crash line.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        if line.len() > LINE_MAX {
            return None;
        }
        let (body, tail) = line.split_at_checked(line.len().checked_sub(END_BYTES - 1)?)?;
        let crc = tail.strip_prefix(b",\"crc\":\"")?.strip_suffix(b"\"}")?;
        if crc != format!("{:08x}", crc32fast::hash(body)).as_bytes() {
            return None;
        }
        let keys: Keys = serde_json::from_slice(line).ok()?;
        (keys.kind == "crash").then(|| Self {
            epoch: keys.epoch,
            t: BootNs(keys.t_boot_ns),
            last_accepted: keys.last_accepted,
            last_written: keys.last_written,
            crash: told(&keys.cause, &keys.detail()),
        })
    }

    /// The words of an epoch, by the lines of a lease: the first decide.
    #[must_use]
    pub fn of_epoch<'a>(lines: impl IntoIterator<Item = &'a [u8]>, epoch: u32) -> Option<Self> {
        let mut words = lines.into_iter().filter_map(Self::parse);
        words.find(|words| words.epoch == epoch)
    }
}

impl fmt::Display for LastWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Crash { cause, detail } = &self.crash;
        let (accepted, written) = (self.last_accepted, self.last_written);
        write!(
            f,
            "{cause}: {detail}; last record taken {accepted}, written {written}"
        )
    }
}

impl Keys {
    /// What people read of it.
    fn detail(&self) -> String {
        let whose = if self.pid == self.tid {
            "in the main thread".to_owned()
        } else {
            format!("in thread {}", self.tid)
        };
        if !self.detail.is_empty() {
            return self.detail.clone();
        }
        let origin = match (self.sender_pid, self.sender_uid, &self.address) {
            (Some(pid), _, _) if pid == self.pid => "sent by itself".to_owned(),
            (Some(pid), Some(uid), _) => format!("sent by pid {pid} of uid {uid}"),
            (_, _, Some(address)) => format!("at address {address}"),
            _ => "of unknown origin".to_owned(),
        };
        let code = self
            .code
            .map_or(String::new(), |code| format!(", code {code}"));
        let signal = self
            .signal
            .map_or(String::new(), |n| format!("signal {n}{code}, "));
        format!("{signal}{origin}, {whose}")
    }
}
