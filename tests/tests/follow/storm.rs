//! More than anybody should start: nothing of it stays, and what is lost is told.

use std::path::Path;

use anyhow::{Result, ensure};
use rustix::process::Signal;
use tracer_tests::{
    cgroup::Cgroup,
    follow::{DAEMON, Daemon, end, following, metric, news, number_in, port, watcher},
    http::get,
    launch::Running,
    proc,
    room::Room,
    wait::{PATIENCE, wait_for},
};

/// So many rounds of three processes in a cgroup; then it says so and goes on waiting.
fn storm(room: &Room, cgroup: &Cgroup, rounds: u32, list: &Path) -> Result<Running> {
    let text = format!(
        "echo $$ > \"$CGROUP/cgroup.procs\"; i=0; while [ $i -lt {rounds} ]; do (:); (: &); \
         i=$((i+1)); done; echo 1 > \"$LIST\"; while :; do sleep 60; done"
    );
    let shell = room.program("/bin/sh").env("CGROUP", cgroup.path());
    shell.env("LIST", list).arg("-c").arg(text).spawn()
}

#[test]
fn five_thousand_short_processes_leave_nothing_and_lose_nothing() -> Result<()> {
    let room = Room::new()?;
    let cgroup = Cgroup::unified(&room)?;
    let addr = port()?;
    let watch = watcher(&room)?.arg("--follow-cgroup").arg(cgroup.path());
    let running = following(watch.args(["--metrics", &addr.to_string()]))?;
    let list = room.path("list");
    let storm = storm(&room, &cgroup, 2500, &list)?;
    number_in(&list)?;
    // The shell and its sleep; and all events of all others.
    wait_for("a quiet tree", PATIENCE, || {
        let tracked = metric(addr, "tracer_processes_tracked")?;
        let forks = metric(addr, "tracer_events_total{kind=\"fork\"}")?;
        Ok((tracked == Some(2) && forks >= Some(7502)).then_some(()))
    })?;
    let (status, page) = get(addr, "/metrics")?;
    let losses: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("tracer_events_lost_total{"))
        .collect();
    ensure!(status == 200 && losses.is_empty(), "{losses:?}");
    ensure!(get(addr, "/healthz")? == (200, "ok\n".to_owned()));
    ensure!(
        metric(addr, "tracer_sessions{status=\"running\"}")? == Some(0),
        "{page}"
    );
    let rss_kb = proc::status_line(running.pid(), "RssAnon")?;
    eprintln!("private memory after the storm: {rss_kb}");
    drop(storm);
    wait_for("nobody", PATIENCE, || {
        Ok((metric(addr, "tracer_processes_tracked")? == Some(0)).then_some(()))
    })?;
    end(running)?;
    Ok(())
}

#[test]
fn a_watcher_that_was_stopped_says_what_it_lost_and_knows_who_lives() -> Result<()> {
    let room = Room::new()?;
    let cgroup = Cgroup::unified(&room)?;
    let addr = port()?;
    let watch = watcher(&room)?.arg("--follow-cgroup").arg(cgroup.path());
    let running = following(watch.args(["--metrics", &addr.to_string()]))?;
    let (first, second) = (room.path("first"), room.path("second"));
    running.signal(Signal::STOP)?;
    // Three times what the ring has room for; and then a tree that is not seen to begin.
    let busy = storm(&room, &cgroup, 6000, &first)?;
    number_in(&first)?;
    let wait = "while [ ! -e \"$GO\" ]; do sleep 0.1; done";
    let text = format!(
        "echo $$ > \"$CGROUP/cgroup.procs\"; sh -c '{wait}; {}'; while :; do sleep 60; done",
        DAEMON.replace('\'', "'\\''")
    );
    let shell = room.program("/bin/sh").env("CGROUP", cgroup.path());
    let shell = shell.env("LIST", &second).env("GO", room.path("go"));
    let late = shell.arg("-c").arg(text).spawn()?;
    wait_for("its tree", PATIENCE, || {
        Ok((proc::descendants(late.pid()).len() >= 2).then_some(()))
    })?;
    running.signal(Signal::CONT)?;
    // Whoever ended is gone from the list: one shell with its sleep, and two with one.
    wait_for("only those who live", PATIENCE, || {
        let lost = metric(addr, "tracer_events_lost_total{reason=\"ring_full_fork\"}")?;
        let tracked = metric(addr, "tracer_processes_tracked")?;
        Ok((lost > Some(1000) && tracked <= Some(5)).then_some(()))
    })?;
    std::fs::write(room.path("go"), "")?;
    let daemon = Daemon(number_in(&second)?);
    let alert = news(&running, daemon.0, "alert")?;
    ensure!(alert["details"]["parent_comm"] == "sh", "{alert:#}");
    wait_for(
        "two shells, each with its sleep, and the daemon",
        PATIENCE,
        || Ok((metric(addr, "tracer_processes_tracked")? == Some(5)).then_some(())),
    )?;
    let (status, why) = get(addr, "/healthz")?;
    ensure!(status == 503 && why.contains("events were lost"), "{why}");
    let said = running.stderr();
    ensure!(said.matches("events were lost").count() == 1, "{said}");
    drop((busy, late));
    end(running)?;
    Ok(())
}
