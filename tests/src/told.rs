//! What `tracer sessions` says, and sessions to say it of.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::check::until_noted;
use crate::launch::{Finished, Launch, Running};
use crate::room::Room;
use crate::wait::PATIENCE;

/// `tracer sessions` with these arguments.
///
/// # Errors
/// It does not end in time.
pub fn sessions(room: &Room, args: &[&str]) -> Result<Finished> {
    room.tracer("sessions")?.args(args).finish(PATIENCE)
}

/// What a program wrote to stdout.
#[must_use]
pub fn text(end: &Finished) -> String {
    String::from_utf8_lossy(&end.stdout).into_owned()
}

/// Checks that all `words` are there.
///
/// # Errors
/// One is missing.
pub fn expect(text: &str, words: &[&str]) -> Result<()> {
    for word in words {
        ensure!(text.contains(word), "{word:?} is not in:\n{text}");
    }
    Ok(())
}

/// Runs a script under `tracer run`; older sessions stay.
///
/// # Errors
/// It does not end in time.
pub fn record(room: &Room, options: &[&str], script: &str) -> Result<Finished> {
    room.run()?
        .args(["-q", "--keep", "0"])
        .args(options)
        .command(["sh", "-c", script])
        .finish(PATIENCE)
}

/// What `tracer sessions list --json` says, all pages of it.
///
/// # Errors
/// It fails.
pub fn listed(room: &Room, args: &[&str]) -> Result<Vec<Value>> {
    let args: Vec<&str> = ["list", "--json", "--limit", "0"]
        .into_iter()
        .chain(args.iter().copied())
        .collect();
    let end = sessions(room, &args)?.expect_code(0)?;
    let listing: Value = serde_json::from_slice(&end.stdout)?;
    Ok(listing["sessions"]
        .as_array()
        .context("no sessions key")?
        .clone())
}

/// Ids of the sessions that are listed.
///
/// # Errors
/// As [`listed`].
pub fn ids(room: &Room, args: &[&str]) -> Result<Vec<String>> {
    let id = |session: &Value| Ok(session["session_id"].as_str().context("no id")?.to_owned());
    listed(room, args)?.iter().map(id).collect()
}

/// A session of the fixture `forever` that goes on until the file `stop` is there; its tracer.
///
/// # Errors
/// It does not begin.
pub fn going_on(room: &Room) -> Result<Running> {
    let stop = room.path("stop");
    let launch: Launch = room.run()?.args(["-q", "--require-trace", "--keep", "0"]);
    let tracer = launch
        .observe("forever", &["2", &stop.to_string_lossy()])?
        .spawn()?;
    until_noted(room, "ready")?;
    Ok(tracer)
}
