//! `/metrics` and `/healthz`, with Prometheus' own opinion of them.

use std::{
    fs,
    io::Write as _,
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tracer::watch::{
    metrics::{Degraded, Readings, server::Server},
    notify::Counters,
};
use tracer_tests::{
    http::{ask, get},
    need,
    room::Room,
    wait::{PATIENCE, stretched, wait_for},
};

const FRESH: Duration = Duration::from_secs(3600);

/// Something of everything.
fn readings() -> Readings {
    let counts = |pairs: &[(&str, u64)]| {
        pairs
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect()
    };
    let mut readings = Readings {
        sessions: counts(&[("running", 2), ("finished", 40)]),
        processes_tracked: 17,
        processes_seen: 412,
        events: counts(&[("fork", 1000), ("exit", 990)]),
        lost: counts(&[("ring_full", 3)]),
        alerts_open: counts(&[("orphan", 1)]),
        decisions: [(("orphan".to_owned(), "alert".to_owned()), 5)].into(),
        notifiers: vec![Counters {
            notifier: "ops".to_owned(),
            channel: "webhook",
            delivered: 4,
            failed: 2,
            dropped: 1,
            queued: 0,
        }],
        cpu: Duration::from_millis(1250),
        rss_bytes: 12 << 20,
        open_fds: 14,
        start_time_s: 1_795_000_000.5,
        config_ok: true,
        ..Readings::default()
    };
    readings.ticks.add(Duration::from_millis(12));
    readings
}

fn server() -> Result<Server> {
    let server = Server::start(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    server.publish(readings(), FRESH);
    Ok(server)
}

#[test]
fn promtool_finds_nothing_to_say_about_them() -> Result<()> {
    let promtool = need::program("promtool", "prometheus")?;
    let server = server()?;
    let (status, page) = get(server.addr(), "/metrics")?;
    ensure!(status == 200);
    let mut check = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    check
        .stdin
        .take()
        .context("its input")?
        .write_all(page.as_bytes())?;
    let said = check.wait_with_output()?;
    let text =
        String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    ensure!(said.status.success() && text.is_empty(), "{text}\n{page}");
    ensure!(server.shutdown(PATIENCE));
    Ok(())
}

#[test]
fn a_real_prometheus_scrapes_them() -> Result<()> {
    let prometheus = need::program("prometheus", "prometheus")?;
    let room = Room::without_kernel()?;
    let server = server()?;
    let config = room.path("prometheus.yml");
    let target = server.addr();
    fs::write(
        &config,
        format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\nscrape_configs:\n- job_name: tracer\n  \
             static_configs:\n  - targets: ['{target}']\n"
        ),
    )?;
    let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let program = room
        .program(prometheus)
        .arg(format!("--config.file={}", config.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            room.path("tsdb").display()
        ))
        .arg(format!("--web.listen-address={addr}"))
        .spawn()?;
    let value = |query: &str| -> Result<Option<String>> {
        let Ok((200, body)) = get(addr, &format!("/api/v1/query?query={query}")) else {
            return Ok(None);
        };
        let answer: Value = serde_json::from_str(&body)?;
        Ok(answer["data"]["result"][0]["value"][1]
            .as_str()
            .map(str::to_owned))
    };
    for (query, wanted) in [
        ("up", "1"),
        ("tracer_events_lost_total%7Breason=%22ring_full%22%7D", "3"),
        ("tracer_watch_tick_duration_seconds_count", "1"),
        ("process_cpu_seconds_total%7Bjob=%22tracer%22%7D", "1.25"),
        (
            "tracer_notifier_alerts_total%7Boutcome=%22dropped%22%7D",
            "1",
        ),
    ] {
        wait_for(query, PATIENCE, || {
            Ok((value(query)?.as_deref() == Some(wanted)).then_some(()))
        })
        .with_context(|| format!("{:?} {}", value(query), program.stderr()))?;
    }
    Ok(())
}

#[test]
fn health_is_red_while_something_is_wrong_or_the_watch_hangs() -> Result<()> {
    let server = Server::start(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let health = || get(server.addr(), "/healthz");
    ensure!(health()?.0 == 503, "it has not looked yet");
    server.publish(readings(), FRESH);
    ensure!(health()? == (200, "ok\n".to_owned()));
    let mut degraded = readings();
    degraded.degraded.push(Degraded {
        part: "kernel".to_owned(),
        why: "the ring is full".to_owned(),
    });
    server.publish(degraded, FRESH);
    ensure!(health()? == (503, "kernel: the ring is full\n".to_owned()));
    server.publish(readings(), Duration::from_millis(20));
    wait_for("it to be seen that nothing comes", PATIENCE, || {
        Ok((health()?.0 == 503).then_some(()))
    })?;
    Ok(())
}

#[test]
fn clients_that_say_nothing_or_too_much_are_sent_away_and_others_served() -> Result<()> {
    let server = server()?;
    let idle: Vec<TcpStream> = (0..40)
        .map(|_| TcpStream::connect(server.addr()))
        .collect::<std::io::Result<_>>()?;
    let begun = Instant::now();
    let (status, _) = get(server.addr(), "/metrics")?;
    ensure!(status == 200);
    // Three rounds of sixteen, five seconds each.
    ensure!(
        begun.elapsed() < stretched(Duration::from_secs(18)),
        "{:?}",
        begun.elapsed()
    );
    drop(idle);
    let long = format!("/{}", "x".repeat(64 << 10));
    if let Ok((status, _)) = get(server.addr(), &long) {
        ensure!((400..500).contains(&status), "{status}");
    }
    ensure!(ask(server.addr(), "POST", "/metrics", "{}")?.0 == 405);
    ensure!(get(server.addr(), "/")?.0 == 404);
    ensure!(get(server.addr(), "/metrics")?.0 == 200);
    let begun = Instant::now();
    ensure!(server.shutdown(PATIENCE) && begun.elapsed() < stretched(Duration::from_secs(2)));
    Ok(())
}
