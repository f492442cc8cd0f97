//! A command whose tracer is killed, and what recovery makes of its session.

use std::ffi::CString;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use serde_json::Value;

use crate::check::{expect_order, until_armed};
use crate::launch::Running;
use crate::room::Room;
use crate::session::{Session, lost_total};
use crate::wait::{PATIENCE, readable, stretched, wait_for};
use crate::{journal, sys};

/// What makes a command wait for [`Watched::go`]. Whoever wrote the line before may not have closed its
/// end yet, and is no sign.
pub const AWAIT_GO: &str = "until read go < \"$GO\"; do :; done";

/// A command under tracer that waits for a line before it does its work.
#[derive(Debug)]
pub struct Watched {
    /// Its room.
    pub room: Room,
    /// Until it is killed.
    pub tracer: Option<Running>,
    /// The session's directory.
    pub folder: PathBuf,
    /// The command's pid.
    pub root: i32,
    go: PathBuf,
}

impl Watched {
    /// Starts it and waits until tracking is armed; `script` runs after a line was given by [`Self::go`].
    ///
    /// # Errors
    /// It is not so in time, or the system says no.
    pub fn start(script: &str, options: &[&str]) -> Result<Self> {
        let room = Room::new()?;
        let go = room.path("go");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &go,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )?;
        let script = format!("{AWAIT_GO}; {script}");
        let tracer = room
            .run()?
            .args(["-q", "--require-trace"])
            .args(options)
            .env("GO", &go)
            .command(["sh", "-c", &script])
            .spawn()?;
        let (folder, _) = until_armed(&room, &tracer)?;
        // A command that is held when tracer dies never begins.
        let journal = folder.join("journal.0.jsonl");
        let pid = wait_for("the command to begin", PATIENCE, || {
            let records = journal::read_growing(&journal)?;
            let exec = records.iter().find(|record| record.kind == "exec");
            exec.map(|exec| exec.int("pid")).transpose()
        })?;
        Ok(Self {
            room,
            tracer: Some(tracer),
            folder,
            root: i32::try_from(pid)?,
            go,
        })
    }

    /// Holds the command.
    ///
    /// # Errors
    /// It is not so in time, or the system says no.
    pub fn pidfd(&self) -> Result<OwnedFd> {
        let root = Pid::from_raw(self.root).context("pid 0")?;
        Ok(pidfd_open(root, PidfdFlags::empty())?)
    }

    /// Kills tracer as nothing can be caught.
    ///
    /// # Errors
    /// It is not so in time, or the system says no.
    pub fn kill(&mut self) -> Result<()> {
        let tracer = self.tracer.take().context("killed already")?;
        tracer.signal(Signal::KILL)?;
        let ended = tracer.finish(PATIENCE)?;
        ensure!(ended.signal == Some(9), "{ended:?}");
        Ok(())
    }

    /// Lets the command go on that reads a line from `$GO`.
    ///
    /// # Errors
    /// It does not read in time.
    pub fn go(&self) -> Result<()> {
        let mut file = wait_for("the command to wait for a line", PATIENCE, || {
            // Refused as long as nobody reads.
            let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
            let mut options = std::fs::OpenOptions::new();
            Ok(options
                .write(true)
                .custom_flags(nonblocking)
                .open(&self.go)
                .ok())
        })?;
        Ok(file.write_all(b"go\n")?)
    }

    /// Waits for the command's end.
    ///
    /// # Errors
    /// It is not so in time, or the system says no.
    pub fn until_over(&self, pidfd: &OwnedFd) -> Result<()> {
        let over = readable(pidfd, stretched(PATIENCE))?;
        ensure!(over, "the command {} is still running", self.root);
        Ok(())
    }

    /// Runs `tracer recover`; its report.
    ///
    /// # Errors
    /// It is not so in time, or the system says no.
    pub fn recover(&self) -> Result<Value> {
        let launch = self.room.tracer("recover")?.arg("--json");
        let done = launch.finish(PATIENCE)?.expect_code(0)?;
        Ok(serde_json::from_slice(&done.stdout)?)
    }

    /// Recovers the session and reads it.
    ///
    /// # Errors
    /// It is not so in time, or the system says no.
    pub fn recovered(&self) -> Result<Session> {
        let report = self.recover()?;
        ensure!(report["counts"]["recovered"] == 1, "{report}");
        self.nothing_is_left()?;
        Session::read(&self.folder)
    }

    /// Checks that no session is pinned any more.
    ///
    /// # Errors
    /// It is not so in time, or the system says no.
    pub fn nothing_is_left(&self) -> Result<()> {
        let left: Vec<_> = std::fs::read_dir(self.room.pins())?.collect();
        ensure!(left.is_empty(), "pins are left: {left:?}");
        Ok(())
    }

    /// The programs of the session's pinned links.
    ///
    /// # Errors
    /// It is not so in time, or the system says no.
    pub fn programs(&self) -> Result<Vec<u32>> {
        let mut programs = Vec::new();
        for session in std::fs::read_dir(self.room.pins())? {
            for file in std::fs::read_dir(session?.path())? {
                let path = file?.path();
                let name = path.file_name().context("name")?.to_string_lossy();
                if name.starts_with("on_") {
                    let path = CString::new(path.as_os_str().as_bytes())?;
                    programs.push(sys::program_of_link(&path)?);
                }
            }
        }
        ensure!(programs.len() >= 3, "{programs:?}");
        Ok(programs)
    }
}

/// Waits until the kernel has none of these programs.
///
/// # Errors
/// It still has.
pub fn until_gone(programs: &[u32]) -> Result<()> {
    wait_for("the programs to be gone", PATIENCE, || {
        for &program in programs {
            if sys::program_exists(program)? {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
}

/// Every event is there, once and in order, although nobody observed.
///
/// # Errors
/// Says what is not.
pub fn expect_whole(session: &Session) -> Result<()> {
    let account = &session.summary["completeness"];
    ensure!(lost_total(account) == 0, "lost is not empty: {account}");
    let mut gaps = session.of_kind("gap").map(|gap| gap.text("reason"));
    ensure!(session.losses() == 0, "{account}");
    ensure!(gaps.all(|reason| reason == "unsampled"), "{account}");
    ensure!(account["alive"] == 0, "{account}");
    for (kind, key) in [("fork", "forks"), ("exec", "execs"), ("exit", "exits")] {
        ensure!(account[key] == session.count(kind), "{key}: {account}");
    }
    ensure!(account["forks"] == account["exits"], "{account}");
    // Rows could not be taken, and the line at hand may be torn; nothing else is missing.
    let may = ["the observer crashed", "1 × line cut off by the crash"];
    for reason in account["reasons"].as_array().context("reasons")? {
        ensure!(may.iter().any(|known| reason == known), "{account}");
    }
    let mut seen = std::collections::HashSet::new();
    for record in &session.journal {
        if ["fork", "exec", "exit", "signal", "oom", "account"].contains(&record.kind.as_str()) {
            let pid = record.small("pid")?;
            let sign = (record.t, &record.kind, pid, record.value["signal"].clone());
            ensure!(seen.insert(sign), "twice: {}", record.value);
        }
    }
    expect_order(session)
}
