//! `tracer reap` ends what a session left, whatever it does about it, and never a stranger.

mod rare;

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tracer::procfs::ProcRoot;
use tracer::target::held::{Held, Sent, Step};
use tracer::units::Tgid;
use tracer_tests::launch::Launch;
use tracer_tests::proc;
use tracer_tests::room::Room;
use tracer_tests::sys;
use tracer_tests::wait::{PATIENCE, wait_for};

pub(crate) fn reap(room: &Room, args: &[&str]) -> Result<Launch> {
    let launch = room.tracer("reap")?.stdio(0, Stdio::null());
    Ok(launch.args(["--json"]).args(args))
}

/// Runs what leaves `count` processes behind, each of which writes its pid into a file when it is ready.
pub(crate) fn leave(room: &Room, text: &str, count: usize) -> Result<Vec<i32>> {
    let list = room.path("list");
    std::fs::write(&list, "")?;
    let text =
        format!("{text}\nwhile [ \"$(wc -l < \"$0\")\" != {count} ]; do sleep 0.01; done; exit 0");
    let launch = room
        .run()?
        .args(["--require-trace", "-q", "--label", "job=7"]);
    let launch = launch.command(["bash", "-c", &text]).arg(&list);
    launch.finish(PATIENCE)?.expect_code(0)?;
    pids(&std::fs::read_to_string(&list)?)
}

fn pids(list: &str) -> Result<Vec<i32>> {
    list.lines()
        .map(|line| line.parse().with_context(|| format!("{line:?} is no pid")))
        .collect()
}

pub(crate) fn report(text: &[u8]) -> Result<Value> {
    serde_json::from_slice(text).context("no report")
}

pub(crate) fn fate_of(report: &Value, pid: i32) -> Option<&Value> {
    let all = report["reaped"].as_array()?;
    Some(&all.iter().find(|one| one["pid"] == pid)?["fate"])
}

pub(crate) fn is_there(pid: i32) -> bool {
    proc::state(pid).is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

#[test]
fn whoever_is_deaf_stopped_or_forks_while_it_dies_is_ended() -> Result<()> {
    let room = Room::new()?;
    let text = r#"
        setsid sh -c 'echo $$ >> "$0"; exec sleep 310' "$0" &
        setsid sh -c 'trap "" TERM; echo $$ >> "$0"; while :; do sleep 0.05; done' "$0" &
        setsid sh -c 'trap "setsid sleep 311 & exit 0" TERM; echo $$ >> "$0"; while :; do sleep 0.05; done' "$0" &
        setsid sh -c 'echo $$ >> "$0"; kill -STOP $$; exit 3' "$0" &"#;
    let left = leave(&room, text, 4)?;
    let dry = reap(&room, &["--all", "--dry-run"])?
        .finish(PATIENCE)?
        .expect_code(0)?;
    let dry = report(&dry.stdout)?;
    for &pid in &left {
        ensure!(
            fate_of(&dry, pid).is_some_and(|fate| fate == "left"),
            "{dry:#}"
        );
        ensure!(is_there(pid), "a dry run has ended {pid}");
    }
    let done = reap(&room, &["--label", "job=7", "--grace", "500ms"])?;
    let done = done.finish(PATIENCE)?.expect_code(0)?;
    let done = report(&done.stdout)?;
    for &pid in &left {
        let fate = fate_of(&done, pid).with_context(|| format!("{pid} is not told: {done:#}"))?;
        ensure!(fate == "terminated" || fate == "killed", "{done:#}");
        ensure!(!is_there(pid), "{pid} lives");
    }
    ensure!(
        done["reaped"].as_array().is_some_and(|all| {
            all.iter().any(|one| {
                one["session"].is_null()
                    && one["cmdline"]
                        .as_str()
                        .is_some_and(|line| line.contains("sleep 311"))
            })
        }),
        "what was forked in the handler: {done:#}"
    );
    for one in done["reaped"].as_array().context("a list")? {
        let pid = i32::try_from(one["pid"].as_i64().context("a pid")?)?;
        let same = proc::start_ticks(pid).ok() == one["starttime_ticks"].as_u64();
        ensure!(!(same && is_there(pid)), "{one} lives");
    }
    ensure!(done["notes"] == Value::Array(vec![]), "{done:#}");
    let again = reap(&room, &["--all"])?.finish(PATIENCE)?.expect_code(0)?;
    ensure!(report(&again.stdout)?["reaped"] == Value::Array(vec![]));
    expect_record(&room)
}

/// The intent comes first, the outcome last, and every signal between names a process.
fn expect_record(room: &Room) -> Result<()> {
    let text = std::fs::read_to_string(room.state().join("reaps.jsonl"))?;
    let lines: Vec<Value> = text
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let events: Vec<&str> = lines
        .iter()
        .filter_map(|line| line["event"].as_str())
        .collect();
    ensure!(
        events.first() == Some(&"begin") && events.last() == Some(&"end"),
        "{text}"
    );
    let signals: Vec<&Value> = lines
        .iter()
        .filter(|line| line["event"] == "signal")
        .collect();
    ensure!(signals.len() >= 4, "{text}");
    ensure!(
        signals
            .iter()
            .all(|line| line["pid"].is_u64() && line["starttime_ticks"].is_u64())
    );
    Ok(())
}

#[test]
fn only_what_was_chosen_is_ended() -> Result<()> {
    let room = Room::new()?;
    let text = r#"
        setsid sh -c 'echo $$ >> "$0"; exec sleep 312' "$0" &
        setsid sh -c 'echo $$ >> "$0"; exec sleep 313' "$0" &"#;
    leave(&room, text, 2)?;
    reap(&room, &[])?.finish(PATIENCE)?.expect_code(2)?;
    let other = reap(&room, &["--label", "job=8"])?
        .finish(PATIENCE)?
        .expect_code(0)?;
    ensure!(report(&other.stdout)?["reaped"] == Value::Array(vec![]));
    reap(&room, &["--session", "nobody"])?
        .finish(PATIENCE)?
        .expect_code(125)?;
    for seconds in ["312", "313"] {
        let done = reap(&room, &["--pattern", &format!("^sleep {seconds}$")])?;
        let done = report(&done.finish(PATIENCE)?.expect_code(0)?.stdout)?;
        let all = done["reaped"].as_array().context("a list")?;
        ensure!(all.len() == 1 && all[0]["fate"] == "terminated", "{done:#}");
    }
    Ok(())
}

#[test]
fn on_a_terminal_nothing_happens_without_yes() -> Result<()> {
    let room = Room::new()?;
    let left = leave(
        &room,
        r#"setsid sh -c 'echo $$ >> "$0"; exec sleep 314' "$0" &"#,
        1,
    )?;
    let mut pty = tracer_tests::pty::Pty::new(24, 200)?;
    let running = pty.spawn(room.tracer("reap")?.args(["--all"]))?;
    pty.wait_for_text("nothing was done: --yes ends them", PATIENCE)?;
    running.finish(PATIENCE)?.expect_code(0)?;
    ensure!(is_there(left[0]));
    let running = pty.spawn(room.tracer("reap")?.args(["--all", "--yes"]))?;
    pty.wait_for_text("1 ended, 0 live on", PATIENCE)?;
    running.finish(PATIENCE)?.expect_code(0)?;
    ensure!(!is_there(left[0]));
    Ok(())
}

/// Where in a signal's way the number passes to a stranger.
const PLACES: [Option<Step>; 4] = [
    None,
    Some(Step::Before),
    Some(Step::Opened),
    Some(Step::Checked),
];

#[test]
fn a_thousand_strangers_with_the_number_of_one_that_was_looked_at_get_nothing() -> Result<()> {
    let proc = ProcRoot::open("/proc")?;
    let mut met = 0;
    for round in 0..1000 {
        let pid = sys::fork(wait_to_be_ended)?;
        let held = Held::any(&proc, Tgid(u32::try_from(pid)?)).map_err(anyhow::Error::from)?;
        let mut stranger = None;
        let mut replace = |now: Option<Step>| -> Result<()> {
            if PLACES[round % PLACES.len()] == now && stranger.is_none() {
                kill(pid)?;
                sys::wait4(pid)?;
                stranger = same_number(pid)?;
            }
            Ok(())
        };
        replace(None)?;
        let mut failed = None;
        let sent = held.signal(libc::SIGKILL, &mut |step| {
            failed = replace(Some(step)).err().or(failed.take());
        });
        if let Some(error) = failed {
            return Err(error);
        }
        ensure!(sent? == Sent::Gone, "round {round}");
        // Nobody else on the machine took the number meanwhile.
        let Some(stranger) = stranger else { continue };
        met += 1;
        ensure!(stranger == pid);
        ensure!(
            is_there(stranger),
            "round {round}: the stranger was signalled"
        );
        kill(stranger)?;
        let waited = sys::wait4(stranger)?;
        ensure!(
            waited.status == libc::SIGUSR1,
            "round {round}: {:#x}",
            waited.status
        );
    }
    ensure!(met > 900, "only {met} strangers had the number");
    Ok(())
}

/// What only the test sends, so that another signal shows.
fn kill(pid: i32) -> Result<()> {
    let pid = rustix::process::Pid::from_raw(pid).context("pid 0")?;
    Ok(rustix::process::kill_process(
        pid,
        rustix::process::Signal::USR1,
    )?)
}

fn wait_to_be_ended() -> i32 {
    loop {
        std::thread::park();
    }
}

/// A child with that number; `None` when somebody else has it.
fn same_number(pid: i32) -> Result<Option<i32>> {
    match sys::fork_as(pid, wait_to_be_ended) {
        Ok(pid) => Ok(Some(pid)),
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[test]
fn who_waits_for_a_child_that_shares_its_memory_is_ended_by_the_kill() -> Result<()> {
    let room = Room::new()?;
    let fixture = tracer_tests::place::fixture("dstate")?;
    let fixture = fixture.to_str().context("a path")?;
    let text = format!("setsid '{fixture}' \"$0\" &");
    let left = leave(&room, &text, 1)?;
    wait_for("D-state", PATIENCE, || {
        Ok((proc::state(left[0]) == Some('D')).then_some(()))
    })?;
    let done = reap(&room, &["--all", "--grace", "300ms"])?
        .finish(PATIENCE)?
        .expect_code(0)?;
    let done = report(&done.stdout)?;
    ensure!(!is_there(left[0]), "{done:#}");
    ensure!(fate_of(&done, left[0]).is_some(), "{done:#}");
    Ok(())
}
