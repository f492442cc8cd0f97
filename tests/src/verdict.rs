//! What a test expects of a verdict, and the checks that hold for every one of them.

use std::io::Write as _;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Pid;
use serde_json::Value;

use crate::session::Session;
use crate::wait::PATIENCE;

/// Environment variable: how often each case is run. The verdict must be the same each time.
const TIMES: &str = "TRACER_TEST_TIMES";
/// Environment variable: a file to which each case adds a line: times run, times wrong, name.
const TALLY: &str = "TRACER_TEST_TALLY";

/// Runs a case as often as asked for, twice unless told otherwise; all times, also after a failure.
///
/// # Errors
/// The first one that fails; the message says which, and how many did.
pub fn again_and_again(case: &str, mut run: impl FnMut() -> Result<()>) -> Result<()> {
    let times = std::env::var(TIMES)
        .ok()
        .and_then(|times| times.parse().ok())
        .unwrap_or(2_u32);
    let (mut wrong, mut first) = (0_u32, None);
    for time in 1..=times {
        if let Err(error) = run() {
            wrong += 1;
            first.get_or_insert(error.context(format!("{case}, time {time} of {times}")));
        }
    }
    tell(case, times, wrong)?;
    match first {
        Some(error) if wrong > 1 => Err(error.context(format!("{wrong} of {times} were wrong"))),
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Times that a timer may run out unseen, one after the other.
const UNSEEN_MAX: u32 = 5;

/// Runs a case in which a timer's signal ends something, as [`again_and_again`] does; `run` gives its
/// session.
///
/// A kernel may run no BPF program while a task of the first process is current, and a timer's interrupt
/// can come just then (docs/operations.md): nobody is shown the signal. The verdict must be `unseen`
/// then, and the case is taken once more; with the signal in the journal nothing but `seen` will do.
///
/// # Errors
/// As [`again_and_again`]; and when the signal is not seen time after time.
pub fn by_timer(
    case: &str,
    signal: &str,
    [seen, unseen]: [Expected<'_>; 2],
    mut run: impl FnMut() -> Result<Session>,
) -> Result<()> {
    again_and_again(case, || {
        for _ in 0..UNSEEN_MAX {
            let session = run()?;
            let mut signals = session.of_kind("signal");
            if signals.any(|record| record.value["signal_name"] == signal) {
                return seen.of(&session);
            }
            unseen.of(&session)?;
        }
        bail!("{signal} was not seen {UNSEEN_MAX} times in a row")
    })
}

fn tell(case: &str, times: u32, wrong: u32) -> Result<()> {
    let Some(tally) = std::env::var_os(TALLY) else {
        return Ok(());
    };
    let mut tally = std::fs::File::options().append(true).open(tally)?;
    let case = case.replace(['\n', '\t'], " ");
    // One write: several tests may add a line at once.
    Ok(tally.write_all(format!("{times}\t{wrong}\t{case}\n").as_bytes())?)
}

/// What a verdict must say. An empty text stands for null.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// `signal`.
    pub signal: &'a str,
    /// `cause`.
    pub cause: &'a str,
    /// `confidence`.
    pub confidence: &'a str,
    /// `killer.relation`.
    pub relation: &'a str,
    /// Words of the sentence.
    pub words: &'a [&'a str],
}

impl<'a> Expected<'a> {
    /// An end by a signal, `certain`.
    #[must_use]
    pub fn killed(
        signal: &'a str,
        cause: &'a str,
        relation: &'a str,
        words: &'a [&'a str],
    ) -> Self {
        Self {
            signal,
            cause,
            confidence: "certain",
            relation,
            words,
        }
    }

    /// The same, only `likely`.
    #[must_use]
    pub fn likely(self) -> Self {
        Self {
            confidence: "likely",
            ..self
        }
    }

    /// Checks a verdict, and that its evidence is in the journal.
    ///
    /// # Errors
    /// It says something else; the message has all of it.
    pub fn check(&self, verdict: &Value, session: &Session) -> Result<()> {
        let text = |pointer: &str| {
            let found = verdict.pointer(pointer).and_then(Value::as_str);
            found.unwrap_or("").to_owned()
        };
        let found = [
            text("/signal"),
            text("/cause"),
            text("/confidence"),
            text("/killer/relation"),
        ];
        let expected = [self.signal, self.cause, self.confidence, self.relation];
        let journal = || {
            let lines = session.journal.iter().filter(|record| {
                ["signal", "oom", "exit", "note", "loss", "target"].contains(&record.kind.as_str())
            });
            let lines: Vec<String> = lines.map(|record| record.value.to_string()).collect();
            lines.join("\n")
        };
        ensure!(
            found == expected,
            "{expected:?} expected, got {found:?}: {verdict:#}\n{}",
            journal()
        );
        let sentence = text("/sentence");
        for words in self.words {
            ensure!(sentence.contains(words), "no {words:?} in: {sentence}");
        }
        evidence(verdict, session)
    }

    /// Checks the verdict on the workload.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn of(&self, session: &Session) -> Result<()> {
        self.check(&session.summary["verdict"], session)
    }
}

/// Whatever is said rests on records that are there and are about the end of a process; a verdict that
/// is sure of itself rests on the exit, and one that names a killer on a signal besides.
fn evidence(verdict: &Value, session: &Session) -> Result<()> {
    let evidence = verdict["evidence"].as_array().context("no evidence")?;
    let mut kinds = Vec::new();
    for seq in evidence {
        let seq = seq.as_u64().context("evidence is no number")?;
        let record = session.journal.iter().find(|record| record.seq == seq);
        let kind = &record.with_context(|| format!("no record {seq}"))?.kind;
        ensure!(
            ["exit", "signal", "oom", "note", "loss", "gap"].contains(&kind.as_str()),
            "record {seq} of the evidence is a {kind}"
        );
        kinds.push(kind.as_str());
    }
    if verdict["confidence"] == "certain" {
        ensure!(
            kinds.contains(&"exit"),
            "certain without an exit: {verdict}"
        );
    }
    if !verdict["killer"].is_null() {
        ensure!(
            kinds.contains(&"signal"),
            "a killer without a signal: {verdict}"
        );
    }
    Ok(())
}

/// The verdict on every process of a session, as `tracer sessions why` tells it.
///
/// # Errors
/// It cannot be asked.
pub fn on_all(room: &crate::room::Room, session: &Session) -> Result<Vec<Value>> {
    let id = session.summary["session_id"].as_str().context("no id")?;
    let end = room
        .tracer("sessions")?
        .args(["why", "--json", id])
        .finish(PATIENCE)?
        .expect_code(0)?;
    let lines = end.stdout.split(|&byte| byte == b'\n');
    lines
        .filter(|line| !line.is_empty())
        .map(|line| Ok(serde_json::from_slice(line)?))
        .collect()
}

/// The verdict on one process of a session.
///
/// # Errors
/// There is not exactly one.
pub fn on(room: &crate::room::Room, session: &Session, pid: i32) -> Result<Value> {
    let all = on_all(room, session)?;
    let of: Vec<_> = all.iter().filter(|found| found["pid"] == pid).collect();
    match of.as_slice() {
        [one] => Ok(one["verdict"].clone()),
        found => bail!("{} verdicts on {pid}: {all:#?}", found.len()),
    }
}

/// A pid as system calls want it.
///
/// # Errors
/// It is none.
pub fn pid(number: i32) -> Result<Pid> {
    Pid::from_raw(number).context("no pid")
}
