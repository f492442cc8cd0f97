//! Notifiers against receivers that hang, fail, lie and come back: nothing is lost beyond the stated
//! queue, and nobody else is delayed.

mod alertmanager;
mod alerts;
mod tls;

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    time::{Duration, Instant},
};

use alerts::{Told, orphan, recovery};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tracer_tests::{
    receiver::{Manner, Receiver},
    room::Room,
    wait::{PATIENCE, stretched, wait_for},
};

/// How many alerts a test offers.
const MANY: u32 = 20;

fn webhook(name: &str, url: &str) -> String {
    format!(
        "[[notify.webhook]]\nname = \"{name}\"\nurl = \"{url}\"\ntimeout_s = 1\nretry_max_s = 1\n"
    )
}

/// Pids of the alerts a receiver took with 200, in order.
fn taken(receiver: &Receiver) -> Result<Vec<u32>> {
    let requests = receiver.received();
    let good = requests
        .iter()
        .filter(|one| one.manner == Manner::Status(200));
    good.map(|one| {
        let alert: Value = serde_json::from_str(&one.body)?;
        Ok(alert["labels"]["pid"].as_str().context("a pid")?.parse()?)
    })
    .collect()
}

fn all_taken(receiver: &Receiver, pids: &[u32]) -> Result<()> {
    wait_for("every alert", PATIENCE, || {
        let taken: BTreeSet<u32> = taken(receiver)?.into_iter().collect();
        Ok(pids.iter().all(|pid| taken.contains(pid)).then_some(()))
    })
}

#[test]
fn whoever_hangs_fails_or_lies_loses_nothing_and_delays_nobody() -> Result<()> {
    let room = Room::without_kernel()?;
    let bad = [
        ("hang", Manner::Hang),
        ("fails", Manner::Status(500)),
        ("busy", Manner::Status(429)),
        ("redirect", Manner::Redirect),
        ("closes", Manner::CloseMidBody),
        ("torn", Manner::TornAnswer),
        ("garbage", Manner::Garbage),
    ];
    let good = Receiver::start(&[Manner::Status(200)])?;
    let mut file = webhook("good", &good.url());
    let mut receivers = Vec::new();
    for (name, manner) in bad {
        let receiver = Receiver::start(&[manner])?;
        file += &webhook(name, &receiver.url());
        receivers.push((name, manner, receiver));
    }
    let out = room.path("out");
    let out = out.to_str().context("a path that is text")?;
    write!(
        file,
        "[[notify.command]]\nname = \"cat\"\ncommand = [\"/bin/sh\", \"-c\", \"cat >>$0\", \"{out}\"]\n\
         [[notify.command]]\nname = \"sleeper\"\ncommand = [\"/bin/sleep\", \"1000\"]\n\
         timeout_s = 1\nretry_max_s = 1\n"
    )?;
    let told = Told::start(&file, &room.path("queues"))?;
    let begun = Instant::now();
    let pids: Vec<u32> = (1..=MANY).collect();
    for pid in &pids {
        told.notifiers.offer(&orphan(*pid));
    }
    let offered = begun.elapsed();
    ensure!(
        offered < stretched(Duration::from_millis(250)),
        "{offered:?} for offering"
    );
    all_taken(&good, &pids)?;
    let took = begun.elapsed();
    ensure!(
        took < stretched(Duration::from_secs(10)),
        "the good one was delayed: {took:?}"
    );
    ensure!(
        taken(&good)? == pids,
        "in order, each once: {:?}",
        taken(&good)?
    );
    wait_for("the command that works", PATIENCE, || {
        let lines = fs::read_to_string(out).unwrap_or_default();
        Ok((lines.lines().count() == pids.len()).then_some(()))
    })?;
    for (name, manner, receiver) in &receivers {
        wait_for(&format!("{name}: an attempt that fails"), PATIENCE, || {
            let counters = told.counters(name).context("counters")?;
            Ok((counters.failed > 0).then_some(()))
        })?;
        let counters = told.counters(name).context("counters")?;
        ensure!(counters.delivered == 0, "{name}: {counters:?}");
        ensure!(!receiver.received().is_empty(), "{name}: nobody asked");
        let elsewhere = receiver.received().into_iter();
        let mut elsewhere = elsewhere.filter(|one| one.line.contains("elsewhere"));
        ensure!(elsewhere.next().is_none(), "{manner:?}: it was followed");
        receiver.behave(Manner::Status(200));
    }
    for (name, _, receiver) in &receivers {
        all_taken(receiver, &pids)?;
        let order = taken(receiver)?;
        ensure!(order.is_sorted(), "{name}: {order:?}");
        wait_for(&format!("{name}: all counted"), PATIENCE, || {
            let counters = told.counters(name).context("counters")?;
            Ok((counters.delivered == u64::from(MANY) && counters.queued == 0).then_some(()))
        })?;
        let counters = told.counters(name).context("counters")?;
        ensure!(counters.dropped == 0, "{name}: {counters:?}");
    }
    let sleeper = told.counters("sleeper").context("counters")?;
    ensure!(
        sleeper.delivered == 0 && sleeper.queued == u64::from(MANY),
        "{sleeper:?}"
    );
    let ended = Instant::now();
    let _counters = told.notifiers.shutdown(Duration::from_secs(2));
    ensure!(
        ended.elapsed() < stretched(Duration::from_secs(5)),
        "{:?}",
        ended.elapsed()
    );
    Ok(())
}

#[test]
fn what_is_down_for_a_while_gets_all_that_its_queue_holds_and_the_rest_is_counted() -> Result<()> {
    let room = Room::without_kernel()?;
    let gone = Receiver::start(&[Manner::Status(200)])?;
    let (addr, url) = (gone.addr, gone.url());
    drop(gone);
    let file = webhook("down", &url) + "queue = 5\n";
    let told = Told::start(&file, &room.path("queues"))?;
    for pid in 1..=8 {
        told.notifiers.offer(&orphan(pid));
    }
    wait_for("the queue to be full", PATIENCE, || {
        let counters = told.counters("down").context("counters")?;
        Ok((counters.queued == 5 && counters.dropped == 3).then_some(()))
    })?;
    let said = told.said();
    ensure!(
        said.iter().any(|line| line.contains("queue is full (5)")),
        "{said:?}"
    );
    let counters = told.notifiers.shutdown(Duration::from_millis(200));
    ensure!(
        counters[0].queued == 5 && counters[0].delivered == 0,
        "{counters:?}"
    );

    // Another run: what waited is told first, then what is new.
    let told = Told::start(&file, &room.path("queues"))?;
    ensure!(told.counters("down").context("counters")?.queued == 5);
    let back = Receiver::start_on(addr, &[Manner::Status(200)])?;
    all_taken(&back, &[1, 2, 3, 4, 5])?;
    told.notifiers.offer(&orphan(9));
    all_taken(&back, &[9])?;
    wait_for("all counted", PATIENCE, || {
        let counters = told.counters("down").context("counters")?;
        Ok((counters.delivered == 6).then_some(()))
    })?;
    ensure!(taken(&back)? == [1, 2, 3, 4, 5, 9], "{:?}", taken(&back)?);
    let counters = told.notifiers.shutdown(Duration::from_secs(5));
    ensure!(
        (counters[0].queued, counters[0].dropped) == (0, 0),
        "{counters:?}"
    );
    let left = fs::read_dir(room.path("queues").join("down.webhook"))?.count();
    ensure!(left == 0, "{left} files are left of what was told");
    Ok(())
}

#[test]
fn what_a_receiver_refuses_holds_up_nothing_behind_it() -> Result<()> {
    let room = Room::without_kernel()?;
    let receiver = Receiver::start(&[Manner::Status(400), Manner::Status(200)])?;
    let told = Told::start(&webhook("strict", &receiver.url()), &room.path("queues"))?;
    told.notifiers.offer(&orphan(1));
    told.notifiers.offer(&orphan(2));
    all_taken(&receiver, &[2])?;
    let counters = told.notifiers.shutdown(Duration::from_secs(5));
    ensure!(
        (counters[0].delivered, counters[0].dropped) == (1, 1),
        "{counters:?}"
    );
    Ok(())
}

#[test]
fn no_secret_is_said_whatever_goes_wrong() -> Result<()> {
    const URL_SECRET: &str = "T0PS3CRETPATH";
    const TOKEN: &str = "t0psecrettoken";
    let room = Room::without_kernel()?;
    let receiver = Receiver::start(&[
        Manner::Status(500),
        Manner::Redirect,
        Manner::Garbage,
        Manner::Status(200),
    ])?;
    let url = format!("{}/services/{URL_SECRET}", receiver.url());
    let text = |name: &str, text: &str| -> Result<String> {
        fs::write(room.path(name), text)?;
        Ok(room.path(name).display().to_string())
    };
    let good = text("good.url", &format!("{url}\n"))?;
    let token = text("token", TOKEN)?;
    let odd = text("odd.url", &format!("not a url {URL_SECRET}"))?;
    let nowhere = text("nowhere.url", &format!("http://127.0.0.1:1/{URL_SECRET}"))?;
    let unknown = text("unknown.url", &format!("https://{URL_SECRET}.invalid/"))?;
    let lines = text("lines", &format!("{TOKEN}\n{TOKEN}\n"))?;
    let mut file = String::new();
    for (name, url, token) in [
        ("good", &good, &token),
        ("odd", &odd, &token),
        ("nowhere", &nowhere, &token),
        ("unknown", &unknown, &token),
        ("lines", &good, &lines),
    ] {
        write!(
            file,
            "[[notify.webhook]]\nname = \"{name}\"\nurl_file = \"{url}\"\nbearer_file = \"{token}\"\n\
             timeout_s = 5\nretry_max_s = 1\n"
        )?;
    }
    let told = Told::start(&file, &room.path("queues"))?;
    told.notifiers.offer(&orphan(1));
    all_taken(&receiver, &[1])?;
    for name in ["odd", "nowhere", "unknown", "lines"] {
        wait_for(&format!("{name} to fail"), PATIENCE, || {
            Ok((told.counters(name).context("counters")?.failed > 0).then_some(()))
        })?;
    }
    let asked = receiver.received();
    ensure!(
        asked.iter().all(|one| one.line.contains(URL_SECRET)),
        "{asked:?}"
    );
    let bearer = format!("bearer {TOKEN}");
    ensure!(
        asked
            .iter()
            .all(|one| one.headers.to_lowercase().contains(&bearer))
    );
    let said = told.said();
    ensure!(
        said.len() >= 5,
        "there is something to find it in: {said:?}"
    );
    let all = format!("{said:?} {:?}", told.notifiers.counters()).to_lowercase();
    for secret in [URL_SECRET, TOKEN] {
        ensure!(!all.contains(&secret.to_lowercase()), "{all}");
    }
    let _counters = told.notifiers.shutdown(Duration::from_millis(100));
    // Nor is it in what waits on disk.
    for entry in fs::read_dir(room.path("queues").join("nowhere.webhook"))? {
        let text = fs::read_to_string(entry?.path())?.to_lowercase();
        ensure!(!text.contains(&URL_SECRET.to_lowercase()) && !text.contains(TOKEN));
    }
    Ok(())
}

#[test]
fn an_end_that_comes_while_the_receiver_is_down_is_told_after_its_beginning() -> Result<()> {
    let room = Room::without_kernel()?;
    let receiver = Receiver::start(&[Manner::Status(503)])?;
    let told = Told::start(&webhook("slow", &receiver.url()), &room.path("queues"))?;
    let alert = orphan(4);
    told.notifiers.offer(&alert);
    told.notifiers.offer(&recovery(&alert));
    wait_for("a failure", PATIENCE, || {
        Ok((told.counters("slow").context("counters")?.failed > 0).then_some(()))
    })?;
    receiver.behave(Manner::Status(200));
    wait_for("both", PATIENCE, || {
        Ok((taken(&receiver)?.len() == 2).then_some(()))
    })?;
    let decisions: Vec<String> = receiver
        .received()
        .iter()
        .filter(|one| one.manner == Manner::Status(200))
        .filter_map(|one| serde_json::from_str::<Value>(&one.body).ok())
        .map(|alert| alert["decision"].to_string())
        .collect();
    ensure!(decisions == ["\"alert\"", "\"recovery\""], "{decisions:?}");
    let _counters = told.notifiers.shutdown(Duration::from_secs(5));
    Ok(())
}

#[test]
fn a_reload_keeps_queue_and_counters_and_finds_the_new_address() -> Result<()> {
    use tracer::config::watch::{Flags, load};
    let room = Room::without_kernel()?;
    let old = Receiver::start(&[Manner::Status(404)])?;
    let new = Receiver::start(&[Manner::Status(200)])?;
    let mut told = Told::start(&webhook("moved", &old.url()), &room.path("queues"))?;
    told.notifiers.offer(&orphan(1));
    wait_for("a failure", PATIENCE, || {
        Ok((told.counters("moved").context("counters")?.failed > 0).then_some(()))
    })?;
    let file = webhook("moved", &new.url()) + &webhook("second", &new.url());
    let settings = load(&file, &|_| None, &Flags::default())?.settings;
    told.notifiers.reload(&settings.notify)?;
    all_taken(&new, &[1])?;
    told.notifiers.offer(&orphan(2));
    wait_for("both notifiers", PATIENCE, || {
        Ok((taken(&new)?.len() == 3).then_some(()))
    })?;
    let none = load("", &|_| None, &Flags::default())?.settings;
    told.notifiers.reload(&none.notify)?;
    ensure!(
        told.notifiers.counters().is_empty(),
        "{:?}",
        told.notifiers.counters()
    );
    let _counters = told.notifiers.shutdown(Duration::from_secs(5));
    Ok(())
}
