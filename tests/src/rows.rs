//! Rows of many processes at rest, compared with `/proc` as this program reads it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::check::{until_armed, until_noted};
use crate::journal::{Record, read_so_far};
use crate::launch::Running;
use crate::room::Room;
use crate::session::Session;
use crate::truth::Fact;
use crate::wait::{PATIENCE, wait_for};

/// The fixture `crowd` under a tracer that looks every 50 ms.
pub struct Crowd {
    /// Where all of it happens.
    pub room: Room,
    /// The tracer.
    pub tracer: Running,
    folder: PathBuf,
    ready_ns: u64,
}

/// One tick of the journal.
#[derive(Debug)]
pub struct TickRows {
    /// Rows that the kernel side wrote.
    pub from_kernel: u64,
    /// All rows.
    pub rows: Vec<Value>,
    /// The sums.
    pub tick: Value,
}

impl Crowd {
    /// Starts it and waits until all are at rest.
    ///
    /// # Errors
    /// They do not come to rest.
    pub fn observed(count: usize, zombies: usize) -> Result<Self> {
        Self::observed_with(count, zombies, &[])
    }

    /// The same with more options of tracer.
    ///
    /// # Errors
    /// As [`Crowd::observed`].
    pub fn observed_with(count: usize, zombies: usize, options: &[&str]) -> Result<Self> {
        let room = Room::new()?;
        let stop = room.path("stop");
        let (count, zombies) = (count.to_string(), zombies.to_string());
        let tracer = room
            .run()?
            .args(["-q", "--require-trace", "--interval", "50ms"])
            .args(options)
            .observe("crowd", &[&count, &zombies, &stop.to_string_lossy()])?
            .spawn()?;
        let (folder, _) = until_armed(&room, &tracer)?;
        let ready_ns = until_noted(&room, "ready")?.parse()?;
        Ok(Self {
            room,
            tracer,
            folder,
            ready_ns,
        })
    }

    /// A whole tick that began when all were at rest. Its second one, so that what is learned once has
    /// been.
    ///
    /// # Errors
    /// None comes.
    pub fn tick_at_rest(&self) -> Result<TickRows> {
        // A zombie has rows when its parent has taken longer than `zombie_grace_ms` to reap it.
        let at_rest_ns = self.ready_ns + 200_000_000;
        wait_for("ticks over a crowd at rest", PATIENCE, || {
            let records = read_so_far(&self.folder)?;
            let is_tick = |record: &Record| record.kind == "tick";
            let since = |record: &Record| record.value["t_boot_ns"].as_u64() > Some(at_rest_ns);
            let at: Vec<usize> = (0..records.len())
                .filter(|&at| is_tick(&records[at]) && since(&records[at]))
                .collect();
            let [_, begin, end, ..] = at[..] else {
                return Ok(None);
            };
            let rows = records[begin + 1..end]
                .iter()
                .filter(|record| record.kind == "snapshot");
            let tick = records[begin].value.clone();
            Ok(Some(TickRows {
                from_kernel: tick["rows_from_kernel"].as_u64().unwrap_or(0),
                rows: rows.map(|record| record.value.clone()).collect(),
                tick,
            }))
        })
    }

    /// The `tick` records so far.
    ///
    /// # Errors
    /// The journal is broken.
    pub fn ticks(&self) -> Result<Vec<Value>> {
        let records = read_so_far(&self.folder)?;
        let ticks = records.into_iter().filter(|record| record.kind == "tick");
        Ok(ticks.map(|record| record.value).collect())
    }

    /// Whether each child has one row, and the row says what `/proc` says now.
    ///
    /// # Errors
    /// Names the process and the field that differ.
    pub fn expect_true(&self, tick: &TickRows) -> Result<()> {
        let rows: BTreeMap<i64, &Value> = tick
            .rows
            .iter()
            .filter_map(|row| Some((row["pid"].as_i64()?, row)))
            .collect();
        ensure!(rows.len() == tick.rows.len(), "a pid has two rows");
        let children = self.room.truth()?;
        let children = children.iter().filter_map(|(_, fact)| match fact {
            Fact::Fork { child, .. } => Some(i64::from(*child)),
            _ => None,
        });
        let mut seen = 0;
        for child in children {
            let row = rows
                .get(&child)
                .with_context(|| format!("{child} has no row"))?;
            expect_row(row, child)?;
            seen += 1;
        }
        ensure!(seen > 0, "the crowd is empty");
        Ok(())
    }

    /// Lets the crowd go.
    ///
    /// # Errors
    /// The session is not complete.
    pub fn end(self) -> Result<Session> {
        fs::write(self.room.path("stop"), "")?;
        self.tracer.finish(PATIENCE)?.expect_code(0)?;
        let session = self.room.session()?;
        session.expect_complete()?;
        Ok(session)
    }
}

fn expect_row(row: &Value, pid: i64) -> Result<()> {
    let file = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}"));
    let status = file("status")?;
    let field = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.strip_prefix(':')?.split_whitespace().next()
    };
    let number = |key: &str| field(key).and_then(|word| word.parse::<i64>().ok());
    let expect = |key: &str, truth: Value| {
        ensure!(
            row[key] == truth,
            "{key} of {pid} is {}, /proc says {truth}: {row}",
            row[key]
        );
        Ok(())
    };
    expect("ppid", number("PPid").into())?;
    expect("threads", number("Threads").into())?;
    expect("comm", field("Name").into())?;
    expect("sig_blk", field("SigBlk").into())?;
    expect("sig_cgt", field("SigCgt").into())?;
    let mask = |key| field(key).map_or(Ok(0), |digits| u64::from_str_radix(digits, 16));
    let pending = mask("SigPnd")? | mask("ShdPnd")?;
    expect("sig_pnd", format!("{pending:016x}").into())?;
    let first = |name: &str| -> Result<Option<i64>> {
        Ok(file(name)?
            .split_whitespace()
            .next()
            .and_then(|word| word.parse().ok()))
    };
    expect("oom_score_adj", first("oom_score_adj")?.into())?;
    if field("State") == Some("Z") {
        expect("state", "zombie".into())?;
        return expect("vm_rss_kb", Value::Null);
    }
    expect("state", "sleeping".into())?;
    expect("oom_score", first("oom_score")?.into())?;
    // What is hidden is shown as 0.
    let wchan = file("wchan")?;
    expect("wchan", wchan.trim_start_matches('0').into())?;
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
    expect("fd_count", descriptors.into())?;
    expect("net_established", 0.into())?;
    let switches = |key: &str| -> Result<i64> {
        let mut sum = 0;
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let status = fs::read_to_string(task?.path().join("status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            sum += line
                .context("switches")?
                .trim_start_matches(':')
                .trim()
                .parse::<i64>()?;
        }
        Ok(sum)
    };
    expect(
        "ctx_switches_voluntary",
        switches("voluntary_ctxt_switches")?.into(),
    )?;
    expect(
        "ctx_switches_involuntary",
        switches("nonvoluntary_ctxt_switches")?.into(),
    )?;
    // Some kernels show memory without what the processors have not yet added up.
    let told = row["vm_rss_kb"].as_i64().context("vm_rss_kb")?;
    let shown = number("VmRSS").context("VmRSS")?;
    ensure!(
        (told - shown).abs() <= 1024,
        "vm_rss_kb of {pid} is {told}, /proc says {shown}"
    );
    Ok(())
}
