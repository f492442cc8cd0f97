//! A watcher, those it is to find, and what it has told.

use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use serde_json::Value;
use tracer_tests::launch::{Launch, Running};
use tracer_tests::room::Room;
use tracer_tests::wait::{PATIENCE, wait_for};

/// A pattern that no other process of the machine has in its command line.
pub(crate) fn mark(name: &str) -> String {
    format!("pytest-mark-{name}-{}", std::process::id())
}

/// A watcher with the settings of its file.
pub(crate) fn plain(room: &Room) -> Result<Launch> {
    let launch = room.tracer("watch")?.arg("--bpffs");
    let launch = launch.arg(room.path("no-bpffs"));
    Ok(launch.args(["--enable", "--interval-s", "1"]))
}

pub(crate) fn watch(room: &Room, name: &str) -> Result<Launch> {
    // The watcher's own command line has the pattern as well; it never tells of itself.
    Ok(plain(room)?.args(["--age-min", "0", "--pattern", &mark(name)]))
}

pub(crate) fn alerts(stdout: &str) -> Result<Vec<Value>> {
    let lines = stdout.lines().map(serde_json::from_str);
    Ok(lines.collect::<Result<_, _>>()?)
}

/// Waits until a process has been told of so; its news.
pub(crate) fn told(watching: &Running, pid: i32, wanted: &[&str]) -> Result<Vec<Value>> {
    wait_for(&format!("{wanted:?} of {pid}"), PATIENCE, || {
        // The last line may be half there.
        let stdout = watching.stdout();
        let whole = stdout.rfind('\n').map_or("", |end| &stdout[..end]);
        let all = alerts(whole)?;
        let same = decisions(&all, pid) == wanted;
        let mine = of_pid(&all, pid).into_iter();
        Ok(same.then(|| mine.map(|(_, alert)| alert.clone()).collect()))
    })
    .with_context(|| watching.stdout() + &watching.stderr())
}

/// Waits until a process has been told of once; the text of that.
pub(crate) fn alert_of(watching: &Running, pid: i32) -> Result<String> {
    let news = told(watching, pid, &["alert"])?;
    Ok(news[0]["text"].as_str().context("a text")?.to_owned())
}

pub(crate) fn of_pid(alerts: &[Value], pid: i32) -> Vec<(&str, &Value)> {
    let mine = alerts.iter().filter(|alert| {
        alert["labels"]["pid"]
            .as_str()
            .and_then(|text| text.parse().ok())
            == Some(pid)
    });
    mine.map(|alert| (alert["decision"].as_str().unwrap_or("?"), alert))
        .collect()
}

pub(crate) fn decisions(alerts: &[Value], pid: i32) -> Vec<&str> {
    of_pid(alerts, pid)
        .into_iter()
        .map(|(decision, _)| decision)
        .collect()
}

/// Ends when dropped.
pub(crate) struct Sleeper(Child);

impl Sleeper {
    pub(crate) fn called(name: &str) -> Result<Self> {
        let text = format!("exec -a 'python3 {}' sleep 320", mark(name));
        let mut child = Command::new("bash");
        child.args(["-c", &text]).stdout(Stdio::null());
        Ok(Self(child.spawn()?))
    }

    pub(crate) fn pid(&self) -> Result<i32> {
        Ok(i32::try_from(self.0.id())?)
    }

    pub(crate) fn end(&mut self) -> Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.end();
    }
}
