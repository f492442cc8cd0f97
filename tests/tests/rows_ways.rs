//! Where rows come from: the kernel side's program, and the files of `/proc` where it cannot be had.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::Value;
use tracer_tests::journal::{self, Record};
use tracer_tests::launch::Running;
use tracer_tests::place;
use tracer_tests::session::Session;
use tracer_tests::unattended::{AWAIT_GO, Watched};
use tracer_tests::wait::{PATIENCE, wait_for};

/// Twelve processes that wait, in the background.
const CROWD: &str = "for n in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 600 & all=\"$all $!\"; done";
/// Their end, and the command's.
const OVER: &str = "kill $all; wait; exit 3";

/// Limits what descriptors a process may have from now on.
fn limit_descriptors(pid: i32, limit: Rlimit) -> Result<()> {
    let pid = Pid::from_raw(pid).context("pid 0")?;
    prlimit(Some(pid), Resource::Nofile, limit)?;
    Ok(())
}

/// Waits for a record in one epoch's journal.
fn until(
    watched: &Watched,
    epoch: u32,
    what: &str,
    is_it: impl Fn(&Record) -> bool,
) -> Result<Record> {
    let path = watched.folder.join(format!("journal.{epoch}.jsonl"));
    wait_for(what, PATIENCE, || {
        let records = journal::read_growing(&path)?;
        Ok(records.into_iter().find(|record| is_it(record)))
    })
}

fn has_kernel_rows(record: &Record) -> bool {
    record.kind == "tick" && record.value["rows_from_kernel"].as_u64() >= Some(12)
}

fn is_degraded(record: &Record) -> bool {
    record.kind == "note" && record.value["topic"] == "degraded"
}

fn degraded(session: &Session) -> Result<Vec<&str>> {
    let list = session.summary["observer"]["degraded"].as_array();
    let list = list.context("no observer.degraded")?.iter();
    list.map(Value::as_str)
        .collect::<Option<_>>()
        .context("no text")
}

/// What `tracer sessions show` says of it.
fn shown(watched: &Watched, session: &Session) -> Result<String> {
    let id = session.summary["session_id"].as_str().context("no id")?;
    let launch = watched.room.tracer("sessions")?.args(["show", id]);
    let done = launch.finish(PATIENCE)?.expect_code(0)?;
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// The next observer, when it has rows from the kernel side.
fn resumed(watched: &Watched, bpffs: &Path) -> Result<Running> {
    let launch = watched.room.program(place::tracer()?);
    let launch = launch.args(["recover", "--resume", "--state-dir"]);
    let launch = launch.arg(watched.room.state()).arg("--bpffs").arg(bpffs);
    let tracer = launch.spawn()?;
    until(watched, 1, "rows from the kernel side", has_kernel_rows)
        .with_context(|| format!("tracer says: {}", tracer.stderr()))?;
    Ok(tracer)
}

#[test]
fn a_kernel_that_refuses_the_program_for_rows_is_on_record_and_the_rows_come_from_files()
-> Result<()> {
    let script = format!("{CROWD}; {AWAIT_GO}; {OVER}");
    let mut watched = Watched::start(&script, &["--interval", "50ms"])?;
    let tracer = watched.tracer.as_ref().context("no tracer")?.pid();
    let usual = getrlimit(Resource::Nofile);
    let none = Rlimit {
        current: Some(0),
        ..usual
    };
    // The program is loaded when there are several processes: no descriptor is left for it then.
    limit_descriptors(tracer, none)?;
    watched.go()?;
    let at = until(&watched, 0, "the loss to be noted", is_degraded)?.t;
    limit_descriptors(tracer, usual)?;
    let rows = |record: &Record| {
        record.kind == "tick" && record.t > at && record.value["processes"].as_u64() >= Some(13)
    };
    until(&watched, 0, "a tick over all of them", rows)?;
    watched.go()?;
    let ended = watched.tracer.take().context("no tracer")?;
    ended.finish(PATIENCE)?.expect_code(3)?;

    let session = Session::read(&watched.folder)?;
    session.expect_complete()?;
    let lost = degraded(&session)?;
    let of_rows: Vec<_> = lost
        .iter()
        .filter(|lost| lost.starts_with("snapshots: "))
        .collect();
    ensure!(of_rows.len() == 1, "{lost:?}");
    ensure!(of_rows[0].contains("Too many open files"), "{lost:?}");
    ensure!(
        session
            .of_kind("note")
            .filter(|note| is_degraded(note))
            .count()
            == 1
    );
    ensure!(
        !session.of_kind("tick").any(has_kernel_rows),
        "rows from where there are none"
    );
    let shown = shown(&watched, &session)?;
    ensure!(shown.contains("degraded    snapshots; "), "{shown}");
    Ok(())
}

#[test]
fn an_observer_that_goes_on_has_rows_from_the_kernel_side_too() -> Result<()> {
    let script = format!("{CROWD}; {AWAIT_GO}; {OVER}");
    let mut watched = Watched::start(&script, &["--interval", "50ms"])?;
    watched.go()?;
    until(&watched, 0, "rows from the kernel side", has_kernel_rows)?;
    watched.kill()?;

    let tracer = resumed(&watched, &watched.room.pins())?;
    watched.go()?;
    tracer.finish(PATIENCE)?.expect_code(0)?;
    let session = Session::read(&watched.folder)?;
    session.expect_complete()?;
    ensure!(degraded(&session)?.is_empty(), "{:?}", degraded(&session)?);
    let shown = shown(&watched, &session)?;
    ensure!(!shown.contains("degraded"), "{shown}");
    Ok(())
}

#[test]
fn without_pins_too_and_that_there_are_none_is_on_record() -> Result<()> {
    let script = format!("{CROWD}; {AWAIT_GO}; {OVER}");
    let mut watched = Watched::start(&script, &["--interval", "50ms"])?;
    watched.go()?;
    until(&watched, 0, "rows from the kernel side", has_kernel_rows)?;
    watched.kill()?;
    std::fs::remove_dir_all(watched.room.pins())?;

    let tracer = resumed(&watched, &watched.room.path("nowhere"))?;
    watched.go()?;
    tracer.finish(PATIENCE)?.expect_code(0)?;
    let session = Session::read(&watched.folder)?;
    let lost = degraded(&session)?;
    ensure!(lost.len() == 1 && lost[0].starts_with("pins: "), "{lost:?}");
    Ok(())
}
