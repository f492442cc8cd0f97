//! Room of events that are done with, for events to come.
//!
//! An event is made by the thread that reads the ring and goes at the recorder's. What one thread allocates
//! and another frees costs the allocator more than decoding the event, so the recorder gives it back instead.

use super::{EventKind, Exec, Exit};

/// Kept of each kind: about what is on its way from the ring to the journal in a storm.
const KEPT_MAX: usize = 2048;
/// Arguments, and bytes of them, of a command line whose room is worth keeping.
const WORDS_MAX: usize = 16;
const BYTES_MAX: u64 = 512;

/// Room for events.
#[expect(
    clippy::vec_box,
    reason = "an event has them in boxes, and these are what is kept"
)]
#[derive(Debug, Default)]
pub struct Spare {
    execs: Vec<Box<Exec>>,
    exits: Vec<Box<Exit>>,
}

impl Spare {
    /// Keeps the room of an event.
    pub fn keep(&mut self, kind: EventKind) {
        match kind {
            EventKind::Exec(exec)
                if self.execs.len() < KEPT_MAX
                    && exec.argv.len() <= WORDS_MAX
                    && exec.argv_bytes <= BYTES_MAX =>
            {
                self.execs.push(exec);
            }
            EventKind::Exit(exit) if self.exits.len() < KEPT_MAX => self.exits.push(exit),
            _ => {}
        }
    }

    /// Takes over what `other` has kept, as far as there is room.
    pub fn append(&mut self, other: &mut Self) {
        let room = |len: usize| KEPT_MAX.saturating_sub(len);
        other.execs.truncate(room(self.execs.len()));
        other.exits.truncate(room(self.exits.len()));
        self.execs.append(&mut other.execs);
        self.exits.append(&mut other.exits);
    }

    /// `exec` in a box; `fill` gets what is in there from before.
    pub(crate) fn exec<E>(
        &mut self,
        fill: impl FnOnce(&mut Exec) -> Result<(), E>,
    ) -> Result<Box<Exec>, E> {
        let mut exec = self.execs.pop().unwrap_or_default();
        fill(&mut exec)?;
        Ok(exec)
    }

    /// `exit` in a box.
    pub(crate) fn exit(&mut self, exit: Exit) -> Box<Exit> {
        match self.exits.pop() {
            Some(mut old) => {
                *old = exit;
                old
            }
            None => Box::new(exit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exec(words: usize, bytes: u64) -> EventKind {
        EventKind::Exec(Box::new(Exec {
            argv: vec![b"a".to_vec(); words],
            argv_bytes: bytes,
            ..Exec::default()
        }))
    }

    #[test]
    fn a_storm_of_long_command_lines_leaves_no_room_behind() {
        let mut spare = Spare::default();
        spare.keep(exec(WORDS_MAX + 1, 40));
        spare.keep(exec(1, BYTES_MAX + 1));
        assert_eq!(spare.execs.len(), 0);
        for _ in 0..2 * KEPT_MAX {
            spare.keep(exec(WORDS_MAX, BYTES_MAX));
            spare.keep(EventKind::Exit(Box::default()));
        }
        assert_eq!((spare.execs.len(), spare.exits.len()), (KEPT_MAX, KEPT_MAX));
        let mut more = Spare::default();
        more.keep(exec(1, 2));
        spare.execs.pop();
        spare.append(&mut more);
        more.keep(exec(1, 2));
        spare.append(&mut more);
        assert_eq!((spare.execs.len(), more.execs.len()), (KEPT_MAX, 0));
    }
}
