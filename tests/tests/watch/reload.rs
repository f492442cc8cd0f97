//! A running watch that is told to read its file again, and what its metrics say meanwhile.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tracer_tests::http::get;
use tracer_tests::launch::Running;
use tracer_tests::receiver::{Manner, Receiver};
use tracer_tests::room::Room;
use tracer_tests::wait::{PATIENCE, wait_for};

use crate::scene::{Sleeper, mark, plain, told, watch};

const RELOADED: &str = "tracer_watch_config_last_reload_successful";

/// Where a watch says that its metrics are.
fn addr(watching: &Running) -> Result<SocketAddr> {
    wait_for("the address of the metrics", PATIENCE, || {
        let said = watching.stderr();
        let line = said.lines().find_map(|line| line.split_once("http://"));
        let addr = line.and_then(|(_, rest)| rest.strip_suffix("/metrics"));
        addr.map(str::parse).transpose().context("an address")
    })
}

/// The value of one line of the metrics; `None` while there is no such line.
fn metric(addr: SocketAddr, name: &str) -> Result<Option<f64>> {
    let (status, page) = get(addr, "/metrics")?;
    ensure!(status == 200, "{status} {page}");
    let mut lines = page.lines().filter_map(|line| line.rsplit_once(' '));
    let value = lines.find(|(found, _)| *found == name);
    Ok(value.map(|(_, value)| value.parse()).transpose()?)
}

/// Waits until a metric has that value.
fn reads(addr: SocketAddr, name: &str, wanted: f64) -> Result<()> {
    let mut last = None;
    wait_for(name, PATIENCE, || {
        last = metric(addr, name)?;
        Ok(last
            .filter(|value| (value - wanted).abs() < 0.001)
            .map(drop))
    })
    .with_context(|| format!("it is {last:?}, not {wanted}"))
}

fn patterns(file: &Path, names: &[&str], more: &str) -> Result<()> {
    let patterns: Vec<String> = names.iter().map(|name| mark(name)).collect();
    let text = format!("[watch]\nage_min = 0\npatterns = {patterns:?}\n{more}");
    Ok(fs::write(file, text)?)
}

#[test]
fn a_good_file_is_followed_and_a_bad_one_changes_nothing_and_is_said() -> Result<()> {
    let room = Room::without_kernel()?;
    let (first, second) = (Sleeper::called("before")?, Sleeper::called("after")?);
    let file = room.path("config.toml");
    patterns(&file, &["before"], "")?;
    let launch = plain(&room)?.args(["--metrics", "127.0.0.1:0", "--config"]);
    let watching = launch.arg(&file).spawn()?;
    let addr = addr(&watching)?;
    told(&watching, first.pid()?, &["alert"])?;
    told(&watching, second.pid()?, &[])?;
    reads(addr, RELOADED, 1.0)?;

    // Half of it is right: none of it is taken.
    patterns(&file, &["after"], "cooldown_s = \"soon\"\n")?;
    watching.signal(Signal::HUP)?;
    reads(addr, RELOADED, 0.0)?;
    let said = watching.stderr();
    for word in [
        "config.toml",
        "watch.cooldown_s",
        "\"soon\"",
        "the settings stay as they are",
    ] {
        ensure!(said.contains(word), "{word}: {said}");
    }
    fs::write(&file, "patterns = [")?;
    watching.signal(Signal::HUP)?;
    wait_for("the second complaint", PATIENCE, || {
        Ok(watching.stderr().contains("this is not TOML").then_some(()))
    })?;
    fs::remove_file(&file)?;
    watching.signal(Signal::HUP)?;
    wait_for("the third complaint", PATIENCE, || {
        let said = watching.stderr();
        let complaints = said.matches("the settings stay as they are").count();
        Ok((complaints == 3).then_some(()))
    })?;
    let looks = "tracer_watch_tick_duration_seconds_count";
    let before = metric(addr, looks)?.context("looks")?;
    wait_for("two more looks", PATIENCE, || {
        Ok((metric(addr, looks)?.context("looks")? >= before + 2.0).then_some(()))
    })?;
    told(&watching, first.pid()?, &["alert"])?;
    told(&watching, second.pid()?, &[])?;

    patterns(&file, &["after"], "")?;
    watching.signal(Signal::HUP)?;
    told(&watching, second.pid()?, &["alert"])?;
    // It lives, and nobody looks for it any more.
    told(&watching, first.pid()?, &["alert", "recovery"])?;
    reads(addr, RELOADED, 1.0)?;

    // Off, as at the start: it says so and ends.
    patterns(&file, &["after"], "enabled = false\n")?;
    watching.signal(Signal::HUP)?;
    wait_for("more of the file, and what the flag says", PATIENCE, || {
        Ok((watching
            .stderr()
            .matches("settings were read again")
            .count()
            == 2)
            .then_some(()))
    })?;
    ensure!(
        !watching.has_ended()?,
        "--enable has more weight than the file"
    );
    watching.signal(Signal::TERM)?;
    watching.finish(PATIENCE)?.expect_code(0)?;
    Ok(())
}

#[test]
fn a_file_that_turns_the_watch_off_ends_it() -> Result<()> {
    let room = Room::without_kernel()?;
    let file = room.path("config.toml");
    fs::write(&file, "[watch]\nenabled = true\n")?;
    let launch = room.tracer("watch")?.arg("--bpffs").arg(room.path("none"));
    let watching = launch.arg("--config").arg(&file).spawn()?;
    wait_for("its looks", PATIENCE, || {
        Ok(watching.stderr().contains("watching for").then_some(()))
    })?;
    fs::write(&file, "[watch]\nenabled = false\n")?;
    watching.signal(Signal::HUP)?;
    let ended = watching.finish(PATIENCE)?.expect_code(0)?;
    ended.expect_words(&["the watch is off"])?;
    Ok(())
}

#[test]
fn metrics_follow_what_happens() -> Result<()> {
    let room = Room::without_kernel()?;
    let receiver = Receiver::start(&[Manner::Status(503)])?;
    let mut sleeper = Sleeper::called("metrics")?;
    let file = room.path("config.toml");
    let hook = format!(
        "[[notify.webhook]]\nname = \"hook\"\nurl = \"{}\"\nretry_max_s = 1\n",
        receiver.url()
    );
    fs::write(&file, hook)?;
    let launch = watch(&room, "metrics")?.args(["--metrics", "127.0.0.1:0", "--config"]);
    let watching = launch.arg(&file).spawn()?;
    let addr = addr(&watching)?;
    let open = "tracer_watch_alerts_open{kind=\"orphan\"}";
    let news = |decision| {
        format!("tracer_watch_decisions_total{{kind=\"orphan\",decision=\"{decision}\"}}")
    };
    let hook = |metric, more| {
        format!("tracer_notifier_{metric}{{notifier=\"hook\",channel=\"webhook\"{more}}}")
    };
    let delivered = ",outcome=\"delivered\"";
    reads(addr, open, 1.0)?;
    reads(addr, &news("alert"), 1.0)?;
    reads(addr, &news("recovery"), 0.0)?;
    reads(addr, &hook("queued_alerts", ""), 1.0)?;
    reads(addr, &hook("alerts_total", delivered), 0.0)?;
    wait_for("attempts that fail", PATIENCE, || {
        let failed = metric(addr, &hook("failed_attempts_total", ""))?;
        Ok(failed.filter(|&count| count >= 1.0).map(drop))
    })?;
    ensure!(get(addr, "/healthz")? == (200, "ok\n".to_owned()));
    receiver.behave(Manner::Status(200));
    reads(addr, &hook("alerts_total", delivered), 1.0)?;
    sleeper.end()?;
    reads(addr, open, 0.0)?;
    reads(addr, &news("recovery"), 1.0)?;
    reads(addr, &hook("alerts_total", delivered), 2.0)?;
    reads(addr, &hook("queued_alerts", ""), 0.0)?;
    for status in ["running", "interrupted", "ended", "corrupt"] {
        reads(
            addr,
            &format!("tracer_sessions{{status=\"{status}\"}}"),
            0.0,
        )?;
    }
    for own in [
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
    ] {
        ensure!(metric(addr, own)?.is_some_and(|value| value > 0.0), "{own}");
    }
    // A disk that takes nothing makes health red; the look goes on.
    let state = room.state().join("watch.json");
    fs::remove_file(&state)?;
    fs::create_dir(&state)?;
    fs::write(state.join("in the way"), "")?;
    let _another = Sleeper::called("metrics")?;
    reads(addr, "tracer_watch_degraded{part=\"state\"}", 1.0)?;
    let (status, why) = get(addr, "/healthz")?;
    ensure!(
        status == 503 && why.contains("cannot be kept"),
        "{status} {why}"
    );
    fs::remove_dir_all(&state)?;
    wait_for("health", PATIENCE, || {
        Ok((get(addr, "/healthz")?.0 == 200).then_some(()))
    })?;
    ensure!(state.is_file());
    watching.signal(Signal::TERM)?;
    let ended = watching.finish(PATIENCE)?.expect_code(0)?;
    ensure!(
        ended.stderr.matches("cannot be kept").count() == 1,
        "{}",
        ended.stderr
    );
    Ok(())
}
