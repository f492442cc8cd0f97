//! Job control: how long a process was stopped.
//!
//! A stop signal stops when it is taken, and SIGCONT continues when it is *generated*, whatever the
//! process makes of it (kernel/signal.c, `prepare_signal`). SIGSTOP cannot be refused; SIGTSTP,
//! SIGTTIN and SIGTTOU can be handled, so they count only if the process did nothing until somebody
//! continued it.

use crate::units::BootNs;

const SIGKILL: i32 = 9;
const SIGCONT: i32 = 18;
const SIGSTOP: i32 = 19;
const SIGTSTP: i32 = 20;
const SIGTTOU: i32 = 22;

/// What the stops and continues of one process come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stops {
    /// Since when it is stopped.
    open: Option<BootNs>,
    /// By what cannot be refused.
    is_certain: bool,
    total_ns: u64,
    count: u64,
}

impl Stops {
    /// A signal for the process. `refused`: ignored, or pending already.
    pub fn signal(&mut self, t: BootNs, signal: i32, refused: bool) {
        match signal {
            SIGCONT => self.close(t),
            // It dies now.
            SIGKILL if !refused => self.close(t),
            SIGSTOP if !refused => {
                self.open.get_or_insert(t);
                self.is_certain = true;
            }
            SIGTSTP..=SIGTTOU if !refused => {
                self.open.get_or_insert(t);
            }
            _ => {}
        }
    }

    /// The process did something: it had not been stopped by what it may handle.
    pub fn acted(&mut self) {
        if !self.is_certain {
            self.open = None;
        }
    }

    /// Whether it is stopped, as far as signals tell.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// How long it was stopped, at its end or now.
    #[must_use]
    pub fn total_ns(&self, now: BootNs) -> u64 {
        match self.open {
            Some(since) if self.is_certain => self.total_ns.saturating_add(now.since(since)),
            _ => self.total_ns,
        }
    }

    /// How often it was continued after a stop.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count + u64::from(self.is_certain)
    }

    fn close(&mut self, t: BootNs) {
        self.is_certain = false;
        if let Some(since) = self.open.take() {
            self.total_ns = self.total_ns.saturating_add(t.since(since));
            self.count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_last_until_the_continue_or_the_kill() {
        let mut stops = Stops::default();
        stops.signal(BootNs(10), SIGSTOP, false);
        stops.signal(BootNs(12), SIGSTOP, true);
        stops.signal(BootNs(30), SIGCONT, true);
        assert_eq!((stops.total_ns(BootNs(99)), stops.count()), (20, 1));
        stops.signal(BootNs(40), SIGSTOP, false);
        assert_eq!(stops.total_ns(BootNs(45)), 25);
        stops.signal(BootNs(50), SIGKILL, false);
        assert_eq!((stops.total_ns(BootNs(99)), stops.count()), (30, 2));
    }

    #[test]
    fn a_stop_that_was_handled_is_none() {
        let mut stops = Stops::default();
        stops.signal(BootNs(10), SIGTSTP, false);
        stops.acted();
        stops.signal(BootNs(90), SIGCONT, true);
        assert_eq!(stops.total_ns(BootNs(99)), 0);
        // Nobody continued it, so nothing says that it ever stopped.
        stops.signal(BootNs(100), SIGTSTP, false);
        assert_eq!(stops.total_ns(BootNs(200)), 0);
    }
}
