//! What a tick over many processes costs: `cargo xtask bench sampler` builds this for release and makes a
//! table of it.
//!
//! Every line printed is `figure NAME.PROCESSES VALUE`, one a round, in µs of CPU a process; whoever reads
//! them takes medians. All ways look at the same processes, one after the other in rotating order. CPU
//! time, because on a machine that others use only that says something about the program; it includes
//! what the kernel does for the reader.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement that cannot be made ends at once, and its output is what it is for"
)]

mod crowd;
mod kept;
mod others;
mod ours;

use std::path::PathBuf;

use rustix::time::{ClockId, clock_gettime};

use self::crowd::Crowd;

/// What to measure.
struct Plan {
    rounds: u32,
    sizes: Vec<usize>,
    /// Processes that nobody asked for, in the last part.
    strangers: usize,
    only: Vec<String>,
    /// A Python that has psutil.
    python: Option<PathBuf>,
}

impl Plan {
    fn from_args() -> Self {
        let mut plan = Self {
            rounds: 5,
            sizes: vec![1, 100, 1000, 5000],
            strangers: 5000,
            only: Vec::new(),
            python: None,
        };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            if arg == "--bench" {
                // Cargo says so by itself.
                continue;
            }
            let value = args.next().expect("each option has a value");
            match arg.as_str() {
                "--rounds" => plan.rounds = value.parse().expect("a number"),
                "--strangers" => plan.strangers = value.parse().expect("a number"),
                "--sizes" => {
                    let sizes = value.split(',').map(str::parse);
                    plan.sizes = sizes.collect::<Result<_, _>>().expect("numbers");
                }
                "--only" => plan.only = value.split(',').map(str::to_owned).collect(),
                "--python" => plan.python = Some(value.into()),
                other => panic!("no option {other}"),
            }
        }
        plan
    }

    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

/// A way to read all processes once; returns the µs of CPU that it took.
type Way<'a> = (&'static str, Box<dyn FnMut() -> f64 + 'a>);

fn figure(name: &str, processes: usize, value: f64) {
    println!("figure {name}.{processes} {value:.4}");
}

/// µs of CPU that this thread spends on it.
fn cpu_us(work: impl FnOnce()) -> f64 {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        let us = i32::try_from(time.tv_sec).map_or(f64::INFINITY, f64::from) * 1e6;
        us + i32::try_from(time.tv_nsec).map_or(0.0, f64::from) / 1e3
    };
    let before = now();
    work();
    now() - before
}

#[expect(
    clippy::cast_precision_loss,
    reason = "thousands of processes are no large number"
)]
fn measure(plan: &Plan, size: usize) {
    eprintln!("{size} processes");
    let crowd = Crowd::gather(size);
    let mut kernel = ours::Ours::new(&crowd);
    let mut files = ours::Ours::by_files(&crowd);
    let mut kept = kept::Kept::open(&crowd);
    let mut walk = ours::Ours::new(&crowd);
    let mut ways: Vec<Way<'_>> = vec![
        ("kernel", Box::new(|| cpu_us(|| kernel.tick(&crowd)))),
        ("walk", Box::new(|| cpu_us(|| walk.walk(&crowd)))),
        ("files", Box::new(|| cpu_us(|| files.tick(&crowd)))),
        ("procfs", Box::new(|| cpu_us(|| others::procfs(&crowd)))),
    ];
    if let Some(kept) = &mut kept {
        ways.push(("kept", Box::new(|| cpu_us(|| kept.read()))));
    }
    if let Some(python) = &plan.python {
        for (name, how) in [("psutil", "oneshot"), ("psutil-full", "full")] {
            let mut psutil = others::Psutil::start(python, &crowd, how);
            ways.push((name, Box::new(move || psutil.read())));
        }
    }
    // It takes its pids from the command line.
    if size <= 1000 {
        ways.push(("pidstat", Box::new(|| others::pidstat(&crowd))));
    }
    ways.retain(|(name, _)| plan.wants(name));
    for (_, read) in &mut ways {
        // Learns what it learns once.
        read();
    }
    for _ in 0..plan.rounds {
        for (name, read) in &mut ways {
            figure(name, size, read() / size as f64);
        }
        ways.rotate_left(1);
    }
}

/// A tick over the same processes with many others on the machine, and without: µs a tick.
fn strangers(plan: &Plan, size: usize) {
    let crowd = Crowd::gather(size);
    let mut kernel = ours::Ours::new(&crowd);
    let mut files = ours::Ours::by_files(&crowd);
    let mut round = |with: &str| {
        for _ in 0..plan.rounds {
            figure(
                &format!("kernel.{with}"),
                size,
                cpu_us(|| kernel.tick(&crowd)),
            );
            figure(
                &format!("files.{with}"),
                size,
                cpu_us(|| files.tick(&crowd)),
            );
        }
    };
    round("alone");
    let others = Crowd::gather(plan.strangers);
    round("among-strangers");
    drop(others);
}

fn main() {
    let plan = Plan::from_args();
    for &size in &plan.sizes {
        measure(&plan, size);
    }
    if plan.strangers > 0 && plan.wants("strangers") {
        strangers(&plan, 100);
    }
}
