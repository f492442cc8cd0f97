//! Numbers and times mean what they mean in the observer's own namespaces, or reading is refused.

use tracer::procfs::{ProcError, ProcRoot};

use crate::fixture::{Fixture, subject};

#[test]
fn a_procfs_of_another_pid_namespace_is_refused() {
    let unshare = ["unshare", "--pid", "--fork", "--kill-child"];
    let fixture = Fixture::start_behind(&unshare, "view:own-row");
    assert!(
        fixture.ready.contains("belongs to another pid namespace"),
        "{}",
        fixture.ready
    );
    assert!(
        fixture
            .ready
            .contains(&format!("which is {} here", fixture.pid())),
        "{}",
        fixture.ready
    );
}

#[test]
fn a_procfs_of_the_own_pid_namespace_serves() {
    let unshare = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let fixture = Fixture::start_behind(&unshare, "view:own-row");
    assert_eq!(fixture.ready, "own row");
}

#[test]
fn a_time_namespace_changes_neither_start_times_nor_the_boot_clock() {
    let fixture = Fixture::start("rest");
    let expected = subject(fixture.pid()).starttime_ticks.unwrap().0;
    let root = ProcRoot::open("/proc").unwrap();
    for offset in ["100000", "-5"] {
        let unshare = [
            "unshare",
            "--time",
            "--boottime",
            offset,
            "--monotonic",
            "777",
        ];
        let before = root.host().read_clock_pair().boot.0;
        let view = Fixture::start_behind(&unshare, &format!("view:start {}", fixture.pid()));
        let after = root.host().read_clock_pair().boot.0;
        let numbers: Vec<u64> = view
            .ready
            .split(' ')
            .map(|word| word.parse().unwrap_or_else(|_| panic!("{}", view.ready)))
            .collect();
        assert_eq!(numbers[0], expected, "offset {offset}");
        assert!((before..=after).contains(&numbers[1]), "offset {offset}");
    }
}

#[test]
fn a_place_without_procfs_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = ProcRoot::open(dir.path()).unwrap_err();
    assert!(matches!(error, ProcError::Read { .. }));
    let text = error.to_string();
    assert!(
        text.contains("/self") && text.contains("mount -t proc"),
        "{text}"
    );
}
