//! `cargo xtask bench watch`: what `tracer watch` costs on a machine full of sleeping processes.
//!
//! The program as users run it, with a look every second; its CPU time is the kernel's account in
//! nanoseconds (`/proc/PID/task/*/schedstat`), a second at a time, so that each figure is one look.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group};

use super::figures::Figures;
use super::report;
use crate::artifacts;
use crate::program::say;

/// Options of `bench watch`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Sleeping processes.
    #[arg(long, default_value_t = 10_000)]
    processes: usize,
    /// Looks that are measured.
    #[arg(long, default_value_t = 21)]
    looks: u64,
    /// Seconds without a look that are measured.
    #[arg(long, default_value_t = 60)]
    idle: u64,
    /// Measure this program instead of building one.
    #[arg(long, value_name = "FILE")]
    tracer: Option<PathBuf>,
    /// Put the table into docs/performance.md.
    #[arg(long)]
    pub(super) write: bool,
}

/// How long anything here may take beside what is measured.
const DEADLINE: Duration = Duration::from_secs(300);
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const SECOND: Duration = Duration::from_secs(1);

/// What everything should be, and is.
struct Costs {
    /// CPU of one look, ms: nobody, and everybody is a candidate.
    looks: [Figures; 2],
    /// CPU from the start to the end of the first look, ms.
    first_ms: f64,
    /// Resident memory after the looks, and its peak, MB; of both watchers.
    rss_mb: [(f64, f64); 2],
    /// Share of one CPU between looks, %.
    idle_percent: f64,
}

/// Measures everything and returns the text to print.
pub(super) fn measure(options: &Options) -> Result<String> {
    ensure!(options.looks > 0 && options.idle > 0, "nothing to do");
    let tracer = if let Some(file) = &options.tracer {
        file.clone()
    } else {
        let built = artifacts::build(&["build", "--release", "--package=tracer", "--bins"])?;
        let tracer = built.into_iter().find(|artifact| artifact.name == "tracer");
        let tracer = tracer.context("cargo built no program `tracer`")?;
        tracer.executable
    };
    let room = tempfile::tempdir().context("making a room")?;
    let crowd = Crowd::start(options.processes)?;
    let there = fs::read_dir("/proc")?.count();
    ensure!(
        there > options.processes,
        "only {there} processes are there"
    );

    let mut costs = Costs {
        looks: [Figures::default(), Figures::default()],
        first_ms: 0.0,
        rss_mb: [(0.0, 0.0); 2],
        idle_percent: 0.0,
    };
    for (at, pattern) in ["no process is called so", "sleep"].into_iter().enumerate() {
        let watch = Watch::start(&tracer, &room.path().join(at.to_string()), pattern, 1)?;
        // The first look takes in everything there is; what follows is the usual one.
        std::thread::sleep(3 * SECOND);
        for _ in 0..options.looks {
            let before = watch.cpu_ns()?;
            std::thread::sleep(SECOND);
            costs.looks[at].push((watch.cpu_ns()? - before) / 1e6);
        }
        costs.rss_mb[at] = watch.rss_mb()?;
    }
    let watch = Watch::start(&tracer, &room.path().join("idle"), "no process", 86_400)?;
    costs.first_ms = watch.settled()? / 1e6;
    let before = watch.cpu_ns()?;
    let begun = Instant::now();
    std::thread::sleep(Duration::from_secs(options.idle));
    #[expect(
        clippy::cast_precision_loss,
        reason = "a minute in nanoseconds is below 2^52"
    )]
    let passed = begun.elapsed().as_nanos() as f64;
    costs.idle_percent = (watch.cpu_ns()? - before) / passed * 100.0;
    drop((watch, crowd));
    Ok(text(options, &costs))
}

fn text(options: &Options, costs: &Costs) -> String {
    let mut out = format!(
        "{}\n\n### `tracer watch` beside {} sleeping processes\n\n",
        report::setting(),
        options.processes
    );
    out += "| | median | range | target |\n|---|---|---|---|\n";
    let mut row = |label: &str, figures: &Figures, unit: &str, target: Option<f64>| {
        let median = figures.median().unwrap_or(f64::NAN);
        let (least, most) = figures.range().unwrap_or((f64::NAN, f64::NAN));
        let decimals = if unit == "%" { 4 } else { 1 };
        let target = target.map_or_else(
            || "–".to_owned(),
            |limit| {
                format!(
                    "≤ {limit}: {}",
                    if median <= limit { "met" } else { "missed" }
                )
            },
        );
        let _ = writeln!(
            out,
            "| {label} | {median:.decimals$} {unit} | {least:.decimals$}–{most:.decimals$} | {target} |"
        );
    };
    let one = |figure: f64| {
        let mut figures = Figures::default();
        figures.push(figure);
        figures
    };
    row("a look, CPU", &costs.looks[0], "ms", Some(50.0));
    row(
        "a look where all of them are candidates, CPU",
        &costs.looks[1],
        "ms",
        None,
    );
    row(
        "start and first look, CPU",
        &one(costs.first_ms),
        "ms",
        None,
    );
    let [usual, all] = costs.rss_mb;
    row("resident after the looks", &one(usual.0), "MB", Some(20.0));
    row("the same at its peak", &one(usual.1), "MB", None);
    row("resident where all are candidates", &one(all.0), "MB", None);
    let label = format!("CPU between looks, of one, over {} s", options.idle);
    row(&label, &one(costs.idle_percent), "%", Some(0.1));
    out
}

/// Processes that sleep, in a group of their own; killed when dropped.
struct Crowd(Child);

impl Crowd {
    fn start(count: usize) -> Result<Self> {
        say(format!("starting {count} processes"));
        let script = format!(
            "i=0; while [ $i -lt {count} ]; do sleep 86400 & i=$((i+1)); done; echo all; wait"
        );
        let output = tempfile::NamedTempFile::new()?;
        let mut command = Command::new("sh");
        command
            .args(["-c", &script])
            .process_group(0)
            .stdin(Stdio::null());
        command.stdout(output.reopen()?);
        let crowd = Self(command.spawn().context("cannot start a shell")?);
        until("all processes to be there", || {
            Ok(fs::read_to_string(output.path())? == "all\n")
        })?;
        Ok(crowd)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}

/// A running `tracer watch`; killed when dropped.
struct Watch(Child);

impl Watch {
    fn start(tracer: &Path, state: &Path, pattern: &str, interval_s: u64) -> Result<Self> {
        let mut command = Command::new(tracer);
        command.args(["watch", "--enable", "--pattern", pattern]);
        command
            .args(["--interval-s", &interval_s.to_string(), "--state-dir"])
            .arg(state);
        command.arg("--bpffs").arg(state.join("no-bpffs"));
        command.args(["--config", "/dev/null"]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Self(command.spawn().context("cannot start tracer watch")?))
    }

    /// CPU time of all its threads so far, ns.
    fn cpu_ns(&self) -> Result<f64> {
        let mut all = 0.0;
        for task in fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            let first = text.split(' ').next().context("an empty schedstat")?;
            all += first.parse::<f64>()?;
        }
        Ok(all)
    }

    /// Waits until it has used nothing for a second; what it has used by then, ns.
    fn settled(&self) -> Result<f64> {
        let mut last = -1.0;
        let mut used = 0.0;
        until("the first look to be over", || {
            std::thread::sleep(SECOND);
            last = std::mem::replace(&mut used, self.cpu_ns()?);
            Ok(used > 0.0 && used - last < 100_000.0)
        })?;
        Ok(used)
    }

    /// Resident now and at most, MB.
    fn rss_mb(&self) -> Result<(f64, f64)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let of = |name: &str| -> Result<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kb = line.and_then(|line| line.split_whitespace().next());
            Ok(kb.context("no such line in status")?.parse::<f64>()? / 1024.0)
        };
        Ok((of("VmRSS:")?, of("VmHWM:")?))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn until(what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + DEADLINE;
    while !condition()? {
        if Instant::now() >= end {
            bail!("{what}: not within {} s", DEADLINE.as_secs());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}
