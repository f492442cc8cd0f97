//! One notifier at work: its inbox, its thread, its counters.

use std::{path::Path, sync::Arc, thread::JoinHandle, time::Instant};

use super::{
    NotifyError, Say, alertmanager,
    board::Board,
    count::{Count, Counters},
    join_until,
    plan::Plan,
    queue::Queue,
    shared::{Filing, Shared},
    spawn, worker,
};
use crate::config::notify::Channel;

/// It.
pub(super) struct Running {
    pub(super) plan: Plan,
    pub(super) inbox: Arc<dyn Filing>,
    count: Arc<Count>,
    thread: JoinHandle<()>,
}

impl Running {
    /// Starts it, with what an earlier run has left in `queues`.
    pub(super) fn start(plan: Plan, queues: &Path, say: &Say) -> Result<Self, NotifyError> {
        let name = plan.settings.name.clone();
        // A queue and a board are different things, whatever the name.
        let dir = queues.join(format!("{name}.{}", plan.channel()));
        let failed = |source| NotifyError::Queue {
            name: name.clone(),
            dir: dir.clone(),
            source,
        };
        let theirs = plan.clone();
        let (inbox, count, thread): (Arc<dyn Filing>, _, _) = match plan.settings.channel {
            Channel::Alertmanager(_) => {
                let (board, unreadable) = Board::open(&dir, plan.settings.queue).map_err(failed)?;
                let shared = Arc::new(Shared::new(board, &name, say));
                if unreadable > 0 {
                    shared.count.dropped(unreadable as u64);
                    shared.tell(&format!("{unreadable} alerts cannot be read: dropped"));
                }
                let own = Arc::clone(&shared);
                let thread = spawn(&name, move || alertmanager::run(&own, theirs))?;
                (Arc::clone(&shared) as _, Arc::clone(&shared.count), thread)
            }
            Channel::Webhook(_) | Channel::Command(_) => {
                let queue = Queue::open(&dir, plan.settings.queue).map_err(failed)?;
                let shared = Arc::new(Shared::new(queue, &name, say));
                let own = Arc::clone(&shared);
                let thread = spawn(&name, move || worker::run(&own, theirs))?;
                (Arc::clone(&shared) as _, Arc::clone(&shared.count), thread)
            }
        };
        Ok(Self {
            plan,
            inbox,
            count,
            thread,
        })
    }

    pub(super) fn counters(&self) -> Counters {
        self.count
            .read(&self.plan.settings.name, self.plan.channel())
    }

    pub(super) fn dropped(&self, count: u64) {
        self.count.dropped(count);
    }

    /// Nothing of it runs any more.
    pub(super) fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for its end, which [`Filing::stop`] has asked for.
    pub(super) fn join(self, until: Instant) -> Counters {
        let (name, channel) = (self.plan.settings.name.clone(), self.plan.channel());
        // One that is not done in time is in an attempt with a deadline of its own; what it has not told
        // is on disk.
        let _done = join_until(self.thread, until);
        self.count.read(&name, channel)
    }
}
