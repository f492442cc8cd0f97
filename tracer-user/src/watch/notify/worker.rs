//! Tells one notifier of its alerts, oldest first, each until it is told, refused or too old.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{
    count::Count,
    failure::Failure,
    outage::Outage,
    plan::Plan,
    queue::{Front, Put, Queue},
    shared::{Inbox, Shared},
};
use crate::watch::alert::Alert;

/// A way to tell.
pub(super) trait Deliver: Send {
    /// Tells one alert; returns within that time.
    fn deliver(&mut self, alert: &Alert, within: Duration) -> Result<(), Failure>;
}

impl Inbox for Queue {
    fn file(&mut self, alert: &Alert, count: &Count) -> Option<String> {
        match self.put(alert) {
            Put::Kept => None,
            Put::InMemory(error) => Some(format!(
                "its queue cannot be written ({error}): a restart forgets what waits"
            )),
            Put::Full => {
                count.dropped(1);
                let len = self.len();
                Some(format!("its queue is full ({len}): alerts are dropped"))
            }
        }
    }

    fn limit(&mut self, capacity: usize) {
        self.set_capacity(capacity);
    }

    fn waiting(&self) -> usize {
        self.len()
    }
}

/// Works until it is told to stop.
pub(super) fn run(shared: &Shared<Queue>, mut plan: Plan) {
    let mut deliver = plan.way();
    let mut outage = Outage::new(plan.settings.retry_max);
    loop {
        let Some(front) = shared.wait(None, |queue| queue.front()) else {
            return;
        };
        if let Some(other) = shared.new_plan() {
            plan = other;
            deliver = plan.way();
            outage = Outage::new(plan.settings.retry_max);
        }
        let (number, alert) = match front {
            Front::Alert(number, alert) => (number, alert),
            Front::Unreadable(number, error) => {
                drop_it(
                    shared,
                    number,
                    &format!("a queued alert cannot be read: {error}"),
                );
                continue;
            }
        };
        match deliver.deliver(&alert, shared.within(plan.settings.timeout)) {
            Ok(()) => {
                shared.count.delivered(1);
                done(shared, number);
                outage.over(shared);
            }
            Err(Failure::Refused(why)) => {
                drop_it(shared, number, &format!("an alert was refused: {why}"));
            }
            Err(Failure::Again(why)) => {
                let pause = outage.failed(shared, &why);
                if too_old(&alert, plan.settings.keep) {
                    drop_it(shared, number, "an alert could not be told for too long");
                } else if !shared.pause(pause) {
                    return;
                }
            }
        }
    }
}

fn too_old(alert: &Alert, keep: Duration) -> bool {
    let age = Timestamp::now().duration_since(alert.at);
    SignedDuration::try_from(keep).is_ok_and(|keep| age > keep)
}

fn drop_it(shared: &Shared<Queue>, number: u64, why: &str) {
    shared.count.dropped(1);
    shared.tell(&format!("{why}: dropped"));
    done(shared, number);
}

fn done(shared: &Shared<Queue>, number: u64) {
    if let Err(error) = shared.change(|queue| queue.done(number)) {
        shared.tell(&format!(
            "an alert stays in its queue and is told again after a restart: {error}"
        ));
    }
}
