//! `verify` finds every break of what a record promises, and nothing where there is none; `rebuild`
//! gives back what was there.

use std::{
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use tracer::session::{
    SessionId, Store,
    derive::RULES,
    enrollment::Enrollment,
    rebuild::{RebuildError, rebuild},
    verify::{Verified, verify},
};

use crate::{made::*, support::*};

const BEGAN: &str = "2026-11-21T05:45:12Z";

fn broken(verified: &Verified) -> Vec<String> {
    let broken = verified.findings.iter().filter(|finding| finding.broken);
    broken
        .map(|finding| format!("{}: {}", finding.file, finding.what))
        .collect()
}

/// A session in which something is changed; what `verify` says must be told, and only then.
struct Case {
    _dir: tempfile::TempDir,
    store: Store,
    id: SessionId,
}

impl Case {
    fn new() -> Self {
        let (dir, store) = made();
        let id = ended(&store, BEGAN, 3);
        let verified = verify(&store, &id);
        assert_eq!(verified.findings, [], "nothing is wrong yet");
        assert_eq!((verified.status, verified.records), ("ended", 9));
        Self {
            _dir: dir,
            store,
            id,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.store.session_path(&self.id).join(name)
    }

    fn journal(&self) -> PathBuf {
        self.path("journal.0.jsonl")
    }

    /// Changes the journal's lines.
    fn edit(&self, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
        let mut all = lines(&self.journal());
        change(&mut all);
        put_lines(&self.journal(), &all);
    }

    fn expect(&self, what: &str) {
        let verified = verify(&self.store, &self.id);
        let broken = broken(&verified);
        assert!(
            broken.iter().any(|line| line.contains(what)),
            "{what:?} is not told in {broken:#?}"
        );
        assert!(!verified.holds());
        assert!(broken.iter().all(|line| !line.contains('\n')));
    }
}

#[test]
fn a_flipped_bit_is_a_wrong_checksum_and_a_missing_record() {
    let case = Case::new();
    case.edit(|lines| lines[3][40] ^= 1);
    case.expect("journal.0.jsonl: 1 line does not count: wrong checksum");
    case.expect("journal.0.jsonl: 1 record missing");
}

#[test]
fn a_line_taken_out_put_in_twice_or_moved_is_told() {
    let case = Case::new();
    case.edit(|lines| {
        lines.remove(4);
    });
    case.expect("1 record missing by their numbers");

    let case = Case::new();
    case.edit(|lines| lines.insert(4, lines[4].clone()));
    case.expect("a number that was there before");

    let case = Case::new();
    case.edit(|lines| lines.swap(2, 3));
    case.expect("missing by their numbers");
}

#[test]
fn a_record_that_was_never_recorded_is_not_in_the_end_records_count() {
    let case = Case::new();
    case.edit(|lines| {
        let end = lines.pop().expect("the end");
        let more = forged(&lines[2], "\"seq\":2", "\"seq\":8");
        let more = forged(&more, "\"pid\":100", "\"pid\":101");
        lines.push(forged(
            &more,
            "\"start_boottime_ns\":1000000100",
            "\"start_boottime_ns\":1000000101",
        ));
        lines.push(forged(&end, "\"seq\":8", "\"seq\":9"));
    });
    case.expect("the end record counts 8 records (1 fork, 1 exec");
    case.expect("there are 9 records (2 fork, 1 exec");
}

#[test]
fn counts_in_the_end_record_are_recounted() {
    let case = Case::new();
    case.edit(|lines| {
        let end = lines.last_mut().expect("the end");
        *end = forged(end, "\"exits\":1", "\"exits\":2");
    });
    case.expect("1 exec, 2 exit");
}

#[test]
fn there_is_one_terminal_record_and_it_is_the_last() {
    let case = Case::new();
    case.edit(|lines| {
        let end = lines.last().expect("the end");
        lines.push(forged(end, "\"seq\":8", "\"seq\":9"));
    });
    case.expect("1 terminal records too many");

    let case = Case::new();
    case.edit(|lines| {
        let more = forged(&lines[2], "\"seq\":2", "\"seq\":9");
        lines.push(more);
    });
    case.expect("1 record behind the terminal one");

    let case = Case::new();
    let mut text = std::fs::read(case.journal()).expect("there");
    text.extend_from_slice(b"{\"seq\":9,");
    std::fs::write(case.journal(), text).expect("ours");
    case.expect("9 bytes behind its end are no record");
}

#[test]
fn c11_a_note_behind_the_end_says_what_came_too_late_and_breaks_nothing() {
    let case = Case::new();
    case.edit(|lines| {
        let note = forged(&lines[1], "\"seq\":1", "\"seq\":9");
        lines.push(note);
    });
    assert_eq!(broken(&verify(&case.store, &case.id)), [""; 0]);
}

#[test]
fn a_session_is_where_its_id_says_and_is_nobody_elses() {
    let case = Case::new();
    let other: SessionId = "20250101T000000.000000Z-00000000".parse().expect("an id");
    std::fs::rename(case.path(""), case.store.session_path(&other)).expect("ours");
    let case = Case { id: other, ..case };
    case.expect("journal.0.jsonl: it is of session 20261121T054512");
    case.expect("enrollment.json: it is of session");
}

#[test]
fn epochs_begin_with_0_and_have_no_hole() {
    let case = Case::new();
    std::fs::rename(case.journal(), case.path("journal.2.jsonl")).expect("ours");
    case.expect("journal.2.jsonl: there is no journal.0.jsonl before it");
    case.expect("journal.2.jsonl: it says that it is epoch 0");
}

#[test]
fn times_of_rows_only_go_forward() {
    let case = Case::new();
    case.edit(|lines| lines[5] = forged(&lines[5], "05:45:00.000005Z", "05:45:00.000004Z"));
    case.expect("captured_at does not go forward in 1 snapshots");
}

#[test]
fn a_process_ends_once() {
    let case = Case::new();
    case.edit(|lines| {
        let end = lines.pop().expect("the end");
        lines.push(forged(&lines[7], "\"seq\":7", "\"seq\":8"));
        let end = forged(&end, "\"seq\":8", "\"seq\":9");
        let end = forged(&end, "\"records\":8", "\"records\":9");
        lines.push(forged(&end, "\"exits\":1", "\"exits\":2"));
    });
    case.expect("1 processes end twice");
}

#[test]
fn what_is_derived_is_what_the_journal_gives_to_the_byte() {
    for (name, from, to) in [
        ("summary.json", "\"exit_code\": 7", "\"exit_code\": 0"),
        ("proc_trace.jsonl", "39412", "39413"),
    ] {
        let case = Case::new();
        let text = std::fs::read_to_string(case.path(name)).expect("there");
        assert!(text.contains(from), "{text}");
        std::fs::write(case.path(name), text.replacen(from, to, 1)).expect("ours");
        case.expect(&format!("{name}: not what the journal gives, from byte"));
        // Longer, shorter.
        std::fs::write(case.path(name), format!("{text}x")).expect("ours");
        case.expect(&format!("from byte {} on", text.len()));
        std::fs::write(case.path(name), &text[..text.len() - 1]).expect("ours");
        case.expect(&format!("from byte {} on", text.len() - 1));
    }
    let case = Case::new();
    let index = case.store.dir().path().join("sessions.jsonl");
    let text = std::fs::read_to_string(&index).expect("there");
    std::fs::write(&index, text.replace("\"exit_code\":7", "\"exit_code\":0")).expect("ours");
    case.expect("sessions.jsonl: the row is not what the journal gives");
}

#[test]
fn what_older_rules_have_derived_is_noted_and_not_called_broken() {
    let case = Case::new();
    let path = case.path("summary.json");
    let text = std::fs::read_to_string(&path).expect("there");
    let version = format!("\"derived_version\": {RULES}");
    assert!(text.contains(&version), "{text}");
    let older = text.replace(&version, "\"derived_version\": 1");
    // Of a session that today's rules ended, nothing is older.
    std::fs::write(&path, &older).expect("ours");
    case.expect("summary.json: not what the journal gives");
    case.edit(|lines| {
        let rules = format!("\"rules\":{RULES}");
        lines[0] = forged(&lines[0], &rules, "\"rules\":1");
    });
    let verified = verify(&case.store, &case.id);
    assert!(verified.holds(), "{:#?}", verified.findings);
    let what = &verified.findings[0].what;
    assert!(what.contains("tracer sessions rebuild"), "{what}");
    // What calls itself made by today's rules has to be that.
    std::fs::write(&path, text.replace("\"exit_code\": 7", "\"exit_code\": 0")).expect("ours");
    case.expect("summary.json: not what the journal gives");
}

#[test]
fn files_are_plain_and_for_nobody_else_to_read() {
    let case = Case::new();
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("ours");
    };
    mode(&case.journal(), 0o644);
    case.expect("journal.0.jsonl: mode 0644, not 0600");
    mode(&case.journal(), 0o600);
    mode(&case.path(""), 0o755);
    case.expect(".: mode 0755, not 0700");

    let case = Case::new();
    let elsewhere = case.store.dir().path().join("elsewhere");
    std::fs::rename(case.path("summary.json"), &elsewhere).expect("ours");
    symlink(&elsewhere, case.path("summary.json")).expect("ours");
    case.expect("summary.json: not a plain file");

    let case = Case::new();
    let second = case.store.dir().path().join("second");
    std::fs::hard_link(case.path("enrollment.json"), second).expect("ours");
    case.expect("enrollment.json: not a plain file with this name alone");
}

#[test]
fn the_enrollment_is_of_the_same_session_boot_and_root() {
    type Change = fn(&mut Enrollment);
    let changes: [(Change, &str); 3] = [
        (
            |of| of.boot_id = "another".to_owned(),
            "it is of another boot",
        ),
        (
            |of| of.root_pid = Some(101),
            "its root is not the journal's",
        ),
        (
            |of| of.session_id = "x".to_owned(),
            "it is of session \"x\"",
        ),
    ];
    for (change, what) in changes {
        let case = Case::new();
        let text = std::fs::read(case.path("enrollment.json")).expect("there");
        let mut enrollment = Enrollment::parse(&text).expect("ours");
        change(&mut enrollment);
        std::fs::write(case.path("enrollment.json"), enrollment.encode()).expect("ours");
        case.expect(&format!("enrollment.json: {what}"));
    }
    let case = Case::new();
    std::fs::write(case.path("enrollment.json"), "[{}]").expect("ours");
    case.expect("enrollment.json: not an enrollment");
}

#[test]
fn an_interrupted_session_is_whole_as_far_as_it_goes() {
    let (_dir, store) = made();
    let id = interrupted(&store, BEGAN);
    let verified = verify(&store, &id);
    assert!(verified.holds(), "{:#?}", verified.findings);
    assert_eq!(verified.status, "interrupted");
    assert!(verified.findings[0].what.contains("it has no end"));

    // Killed in the middle of a line.
    let journal = store.session_path(&id).join("journal.0.jsonl");
    let mut text = std::fs::read(&journal).expect("there");
    text.truncate(text.len() - 30);
    std::fs::write(&journal, text).expect("ours");
    let verified = verify(&store, &id);
    assert!(verified.holds(), "{:#?}", verified.findings);
    let torn = verified
        .findings
        .iter()
        .find(|finding| finding.what.contains("half a record"));
    assert!(torn.is_some(), "{:#?}", verified.findings);
}

#[test]
fn a_running_session_is_checked_as_far_as_it_has_come() {
    let (_dir, store) = made();
    let info = info_at(&store, at(BEGAN));
    let recorder = going_on(&store, &info);
    let verified = verify(&store, &info.session_id);
    assert_eq!(verified.findings, []);
    assert_eq!((verified.status, verified.records), ("running", 8));
    finish(&recorder, 1);
    assert_eq!(verify(&store, &info.session_id).status, "ended");
}

#[test]
fn a_rebuild_gives_back_every_byte_and_leaves_one_row() {
    let case = Case::new();
    let before = contents(case.store.dir().path());
    for name in ["summary.json", "proc_trace.jsonl"] {
        std::fs::write(case.path(name), "damaged").expect("ours");
    }
    rebuild(&case.store, &case.id, soon()).expect("rebuilt");
    assert_eq!(contents(case.store.dir().path()), before);
    for name in ["summary.json", "proc_trace.jsonl"] {
        std::fs::remove_file(case.path(name)).expect("ours");
    }
    std::fs::remove_file(case.store.dir().path().join("sessions.jsonl")).expect("ours");
    rebuild(&case.store, &case.id, soon()).expect("rebuilt");
    rebuild(&case.store, &case.id, soon()).expect("rebuilt");
    assert_eq!(contents(case.store.dir().path()), before);
}

#[test]
fn what_has_no_end_is_not_rebuilt() {
    let (_dir, store) = made();
    let info = info_at(&store, at(BEGAN));
    let recorder = going_on(&store, &info);
    let before = contents(store.dir().path());
    let refused = rebuild(&store, &info.session_id, soon());
    assert!(
        matches!(refused, Err(RebuildError::Running { .. })),
        "{refused:?}"
    );
    assert_eq!(contents(store.dir().path()), before);
    drop(recorder);
    let refused = rebuild(&store, &info.session_id, soon());
    assert!(
        matches!(refused, Err(RebuildError::Interrupted { .. })),
        "{refused:?}"
    );
}

#[test]
fn what_cannot_be_read_is_told_and_never_a_panic() {
    let (_dir, store) = made();
    let id = ended(&store, BEGAN, 1);
    let journal = store.session_path(&id).join("journal.0.jsonl");
    for text in [b"".as_slice(), b"\n", b"\0\0\0", b"{}\n{}\n", b"[[[[[[[["] {
        std::fs::write(&journal, text).expect("ours");
        let verified = verify(&store, &id);
        assert!(!verified.holds(), "{text:?}");
        assert_eq!(verified.status, "corrupt");
    }
    std::fs::remove_file(&journal).expect("ours");
    assert_eq!(broken(&verify(&store, &id)), [".: it has no journal"]);
    rustix::fs::mkfifoat(rustix::fs::CWD, &journal, rustix::fs::Mode::RUSR).expect("ours");
    assert!(!verify(&store, &id).holds());
}
