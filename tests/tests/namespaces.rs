//! Pid namespaces: tracer inside one, its target one deeper, and the right pids on every row.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use tracer_tests::check::{expect_order, recorded_with};
use tracer_tests::facts::Facts;
use tracer_tests::launch::Launch;
use tracer_tests::room::Room;
use tracer_tests::session::Session;
use tracer_tests::wait::PATIENCE;
use tracer_tests::{need, place};

/// A shell command as the first process of a new pid namespace with a /proc of its own. `$0` is
/// tracer, `$1` the state directory, what follows are `$2`…
fn inside(room: &Room, shell: &str) -> Result<Launch> {
    need::program("unshare", "util-linux")?;
    let launch =
        room.program("unshare")
            .args(["--pid", "--fork", "--mount-proc", "sh", "-c", shell]);
    Ok(launch.arg(place::tracer()?).arg(room.state()))
}

/// Every row, exec and exit is of a process whose fork is in the record, with its start time and name.
fn expect_rows_of_known_processes(session: &Session) -> Result<()> {
    let mut known = BTreeMap::new();
    for fork in session.of_kind("fork") {
        known.insert(
            (fork.int("pid")?, fork.int("starttime_ticks")?),
            fork.int("ppid")?,
        );
    }
    ensure!(!session.rows.is_empty(), "no rows");
    for row in &session.rows {
        let key = row["pid"]
            .as_i64()
            .zip(row["starttime_ticks"].as_i64())
            .context("row without pid")?;
        ensure!(known.contains_key(&key), "a row of nobody: {row}");
    }
    Ok(())
}

#[test]
fn tracer_inside_a_namespace_sees_its_own_pids() -> Result<()> {
    let room = Room::new()?;
    let shell = "exec \"$0\" run -q --require-trace --interval 50ms --state-dir \"$1\" -- \"$2\" vfork 2 200";
    // Tracer is process 1 there, as in a container.
    inside(&room, shell)?
        .arg(place::fixture("storm")?)
        .finish(PATIENCE)?
        .expect_code(0)?;
    let session = room.session()?;
    room.true_facts()?.expect_same(&session.facts()?)?;
    session.expect_complete()?;
    expect_order(&session)?;
    expect_rows_of_known_processes(&session)?;
    ensure!(
        session.root()? < 32,
        "the root has pid {}: not one of a young namespace",
        session.root()?
    );
    for fork in session.of_kind("fork") {
        ensure!(
            fork.value["pid_init"].as_i64() > Some(32),
            "no pid_init: {}",
            fork.value
        );
        ensure!(
            fork.value["pid_inner"].is_null(),
            "the innermost one is the observer's: {}",
            fork.value
        );
    }
    Ok(())
}

#[test]
fn tracer_inside_a_namespace_with_its_target_one_deeper_has_the_right_pids() -> Result<()> {
    let room = Room::new()?;
    let shell = "\"$0\" run -q --require-trace --interval 50ms --state-dir \"$1\" -- \
                 \"$2\" fresh-proc \"$3\" vfork 2 200; exit $?";
    let launch = inside(&room, shell)?.arg(place::fixture("newpid")?);
    launch
        .arg(place::fixture("storm")?)
        .finish(PATIENCE)?
        .expect_code(0)?;
    let session = room.session()?;
    room.true_facts()?.expect_same(&session.facts()?)?;
    session.expect_complete()?;
    expect_rows_of_known_processes(&session)
}

#[test]
fn attaching_inside_a_namespace_finds_those_one_deeper() -> Result<()> {
    let room = Room::new()?;
    let stop = room.path("stop");
    let shell = "\"$2\" fresh-proc \"$3\" 2 \"$4\" & target=$!\n\
                 until grep -q ready \"$TRUTH_LOG\" 2>/dev/null; do sleep 0.02; done\n\
                 \"$0\" attach -q --interval 50ms --state-dir \"$1\" --pid $target & tracer=$!\n\
                 until grep -q armed \"$1\"/sessions/*/journal.0.jsonl 2>/dev/null; do\n\
                 kill -0 $tracer || exit 99; sleep 0.02; done\n\
                 lines=$(wc -l < \"$TRUTH_LOG\")\n\
                 while test $(wc -l < \"$TRUTH_LOG\") -lt $((lines + 300)); do sleep 0.02; done\n\
                 touch \"$4\"; wait $target && wait $tracer";
    let launch = inside(&room, shell)?
        .arg(place::fixture("newpid")?)
        .arg(place::fixture("forever")?);
    launch.arg(stop).finish(PATIENCE)?.expect_code(0)?;
    let session = room.session()?;
    session.expect_complete()?;
    expect_order(&session)?;
    expect_rows_of_known_processes(&session)?;
    let (truth, recorded) = (room.true_facts()?, session.facts()?);
    for exit in recorded.exits.keys() {
        ensure!(
            truth.exits.contains_key(exit),
            "exit {exit:?} never happened"
        );
    }
    ensure!(
        recorded.exits.len() > 50,
        "only {} exits",
        recorded.exits.len()
    );
    Ok(())
}

#[test]
fn three_names_of_one_process_are_the_three_it_has() -> Result<()> {
    // newpid keeps the /proc of the namespace around it, so /proc/self is the middle name.
    let room = Room::new()?;
    let shell =
        "\"$0\" run -q --require-trace --state-dir \"$1\" -- \"$2\" same-proc \"$3\"; exit $?";
    let launch = inside(&room, shell)?.arg(place::fixture("newpid")?);
    launch
        .arg(place::fixture("whoami_outside")?)
        .finish(PATIENCE)?
        .expect_code(0)?;
    let session = room.session()?;
    let truth = room.truth()?;
    let notes = tracer_tests::truth::notes(&truth);
    let pid_of = |key| -> Result<i32> { Ok(notes.get(key).context("not noted")?.parse()?) };
    let exec = session
        .of_kind("exec")
        .find(|exec| exec.text("filename").ends_with("whoami_outside"));
    let exec = exec.context("no exec")?;
    ensure!(
        exec.small("pid")? == pid_of("outer")?,
        "{} {notes:?}",
        exec.value
    );
    ensure!(
        exec.small("pid_inner")? == pid_of("inner")?,
        "{} {notes:?}",
        exec.value
    );
    ensure!(exec.small("pid_init")? > 32, "{}", exec.value);
    Ok(())
}

#[test]
fn rows_of_a_deeper_namespace_are_read_under_the_pids_the_observer_has() -> Result<()> {
    let idle = place::fixture_text("idle")?;
    // sh as process 1 there: it forks idle, waits, and kills it when a row has had time to be made.
    let shell = format!("{idle} 40 & sleep 0.5; kill -9 $!; wait $!; exit 0");
    let args = ["fresh-proc", "/bin/sh", "-c", &shell];
    let room = Room::new()?;
    let launch = room
        .run()?
        .args(["-q", "--require-trace", "--interval", "50ms"]);
    launch
        .observe("newpid", &args)?
        .finish(PATIENCE)?
        .expect_code(0)?;
    let session = room.session()?;
    expect_rows_of_known_processes(&session)?;
    let fat = session
        .rows
        .iter()
        .find(|row| row["comm"] == "idle" && row["vm_rss_kb"].as_u64() > Some(40 << 10));
    let fat = fat.context("no row of idle with 40 MiB")?;
    let pid = i32::try_from(fat["pid"].as_i64().context("no pid")?)?;
    let exit = session.exit_of(pid)?;
    ensure!(
        exit.int("status")? == 9 && exit.small("pid_inner")? < 32,
        "{}",
        exit.value
    );
    session.expect_complete()
}

#[test]
fn start_times_are_the_same_in_events_and_rows_inside_a_time_namespace() -> Result<()> {
    need::program("unshare", "util-linux")?;
    let room = Room::new()?;
    let shell =
        "\"$0\" run -q --require-trace --interval 50ms --state-dir \"$1\" -- sleep 0.3; exit $?";
    let launch = room.program("unshare").args([
        "--time",
        "--boottime",
        "100000",
        "--fork",
        "sh",
        "-c",
        shell,
    ]);
    launch
        .arg(place::tracer()?)
        .arg(room.state())
        .finish(PATIENCE)?
        .expect_code(0)?;
    expect_rows_of_known_processes(&room.session()?)
}

#[test]
fn a_storm_one_namespace_deeper_is_recorded_to_the_last_process_with_its_own_pids() -> Result<()> {
    let storm = place::fixture_text("storm")?;
    let args = ["fresh-proc", storm.as_str(), "vfork", "4", "500"];
    let run = recorded_with("newpid", &args, &["--interval", "50ms"], PATIENCE)?;
    let facts: Facts = run.session.facts()?;
    // newpid's child, its four workers, their children; and one exec more than children.
    ensure!(facts.sizes() == [2005, 2001, 2005], "{:?}", facts.sizes());
    expect_rows_of_known_processes(&run.session)
}
