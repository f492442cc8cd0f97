//! Which session a user means: an id, the beginning of one, or the beginning of its random part.
//!
//! Pure. Nothing is guessed: what fits several sessions names none of them.

use std::fmt::Write as _;

use thiserror::Error;

use crate::session::SessionId;

/// Candidates that a message names.
const SHOWN: usize = 8;

/// Why a reference names no session.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FindError {
    /// Nothing fits.
    #[error("no session {text:?}; `tracer sessions list` shows those there are")]
    Unknown {
        /// What was asked for.
        text: String,
    },
    /// Several fit.
    #[error("{text:?} fits {} sessions; give more of one:{}", candidates.len(), shown(candidates))]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// What fits, newest first.
        candidates: Vec<SessionId>,
    },
}

fn shown(candidates: &[SessionId]) -> String {
    let mut text = String::new();
    for id in candidates.iter().take(SHOWN) {
        text.push('\n');
        text.push_str(id.as_str());
    }
    if let Some(more @ 1..) = candidates.len().checked_sub(SHOWN) {
        // Writing to a string cannot fail.
        let _ = write!(text, "\nand {more} more");
    }
    text
}

/// The one session among `ids`, sorted oldest first, that `text` names.
///
/// # Errors
/// [`FindError`].
pub fn find(ids: &[SessionId], text: &str) -> Result<SessionId, FindError> {
    // A whole id needs no comparison with the others, however many begin with it.
    if let Ok(id) = text.parse::<SessionId>()
        && ids.binary_search(&id).is_ok()
    {
        return Ok(id);
    }
    let fits = |id: &&SessionId| id.as_str().starts_with(text) || id.short().starts_with(text);
    let unknown = || FindError::Unknown {
        text: text.chars().take(80).collect(),
    };
    if text.is_empty() {
        return Err(unknown());
    }
    let candidates: Vec<SessionId> = ids.iter().rev().filter(fits).copied().collect();
    match candidates.as_slice() {
        [] => Err(unknown()),
        [one] => Ok(*one),
        _ => Err(FindError::Ambiguous {
            text: text.to_owned(),
            candidates,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> Vec<SessionId> {
        [
            "20261120T054512.123456Z-0a1b2c3d",
            "20261121T054512.123456Z-0a1b2c3e",
            "20261121T054512.123456Z-20261120",
            "20261121T054513.000000Z-ffffffff",
        ]
        .map(|text| text.parse().unwrap())
        .to_vec()
    }

    #[test]
    fn v3_a_whole_id_or_a_unique_beginning_names_a_session() {
        let ids = ids();
        for (text, at) in [
            ("20261121T054512.123456Z-0a1b2c3e", 1),
            ("20261121T054513", 3),
            ("ff", 3),
            ("0a1b2c3d", 0),
            ("20261120T", 0),
        ] {
            assert_eq!(find(&ids, text), Ok(ids[at]), "{text}");
        }
    }

    #[test]
    fn v3_what_fits_several_lists_them_newest_first() {
        let ids = ids();
        let Err(FindError::Ambiguous { candidates, .. }) = find(&ids, "0a1b") else {
            panic!("it fits two");
        };
        assert_eq!(candidates, [ids[1], ids[0]]);
        // Digits that are a date of one and the random part of another.
        let message = find(&ids, "20261120").unwrap_err().to_string();
        assert!(message.contains("fits 2 sessions"), "{message}");
        assert!(message.contains(ids[0].as_str()) && message.contains(ids[2].as_str()));
        let many: Vec<SessionId> = (0..20)
            .map(|n| {
                format!("20261121T0545{n:02}.000000Z-00000000")
                    .parse()
                    .unwrap()
            })
            .collect();
        let message = find(&many, "2026").unwrap_err().to_string();
        assert!(message.ends_with("and 12 more"), "{message}");
    }

    #[test]
    fn v3_nothing_and_nonsense_name_no_session() {
        for text in ["", "9", "..", "/", "20261121T054512.123456Z-0a1b2c3e0"] {
            assert!(
                matches!(find(&ids(), text), Err(FindError::Unknown { .. })),
                "{text:?}"
            );
        }
        assert!(find(&[], "2").is_err());
    }
}
