//! Whole checks that several tests share: run a fixture under tracer, compare record and truth.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use crate::facts::Facts;
use crate::launch::Running;
use crate::room::Room;
use crate::session::{self, Session};
use crate::truth::{Fact, notes};
use crate::wait::{PATIENCE, wait_for};
use serde_json::Value;

/// A finished run: its room, what tracer recorded, what the fixtures say they did.
#[derive(Debug)]
pub struct Recorded {
    /// Keeps the files.
    pub room: Room,
    /// What tracer recorded.
    pub session: Session,
    /// What the fixtures say.
    pub truth: Vec<(u64, Fact)>,
}

impl Recorded {
    /// A number that a fixture noted.
    ///
    /// # Errors
    /// It did not.
    pub fn noted(&self, key: &str) -> Result<i32> {
        let notes = notes(&self.truth);
        Ok(notes
            .get(key)
            .with_context(|| format!("no note {key} in the truth"))?
            .parse()?)
    }
}

/// Runs a fixture under `tracer run`, then checks that the record is complete and is the truth:
/// every fork with its creator and parent, every exec, every exit with its raw status, exactly once.
///
/// # Errors
/// Anything else; the message has the difference.
pub fn recorded(fixture: &str, args: &[&str]) -> Result<Recorded> {
    recorded_with(fixture, args, &[], PATIENCE)
}

/// As [`recorded`], with options for tracer and a deadline.
///
/// # Errors
/// As [`recorded`].
pub fn recorded_with(
    fixture: &str,
    args: &[&str],
    options: &[&str],
    deadline: Duration,
) -> Result<Recorded> {
    let room = Room::new()?;
    let launch = room.run()?.args(["-q", "--require-trace"]).args(options);
    launch
        .observe(fixture, args)?
        .finish(deadline)?
        .expect_code(0)?;
    let (session, truth) = (room.session()?, room.truth()?);
    Facts::of_truth(&truth).expect_same(&session.facts()?)?;
    session.expect_complete()?;
    expect_order(&session)?;
    Ok(Recorded {
        room,
        session,
        truth,
    })
}

/// Checks that every process's records come as fork, execs, exit, with growing exec numbers.
///
/// # Errors
/// The first record out of order.
pub fn expect_order(session: &Session) -> Result<()> {
    let mut execs_of = std::collections::HashMap::new();
    for record in &session.journal {
        let out_of_order = || format!("seq {}: {}", record.seq, record.value);
        match record.kind.as_str() {
            "fork" => {
                let old = execs_of.insert(record.small("pid")?, 0);
                ensure!(
                    old.is_none(),
                    "a second fork of a living pid: {}",
                    out_of_order()
                );
            }
            "exec" => {
                let pid = record.small("pid")?;
                let execs = execs_of.get_mut(&pid);
                let execs =
                    execs.with_context(|| format!("exec before fork: {}", out_of_order()))?;
                *execs += 1;
                ensure!(
                    record.int("exec_no")? == *execs,
                    "exec_no: {}",
                    out_of_order()
                );
            }
            "exit" => {
                let was = execs_of.remove(&record.small("pid")?);
                ensure!(
                    was.is_some(),
                    "exit before fork, or a second one: {}",
                    out_of_order()
                );
            }
            _ => {}
        }
    }
    Ok(())
}

/// Waits until a running tracer says in its journal that tracking is armed. Gives the session's
/// directory and the time it says.
///
/// # Errors
/// Not in time, or tracer has ended; the message has its stderr.
pub fn until_armed(room: &Room, tracer: &Running) -> Result<(PathBuf, u64)> {
    wait_for("tracking to be armed", PATIENCE, || {
        for folder in room.session_folders()? {
            if let Some(time) = session::armed(&folder)? {
                return Ok(Some((folder, time)));
            }
        }
        ensure!(
            !tracer.has_ended()?,
            "tracer has ended; stderr:\n{}",
            tracer.stderr()
        );
        Ok(None)
    })
}

/// Waits until a fixture has noted `key`; gives the note.
///
/// # Errors
/// Not in time, or the truth log is broken.
pub fn until_noted(room: &Room, key: &str) -> Result<String> {
    wait_for(&format!("the fixture's note `{key}`"), PATIENCE, || {
        if !room.truth_path().exists() {
            return Ok(None);
        }
        Ok(notes(&room.truth()?)
            .get(key)
            .map(|&value| value.to_owned()))
    })
}

/// Starts a fixture and waits until it says `ready`.
///
/// # Errors
/// It does not.
pub fn started(room: &Room, fixture: &str, args: &[&str]) -> Result<Running> {
    let running = room.fixture(fixture)?.args(args).spawn()?;
    until_noted(room, "ready")?;
    Ok(running)
}

/// Attaches to a storm that is under way, lets it go on for a while, stops it, and checks that
/// nothing alive or born after arming is missing: whoever says it was still alive after that time
/// must have its fork and its exit in the record, and nothing else may be there.
///
/// From 7.0 on the kernel may skip a program whose processor is taken away in the middle of another run of
/// it; then the record says that it is not sure, and that this is why, which is right, and the storm is
/// attached to once more. No other reason is an excuse.
///
/// # Errors
/// Says who is missing or invented.
pub fn attached_in_a_storm(workers: u32, options: &[&str]) -> Result<Recorded> {
    let mut more_tries = if kernel_may_skip_programs() { 3 } else { 0 };
    loop {
        let recorded = attached_once(workers, options)?;
        let notes = recorded.session.of_kind("note");
        let attached = notes
            .map(|note| &note.value)
            .find(|note| note["topic"] == "attached")
            .context("no note on the attach")?;
        let doubts = attached["data"]["doubts"].as_object();
        let was_skipped = doubts.is_some_and(|why| why.len() == 1 && why.contains_key("skipped"));
        if was_skipped && more_tries > 0 {
            more_tries -= 1;
            continue;
        }
        recorded.session.expect_complete()?;
        return Ok(recorded);
    }
}

fn attached_once(workers: u32, options: &[&str]) -> Result<Recorded> {
    let room = Room::new()?;
    let stop = room.path("stop");
    let workers = workers.to_string();
    let storm = started(&room, "forever", &[&workers, &stop.to_string_lossy()])?;
    let tracer = room
        .attach(storm.pid())?
        .args(["-q"])
        .args(options)
        .spawn()?;
    let (_, armed) = until_armed(&room, &tracer)?;
    let after = room.truth()?.len();
    wait_for("500 more facts", PATIENCE, || {
        Ok((room.truth()?.len() > after + 500).then_some(()))
    })?;
    std::fs::write(&stop, "")?;
    let target = storm.pid();
    storm.finish(PATIENCE)?.expect_code(0)?;
    tracer.finish(PATIENCE)?.expect_code(0)?;
    let (session, truth) = (room.session()?, room.truth()?);
    ensure!(
        session.root()? == target,
        "root {target}, recorded {}",
        session.root()?
    );
    expect_order(&session)?;
    expect_all_since(armed, target, &truth, &session)?;
    Ok(Recorded {
        room,
        session,
        truth,
    })
}

fn expect_all_since(armed: u64, root: i32, truth: &[(u64, Fact)], session: &Session) -> Result<()> {
    let recorded = session.facts()?;
    // Everything recorded happened, with the right status and parents. Adopted processes have no
    // creator in the record but their parent, which for an orphan is the root.
    let happened = Facts::of_truth(truth);
    let parents = happened
        .forks
        .keys()
        .map(|&(_, child, parent)| (child, parent));
    let parents: std::collections::BTreeSet<_> = parents
        .flat_map(|(child, parent)| [(child, parent), (child, root)])
        .collect();
    for &(creator, child, parent) in recorded.forks.keys() {
        ensure!(
            parents.contains(&(child, parent)),
            "fork of {child} by {creator} for {parent} never happened"
        );
    }
    for (exit, count) in &recorded.exits {
        let most = happened.exits.get(exit).copied().unwrap_or(0);
        ensure!(
            *count <= most,
            "exit {exit:?}: recorded {count} times, happened {most} times"
        );
    }
    // Nothing that was alive after arming is missing. A pid may have been used before as well.
    let mut alive = std::collections::BTreeMap::<i32, i64>::new();
    for (time, fact) in truth {
        if let Fact::Last { pid } = fact
            && *time > armed
            && *pid != root
        {
            *alive.entry(*pid).or_default() += 1;
        }
    }
    let count = |pids: &mut dyn Iterator<Item = (i32, i64)>| {
        let mut by_pid = std::collections::BTreeMap::<i32, i64>::new();
        pids.for_each(|(pid, count)| *by_pid.entry(pid).or_default() += count);
        by_pid
    };
    let forks = count(&mut recorded.forks.iter().map(|(&(_, child, _), &n)| (child, n)));
    let exits = count(&mut recorded.exits.iter().map(|(&(pid, _), &n)| (pid, n)));
    let lacks = |by_pid: &std::collections::BTreeMap<i32, i64>| -> Vec<i32> {
        let lacking = alive
            .iter()
            .filter(|&(pid, &n)| by_pid.get(pid).copied().unwrap_or(0) < n);
        lacking.map(|(&pid, _)| pid).collect()
    };
    let (forks, exits) = (lacks(&forks), lacks(&exits));
    let said: Vec<_> = truth
        .iter()
        .filter_map(|(time, fact)| match fact {
            Fact::Last { pid } if forks.contains(pid) => Some((*pid, time.saturating_sub(armed))),
            _ => None,
        })
        .collect();
    let family: Vec<_> = happened
        .forks
        .keys()
        .filter(|(creator, child, _)| forks.contains(child) || forks.contains(creator))
        .collect();
    ensure!(
        forks.is_empty() && exits.is_empty(),
        "alive after arming at {armed}, but no fork of {forks:?}, no exit of {exits:?}; alive so \
         many ns after it: {said:?}; forks (creator, child, parent): {family:?}"
    );
    ensure!(
        !alive.is_empty(),
        "the storm had ended before tracking was armed"
    );
    Ok(())
}

/// Stops a tracer (SIGSTOP) for as long as `meanwhile` takes.
///
/// # Errors
/// It cannot be stopped, or `meanwhile` fails.
pub fn while_stopped(tracer: &Running, meanwhile: impl FnOnce() -> Result<()>) -> Result<()> {
    tracer.signal(Signal::STOP)?;
    let result = meanwhile();
    tracer.signal(Signal::CONT)?;
    result
}

/// Checks that the losses a session reports, by kind, are what is missing in it (forks, execs,
/// exits), in the summary and, summed up, in the journal's `loss` records.
///
/// # Errors
/// Says what is reported.
pub fn expect_loss(session: &Session, mut missing: [i64; 3]) -> Result<()> {
    // Nobody in the tree waited for the root, so its end is not among the truth's.
    missing[2] += i64::from(session.exit_of(session.root()?).is_err());
    let in_summary = |kind: &str| -> i64 {
        let lost = session.summary["completeness"]["lost"].as_object();
        let of_kind = lost
            .into_iter()
            .flatten()
            .filter(|(reason, _)| reason.contains(kind));
        of_kind.filter_map(|(_, count)| count.as_i64()).sum()
    };
    let in_journal = |kind: &str| -> i64 {
        let of_kind = session
            .of_kind("loss")
            .filter(|loss| loss.text("reason").contains(kind));
        of_kind.filter_map(|loss| loss.int("count").ok()).sum()
    };
    let kinds = ["fork", "exec", "exit"];
    let (summary, journal) = (kinds.map(in_summary), kinds.map(in_journal));
    ensure!(
        summary == missing && journal == missing,
        "missing (forks, execs, exits) {missing:?}; the summary says {summary:?}, the loss records \
         {journal:?}: {}",
        session.summary["completeness"]
    );
    Ok(())
}

/// A run of about half a second with a fat process and rows every 50 ms; ends with 7.
///
/// # Errors
/// It did not end so.
pub fn half_a_second() -> Result<(Room, Session)> {
    let room = Room::new()?;
    let launch = room.run()?.args([
        "-q",
        "--require-trace",
        "--interval",
        "50ms",
        "--label",
        "a=b=c",
    ]);
    let shell = "\"$0\" 30 & while ! grep -q ready \"$TRUTH_LOG\" 2>/dev/null; do sleep 0.01; done; \
                 sleep 0.4; kill -TERM $!; wait $!; exit 7";
    let launch = launch
        .args(["--label", "empty="])
        .command(["sh", "-c", shell]);
    launch
        .arg(crate::place::fixture("idle")?)
        .finish(PATIENCE)?
        .expect_code(7)?;
    let session = room.session()?;
    Ok((room, session))
}

/// Checks that a JSON object has these keys.
///
/// # Errors
/// Names those it lacks.
pub fn expect_keys(what: &str, value: &Value, keys: &[&str]) -> Result<()> {
    let missing: Vec<_> = keys
        .iter()
        .filter(|key| value.get(**key).is_none())
        .collect();
    ensure!(missing.is_empty(), "{what} lacks {missing:?}: {value}");
    Ok(())
}

/// Whether this kernel may skip a program at a tracepoint: from Linux 7.0 on they can be preempted.
#[must_use]
pub fn kernel_may_skip_programs() -> bool {
    let release = rustix::system::uname();
    let release = release.release().to_string_lossy();
    let major = release.split('.').next();
    major.is_some_and(|major| major.parse().is_ok_and(|major: u32| major >= 7))
}
