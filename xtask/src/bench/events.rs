//! The measurement itself: storms, then start-up, then exec to pin, then memory over a long run.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::figures::Figures;
use super::measure::{self, Cost, Running};
use super::observer::{self, Observer, Style};
use super::report::{self, Pins, Row, Tables};
use super::tally::Tally;
use super::workload::{Blown, Storm};
use super::{How, Options};
use crate::artifacts;
use crate::program::say;

/// One run may take so long; strace needs a few seconds.
const DEADLINE: Duration = Duration::from_secs(180);

/// Measures everything and returns the text to print.
pub(super) fn measure(options: &Options) -> Result<String> {
    ensure!(options.rounds > 0 && options.workers > 0, "nothing to do");
    let built = artifacts::build(&[
        "build",
        "--release",
        "--package=tracer",
        "--package=tracer-tests",
        "--bin=tracer",
        "--bin=bench_storm",
    ])?;
    let find = |name: &str| {
        let artifact = built.iter().find(|artifact| artifact.name == name);
        artifact.with_context(|| format!("cargo built no {name}"))
    };
    let room = tempfile::tempdir().context("making a folder for records")?;
    let how = match options.how {
        How::Fork => "fork",
        How::Vfork => "vfork",
    };
    let program = &find("bench_storm")?.executable;
    let storm = Storm::new(program, how, options.workers, options.each, room.path())?;
    let mut observers = observer::installed(&find("tracer")?.executable);
    let wanted = |key: &str| options.only.is_empty() || options.only.iter().any(|only| only == key);
    observers.retain(|observer| wanted(observer.key));

    let mut rows: Vec<Row> = Vec::new();
    for observer in &observers {
        say(format!("start-up of {}", observer.name));
        rows.push(start_up(observer, &storm, room.path(), options.pairs)?);
    }
    let noise = wanted("none").then(|| Row::new("none, twice"));
    let noise = storms(
        &storm,
        &observers,
        &mut rows,
        noise,
        room.path(),
        options.rounds,
    )?;
    let tracer = observers.iter().find(|observer| observer.key == "tracer");
    let pins = match tracer {
        Some(tracer) if options.pins > 0 => {
            say("exec to pin");
            Some(pins(tracer, &storm, room.path(), options.pins)?)
        }
        _ => None,
    };
    let long = match tracer {
        Some(tracer) if options.long > 0 => {
            say(format!("{} processes in one run", options.long));
            let storm = Storm::new(
                program,
                how,
                options.workers,
                options.long / options.workers,
                room.path(),
            )?;
            let mut row = Row::new("long");
            let truth = Tally::truth(storm.workers, storm.each);
            observe(tracer, &storm, &mut row, &truth, room.path())?;
            Some((storm.processes(), row))
        }
        _ => None,
    };
    Ok(report::text(&Tables {
        rows: noise.into_iter().chain(rows).collect(),
        processes: storm.processes(),
        rounds: options.rounds,
        how,
        workers: options.workers,
        versions: observers.iter().map(Observer::version).collect(),
        pins,
        long,
    }))
}

/// Rounds of bare and observed storms in turn: bare, A, bare, B, bare, … with another first each round.
fn storms(
    storm: &Storm,
    observers: &[Observer],
    rows: &mut [Row],
    mut noise: Option<Row>,
    room: &Path,
    rounds: usize,
) -> Result<Option<Row>> {
    let truth = Tally::truth(storm.workers, storm.each);
    let turns = observers.len() + usize::from(noise.is_some());
    // The first storm warms caches that the second would profit from.
    bare(storm)?;
    for round in 0..rounds {
        say(format!("round {} of {rounds}", round + 1));
        let mut before = bare(storm)?;
        for turn in 0..turns {
            let at = (turn + round) % turns;
            let wall = match (observers.get(at), rows.get_mut(at), &mut noise) {
                (Some(observer), Some(row), _) => observe(observer, storm, row, &truth, room)?,
                _ => bare(storm)?,
            };
            let after = bare(storm)?;
            let row = rows.get_mut(at).or(noise.as_mut());
            if let Some(row) = row {
                row.slowdown.push(2.0 * wall / (before + after));
            }
            before = after;
        }
    }
    Ok(noise)
}

/// A storm without an observer: its own wall time, s.
fn bare(storm: &Storm) -> Result<f64> {
    measure::run(&mut storm.command(), DEADLINE)?;
    Ok(seconds(storm.blown()?))
}

fn seconds(blown: Blown) -> f64 {
    Duration::from_nanos(blown.wall_ns).as_secs_f64()
}

/// A storm under an observer: its wall time, s; what it cost and saw goes into the row.
fn observe(
    observer: &Observer,
    storm: &Storm,
    row: &mut Row,
    truth: &Tally,
    room: &Path,
) -> Result<f64> {
    let argv = observer::words(storm.argv());
    let mut command = observer.command(&argv, room)?;
    let (cost, blown) = match observer.style {
        Style::Around => {
            let cost = measure::run(&mut command, DEADLINE)?;
            let blown = storm
                .blown()
                .with_context(|| format!("under {}", observer.name))?;
            // The account of one that waits for the storm holds the storm's too.
            let storms = if observer.waits { blown.cpu_us } else { 0 };
            let cpu_us = cost.cpu_us - storms;
            ensure!(
                cpu_us > 0,
                "{} did not wait for the storm: its CPU time is not known",
                observer.name
            );
            (Cost { cpu_us, ..cost }, blown)
        }
        Style::Beside => beside(observer, storm, &mut command)?,
    };
    let says_complete = observer.says_complete(room)?;
    let tally = observer.tally(room, storm.workers)?;
    if let Some(says) = says_complete {
        // A record that lacks something and does not say so is worse than any loss.
        ensure!(
            !says || tally.lost(truth) == 0,
            "{} says its record is complete, and it lacks {} events",
            observer.name,
            tally.lost(truth)
        );
    }
    row.record(&cost, &tally, truth);
    Ok(seconds(blown))
}

/// Starts an observer, waits until it listens, lets the storm pass, waits until it has written it all
/// down, and interrupts it.
fn beside(observer: &Observer, storm: &Storm, command: &mut Command) -> Result<(Cost, Blown)> {
    let mut running = Running::start(command)?;
    let end = Instant::now() + Duration::from_secs(10);
    while !observer.is_ready(running.pid()) {
        if Instant::now() > end {
            running.interrupt()?;
            running.wait(Duration::from_secs(10))?;
            bail!("{} does not listen after 10 s", observer.name);
        }
        std::thread::yield_now();
    }
    // Joining the group is not yet asking for events, and some read /proc in between.
    running.wait_quiet(Duration::from_millis(200), Duration::from_secs(10))?;
    measure::run(&mut storm.command(), DEADLINE)?;
    let blown = storm.blown()?;
    running.wait_quiet(Duration::from_millis(300), Duration::from_secs(60))?;
    running.interrupt()?;
    Ok((running.wait(Duration::from_secs(20))?, blown))
}

/// `true` under the observer beside `true` alone, in pairs; also what its start costs in CPU time.
fn start_up(observer: &Observer, storm: &Storm, room: &Path, pairs: usize) -> Result<Row> {
    let mut row = Row::new(observer.name);
    if observer.style == Style::Beside {
        return Ok(row);
    }
    let workload = [storm.tiny().to_owned()];
    for pair in 0..pairs {
        let mut alone = Command::new(storm.tiny());
        alone.stdin(Stdio::null());
        let mut order: [(&mut Command, bool); 2] = [
            (&mut alone, false),
            (&mut observer.command(&workload, room)?, true),
        ];
        if pair % 2 == 1 {
            order.reverse();
        }
        let mut walls = [0.0; 2];
        for (command, observed) in order {
            let cost = measure::run(command, DEADLINE)?;
            ensure!(cost.ok, "{} fails around `true`", observer.name);
            walls[usize::from(observed)] = cost.wall.as_secs_f64() * 1e3;
            if observed {
                row.start_cpu_us.push(micros(cost.cpu_us));
            }
        }
        row.start_alone_ms.push(walls[0]);
        row.start_added_ms.push(walls[1] - walls[0]);
        observer.clear(room)?;
    }
    Ok(row)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds of a run of seconds"
)]
fn micros(us: i64) -> f64 {
    us as f64
}

/// Time from exec to pin behind a wrapper, as the session itself says it.
fn pins(tracer: &Observer, storm: &Storm, room: &Path, runs: usize) -> Result<Pins> {
    let mut pins = Pins::default();
    let state = room.join("record-tracer");
    for _ in 0..runs {
        let workload: [OsString; 2] = ["env".into(), storm.tiny().to_owned()];
        let cost = measure::run(&mut tracer.command(&workload, room)?, DEADLINE)?;
        ensure!(
            cost.ok,
            "tracer fails around `env {}`",
            storm.tiny().display()
        );
        let journal = observer::journal(&state)?;
        let text = fs::read_to_string(&journal)
            .with_context(|| format!("reading {}", journal.display()))?;
        match parse_pin_ns(&text) {
            Some(ns) => pins.us.push(ns / 1e3),
            None => pins.missing += 1,
        }
        tracer.clear(room)?;
    }
    Ok(pins)
}

/// `pin_latency_ns` of the `target` record.
fn parse_pin_ns(journal: &str) -> Option<f64> {
    let records = journal
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut targets = records.filter(|record| record["kind"] == "target");
    targets.next()?["pin_latency_ns"].as_f64()
}

/// Figures of one kind, when there are any.
pub(super) fn some(figures: &Figures) -> Option<&Figures> {
    (figures.len() > 0).then_some(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pin_is_read_from_the_target_record() {
        let journal = "{\"kind\":\"fork\"}\n{\"kind\":\"target\",\"pin_latency_ns\":1500}\n";
        assert_eq!(parse_pin_ns(journal), Some(1500.0));
        assert_eq!(parse_pin_ns("{\"kind\":\"target\"}\n"), None);
        assert_eq!(parse_pin_ns(""), None);
    }
}
