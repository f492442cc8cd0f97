//! The lock that says a session's observer lives is held by the observer, and by nothing it starts.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tracer_tests::launch::Running;
use tracer_tests::room::Room;
use tracer_tests::wait::{PATIENCE, wait_for};
use tracer_tests::{place, proc};

/// Whether somebody holds the lock on a session's lease; `None` while there is no lease.
fn is_held(session: &Path) -> Result<Option<bool>> {
    let Ok(file) = File::open(session.join("lease")) else {
        return Ok(None);
    };
    // SAFETY: all zeroes is a valid `flock`: integers only.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = i16::try_from(libc::F_WRLCK)?;
    // SAFETY: the descriptor is open and `lock` is a live `flock`, which this command fills in.
    let asked = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
    ensure!(asked == 0, "{}", std::io::Error::last_os_error());
    Ok(Some(i32::from(lock.l_type) != libc::F_UNLCK))
}

fn image(pid: i32) -> Result<PathBuf> {
    Ok(std::fs::read_link(format!("/proc/{pid}/exe"))?)
}

/// The one session of a running tracer, when its lease is held.
fn held_session(room: &Room) -> Result<PathBuf> {
    wait_for("a session with a lease", PATIENCE, || {
        let folders = room.session_folders()?;
        let Some(folder) = folders.first() else {
            return Ok(None);
        };
        let held = is_held(folder)?.context("a session that can be seen has a lease")?;
        Ok(held.then(|| folder.clone()))
    })
}

/// A process below tracer that has not executed the command, stopped where it is.
fn stopped_before_exec(tracer: &Running) -> Result<(i32, rustix::fd::OwnedFd)> {
    let child = wait_for("tracer's child", PATIENCE, || {
        ensure!(!tracer.has_ended()?, "tracer ended: {}", tracer.stderr());
        Ok(proc::descendants(tracer.pid())
            .into_iter()
            .find(|pid| *pid != tracer.pid()))
    })?;
    let pidfd = pidfd_open(Pid::from_raw(child).context("a pid")?, PidfdFlags::empty())?;
    pidfd_send_signal(&pidfd, Signal::STOP)?;
    wait_for("its stop", PATIENCE, || {
        Ok((proc::state(child) == Some('T')).then_some(()))
    })?;
    ensure!(
        image(child)? == place::tracer()?.canonicalize()?,
        "it has executed already: this test was too slow to see anything"
    );
    Ok((child, pidfd))
}

#[test]
fn n13_a_target_that_is_forked_and_has_not_executed_does_not_hold_the_lease() -> Result<()> {
    for options in [&[][..], &["--pty"]] {
        let room = Room::new()?;
        let mut tracer = room
            .run()?
            .args(options)
            .command(["sleep", "600"])
            .spawn()?;
        let (child, pidfd) = stopped_before_exec(&tracer)?;
        let session = held_session(&room)?;
        tracer.signal(Signal::KILL)?;
        tracer.child()?.wait()?;
        ensure!(
            image(child)? == place::tracer()?.canonicalize()?,
            "still tracer's own image, with whatever it inherited"
        );
        ensure!(proc::state(child) == Some('T'));
        ensure!(
            is_held(&session)? == Some(false),
            "{options:?}: it holds the lease"
        );
        pidfd_send_signal(&pidfd, Signal::KILL)?;
    }
    Ok(())
}

#[test]
fn n3_a_killed_observer_frees_its_lease_at_once_while_the_workload_lives_on() -> Result<()> {
    let room = Room::new()?;
    let mut tracer = room.run()?.observe("idle", &[])?.spawn()?;
    let session = held_session(&room)?;
    let idle = place::fixture("idle")?.canonicalize()?;
    let workload = wait_for("the workload", PATIENCE, || {
        Ok(proc::descendants(tracer.pid())
            .into_iter()
            .find(|pid| image(*pid).is_ok_and(|image| image == idle)))
    })?;
    let pidfd = pidfd_open(
        Pid::from_raw(workload).context("a pid")?,
        PidfdFlags::empty(),
    )?;
    ensure!(is_held(&session)? == Some(true));
    tracer.signal(Signal::KILL)?;
    tracer.child()?.wait()?;
    ensure!(is_held(&session)? == Some(false));
    ensure!(image(workload)? == idle, "the workload lives");
    let targets: Vec<_> = std::fs::read_dir(format!("/proc/{workload}/fd"))?
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .collect();
    ensure!(
        !targets
            .iter()
            .any(|target| target.starts_with(room.state())),
        "{targets:?}"
    );
    pidfd_send_signal(&pidfd, Signal::KILL)?;
    Ok(())
}

#[test]
fn c25_when_tracer_has_ended_its_session_is_whole_and_free() -> Result<()> {
    let room = Room::new()?;
    room.run()?
        .command(["true"])
        .finish(PATIENCE)?
        .expect_code(0)?;
    let session = room.session_folder()?;
    ensure!(is_held(&session)? == Some(false));
    let mut files: Vec<_> = std::fs::read_dir(&session)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    files.sort();
    ensure!(
        files
            == [
                "enrollment.json",
                "journal.0.jsonl",
                "lease",
                "proc_trace.jsonl",
                "summary.json"
            ],
        "{files:?}"
    );
    let names: Vec<_> = std::fs::read_dir(room.state())?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<Result<_>>()?;
    ensure!(names.len() == 2, "sessions and their index: {names:?}");
    let sessions = std::fs::read_dir(room.state().join("sessions"))?;
    ensure!(sessions.count() == 1, "nothing unfinished beside it");
    Ok(())
}
