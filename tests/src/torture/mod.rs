//! Kill torture: tracer is killed at any moment, and afterwards everything must be as if it had not been.
//!
//! Each run has a room of its own. Something is killed in it, once or several times: a `tracer run` with
//! a command that keeps a log of what it does, a recovery of that, a rebuild, a removal, retention. Then
//! four recover at once, and one more. [`after`] says what must hold then. What is killed and when comes
//! from a seed and the number of the run; which of two threads is faster does not, so that a run that
//! fails may need a few tries to fail again.

pub mod after;
pub mod chance;
pub mod files;
pub mod found;
pub mod moment;
pub mod scene;
pub mod stage;

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context as _, Result};

use self::chance::Chance;
use self::found::State;
use self::scene::{Known, Scene};

/// What a number of runs came to.
#[derive(Debug, Default)]
pub struct Told {
    /// Runs.
    pub runs: u64,
    /// Programs that were killed, by scene; one that ended before its moment came is none.
    pub killed: BTreeMap<Scene, u64>,
    /// How the sessions were found.
    pub found: BTreeMap<State, u64>,
    /// Records that were acknowledged before a recovery, and so were looked for after it.
    pub acknowledged: u64,
    /// Processes that commands say they made, and so were looked for.
    pub processes: u64,
    /// What did not hold, after which run, and where its room is kept.
    pub failures: Vec<String>,
}

/// So many failures end the torture: each keeps a room, and more of them tell no more.
const ENOUGH: usize = 10;

/// Plays these runs of a seed, one after the other, and says a line of each.
///
/// # Errors
/// It cannot be done at all. What did not hold after a run is told.
pub fn torture(seed: u64, runs: Range<u64>, mut say: impl FnMut(&str)) -> Result<Told> {
    let known = Known::gather().context("before anything was killed")?;
    let mut told = Told::default();
    for run in runs {
        let mut chance = Chance::of_run(seed, run);
        let scene = Scene::any(&mut chance);
        let mut stage = known.stage(scene)?;
        let held = known
            .play(scene, &mut stage, &mut chance)
            .and_then(|played| after::expect_all_well(&mut stage, &known, &played));
        let killed = stage.log.iter().filter(|line| line.contains(": killed "));
        *told.killed.entry(scene).or_default() += killed.count() as u64;
        told.runs += 1;
        let line = format!("run {run}: {scene:?}: {}", stage.log.join("; "));
        match held {
            Ok(checked) => {
                say(&format!("{line}: {:?}", checked.state));
                if scene.records() {
                    *told.found.entry(checked.state).or_default() += 1;
                }
                told.acknowledged += checked.acknowledged;
                told.processes += checked.processes;
            }
            Err(error) => {
                let kept = stage.room.keep();
                let kept = kept.display();
                let failure = format!("seed {seed}, {line}\n{error:#}\nkept in {kept}");
                say(&failure);
                told.failures.push(failure);
            }
        }
        if told.failures.len() == ENOUGH {
            break;
        }
    }
    Ok(told)
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} runs; programs killed: {:?}; sessions found: {:?}; {} records that were acknowledged, \
             {} processes of the commands",
            self.runs, self.killed, self.found, self.acknowledged, self.processes
        )
    }
}
