//! The fixtures tell the truth: their logs against what strace sees of the same run, and their
//! reports against a second run of their own. Without tracer.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tracer_tests::check::until_noted;
use tracer_tests::facts::{Counts, Facts};
use tracer_tests::outline::{alone, same_lines};
use tracer_tests::pty::Pty;
use tracer_tests::room::Room;
use tracer_tests::truth::notes;
use tracer_tests::wait::{PATIENCE, wait_for};
use tracer_tests::{need, place, proc};

/// Processes made, and how each ended.
type Seen = (Counts<(i32, i32, i32)>, Counts<(i32, i32)>);

/// What strace saw.
fn by_strace(log: &str) -> Result<Seen> {
    let (mut forks, mut exits) = (Counts::new(), Counts::new());
    let mut threads = BTreeSet::new();
    // A call that another thread's line cut in two says what it asked for in its first half only.
    let mut making_threads = BTreeSet::new();
    for line in log.lines() {
        let (pid, rest) = line.trim_start().split_once(' ').context("no pid")?;
        let (pid, rest): (i32, _) = (pid.parse()?, rest.trim_start());
        if rest.ends_with("<unfinished ...>") {
            if rest.contains("CLONE_THREAD") {
                making_threads.insert(pid);
            }
            continue;
        }
        if let Some(code) = rest.strip_prefix("+++ exited with ") {
            let code: i32 = code.trim_end_matches(" +++").parse()?;
            *exits.entry((pid, code << 8)).or_default() += 1;
        } else if let Some(signal) = rest.strip_prefix("+++ killed by ") {
            let signal = match signal.split(' ').next().unwrap_or_default() {
                "SIGKILL" => libc::SIGKILL,
                "SIGTERM" => libc::SIGTERM,
                "SIGSEGV" => libc::SIGSEGV,
                "SIGABRT" => libc::SIGABRT,
                "SIGUSR1" => libc::SIGUSR1,
                other => anyhow::bail!("signal {other}"),
            };
            *exits.entry((pid, signal)).or_default() += 1;
        } else if let Some((_, child)) = rest.rsplit_once(" = ")
            && rest.contains("clone") | rest.contains("fork")
            && let Ok(child) = child.trim().parse::<i32>()
            && child > 0
        {
            *forks.entry((0, child, 0)).or_default() += 1;
            let resumed = rest.contains("resumed>") && making_threads.remove(&pid);
            if rest.contains("CLONE_THREAD") || resumed {
                threads.insert(child);
            }
        }
    }
    forks.retain(|(_, child, _), _| !threads.contains(child));
    exits.retain(|(pid, _), _| !threads.contains(pid));
    Ok((forks, exits))
}

/// Runs a fixture under strace and compares its log with strace's.
fn expect_truth(fixture: &str, args: &[&str]) -> Result<()> {
    need::program("strace", "strace")?;
    let room = Room::without_kernel()?;
    let log = room.path("strace");
    // seccomp-bpf lets the other system calls run at full speed.
    let calls = "trace=clone,clone3,fork,vfork";
    let launch = room
        .program("strace")
        .args(["-f", "-q", "--seccomp-bpf", "-e", calls, "-o"]);
    let launch = launch.arg(&log).arg(place::fixture(fixture)?).args(args);
    launch.finish(Duration::from_secs(120))?.expect_code(0)?;
    let (forks, mut exits) = by_strace(&std::fs::read_to_string(&log)?)?;
    let truth: Facts = room.true_facts()?;
    // The root cannot log its own end, and strace does not say who is told of one.
    exits.retain(|exit, _| truth.exits.contains_key(exit));
    let children = |forks: &Counts<(i32, i32, i32)>| {
        forks
            .iter()
            .map(|(&(_, child, _), &count)| ((0, child, 0), count))
            .collect()
    };
    let logged = Facts {
        forks: children(&truth.forks),
        execs: Counts::new(),
        ..truth
    };
    let seen = Facts {
        forks,
        execs: Counts::new(),
        exits,
    };
    logged
        .expect_same(&seen)
        .with_context(|| format!("{fixture} {args:?} against strace"))
}

#[test]
fn a_storms_log_is_what_strace_sees() -> Result<()> {
    expect_truth("storm", &["vfork", "2", "200"])?;
    expect_truth("storm", &["fork", "2", "200"])
}

#[test]
fn logs_of_unusual_parents_deaths_and_execs_are_what_strace_sees() -> Result<()> {
    let acts = [
        "double-fork",
        "subreaper",
        "clone-parent",
        "vfork",
        "posix-spawn",
        "threads",
    ];
    expect_truth("family", &acts)?;
    expect_truth(
        "execs",
        &["twice", "bytes", "huge", "empty", "by-fd", "missing"],
    )?;
    expect_truth("toucher", &["4", "5"])?;
    expect_truth("renamer", &[])
}

#[test]
fn two_reports_of_the_same_program_are_the_same() -> Result<()> {
    let room = Room::without_kernel()?;
    let first = alone(&room, "0", &["x"], &Ok)?;
    let second = alone(&room, "0", &["x"], &Ok)?;
    same_lines(&first.lines, &second.lines)
}

#[test]
fn a_difference_in_what_is_inherited_shows_in_the_report() -> Result<()> {
    let room = Room::without_kernel()?;
    let plain = alone(&room, "0", &[], &Ok)?;
    let changed = alone(&room, "0", &[], &|launch| {
        Ok(launch.before_exec(|| {
            tracer_tests::sys::ignore(libc::SIGPIPE, true);
            tracer_tests::sys::put_at(2, 77)?;
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o77));
            Ok(())
        }))
    })?;
    let told = same_lines(&plain.lines, &changed.lines)
        .err()
        .context("no difference seen")?;
    for part in ["SigIgn", "fd 77", "Umask 0077"] {
        ensure!(told.to_string().contains(part), "no {part} in {told}");
    }
    Ok(())
}

#[test]
fn a_death_by_a_leader_that_ends_first_is_known_to_wait4() -> Result<()> {
    let room = Room::without_kernel()?;
    let launch = room
        .fixture("death")?
        .args(["exit-group", "thread-exit", "kill", "fault"]);
    launch.finish(PATIENCE)?.expect_code(0)?;
    let statuses: BTreeSet<i32> = room
        .true_facts()?
        .exits
        .into_keys()
        .map(|(_, status)| status)
        .collect();
    ensure!(statuses == [0x700, 0x500, 0x9, 0xb].into(), "{statuses:x?}");
    Ok(())
}

#[test]
fn the_tests_own_terminal_passes_keys_and_sizes_on() -> Result<()> {
    let room = Room::without_kernel()?;
    let mut pty = Pty::new(24, 80)?;
    let listener = pty.spawn(room.fixture("listener")?)?;
    until_noted(&room, "ready")?;
    pty.resize(7, 13)?;
    let expect = |signal: &str| {
        wait_for(signal, PATIENCE, || {
            let truth = room.truth()?;
            Ok((notes(&truth).get("signal") == Some(&signal)).then_some(()))
        })
    };
    expect(&format!("{} 7x13", libc::SIGWINCH))?;
    pty.type_in(b"\x03")?;
    expect("2 7x13")?;
    listener.signal(rustix::process::Signal::TERM)?;
    pty.watch_to_end(&listener, PATIENCE)?;
    listener.finish(PATIENCE)?.expect_code(42)?;
    Ok(())
}

#[test]
fn what_runs_when_a_test_gives_up_is_killed_with_all_below_it() -> Result<()> {
    let room = Room::without_kernel()?;
    let shell = room
        .program("sh")
        .args(["-c", "\"$0\"; :"])
        .arg(place::fixture("idle")?);
    let running = shell.spawn()?;
    let below: i32 = until_noted(&room, "ready")?.parse()?;
    ensure!(proc::state(below).is_some());
    drop(running);
    wait_for("the end of what was below", PATIENCE, || {
        Ok(matches!(proc::state(below), None | Some('Z')).then_some(()))
    })
}
