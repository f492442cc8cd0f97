//! Pinning what is attached.

use std::path::Path;

use aya::{Ebpf, programs::links::PinnedLink};
use tracer_common::names::PROG_WHO_AM_I;

use super::Attached;
use crate::probe::{
    ask, hooks,
    offsets::Degraded,
    pin::{self, PinDir, PinError, Pins},
};

impl Attached {
    /// Pins everything for the session `session` in the directory `bpffs`, so that it goes on when
    /// this process is killed. `state` is where the session will be found. To be called before
    /// anything is tracked.
    ///
    /// # Errors
    /// [`PinError`]: nothing is pinned then, and everything else is as before.
    pub fn pin(&mut self, bpffs: &Path, session: &str, state: &Path) -> Result<(), PinError> {
        let dir = pin::make(bpffs, session)?;
        match dir.say_whose(state).and_then(|()| self.pin_into(&dir)) {
            Ok(links) => {
                self.pins = Some(Pins::new(dir, links));
                Ok(())
            }
            Err(error) => {
                let _kept = dir.remove();
                Err(error)
            }
        }
    }

    fn pin_into(&mut self, dir: &PinDir) -> Result<Vec<PinnedLink>, PinError> {
        for (name, map) in self.maps.named() {
            map.pin(dir.file(name))
                .map_err(|source| dir.refused(name, source))?;
        }
        if let Some(ebpf) = &mut self.ebpf {
            pin_who_am_i(ebpf, dir)?;
        }
        let mut pinned = Vec::new();
        let mut failed = None;
        for (program, link) in std::mem::take(&mut self.links) {
            match link.pin(dir.file(program)) {
                Ok(link) => pinned.push((program, link)),
                // The link is gone with the attempt. Nothing is tracked yet, so another is as good.
                Err(source) => {
                    failed.get_or_insert(dir.refused(program, source));
                    self.attach_again(program);
                }
            }
        }
        let Some(error) = failed else {
            return Ok(pinned.into_iter().map(|(_, link)| link).collect());
        };
        let kept = pinned
            .into_iter()
            .map(|(program, link)| (program, link.into()));
        self.links.extend(kept);
        Err(error)
    }

    fn attach_again(&mut self, program: &'static str) {
        let Some(ebpf) = &mut self.ebpf else { return };
        match hooks::attach(ebpf, program) {
            Ok(link) => self.links.push((program, link)),
            Err(error) => self.degraded.push(Degraded {
                name: program.to_owned(),
                why: error.to_string(),
            }),
        }
    }

    /// Whether it goes on without this process.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.pins.is_some()
    }

    /// Leaves the pins where they are when this is dropped: the session has no end yet, and whoever
    /// recovers it will want them.
    pub fn leave_pins(&mut self) {
        if let Some(pins) = &mut self.pins {
            pins.leave();
        }
    }
}

/// Pins the program that says who runs it.
fn pin_who_am_i(ebpf: &mut Ebpf, dir: &PinDir) -> Result<(), PinError> {
    let name = PROG_WHO_AM_I;
    let program = ask::program_who_am_i(ebpf).map_err(|source| dir.refused(name, source))?;
    program
        .pin(dir.file(name))
        .map_err(|source| dir.refused(name, source))
}
