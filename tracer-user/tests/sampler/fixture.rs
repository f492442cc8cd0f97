//! Processes under test: started, awaited, ended and reaped by whoever made them.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use tracer::{
    procfs::ProcRoot,
    sampler::{Clock, Sampler, Subject, SystemClock, TickTime},
    snapshot::{Role, SnapshotRow},
    units::{Tgid, Ticks},
};

/// Names the part a process plays; see `roles`.
pub(crate) const ROLE: &str = "TRACER_TEST_ROLE";

/// No wait in these tests is longer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A process in a role, alive until this value is dropped.
pub(crate) struct Fixture {
    child: Child,
    stdin: Option<ChildStdin>,
    /// Kept open: what it prints as it ends must find a reader.
    _stdout: BufReader<ChildStdout>,
    pid: u32,
    /// What it said when it was ready.
    pub(crate) ready: String,
}

impl Fixture {
    /// Starts `role` and waits until it says that it is ready.
    pub(crate) fn start(role: &str) -> Self {
        let program = std::env::current_exe().unwrap();
        Self::spawn(&mut Command::new(program), role)
    }

    /// The same from another image of this program.
    pub(crate) fn start_from(program: &Path, role: &str) -> Self {
        Self::spawn(&mut Command::new(program), role)
    }

    /// The same behind a wrapper, such as `unshare`.
    pub(crate) fn start_behind(wrapper: &[&str], role: &str) -> Self {
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]);
        command.arg(std::env::current_exe().unwrap());
        Self::spawn(&mut command, role)
    }

    /// The same by a command that was prepared for it, such as one of another user.
    pub(crate) fn spawn(command: &mut Command, role: &str) -> Self {
        let mut child = command
            .args(["--exact", "roles::play", "--ignored", "--nocapture"])
            .arg("--test-threads=1")
            .env(ROLE, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let stdin = child.stdin.take();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let ready = stdout.by_ref().lines().find_map(|line| {
            let line = line.unwrap();
            line.split_once("READY ").map(|(_, rest)| rest.to_owned())
        });
        // Ends and is reaped by its Drop also when it never got ready.
        let mut fixture = Self {
            child,
            stdin,
            _stdout: stdout,
            pid: 0,
            ready: String::new(),
        };
        let ready = ready.unwrap_or_else(|| panic!("role {role} ended before it was ready"));
        let (pid, word) = ready.split_once(' ').unwrap();
        (fixture.pid, fixture.ready) = (pid.parse().unwrap(), word.to_owned());
        fixture
    }

    /// Pid of the process that plays the part.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Pid that the process named.
    pub(crate) fn named_pid(&self) -> u32 {
        self.ready.parse().unwrap()
    }

    /// Asks it to end.
    pub(crate) fn release(&mut self) {
        drop(self.stdin.take());
    }

    /// Asks it to end, and reaps it.
    pub(crate) fn finish(mut self) {
        self.release();
        let deadline = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "role does not end");
            std::thread::yield_now();
        };
        assert!(status.success(), "role ended with {status}");
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks until it is so, at most until the deadline.
pub(crate) fn wait_for(what: &str, mut predicate: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !predicate() {
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        std::thread::yield_now();
    }
}

pub(crate) fn sampler() -> Sampler {
    Sampler::new(ProcRoot::open("/proc").unwrap())
}

pub(crate) fn now(sampler: &Sampler) -> TickTime {
    SystemClock::new(sampler.root().host()).now()
}

/// The process as the tree would know it.
pub(crate) fn subject(pid: u32) -> Subject {
    Subject {
        tgid: Tgid(pid),
        starttime_ticks: Some(Ticks(
            procfs::process::Process::new(pid.cast_signed())
                .unwrap()
                .stat()
                .unwrap()
                .starttime,
        )),
        start: None,
        role: Role::Descendant,
    }
}

/// One row of one process.
pub(crate) fn row(pid: u32) -> SnapshotRow {
    let mut sampler = sampler();
    let now = now(&sampler);
    sampler.one(now, &subject(pid)).unwrap().row
}
