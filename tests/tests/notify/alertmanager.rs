//! A real Alertmanager: what is open appears, is grouped, can be silenced, and is resolved on recovery.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use crate::alerts::{Told, orphan, recovery};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tracer_tests::{
    http::{ask, get},
    launch::Running,
    need,
    receiver::{Manner, Receiver},
    room::Room,
    wait::{PATIENCE, wait_for},
};

/// Alertmanager, its address, and the webhook that it notifies.
struct Manager {
    _program: Running,
    addr: SocketAddr,
    notified: Receiver,
}

/// A port that was free a moment ago.
fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

impl Manager {
    fn start(room: &Room, addr: SocketAddr) -> Result<Self> {
        let program = need::program("prometheus-alertmanager", "prometheus-alertmanager")?;
        let notified = Receiver::start(&[Manner::Status(200)])?;
        let config = room.path("alertmanager.yml");
        let url = notified.url();
        fs::write(
            &config,
            format!(
                "route:\n  receiver: test\n  group_by: [alertname]\n  group_wait: 500ms\n  \
                 group_interval: 1s\n  repeat_interval: 1h\nreceivers:\n- name: test\n  \
                 webhook_configs:\n  - url: {url}\n    send_resolved: true\n"
            ),
        )?;
        let program = room
            .program(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", room.path("am").display()))
            .arg(format!("--web.listen-address={addr}"))
            .arg("--cluster.listen-address=")
            .spawn()?;
        wait_for("Alertmanager to be ready", PATIENCE, || {
            let ready = get(addr, "/-/ready").is_ok_and(|(status, _)| status == 200);
            Ok(ready.then_some(()))
        })
        .with_context(|| program.stderr())?;
        Ok(Self {
            _program: program,
            addr,
            notified,
        })
    }

    fn get(&self, path: &str) -> Result<Value> {
        let (status, body) = get(self.addr, path)?;
        ensure!(status == 200, "{path}: {status} {body}");
        Ok(serde_json::from_str(&body)?)
    }

    /// The alerts it has, by pid, with their state.
    fn alerts(&self) -> Result<Vec<(String, String)>> {
        let alerts = self.get("/api/v2/alerts")?;
        let alerts = alerts.as_array().context("an array")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut alerts: Vec<_> = alerts
            .iter()
            .map(|alert| {
                (
                    text(&alert["labels"]["pid"]),
                    text(&alert["status"]["state"]),
                )
            })
            .collect();
        alerts.sort();
        Ok(alerts)
    }

    /// Waits until it has these.
    fn has(&self, wanted: &[(&str, &str)]) -> Result<()> {
        let mut last = Vec::new();
        wait_for(&format!("{wanted:?}"), PATIENCE, || {
            last = self.alerts()?;
            let same = last
                .iter()
                .map(|(pid, state)| (&**pid, &**state))
                .eq(wanted.iter().copied());
            Ok(same.then_some(()))
        })
        .with_context(|| format!("it has {last:?}"))
    }

    /// Waits until it has notified of this pid with this status; all alerts of that notification.
    fn notified(&self, pid: &str, status: &str) -> Result<Vec<Value>> {
        wait_for(&format!("{status} of {pid}"), PATIENCE, || {
            for received in self.notified.received() {
                let sent: Value = serde_json::from_str(&received.body)?;
                let alerts = sent["alerts"].as_array().context("alerts")?;
                let mut it = alerts.iter().filter(|alert| alert["labels"]["pid"] == pid);
                if it.any(|alert| alert["status"] == status) {
                    return Ok(Some(alerts.clone()));
                }
            }
            Ok(None)
        })
    }
}

fn file(addr: SocketAddr) -> String {
    format!(
        "[[notify.alertmanager]]\nname = \"am\"\nurl = \"http://{addr}\"\nresend_s = 1\n\
         timeout_s = 5\nretry_max_s = 1\nlabels = {{ team = \"agents\" }}\n\
         generator_url = \"https://example.org/runbook\"\n"
    )
}

#[test]
fn an_alert_appears_is_grouped_silenced_and_resolved() -> Result<()> {
    let room = Room::without_kernel()?;
    let manager = Manager::start(&room, free_port()?)?;
    let told = Told::start(&file(manager.addr), &room.path("queues"))?;
    let (first, second) = (orphan(101), orphan(102));
    told.notifiers.offer(&first);
    told.notifiers.offer(&second);
    manager.has(&[("101", "active"), ("102", "active")])?;

    let groups = manager.get("/api/v2/alerts/groups")?;
    ensure!(groups.as_array().map(Vec::len) == Some(1), "{groups}");
    ensure!(
        groups[0]["labels"] == json!({ "alertname": "TracerOrphan" }),
        "{groups}"
    );
    ensure!(
        groups[0]["alerts"].as_array().map(Vec::len) == Some(2),
        "{groups}"
    );
    let alert = &groups[0]["alerts"][0];
    ensure!(alert["labels"]["team"] == "agents", "{alert}");
    ensure!(
        alert["generatorURL"] == "https://example.org/runbook",
        "{alert}"
    );
    let summary = alert["annotations"]["summary"]
        .as_str()
        .context("a summary")?;
    ensure!(summary.contains("has lost its parent"), "{summary}");
    ensure!(
        manager.notified("101", "firing")?.len() == 2,
        "both in one notification"
    );

    let now = jiff::Timestamp::now();
    let silence = json!({
        "matchers": [{ "name": "pid", "value": "102", "isRegex": false, "isEqual": true }],
        "startsAt": now, "endsAt": now + jiff::SignedDuration::from_hours(1),
        "createdBy": "test", "comment": "known",
    });
    let (status, body) = ask(
        manager.addr,
        "POST",
        "/api/v2/silences",
        &silence.to_string(),
    )?;
    ensure!(status == 200, "{body}");
    manager.has(&[("101", "active"), ("102", "suppressed")])?;

    told.notifiers.offer(&recovery(&first));
    manager.has(&[("102", "suppressed")])?;
    let resolved = manager.notified("101", "resolved")?;
    let ended = resolved
        .iter()
        .find(|alert| alert["labels"]["pid"] == "101");
    let started = ended.context("the alert")?["startsAt"]
        .as_str()
        .context("a time")?;
    let started: jiff::Timestamp = started.parse()?;
    ensure!(
        (started - first.since).get_milliseconds().abs() < 2,
        "{started} {}",
        first.since
    );
    wait_for("three news", PATIENCE, || {
        let counters = told.counters("am").context("counters")?;
        Ok((counters.delivered == 3 && counters.queued == 0).then_some(()))
    })?;
    let counters = told.notifiers.shutdown(Duration::from_secs(5));
    ensure!(
        (counters[0].delivered, counters[0].dropped) == (3, 0),
        "{counters:?}"
    );
    Ok(())
}

#[test]
fn what_is_open_is_known_again_after_either_side_was_gone() -> Result<()> {
    let room = Room::without_kernel()?;
    let addr = free_port()?;
    let told = Told::start(&file(addr), &room.path("queues"))?;
    let (kept, forgotten) = (orphan(201), orphan(202));
    told.notifiers.offer(&kept);
    told.notifiers.offer(&forgotten);
    wait_for("a failure", PATIENCE, || {
        Ok((told.counters("am").context("counters")?.failed > 0).then_some(()))
    })?;
    let manager = Manager::start(&room, addr)?;
    manager.has(&[("201", "active"), ("202", "active")])?;
    let _counters = told.notifiers.shutdown(Duration::from_secs(5));

    // It does not resolve what somebody repeats: the watch is back before the alert ends by itself.
    let told = Told::start(&file(addr), &room.path("queues"))?;
    let only = [kept.key.clone()].into_iter().collect();
    told.notifiers.only_these_are_open(&only);
    manager.has(&[("201", "active")])?;
    manager.notified("202", "resolved")?;
    // Longer than an alert lasts that nobody repeats (four seconds).
    let before = manager.get("/api/v2/alerts")?[0]["endsAt"].clone();
    let until: jiff::Timestamp = before.as_str().context("a time")?.parse()?;
    wait_for("the end it had before to pass", PATIENCE, || {
        Ok((jiff::Timestamp::now() > until).then_some(()))
    })?;
    manager.has(&[("201", "active")])?;
    let counters = told.notifiers.shutdown(Duration::from_secs(5));
    ensure!(counters[0].dropped == 0, "{counters:?}");
    // Nobody repeats it any more.
    manager.has(&[])
}
