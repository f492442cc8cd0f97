//! The search for the workload: the resolver is shown what there is, and its answer is recorded.

use std::{os::unix::ffi::OsStringExt, time::Duration};

use super::Follower;
use crate::{
    session::{
        enrollment::Enrollment,
        journal::record::{Body, Record, TargetBody},
    },
    target::{Existing, Miss, Pinned, Resolver},
};

impl Follower<'_> {
    /// Shows the resolver what was there before tracking began.
    pub(in crate::observe) fn look_at_existing(&mut self) {
        let Some(resolver) = &mut self.resolver else {
            return;
        };
        for node in self.tree.iter() {
            let start = node.process.key.start;
            let dir = self.sampler.root().process(node.process.tgid).ok();
            // One that ended since then is still what its name says; its pid may be another's by now.
            let dir = dir.filter(|dir| {
                let found = dir.identity();
                found.is_ok_and(|found| found.start == self.session.ticks(start))
            });
            let dir = dir.map(|dir| dir.deputy().unwrap_or(dir));
            let exe = dir.as_ref().and_then(|dir| dir.exe().ok());
            resolver.existing(Existing {
                process: node.process,
                parent_key: node.parent,
                comm: node.comm,
                exe: exe.map(|exe| exe.path.into_os_string().into_vec()),
                argv: dir.and_then(|dir| dir.cmdline().ok()).unwrap_or_default(),
                start,
            });
        }
        if let Some(pinned) = resolver.settle().cloned() {
            self.pin(&pinned);
        }
    }

    /// Decides on what there is, or gives the search up.
    pub(in crate::observe) fn settle_or_give_up(
        &mut self,
        miss: Miss,
        waited: Duration,
    ) -> Option<String> {
        let settled = self.resolver.as_mut().and_then(Resolver::settle).cloned();
        match settled {
            Some(pinned) => {
                self.pin(&pinned);
                None
            }
            None => self.give_up(miss, waited),
        }
    }

    /// Execs no longer need to be reported at once.
    pub(in crate::observe) fn relax(&self) {
        if let Some(kernel) = &self.kernel {
            kernel.urgent_exec(false);
        }
    }

    /// Whether the search for the workload is over, one way or the other.
    pub(in crate::observe) fn is_settled(&self) -> bool {
        self.target.is_some() || self.unresolved
    }

    pub(super) fn pin(&mut self, pinned: &Pinned) {
        let process = pinned.target.process();
        self.target = Some(process);
        self.look_at(process);
        let above = self
            .tree
            .ancestors(process.key)
            .map(|node| node.process.key);
        self.wrappers.extend(above.collect::<Vec<_>>());
        let skipped = pinned.skipped.iter().filter(|skipped| skipped.wrapper);
        self.wrappers
            .extend(skipped.map(|skipped| skipped.process.key));
        self.wrappers.remove(&process.key);
        if let Some(kernel) = &self.kernel {
            kernel.urgent_exec(false);
            kernel.watch([self.root.map_or(0, |root| root.key.init), process.key.init]);
        }
        let now = self.clock_now();
        let latency = now.since(pinned.target.at());
        let body = self.session.pinned(pinned, latency);
        self.watch_target(&body);
        self.records.push(Record {
            t: now,
            body: Body::Target(Box::new(body)),
        });
        let enrollment = self.session.enrollment(Some(pinned), None);
        self.enroll(enrollment);
        self.hand_over();
        self.tick(0);
    }

    fn enroll(&mut self, enrollment: Enrollment) {
        self.hand_over();
        // False after a pin that came late, when the session is enrolled as unresolved already.
        let _first = self.session.recorder.enroll(enrollment);
    }

    /// Gives the search for the workload up: it stays without one.
    pub(in crate::observe) fn give_up(&mut self, miss: Miss, waited: Duration) -> Option<String> {
        if self.is_settled() {
            return None;
        }
        let resolver = self.resolver.as_mut()?;
        if let Some(pinned) = resolver.conclude().cloned() {
            self.pin(&pinned);
            return None;
        }
        let mut failure = resolver.failure(miss, waited);
        for candidate in &mut failure.candidates {
            self.session.redactor().argv(&mut candidate.argv);
        }
        let reason = failure.to_string();
        self.unresolved = true;
        let t = self.clock_now();
        let body = TargetBody::Unresolved {
            reason: reason.clone(),
        };
        self.records.push(Record {
            t,
            body: Body::Target(Box::new(body)),
        });
        let enrollment = self.session.enrollment(None, Some(&reason));
        self.enroll(enrollment);
        Some(reason)
    }
}
