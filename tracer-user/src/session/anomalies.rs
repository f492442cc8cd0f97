//! The anomalies of a session put together again: what its records of opening and closing come to, and
//! `anomalies.jsonl`.
//!
//! Nothing is found anew: the records are what was found while it was wrong, and a rebuild with other
//! thresholds must not tell another story.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
    io::{self, Read, Write},
};

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    derive::captured_at,
    journal::{
        anomaly::{Anomaly, Stage},
        escape::put_json,
        reader::JournalReader,
        record::Body,
    },
};
use crate::anomaly::{Kind, OPENINGS_MAX, Severity, about, phrase};

/// Anomalies that the summary tells of.
const WORST_MAX: usize = 5;
/// Processes that one line names.
const NAMED_MAX: usize = 3;

/// What a session's anomalies come to; a part of `summary.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Overview {
    /// How many of each kind.
    pub by_kind: BTreeMap<String, u64>,
    /// The worst ones, worst first: critical before warning, then those that lasted longest.
    pub worst: Vec<Told>,
}

/// One anomaly for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Its number in the session.
    pub no: u64,
    /// Its kind.
    pub kind: String,
    /// warning or critical.
    pub severity: String,
    /// The process it is about.
    pub pid: u32,
    /// Its name.
    pub comm: Option<String>,
    /// When it was first seen.
    pub first: String,
    /// What it came to.
    pub text: String,
    #[serde(skip)]
    lasted_ns: u64,
    /// Why it closed; null when nobody saw it close.
    pub ended: Option<String>,
}

impl Told {
    fn of(opened: &Anomaly, last: &Anomaly) -> Self {
        let lasted_ns = last.lasted_ns();
        Self {
            no: opened.no,
            kind: opened.anomaly.clone(),
            severity: opened.severity.clone(),
            pid: opened.pid,
            comm: opened.comm.clone(),
            first: opened.first.clone(),
            text: told(opened, last),
            lasted_ns,
            ended: last.ended.clone(),
        }
    }

    /// Whom it is about and what it came to.
    #[must_use]
    pub fn sentence(&self) -> String {
        let about = about(&self.kind, self.pid, self.comm.as_deref());
        format!("{about} {}", self.text)
    }

    fn rank(&self) -> Rank {
        rank(&self.severity, self.lasted_ns, self.no)
    }
}

/// Critical ones first, then those that lasted longest.
type Rank = (bool, Reverse<u64>, u64);

fn rank(severity: &str, lasted_ns: u64, no: u64) -> Rank {
    let critical = severity == Severity::Critical.name();
    (!critical, Reverse(lasted_ns), no)
}

/// Follows the anomalies of a session, record by record. What it keeps is what is open, and as many
/// others as were asked for.
#[derive(Debug, Clone)]
pub struct Following {
    most: usize,
    open: BTreeMap<u64, Anomaly>,
    told: Vec<Told>,
    by_kind: BTreeMap<String, u64>,
    count: u64,
    last_no: u64,
}

impl Default for Following {
    fn default() -> Self {
        Self::keeping(WORST_MAX)
    }
}

impl Following {
    /// Keeps the worst so many.
    #[must_use]
    pub fn keeping(most: usize) -> Self {
        Self {
            most,
            open: BTreeMap::new(),
            told: Vec::new(),
            by_kind: BTreeMap::new(),
            count: 0,
            last_no: 0,
        }
    }

    /// Takes the next one.
    pub fn apply(&mut self, anomaly: &Anomaly) {
        match anomaly.phase {
            Stage::Opened => {
                self.count += 1;
                self.last_no = self.last_no.max(anomaly.no);
                // Kinds come from a file; no honest one has more than a handful.
                if self.by_kind.len() < 64 || self.by_kind.contains_key(&anomaly.anomaly) {
                    *self.by_kind.entry(anomaly.anomaly.clone()).or_default() += 1;
                }
                if self.open.len() as u64 <= OPENINGS_MAX {
                    let snapshot = None;
                    let brief = Anomaly {
                        snapshot,
                        ..anomaly.clone()
                    };
                    self.open.insert(anomaly.no, brief);
                }
            }
            Stage::Closed => {
                if let Some(opened) = self.open.remove(&anomaly.no) {
                    self.tell(&opened, anomaly);
                }
            }
        }
    }

    fn tell(&mut self, opened: &Anomaly, last: &Anomaly) {
        let rank = rank(&opened.severity, last.lasted_ns(), opened.no);
        let place = self.told.partition_point(|other| other.rank() < rank);
        if place < self.most {
            self.told.insert(place, Told::of(opened, last));
            self.told.truncate(self.most);
        }
    }

    /// How many have opened.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The highest number so far.
    #[must_use]
    pub fn last_no(&self) -> u64 {
        self.last_no
    }

    /// Those that have not closed.
    pub fn open(&self) -> impl Iterator<Item = &Anomaly> {
        self.open.values()
    }

    /// What they come to.
    #[must_use]
    pub fn overview(&self) -> Overview {
        let mut all = self.clone();
        for opened in self.open.values() {
            all.tell(opened, opened);
        }
        Overview {
            by_kind: all.by_kind,
            worst: all.told,
        }
    }
}

/// A line of `anomalies.jsonl`.
#[derive(Serialize)]
struct Line<'a> {
    ts: &'a str,
    seq: u64,
    t_boot_ns: u64,
    event: &'static str,
    kind: &'a str,
    severity: &'a str,
    pid: u32,
    starttime_ticks: Option<u64>,
    comm: Option<&'a str>,
    detail: &'a Map<String, Value>,
    snapshot: Option<&'a Map<String, Value>>,
    no: u64,
    first: &'a str,
    last: &'a str,
    count: u64,
    worst: f64,
    ended: Option<&'a str>,
}

/// How anomalies closed, from a first pass over all journals.
#[derive(Debug, Default)]
pub struct Closings {
    by_no: HashMap<u64, Closing>,
    /// The records that say so: a second pass need not decode them again.
    seqs: HashSet<u64>,
}

#[derive(Debug)]
struct Closing {
    last: String,
    count: u64,
    worst: f64,
    ended: Option<String>,
}

impl Closings {
    /// Takes those of one journal.
    ///
    /// # Errors
    /// What `reader` reports.
    pub fn read(&mut self, reader: &mut JournalReader<impl Read>) -> io::Result<()> {
        while !reader.has_ended()
            && let Some(line) = reader.next_line()?
        {
            if line.kind != "anomaly" {
                continue;
            }
            let seq = line.seq;
            if let Some(Body::Anomaly(closed)) = line.body()
                && closed.phase == Stage::Closed
            {
                let Anomaly {
                    no,
                    last,
                    count,
                    worst,
                    ended,
                    ..
                } = *closed;
                let closing = Closing {
                    last,
                    count,
                    worst,
                    ended,
                };
                // The first one decides.
                self.by_no.entry(no).or_insert(closing);
                self.seqs.insert(seq);
            }
        }
        Ok(())
    }

    /// Writes the anomalies that one journal opens, each as one line, in their order.
    ///
    /// # Errors
    /// What `reader` or `out` reports.
    pub fn copy(
        &self,
        reader: &mut JournalReader<impl Read>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        // The row that an anomaly was seen in stands just before it.
        let mut row: Option<(u64, Vec<u8>)> = None;
        let mut text = Vec::new();
        while !reader.has_ended()
            && let Some(line) = reader.next_line()?
        {
            let (seq, t_boot_ns) = (line.seq, line.t.0);
            if line.kind == "snapshot" {
                let captured_at = captured_at(line.members()).unwrap_or_default();
                row = Some((seq, captured_at.to_vec()));
                continue;
            }
            if line.kind != "anomaly" || self.seqs.contains(&seq) {
                continue;
            }
            let Some(Body::Anomaly(mut opened)) = line.body() else {
                continue;
            };
            if opened.phase != Stage::Opened {
                continue;
            }
            if opened.anomaly == Kind::IdentityDrift.name() {
                let of_row = row.as_ref().filter(|(_, at)| is_quoted(at, &opened.ts));
                let seq = of_row.map(|&(seq, _)| seq);
                opened.detail.insert("seq".to_owned(), seq.into());
            }
            let closing = self.by_no.get(&opened.no);
            let written = Line {
                ts: &opened.ts,
                seq,
                t_boot_ns,
                event: "anomaly",
                kind: &opened.anomaly,
                severity: &opened.severity,
                pid: opened.pid,
                starttime_ticks: opened.starttime_ticks,
                comm: opened.comm.as_deref(),
                detail: &opened.detail,
                snapshot: opened.snapshot.as_ref(),
                no: opened.no,
                first: &opened.first,
                last: closing.map_or(&opened.last, |closing| &closing.last),
                count: closing.map_or(opened.count, |closing| closing.count),
                worst: closing.map_or(opened.worst, |closing| closing.worst),
                ended: closing.and_then(|closing| closing.ended.as_deref()),
            };
            text.clear();
            if put_json(&mut text, &written).is_some() {
                text.push(b'\n');
                out.write_all(&text)?;
            }
        }
        Ok(())
    }
}

/// Whether `quoted` is `text` in quotes.
fn is_quoted(quoted: &[u8], text: &str) -> bool {
    let inner = quoted
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""));
    inner == Some(text.as_bytes())
}

/// What an anomaly came to, and who or what it was about beyond its process.
fn told(opened: &Anomaly, last: &Anomaly) -> String {
    let phrase = phrase(&opened.anomaly, last.worst, last.count, last.lasted_ns());
    match particulars(&opened.detail) {
        Some(particulars) => format!("{phrase}: {particulars}"),
        None => phrase,
    }
}

/// What of its detail people look for.
#[must_use]
pub fn particulars(detail: &Map<String, Value>) -> Option<String> {
    let text = |key: &str| detail.get(key).and_then(Value::as_str);
    if let Some(command) = text("command") {
        return Some(format!("{command:?}"));
    }
    if let (Some(expected), Some(actual)) = (text("expected_comm"), text("actual_comm")) {
        return Some(format!("{actual:?} instead of {expected:?}"));
    }
    if let Some(wchan) = text("wchan") {
        return Some(format!("in {wchan}"));
    }
    let processes = detail.get("processes")?.as_array()?;
    let named: Vec<String> = processes
        .iter()
        .take(NAMED_MAX)
        .map(|process| {
            let comm = process["comm"].as_str().unwrap_or("?");
            format!("{comm} (pid {})", process["pid"])
        })
        .collect();
    let more = if processes.len() > NAMED_MAX {
        ", …"
    } else {
        ""
    };
    Some(format!("{}{more}", named.join(", ")))
}
