//! The kernel side while it runs: its ring, its switches and its counters, as the main path uses them.

use std::collections::VecDeque;

use tracer_common::event::Followed;

use super::{
    error::chain,
    losses::{Told, UNDECODABLE, by_reason},
};
use crate::{
    event::{Event, Spare},
    probe::{
        attached::{Adoption, Attached, Counters},
        control::SharedControl,
        decode::{DecodeUnits, decode_into, followed},
        follow::Follow,
        loader::{Loader, Settings},
        offsets::Degraded,
        ring::{KernelRing, RingReader},
        snapshot::{CAPABILITY, INSTEAD},
        stats::{ByProgram, Counting},
        support::ProbeError,
    },
    snapshot::kernel::KernelRow,
    units::{BootNs, Process, Tgid},
};

/// A running kernel side.
pub(super) struct Kernel {
    attached: Attached,
    control: SharedControl,
    ring: RingReader<KernelRing, SharedControl>,
    units: DecodeUnits,
    /// For events to come.
    pub(super) spare: Spare,
    told: Told,
    /// Records that could not be decoded: another build's, or damaged.
    undecodable: u64,
    /// Places in the ring before which everything was handed over, oldest first.
    marks: VecDeque<Mark>,
    /// The last of them, also when it is gone.
    marked: usize,
    broken: bool,
    unsnapped: Option<String>,
    was_asked_for_rows: bool,
}

/// How far the ring had been read when the journal had taken in so many records.
struct Mark {
    accepted: u64,
    position: usize,
}

/// Loads and attaches the kernel side, for a root that is held or for one that lives. Needs no event loop
/// yet.
pub(super) fn load(ring_bytes: u32, is_held: bool) -> Result<Attached, ProbeError> {
    let settings = Settings {
        ring_bytes,
        adopts_trees: !is_held,
        ..Settings::default()
    };
    Loader::new(settings).load()?.attach()
}

/// Loads and attaches the kernel side for trees that begin by themselves.
pub(super) fn load_following(ring_bytes: u32) -> Result<Attached, ProbeError> {
    let settings = Settings {
        ring_bytes,
        follows: true,
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
        let mut ring = RingReader::new(ring, control.clone())
            .map_err(|source| ProbeError::step("reading the ring buffer", source))?;
        if attached.is_pinned() {
            ring.keep();
        }
        let marked = ring.position();
        Ok(Self {
            attached,
            control,
            ring,
            units: DecodeUnits { page_kb },
            spare: Spare::default(),
            told: Told::default(),
            undecodable: 0,
            marks: VecDeque::new(),
            marked,
            broken: false,
            unsnapped: None,
            was_asked_for_rows: false,
        })
    }

    /// Goes on reading where another observer stopped; `told`: the losses that the journals know of.
    pub(super) fn resume(
        attached: Attached,
        units: DecodeUnits,
        told: Told,
    ) -> Result<Self, ProbeError> {
        let kernel = Self::new(attached, units.page_kb)?;
        Ok(Self {
            told,
            // What the other has read was not marked by anybody.
            marked: usize::MAX,
            ..kernel
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
        self.drain_each(limit, |event, _| events.push(event))
    }

    /// Hands over at most `limit` events, each with why a tree begins with it, if one does. True when
    /// there are more.
    pub(super) fn drain_each(
        &mut self,
        limit: usize,
        mut take: impl FnMut(Event, Option<Followed>),
    ) -> bool {
        let (units, spare, undecodable) = (self.units, &mut self.spare, &mut self.undecodable);
        let drained = self
            .ring
            .drain(limit, |record| match decode_into(spare, record, units) {
                Ok(event) => take(event, followed(record)),
                Err(_) => *undecodable += 1,
            });
        self.relieve();
        drained.more
    }

    /// From now on these are followed, and nothing else.
    pub(super) fn follow(&mut self, follow: &Follow) -> Result<Adoption, ProbeError> {
        self.attached.follow(follow)
    }

    /// Looks again for those who are to be followed.
    pub(super) fn follow_again(&mut self) -> Result<Adoption, ProbeError> {
        self.attached.follow_again()
    }

    /// What this kernel lacks for following.
    pub(super) fn follow_lacks(&self) -> Vec<Degraded> {
        self.attached.follow_lacks()
    }

    /// How many cgroups have been made, wrapping around.
    pub(super) fn cgroups_made(&self) -> u32 {
        self.control.cgroups_made()
    }

    /// What is read stays in the ring until it is written.
    pub(super) fn is_pinned(&self) -> bool {
        self.attached.is_pinned()
    }

    /// The journal has taken in `accepted` records, and with them everything that was read so far.
    pub(super) fn handed_over(&mut self, accepted: u64) {
        let position = self.ring.position();
        if position != self.marked {
            self.marked = position;
            self.marks.push_back(Mark { accepted, position });
        }
    }

    /// So many records are in the journal's file: what they came from may go. An observer that is
    /// killed between writing and this leaves events that are in ring and journal; recovery knows
    /// them by their time and process.
    pub(super) fn written(&mut self, written: u64) {
        while let Some(mark) = self.marks.front().filter(|mark| mark.accepted <= written) {
            self.ring.release(mark.position);
            self.marks.pop_front();
        }
    }

    /// Keeping must not cost new events their room: what takes more than half of the ring goes
    /// although it is still on its way to the file. Killed now, we lose it, and the kernel side's
    /// count of what it sent says how much.
    fn relieve(&mut self) {
        while self.is_pinned() && self.ring.is_crowded() {
            let oldest = self.marks.pop_front().map(|mark| mark.position);
            self.ring
                .release(oldest.unwrap_or_else(|| self.ring.position()));
        }
    }

    /// Rows of those that are well alive, as the kernel side writes them down. True when it did. Once it
    /// has failed, all is read from `/proc`; and so is the first time: until the kernel has verified the
    /// program for it, tens of milliseconds later, a short-lived tree is gone.
    pub(super) fn snapshot(&mut self, rows: &mut Vec<KernelRow>) -> bool {
        if !std::mem::replace(&mut self.was_asked_for_rows, true) {
            return false;
        }
        self.attached.snapshot(rows).unwrap_or_else(|error| {
            self.unsnapped = Some(format!("{CAPABILITY}: {INSTEAD}: {}", chain(&error)));
            rows.clear();
            false
        })
    }

    /// What is lost where rows of the kernel side cannot be had although they should; told once.
    pub(super) fn why_no_rows(&mut self) -> Option<String> {
        self.unsnapped.take()
    }

    /// The pins stay when this goes: the session has no end.
    pub(super) fn leave_pins(&mut self) {
        self.attached.leave_pins();
    }

    /// Who is tracked now; `None` when the map cannot be read.
    pub(super) fn tracked(&self) -> Option<Vec<Process>> {
        self.attached.tracked().ok()
    }

    /// When the process that is tracked under this number, of the initial namespace, started.
    pub(super) fn start_of(&self, init: u32) -> Option<BootNs> {
        self.attached.start_of(init)
    }

    /// What was sent and lost so far, where that can be read.
    pub(super) fn counters(&self) -> Option<Counters> {
        self.attached.losses().ok()
    }

    /// Makes the kernel count the runs of the programs; why it does not.
    pub(super) fn count_runs(&self) -> Result<Counting, String> {
        self.attached.count_runs()
    }

    /// What each program took meanwhile.
    pub(super) fn runs_since(&self, counting: Counting) -> Result<ByProgram, String> {
        self.attached.runs_since(counting)
    }

    /// What was lost since the last call, by reason.
    pub(super) fn new_losses(&mut self) -> Vec<(String, u64)> {
        // When they cannot be read now, the next call reads the same counters.
        let mut losses = match self.attached.losses() {
            Ok(now) => by_reason(&now),
            Err(_) => Vec::new(),
        };
        losses.push((UNDECODABLE.to_owned(), self.undecodable));
        self.told.news(losses)
    }
}
