//! What the kernel side could not deliver, as the `loss` records name it. Pure.

use std::collections::BTreeMap;

use tracer_common::event::{KIND_ACCOUNT, KIND_EXEC, KIND_EXIT, KIND_FORK, KIND_OOM, KIND_SIGNAL};

use crate::{probe::attached::Counters, session::summary::ACCOUNTS_LOST};

/// Records that could not be decoded: another build's, or damaged.
pub(super) const UNDECODABLE: &str = "undecodable";
/// Events that reached the ring and that neither the ring nor the journal has.
pub(super) const UNRECORDED: &str = "unrecorded";

/// Kinds of events, and what they are called.
pub(super) const KINDS: [(u16, &str); 5] = [
    (KIND_FORK, "fork"),
    (KIND_EXEC, "exec"),
    (KIND_EXIT, "exit"),
    (KIND_SIGNAL, "signal"),
    (KIND_OOM, "oom"),
];

/// Losses that the journal has been told of, by reason.
#[derive(Debug, Clone, Default)]
pub(super) struct Told(BTreeMap<String, u64>);

impl Told {
    /// The journal has this `loss` record.
    pub(super) fn add(&mut self, reason: &str, count: u64) {
        let told = self.0.entry(reason.to_owned()).or_default();
        *told = told.saturating_add(count);
    }

    /// How many it has been told of, for this reason.
    pub(super) fn of(&self, reason: &str) -> u64 {
        self.0.get(reason).copied().unwrap_or(0)
    }

    /// What is to be told, and from now on has been: how much of each reason has come on top.
    pub(super) fn news(
        &mut self,
        now: impl IntoIterator<Item = (String, u64)>,
    ) -> Vec<(String, u64)> {
        let mut news = Vec::new();
        for (reason, count) in now {
            let more = count.saturating_sub(self.of(&reason));
            if more > 0 {
                self.add(&reason, more);
                news.push((reason, more));
            }
        }
        news
    }
}

/// What the kernel side counted as lost, by reason.
pub(super) fn by_reason(counters: &Counters) -> Vec<(String, u64)> {
    let ring_full = |(kind, name): (u16, &str)| {
        let count = counters.ring_full.get(usize::from(kind)).copied();
        (format!("ring_full_{name}"), count.unwrap_or(0))
    };
    let mut losses: Vec<_> = KINDS.into_iter().map(ring_full).collect();
    let accounts = [
        counters.ring_full[usize::from(KIND_ACCOUNT)],
        counters.accounts_full,
    ];
    let accounts = ACCOUNTS_LOST.map(str::to_owned).into_iter().zip(accounts);
    losses.extend(accounts);
    losses.push(("map_full".to_owned(), counters.map_full));
    losses.push(("execs_missed".to_owned(), counters.execs_missed));
    losses.push(("hooks_skipped".to_owned(), counters.skipped));
    losses
}

/// Whether something is unknown for this loss. Without its account a process is known all the same, as of its
/// exit.
pub(super) fn is_event(reason: &str) -> bool {
    !ACCOUNTS_LOST.contains(&reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_loss_is_told_once_also_by_the_next_observer() {
        let mut counters = Counters::default();
        counters.ring_full[usize::from(KIND_EXIT)] = 3;
        let mut told = Told::default();
        // What the journal of the observer before has.
        told.add("ring_full_exit", 1);
        let exit = |count| vec![("ring_full_exit".to_owned(), count)];
        assert_eq!(told.news(by_reason(&counters)), exit(2));
        assert_eq!(told.news(by_reason(&counters)), []);
        counters.ring_full[usize::from(KIND_EXIT)] = 7;
        assert_eq!(told.news(by_reason(&counters)), exit(4));
        assert_eq!(told.of("ring_full_exit"), 7);
    }
}
