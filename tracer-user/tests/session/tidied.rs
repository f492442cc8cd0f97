//! What was left half done by whoever was killed is cleared away by a recovery, which says nothing of it
//! and touches nothing else.

use tracer::session::recover::Outcome;

use crate::{crashed::*, support::*};

#[test]
fn c19_a_recovery_leaves_nothing_of_what_the_killed_had_in_hand() {
    let room = tempfile::tempdir().expect("a directory");
    let store = store_in(room.path());
    let (_, whole) = crashed(&store);
    recover(&store);
    let before = all_bytes(room.path());

    // A rebuild, a compaction, a removal and a clearing that were killed.
    let state = room.path().join("state");
    let sessions = state.join("sessions");
    for stray in [
        whole.join(".summary.json.0123456789abcdef.tmp"),
        whole.join(".proc_trace.jsonl.0123456789abcdef.tmp"),
        state.join(".sessions.jsonl.0123456789abcdef.tmp"),
        state.join(".fence.json.0123456789abcdef.tmp"),
    ] {
        std::fs::write(stray, "half").expect("written");
    }
    let (gone, path) = crashed(&store);
    let going = sessions.join(format!(".removing-{gone}"));
    std::fs::rename(path, &going).expect("renamed");
    std::fs::remove_file(going.join("journal.0.jsonl")).expect("there");

    let report = recover(&store);
    assert_eq!((report.found.len(), report.count(Outcome::Whole)), (0, 1));
    assert_eq!(all_bytes(room.path()), before);
}

#[test]
fn after_a_recovery_the_index_has_one_row_for_each_session_and_none_for_another() {
    let room = tempfile::tempdir().expect("a directory");
    let store = store_in(room.path());
    let (kept, _) = crashed(&store);
    let (removed, path) = crashed(&store);
    recover(&store);
    let index = room.path().join("state/sessions.jsonl");
    let rows = std::fs::read_to_string(&index).expect("there");
    assert_eq!(rows.lines().count(), 2);
    // Somebody was killed behind his row, and the next made it again; a removal before it was over.
    std::fs::write(&index, format!("{rows}{{\"session_id\":\n{rows}")).expect("written");
    std::fs::remove_dir_all(path).expect("there");

    recover(&store);
    let rows = std::fs::read_to_string(&index).expect("there");
    assert_eq!(rows.lines().count(), 1, "{rows}");
    assert!(rows.contains(kept.as_str()) && !rows.contains(removed.as_str()));
}

#[test]
fn a_dry_run_clears_nothing_away() {
    let room = tempfile::tempdir().expect("a directory");
    let store = store_in(room.path());
    let (_, whole) = crashed(&store);
    recover(&store);
    let stray = whole.join(".summary.json.0123456789abcdef.tmp");
    std::fs::write(stray, "half").expect("written");
    let before = all_bytes(room.path());
    recover_with(&store, &dry());
    assert_eq!(all_bytes(room.path()), before);
}
