//! The error of a workload that was not found: everything that was seen, and why it was not it.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::units::{Comm, Process};

/// Why resolving ended without a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Miss {
    /// The root ended first.
    RootVanished,
    /// The time for it was over.
    TimedOut,
    /// Observation ended first; the root lives on.
    Stopped,
}

/// No workload was found. The message names the root, what was expected, how long was waited, and
/// every candidate.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct Unresolved {
    /// What ended the search.
    pub miss: Miss,
    /// The process the user named.
    pub root: Process,
    /// Its latest name; `None` when it was never seen to exec.
    pub root_comm: Option<Comm>,
    /// The expected name, if one was.
    pub expect: Option<Vec<u8>>,
    /// How long was waited.
    pub waited: Duration,
    /// What was seen, in order; the first [`super::KEPT`].
    pub candidates: Vec<Candidate>,
    /// Seen beyond those.
    pub more: u64,
}

/// One image that was seen and was not the workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Whose image.
    pub process: Process,
    /// Its name.
    pub comm: Comm,
    /// The path it was started by.
    pub filename: Vec<u8>,
    /// Its first three arguments, each cut at 64 bytes.
    pub argv: Vec<Vec<u8>>,
    /// Why it is not the workload.
    pub why: &'static str,
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let comm = self.root_comm.map_or_else(
            || "not yet started".into(),
            |comm| Shown(comm.as_bytes()).to_string(),
        );
        let root = format!("root process {} ({comm})", self.root.tgid);
        // Nobody waits in nanoseconds.
        let waited =
            Duration::from_millis(u64::try_from(self.waited.as_millis()).unwrap_or(u64::MAX));
        let sought = match &self.expect {
            Some(name) => format!("process named {}", Shown(name)),
            None => "program behind its wrappers".into(),
        };
        match self.miss {
            Miss::RootVanished => write!(
                f,
                "{root} ended after {waited:?} without starting a {sought}"
            )?,
            Miss::Stopped => write!(
                f,
                "observation of {root} ended after {waited:?}, before a {sought} started"
            )?,
            Miss::TimedOut => write!(
                f,
                "timed out after {waited:?} waiting for a {sought} below {root}"
            )?,
        }
        if self.candidates.is_empty() {
            return f.write_str("; nothing was executed below it");
        }
        f.write_str("; seen:")?;
        for candidate in &self.candidates {
            write!(f, "\n  {candidate}")?;
        }
        if self.more > 0 {
            write!(f, "\n  and {} more", self.more)?;
        }
        if self.expect.is_none() {
            f.write_str("\nname the program with --expect NAME")?;
        }
        Ok(())
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ({}) {}",
            self.process.tgid,
            Shown(self.comm.as_bytes()),
            Shown(&self.filename),
        )?;
        f.write_str(" [")?;
        for (at, arg) in self.argv.iter().enumerate() {
            let gap = if at == 0 { "" } else { " " };
            write!(f, "{gap}{}", Shown(arg))?;
        }
        write!(f, "]: {}", self.why)
    }
}

/// Bytes for a terminal: a name chosen by a stranger must not move its cursor.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for letter in chunk.valid().chars() {
                if letter.is_control() {
                    write!(f, "{}", letter.escape_default())?;
                } else {
                    write!(f, "{letter}")?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Tgid;

    fn process(tgid: u32) -> Process {
        Process {
            tgid: Tgid(tgid),
            ..Process::default()
        }
    }

    fn unresolved(miss: Miss) -> String {
        Unresolved {
            miss,
            root: process(100),
            root_comm: Some(Comm::from_bytes(b"script")),
            expect: Some(b"claude".to_vec()),
            waited: Duration::from_secs(2),
            candidates: vec![Candidate {
                process: process(101),
                comm: Comm::from_bytes(b"ev\x1b[2Jil\xff"),
                filename: b"/usr/bin/python3".to_vec(),
                argv: vec![b"python3".to_vec(), b"x y".to_vec()],
                why: "is not named so",
            }],
            more: 7,
        }
        .to_string()
    }

    #[test]
    fn the_message_names_the_root_the_name_the_wait_and_each_candidate() {
        assert_eq!(
            unresolved(Miss::TimedOut),
            "timed out after 2s waiting for a process named claude below root process 100 (script); \
             seen:\n  101 (ev\\u{1b}[2Jil\\xff) /usr/bin/python3 [python3 x y]: is not named so\n  \
             and 7 more"
        );
    }

    #[test]
    fn a_vanished_root_reads_differently() {
        let text = unresolved(Miss::RootVanished);
        assert!(
            text.starts_with("root process 100 (script) ended after 2s without starting a process"),
            "{text}"
        );
    }
}
