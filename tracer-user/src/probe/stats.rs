//! How long the kernel side's programs run: what the kernel counts for each while it is told to.
//!
//! Counting takes two looks at the clock a run, for every program on the machine, so it is switched on for
//! a while only. The kernel ends it when the descriptor goes, however this process ends.

use std::{collections::BTreeMap, os::fd::OwnedFd, time::Duration};

use aya::{
    Ebpf,
    sys::{Stats, enable_stats},
};

use super::attached::Attached;

/// What one program took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Runs {
    /// Times it ran.
    pub count: u64,
    /// How long that took in all.
    pub time: Duration,
}

/// Programs by their names.
pub type ByProgram = BTreeMap<String, Runs>;

/// The kernel counts while this lives.
#[derive(Debug)]
pub struct Counting {
    descriptor: OwnedFd,
    before: ByProgram,
}

impl Attached {
    /// Makes the kernel count.
    ///
    /// # Errors
    /// Why it does not, in words.
    pub fn count_runs(&self) -> Result<Counting, String> {
        if self.ebpf.is_none() {
            return Err("another observer loaded the programs".to_owned());
        }
        let descriptor = enable_stats(Stats::RunTime)
            .map_err(|error| format!("the kernel does not count: {}", error.io_error))?;
        Ok(Counting {
            descriptor,
            before: self.runs()?,
        })
    }

    /// What each program took since `counting` began, which ends with this.
    ///
    /// # Errors
    /// Why that is not known, in words.
    pub fn runs_since(&self, counting: Counting) -> Result<ByProgram, String> {
        let mut runs = self.runs()?;
        drop(counting.descriptor);
        for (name, runs) in &mut runs {
            let before = counting.before.get(name).copied().unwrap_or_default();
            runs.count = runs.count.saturating_sub(before.count);
            runs.time = runs.time.saturating_sub(before.time);
        }
        Ok(runs)
    }

    fn runs(&self) -> Result<ByProgram, String> {
        let mut runs = ByProgram::new();
        let programs = self.ebpf.iter().flat_map(Ebpf::programs);
        for (name, program) in programs.filter(|(_, program)| program.fd().is_ok()) {
            let info = program
                .info()
                .map_err(|error| format!("the kernel does not tell of {name}: {error}"))?;
            let count = info.run_count();
            let time = info.run_time();
            runs.insert(name.to_owned(), Runs { count, time });
        }
        Ok(runs)
    }
}
