//! Each gate of recovery: what is left alone, and what is not.

use std::process::Command;

use tracer::{
    session::{
        journal::{Body, encode::Encoder, record::TargetBody},
        recorder::Recorder,
        recover::{Outcome, gates::Gate},
        summary::Summarizer,
    },
    units::{Comm, Tgid, Ticks},
};

use crate::{crashed::*, support::*};

#[test]
fn a_held_lease_is_left_alone() {
    let room = tempfile::tempdir().expect("a directory");
    let store = store_in(room.path());
    let info = own_info(&store);
    let recorder = Recorder::create(&store, info.clone(), Summarizer::new(info)).expect("made");
    recorder.accept(fork(1));
    assert!(recorder.flush(soon()).complete);
    let before = all_bytes(room.path());
    let (outcome, gate, _) = only(&recover(&store));
    assert_eq!((outcome, gate), (Outcome::Running, Some(Gate::Lease)));
    assert_eq!(all_bytes(room.path()), before);
}

#[test]
fn a_target_that_lives_is_no_crash_and_once_it_is_dead_it_is_one() {
    let room = tempfile::tempdir().expect("a directory");
    let store = store_in(room.path());
    let living = Living::new();
    let mut info = own_info(&store);
    (info.root.pid, info.root.starttime_ticks) = living.root();
    interrupted(&store, info, vec![fork(1)]);
    let before = all_bytes(room.path());
    let (outcome, gate, _) = only(&recover(&store));
    assert_eq!((outcome, gate), (Outcome::Alive, Some(Gate::Liveness)));
    assert_eq!(all_bytes(room.path()), before);
    drop(living);
    assert_eq!(only(&recover(&store)).0, Outcome::Recovered);
}

#[test]
fn a_workload_that_lives_keeps_its_session_when_its_wrapper_is_gone() {
    let room = tempfile::tempdir().expect("a directory");
    let store = store_in(room.path());
    let living = Living::new();
    let info = own_info(&store);
    let mut whose = enrollment(info.session_id.as_str());
    whose.boot_id.clone_from(&info.boot_id);
    (whose.pid, whose.starttime_ticks) = living.root();
    let (_, path) = interrupted(&store, info, vec![fork(1)]);
    std::fs::write(path.join("enrollment.json"), whose.encode()).expect("written");
    assert_eq!(only(&recover(&store)).0, Outcome::Alive);
}

#[test]
fn a_zombie_is_dead_and_a_number_used_again_is_another_process() {
    let room = tempfile::tempdir().expect("a directory");
    let store = store_in(room.path());
    let mut zombie = Living::new();
    let mut info = own_info(&store);
    (info.root.pid, info.root.starttime_ticks) = zombie.root();
    zombie.0.kill().expect("ours");
    wait_for("a zombie", || {
        let stat = proc()
            .process(Tgid(info.root.pid))
            .and_then(|dir| dir.stat());
        stat.is_ok_and(|stat| stat.state.has_ended())
    });
    interrupted(&store, info, Vec::new());
    assert_eq!(only(&recover(&store)).0, Outcome::Recovered);

    let living = Living::new();
    let mut info = own_info(&store);
    let (pid, start) = living.root();
    info.root.pid = pid;
    info.root.starttime_ticks = start.map(|start| Ticks(start.0 - 1));
    interrupted(&store, info, Vec::new());
    assert_eq!(only(&recover(&store)).0, Outcome::Recovered);
}

#[test]
fn what_is_not_known_of_the_target_keeps_its_session() {
    let room = tempfile::tempdir().expect("a directory");
    let store = store_in(room.path());
    let living = Living::new();
    // Its start was not recorded and its number is in use.
    let mut unknown = own_info(&store);
    unknown.root.pid = living.root().0;
    unknown.root.starttime_ticks = None;
    interrupted(&store, unknown, Vec::new());
    // Numbers of another pid namespace, or of one that was not recorded.
    let mut elsewhere = own_info(&store);
    elsewhere.observer.pid_ns = Some(1);
    interrupted(&store, elsewhere, Vec::new());
    let mut nowhere = own_info(&store);
    nowhere.observer.pid_ns = None;
    interrupted(&store, nowhere, Vec::new());
    let before = all_bytes(room.path());
    let report = recover(&store);
    assert_eq!(report.count(Outcome::Doubtful), 3, "{report:?}");
    assert_eq!(all_bytes(room.path()), before);
    // Its number is free now: it is dead whatever its start was.
    drop(living);
    assert_eq!(recover(&store).count(Outcome::Recovered), 1);
}

#[test]
fn another_boot_is_a_reboot_on_disk_and_stale_in_memory() {
    let room = tempfile::tempdir().expect("a directory");
    let memory = tempfile::tempdir_in("/dev/shm").expect("a tmpfs");
    for (place, expected) in [
        (room.path(), Outcome::HostReboot),
        (memory.path(), Outcome::Stale),
    ] {
        let store = store_in(place);
        let living = Living::new();
        let mut info = own_info(&store);
        // The number is in use again, even at the same tick: another boot all the same.
        (info.root.pid, info.root.starttime_ticks) = living.root();
        info.boot_id = "e0f3a1c2-0000-4000-8000-000000000000".to_owned();
        let (_, path) = interrupted(&store, info, vec![fork(1), row(9_000_000)]);
        std::fs::create_dir(path.join("attachments")).expect("made");
        std::fs::write(path.join("attachments/log"), "kept").expect("written");
        let (outcome, gate, reason) = only(&recover(&store));
        assert_eq!((outcome, gate), (expected, Some(Gate::Boot)), "{reason}");
        if expected == Outcome::Stale {
            let left = std::fs::read_dir(place.join("state/sessions")).expect("listed");
            assert_eq!(left.count(), 0, "all of it is gone");
            continue;
        }
        let summary = json(&path.join("summary.json"));
        assert_eq!(summary["termination_reason"], "HOST_REBOOT");
        assert_eq!(summary["kill_reason"], "not_applicable");
        assert_eq!(summary["subtype"], "crashed");
        assert_eq!(summary["snapshot_count"], 1);
        assert!(path.join("attachments/log").exists());
        assert_eq!(summary["end_ts"], "2026-11-21T05:45:12.132456Z");
    }
}

#[test]
fn what_is_not_ours_is_told_and_kept_and_stops_nothing() {
    let room = tempfile::tempdir().expect("a directory");
    let store = store_in(room.path());
    let (torn, torn_path) = crashed(&store);
    let (copied, copied_path) = crashed(&store);
    let (open, open_path) = crashed(&store);
    let (pipe, pipe_path) = crashed(&store);
    crashed(&store);
    // Its journal holds nothing whole; another's copied under a new name; one others may write to; and
    // one whose journal is a pipe.
    std::fs::write(torn_path.join("journal.0.jsonl"), "{\"seq\":0,").expect("written");
    let renamed = copied_path.with_file_name("20200101T000000.000000Z-00000000");
    std::fs::rename(&copied_path, &renamed).expect("renamed");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(&open_path, mode).expect("opened");
    let journal = pipe_path.join("journal.0.jsonl");
    std::fs::remove_file(&journal).expect("removed");
    let pipe_made = Command::new("mkfifo").arg(&journal).status();
    assert!(pipe_made.expect("mkfifo is there").success());
    let _ = (torn, copied, open, pipe);

    let report = recover(&store);
    assert_eq!(report.count(Outcome::Alien), 4, "{report:?}");
    assert_eq!(report.count(Outcome::Recovered), 1, "{report:?}");
    for found in &report.found {
        let alien = found.outcome == Outcome::Alien;
        assert_eq!(alien, found.gate == Some(Gate::Enrollment), "{found:?}");
    }
    for kept in [&torn_path, &renamed, &open_path, &pipe_path] {
        assert!(kept.exists() && !kept.join("journal.1.jsonl").exists());
    }
}

#[test]
fn an_enrollment_alone_says_whose_it_is() {
    let room = tempfile::tempdir().expect("a directory");
    let store = store_in(room.path());
    let info = own_info(&store);
    let mut whose = enrollment(info.session_id.as_str());
    whose.boot_id.clone_from(&info.boot_id);
    whose.pid_ns = info.observer.pid_ns;
    (whose.pid, whose.starttime_ticks) = (info.root.pid, info.root.starttime_ticks);
    (whose.root_pid, whose.root_starttime_ticks) = (None, None);
    whose.comm = b"pyth\"on".to_vec();
    let (_, path) = interrupted(&store, info, vec![fork(1), row(2)]);
    std::fs::write(path.join("enrollment.json"), whose.encode()).expect("written");
    // The first line is damaged: nothing else says whose journal it is.
    let journal = path.join("journal.0.jsonl");
    let mut bytes = std::fs::read(&journal).expect("there");
    bytes[40] ^= 1;
    std::fs::write(&journal, bytes).expect("damaged");
    let (outcome, _, reason) = only(&recover(&store));
    assert_eq!(outcome, Outcome::Recovered, "{reason}");
    let summary = json(&path.join("summary.json"));
    assert_eq!(summary["labels"]["ci"], "main");
    assert_eq!(summary["snapshot_count"], 1);
    let reasons = summary["completeness"]["reasons"].to_string();
    assert!(reasons.contains("damaged line"), "{reasons}");
}

#[test]
fn rows_of_a_wrapper_are_put_aside_whole_and_an_exec_explains_them() {
    let room = tempfile::tempdir().expect("a directory");
    let store = store_in(room.path());
    let info = own_info(&store);
    let records = vec![pinned(&info, "claude"), row_of(&info, "script")];
    let (id, path) = interrupted(&store, info, records);
    let before = all_bytes(&path);
    let (outcome, gate, reason) = only(&recover(&store));
    let aside = room.path().join("state/quarantine").join(id.as_str());
    assert_eq!((outcome, gate), (Outcome::Quarantined, Some(Gate::Alien)));
    assert!(reason.contains("script") && reason.contains("claude"));
    assert!(!path.exists());
    let after = all_bytes(&aside);
    for (name, bytes) in before {
        let name = name.strip_prefix(&path).expect("below");
        assert_eq!(after.get(&aside.join(name)), Some(&bytes), "{name:?}");
    }
    assert_eq!(recover(&store).found, []);

    let info = own_info(&store);
    let mut exec = exec(1);
    if let Body::Event(tracer::event::EventKind::Exec(exec)) = &mut exec.body {
        exec.process = match pinned(&info, "").body {
            Body::Target(target) => match *target {
                TargetBody::Pinned(pinned) => pinned.process,
                TargetBody::Unresolved { .. } => unreachable!("pinned"),
            },
            _ => unreachable!("a target"),
        };
        exec.comm = Comm::from_bytes(b"script");
    }
    let records = vec![pinned(&info, "claude"), exec, row_of(&info, "script")];
    interrupted(&store, info, records);
    assert_eq!(only(&recover(&store)).0, Outcome::Recovered);
}

/// A journal can be written by anyone who can compute a checksum: the boot it claims decides.
#[test]
fn a_journal_copied_from_another_boot_is_that_boots() {
    let room = tempfile::tempdir().expect("a directory");
    let store = store_in(room.path());
    let (_, path) = crashed(&store);
    let journal = path.join("journal.0.jsonl");
    let (entries, _) = read_journal(&path);
    let mut bytes = Vec::new();
    for entry in entries {
        let mut body = entry.body;
        if let Body::Session(info) = &mut body {
            info.boot_id = "e0f3a1c2-0000-4000-8000-000000000000".to_owned();
        }
        Encoder::default().line(&mut bytes, entry.seq, entry.t, &body);
    }
    std::fs::write(&journal, bytes).expect("edited");
    assert_eq!(only(&recover(&store)).0, Outcome::HostReboot);
}
