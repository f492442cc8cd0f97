//! Anomalies of real processes: they open while it is wrong, close when it is over, and are where they
//! should be.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tracer_tests::anomalies::{Trouble, anomalies, one, until, verified};
use tracer_tests::launch::Finished;
use tracer_tests::room::Room;
use tracer_tests::session::read_json_lines;
use tracer_tests::wait::{PATIENCE, wait_for};

/// Goes wrong and right again; gives the one anomaly of that kind.
fn wrong_and_right(act: &str, kind: &str, options: &[&str]) -> Result<(i32, Value, Finished)> {
    let trouble = Trouble::start(act, options)?;
    let pid = trouble.pid;
    trouble.until_rows(2)?;
    trouble.tell("go")?;
    trouble.until("opened", kind)?;
    trouble.until_rows(10)?;
    trouble.tell("stop")?;
    trouble.until("closed", kind)?;
    let (_room, _, anomalies, done) = trouble.finish()?;
    Ok((pid, one(&anomalies, kind)?.clone(), done))
}

#[test]
fn a_busy_loop_is_high_cpu_until_it_rests() -> Result<()> {
    // A busy machine may take a CPU away for a while: a tenth of one is busy enough here.
    let busy = ["--threshold", "high_cpu_percent=5", "--interval", "100ms"];
    let trouble = Trouble::start("busy", &busy[..2])?;
    let pid = trouble.pid;
    trouble.tell("go")?;
    trouble.until("opened", "high_cpu_sustained")?;
    trouble.tell("stop")?;
    trouble.until("closed", "high_cpu_sustained")?;
    let (_room, _, anomalies, done) = trouble.finish()?;
    let first = anomalies
        .iter()
        .find(|one| one["kind"] == "high_cpu_sustained");
    let first = first.context("no high_cpu_sustained")?;
    ensure!(
        first["pid"] == pid && first["severity"] == "warning",
        "{first}"
    );
    ensure!(first["detail"]["consecutive_count"] == 2, "{first}");
    ensure!(
        first["snapshot"]["cpu_percent"] == first["detail"]["cpu_percent"],
        "{first}"
    );
    ensure!(first["ts"] == first["snapshot"]["captured_at"], "{first}");
    ensure!(done.stderr.contains("anomalies   "), "{}", done.stderr);
    ensure!(
        done.stderr.contains("high_cpu_sustained trouble (pid "),
        "{}",
        done.stderr
    );
    Ok(())
}

#[test]
fn children_that_nobody_reaps_are_zombies_until_somebody_does() -> Result<()> {
    let trouble = Trouble::start("zombies", &["--threshold", "zombie_pileup_count=3"])?;
    trouble.tell("go")?;
    until(&trouble.folder, "opened", "zombie_persistent", 3)?;
    trouble.until("opened", "zombie_pileup")?;
    trouble.tell("stop")?;
    until(&trouble.folder, "closed", "zombie_persistent", 3)?;
    trouble.until("closed", "zombie_pileup")?;
    let (_room, session, anomalies, _) = trouble.finish()?;
    let of = |kind: &str| anomalies.iter().filter(|one| one["kind"] == kind).count();
    ensure!(
        of("zombie_detected") == 3 && of("zombie_persistent") == 3,
        "{anomalies:#?}"
    );
    let persistent = anomalies
        .iter()
        .find(|one| one["kind"] == "zombie_persistent");
    let persistent = persistent.context("a zombie")?;
    ensure!(persistent["severity"] == "critical", "{persistent}");
    ensure!(
        persistent["detail"]["consecutive_count"] == 3,
        "{persistent}"
    );
    ensure!(persistent["ended"] == "process", "{persistent}");
    let pileup = one(&anomalies, "zombie_pileup")?;
    ensure!(
        pileup["detail"]["count"] == 3 && pileup["worst"] == 3.0,
        "{pileup}"
    );
    // A zombie's rows are its own, and each has ended.
    for zombie in anomalies
        .iter()
        .filter(|one| one["kind"] == "zombie_detected")
    {
        let pid = i32::try_from(zombie["pid"].as_i64().context("a pid")?)?;
        session.exit_of(pid)?;
        ensure!(
            session
                .rows_of(pid)
                .filter(|row| row["state"] == "zombie")
                .count()
                >= 3
        );
    }
    Ok(())
}

#[test]
fn a_hoard_of_descriptors_is_told_until_they_are_closed() -> Result<()> {
    let (pid, hoard, _) = wrong_and_right("fds", "fd_high", &[])?;
    ensure!(
        hoard["pid"] == pid && hoard["ended"] == "condition",
        "{hoard}"
    );
    ensure!(hoard["detail"]["fd_soft_limit"] == 100, "{hoard}");
    ensure!(hoard["detail"]["ratio"].as_f64() > Some(0.8), "{hoard}");
    ensure!(
        hoard["count"].as_u64() > Some(1),
        "it was seen once and no more: {hoard}"
    );
    Ok(())
}

#[test]
fn a_blocked_signal_that_comes_is_pending_until_it_is_taken() -> Result<()> {
    let (pid, pending, _) = wrong_and_right("pending", "signals_pending", &[])?;
    ensure!(pending["pid"] == pid, "{pending}");
    ensure!(pending["detail"]["from"] == "0000000000000000", "{pending}");
    ensure!(pending["detail"]["to"] == "0000000000000200", "{pending}");
    Ok(())
}

#[test]
fn memory_that_grows_fourfold_is_told_until_it_is_given_back() -> Result<()> {
    let settled = ["--threshold", "rss_settle_ms=0"];
    let trouble = Trouble::start("grow", &settled)?;
    let pid = trouble.pid;
    trouble.tell("go")?;
    trouble.until("opened", "rss_growth")?;
    trouble.tell("stop")?;
    let (_room, _, anomalies, _) = trouble.finish()?;
    let growth = one(&anomalies, "rss_growth")?;
    ensure!(
        growth["pid"] == pid && growth["detail"]["rows"].as_u64() >= Some(5),
        "{growth}"
    );
    ensure!(
        growth["detail"]["growth_factor"].as_f64() > Some(2.0),
        "{growth}"
    );
    Ok(())
}

#[test]
fn many_forks_at_once_are_a_storm_that_passes() -> Result<()> {
    let few = [
        "--threshold",
        "fork_storm_forks=100",
        "--threshold",
        "fork_storm_window_ms=1000",
    ];
    let (_, storm, _) = wrong_and_right("storm", "fork_storm", &few)?;
    ensure!(storm["detail"]["forks"] == 100, "{storm}");
    ensure!(storm["count"].as_u64() >= Some(100), "{storm}");
    Ok(())
}

#[test]
fn a_command_that_fails_ten_times_is_a_retry_loop_and_nine_times_is_none() -> Result<()> {
    for (tries, loops) in [(9, 0), (10, 1), (200, 1)] {
        let room = Room::new()?;
        let text = format!("n=0; until [ $n = {tries} ]; do env false; n=$((n+1)); done; env true");
        let done = room
            .run()?
            .command(["sh", "-c", &text])
            .finish(PATIENCE)?
            .expect_code(0)?;
        let anomalies = anomalies(&room.session()?)?;
        ensure!(anomalies.len() == loops, "{tries} tries: {anomalies:#?}");
        if let [only] = anomalies.as_slice() {
            ensure!(
                only["kind"] == "retry_loop" && only["detail"]["failures"] == 10,
                "{only}"
            );
            ensure!(
                only["count"] == tries && only["detail"]["exit_code"] == 1,
                "{only}"
            );
            ensure!(only["detail"]["command"] == "false", "{only}");
            ensure!(done.stderr.contains("\"false\""), "{}", done.stderr);
        }
        verified(&room)?;
    }
    Ok(())
}

#[test]
fn who_is_left_behind_is_told_by_name() -> Result<()> {
    let room = Room::new()?;
    let fifo = fifo(&room)?;
    let text = format!("cat {} >/dev/null & exit 0", fifo.display());
    room.run()?
        .args(["-q"])
        .command(["sh", "-c", &text])
        .finish(PATIENCE)?
        .expect_code(0)?;
    release(&fifo)?;
    let session = room.session()?;
    let anomalies = anomalies(&session)?;
    let left = one(&anomalies, "orphan_left")?;
    ensure!(
        left["pid"] == session.root()? && left["ended"] == "session",
        "{left}"
    );
    ensure!(left["detail"]["count"] == 1, "{left}");
    let forked = session
        .of_kind("fork")
        .last()
        .context("a fork")?
        .int("pid")?;
    ensure!(left["detail"]["processes"][0]["pid"] == forked, "{left}");
    verified(&room)
}

#[test]
fn a_calm_command_has_no_anomalies_and_no_file_of_them() -> Result<()> {
    let room = Room::new()?;
    let calm = "for n in 1 2 3 4 5 6 7 8 9 10; do cat /dev/null; sh -c :; done; sleep 0.5";
    let done = room
        .run()?
        // A child that waits for a CPU keeps its vforking parent in disk sleep as long.
        .args(["--interval", "100ms", "--threshold", "d_state_rows=4"])
        .command(["sh", "-c", calm])
        .finish(PATIENCE)?
        .expect_code(0)?;
    let session = room.session()?;
    ensure!(
        anomalies(&session)?.is_empty(),
        "{:#?}",
        anomalies(&session)?
    );
    ensure!(session.count("anomaly") == 0 && !done.stderr.contains("anomalies"));
    Ok(())
}

#[test]
fn lines_of_json_and_of_verbose_have_them_at_once() -> Result<()> {
    let room = Room::new()?;
    let lines = room.path("lines");
    let text = "n=0; until [ $n = 10 ]; do env false; n=$((n+1)); done; env true";
    let done = room
        .run()?
        .args(["-v", &format!("--json={}", lines.display())])
        .command(["sh", "-c", text])
        .finish(PATIENCE)?
        .expect_code(0)?;
    let records = read_json_lines(&lines)?;
    let phases: Vec<&str> = records
        .iter()
        .filter(|record| record["kind"] == "anomaly")
        .filter_map(|record| record["phase"].as_str())
        .collect();
    ensure!(phases == ["opened", "closed"], "{phases:?}");
    let told: Vec<&str> = done
        .stderr
        .lines()
        .filter(|line| line.contains("retry_loop"))
        .collect();
    ensure!(
        told.len() == 3,
        "two as it happens, one in the block: {told:#?}"
    );
    ensure!(
        told[0].contains("warning retry_loop sh (pid "),
        "{}",
        told[0]
    );
    Ok(())
}

#[test]
fn thresholds_that_make_no_sense_are_refused_with_what_would() -> Result<()> {
    let room = Room::new()?;
    for (given, words) in [
        (
            "cpu=3",
            &["no threshold", "high_cpu_percent", "retry_loop_window_s"][..],
        ),
        ("high_cpu_rows=0", &["high_cpu_rows", "from 1 to"]),
        ("high_cpu_rows", &["KEY=VALUE"]),
    ] {
        let refused = room
            .run()?
            .args(["--threshold", given])
            .command(["true"])
            .finish(PATIENCE)?;
        ensure!(refused.code != Some(0), "{given} was taken");
        refused.expect_words(words)?;
    }
    ensure!(room.session_folders()?.is_empty(), "a session was begun");
    Ok(())
}

#[test]
fn who_holds_the_terminal_of_a_command_that_has_ended_is_told() -> Result<()> {
    let room = Room::new()?;
    let fifo = fifo(&room)?;
    let text = format!("trap '' HUP; cat {} & exit 0", fifo.display());
    room.run()?
        .args(["-q", "--pty"])
        .command(["sh", "-c", &text])
        .finish(PATIENCE)?
        .expect_code(0)?;
    release(&fifo)?;
    let session = room.session()?;
    let anomalies = anomalies(&session)?;
    let holder = one(&anomalies, "pty_holder")?;
    let process = &holder["detail"]["processes"][0];
    let forked = session
        .of_kind("fork")
        .last()
        .context("a fork")?
        .int("pid")?;
    ensure!(process["pid"] == forked, "{holder}");
    let holds = process["holds"].as_str().unwrap_or_default();
    ensure!(holds.contains("terminal"), "{holder}");
    ensure!(
        holder["ended"] == "session" && holder["pid"] == session.root()?,
        "{holder}"
    );
    one(&anomalies, "orphan_left")?;
    verified(&room)
}

/// A FIFO that a process waits for.
fn fifo(room: &Room) -> Result<std::path::PathBuf> {
    let fifo = room.path("fifo");
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, mode, 0)?;
    Ok(fifo)
}

/// Lets whoever waits for a FIFO read its end.
fn release(fifo: &std::path::Path) -> Result<()> {
    let writer = wait_for("the one left behind to read", PATIENCE, || {
        let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK;
        Ok(rustix::fs::open(fifo, flags, rustix::fs::Mode::empty()).ok())
    })?;
    drop(writer);
    Ok(())
}
