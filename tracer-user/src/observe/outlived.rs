//! Names what outlives the command, and what of ours it still holds: whoever waits for the end of a pipe
//! or a terminal waits for these.

use super::{
    follower::Follower,
    warden::{Place, Warden, Who},
};
use crate::{
    anomaly::Relative,
    procfs::{FileId, Sought},
    session::journal::{notes::Leftover, record::Note},
};

/// Processes named at most; all are counted.
const NAMED_MAX: usize = 16;
/// What the command's terminal is called in a record.
const TERMINAL: &str = "terminal";

/// What of ours others may hold. Of standard output and error only pipes and sockets, whose readers wait.
#[derive(Debug, Default)]
pub(super) struct Ours {
    pub(super) terminal: Option<FileId>,
    pub(super) stdout: Option<FileId>,
    pub(super) stderr: Option<FileId>,
}

impl Ours {
    fn named(&self) -> impl Iterator<Item = (&'static str, FileId)> {
        let all = [
            (TERMINAL, self.terminal),
            ("stdout", self.stdout),
            ("stderr", self.stderr),
        ];
        all.into_iter()
            .filter_map(|(name, file)| Some((name, file?)))
    }
}

impl Follower<'_> {
    /// Puts those who still live into the record.
    pub(super) fn name_leftovers(&mut self, warden: &mut Warden, ours: &Ours) {
        self.take_all_events();
        let (names, files): (Vec<_>, Vec<_>) = ours.named().unzip();
        let place = warden.place(Some(self));
        let living = place.living();
        let looked: Vec<(Who, Leftover)> = living
            .into_iter()
            .filter_map(|who| Some((who, look(&place, who, &names, &files)?)))
            .take(NAMED_MAX)
            .collect();
        let lefts = looked.iter().map(|(_, left)| left);
        self.terminal_held(lefts.filter_map(holder).collect());
        for (who, mut left) in looked {
            left.refused = warden.refusal(who).map(|why| match &left.state {
                Some(state) => format!("{why} ({state})"),
                None => why,
            });
            self.note(Note::leftover(&left));
        }
    }
}

/// One that holds the command's terminal.
fn holder(left: &Leftover) -> Option<Relative> {
    let holds = left.holds.join(", ");
    left.holds.iter().find(|&held| held == TERMINAL)?;
    Some(Relative {
        pid: left.pid,
        starttime_ticks: left.starttime_ticks?,
        comm: left.comm.clone(),
        holds: Some(holds),
    })
}

/// What there is to say of one; `None` when it has ended meanwhile.
fn look(place: &Place<'_, '_>, who: Who, names: &[&str], files: &[FileId]) -> Option<Leftover> {
    let hidden = Leftover {
        starttime_ticks: Some(who.start.0),
        ..Leftover::default()
    };
    if who.tgid.0 == 0 {
        return Some(hidden);
    }
    let dir = place.dir(who)?;
    let held = dir.holds(&Sought::new(files)).unwrap_or_default();
    let mut words = dir.cmdline().unwrap_or_default();
    place.redact(&mut words);
    let stat = place.look(who)?;
    Some(Leftover {
        pid: who.tgid.0,
        comm: stat.comm.to_text(),
        cmdline: String::from_utf8_lossy(&words.join(&b' ')).into_owned(),
        state: stat.state.name().map(str::to_owned),
        holds: held.into_iter().map(|at| names[at].to_owned()).collect(),
        ..hidden
    })
}
