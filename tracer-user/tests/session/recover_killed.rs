//! Recoverers that are killed at random moments: the session is ended once, whole, by one of them.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use tracer::session::{
    epochs::replay,
    journal::record::ObserverEnding,
    recover::{Options, Outcome, foreign::Importer},
    status::{self, Status},
    summary::Summarizer,
};

use crate::{crashed::*, support::*};

const STATE: &str = "TRACER_TEST_RECOVER_STATE";

/// Recovers what is in a store, and takes over what is beside it.
#[test]
#[ignore = "the process that the tests below kill"]
fn recoverer() {
    let Some(place) = std::env::var_os(STATE) else {
        return;
    };
    let store = store_in(Path::new(&place));
    recover_with(&store, &Options::default());
    let theirs = Path::new(&place).join("theirs");
    if theirs.exists() {
        let (proc, options) = (proc(), Options::default());
        let mut importer = Importer::new(Some(&store), &proc, own(&proc), &options);
        importer.run(&theirs).expect("listed");
    }
}

fn start(place: &Path) -> std::process::Child {
    Command::new(std::env::current_exe().expect("known"))
        .args(["--ignored", "--exact", "recover_killed::recoverer"])
        .env(STATE, place)
        .stdout(Stdio::null())
        .spawn()
        .expect("started")
}

/// Kills recoverers, two at a time, after growing times until one has come through.
fn kill_until_through(place: &Path, step: Duration) -> u32 {
    let mut killed = 0;
    for round in 0_u32.. {
        let mut two = [start(place), start(place)];
        std::thread::sleep(step * round);
        let mut through = false;
        for child in &mut two {
            let _ended = child.kill();
            through |= child.wait().expect("ours").success();
        }
        if through {
            break;
        }
        killed += 2;
    }
    killed
}

#[test]
fn killed_recoverers_leave_a_session_that_ends_once_and_whole() {
    let mut killed = 0;
    for round in 0..12 {
        // More on a machine on which they come through at once.
        if round >= 3 && killed >= 6 {
            break;
        }
        let room = tempfile::tempdir().expect("a directory");
        let store = store_in(room.path());
        let records = (0..20_000).map(fork).collect();
        let (id, path) = interrupted(&store, own_info(&store), records);
        killed += kill_until_through(
            room.path(),
            Duration::from_micros(2_000 + 700 * (round % 3)),
        );
        // Who came through may have found it taken by the other one, which was killed.
        recover_with(&store, &Options::default());

        let dir = store.existing_session(&id).expect("there");
        let mut fold = Summarizer::new(own_info(&store));
        let standing = replay(&dir, &mut fold).expect("read");
        assert!(standing.counts.forks == 20_000, "{standing:?}");
        assert!(
            standing
                .epochs
                .iter()
                .all(|epoch| epoch.stats.bad_lines == 0)
        );
        assert!(standing.epochs.iter().all(|epoch| epoch.stats.missing == 0));
        let later: u64 = standing
            .epochs
            .iter()
            .map(|epoch| epoch.stats.later_ends)
            .sum();
        assert_eq!(later, 0, "one end: {standing:?}");
        let examined = status::examine(&dir);
        let Status::Ended(end) = examined.status else {
            panic!("{examined:?}");
        };
        let tracer::session::journal::Body::End(end) = end.body else {
            panic!("{end:?}");
        };
        assert_eq!(end.ending, ObserverEnding::Crashed);
        assert_eq!(
            json(&path.join("summary.json"))["completeness"]["forks"],
            20_000
        );
        // Nothing half done is left.
        for name in dir.names().expect("listed") {
            assert!(!name.starts_with('.'), "{name}");
        }
        let before = all_bytes(room.path());
        assert_eq!(
            recover_with(&store, &Options::default()).count(Outcome::Whole),
            1
        );
        assert_eq!(all_bytes(room.path()), before);
    }
    assert!(killed >= 6, "only {killed} were killed in the middle");
}

#[test]
fn killed_imports_give_each_row_once() {
    let room = tempfile::tempdir().expect("a directory");
    let theirs = room.path().join("theirs");
    std::fs::create_dir(&theirs).expect("made");
    let (pid, start) = dead();
    let boot_id = proc().host().boot_id.clone();
    let enrollment = serde_json::json!({"schema_version": 2, "pid": pid, "boot_id": boot_id,
        "starttime_ticks": start.0, "comm": "claude", "enrolled_at": "2026-11-21T05:45:12Z"});
    let row = |n: u32| format!("{{\"captured_at\":\"2026-11-21T05:45:13Z\",\"seq\":{n}}}\n");
    let rows: Vec<String> = (0..6_000).map(row).collect();
    for (name, text) in [
        (format!("a_enrollment_{pid}.json"), enrollment.to_string()),
        (format!("a_trace_{pid}.jsonl"), rows.concat()),
    ] {
        let path = theirs.join(name);
        std::fs::write(&path, text).expect("written");
        let file = std::fs::File::options().write(true).open(&path);
        let old = std::time::SystemTime::now() - Duration::from_secs(60);
        file.expect("ours").set_modified(old).expect("ours");
    }
    kill_until_through(room.path(), Duration::from_millis(11));
    let store = store_in(room.path());
    let (proc, options) = (proc(), Options::default());
    let mut importer = Importer::new(Some(&store), &proc, own(&proc), &options);
    // Who came through may have found it taken by the other one, which was killed: perhaps before there
    // was a session to claim.
    recover_with(&store, &Options::default());
    let found = importer.run(&theirs).expect("listed");
    let ids = store.session_ids().expect("listed");
    assert_eq!(ids.len(), 1, "{found:?}");
    let path = store.session_path(&ids[0]);
    assert_eq!(json(&path.join("summary.json"))["snapshot_count"], 6_000);
    let trace = std::fs::read_to_string(path.join("proc_trace.jsonl")).expect("rows");
    for (n, line) in trace.lines().enumerate() {
        assert!(
            line.contains(&format!("\"foreign_seq\":{n},")),
            "{n}: {line}"
        );
    }
    assert_eq!(trace.lines().count(), 6_000);
}
