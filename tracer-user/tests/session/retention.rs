//! Retention and removal: the newest stay, by their end; only what is finished and ours goes, whole.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use serde_json::json;
use tracer::session::{
    SessionId, Store, index,
    remove::{RemoveError, Which, remove},
    retain::{Retained, forget, retain},
};

use crate::{made::*, support::*};

fn ids(store: &Store) -> BTreeSet<SessionId> {
    store.session_ids().expect("listed").into_iter().collect()
}

fn keep(store: &Store, count: usize) -> Retained {
    retain(store, count, None, |_| false, soon()).expect("listed")
}

/// Names below the directory of sessions, removals included.
fn names(store: &Store) -> BTreeSet<String> {
    let entries = std::fs::read_dir(store.dir().path().join("sessions")).expect("there");
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry
            .expect("an entry")
            .file_name()
            .into_string()
            .expect("UTF-8")
    };
    entries.map(name).collect()
}

#[test]
fn r24_the_newest_stay_by_their_end_and_not_by_their_name() {
    let (_dir, store) = made();
    // The first to begin is the last to end.
    let long = ended(&store, "2026-01-01T00:00:00Z", 40 * 24 * 3600);
    let old = ended(&store, "2026-01-02T00:00:00Z", 1);
    let middle = ended(&store, "2026-01-03T00:00:00Z", 1);
    let new = ended(&store, "2026-01-04T00:00:00Z", 1);
    let mut removed = keep(&store, 2).removed;
    removed.sort_unstable();
    assert_eq!(removed, [old, middle]);
    assert_eq!(ids(&store), BTreeSet::from([long, new]));
    assert_eq!(names(&store).len(), 2, "{:?}", names(&store));
    let (rows, bad) = index::read(&store).expect("readable");
    assert_eq!((rows.len(), bad), (2, 0), "rows of removed sessions go");
}

#[test]
fn r24_zero_keeps_all_and_enough_room_changes_nothing() {
    let (_dir, store) = made();
    for day in 1..=3 {
        ended(&store, &format!("2026-01-0{day}T00:00:00Z"), 1);
    }
    let before = contents(store.dir().path());
    assert!(keep(&store, 0).removed.is_empty());
    assert!(keep(&store, 3).removed.is_empty());
    assert_eq!(contents(store.dir().path()), before);
    assert_eq!(keep(&store, 1).removed.len(), 2);
}

#[test]
fn n10_running_interrupted_pinned_and_foreign_ones_stay() {
    let (_dir, store) = made();
    let running = info_at(&store, at("2026-01-01T00:00:00Z"));
    let recorder = going_on(&store, &running);
    let interrupted = interrupted(&store, "2026-01-02T00:00:00Z");
    let pinned = ended(&store, "2026-01-03T00:00:00Z", 1);
    // Somebody keeps notes in a session.
    let noted = ended(&store, "2026-01-04T00:00:00Z", 1);
    std::fs::write(store.session_path(&noted).join("notes.txt"), "mine").expect("ours");
    // A session of another name, a directory and a file of somebody else, an empty one.
    let moved = ended(&store, "2026-01-05T00:00:00Z", 1);
    let alien: SessionId = "20250101T000000.000000Z-00000000".parse().expect("an id");
    std::fs::rename(store.session_path(&moved), store.session_path(&alien)).expect("ours");
    let sessions = store.dir().path().join("sessions");
    std::fs::create_dir(sessions.join("precious")).expect("ours");
    std::fs::write(sessions.join("precious/file"), "mine").expect("ours");
    std::fs::write(sessions.join("20240101T000000.000000Z-00000000"), "mine").expect("ours");
    let finished = ended(&store, "2026-01-06T00:00:00Z", 1);
    let last = ended(&store, "2026-01-07T00:00:00Z", 1);

    let before = names(&store);
    let retained = retain(&store, 1, None, |id| *id == pinned, soon()).expect("listed");
    let mut removed = retained.removed;
    removed.sort_unstable();
    // The last one as well: those that cannot go are more than there is room for.
    assert_eq!(removed, [finished, last]);
    let why = |id| {
        let kept = retained.kept.iter().find(|(kept, _)| *kept == id);
        kept.map_or("", |(_, why)| why.as_str())
    };
    assert!(
        why(pinned).contains("programs in the kernel"),
        "{}",
        why(pinned)
    );
    assert!(why(noted).contains("notes.txt"), "{}", why(noted));
    assert!(why(alien).contains("its journal is of"), "{}", why(alien));
    let mut expected = before;
    for id in [finished, last] {
        expected.remove(id.as_str());
    }
    assert_eq!(names(&store), expected);
    assert!(sessions.join("precious/file").exists());
    assert!(ids(&store).contains(&interrupted));
    finish(&recorder, 1);
}

#[test]
fn the_callers_own_session_never_goes() {
    let (_dir, store) = made();
    let own = ended(&store, "2026-01-01T00:00:00Z", 1);
    let other = ended(&store, "2026-01-02T00:00:00Z", 1);
    let done = retain(&store, 1, Some(&own), |_| false, soon()).expect("listed");
    assert_eq!(done.removed, [other]);
    assert_eq!(ids(&store), BTreeSet::from([own]));
}

#[test]
fn r24_several_at_once_leave_exactly_as_many_and_remove_each_once() {
    const KEPT: usize = 2;
    // They meet in the middle of a removal, which takes many tries.
    for _ in 0..20 {
        let (dir, store) = made();
        for second in 0..12 {
            ended(&store, &format!("2026-01-01T00:00:{second:02}Z"), 1);
        }
        let root = dir.path();
        let removed: Vec<SessionId> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| keep(&store_in(root), KEPT)))
                .collect();
            let done = workers
                .into_iter()
                .map(|worker| worker.join().expect("no panic"));
            let removed = done.flat_map(|done| {
                assert!(done.kept.is_empty(), "{:?}", done.kept);
                done.removed
            });
            removed.collect()
        });
        let unique: BTreeSet<_> = removed.iter().collect();
        assert_eq!(unique.len(), removed.len(), "each is removed by one");
        // One that another removes counts as gone only when it is: never fewer are left.
        assert!(ids(&store).len() >= KEPT);
        keep(&store, KEPT);
        assert_eq!(names(&store).len(), KEPT, "{:?}", names(&store));
    }
}

#[test]
fn a_removal_that_was_cut_short_is_finished_and_one_in_progress_is_not_disturbed() {
    let (_dir, store) = made();
    let cut = ended(&store, "2026-01-01T00:00:00Z", 1);
    let busy = ended(&store, "2026-01-02T00:00:00Z", 1);
    for second in 0..3 {
        ended(&store, &format!("2026-01-03T00:00:0{second}Z"), 1);
    }
    let busy_lease = store.claim(&busy).expect("free");
    let sessions = store.dir().path().join("sessions");
    for id in [&cut, &busy] {
        let going = sessions.join(format!(".removing-{id}"));
        std::fs::rename(store.session_path(id), &going).expect("ours");
        std::fs::remove_file(going.join("summary.json")).expect("ours");
    }
    keep(&store, 2);
    let left = names(&store);
    assert_eq!(left.len(), 3, "{left:?}");
    assert!(left.contains(&format!(".removing-{busy}")));
    drop(busy_lease);
    ended(&store, "2026-01-04T00:00:00Z", 1);
    keep(&store, 2);
    assert_eq!(names(&store).len(), 2, "{:?}", names(&store));
}

#[test]
fn rm_takes_what_is_finished_and_the_rest_only_by_force_and_never_what_runs() {
    let (_dir, store) = made();
    let no = |_: &SessionId| false;
    let running = info_at(&store, at("2026-01-01T00:00:00Z"));
    let recorder = going_on(&store, &running);
    for which in [Which::Finished, Which::NotRunning] {
        let refused = remove(&store, &running.session_id, which, no);
        assert!(
            matches!(refused, Err(RemoveError::Running { .. })),
            "{refused:?}"
        );
    }
    let left = interrupted(&store, "2026-01-02T00:00:00Z");
    let refused = remove(&store, &left, Which::Finished, no);
    assert!(
        matches!(refused, Err(RemoveError::Interrupted { .. })),
        "{refused:?}"
    );
    remove(&store, &left, Which::NotRunning, no).expect("by force");

    let empty: SessionId = "20250101T000000.000000Z-00000000".parse().expect("an id");
    std::fs::create_dir(store.session_path(&empty)).expect("ours");
    std::fs::set_permissions(
        store.session_path(&empty),
        std::os::unix::fs::PermissionsExt::from_mode(0o700),
    )
    .expect("ours");
    let refused = remove(&store, &empty, Which::Finished, no);
    assert!(
        matches!(refused, Err(RemoveError::Corrupt { .. })),
        "{refused:?}"
    );
    remove(&store, &empty, Which::NotRunning, no).expect("by force");

    let done = ended(&store, "2026-01-03T00:00:00Z", 1);
    remove(&store, &done, Which::Finished, no).expect("finished");
    let refused = remove(&store, &done, Which::Finished, no);
    assert!(
        matches!(refused, Err(RemoveError::Gone { .. })),
        "{refused:?}"
    );
    finish(&recorder, 1);
    assert_eq!(ids(&store), BTreeSet::from([running.session_id]));
}

#[test]
fn a_session_that_holds_a_way_out_stays_as_it_is() {
    let outside = tempfile::tempdir().expect("a directory");
    std::fs::write(outside.path().join("file"), "precious").expect("ours");
    let (_dir, store) = made();
    let plant: [&dyn Fn(&Path); 4] = [
        &|path| std::os::unix::fs::symlink(outside.path(), path.join("attachments")).expect("ours"),
        &|path| std::fs::create_dir(path.join("deeper")).expect("ours"),
        &|path| {
            let inside = path.join("attachments");
            std::fs::create_dir(&inside).expect("ours");
            std::os::unix::fs::symlink(outside.path(), inside.join("a")).expect("ours");
        },
        &|path| {
            let name = path.join("journal.7.jsonl");
            std::os::unix::fs::symlink(outside.path().join("file"), name).expect("ours");
        },
    ];
    for (n, plant) in plant.iter().enumerate() {
        let id = ended(&store, &format!("2026-01-0{}T00:00:00Z", n + 1), 1);
        plant(&store.session_path(&id));
        let before = contents(&store.session_path(&id));
        for which in [Which::Finished, Which::NotRunning] {
            remove(&store, &id, which, |_| false).expect_err("it is not all ours");
        }
        assert_eq!(contents(&store.session_path(&id)), before);
    }
    assert_eq!(
        std::fs::read(outside.path().join("file")).expect("there"),
        b"precious"
    );
}

#[test]
fn no_row_is_lost_to_a_compaction_beside_it() {
    let (dir, store) = made();
    let writing = AtomicU32::new(3);
    let root = dir.path();
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let writing = &writing;
            scope.spawn(move || {
                let store = store_in(root);
                for n in 0..100 {
                    let row = json!({ "session_id": format!("{writer}-{n}") });
                    index::append(&store, &row, soon()).expect("written");
                    // Rows of the same session: only the last one counts.
                    index::append(&store, &row, soon()).expect("written");
                }
                writing.fetch_sub(1, Ordering::Release);
            });
        }
        let store = store_in(root);
        let until = Instant::now() + Duration::from_secs(30);
        while writing.load(Ordering::Acquire) > 0 && Instant::now() < until {
            index::compact(&store, soon(), |_| true).expect("compacted");
        }
    });
    let gone: SessionId = "20250101T000000.000000Z-00000000".parse().expect("an id");
    index::append(&store, &json!({ "session_id": gone.as_str() }), soon()).expect("written");
    forget(&store, &[gone], soon());
    let (rows, bad) = index::read(&store).expect("readable");
    let unique: BTreeSet<String> = rows
        .iter()
        .map(|row| row["session_id"].to_string())
        .collect();
    assert_eq!((rows.len(), unique.len(), bad), (300, 300, 0));
}
