//! Kinds that look beyond the process: at its threads, and at the limit of its cgroup.

use super::*;

#[test]
fn disk_sleep_of_any_thread_counts() {
    let asleep = |wchan: &'static [&'static str]| {
        move |row: &mut SnapshotRow| {
            row.threads_disk_sleep = Some(wchan.len() as u64);
            row.threads_disk_sleep_wchan =
                Some(wchan.iter().map(|&wchan| wchan.to_owned()).collect());
        }
    };
    let unknown = |row: &mut SnapshotRow| {
        row.threads_disk_sleep = None;
        row.threads_disk_sleep_wchan = None;
    };
    let mut story = Story::new();
    assert_eq!(story.row(asleep(&["", "io_schedule"])), []);
    // The leader sleeps well, and nobody looked at the others.
    assert_eq!(story.row(unknown), []);
    let told = story.row(asleep(&["do_nanosleep", "io_schedule"]));
    assert_eq!(signs(&told), ["+d_state_sustained"]);
    let Some(Detail::DState { wchan, .. }) = detail_of(&told, Kind::DStateSustained) else {
        panic!("{told:?}");
    };
    assert_eq!(wchan, "io_schedule");
    assert_eq!(story.row(unknown), []);
    let told = story.row(asleep(&["do_nanosleep", ""]));
    assert_eq!(signs(&told), ["-d_state_sustained"]);
}

#[test]
fn the_limit_of_the_cgroup_counts_where_there_is_one() {
    let used = |limit| {
        move |row: &mut SnapshotRow| {
            row.vm_rss_kb = Some(100_000);
            row.cgroup_memory_limit_kb = limit;
        }
    };
    let mut story = Story::new();
    // 799 thousandths of it would be a spike: it is there from the first row on.
    for limit in [Some(125_156), Some(-1), None] {
        let told = story.row(used(limit));
        let critical = told
            .iter()
            .filter(|change| change.kind == Kind::OomCritical);
        assert_eq!(critical.count(), 0, "{limit:?}");
    }
    let told = story.row(used(Some(125_000)));
    let expected = Detail::OomCritical {
        oom_score: 800,
        oom_score_raw: 12,
        of: "cgroup",
    };
    assert_eq!(detail_of(&told, Kind::OomCritical), Some(&expected));
}
