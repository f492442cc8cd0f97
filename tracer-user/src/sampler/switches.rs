//! Context switches of a whole process, from those of its threads.
//!
//! `/proc` counts a thread's switches only while it lives: what an ended thread had is in no file. So
//! the last count seen of each thread is kept after its end, and the sum never falls; what a thread
//! did after it was last seen, and threads that no row saw, are missing. The row is a lower bound that
//! way (the exit record is exact). One case can count a thread twice: an exec by a thread that is not
//! the leader gives that thread the leader's number, which `/proc` does not show. Pure.

use crate::{procfs::TaskSwitches, units::Tgid};

/// Switches of one process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Switches {
    /// Threads gave the processor up.
    pub voluntary: u64,
    /// The processor was taken from them.
    pub involuntary: u64,
}

impl Switches {
    fn add(&mut self, task: &TaskSwitches) {
        self.voluntary = self.voluntary.saturating_add(task.voluntary);
        self.involuntary = self.involuntary.saturating_add(task.involuntary);
    }

    fn max(self, other: Self) -> Self {
        Self {
            voluntary: self.voluntary.max(other.voluntary),
            involuntary: self.involuntary.max(other.involuntary),
        }
    }
}

/// Adds up the threads of one process, the ended ones as last seen.
#[derive(Debug, Default)]
pub struct SwitchLedger {
    living: Vec<TaskSwitches>,
    ended: Switches,
    total: Switches,
}

impl SwitchLedger {
    /// Takes the threads living now, sorted by tid, and gives the sum for the process.
    pub fn update(&mut self, leader: Tgid, now: &[TaskSwitches]) -> Switches {
        let find = |tid| {
            now.binary_search_by_key(&tid, |task| task.tid)
                .ok()
                .map(|index| &now[index])
        };
        let replaced = |old: &TaskSwitches| {
            find(old.tid).is_some_and(|new| {
                new.voluntary < old.voluntary || new.involuntary < old.involuntary
            })
        };
        // Another thread took the leader's place by an exec: it is one of those that seem to have
        // ended, so of them all only the old leader's share is surely not counted again.
        let new_leader = self
            .living
            .iter()
            .any(|old| old.tid == leader.0 && replaced(old));
        for old in &self.living {
            let ended = find(old.tid).is_none();
            if replaced(old) || (ended && !new_leader) {
                self.ended.add(old);
            }
        }
        self.living.clear();
        self.living.extend_from_slice(now);
        let mut sum = self.ended;
        for task in now {
            sum.add(task);
        }
        self.total = self.total.max(sum);
        self.total
    }

    /// Takes the sum for the process from who has counted all its threads, the ended ones too.
    pub fn whole(&mut self, sum: Switches) -> Switches {
        self.total = self.total.max(sum);
        self.total
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn task(tid: u32, voluntary: u64) -> TaskSwitches {
        TaskSwitches {
            tid,
            voluntary,
            involuntary: 2 * voluntary,
            in_disk_sleep: false,
        }
    }

    fn totals(rows: &[&[TaskSwitches]]) -> Vec<u64> {
        let mut ledger = SwitchLedger::default();
        rows.iter()
            .map(|row| {
                let sum = ledger.update(Tgid(1), row);
                assert_eq!(sum.involuntary, 2 * sum.voluntary);
                sum.voluntary
            })
            .collect()
    }

    #[test]
    fn a_thread_that_ended_keeps_its_last_count() {
        let rows = totals(&[
            &[task(1, 5), task(2, 10), task(3, 20)],
            &[task(1, 6), task(3, 21)],
            &[task(1, 7)],
        ]);
        assert_eq!(rows, [35, 37, 38]);
    }

    #[test]
    fn a_thread_number_in_use_again_is_another_thread() {
        assert_eq!(
            totals(&[&[task(1, 5), task(2, 10)], &[task(1, 5), task(2, 3)]]),
            [15, 18]
        );
    }

    #[test]
    fn an_exec_by_another_thread_is_not_counted_twice() {
        // Thread 2 had 40, execs, and goes on as the leader with 41; the old leader had 50.
        assert_eq!(
            totals(&[&[task(1, 50), task(2, 40)], &[task(1, 41)]]),
            [90, 91]
        );
    }

    proptest! {
        #[test]
        fn the_sum_never_falls(
            rows in proptest::collection::vec(
                proptest::collection::btree_map(1_u32..6, 0_u64..100, 0..5), 1..12)
        ) {
            let mut ledger = SwitchLedger::default();
            let mut last = Switches::default();
            for row in rows {
                let row: Vec<_> = row.into_iter().map(|(tid, count)| task(tid, count)).collect();
                let sum = ledger.update(Tgid(1), &row);
                prop_assert!(sum.voluntary >= last.voluntary);
                prop_assert!(sum.voluntary >= row.iter().map(|task| task.voluntary).sum());
                last = sum;
            }
        }
    }
}
