//! The kernel side while it runs: its ring, its switches and its counters, as the main path uses them.

use tracer_common::event::{KIND_EXEC, KIND_EXIT, KIND_FORK, KIND_OOM, KIND_SIGNAL};

use crate::{
    event::Event,
    probe::{
        attached::{Adoption, Attached, Counters},
        control::SharedControl,
        decode::{DecodeUnits, decode},
        loader::{Loader, Settings},
        offsets::Degraded,
        ring::{KernelRing, RingReader},
        support::ProbeError,
    },
    units::Tgid,
};

/// A running kernel side.
pub(super) struct Kernel {
    attached: Attached,
    control: SharedControl,
    ring: RingReader<KernelRing, SharedControl>,
    units: DecodeUnits,
    counted: Counters,
    /// Records that could not be decoded: another build's, or damaged.
    undecodable: u64,
    undecodable_told: u64,
    broken: bool,
}

/// Loads and attaches the kernel side. Needs no event loop yet.
pub(super) fn load(ring_bytes: u32) -> Result<Attached, ProbeError> {
    let settings = Settings {
        ring_bytes,
        ..Settings::default()
    };
    Loader::new(settings).load()?.attach()
}

impl Kernel {
    /// Starts reading. Must be called in the event loop.
    pub(super) fn new(mut attached: Attached, page_kb: u64) -> Result<Self, ProbeError> {
        let control = attached.control();
        let ring = attached.take_ring()?.ok_or_else(|| {
            ProbeError::step("reading the ring buffer", "it has been taken already")
        })?;
        let ring = RingReader::new(ring, control.clone())
            .map_err(|source| ProbeError::step("reading the ring buffer", source))?;
        Ok(Self {
            attached,
            control,
            ring,
            units: DecodeUnits { page_kb },
            counted: Counters::default(),
            undecodable: 0,
            undecodable_told: 0,
            broken: false,
        })
    }

    /// Starts tracking a process and all that lives below it. `is_held`: it has done nothing yet.
    pub(super) fn adopt(&mut self, root: Tgid, is_held: bool) -> Result<Adoption, ProbeError> {
        self.control.set_urgent_exec(true);
        if is_held {
            self.attached.adopt_held(root)
        } else {
            self.attached.adopt(root)
        }
    }

    /// What this kernel cannot tell.
    pub(super) fn degraded(attached: &Attached) -> Vec<String> {
        let text = |degraded: &Degraded| format!("{}: {}", degraded.name, degraded.why);
        attached.degraded().iter().map(text).collect()
    }

    /// Whether each exec is to be reported at once.
    pub(super) fn urgent_exec(&self, urgent: bool) {
        self.control.set_urgent_exec(urgent);
    }

    /// Whose end is to be reported at once, by tgid in the initial namespace; 0 for nobody.
    pub(super) fn watch(&self, tgids: [u32; 2]) {
        self.control.set_watched(tgids);
    }

    /// Completes when there may be events.
    pub(super) async fn wait(&mut self) {
        if self.broken || self.ring.wait().await.is_err() {
            // Without the event loop the ring can still be emptied, by looking now and then.
            self.broken = true;
            tokio::time::sleep(crate::probe::ring::POLL_EVERY).await;
        }
    }

    /// Appends at most `limit` events. True when there are more.
    pub(super) fn drain(&mut self, limit: usize, events: &mut Vec<Event>) -> bool {
        let (units, undecodable) = (self.units, &mut self.undecodable);
        let drained = self
            .ring
            .drain(limit, |record| match decode(record, units) {
                Ok(event) => events.push(event),
                Err(_) => *undecodable += 1,
            });
        drained.more
    }

    /// What was lost since the last call, by reason.
    pub(super) fn new_losses(&mut self) -> Vec<(String, u64)> {
        let mut losses = Vec::new();
        // The next call reads the same counters: nothing is lost by missing them once.
        if let Ok(now) = self.attached.losses() {
            let before = self.counted;
            let kinds = [
                (KIND_FORK, "fork"),
                (KIND_EXEC, "exec"),
                (KIND_EXIT, "exit"),
                (KIND_SIGNAL, "signal"),
                (KIND_OOM, "oom"),
            ];
            for (kind, name) in kinds {
                let at = usize::from(kind);
                let count = now.ring_full[at].saturating_sub(before.ring_full[at]);
                losses.push((format!("ring_full_{name}"), count));
            }
            losses.push((
                "map_full".to_owned(),
                now.map_full.saturating_sub(before.map_full),
            ));
            losses.push((
                "execs_missed".to_owned(),
                now.execs_missed.saturating_sub(before.execs_missed),
            ));
            losses.push((
                "hooks_skipped".to_owned(),
                now.skipped.saturating_sub(before.skipped),
            ));
            self.counted = now;
        }
        losses.push((
            "undecodable".to_owned(),
            self.undecodable - self.undecodable_told,
        ));
        self.undecodable_told = self.undecodable;
        losses.retain(|&(_, count)| count > 0);
        losses
    }
}
