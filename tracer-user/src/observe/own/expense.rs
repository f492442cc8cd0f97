//! What observing costs: this process, its ticks, and the kernel side's programs.
//!
//! The programs are measured at first, so that a short session is measured in whole, and later for a
//! moment now and then: being measured makes each run dearer.

use std::time::{Duration, Instant};

use nix::sys::resource::{Usage, UsageWho, getrusage};

use super::ticks::Ticks;
use crate::{
    observe::kernel::Kernel,
    probe::stats::{ByProgram, Counting},
    session::journal::notes::{ObserverCost, ProgramCost, Reaped},
};

/// How long the programs are measured from the beginning.
const FIRST: Duration = Duration::from_millis(200);
/// How long later,
const AGAIN: Duration = Duration::from_millis(50);
/// and how often: a hundredth of the time.
const EVERY: Duration = Duration::from_secs(5);

/// What observing has cost so far.
#[derive(Debug)]
pub(in crate::observe) struct Expense {
    pub(in crate::observe) ticks: Ticks,
    /// What the children that had been waited for before the session had used.
    children_before: Reaped,
    programs: Programs,
}

/// What the programs took while they were measured.
#[derive(Debug)]
struct Programs {
    counting: Option<(Instant, Counting)>,
    next: Instant,
    /// Length of the measurement that goes on or comes next.
    length: Duration,
    runs: ByProgram,
    measured: Duration,
    unknown: Option<String>,
}

impl Expense {
    pub(in crate::observe) fn new() -> Self {
        Self {
            ticks: Ticks::default(),
            children_before: children().unwrap_or_default(),
            programs: Programs {
                counting: None,
                next: Instant::now(),
                length: FIRST,
                runs: ByProgram::new(),
                measured: Duration::ZERO,
                unknown: None,
            },
        }
    }

    /// Begins or ends a measurement of the programs, if it is time to.
    pub(in crate::observe) fn measure(&mut self, now: Instant, kernel: &Kernel) {
        let programs = &mut self.programs;
        match &programs.counting {
            Some((since, _)) if now.duration_since(*since) >= programs.length => {
                programs.end(now, kernel);
                programs.length = AGAIN;
                programs.next = now + EVERY;
            }
            None if now >= programs.next && programs.unknown.is_none() => {
                match kernel.count_runs() {
                    Ok(counting) => programs.counting = Some((now, counting)),
                    Err(why) => programs.unknown = Some(why),
                }
            }
            _ => {}
        }
    }

    /// All of it.
    pub(in crate::observe) fn total(&mut self, kernel: Option<&Kernel>) -> ObserverCost {
        let programs = &mut self.programs;
        match kernel {
            Some(kernel) => programs.end(Instant::now(), kernel),
            None => programs.unknown = Some("nothing of ours runs in the kernel".to_owned()),
        }
        let own = getrusage(UsageWho::RUSAGE_SELF).ok();
        let counters = kernel.and_then(Kernel::counters);
        let is_measured = programs.unknown.is_none();
        ObserverCost {
            cpu_us: own.as_ref().map(|own| cpu(own).cpu_us()),
            peak_rss_kb: own.and_then(|own| u64::try_from(own.max_rss()).ok()),
            events: counters.map(|counters| counters.events()),
            lost: counters.map(|counters| counters.lost()),
            ticks: Some(self.ticks.count()),
            missed_ticks: Some(self.ticks.missed()),
            tick_us: self.ticks.times(),
            bpf: is_measured.then(|| programs.costs()),
            bpf_measured_us: is_measured.then(|| micros(programs.measured)),
            bpf_unknown: programs.unknown.clone(),
        }
    }

    /// What the children that were waited for during the session have used, and what was waited for below
    /// them.
    pub(in crate::observe) fn reaped(&self) -> Option<Reaped> {
        let now = children()?;
        let before = self.children_before;
        Some(Reaped {
            cpu_user_us: now.cpu_user_us.saturating_sub(before.cpu_user_us),
            cpu_system_us: now.cpu_system_us.saturating_sub(before.cpu_system_us),
        })
    }
}

impl Programs {
    fn end(&mut self, now: Instant, kernel: &Kernel) {
        let Some((since, counting)) = self.counting.take() else {
            return;
        };
        match kernel.runs_since(counting) {
            Ok(runs) => {
                self.measured += now.duration_since(since);
                for (name, more) in runs {
                    let sum = self.runs.entry(name).or_default();
                    sum.count = sum.count.saturating_add(more.count);
                    sum.time = sum.time.saturating_add(more.time);
                }
            }
            Err(why) => self.unknown = Some(why),
        }
    }

    /// Those that ran, in the order of their names.
    fn costs(&self) -> Vec<ProgramCost> {
        let ran = self.runs.iter().filter(|(_, runs)| runs.count > 0);
        ran.map(|(name, runs)| ProgramCost {
            name: name.clone(),
            runs: runs.count,
            run_ns: u64::try_from(runs.time.as_nanos()).unwrap_or(u64::MAX),
        })
        .collect()
    }
}

fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}

/// Of the children that were waited for so far.
fn children() -> Option<Reaped> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).ok()?;
    Some(cpu(&usage))
}

fn cpu(usage: &Usage) -> Reaped {
    let us = |time: nix::sys::time::TimeVal| {
        u64::try_from(time.tv_sec() * 1_000_000 + time.tv_usec()).unwrap_or(0)
    };
    Reaped {
        cpu_user_us: us(usage.user_time()),
        cpu_system_us: us(usage.system_time()),
    }
}
