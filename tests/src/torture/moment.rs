//! When a program is killed: between two of its effects, or at any time.

use std::collections::BTreeMap;
use std::time::Duration;

use super::chance::Chance;
use crate::sys::calls::Kind;
use crate::wait::PATIENCE;

/// What one whole run of a program comes to: how long a range moments are chosen from.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// System calls of each kind.
    pub calls: BTreeMap<Kind, u64>,
    /// How long it took.
    pub lifetime: Duration,
}

/// When to kill; the words of the fixture `killer`.
#[derive(Debug, Clone)]
pub struct Moment(Vec<String>);

impl Moment {
    /// Not at all.
    #[must_use]
    pub fn never() -> Self {
        Self(vec!["never".to_owned()])
    }

    /// After so long.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        Self(vec!["after".to_owned(), time.as_micros().to_string()])
    }

    /// As [`Self::never`], with the program left to itself, as fast as it is.
    #[must_use]
    pub fn too_late() -> Self {
        Self::after(PATIENCE)
    }

    /// Any: each kind of call as likely as each other, or the time.
    pub fn any(chance: &mut Chance, measured: &Measured) -> Self {
        let kinds: Vec<(Kind, u64)> = measured.calls.iter().map(|(&k, &n)| (k, n)).collect();
        if chance.one_in(4) {
            let micros = u64::try_from(measured.lifetime.as_micros()).unwrap_or(u64::MAX);
            return Self::after(Duration::from_micros(chance.below(micros)));
        }
        match chance.pick(&kinds) {
            // A few more than there were: it need not be the same number each time.
            Some(&(kind, count)) => {
                let number = chance.between(1, count + count / 16);
                Self::at(kind, number, chance.one_in(2))
            }
            None => Self::never(),
        }
    }

    /// While it writes: an observer has begun then, and most likely not ended.
    pub fn any_write(chance: &mut Chance, measured: &Measured) -> Self {
        let writes = measured.calls.get(&Kind::Write).copied().unwrap_or(0);
        Self::at(Kind::Write, chance.between(2, writes), chance.one_in(2))
    }

    /// The same, with the command most likely not at its end.
    pub fn early_write(chance: &mut Chance, measured: &Measured) -> Self {
        let writes = measured.calls.get(&Kind::Write).copied().unwrap_or(0);
        Self::at(Kind::Write, chance.between(2, writes / 2), chance.one_in(2))
    }

    /// At one of the program's calls.
    #[must_use]
    pub fn at(kind: Kind, number: u64, behind: bool) -> Self {
        let side = if behind { "behind" } else { "before" };
        let words = ["at", kind.name(), &number.to_string(), side];
        Self(words.map(str::to_owned).to_vec())
    }

    /// The words.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.0
    }
}
