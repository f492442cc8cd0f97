//! What is true of a process, by another reader of `/proc`.

use procfs::process::{LimitValue, Process};
use tracer::snapshot::SnapshotRow;

use crate::fixture::wait_for;

/// Waits until the leader is in `state` and stays out of the processor.
pub(crate) fn settle(pid: u32, state: char) -> Process {
    // Asleep is not yet at rest: wait for the call in which the roles rest.
    let rests: &[&str] = match state {
        'S' => &["pipe_read", "pause", "sigsuspend"],
        'D' => &["clone", "fork"],
        _ => &[""],
    };
    settle_at(pid, state, rests)
}

/// The same for a leader that waits in one of these places: kernels name them differently.
pub(crate) fn settle_at(pid: u32, state: char, rests: &[&str]) -> Process {
    let process = Process::new(pid.cast_signed()).unwrap();
    wait_for(&format!("{pid} in state {state}"), || {
        process.stat().is_ok_and(|stat| stat.state == state)
    });
    wait_for(&format!("{pid} at rest"), || {
        process
            .wchan()
            .is_ok_and(|place| rests.iter().any(|rest| place.contains(rest)))
    });
    if state == 'S' {
        // A thread that is asleep when it is looked at may wake while the others are.
        let mut before = None;
        wait_for("all threads asleep, and none since the look before", || {
            let now = switches_asleep(&process);
            now.is_some() && std::mem::replace(&mut before, now) == now
        });
    }
    process
}

/// Context switches of all threads, if all sleep.
fn switches_asleep(process: &Process) -> Option<u64> {
    let mut switches = 0;
    for task in process.tasks().ok()? {
        let task = task.ok()?;
        let status = task.status().ok()?;
        if task.stat().ok()?.state != 'S' {
            return None;
        }
        switches += status.voluntary_ctxt_switches? + status.nonvoluntary_ctxt_switches?;
    }
    Some(switches)
}

/// Compares each field of a resting process.
pub(crate) fn assert_row_is_true(row: &SnapshotRow, process: &Process) {
    let stat = process.stat().unwrap();
    let status = process.status().unwrap();
    assert_eq!(row.unread, std::collections::BTreeMap::new());
    assert_eq!(row.pid, process.pid.cast_unsigned());
    assert_eq!(row.ppid, Some(stat.ppid.cast_unsigned()));
    assert_eq!(row.starttime_ticks, stat.starttime);
    assert_eq!(row.state.as_deref(), Some(state_name(stat.state)));
    assert_eq!(row.vm_rss_kb, status.vmrss);
    assert_eq!(row.vm_hwm_kb, status.vmhwm);
    assert_eq!(row.threads, Some(status.threads));
    assert_fd_count_is_true(row, process);
    let limit = match process.limits().unwrap().max_open_files.soft_limit {
        LimitValue::Unlimited => -1,
        LimitValue::Value(count) => i64::try_from(count).unwrap(),
    };
    assert_eq!(row.fd_soft_limit, Some(limit));
    let (mut voluntary, mut involuntary) = (0, 0);
    for task in process.tasks().unwrap() {
        let status = task.unwrap().status().unwrap();
        voluntary += status.voluntary_ctxt_switches.unwrap();
        involuntary += status.nonvoluntary_ctxt_switches.unwrap();
    }
    assert_eq!(row.ctx_switches_voluntary, Some(voluntary));
    assert_eq!(row.ctx_switches_involuntary, Some(involuntary));
    let mask = |bits: u64| Some(format!("{bits:016x}"));
    assert_eq!(row.sig_pnd, mask(status.sigpnd | status.shdpnd));
    assert_eq!(row.sig_blk, mask(status.sigblk));
    assert_eq!(row.sig_cgt, mask(status.sigcgt));
    assert_eq!(row.oom_score, Some(i64::from(process.oom_score().unwrap())));
    assert_eq!(
        row.oom_score_adj,
        Some(i64::from(process.oom_score_adj().unwrap()))
    );
    let wchan = process.wchan().unwrap();
    assert_eq!(
        row.wchan.as_deref(),
        Some(if wchan == "0" { "" } else { wchan.as_str() })
    );
    let io = process.io().unwrap();
    assert_eq!(row.io_read_bytes, Some(io.read_bytes));
    assert_eq!(row.io_write_bytes, Some(io.write_bytes));
    assert_eq!(row.net_established, Some(established(process)));
    let tasks = process.tasks().unwrap().map(Result::unwrap);
    let asleep: Vec<_> = tasks
        .filter(|task| task.stat().unwrap().state == 'D')
        .collect();
    assert_eq!(row.threads_disk_sleep, Some(asleep.len() as u64));
    let wchan = asleep.iter().take(8).map(|task| {
        std::fs::read_to_string(format!("/proc/{}/task/{}/wchan", task.pid, task.tid)).unwrap()
    });
    let wchan: std::collections::BTreeSet<String> = wchan.collect();
    let told = row.threads_disk_sleep_wchan.clone().unwrap();
    assert_eq!(
        told.into_iter().collect::<std::collections::BTreeSet<_>>(),
        wchan
    );
    assert_cgroup_is_true(row, process);
}

/// A call that waits for what it will give a number to has taken the number already: the kernel counts it
/// and does not list it yet.
fn assert_fd_count_is_true(row: &SnapshotRow, process: &Process) {
    let listed = open_descriptors(process);
    let wchan = process.wchan().unwrap();
    let taken = u64::from(TAKES_A_NUMBER.iter().any(|place| wchan.contains(place)));
    let told = row.fd_count.unwrap();
    assert!(
        (listed..=listed + taken).contains(&told),
        "{told}: {listed} listed"
    );
}

/// Where `open` and `accept` wait.
const TAKES_A_NUMBER: &[&str] = &["wait_for_partner", "fifo_open", "inet_csk", "inet_accept"];

/// The memory cgroup of version 1 if there is that hierarchy, else the one of version 2.
fn assert_cgroup_is_true(row: &SnapshotRow, process: &Process) {
    let cgroups = process.cgroups().unwrap();
    let counting =
        |group: &&procfs::ProcessCGroup| group.controllers.iter().any(|name| name == "memory");
    let (old, new) = (
        cgroups.0.iter().find(counting),
        cgroups.0.iter().find(|group| group.hierarchy == 0),
    );
    let folder = |base: &str, file: &str, path: &str| {
        std::fs::read_to_string(format!("{base}{path}/{file}")).map(|text| text.trim().to_owned())
    };
    if let Some(old) = old {
        assert_eq!(row.cgroup.as_ref(), Some(&old.pathname));
        let base = "/sys/fs/cgroup/memory";
        let used: u64 = folder(base, "memory.usage_in_bytes", &old.pathname)
            .unwrap()
            .parse()
            .unwrap();
        let told = row.cgroup_memory_kb.unwrap();
        // It goes on changing; the figure must be of this cgroup all the same.
        assert!(told.abs_diff(used / 1024) < 512 << 10, "{told} of {used}");
        let stat = folder(base, "memory.stat", &old.pathname).unwrap();
        let lowest: u64 = stat
            .lines()
            .find_map(|line| line.strip_prefix("hierarchical_memory_limit "))
            .unwrap()
            .parse()
            .unwrap();
        let lowest = if lowest > 1 << 60 {
            -1
        } else {
            i64::try_from(lowest / 1024).unwrap()
        };
        assert_eq!(row.cgroup_memory_limit_kb, Some(lowest));
    } else if let Some(new) = new {
        assert_eq!(row.cgroup.as_ref(), Some(&new.pathname));
    }
}

/// Counted one by one: the crate's own count takes `.` and `..` for descriptors of one that has none.
pub(crate) fn open_descriptors(process: &Process) -> u64 {
    std::fs::read_dir(format!("/proc/{}/fd", process.pid))
        .unwrap()
        .count() as u64
}

/// Established connections among the process's own sockets.
pub(crate) fn established(process: &Process) -> u64 {
    let own: std::collections::BTreeSet<u64> = process
        .fd()
        .unwrap()
        .filter_map(|fd| match fd.unwrap().target {
            procfs::process::FDTarget::Socket(inode) => Some(inode),
            _ => None,
        })
        .collect();
    let tables = [process.tcp().unwrap(), process.tcp6().unwrap()];
    tables
        .iter()
        .flatten()
        .filter(|row| row.state == procfs::net::TcpState::Established && own.contains(&row.inode))
        .count() as u64
}

fn state_name(letter: char) -> &'static str {
    match letter {
        'R' => "running",
        'S' => "sleeping",
        'D' => "disk-sleep",
        'T' => "stopped",
        't' => "tracing-stop",
        'Z' => "zombie",
        other => panic!("state {other}"),
    }
}
