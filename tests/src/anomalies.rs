//! Anomalies of real processes: a fixture that goes wrong when it is told to, and what was recorded.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::check::{until_noted, while_stopped};
use crate::launch::{Finished, Running};
use crate::room::Room;
use crate::session::{Session, read_json_lines};
use crate::wait::{PATIENCE, wait_for};
use crate::{journal, place, proc};

/// A fixture that makes trouble when it is told to, under tracer.
#[derive(Debug)]
pub struct Trouble {
    /// Its room.
    pub room: Room,
    tracer: Running,
    /// The session's directory.
    pub folder: PathBuf,
    /// The fixture.
    pub pid: i32,
}

impl Trouble {
    /// Starts it, which waits to be told.
    ///
    /// # Errors
    /// It is not so in time, or something is broken.
    pub fn start(act: &str, options: &[&str]) -> Result<Self> {
        Self::start_as(options, |room| {
            let trouble = place::fixture_text("trouble")?;
            Ok(vec![trouble, act.to_owned(), place::text(&room.path(""))?])
        })
    }

    /// Starts it as this command does, which has the room's folder to give it.
    ///
    /// # Errors
    /// It is not so in time, or something is broken.
    pub fn start_as(
        options: &[&str],
        command: impl FnOnce(&Room) -> Result<Vec<String>>,
    ) -> Result<Self> {
        let room = Room::new()?;
        let command = command(&room)?;
        let tracer = begin(&room, options, &command)?;
        Self::ready(room, tracer)
    }

    /// It has been started by [`begin`]: waits until it waits to be told.
    ///
    /// # Errors
    /// It is not so in time, or something is broken.
    pub fn ready(room: Room, tracer: Running) -> Result<Self> {
        let pid = until_noted(&room, "ready")?.parse()?;
        let folder = room.session_folder()?;
        Ok(Self {
            room,
            tracer,
            folder,
            pid,
        })
    }

    /// Tells it to `go`, to `stop`, or that it is `over`.
    ///
    /// # Errors
    /// It is not so in time, or something is broken.
    pub fn tell(&self, word: &str) -> Result<()> {
        Ok(std::fs::write(self.room.path(word), "")?)
    }

    /// Tells it to `go`, and sees nothing until it has noted that it is done: between two rows.
    ///
    /// # Errors
    /// It is not so in time, or something is broken.
    pub fn go_unseen(&self, done: &str) -> Result<()> {
        while_stopped(&self.tracer, || {
            wait_for("tracer to stop", PATIENCE, || {
                Ok((proc::state(self.tracer.pid()) == Some('T')).then_some(()))
            })?;
            self.tell("go")?;
            until_noted(&self.room, done).map(drop)
        })
    }

    /// Waits for so many rows of the fixture.
    ///
    /// # Errors
    /// It is not so in time, or something is broken.
    pub fn until_rows(&self, count: usize) -> Result<()> {
        self.until_rows_with("rows", count, |_| true)
    }

    /// Waits for so many rows of the fixture that are like this.
    ///
    /// # Errors
    /// It is not so in time, or something is broken.
    pub fn until_rows_with(
        &self,
        what: &str,
        count: usize,
        fits: impl Fn(&Value) -> bool,
    ) -> Result<()> {
        wait_for(what, PATIENCE, || {
            let records = journal::read_so_far(&self.folder)?;
            let of_it = |record: &&journal::Record| {
                record.kind == "snapshot"
                    && record.int("pid").ok() == Some(self.pid.into())
                    && fits(&record.value)
            };
            Ok((records.iter().filter(of_it).count() >= count).then_some(()))
        })
    }

    /// Waits until an anomaly of this kind has opened, or closed.
    ///
    /// # Errors
    /// It is not so in time, or something is broken.
    pub fn until(&self, phase: &str, kind: &str) -> Result<()> {
        until(&self.folder, phase, kind, 1)
    }

    /// Ends it; its room, its session and the anomalies of that.
    ///
    /// # Errors
    /// It is not so in time, or something is broken.
    pub fn finish(self) -> Result<(Room, Session, Vec<Value>, Finished)> {
        self.tell("over")?;
        let done = self.tracer.finish(PATIENCE)?.expect_code(0)?;
        let session = self.room.session()?;
        let anomalies = anomalies(&session)?;
        verified(&self.room)?;
        Ok((self.room, session, anomalies, done))
    }
}

/// Starts this command under tracer, with a row of each process every 20 ms.
///
/// # Errors
/// It cannot be started.
pub fn begin(room: &Room, options: &[&str], command: &[String]) -> Result<Running> {
    let launch = room.run()?;
    let launch = launch.args(["--require-trace", "--interval", "20ms"]);
    launch.args(options).command(command).spawn()
}

/// Waits until so many anomalies of this kind have opened, or closed.
///
/// # Errors
/// It is not so in time, or something is broken.
pub fn until(folder: &Path, phase: &str, kind: &str, count: usize) -> Result<()> {
    wait_for(&format!("{kind} {phase}"), PATIENCE, || {
        let records = journal::read_so_far(folder)?;
        let found = records.iter().filter(|record| {
            record.kind == "anomaly"
                && record.text("anomaly") == kind
                && record.text("phase") == phase
        });
        Ok((found.count() >= count).then_some(()))
    })
}

/// `anomalies.jsonl`, which is there only when there are any, and has each once.
///
/// # Errors
/// It is not so in time, or something is broken.
pub fn anomalies(session: &Session) -> Result<Vec<Value>> {
    let path = session.folder.join("anomalies.jsonl");
    let lines = if path.exists() {
        read_json_lines(&path)?
    } else {
        Vec::new()
    };
    let count = session.number("/anomaly_count")?;
    ensure!(
        count == lines.len() as u64 && path.exists() == (count > 0),
        "{count} counted, {} written",
        lines.len()
    );
    for line in &lines {
        for key in
            "ts seq event kind severity pid detail snapshot first last count worst ended".split(' ')
        {
            ensure!(line.get(key).is_some(), "no {key}: {line}");
        }
        let opened = session
            .journal
            .iter()
            .find(|record| Some(record.seq) == line["seq"].as_u64());
        let opened = opened.context("no record of that seq")?;
        ensure!(
            opened.kind == "anomaly" && opened.text("phase") == "opened",
            "{line}"
        );
    }
    Ok(lines)
}

/// Nothing is broken, and the derived files come back byte for byte.
///
/// # Errors
/// It is not so in time, or something is broken.
pub fn verified(room: &Room) -> Result<()> {
    let folder = room.session_folder()?;
    let id = folder
        .file_name()
        .context("a name")?
        .to_string_lossy()
        .into_owned();
    let path = folder.join("anomalies.jsonl");
    let before = std::fs::read(&path).ok();
    room.tracer("sessions")?
        .args(["verify", &id])
        .finish(PATIENCE)?
        .expect_code(0)?;
    if before.is_some() {
        std::fs::remove_file(&path)?;
    }
    room.tracer("sessions")?
        .args(["rebuild", &id])
        .finish(PATIENCE)?
        .expect_code(0)?;
    ensure!(
        std::fs::read(&path).ok() == before,
        "rebuilt, it is another file"
    );
    room.tracer("sessions")?
        .args(["verify", &id])
        .finish(PATIENCE)?
        .expect_code(0)?;
    Ok(())
}

/// The one anomaly of this kind.
///
/// # Errors
/// It is not so in time, or something is broken.
pub fn one<'a>(anomalies: &'a [Value], kind: &str) -> Result<&'a Value> {
    let found: Vec<&Value> = anomalies
        .iter()
        .filter(|anomaly| anomaly["kind"] == kind)
        .collect();
    match found.as_slice() {
        [one] => Ok(one),
        _ => bail!("one {kind} expected: {anomalies:#?}"),
    }
}
