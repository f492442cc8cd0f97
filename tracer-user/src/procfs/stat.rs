//! One line of `/proc/<pid>/stat`.
//!
//! Source: `proc_pid_stat(5)`; field numbers are the man page's and count from 1. This module never
//! opens a file: [`ProcStat::parse`] takes bytes, so every odd line can be a unit test.

use thiserror::Error;

use super::scan;
use crate::units::{Comm, Tgid, Ticks};

/// `PF_EXITING`, include/linux/sched.h: the thread is past the start of `do_exit`.
const PF_EXITING: u64 = 0x4;

/// The part of a `stat` line that is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcStat {
    /// Field 1: the number in the pid namespace of the procfs; of a thread's line, the thread's.
    pub pid: Tgid,
    /// Command name, field 2. The kernel prints it unescaped, the same bytes as in `comm`.
    pub comm: Comm,
    /// Field 3, of the leader.
    pub state: State,
    /// Parent, field 4; 0 when it is not visible in this pid namespace.
    pub ppid: Tgid,
    /// Process group, field 5; -1 for an exiting process without one.
    pub pgrp: i64,
    /// Session, field 6.
    pub session: i64,
    /// Device number of the controlling terminal, field 7; 0 for none.
    pub tty_nr: i64,
    /// `task->flags` of the leader, field 9.
    pub flags: u64,
    /// CPU time in user mode, field 14, all threads, ended ones included.
    pub utime: Ticks,
    /// CPU time in the kernel, field 15, all threads, ended ones included.
    pub stime: Ticks,
    /// Threads, field 20; a leader that ended before the others counts.
    pub num_threads: u64,
    /// Start time after boot (`CLOCK_BOOTTIME`), field 22. With the tgid, names one process. Shifted
    /// by the *reader's* time namespace, see [`super::timens`].
    pub start_time: Ticks,
}

impl ProcStat {
    /// The leader has begun to exit: its memory and descriptors may be released already, so a zero
    /// read beside this line may be no fact about the process.
    #[must_use]
    pub fn leader_exiting(&self) -> bool {
        self.flags & PF_EXITING != 0 || self.state.has_ended()
    }

    /// The leader has ended but other threads live: the process has not.
    #[must_use]
    pub fn leader_ended_first(&self) -> bool {
        self.state.has_ended() && self.num_threads > 1
    }

    /// CPU time in both modes.
    #[must_use]
    pub fn cpu(&self) -> Ticks {
        Ticks(self.utime.0.saturating_add(self.stime.0))
    }
}

/// Run state of a task, field 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// R
    Running,
    /// S
    Sleeping,
    /// D
    DiskSleep,
    /// T
    Stopped,
    /// t
    TracingStop,
    /// Z
    Zombie,
    /// X, x
    Dead,
    /// K (2.6.33 to 3.13)
    WakeKill,
    /// W (2.6.33 to 3.13)
    Waking,
    /// I
    Idle,
    /// P
    Parked,
    /// A letter this program does not know.
    Other(u8),
}

impl State {
    /// The state a letter stands for.
    #[must_use]
    pub fn from_letter(letter: u8) -> Self {
        match letter {
            b'R' => Self::Running,
            b'S' => Self::Sleeping,
            b'D' => Self::DiskSleep,
            b'T' => Self::Stopped,
            b't' => Self::TracingStop,
            b'Z' => Self::Zombie,
            b'X' | b'x' => Self::Dead,
            b'K' => Self::WakeKill,
            b'W' => Self::Waking,
            b'I' => Self::Idle,
            b'P' => Self::Parked,
            other => Self::Other(other),
        }
    }

    /// The name used in records, `None` for a letter without one.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Running => "running",
            Self::Sleeping => "sleeping",
            Self::DiskSleep => "disk-sleep",
            Self::Stopped => "stopped",
            Self::TracingStop => "tracing-stop",
            Self::Zombie => "zombie",
            Self::Dead => "dead",
            Self::WakeKill => "wake-kill",
            Self::Waking => "waking",
            Self::Idle => "idle",
            Self::Parked => "parked",
            Self::Other(_) => return None,
        })
    }

    /// It will never run again.
    #[must_use]
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Zombie | Self::Dead)
    }
}

/// Why a `stat` line was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum StatError {
    /// The line has no command name in parentheses.
    #[error("no command name in parentheses")]
    NoComm,
    /// The line is too short: a kernel older than any supported, or a truncated read.
    #[error("line ends before field {field} ({name})")]
    Missing {
        /// The man page's number.
        field: usize,
        /// The man page's name.
        name: &'static str,
    },
    /// A field is not the number it should be.
    #[error("field {field} ({name}) is not a number in range")]
    Malformed {
        /// The man page's number.
        field: usize,
        /// The man page's name.
        name: &'static str,
    },
}

impl ProcStat {
    /// Parses one line, with or without its newline.
    ///
    /// # Errors
    /// [`StatError`] names the first field that is missing or malformed.
    pub fn parse(line: &[u8]) -> Result<Self, StatError> {
        // A process chooses its own comm, and `a) R 1 (b` is a legal one. Nothing after comm can hold
        // a parenthesis, so only the last one is trustworthy.
        let close = line
            .iter()
            .rposition(|&byte| byte == b')')
            .ok_or(StatError::NoComm)?;
        let open = line[..close]
            .iter()
            .position(|&byte| byte == b'(')
            .ok_or(StatError::NoComm)?;
        let mut first = Fields::new(1, &line[..open]);
        let pid = first.number(1, "pid", scan::parse_u32)?;
        let mut rest = Fields::new(3, &line[close + 1..]);
        Ok(Self {
            pid: Tgid(pid),
            comm: Comm::from_bytes(&line[open + 1..close]),
            state: rest.number(3, "state", |word| match word {
                [letter] => Some(State::from_letter(*letter)),
                _ => None,
            })?,
            ppid: Tgid(rest.number(4, "ppid", scan::parse_u32)?),
            pgrp: rest.number(5, "pgrp", scan::parse_i64)?,
            session: rest.number(6, "session", scan::parse_i64)?,
            tty_nr: rest.number(7, "tty_nr", scan::parse_i64)?,
            flags: rest.number(9, "flags", scan::parse_u64)?,
            utime: Ticks(rest.number(14, "utime", scan::parse_u64)?),
            stime: Ticks(rest.number(15, "stime", scan::parse_u64)?),
            num_threads: rest.number(20, "num_threads", scan::parse_u64)?,
            start_time: Ticks(rest.number(22, "starttime", scan::parse_u64)?),
        })
    }
}

/// Walks the blank-separated fields forward, by their numbers.
struct Fields<'line> {
    words: std::slice::Split<'line, u8, fn(&u8) -> bool>,
    next: usize,
}

impl<'line> Fields<'line> {
    fn new(first: usize, line: &'line [u8]) -> Self {
        let blank: fn(&u8) -> bool = |byte| matches!(byte, b' ' | b'\n');
        Self {
            words: line.split(blank),
            next: first,
        }
    }

    fn number<T>(
        &mut self,
        field: usize,
        name: &'static str,
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<T, StatError> {
        loop {
            let word = self
                .words
                .next()
                .ok_or(StatError::Missing { field, name })?;
            if word.is_empty() {
                continue;
            }
            self.next += 1;
            if self.next > field {
                return parse(word).ok_or(StatError::Malformed { field, name });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TAIL: &str = "S 14545 14546 6818 -7 -1 4194304 131 2 3 4 55 66 7 8 20 0 9 0 175870 2990080 \
                        445 18446744073709551615 0 0";

    fn line(comm: &[u8]) -> Vec<u8> {
        [b"14548 (", comm, b") ", TAIL.as_bytes(), b"\n"].concat()
    }

    #[test]
    fn each_field_is_the_man_pages() {
        let stat = ProcStat::parse(&line(b"sleep")).unwrap();
        assert_eq!(
            stat,
            ProcStat {
                pid: Tgid(14548),
                comm: Comm::from_bytes(b"sleep"),
                state: State::Sleeping,
                ppid: Tgid(14545),
                pgrp: 14546,
                session: 6818,
                tty_nr: -7,
                flags: 4_194_304,
                utime: Ticks(55),
                stime: Ticks(66),
                num_threads: 9,
                start_time: Ticks(175_870),
            }
        );
        assert_eq!(stat.cpu(), Ticks(121));
    }

    #[test]
    fn comm_may_imitate_the_rest_of_the_line() {
        for comm in [
            &b") R 1 ("[..],
            b"a) R 1 (b",
            b"",
            b"(",
            b")",
            b"x\ny",
            b"\xff\xfe (",
            b"1 (2) S 3",
        ] {
            let stat = ProcStat::parse(&line(comm)).unwrap();
            assert_eq!(stat.comm.as_bytes(), comm);
            assert_eq!((stat.state, stat.ppid), (State::Sleeping, Tgid(14545)));
            assert_eq!(stat.start_time, Ticks(175_870));
        }
    }

    #[test]
    fn an_unreadable_start_time_is_an_error_not_zero() {
        let whole = line(b"sleep");
        let text = String::from_utf8(whole).unwrap();
        let at = text.find(" 175870").unwrap();
        assert_eq!(
            ProcStat::parse(&text.as_bytes()[..at]),
            Err(StatError::Missing {
                field: 22,
                name: "starttime"
            })
        );
        assert_eq!(
            ProcStat::parse(text.replace("175870", "99999999999999999999").as_bytes()),
            Err(StatError::Malformed {
                field: 22,
                name: "starttime"
            })
        );
    }

    #[test]
    fn a_leader_that_ended_first_is_not_the_end_of_the_process() {
        let text = String::from_utf8(line(b"x")).unwrap().replace("S 1", "Z 1");
        let stat = ProcStat::parse(text.as_bytes()).unwrap();
        assert!(stat.leader_ended_first() && stat.leader_exiting());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = ProcStat::parse(&bytes);
        }

        #[test]
        fn no_comm_moves_a_field(comm in proptest::collection::vec(1_u8.., 0..16)) {
            let stat = ProcStat::parse(&line(&comm)).unwrap();
            prop_assert_eq!(stat.start_time, Ticks(175_870));
            prop_assert_eq!(stat.comm, Comm::from_bytes(&comm));
        }
    }
}
