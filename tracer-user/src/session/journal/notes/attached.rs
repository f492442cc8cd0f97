//! The note on joining a living tree, and why somebody in it may have been missed.

use serde_json::Value;

use super::topic;
use crate::session::journal::record::Note;

/// Why an attach may have missed somebody; each with how often, and 0 is not at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AttachDoubts {
    /// 1: who is born or left alone in the middle of the attach could not be watched.
    pub unwatched: u64,
    /// Times the kernel skipped a program that does.
    pub skipped: u64,
    /// Children of processes that ended in the middle of it that could not be noted down.
    pub unwritten: u64,
    /// Processes for which the kernel side's map had no room.
    pub untracked: u64,
    /// 1: there was reason to go on looking, but no end of it.
    pub unfinished: u64,
}

impl AttachDoubts {
    /// Each by the name it has in the note.
    fn named(self) -> [(&'static str, u64); 5] {
        [
            ("unwatched", self.unwatched),
            ("skipped", self.skipped),
            ("unwritten", self.unwritten),
            ("untracked", self.untracked),
            ("unfinished", self.unfinished),
        ]
    }

    /// In words, one after the other; empty where there is nothing to doubt.
    #[must_use]
    pub fn words(self) -> String {
        self.told(|name, count| match name {
            "unwatched" | "unfinished" => words_of(name).to_owned(),
            _ => format!("{count} × {}", words_of(name)),
        })
    }

    /// As [`AttachDoubts::words`], without numbers: the same doubts are the same words.
    #[must_use]
    pub fn kinds(self) -> String {
        self.told(|name, _| words_of(name).to_owned())
    }

    fn told(self, tell: impl Fn(&str, u64) -> String) -> String {
        let there = self.named().into_iter().filter(|&(_, count)| count > 0);
        let told = there.map(|(name, count)| tell(name, count));
        told.collect::<Vec<_>>().join(", ")
    }

    /// Why the record is not complete.
    #[must_use]
    pub fn reason(self) -> String {
        let reason = "attach that may have missed somebody";
        match self.words().as_str() {
            "" => reason.to_owned(),
            words => format!("{reason}: {words}"),
        }
    }
}

fn words_of(name: &str) -> &'static str {
    match name {
        "unwatched" => "births and orphans could not be watched",
        "skipped" => "the kernel skipped a program",
        "unwritten" => "no room to note down an orphan",
        "untracked" => "no room in the map of tracked processes",
        _ => "the tree changed faster than it could be gone through",
    }
}

impl Note {
    /// A living tree was joined, in so many passes, the last of which found nothing new and missed
    /// nothing, unless there are `doubts`.
    #[must_use]
    pub fn attached(passes: u64, adopted: u64, doubts: AttachDoubts) -> Self {
        let converged = doubts == AttachDoubts::default();
        let data = [
            ("passes", Value::from(passes)),
            ("converged", Value::from(converged)),
            ("adopted", Value::from(adopted)),
        ];
        if converged {
            return Self::new(topic::ATTACHED, "joined a living tree", data);
        }
        let text = format!(
            "joined a living tree and may have missed somebody: {}",
            doubts.words()
        );
        let mut note = Self::new(topic::ATTACHED, &text, data);
        let why = doubts.named().into_iter().filter(|&(_, count)| count > 0);
        let why = why.map(|(name, count)| (name.to_owned(), Value::from(count)));
        note.data.insert("doubts".to_owned(), why.collect());
        note
    }

    /// The doubts of a note [`topic::ATTACHED`]; none where it converged, or does not say.
    #[must_use]
    pub fn as_attach_doubts(&self) -> AttachDoubts {
        let doubts = self.data.get("doubts");
        let of = |name| doubts.and_then(|doubts| doubts.get(name)?.as_u64());
        let of = |name| of(name).unwrap_or(0);
        AttachDoubts {
            unwatched: of("unwatched"),
            skipped: of("skipped"),
            unwritten: of("unwritten"),
            untracked: of("untracked"),
            unfinished: of("unfinished"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_doubt_is_told_and_read_back() {
        let doubts = AttachDoubts {
            unwatched: 1,
            skipped: 2,
            unwritten: 3,
            untracked: 4,
            unfinished: 1,
        };
        for (name, _) in doubts.named() {
            let mut only = AttachDoubts::default();
            let (place, count) = match name {
                "unwatched" => (&mut only.unwatched, 1),
                "skipped" => (&mut only.skipped, 2),
                "unwritten" => (&mut only.unwritten, 3),
                "untracked" => (&mut only.untracked, 4),
                _ => (&mut only.unfinished, 1),
            };
            *place = count;
            let note = Note::attached(7, 9, only);
            assert!(!note.flag("converged"), "{note:?}");
            assert_eq!(note.as_attach_doubts(), only, "{name}");
            assert!(doubts.words().contains(&only.words()), "{name}");
            assert!(note.text.ends_with(&only.words()), "{}", note.text);
        }
        assert_eq!(Note::attached(7, 9, doubts).as_attach_doubts(), doubts);
        assert_eq!(doubts.words().matches(", ").count(), 4);
        assert_eq!(doubts.words().matches(" × ").count(), 3);
        let fewer = AttachDoubts {
            skipped: 1,
            ..doubts
        };
        assert_eq!((fewer.kinds(), fewer == doubts), (doubts.kinds(), false));
    }

    #[test]
    fn without_doubts_it_converged_and_an_old_record_does_not_say_why_not() {
        let sure = Note::attached(2, 5, AttachDoubts::default());
        assert!(sure.flag("converged") && !sure.data.contains_key("doubts"));
        let mut old = sure;
        old.data.insert("converged".to_owned(), Value::from(false));
        let reason = old.as_attach_doubts().reason();
        assert_eq!(reason, "attach that may have missed somebody");
    }
}
