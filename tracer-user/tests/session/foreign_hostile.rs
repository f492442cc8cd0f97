//! Another recorder's directory, where others may have laid something out for us.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::json;
use tracer::session::recover::{Options, Outcome};

use crate::{
    crashed::proc,
    foreign::{Place, age, row_text},
};

#[test]
fn r7_files_made_to_harm_are_told_of_and_touch_nothing() {
    let place = Place::on_disk();
    place.pair(|_| {});
    let enrollment = |pid: u32| {
        let boot_id = proc().host().boot_id.clone();
        json!({"schema_version": 2, "pid": pid, "boot_id": boot_id, "starttime_ticks": 1,
            "comm": "claude"})
        .to_string()
    };
    let secret = place.room.path().join("secret");
    std::fs::write(&secret, row_text(1)).expect("written");
    age(&secret, Duration::from_secs(3600));
    // A link to a file outside, a second name of it, a pipe, one that others may write, one too deep,
    // one without its partner, one of another pid, one of an unknown schema.
    for (pid, name) in [
        (11, "link"),
        (12, "hard"),
        (13, "pipe"),
        (14, "open"),
        (15, "deep"),
    ] {
        place.old(&format!("{name}_enrollment_{pid}.json"), enrollment(pid));
    }
    std::os::unix::fs::symlink(&secret, place.theirs("link_trace_11.jsonl")).expect("linked");
    std::fs::hard_link(&secret, place.theirs("hard_trace_12.jsonl")).expect("linked");
    let pipe = Command::new("mkfifo")
        .arg(place.theirs("pipe_trace_13.jsonl"))
        .status();
    assert!(pipe.expect("mkfifo is there").success());
    let open = place.old("open_trace_14.jsonl", row_text(1));
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(&open, mode).expect("ours");
    place.old("deep_enrollment_15.json", "[".repeat(500_000));
    place.old("deep_trace_15.jsonl", row_text(1));
    place.old("lone_trace_16.jsonl", row_text(1));
    place.old("other_enrollment_17.json", enrollment(18));
    place.old("other_trace_17.jsonl", row_text(1));
    let future = enrollment(19).replace("\"schema_version\":2", "\"schema_version\":9");
    place.old("future_enrollment_19.json", future);
    place.old("future_trace_19.jsonl", row_text(1));
    place.old("x\ny_enrollment_20.json", "no");
    place.old("x\ny_trace_20.jsonl", "no");
    let before = all_bytes_of_files(&place.theirs(""));

    let found = place.recover(&Options::default());
    let of = |outcome| {
        found
            .iter()
            .filter(|found| found.outcome == outcome)
            .count()
    };
    assert_eq!(
        (of(Outcome::Recovered), of(Outcome::Alien)),
        (1, 9),
        "{found:#?}"
    );
    let said = |name: &str| {
        let found = found.iter().find(|found| found.name.starts_with(name));
        found.expect("looked at").reason.clone()
    };
    assert!(said("link").contains("no plain file"), "{}", said("link"));
    assert!(said("hard").contains("another name"));
    assert!(said("pipe").contains("no plain file"));
    assert!(said("open").contains("written by others"));
    assert!(said("lone").contains("no enrollment"));
    assert!(said("other").contains("pid 18"));
    assert!(said("future").contains("schema 9"), "{}", said("future"));
    assert_eq!(all_bytes_of_files(&place.theirs("")), before);
    assert_eq!(place.store.session_ids().expect("listed").len(), 1);
}

/// Plain files only: reading a pipe would wait.
fn all_bytes_of_files(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(path)
        .expect("listed")
        .map(|e| e.expect("listed"));
    let plain = entries.filter(|entry| entry.file_type().expect("known").is_file());
    let mut all: Vec<_> = plain
        .map(|entry| (entry.path(), std::fs::read(entry.path()).expect("ours")))
        .collect();
    all.sort();
    all
}
