//! Another recorder's pairs of files, taken over by the same gates and by their age.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Barrier,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use tracer::session::{
    Store,
    recover::{Found, Options, Outcome, foreign::Importer, gates::Gate},
};

use crate::{crashed::*, support::*};

/// A directory with pairs in it, and a store.
pub(crate) struct Place {
    pub(crate) room: tempfile::TempDir,
    pub(crate) store: Store,
}

impl Place {
    pub(crate) fn on_disk() -> Self {
        Self::in_room(tempfile::tempdir().expect("a directory"))
    }

    fn in_room(room: tempfile::TempDir) -> Self {
        std::fs::create_dir(room.path().join("theirs")).expect("made");
        let store = store_in(room.path());
        Self { room, store }
    }

    pub(crate) fn theirs(&self, name: &str) -> PathBuf {
        self.room.path().join("theirs").join(name)
    }

    /// Writes a file that was last written to an hour ago.
    pub(crate) fn old(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.theirs(name);
        std::fs::write(&path, text).expect("written");
        age(&path, Duration::from_secs(3600));
        path
    }

    /// A pair as its recorder leaves it when it is killed.
    pub(crate) fn pair(&self, edit: impl FnOnce(&mut Value)) -> u32 {
        let (pid, start) = dead();
        let mut enrollment = json!({
            "schema_version": 2,
            "session_id": "their-own/../id",
            "pid": pid,
            "boot_id": proc().host().boot_id,
            "starttime_ticks": start.0,
            "comm": "claude",
            "cmdline": "claude --print",
            "enrolled_at": "2026-11-21T05:45:12.5+00:00",
            "kitchen_id": "k1",
            "order_id": "o1",
        });
        edit(&mut enrollment);
        self.old(&format!("t_enrollment_{pid}.json"), enrollment.to_string());
        let rows: Vec<String> = (0..5).map(row_text).collect();
        self.old(&format!("t_trace_{pid}.jsonl"), rows.concat());
        pid
    }

    pub(crate) fn recover(&self, options: &Options) -> Vec<Found> {
        let proc = proc();
        let mut importer = Importer::new(Some(&self.store), &proc, own(&proc), options);
        importer.run(&self.theirs("")).expect("listed")
    }

    pub(crate) fn only(&self) -> Found {
        let mut found = self.recover(&Options::default());
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    pub(crate) fn session(&self, found: &Found) -> PathBuf {
        self.store
            .session_path(&found.session.expect("it became one"))
    }
}

pub(crate) fn age(path: &Path, by: Duration) {
    let then = SystemTime::now() - by;
    let file = File::options().write(true).open(path).expect("ours");
    file.set_modified(then).expect("ours");
}

pub(crate) fn row_text(n: u64) -> String {
    let row = json!({
        "captured_at": format!("2026-11-21T05:45:1{n}.000000Z"),
        "seq": n,
        "comm": "claude",
        "vm_rss_kb": 30_000 + n,
        "vm_hwm_kb": 30_000 + n,
        "oom_score": 600 + n,
        "their_own_key": {"n": n},
    });
    format!("{row}\n")
}

#[test]
fn a_pair_becomes_a_session_with_every_row_and_the_originals_stay() {
    let place = Place::on_disk();
    let pid = place.pair(|_| {});
    let before = all_bytes(&place.theirs(""));
    let found = place.only();
    assert_eq!(found.outcome, Outcome::Recovered, "{found:?}");
    assert_eq!(found.name, format!("t_trace_{pid}.jsonl"));
    assert_eq!(all_bytes(&place.theirs("")), before);

    let path = place.session(&found);
    let summary = json(&path.join("summary.json"));
    assert_eq!(summary["pid"], pid);
    assert_eq!(summary["subtype"], "crashed");
    assert_eq!(summary["termination_reason"], "CRASHED");
    assert_eq!(summary["exit_code"], -1);
    assert_eq!(summary["tracked_comm"], "claude");
    assert_eq!(summary["tracked_comm_drift"], false);
    assert_eq!(summary["snapshot_count"], 5);
    assert_eq!(summary["peak_rss_kb"], 30_004);
    assert_eq!(summary["peak_oom_score"], 604);
    assert_eq!(summary["labels"]["kitchen_id"], "k1");
    assert_eq!(summary["labels"]["order_id"], "o1");
    assert_eq!(summary["labels"]["foreign_session_id"], "their-own/../id");
    assert_eq!(summary["start_ts"], "2026-11-21T05:45:12.500000Z");
    assert_eq!(summary["end_ts"], "2026-11-21T05:45:14.000000Z");
    let enrollment = json(&path.join("enrollment.json"));
    assert_eq!(enrollment["schema_version"], 3);
    assert_eq!(enrollment["pid"], pid);

    let trace = std::fs::read_to_string(path.join("proc_trace.jsonl")).expect("rows");
    assert_eq!(trace.lines().count(), 5);
    for (n, line) in trace.lines().enumerate() {
        let row: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(row["their_own_key"]["n"], n);
        assert_eq!(row["ts"], row["captured_at"]);
        assert_eq!(
            (&row["event"], &row["pid"]),
            (&json!("snapshot"), &json!(pid))
        );
    }
    // Rebuilt from the journal alone it is the same.
    let whole = all_bytes(&path);
    std::fs::remove_file(path.join("summary.json")).expect("there");
    recover_with(&place.store, &Options::default());
    assert_eq!(all_bytes(&path), whole);
}

#[test]
fn a_pair_is_taken_over_once_also_by_four_at_once() {
    let place = Place::on_disk();
    for _ in 0..6 {
        place.pair(|_| {});
    }
    let start = Barrier::new(4);
    let taken: usize = std::thread::scope(|scope| {
        let each = || {
            start.wait();
            let found = place.recover(&Options::default());
            let recovered = |found: &&Found| found.outcome == Outcome::Recovered;
            assert!(
                found.iter().all(|found| found.outcome != Outcome::Failed),
                "{found:?}"
            );
            found.iter().filter(recovered).count()
        };
        let all: Vec<_> = (0..4).map(|_| scope.spawn(each)).collect();
        all.into_iter().map(|one| one.join().expect("ran")).sum()
    });
    assert_eq!(taken, 6);
    assert_eq!(place.store.session_ids().expect("listed").len(), 6);
    let before = all_bytes(place.room.path());
    let again = place.recover(&Options::default());
    assert!(again.iter().all(|found| found.outcome == Outcome::Whole));
    assert_eq!(all_bytes(place.room.path()), before);
}

#[test]
fn what_may_still_be_written_is_left_and_a_minute_later_it_is_not() {
    let place = Place::on_disk();
    let pid = place.pair(|_| {});
    for name in [
        format!("t_trace_{pid}.jsonl"),
        format!("t_enrollment_{pid}.json"),
    ] {
        let path = place.theirs(&name);
        age(&path, Duration::from_secs(20));
        let found = place.only();
        assert_eq!(
            (found.outcome, found.gate),
            (Outcome::Young, Some(Gate::Lease))
        );
        age(&path, Duration::from_secs(3600));
    }
    assert_eq!(place.only().outcome, Outcome::Recovered);
}

#[test]
fn a_living_process_is_no_crash_and_a_number_used_again_is_another() {
    let place = Place::on_disk();
    let child = Command::new("cat").stdin(Stdio::piped()).spawn();
    let mut child = child.expect("cat is there");
    let identity = proc()
        .process(tracer::units::Tgid(child.id()))
        .and_then(|dir| dir.identity());
    let start = identity.expect("it lives").start.0;
    let write = |start: Value| {
        let pid = child.id();
        let boot_id = proc().host().boot_id.clone();
        let text = json!({"schema_version": 1, "pid": pid, "boot_id": boot_id,
            "starttime_ticks": start, "comm": "claude", "enrolled_at": "2026-11-21T05:45:12Z"});
        place.old(&format!("_enrollment_{pid}.json"), text.to_string());
        place.old(&format!("_trace_{pid}.jsonl"), row_text(1));
    };
    write(json!(start));
    assert_eq!(place.only().outcome, Outcome::Alive);
    // Not known is not dead.
    write(Value::Null);
    assert_eq!(place.only().outcome, Outcome::Doubtful);
    write(json!(start - 1));
    assert_eq!(place.only().outcome, Outcome::Recovered);
    child.kill().expect("ours");
    child.wait().expect("ours");
}

#[test]
fn a_start_that_nobody_knows_costs_no_row() {
    let place = Place::on_disk();
    place.pair(|enrollment| enrollment["starttime_ticks"] = Value::Null);
    let found = place.only();
    assert_eq!(found.outcome, Outcome::Recovered, "{found:?}");
    let path = place.session(&found);
    assert_eq!(json(&path.join("summary.json"))["snapshot_count"], 5);
    let trace = std::fs::read_to_string(path.join("proc_trace.jsonl")).expect("rows");
    assert_eq!(trace.lines().count(), 5);
    assert!(
        !trace.contains("starttime_ticks"),
        "never a made-up one: {trace}"
    );
}

#[test]
fn another_boot_is_a_reboot_on_disk_and_stale_in_memory() {
    let on_disk = Place::on_disk();
    let in_memory = Place::in_room(tempfile::tempdir_in("/dev/shm").expect("a tmpfs"));
    for (place, expected) in [(on_disk, Outcome::HostReboot), (in_memory, Outcome::Stale)] {
        place.pair(|enrollment| enrollment["boot_id"] = json!("another"));
        let dry = Options {
            dry_run: true,
            ..Options::default()
        };
        let before = all_bytes(place.room.path());
        assert_eq!(place.recover(&dry)[0].outcome, expected);
        assert_eq!(all_bytes(place.room.path()), before);
        let found = place.only();
        assert_eq!((found.outcome, found.gate), (expected, Some(Gate::Boot)));
        let left = std::fs::read_dir(place.theirs("")).expect("listed").count();
        if expected == Outcome::Stale {
            assert_eq!((left, found.session), (0, None));
        } else {
            assert_eq!(left, 2);
            let summary = json(&place.session(&found).join("summary.json"));
            assert_eq!(summary["termination_reason"], "HOST_REBOOT");
            assert_eq!(summary["duration_seconds"], 1.5);
        }
    }
}

#[test]
fn rows_of_another_program_are_left_where_they_are() {
    let place = Place::on_disk();
    let pid = place.pair(|_| {});
    let row = json!({"captured_at": "2026-11-21T05:45:12Z", "comm": "script"});
    place.old(&format!("t_trace_{pid}.jsonl"), format!("{row}\n"));
    let before = all_bytes(place.room.path());
    let found = place.only();
    assert_eq!(
        (found.outcome, found.gate),
        (Outcome::Quarantined, Some(Gate::Alien))
    );
    assert_eq!(all_bytes(place.room.path()), before);
}

#[test]
fn good_rows_between_bad_ones_are_kept_and_the_rest_is_counted() {
    let place = Place::on_disk();
    let pid = place.pair(|_| {});
    let mut text = row_text(1).into_bytes();
    text.extend_from_slice(b"\xff\xfe\nnot json\n[1]\n");
    text.extend_from_slice(row_text(2).as_bytes());
    text.extend_from_slice(b"{\"captured_at\":\"2026-11-2");
    place.old(&format!("t_trace_{pid}.jsonl"), text);
    let found = place.only();
    assert_eq!(found.outcome, Outcome::Recovered);
    assert!(
        found.reason.contains("3 lines are no rows; 25 bytes"),
        "{found:?}"
    );
    let summary = json(&place.session(&found).join("summary.json"));
    assert_eq!(summary["snapshot_count"], 2);
    let reasons = summary["completeness"]["reasons"].to_string();
    assert!(reasons.contains("3 × damaged line"), "{reasons}");
}

#[test]
fn a_killed_import_goes_on_behind_the_rows_it_has() {
    let place = Place::on_disk();
    let pid = place.pair(|_| {});
    let found = place.only();
    let path = place.session(&found);
    // What a recoverer killed after two rows leaves: the beginning of the journal and the enrollment.
    let text = std::fs::read_to_string(path.join("journal.0.jsonl")).expect("there");
    let kept: Vec<&str> = text.split_inclusive('\n').take(5).collect();
    std::fs::write(path.join("journal.0.jsonl"), kept.concat()).expect("cut");
    for name in ["summary.json", "proc_trace.jsonl"] {
        std::fs::remove_file(path.join(name)).expect("there");
    }
    // An ordinary recovery knows that this is half a work, and leaves it.
    let report = recover_with(&place.store, &Options::default());
    assert_eq!(report.count(Outcome::Doubtful), 1, "{report:?}");
    let found = place.only();
    assert_eq!(found.outcome, Outcome::Recovered, "{found:?}");
    let summary = json(&path.join("summary.json"));
    assert_eq!(
        (&summary["snapshot_count"], &summary["pid"]),
        (&json!(5), &json!(pid))
    );
    let trace = std::fs::read_to_string(path.join("proc_trace.jsonl")).expect("rows");
    let rows: Vec<Value> = trace
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let numbers: Vec<_> = rows.iter().map(|row| row["foreign_seq"].as_u64()).collect();
    assert_eq!(numbers, [Some(0), Some(1), Some(2), Some(3), Some(4)]);
}
