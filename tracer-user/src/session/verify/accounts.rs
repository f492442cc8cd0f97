//! Invariants of closed accounts: one a process at most, and none before the process's exit. Pure.
//!
//! That there is none, or one without an exit, proves nothing: either may have been lost, and a zombie has none.

use std::collections::HashSet;

use crate::{event::EventKind, units::ProcKey};

/// Checks them, event by event.
#[derive(Debug, Default)]
pub(super) struct AccountRules {
    closed: HashSet<ProcKey>,
    twice: u64,
    early: u64,
}

impl AccountRules {
    /// Takes the next event.
    pub(super) fn event(&mut self, event: &EventKind) {
        match event {
            EventKind::Account(account) => {
                self.twice += u64::from(!self.closed.insert(account.process.key));
            }
            EventKind::Exit(exit) => {
                self.early += u64::from(self.closed.contains(&exit.process.key));
            }
            EventKind::Fork(_) | EventKind::Exec(_) | EventKind::Signal(_) | EventKind::Oom(_) => {}
        }
    }

    /// What does not hold.
    pub(super) fn finish(&self) -> Vec<String> {
        let told = [
            (self.twice, "accounts of a process that has one"),
            (self.early, "exits behind the account of their process"),
        ];
        let broken = told.into_iter().filter(|(count, _)| *count > 0);
        broken
            .map(|(count, what)| format!("{count} {what}"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Account, Exit, ExitTotals},
        units::{BootNs, Comm, Process, Tgid},
    };

    fn process(init: u32, start: u64) -> Process {
        Process {
            key: ProcKey {
                init,
                start: BootNs(start),
            },
            tgid: Tgid(init),
            inner: init,
        }
    }

    fn account(process: Process) -> EventKind {
        EventKind::Account(Account {
            process,
            cpu_user_us: 1,
            cpu_system_us: 1,
            faults_minor: 0,
            faults_major: 0,
            ctx_switches_voluntary: 0,
            ctx_switches_involuntary: 0,
            io_bytes: None,
        })
    }

    fn exit(process: Process) -> EventKind {
        EventKind::Exit(Box::new(Exit {
            process,
            parent: self::process(1, 1),
            comm: Comm::from_bytes(b"x"),
            status: 0,
            totals: ExitTotals::default(),
            execs: 0,
            threads: 1,
        }))
    }

    fn broken(events: &[EventKind]) -> Vec<String> {
        let mut rules = AccountRules::default();
        for event in events {
            rules.event(event);
        }
        rules.finish()
    }

    #[test]
    fn a_process_has_one_account_and_that_behind_its_exit() {
        let (one, next) = (process(7, 10), process(7, 20));
        let [closed, ended] = [account(one), exit(one)];
        assert!(broken(&[ended.clone(), exit(next), closed.clone(), account(next)]).is_empty());
        // Its exit was lost.
        assert!(broken(&[closed.clone(), exit(next)]).is_empty());
        let twice = [ended.clone(), closed.clone(), closed.clone()];
        assert_eq!(broken(&twice), ["1 accounts of a process that has one"]);
        let early = broken(&[closed, ended]);
        assert_eq!(early, ["1 exits behind the account of their process"]);
    }
}
