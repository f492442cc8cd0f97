//! An observer that goes on where another stopped.

use std::time::{Duration, Instant};

use super::{DRAIN_MAX, Follower};
use crate::{
    event::Event,
    observe::{Audience, begin::Session, kernel::Kernel, past::Past},
    procfs::ProcRoot,
    session::journal::record::{Body, Record},
    units::Process,
};

/// How long the disk may take for a part of what the kernel kept, before the rest is left in the ring.
const PATIENCE: Duration = Duration::from_secs(10);

impl<'a> Follower<'a> {
    /// Knows what the journals say; `subject` is whose end will end the session.
    pub(in crate::observe) fn resume(
        session: Session,
        proc: ProcRoot,
        audience: &'a mut dyn Audience,
        past: Past,
        subject: Process,
    ) -> Self {
        let mut follower = Self::expecting(session, proc, None, audience);
        follower.tree = past.tree;
        follower.resolver = past.resolver;
        follower.root = Some(subject);
        follower.target = past.target;
        follower.target_ended = past.target_ended;
        follower.wrappers = past.wrappers;
        follower.unresolved = past.unresolved;
        follower.restore_anomalies(&past.anomalies);
        follower
    }

    /// Takes what happened without an observer, then follows on. `first` says what is new about it.
    pub(in crate::observe) fn go_on(
        &mut self,
        kernel: Kernel,
        first: Vec<Record>,
        (rest, losses): (Vec<Event>, Vec<Record>),
    ) {
        self.audience.began(self.session.recorder.path());
        self.records.extend(first);
        kernel.urgent_exec(!self.is_settled());
        let target = self.target.filter(|_| !self.target_ended);
        let init = |process: Option<Process>| process.map_or(0, |process| process.key.init);
        kernel.watch([init(self.root), init(target)]);
        self.kernel = Some(kernel);
        let mut rest = rest.into_iter().peekable();
        while rest.peek().is_some() {
            for event in rest.by_ref().take(DRAIN_MAX) {
                self.take(event);
            }
            self.hand_over();
            // The ring still has them all, and may be larger than what waits for the disk may be.
            let _all = self.session.recorder.flush(Instant::now() + PATIENCE);
        }
        // The search may have ended without its last word having been written.
        let found = self
            .resolver
            .as_ref()
            .and_then(|resolver| resolver.pinned());
        if let Some(pinned) = found.filter(|_| !self.is_settled()).cloned() {
            self.pin(&pinned);
        }
        self.records.extend(losses);
        self.hand_over();
        if let Some(kernel) = &mut self.kernel {
            kernel.handed_over(self.session.recorder.progress().accepted);
        }
    }

    /// A record of the present moment.
    pub(in crate::observe) fn now(&self, body: Body) -> Record {
        Record {
            t: self.clock_now(),
            body,
        }
    }
}
