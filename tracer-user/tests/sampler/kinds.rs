//! Kinds of processes, field by field against another reader of `/proc`.

use std::{fmt::Write as _, time::Duration};

use tracer::{procfs::ReadEnd, snapshot::SnapshotRow};

use crate::{
    fixture::{Fixture, now, row, sampler, subject, wait_for},
    oracle::{assert_row_is_true, settle},
    ways::kernel_row,
};

/// Starts a role, waits until it rests, and checks the whole row, of both ways.
pub(crate) fn resting(role: &str) -> (Fixture, SnapshotRow) {
    let fixture = Fixture::start(role);
    let process = settle(fixture.pid(), 'S');
    let row = both_ways(&process);
    (fixture, row)
}

/// The row of a process that rests, the same by both ways and true.
pub(crate) fn both_ways(process: &procfs::process::Process) -> SnapshotRow {
    let pid = process.pid.cast_unsigned();
    let row = row(pid);
    assert_row_is_true(&row, process);
    let mut other = kernel_row(pid);
    assert_row_is_true(&other, process);
    // What changes while one looks is compared with the truth alone.
    other.captured_at.clone_from(&row.captured_at);
    other.cgroup_memory_kb = row.cgroup_memory_kb;
    // Before Linux 6.2 files do not tell of a number that is taken for what is not open yet.
    other.fd_count = row.fd_count;
    // Files have it in two parts of whole clock ticks each.
    let cpu_us = row.cpu_us.unwrap().abs_diff(other.cpu_us.unwrap());
    assert!(cpu_us <= 30_000, "{row:?}\n{other:?}");
    other.cpu_us = row.cpu_us;
    assert_eq!(other, row);
    row
}

pub(crate) fn renamed(name: &[u8]) -> SnapshotRow {
    let hex = name.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    let (fixture, row) = resting(&format!("rename:{hex}"));
    fixture.finish();
    row
}

#[test]
fn a_process_that_rests() {
    let (fixture, row) = resting("rest");
    assert_eq!(row.threads, Some(1));
    assert_ne!(row.wchan.as_deref(), Some(""));
    assert_eq!(row.cpu_percent, None);
    fixture.finish();
}

#[test]
fn many_threads_count_their_switches_together() {
    let (fixture, row) = resting("threads:24");
    assert_eq!(row.threads, Some(25));
    let leader = procfs::process::Process::new(fixture.pid().cast_signed()).unwrap();
    let leader = leader.status().unwrap().voluntary_ctxt_switches.unwrap();
    assert!(row.ctx_switches_voluntary.unwrap() >= leader + 24);
    fixture.finish();
}

#[test]
fn many_descriptors() {
    let (fixture, row) = resting("fds:400");
    assert!(row.fd_count.unwrap() >= 403);
    fixture.finish();
}

#[test]
fn no_descriptors_at_all_is_a_true_zero() {
    let (_fixture, row) = resting("no-fds");
    assert_eq!((row.fd_count, row.net_established), (Some(0), Some(0)));
}

#[test]
fn pending_signals_of_the_process_and_of_the_thread_are_one_mask() {
    let (_fixture, row) = resting("pending");
    let bit = |signal: i32| 1_u64 << (signal - 1);
    let mask = bit(libc::SIGUSR1) | bit(libc::SIGUSR2);
    assert_eq!(row.sig_pnd, Some(format!("{mask:016x}")));
    let blocked = mask | bit(libc::SIGTERM);
    assert_eq!(row.sig_blk, Some(format!("{blocked:016x}")));
}

#[test]
fn caught_signals() {
    let (fixture, row) = resting("catching");
    let caught = u64::from_str_radix(&row.sig_cgt.unwrap(), 16).unwrap();
    assert_ne!(caught & (1 << (libc::SIGUSR1 - 1)), 0);
    fixture.finish();
}

#[test]
fn a_comm_that_imitates_the_rest_of_the_line() {
    assert_eq!(renamed(b") R 1 (").comm.as_deref(), Some(") R 1 ("));
    assert_eq!(
        renamed(b"a) Z 0 0 (b c").comm.as_deref(),
        Some("a) Z 0 0 (b c")
    );
}

#[test]
fn a_comm_with_newlines_blanks_and_backslashes() {
    let name = "a\nVmRSS:\t9 \\n";
    assert_eq!(renamed(name.as_bytes()).comm.as_deref(), Some(name));
}

#[test]
fn a_comm_that_is_not_utf8_is_shown_with_replacements() {
    // The other reader refuses such a process, so only this field is compared.
    let fixture = Fixture::start("rename:fffe78");
    assert_eq!(
        row(fixture.pid()).comm.as_deref(),
        Some("\u{fffd}\u{fffd}x")
    );
}

#[test]
fn an_empty_comm_is_an_empty_string() {
    assert_eq!(renamed(b"").comm.as_deref(), Some(""));
}

#[test]
fn a_process_that_may_not_be_dumped() {
    resting("undumpable").0.finish();
}

#[test]
fn a_process_of_another_user() {
    resting("nobody").0.finish();
}

#[test]
fn established_connections_are_its_own_and_each_counts_once() {
    let (fixture, row) = resting("tcp4");
    assert_eq!(row.net_established, Some(6));
    // This process sees the same table and owns none of them.
    let own = self::row(std::process::id());
    assert_eq!(own.net_established, Some(0));
    fixture.finish();
}

#[test]
fn connections_over_ipv6() {
    let (fixture, row) = resting("tcp6");
    assert_eq!(row.net_established, Some(6));
    fixture.finish();
}

#[test]
fn connections_in_another_network_namespace() {
    let (fixture, row) = resting("tcp4-elsewhere");
    assert_eq!(row.net_established, Some(6));
    fixture.finish();
}

#[test]
fn the_table_of_each_network_namespace_is_its_own() {
    let here = Fixture::start("tcp4");
    let there = Fixture::start("tcp4-elsewhere");
    let mut sampler = sampler();
    let now = now(&sampler);
    let tick = sampler.tick(now, [here.pid(), there.pid(), here.pid()].map(subject));
    let counts: Vec<_> = tick
        .rows
        .iter()
        .map(|sample| sample.row.net_established)
        .collect();
    assert_eq!(counts, [Some(6), Some(6), Some(6)]);
}

#[test]
fn an_image_without_a_name() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    std::fs::copy(std::env::current_exe().unwrap(), &image).unwrap();
    let fixture = Fixture::start_from(&image, "rest");
    std::fs::remove_file(&image).unwrap();
    let process = settle(fixture.pid(), 'S');
    both_ways(&process);
    let root = tracer::procfs::ProcRoot::open("/proc").unwrap();
    let exe = root
        .process(tracer::units::Tgid(fixture.pid()))
        .unwrap()
        .exe()
        .unwrap();
    assert!(exe.deleted);
    assert_eq!(exe.path, image.canonicalize().unwrap_or(image));
}

#[test]
fn an_oom_adjustment() {
    let (_fixture, row) = resting("oom-adj:300");
    assert_eq!(row.oom_score_adj, Some(300));
}

#[test]
fn a_limit_of_descriptors() {
    let (_fixture, row) = resting("nofile:77");
    assert_eq!(row.fd_soft_limit, Some(77));
}

#[test]
fn memory_that_was_given_back_stays_in_the_peak() {
    let (_fixture, row) = resting("memory");
    assert!(row.vm_hwm_kb.unwrap() > 64 << 10);
    assert!(row.vm_rss_kb.unwrap() < row.vm_hwm_kb.unwrap() - (32 << 10));
}

#[test]
fn bytes_written_to_a_disk() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (fixture, row) = resting(&format!("writer:{}", dir.path().display()));
    assert!(row.io_write_bytes.unwrap() >= 1 << 20);
    fixture.finish();
}

#[test]
fn a_stopped_process() {
    let fixture = Fixture::start("rest");
    let pid = rustix::process::Pid::from_raw(fixture.pid().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    both_ways(&settle(fixture.pid(), 'T'));
}

#[test]
fn a_process_stopped_by_its_tracer() {
    let fixture = Fixture::start("traced-parent");
    both_ways(&settle(fixture.named_pid(), 't'));
    fixture.finish();
}

#[test]
fn a_process_in_uninterruptible_sleep() {
    let fixture = Fixture::start("vfork-parent");
    let row = both_ways(&settle(fixture.named_pid(), 'D'));
    assert_eq!(row.state.as_deref(), Some("disk-sleep"));
    fixture.finish();
}

#[test]
fn a_running_process_waits_nowhere_and_uses_the_processor() {
    let fixture = Fixture::start("spin");
    let subject = subject(fixture.pid());
    let mut sampler = sampler();
    let first = sampler.one(now(&sampler), &subject).unwrap().row;
    assert_eq!(first.cpu_percent, None);
    let process = settle(fixture.pid(), 'R');
    let used = |process: &procfs::process::Process| process.stat().unwrap().utime;
    let (before, started) = (used(&process), now(&sampler).mono_ns);
    wait_for("half a second of CPU time", || {
        used(&process) >= before + 50
    });
    let second = sampler.one(now(&sampler), &subject).unwrap().row;
    let passed = Duration::from_nanos(now(&sampler).mono_ns - started);
    let least = 50.0 / passed.as_secs_f64();
    let percent = second.cpu_percent.unwrap();
    assert!(
        percent >= least * 0.9 - 1.0 && percent <= 110.0,
        "{percent} %, at least {least} %"
    );
    assert_eq!(
        (second.state.as_deref(), second.wchan.as_deref()),
        (Some("running"), Some(""))
    );
    assert_eq!(second.threads, Some(2));
}

#[test]
fn a_zombie_says_what_the_kernel_still_knows_and_why_not_the_rest() {
    let fixture = Fixture::start("zombie-parent");
    let pid = fixture.named_pid();
    settle(pid, 'Z');
    let row = row(pid);
    assert_eq!(row.state.as_deref(), Some("zombie"));
    assert_eq!(row.ppid, Some(fixture.pid()));
    assert!(row.ctx_switches_voluntary.is_some() && row.comm.is_some());
    assert_eq!(
        (row.vm_rss_kb, row.vm_hwm_kb, row.fd_count),
        (None, None, None)
    );
    assert_eq!(
        (row.oom_score, &row.wchan, row.net_established),
        (None, &None, None)
    );
    for key in [
        "vm_rss_kb",
        "vm_hwm_kb",
        "fd_count",
        "oom_score",
        "wchan",
        "net_established",
        "cgroup",
        "cgroup_memory_kb",
        "cgroup_memory_limit_kb",
    ] {
        assert_eq!(
            row.unread.get(key).map(String::as_str),
            Some("zombie"),
            "{key}"
        );
    }
    assert_eq!(row.unread.len(), 9, "{:?}", row.unread);
    fixture.finish();
}

#[test]
fn a_process_whose_leader_ended_first_still_has_memory_and_descriptors() {
    let fixture = Fixture::start("leader-ends");
    let process = settle(fixture.pid(), 'Z');
    let row = row(fixture.pid());
    assert_eq!(row.unread, std::collections::BTreeMap::new());
    assert_eq!(
        (row.state.as_deref(), row.threads),
        (Some("zombie"), Some(2))
    );
    let worker = process
        .tasks()
        .unwrap()
        .map(Result::unwrap)
        .find(|task| task.tid != task.pid)
        .unwrap();
    assert_eq!(row.vm_rss_kb, worker.status().unwrap().vmrss);
    assert!(row.fd_count.unwrap() >= 3 && row.vm_rss_kb.unwrap() > 0);
    fixture.finish();
}

#[test]
fn a_process_that_was_reaped_is_gone() {
    let fixture = Fixture::start("rest");
    let subject = subject(fixture.pid());
    fixture.finish();
    let mut sampler = sampler();
    let now = now(&sampler);
    assert!(matches!(sampler.one(now, &subject), Err(ReadEnd::Gone)));
}
