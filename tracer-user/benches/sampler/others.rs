//! What others cost for the same processes: the procfs crate, psutil, pidstat.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use procfs::process::{FDTarget, Process};

use crate::crowd::Crowd;

/// The same fields by the procfs crate.
pub(crate) fn procfs(crowd: &Crowd) {
    let table: Vec<_> = procfs::net::tcp()
        .expect("net/tcp")
        .into_iter()
        .chain(procfs::net::tcp6().unwrap_or_default())
        .collect();
    let mut seen = 0;
    for &pid in &crowd.pids {
        let process = Process::new(pid.cast_signed()).expect("it lives");
        let stat = process.stat().expect("stat");
        let status = process.status().expect("status");
        let io = process.io().expect("io");
        let limits = process.limits().expect("limits");
        let scores = (
            process.oom_score().expect("oom_score"),
            process.oom_score_adj().expect("oom_score_adj"),
        );
        let wchan = process.wchan().expect("wchan");
        let own: Vec<u64> = process
            .fd()
            .expect("fd")
            .filter_map(|fd| match fd.ok()?.target {
                FDTarget::Socket(inode) => Some(inode),
                _ => None,
            })
            .collect();
        let connected = table.iter().filter(|row| own.contains(&row.inode)).count();
        let cgroups = process.cgroups().expect("cgroup");
        std::hint::black_box((
            &stat, &status, &io, &limits, scores, &wchan, connected, &cgroups,
        ));
        seen += 1;
    }
    assert_eq!(seen, crowd.pids.len());
}

/// psutil in a Python of its own, told to read by a line and answering with the µs of CPU it took.
pub(crate) struct Psutil {
    child: Child,
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
}

/// With `full` what psutil lacks is added by plain Python, as whoever uses it has to.
const SCRIPT: &str = "
import psutil, sys, time
full = sys.argv[1] == 'full'
def text(pid, name):
    with open(f'/proc/{pid}/{name}') as file:
        return file.read()
processes = [psutil.Process(int(pid)) for pid in sys.stdin.readline().split()]
for line in sys.stdin:
    began = time.thread_time()
    for p in processes:
        with p.oneshot():
            (p.name(), p.ppid(), p.status(), p.create_time(), p.memory_info(), p.num_threads(),
             p.num_fds(), p.cpu_times(), p.num_ctx_switches(), p.io_counters(),
             p.rlimit(psutil.RLIMIT_NOFILE))
            if full:
                p.net_connections(kind='tcp')
        if full:
            status = dict(line.split(':', 1) for line in text(p.pid, 'status').splitlines())
            masks = [int(status[key], 16) for key in ('SigPnd', 'ShdPnd', 'SigBlk', 'SigCgt')]
            scores = [int(text(p.pid, name)) for name in ('oom_score', 'oom_score_adj')]
            places = [text(p.pid, name) for name in ('wchan', 'cgroup')]
    print((time.thread_time() - began) * 1e6, flush=True)
";

impl Psutil {
    pub(crate) fn start(python: &Path, crowd: &Crowd, how: &str) -> Self {
        let mut child = Command::new(python)
            .args(["-c", SCRIPT, how])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a Python with psutil");
        let mut ask = child.stdin.take().expect("piped");
        let pids: Vec<String> = crowd.pids.iter().map(u32::to_string).collect();
        writeln!(ask, "{}", pids.join(" ")).expect("it listens");
        let answer = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, ask, answer }
    }

    pub(crate) fn read(&mut self) -> f64 {
        writeln!(self.ask, "go").expect("it listens");
        let mut line = String::new();
        self.answer.read_line(&mut line).expect("its answer");
        line.trim().parse().expect("a number")
    }
}

impl Drop for Psutil {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `pidstat`, which reads twice for its one report: half of the CPU it took.
pub(crate) fn pidstat(crowd: &Crowd) -> f64 {
    let pids: Vec<String> = crowd.pids.iter().map(u32::to_string).collect();
    let used = || {
        let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN)
            .expect("what children used");
        let us = |time: nix::sys::time::TimeVal| {
            i32::try_from(time.tv_sec()).map_or(f64::INFINITY, f64::from) * 1e6
                + i32::try_from(time.tv_usec()).map_or(0.0, f64::from)
        };
        us(usage.user_time()) + us(usage.system_time())
    };
    let before = used();
    let status = Command::new("pidstat")
        .args(["-druvw", "-p", &pids.join(","), "1", "1"])
        .stdout(Stdio::null())
        .status()
        .expect("pidstat (package sysstat)");
    assert!(status.success(), "pidstat: {status}");
    (used() - before) / 2.0
}
