//! Pins that a dead observer has left: read them, or take them over.

use std::time::{Duration, Instant};

use aya::programs::{RawTracePoint, links::PinnedLink};
use tracer_common::{
    control::Observer,
    names::{PROG_EXEC, PROG_EXIT, PROG_FORK, PROG_WHO_AM_I},
};

use super::{PinError, Pins, dir::PinDir};
use crate::{
    event::Event,
    probe::{
        ask,
        attached::Attached,
        control::SharedControl,
        decode::{DecodeUnits, decode},
        hooks::HOOKS,
        maps::{Counters, Maps},
        ring_map::RingMap,
        support::ProbeError,
    },
    units::Process,
};

/// Times the ring and the counters are read to find them in agreement while the target goes on.
const LOOKS_MAX: u32 = 64;
/// How long a record that is being written is waited for: its processor may do something else meanwhile.
const BUSY_MAX: Duration = Duration::from_millis(200);

/// The pins of one session, held.
#[derive(Debug)]
pub struct Reopened {
    dir: PinDir,
    links: Vec<PinnedLink>,
    maps: Maps,
    ring: RingMap,
    control: SharedControl,
}

/// What an observer left unread.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Unread {
    /// What the ring holds, oldest first. The last observer may have read the first of them already,
    /// and even have written them.
    pub events: Vec<Event>,
    /// Records that could not be decoded.
    pub undecodable: u64,
    /// What the kernel side counted since it was loaded. Every event counted as sent is above, or lost.
    pub counters: Counters,
    /// Who is tracked now.
    pub alive: Vec<Process>,
}

impl Reopened {
    pub(super) fn open(dir: PinDir) -> Result<Self, PinError> {
        let unusable = |source: ProbeError| PinError::Unusable {
            path: dir.path().into(),
            source: Box::new(source),
        };
        let files = dir.files()?;
        let there = |name: &str| files.iter().any(|file| file == name);
        for name in [PROG_EXIT, PROG_EXEC, PROG_FORK, PROG_WHO_AM_I] {
            if !there(name) {
                let path = dir.path().into();
                return Err(PinError::Incomplete { path, name });
            }
        }
        let mut links = Vec::new();
        for hook in HOOKS.iter().filter(|hook| there(hook.program)) {
            let link = PinnedLink::from_pin(dir.file(hook.program));
            let step = || format!("opening the pinned link {}", hook.program);
            links.push(link.map_err(|source| unusable(ProbeError::step(step(), source)))?);
        }
        let mut maps = Maps::open(|name| dir.file(name)).map_err(unusable)?;
        let ring = maps
            .take_ring()
            .and_then(|ring| {
                ring.ok_or_else(|| ProbeError::step("opening the ring", "no such map"))
            })
            .map_err(unusable)?;
        let control = maps.map_control().map_err(unusable)?;
        Ok(Self {
            dir,
            links,
            maps,
            ring,
            control,
        })
    }

    /// Reads all that the ring holds, and leaves it there: whoever comes after finds the same, until
    /// the pins are removed or the events are known to be written.
    ///
    /// # Errors
    /// When the maps cannot be read.
    pub fn unread(&mut self, units: DecodeUnits) -> Result<Unread, PinError> {
        let mut unread = Unread::default();
        let mut agree = false;
        for _ in 0..LOOKS_MAX {
            self.read_on(units, &mut unread);
            unread.counters = self.counters()?;
            // The kernel side counts behind the ring: with nothing new in it, both speak of one moment.
            agree = !self.ring.is_unread();
            if agree {
                break;
            }
        }
        if !agree {
            self.read_counted(units, &mut unread);
        }
        unread.alive = self.maps.tracked().map_err(|e| self.unusable(e))?;
        Ok(unread)
    }

    /// Reads on until everything that was counted is read, where the target leaves no moment to count
    /// in. What came after the count is read as well: a loss may be told as less than it is by that
    /// much, and never where there was none.
    fn read_counted(&mut self, units: DecodeUnits, unread: &mut Unread) {
        let end = self.ring.end();
        let until = Instant::now() + BUSY_MAX;
        loop {
            self.read_on(units, unread);
            if self.ring.is_read_to(end) || Instant::now() >= until {
                return;
            }
            std::thread::yield_now();
        }
    }

    fn read_on(&mut self, units: DecodeUnits, unread: &mut Unread) {
        while let Some(record) = self.ring.read_next() {
            match decode(record, units) {
                Ok(event) => unread.events.push(event),
                Err(_) => unread.undecodable += 1,
            }
        }
    }

    fn counters(&self) -> Result<Counters, PinError> {
        self.maps.counters().map_err(|e| self.unusable(e))
    }

    fn unusable(&self, source: ProbeError) -> PinError {
        PinError::Unusable {
            path: self.dir.path().into(),
            source: Box::new(source),
        }
    }

    /// Removes the pins, and so the programs.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn remove(self) -> Result<(), PinError> {
        self.dir.remove()
    }

    /// Makes this process the observer. What [`Self::unread`] gave is not given again. `is_same_build`: the
    /// programs come from the object that is embedded here.
    ///
    /// # Errors
    /// [`PinError::OtherNamespace`] when pids would mean something else from now on.
    pub fn take_over(self, is_same_build: bool) -> Result<Attached, PinError> {
        let observer = self.who_am_i()?;
        if !self.control.is_namespace_of(&observer) {
            let path = self.dir.path().into();
            return Err(PinError::OtherNamespace { path });
        }
        self.control.set_observer(&observer);
        let pins = Pins::new(self.dir, self.links);
        Ok(Attached::taken_over(
            self.maps,
            self.ring,
            self.control,
            observer,
            pins,
            is_same_build,
        ))
    }

    fn who_am_i(&self) -> Result<Observer, PinError> {
        let program = RawTracePoint::from_pin(self.dir.file(PROG_WHO_AM_I))
            .map_err(|source| ProbeError::step("opening the program who_am_i", source));
        program
            .and_then(|program| ask::who_am_i(&program, &self.control))
            .map_err(|source| self.unusable(source))
    }
}
