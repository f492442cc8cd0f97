//! The notes on endings that the observer brings about, on stalls, and on what outlives the command.

use serde::Serialize;
use serde_json::Value;

use super::topic;
use crate::{
    session::journal::record::Note,
    units::BootNs,
    verdict::{
        ending::{Ending, Reason},
        signals,
    },
};

/// A process that outlives the command: the particulars of the note [`topic::LEFTOVER`], and an item of
/// `leftovers` in the summary.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Leftover {
    /// Its pid.
    pub pid: u32,
    /// Its start in clock ticks after boot; null when it could not be read.
    pub starttime_ticks: Option<u64>,
    /// Its name.
    pub comm: String,
    /// Its command line.
    pub cmdline: String,
    /// What it was doing; null when it could not be read.
    pub state: Option<String>,
    /// What it still holds of what was ours: `terminal`, `stdout`, `stderr`.
    pub holds: Vec<String>,
    /// Why it could not be ended; null unless it was to be.
    pub refused: Option<String>,
}

impl Note {
    /// The observer ends processes; [`Ending::seq`] is not known yet.
    #[must_use]
    pub fn ending(ending: &Ending) -> Self {
        let data = [
            ("reason", Value::from(ending.reason.as_str())),
            ("signal", Value::from(ending.signal)),
            ("limit_ns", Value::from(ending.limit_ns)),
            ("kill_after_ns", Value::from(ending.kill_after_ns)),
        ];
        let (option, signal) = (ending.reason.option(), signals::name(ending.signal));
        let text = format!("tracer ends what runs ({option}): {signal}, then SIGKILL");
        Self::new(topic::ENDING, &text, data)
    }

    /// The particulars of a note [`topic::ENDING`].
    #[must_use]
    pub fn as_ending(&self, seq: u64, t: BootNs) -> Option<Ending> {
        let reason = self.data.get("reason")?.as_str()?;
        Some(Ending {
            seq,
            t,
            reason: Reason::parse(reason)?,
            signal: i32::try_from(self.number("signal")?).ok()?,
            limit_ns: self.number("limit_ns")?,
            kill_after_ns: self.number("kill_after_ns")?,
        })
    }

    /// Nothing has happened for so long.
    #[must_use]
    pub fn stall(reason: Reason, limit_ns: u64) -> Self {
        let data = [
            ("reason", Value::from(reason.as_str())),
            ("limit_ns", Value::from(limit_ns)),
        ];
        let what = match reason {
            Reason::Stale => "no output",
            _ => "no output and no CPU time",
        };
        let text = format!(
            "{what} for {} ms ({})",
            limit_ns / 1_000_000,
            reason.option()
        );
        Self::new(topic::STALL, &text, data)
    }

    /// A process that outlives the command.
    #[must_use]
    pub fn leftover(left: &Leftover) -> Self {
        let data = [
            ("pid", Value::from(left.pid)),
            ("starttime_ticks", Value::from(left.starttime_ticks)),
            ("comm", Value::from(left.comm.as_str())),
            ("cmdline", Value::from(left.cmdline.as_str())),
            ("state", Value::from(left.state.as_deref())),
            ("holds", Value::from(left.holds.clone())),
            ("refused", Value::from(left.refused.as_deref())),
        ];
        Self::new(topic::LEFTOVER, "it outlives the command", data)
    }

    /// The particulars of a note [`topic::LEFTOVER`].
    #[must_use]
    pub fn as_leftover(&self) -> Option<Leftover> {
        let text = |key| Some(self.data.get(key)?.as_str()?.to_owned());
        let holds = self.data.get("holds").and_then(Value::as_array);
        let holds = holds.map(Vec::as_slice).unwrap_or_default().iter();
        Some(Leftover {
            pid: u32::try_from(self.number("pid")?).ok()?,
            starttime_ticks: self.number("starttime_ticks"),
            comm: text("comm")?,
            cmdline: text("cmdline")?,
            state: text("state"),
            holds: holds
                .filter_map(|held| Some(held.as_str()?.to_owned()))
                .collect(),
            refused: text("refused"),
        })
    }
}
