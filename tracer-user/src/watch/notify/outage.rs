//! Pauses between attempts, and one line for an outage instead of one an attempt.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use super::shared::{Inbox, Shared};

/// The first pause.
const FIRST: Duration = Duration::from_secs(1);

/// Attempts that fail, one after the other.
pub(super) struct Outage {
    longest: Duration,
    pauses: Option<ExponentialBackoff>,
}

impl Outage {
    pub(super) fn new(longest: Duration) -> Self {
        Self {
            longest,
            pauses: None,
        }
    }

    /// Another one failed; how long to wait. The first of an outage is told.
    pub(super) fn failed<T: Inbox>(&mut self, shared: &Shared<T>, why: &str) -> Duration {
        shared.count.failed();
        let longest = self.longest;
        let pauses = self.pauses.get_or_insert_with(|| {
            shared.tell(&format!("{why}; it is tried again"));
            ExponentialBuilder::default()
                .with_min_delay(FIRST.min(longest))
                .with_max_delay(longest)
                .with_jitter()
                .without_max_times()
                .build()
        });
        pauses.next().unwrap_or(longest).min(longest * 2)
    }

    /// One worked.
    pub(super) fn over<T: Inbox>(&mut self, shared: &Shared<T>) {
        if self.pauses.take().is_some() {
            shared.tell("it works again");
        }
    }
}
