//! The map from the cases a record must stand to the tests that prove them: it names tests that exist,
//! and it names all that bear a case's number. Text in, violations out.

use std::collections::{BTreeMap, BTreeSet};

use super::{File, Violation};

/// Where the map is.
pub(super) const MAP: &str = "docs/record-tests.md";

/// Groups of cases and how many each has.
const GROUPS: [(char, u32); 5] = [('C', 29), ('L', 16), ('R', 24), ('N', 15), ('V', 12)];

/// What a row without a test has to say.
const EXCUSE: &str = "does not apply";

/// Everything about the map.
pub(super) fn check(map: &File, sources: &[File]) -> Vec<Violation> {
    let of_tracer =
        |file: &&File| file.path.starts_with("tracer-user/") || file.path.starts_with("tests/");
    let tests: BTreeSet<&str> = sources
        .iter()
        .filter(of_tracer)
        .flat_map(tests_of)
        .collect();
    let mut found = Vec::new();
    let mut tell = |line: usize, what: String| {
        found.push(Violation {
            file: map.path.clone(),
            line,
            what,
        });
    };
    let mut rows: BTreeMap<String, (usize, BTreeSet<&str>)> = BTreeMap::new();
    for (line, text) in (1..).zip(map.text.lines()) {
        let Some((case, proof)) = row(text) else {
            continue;
        };
        let named: BTreeSet<&str> = names(proof).collect();
        for name in named.iter().filter(|name| !tests.contains(*name)) {
            tell(line, format!("{case}: there is no test `{name}`"));
        }
        if named.is_empty() && !proof.contains(EXCUSE) {
            let what = format!("{case}: name a test, or say why it {EXCUSE}");
            tell(line, what);
        }
        if rows.insert(case.clone(), (line, named)).is_some() {
            tell(line, format!("{case} is there twice"));
        }
    }
    for (group, count) in GROUPS {
        for case in (1..=count).map(|n| format!("{group}{n}")) {
            if !rows.contains_key(&case) {
                tell(0, format!("{case} is missing"));
            }
        }
    }
    for test in tests {
        for case in cases_of(test) {
            match rows.get(&case) {
                Some((_, named)) if named.contains(test) => {}
                Some((line, _)) => tell(*line, format!("{case}: `{test}` is not named")),
                None => tell(0, format!("`{test}`: there is no case {case}")),
            }
        }
    }
    found
}

/// Where the map of endings is, and the tests that it must name all of.
pub(super) const ENDINGS: (&str, &str) = ("docs/verdict-tests.md", "tests/tests/verdicts/");

/// Everything about the map of endings: it names tests that exist, and each that plays an ending.
pub(super) fn check_endings(map: &File, sources: &[File]) -> Vec<Violation> {
    let tests: BTreeSet<&str> = sources.iter().flat_map(tests_of).collect();
    let playing = sources
        .iter()
        .filter(|file| file.path.starts_with(ENDINGS.1));
    let mut left: BTreeSet<&str> = playing.flat_map(tests_of).collect();
    let mut found = Vec::new();
    let mut tell = |line, what| {
        let file = map.path.clone();
        found.push(Violation { file, line, what });
    };
    for (line, text) in (1..).zip(map.text.lines()) {
        for name in names(text) {
            if !tests.contains(name) {
                tell(line, format!("there is no test `{name}`"));
            }
            left.remove(name);
        }
    }
    for name in left {
        tell(0, format!("`{name}` is not named"));
    }
    found
}

/// Case and proof of a row of the map's tables.
fn row(line: &str) -> Option<(String, &str)> {
    let (case, rest) = line.strip_prefix("| ")?.split_once(" | ")?;
    let (_, proof) = rest.split_once(" | ")?;
    is_case(&case.to_lowercase()).then(|| (case.to_owned(), proof))
}

/// A letter of [`GROUPS`], small, and a number.
fn is_case(text: &str) -> bool {
    let mut letters = text.chars();
    let group = letters.next().is_some_and(|letter| {
        let is = |(group, _): &(char, u32)| group.to_ascii_lowercase() == letter;
        GROUPS.iter().any(is)
    });
    let number = letters.as_str();
    group && (1..=2).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// The cases a test bears in the beginning of its name.
fn cases_of(test: &str) -> impl Iterator<Item = String> {
    test.split('_')
        .take_while(|word| is_case(word))
        .map(str::to_uppercase)
}

/// Names of tests in a proof: sentences in backticks, with underscores for blanks.
fn names(proof: &str) -> impl Iterator<Item = &str> {
    let quoted = proof.split('`').skip(1).step_by(2);
    quoted.filter(|name| is_name(name) && name.matches('_').count() > 2)
}

fn is_name(text: &str) -> bool {
    let name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    !text.is_empty() && text.bytes().all(name)
}

/// Every test of a file: what follows `#[test]`, and what stands in a `tests![…]` where there is no
/// harness.
fn tests_of(file: &File) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut next_is_one, mut in_list) = (false, false);
    for line in file.text.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            next_is_one = true;
        } else if line.ends_with("tests![") {
            in_list = true;
        } else if in_list {
            let name = line.trim_end_matches(',');
            in_list = is_name(name);
            found.extend(in_list.then_some(name));
        } else if next_is_one && let Some((_, name)) = line.split_once("fn ") {
            next_is_one = false;
            found.extend(name.split(['(', '<']).next());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn file(path: &str, text: &str) -> File {
        File {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    const SOURCE: &str = "
        #[test]
        #[ignore = \"slow\"]
        fn c1_n3_a_crash_is_a_crash() {}
        fn r2_is_no_test_at_all() {}
        #[tokio::test(start_paused = true)]
        async fn time_passes_when_told() {}
        proptest! {
            #[test]
            fn l1_anything_goes_in(
                x in 0..1,
            ) {}
        }
        const TESTS: &[(&str, fn())] = tests![
            r1_a_program_of_its_own,
            a_second_one_like_it,
        ];";

    /// A map in which every case but these has an excuse.
    fn map(rows: &[(&str, &str)]) -> File {
        let mut text = String::from("| case | what | proof |\n|---|---|---|\n");
        for (group, count) in GROUPS {
            for case in (1..=count).map(|n| format!("{group}{n}")) {
                let given = rows.iter().find(|(given, _)| *given == case);
                let proof = given.map_or("does not apply: no such thing", |(_, proof)| proof);
                let _ = writeln!(text, "| {case} | what | {proof} |");
            }
        }
        file(MAP, &text)
    }

    fn told(map: &File) -> Vec<String> {
        let found = check(map, &[file("tests/tests/x.rs", SOURCE)]);
        found.into_iter().map(|violation| violation.what).collect()
    }

    const GOOD: [(&str, &str); 5] = [
        ("C1", "`c1_n3_a_crash_is_a_crash`, and `cargo xtask bench`"),
        ("N3", "`c1_n3_a_crash_is_a_crash`"),
        ("L1", "`l1_anything_goes_in`, `a_second_one_like_it`"),
        ("R1", "`r1_a_program_of_its_own`"),
        ("R2", "`time_passes_when_told` with `tokio_time`"),
    ];

    #[test]
    fn a_map_that_names_what_there_is_is_good() {
        assert_eq!(told(&map(&GOOD)), [""; 0]);
    }

    #[test]
    fn a_test_that_is_gone_unnamed_or_without_a_case_is_told() {
        let mut rows = GOOD;
        rows[4] = ("R2", "`r2_is_no_test_at_all`");
        assert_eq!(
            told(&map(&rows)),
            ["R2: there is no test `r2_is_no_test_at_all`"]
        );
        rows = GOOD;
        rows[1] = ("N3", "`time_passes_when_told`");
        assert_eq!(
            told(&map(&rows)),
            ["N3: `c1_n3_a_crash_is_a_crash` is not named"]
        );
        rows[1] = ("N3", "it holds");
        let found = told(&map(&rows));
        assert_eq!(found[0], "N3: name a test, or say why it does not apply");
    }

    #[test]
    fn the_map_of_endings_names_what_there_is_and_all_that_plays_one() {
        let source = file("tests/tests/verdicts/x.rs", SOURCE);
        let told = |text: &str| {
            let found = check_endings(&file(ENDINGS.0, text), std::slice::from_ref(&source));
            let what: Vec<String> = found.into_iter().map(|found| found.what).collect();
            what
        };
        let all = "| x | `c1_n3_a_crash_is_a_crash`, `l1_anything_goes_in`, \
                   `time_passes_when_told`, `r1_a_program_of_its_own`, `a_second_one_like_it` |";
        assert_eq!(told(all), [""; 0]);
        assert_eq!(
            told(&all.replace("time_passes_when_told", "time_does_not_pass")),
            [
                "there is no test `time_does_not_pass`",
                "`time_passes_when_told` is not named"
            ]
        );
    }

    #[test]
    fn a_case_is_there_once() {
        let good = map(&GOOD);
        let without = good.text.replace("| C7 |", "| see |");
        assert_eq!(told(&file(MAP, &without)), ["C7 is missing"]);
        let twice = good.text.replace("| C7 |", "| C8 |");
        assert_eq!(
            told(&file(MAP, &twice)),
            ["C8 is there twice", "C7 is missing"]
        );
    }
}
