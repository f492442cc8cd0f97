//! Which command lines are candidates, by regular expressions. Pure.
//!
//! A pattern is looked for anywhere in the words of a command line, joined by one space each. Matching
//! takes time in proportion to the line, whatever the pattern.

use regex::bytes::{RegexSet, RegexSetBuilder};
use thiserror::Error;

/// Memory that one set of patterns may take when compiled.
const SIZE_MAX: usize = 4 << 20;

/// A pattern that is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the patterns cannot be used: {why}")]
pub struct PatternError {
    why: String,
}

/// Patterns of command lines.
#[derive(Debug, Clone)]
pub struct Patterns(RegexSet);

impl Patterns {
    /// What is watched for unless somebody says otherwise.
    pub const DEFAULT: &str = "pytest";

    /// Compiles them.
    ///
    /// # Errors
    /// [`PatternError`] shows the first that makes no sense.
    pub fn new(patterns: &[String]) -> Result<Self, PatternError> {
        let set = RegexSetBuilder::new(patterns).size_limit(SIZE_MAX).build();
        set.map(Self).map_err(|error| PatternError {
            why: error.to_string(),
        })
    }

    /// The first pattern that a command line fits, by its place in the list.
    #[must_use]
    pub fn find(&self, line: &[u8]) -> Option<usize> {
        self.0.matches(line).iter().next()
    }

    /// The pattern at that place.
    #[must_use]
    pub fn text(&self, index: usize) -> &str {
        self.0.patterns().get(index).map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Result<Patterns, PatternError> {
        let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        Patterns::new(&texts)
    }

    #[test]
    fn the_first_that_fits_is_told() {
        let patterns = patterns(&["^never$", "py.test", "pytest"]).unwrap();
        assert_eq!(patterns.find(b"python3 -m pytest tests"), Some(2));
        assert_eq!(patterns.find(b"\xff py-test \xfe"), Some(1));
        assert_eq!(patterns.find(b"sleep 1"), None);
        assert_eq!(patterns.text(1), "py.test");
    }

    #[test]
    fn no_pattern_fits_nothing_and_a_bad_one_is_named() {
        assert_eq!(patterns(&[]).unwrap().find(b"pytest"), None);
        let error = patterns(&["ok", "(open"]).unwrap_err().to_string();
        assert!(error.contains("(open"), "{error}");
        assert!(patterns(&["(a{1000}){1000}"]).is_err(), "too large");
    }
}
