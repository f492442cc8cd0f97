//! Where one run takes place: a room, and what was killed in it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::moment::{Measured, Moment};
use crate::launch::Running;
use crate::place;
use crate::room::Room;
use crate::session::read_json_lines;
use crate::sys;
use crate::sys::calls::Kind;
use crate::wait::{PATIENCE, wait_for};

/// What `tracer recover --resume` says when the command ends before somebody can go on with it.
const TOO_LATE: [&str; 1] = ["its target has ended"];

/// A room, and what happened in it so far.
#[derive(Debug)]
pub struct Stage {
    /// The room.
    pub room: Room,
    /// What was killed and where, for people.
    pub log: Vec<String>,
    /// BPF programs that anything killed here had, itself or pinned.
    pub programs: BTreeSet<u64>,
    /// Raw wait statuses of what killed programs left behind.
    pub orphans: BTreeMap<i32, i32>,
    started: u32,
}

/// A program under the killer.
#[derive(Debug)]
pub struct Doomed {
    running: Running,
    account: PathBuf,
    name: String,
    begun: Instant,
}

impl Stage {
    /// An empty room.
    ///
    /// # Errors
    /// As [`Room::new`].
    pub fn new() -> Result<Self> {
        Ok(Self {
            room: Room::new()?,
            log: Vec::new(),
            programs: BTreeSet::new(),
            orphans: BTreeMap::new(),
            started: 0,
        })
    }

    /// Lines that `--json` has told.
    #[must_use]
    pub fn told_path(&self) -> PathBuf {
        self.room.path("told.jsonl")
    }

    /// The file that the caller wants kept.
    #[must_use]
    pub fn attached_path(&self) -> PathBuf {
        self.room.path("attached")
    }

    /// Starts tracer with these arguments, to be killed at `moment`.
    ///
    /// # Errors
    /// It is not built.
    pub fn doom(&mut self, args: &[OsString], moment: &Moment) -> Result<Doomed> {
        self.started += 1;
        let account = self.room.path(&format!("account.{}", self.started));
        let verb = args.first().map(|arg| arg.to_string_lossy().into_owned());
        let launch = self.room.fixture("killer")?.arg(&account);
        let launch = launch.args(moment.words()).arg("--").arg(place::tracer()?);
        Ok(Doomed {
            running: launch.args(args).spawn()?,
            account,
            name: format!("{} {}", verb.unwrap_or_default(), moment.words().join(" ")),
            begun: Instant::now(),
        })
    }

    /// Waits until the killed one and everything it left behind have ended, and notes what became of
    /// it; what it did until then.
    ///
    /// # Errors
    /// That does not come about, or it ended by itself and badly.
    pub fn over(&mut self, doomed: Doomed) -> Result<Measured> {
        let Doomed {
            running,
            account,
            name,
            begun,
        } = doomed;
        let end = running.finish(PATIENCE)?.expect_code(0);
        let lifetime = begun.elapsed();
        let end = end.with_context(|| name.clone())?;
        let lines = read_json_lines(&account)?;
        let [dead, over] = lines.as_slice() else {
            anyhow::bail!("{name}: the killer says {lines:?}; {}", end.stderr);
        };
        if let Some(place) = dead["place"].as_str() {
            self.log.push(format!("{name}: killed {place}"));
        } else {
            self.log.push(format!("{name}: ended by itself"));
            let late = TOO_LATE.iter().any(|words| end.stderr.contains(words));
            let fine = dead["status"] == 0 || late;
            ensure!(fine, "{name}: {dead}; {}", end.stderr);
        }
        let programs = dead["programs"].as_array().into_iter().flatten();
        self.programs.extend(programs.filter_map(Value::as_u64));
        let pairs: Vec<(i32, i32)> = serde_json::from_value(over["orphans"].clone())?;
        self.orphans.extend(pairs);
        let calls = dead["calls"].as_object().into_iter().flatten();
        let calls = calls.filter_map(|(kind, count)| Some((Kind::named(kind)?, count.as_u64()?)));
        Ok(Measured {
            calls: calls.collect(),
            lifetime,
        })
    }

    /// [`Self::doom`], then [`Self::over`].
    ///
    /// # Errors
    /// As these.
    pub fn kill(&mut self, args: &[OsString], moment: &Moment) -> Result<Measured> {
        let doomed = self.doom(args, moment)?;
        self.over(doomed)
    }

    /// Notes the programs of the links that are pinned now.
    ///
    /// # Errors
    /// A pin cannot be read.
    pub fn note_pins(&mut self) -> Result<()> {
        for session in entries(&self.room.pins())? {
            for pin in entries(&session)? {
                let name = pin.file_name().unwrap_or_default().to_string_lossy();
                if name.starts_with("on_") {
                    let path = std::os::unix::ffi::OsStrExt::as_bytes(pin.as_os_str());
                    let path = std::ffi::CString::new(path)?;
                    self.programs.insert(sys::program_of_link(&path)?.into());
                }
            }
        }
        Ok(())
    }

    /// Checks that no pin is left, and that the kernel has let go of every program.
    ///
    /// # Errors
    /// Names what is left.
    pub fn expect_no_programs(&self) -> Result<()> {
        let left = entries(&self.room.pins())?;
        ensure!(left.is_empty(), "pins are left: {left:?}");
        // The kernel frees a program some time after its last user is gone.
        wait_for("BPF programs to be gone", PATIENCE, || {
            for &program in &self.programs {
                if sys::program_exists(u32::try_from(program)?)? {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
    }
}

impl Doomed {
    /// Waits until the program is dead, be it that what it started goes on.
    ///
    /// # Errors
    /// It lives on.
    pub fn until_dead(&self) -> Result<()> {
        wait_for("the program to be dead", PATIENCE, || {
            Ok((self.account.exists() || self.running.has_ended()?).then_some(()))
        })
    }
}

/// What is in a directory, which need not be there.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(folder)?;
    entries.map(|entry| Ok(entry?.path())).collect()
}
