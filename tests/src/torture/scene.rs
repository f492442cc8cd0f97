//! What is killed in one run, and what that may have come to.

use std::collections::BTreeSet;
use std::ffi::OsString;

use anyhow::{Context as _, Result, ensure};

use super::after;
use super::chance::Chance;
use super::files::Files;
use super::moment::{Measured, Moment};
use super::stage::Stage;
use crate::place;
use crate::room::Room;
use crate::sys::calls::Kind;

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scene {
    /// `tracer run`.
    Run,
    /// `tracer run`, then recoveries of it.
    Recover,
    /// `tracer run`, then those that go on in its place while the command goes on.
    Resume,
    /// `tracer run` that has older sessions to remove.
    Retention,
    /// `tracer sessions rebuild`.
    Rebuild,
    /// `tracer sessions rm`.
    Remove,
    /// `tracer sessions clear`.
    Clear,
}

impl Scene {
    /// All, as often as they come up.
    const OFTEN: [Self; 20] = {
        let mut scenes = [Self::Run; 20];
        scenes[0] = Self::Remove;
        scenes[1] = Self::Clear;
        scenes[2] = Self::Rebuild;
        scenes[3] = Self::Retention;
        scenes[4] = Self::Retention;
        scenes[5] = Self::Retention;
        let mut at = 6;
        while at < 11 {
            scenes[at] = Self::Recover;
            at += 1;
        }
        scenes[11] = Self::Resume;
        scenes[12] = Self::Resume;
        scenes
    };

    /// Whether it makes a session.
    #[must_use]
    pub fn records(self) -> bool {
        !matches!(self, Self::Rebuild | Self::Remove | Self::Clear)
    }

    /// One of them.
    pub fn any(chance: &mut Chance) -> Self {
        chance.pick(&Self::OFTEN).copied().unwrap_or(Self::Run)
    }
}

/// The command that is traced: its truth log has every process it makes.
#[derive(Debug, Clone, Copy)]
pub struct Storm {
    how: &'static str,
    workers: u64,
    each: u64,
}

impl Storm {
    /// The one that programs are measured with.
    pub const MEASURED: Self = Self {
        how: "fork",
        workers: 2,
        each: 40,
    };

    /// One that goes on for a while.
    fn long(chance: &mut Chance) -> Self {
        Self {
            how: "fork",
            workers: chance.between(2, 3),
            each: chance.between(200, 600),
        }
    }

    fn any(chance: &mut Chance) -> Self {
        if chance.one_in(4) {
            return Self {
                how: "vfork",
                workers: chance.between(1, 2),
                each: chance.between(1, 25),
            };
        }
        Self {
            how: "fork",
            workers: chance.between(1, 3),
            each: chance.between(1, 150),
        }
    }

    /// Processes that it makes.
    #[must_use]
    pub fn processes(self) -> u64 {
        self.workers * (self.each + 1)
    }
}

/// What a run did, as far as it says what must be found.
#[derive(Debug)]
pub struct Played {
    /// The command, where one was started.
    pub storm: Option<Storm>,
    /// Sets of older sessions of which one must be what is missing now; `None` where there were none.
    pub gone: Option<Vec<BTreeSet<String>>>,
}

/// Sessions that have ended, and what programs come to when nobody kills them.
#[derive(Debug)]
pub struct Known {
    /// A state directory with whole sessions.
    pub template: Files,
    /// Its sessions, the oldest first.
    pub ids: Vec<String>,
    run: Measured,
    retention: Measured,
    recover: Measured,
    resume: Measured,
    rebuild: Measured,
    remove: Measured,
    clear: Measured,
}

/// The caller's file, and its name in the session.
pub const ATTACHED: &[u8] = &[b'x'; 100_000];
/// See [`ATTACHED`].
pub const ATTACHED_NAME: &str = "audit.log";
/// Sessions in the template.
const OLDER: usize = 4;
/// How many of all sessions retention keeps.
const KEEP: usize = 2;

impl Known {
    /// Records the template and measures everything once.
    ///
    /// # Errors
    /// Something does not work even when it is left alone.
    pub fn gather() -> Result<Self> {
        let mut stage = Stage::new()?;
        let args = run_args(&stage, 0, Storm::MEASURED)?;
        let mut run = stage.kill(&args, &Moment::never())?;
        for _ in 1..OLDER {
            run.lifetime = stage.kill(&args, &Moment::too_late())?.lifetime;
        }
        let template = Files::read(&stage.room.state())?;
        let ids = template.names("sessions".as_ref());
        ensure!(ids.len() == OLDER, "{ids:?}");
        let mut known = Self {
            template,
            ids,
            run,
            retention: Measured::default(),
            recover: Measured::default(),
            resume: Measured::default(),
            rebuild: Measured::default(),
            remove: Measured::default(),
            clear: Measured::default(),
        };
        let mut stage = known.furnished()?;
        let args = run_args(&stage, KEEP, Storm::MEASURED)?;
        known.retention = stage.kill(&args, &Moment::never())?;
        let mut stage = known.furnished()?;
        let args = sessions_args(&stage, ["rebuild", "--all"]);
        known.rebuild = stage.kill(&args, &Moment::never())?;
        let args = sessions_args(&stage, ["rm", &known.ids[0]]);
        known.remove = stage.kill(&args, &Moment::never())?;
        let args = sessions_args(&stage, ["clear"]);
        known.clear = stage.kill(&args, &Moment::never())?;
        let mut stage = Stage::new()?;
        let args = run_args(&stage, 0, Storm::MEASURED)?;
        let writes = known.run.calls.get(&Kind::Write).copied().unwrap_or(0);
        stage.kill(&args, &Moment::at(Kind::Write, writes / 2, true))?;
        known.recover = stage.kill(&recover_args(&stage), &Moment::never())?;
        let mut stage = Stage::new()?;
        let args = run_args(&stage, 0, Storm::long(&mut Chance::of_run(0, 0)))?;
        let doomed = stage.doom(&args, &Moment::at(Kind::Write, writes / 4, true))?;
        doomed.until_dead()?;
        known.resume = stage.kill(&resume_args(&stage), &Moment::never())?;
        stage.over(doomed)?;
        let ended = known.recover.calls.contains_key(&Kind::Rename);
        ensure!(ended, "nothing to recover: {:?}", stage.log);
        Ok(known)
    }

    /// A stage with the sessions of the template.
    fn furnished(&self) -> Result<Stage> {
        let stage = Stage::new()?;
        self.template.lay_out(&stage.room.state())?;
        Ok(stage)
    }

    /// A stage for a scene.
    ///
    /// # Errors
    /// As [`Stage::new`].
    pub fn stage(&self, scene: Scene) -> Result<Stage> {
        match scene {
            Scene::Run | Scene::Recover | Scene::Resume => Stage::new(),
            Scene::Retention | Scene::Rebuild | Scene::Remove | Scene::Clear => self.furnished(),
        }
    }

    /// Plays a scene.
    ///
    /// # Errors
    /// Something ended badly that nobody had killed.
    pub fn play(&self, scene: Scene, stage: &mut Stage, chance: &mut Chance) -> Result<Played> {
        match scene {
            Scene::Run => {
                let storm = Storm::any(chance);
                let args = run_args(stage, 0, storm)?;
                let moment = Moment::any(chance, &self.run);
                let doomed = stage.doom(&args, &moment)?;
                if chance.one_in(4) {
                    // The command may go on: no crash then, and nothing may be done to it.
                    doomed.until_dead()?;
                    after::recover(&stage.room)?;
                }
                stage.over(doomed)?;
                Ok(Played {
                    storm: Some(storm),
                    gone: None,
                })
            }
            Scene::Recover => {
                let storm = Storm::any(chance);
                let args = run_args(stage, 0, storm)?;
                stage.kill(&args, &Moment::any_write(chance, &self.run))?;
                stage.note_pins()?;
                for _ in 0..chance.between(1, 3) {
                    let moment = Moment::any(chance, &self.recover);
                    stage.kill(&recover_args(stage), &moment)?;
                }
                Ok(Played {
                    storm: Some(storm),
                    gone: None,
                })
            }
            Scene::Resume => {
                let storm = Storm::long(chance);
                let args = run_args(stage, 0, storm)?;
                let doomed = stage.doom(&args, &Moment::early_write(chance, &self.run))?;
                doomed.until_dead()?;
                for _ in 0..chance.between(1, 2) {
                    stage.note_pins()?;
                    let moment = Moment::any(chance, &self.resume);
                    stage.kill(&resume_args(stage), &moment)?;
                }
                stage.over(doomed)?;
                Ok(Played {
                    storm: Some(storm),
                    gone: None,
                })
            }
            Scene::Retention => {
                let storm = Storm {
                    how: "fork",
                    workers: 1,
                    each: chance.between(1, 3),
                };
                let args = run_args(stage, KEEP, storm)?;
                stage.kill(&args, &Moment::any(chance, &self.retention))?;
                // The oldest go first, one by one.
                let most = OLDER + 1 - KEEP;
                let oldest = (0..=most).map(|count| self.ids[..count].iter().cloned().collect());
                Ok(Played {
                    storm: Some(storm),
                    gone: Some(oldest.collect()),
                })
            }
            Scene::Rebuild => {
                for _ in 0..chance.between(1, 2) {
                    let moment = Moment::any(chance, &self.rebuild);
                    stage.kill(&sessions_args(stage, ["rebuild", "--all"]), &moment)?;
                }
                Ok(Played {
                    storm: None,
                    gone: Some(vec![BTreeSet::new()]),
                })
            }
            Scene::Remove => {
                let id = chance.pick(&self.ids).context("no sessions")?;
                let moment = Moment::any(chance, &self.remove);
                stage.kill(&sessions_args(stage, ["rm", id]), &moment)?;
                Ok(Played {
                    storm: None,
                    gone: Some(vec![BTreeSet::new(), BTreeSet::from([id.clone()])]),
                })
            }
            Scene::Clear => {
                let moment = Moment::any(chance, &self.clear);
                stage.kill(&sessions_args(stage, ["clear"]), &moment)?;
                Ok(Played {
                    storm: None,
                    gone: Some(vec![BTreeSet::new()]),
                })
            }
        }
    }
}

fn words<const N: usize>(words: [&str; N]) -> Vec<OsString> {
    words.map(OsString::from).to_vec()
}

fn state(room: &Room) -> [OsString; 2] {
    ["--state-dir".into(), room.state().into()]
}

fn bpffs(room: &Room) -> [OsString; 2] {
    ["--bpffs".into(), room.pins().into()]
}

fn run_args(stage: &Stage, keep: usize, storm: Storm) -> Result<Vec<OsString>> {
    let mut args = words(["run", "-q", "--require-trace", "--interval", "10ms"]);
    args.extend(state(&stage.room));
    args.extend(bpffs(&stage.room));
    args.push(format!("--keep={keep}").into());
    std::fs::write(stage.attached_path(), ATTACHED)?;
    let mut attach = OsString::from(format!("--attach-file={ATTACHED_NAME}="));
    attach.push(stage.attached_path());
    args.push(attach);
    let mut json = OsString::from("--json=");
    json.push(stage.told_path());
    args.push(json);
    args.push("--".into());
    args.push(place::fixture("storm")?.into());
    args.extend(words([
        storm.how,
        &storm.workers.to_string(),
        &storm.each.to_string(),
    ]));
    Ok(args)
}

fn recover_args(stage: &Stage) -> Vec<OsString> {
    let mut args = words(["recover", "--json"]);
    args.extend(state(&stage.room));
    args.extend(bpffs(&stage.room));
    args
}

fn resume_args(stage: &Stage) -> Vec<OsString> {
    let mut args = recover_args(stage);
    args.push("--resume".into());
    args
}

fn sessions_args<const N: usize>(stage: &Stage, verb: [&str; N]) -> Vec<OsString> {
    let mut args = words(["sessions"]);
    args.extend(words(verb));
    args.extend(state(&stage.room));
    args
}
