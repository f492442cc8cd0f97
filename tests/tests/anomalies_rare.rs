//! Anomalies that take a special place: a limit of memory, a vfork, a wrapper's name.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tracer_tests::anomalies::{Trouble, begin, one};
use tracer_tests::cgroup::Cgroup;
use tracer_tests::room::Room;
use tracer_tests::session::Session;
use tracer_tests::wait::{PATIENCE, wait_for};
use tracer_tests::{journal, need, place};

/// What the fixture takes is less, and more than eight tenths.
const LIMIT_MIB: u32 = 32;
/// Both anomalies of the OOM score.
const OOM: [&str; 2] = ["oom_spike", "oom_critical"];

/// A fixture in a cgroup with a limit, of which there are rows that say so.
fn limited(act: &str) -> Result<(Cgroup, Trouble)> {
    let trouble = Trouble::start(act, &[])?;
    let cgroup = Cgroup::limited(&trouble.room, LIMIT_MIB)?;
    cgroup.join(trouble.pid)?;
    trouble.until_rows_with("a row with the limit", 1, |row| {
        row["cgroup_memory_limit_kb"] == LIMIT_MIB << 10
    })?;
    Ok((cgroup, trouble))
}

/// Sets how much the process is wished to be killed first, and waits until that was seen.
fn adjust(trouble: &Trouble, adj: i64) -> Result<()> {
    let path = format!("/proc/{}/oom_score_adj", trouble.pid);
    std::fs::write(path, adj.to_string())?;
    trouble.until_rows_with("a row with that adjustment", 1, |row| {
        row["oom_score_adj"] == adj
    })
}

/// Thousandths of the limit that the process has in this row.
fn share(row: &Value) -> Result<u64> {
    let rss = row["vm_rss_kb"].as_u64().context("no vm_rss_kb")?;
    Ok(rss * 1000 / u64::from(LIMIT_MIB << 10))
}

fn of_kinds<'a>(anomalies: &'a [Value], kinds: &[&str]) -> Vec<&'a Value> {
    let found = anomalies
        .iter()
        .filter(|one| kinds.iter().any(|kind| one["kind"] == *kind));
    found.collect()
}

#[test]
fn who_nears_the_limit_of_its_cgroup_spikes_and_is_critical_until_it_gives_back() -> Result<()> {
    let (_cgroup, trouble) = limited("fill")?;
    let pid = trouble.pid;
    // However slowly it grows, it does so between two rows.
    trouble.go_unseen("filled")?;
    trouble.until("opened", "oom_critical")?;
    trouble.until("closed", "oom_spike")?;
    adjust(&trouble, 1000)?;
    trouble.tell("stop")?;
    trouble.until("closed", "oom_critical")?;
    let (_room, session, anomalies, done) = trouble.finish()?;
    ensure!(session.count("oom") == 0, "somebody was killed");
    ensure!(session.exit_of(pid)?.int("status")? == 0);

    let critical = one(&anomalies, "oom_critical")?;
    ensure!(
        critical["pid"] == pid && critical["severity"] == "critical",
        "{critical}"
    );
    ensure!(critical["ended"] == "condition", "{critical}");
    let (detail, row) = (&critical["detail"], &critical["snapshot"]);
    ensure!(detail["of"] == "cgroup", "{critical}");
    ensure!(
        detail["oom_score"] == share(row)? && share(row)? >= 800,
        "{critical}"
    );
    ensure!(
        detail["oom_score_raw"] == row["oom_score"],
        "the kernel's own is told as well: {critical}"
    );
    ensure!(
        critical["worst"].as_f64() >= detail["oom_score"].as_f64()
            && critical["worst"].as_f64() < Some(950.0),
        "a wish to be killed first is no memory: {critical}"
    );
    let worst = &session.summary["anomalies"]["worst"][0];
    ensure!(worst["kind"] == "oom_critical", "{}", session.summary);
    done.expect_words(&["critical", "oom_critical trouble (pid "])?;

    let spike = one(&anomalies, "oom_spike")?;
    ensure!(
        spike["pid"] == pid && spike["severity"] == "warning" && spike["ended"] == "condition",
        "{spike}"
    );
    let number = |key: &str| spike["detail"][key].as_i64().context("a number");
    let (from, to, delta) = (number("from")?, number("to")?, number("delta")?);
    ensure!(
        delta == to - from
            && from < 400
            && spike["worst"].as_f64() == spike["detail"]["delta"].as_f64(),
        "{spike}"
    );
    ensure!(u64::try_from(to)? == share(&spike["snapshot"])?, "{spike}");
    Ok(())
}

#[test]
fn a_wish_to_be_killed_first_is_no_danger() -> Result<()> {
    let trouble = Trouble::start("fill", &[])?;
    trouble.until_rows(2)?;
    for adj in [300, 1000] {
        adjust(&trouble, adj)?;
    }
    trouble.tell("go")?;
    trouble.until_rows_with("rows that the kernel scores highest", 5, |row| {
        row["oom_score"].as_u64() >= Some(1000) && row["vm_rss_kb"].as_u64() > Some(26 << 10)
    })?;
    trouble.tell("stop")?;
    let (_room, _, anomalies, _) = trouble.finish()?;
    let told = of_kinds(&anomalies, &OOM);
    ensure!(told.is_empty(), "{told:#?}");
    Ok(())
}

/// A fixture in disk sleep, and out of it again; the one anomaly of that.
fn stuck(act: &str) -> Result<(i32, Value)> {
    let trouble = Trouble::start(act, &[])?;
    let pid = trouble.pid;
    trouble.until_rows(2)?;
    trouble.tell("go")?;
    trouble.until("opened", "d_state_sustained")?;
    // Others that follow do not open it again.
    trouble.until_rows(20)?;
    trouble.tell("stop")?;
    trouble.until("closed", "d_state_sustained")?;
    let (_room, session, anomalies, _) = trouble.finish()?;
    let stuck = one(&anomalies, "d_state_sustained")?;
    ensure!(
        stuck["pid"] == pid && stuck["severity"] == "warning",
        "{stuck}"
    );
    ensure!(
        stuck["ended"] == "condition" && stuck["detail"]["consecutive_count"] == 2,
        "{stuck}"
    );
    let wchan = stuck["detail"]["wchan"].as_str().unwrap_or_default();
    ensure!(!["", "0"].contains(&wchan), "{stuck}");
    ensure!(stuck["detail"]["state"] == "disk-sleep", "{stuck}");
    let rows = session.rows_of(pid).count();
    ensure!(rows >= 20, "{rows} rows");
    Ok((pid, stuck.clone()))
}

#[test]
fn a_parent_in_vfork_is_stuck_until_its_child_has_ended() -> Result<()> {
    let (pid, stuck) = stuck("held")?;
    let row = &stuck["snapshot"];
    ensure!(row["pid"] == pid && row["state"] == "disk-sleep", "{stuck}");
    ensure!(row["wchan"] == stuck["detail"]["wchan"], "{stuck}");
    ensure!(stuck["worst"].as_f64() >= Some(2.0), "{stuck}");
    Ok(())
}

#[test]
fn one_thread_that_is_stuck_is_enough() -> Result<()> {
    let (_, stuck) = stuck("held-thread")?;
    let row = &stuck["snapshot"];
    ensure!(row["state"] != "disk-sleep", "the leader is not: {stuck}");
    ensure!(row["threads_disk_sleep"] == 1, "{stuck}");
    ensure!(
        row["threads_disk_sleep_wchan"][0] == stuck["detail"]["wchan"],
        "{stuck}"
    );
    Ok(())
}

/// The fixture as `claude` behind `script`, with a name that it is to have later.
fn claude(act: &str, name: &str) -> Result<Trouble> {
    need::program("script", "bsdutils")?;
    let trouble = Trouble::start_as(&[], |room| {
        let file = room.path("claude");
        std::fs::copy(place::fixture("trouble")?, &file)?;
        std::fs::copy(&file, room.path(name))?;
        std::fs::write(room.path("name"), name)?;
        let (file, folder) = (place::text(&file)?, place::text(&room.path(""))?);
        let command = format!("{file} {act} {folder}");
        let words = ["script", "-qefc", &command, "/dev/null"];
        Ok(words.map(str::to_owned).into())
    })?;
    trouble.until_rows_with("rows of the workload", 2, |row| {
        row["role"] == "workload" && row["comm"] == "claude"
    })?;
    Ok(trouble)
}

/// Lets it change its name, and waits for rows under that.
fn change(trouble: &Trouble, name: &str) -> Result<()> {
    trouble.tell("go")?;
    // A process that is being made has its maker's name, and no role yet.
    trouble.until_rows_with("rows under another name", 5, |row| {
        row["role"] == "workload" && row["comm"] == name
    })
}

fn expect_drift(session: &Session, drift: bool) -> Result<()> {
    let summary = &session.summary;
    let flag = &summary["tracked_comm_drift"];
    ensure!(*flag == drift, "{flag}, {}", summary["tracked_comm"]);
    Ok(())
}

#[test]
fn a_workload_under_its_wrappers_name_has_drifted_until_it_has_its_own() -> Result<()> {
    let trouble = claude("rename", "script")?;
    let pid = trouble.pid;
    change(&trouble, "script")?;
    trouble.until("opened", "identity_drift")?;
    trouble.tell("stop")?;
    trouble.until("closed", "identity_drift")?;
    let (_room, session, anomalies, _) = trouble.finish()?;
    ensure!(session.workload()? == pid);
    let drift = one(&anomalies, "identity_drift")?;
    ensure!(
        drift["pid"] == pid && drift["severity"] == "critical" && drift["ended"] == "condition",
        "{drift}"
    );
    let detail = &drift["detail"];
    ensure!(
        detail["expected_comm"] == "claude" && detail["actual_comm"] == "script",
        "{drift}"
    );
    let row = session
        .of_kind("snapshot")
        .find(|record| detail["seq"] == record.seq)
        .context("no row of that seq")?;
    ensure!(
        row.text("comm") == "script" && row.small("pid")? == pid,
        "{}",
        row.value
    );
    ensure!(
        drift["count"].as_u64() >= Some(4),
        "it was seen once and no more: {drift}"
    );
    expect_drift(&session, true)
}

#[test]
fn a_workload_that_gives_itself_a_name_has_not_drifted() -> Result<()> {
    let trouble = claude("rename", "worker")?;
    change(&trouble, "worker")?;
    trouble.tell("stop")?;
    let (_room, session, anomalies, _) = trouble.finish()?;
    let told = of_kinds(&anomalies, &["identity_drift"]);
    ensure!(told.is_empty(), "{told:#?}");
    expect_drift(&session, true)
}

#[test]
fn an_exec_explains_even_the_wrappers_name() -> Result<()> {
    let trouble = claude("exec", "script")?;
    let pid = trouble.pid;
    change(&trouble, "script")?;
    let (_room, session, anomalies, _) = trouble.finish()?;
    ensure!(session.workload()? == pid);
    let told = of_kinds(&anomalies, &["identity_drift"]);
    ensure!(told.is_empty(), "{told:#?}");
    expect_drift(&session, true)
}

#[test]
fn a_shim_in_the_manner_of_pyenv_is_no_drift() -> Result<()> {
    let shim = "#!/usr/bin/env bash\nset -e\nprogram=\"${0##*/}\"\n\
                until test -e \"$2/seen\"; do read -t 0.02 <> \"$2/never\" || :; done\n\
                exec \"${0%/*}/../libexec/pyenv\" exec \"$program\" \"$@\"\n";
    let pyenv = "#!/usr/bin/env bash\nset -e\nversion=\"$(printf 3)\"\nshift\nprogram=\"$1\"\nshift\n\
                 test -n \"$version\"\nexec \"${0%/*}/../versions/$program\" \"$@\"\n";
    let room = Room::new()?;
    for folder in ["shims", "libexec", "versions"] {
        std::fs::create_dir(room.path(folder))?;
    }
    std::fs::copy(place::fixture("trouble")?, room.path("versions/claude"))?;
    rustix::fs::mkfifoat(rustix::fs::CWD, room.path("never"), 0o600.into())?;
    std::fs::write(room.path("name"), "claude")?;
    room.script("libexec/pyenv", pyenv)?;
    let shim = place::text(&room.script("shims/claude", shim)?)?;
    let folder = place::text(&room.path(""))?;
    let tracer = begin(&room, &[], &[shim, "rename".to_owned(), folder])?;
    // The shim lives until there are rows of it under another name than the program's.
    wait_for("rows of the shim", PATIENCE, || {
        let Ok(folder) = room.session_folder() else {
            return Ok(None);
        };
        let records = journal::read_so_far(&folder)?;
        let of_shim =
            |record: &&journal::Record| record.kind == "snapshot" && record.text("comm") == "bash";
        Ok((records.iter().filter(of_shim).count() >= 2).then_some(()))
    })?;
    std::fs::write(room.path("seen"), "")?;
    let trouble = Trouble::ready(room, tracer)?;
    change(&trouble, "claude")?;
    trouble.tell("stop")?;
    let (_room, session, anomalies, _) = trouble.finish()?;
    let told = of_kinds(&anomalies, &["identity_drift"]);
    ensure!(told.is_empty(), "{told:#?}");
    ensure!(
        session
            .rows_of(session.workload()?)
            .any(|row| row["comm"] == "bash"),
        "no row of the shim"
    );
    expect_drift(&session, false)
}
