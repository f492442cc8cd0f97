//! The tables of `bench record`, in Markdown. Pure but for the date in the first line.

use std::fmt::Write as _;

use super::{Named, Options};
use crate::bench::figures::Figures;
use crate::bench::report;

/// How a figure is printed.
struct Shown {
    name: &'static str,
    label: &'static str,
    unit: &'static str,
    decimals: usize,
    /// What it should be.
    target: Option<Target>,
}

enum Target {
    AtMost(f64),
    AtLeast(f64),
}

const fn shown(
    name: &'static str,
    label: &'static str,
    unit: &'static str,
    decimals: usize,
) -> Shown {
    Shown {
        name,
        label,
        unit,
        decimals,
        target: None,
    }
}

impl Shown {
    const fn at_most(mut self, most: f64) -> Self {
        self.target = Some(Target::AtMost(most));
        self
    }

    const fn at_least(mut self, least: f64) -> Self {
        self.target = Some(Target::AtLeast(least));
        self
    }

    /// One row of a table; none when it was not measured.
    fn row(&self, named: &Named) -> Option<String> {
        let figures = named.get(self.name)?;
        let (median, (least, most)) = (figures.median()?, figures.range()?);
        let decimals = self.decimals;
        let target = match self.target {
            None => "–".to_owned(),
            Some(Target::AtMost(limit)) => {
                format!("≤ {limit}: {}", met(median <= limit))
            }
            Some(Target::AtLeast(limit)) => {
                format!("≥ {limit}: {}", met(median >= limit))
            }
        };
        Some(format!(
            "| {} | {median:.decimals$} {} | {least:.decimals$}–{most:.decimals$} | {target} |",
            self.label, self.unit
        ))
    }
}

fn met(is: bool) -> &'static str {
    if is { "met" } else { "missed" }
}

/// Producer side, median and p99 of thousands of events a round, ns.
const APPEND: &[(&str, &str, bool)] = &[
    ("append.burst", "accept, 10,000 without a pause", true),
    ("append.paced", "accept, 20,000 a second", true),
    ("append.batch", "accept, per event of a batch of 64", true),
    (
        "append.woken",
        "accept that has to wake the recorder's thread",
        false,
    ),
    (
        "append.write",
        "instead: the caller writes each line, `write(2)`",
        false,
    ),
    ("append.synced", "instead: and `fdatasync(2)`", false),
    (
        "append.clock",
        "looking at the clock, contained in each of these",
        false,
    ),
];

const FLOW: &[Shown] = &[
    shown("flow.events", "events", "/s", 0),
    shown("flow.mb", "journal", "MB/s", 0),
    shown("flow.bytes", "a record in the journal", "bytes", 0),
    shown("flow.cpu", "CPU an event, both threads", "ns", 0),
    shown("flow.making", "of that, making it up", "ns", 0),
    shown("flow.first", "the same, first 100,000", "ns", 0),
    shown("flow.last", "the same, last 100,000", "ns", 0),
    shown("flow.ratio", "last over first, CPU", "×", 2).at_most(1.1),
    shown("flow.wall-ratio", "last over first, wall", "×", 2),
];

const READ: &[Shown] = &[
    shown("read.checksum", "checksums alone, in memory", "MB/s CPU", 0),
    shown("read.lines", "whole lines, checked", "MB/s CPU", 0),
    shown("read.records", "records, decoded", "MB/s CPU", 0),
    shown("read.fold", "records, folded into a summary", "MB/s CPU", 0),
    shown("recover.mb-cpu", "recover, per core", "MB/s CPU", 0).at_least(200.0),
    shown("recover.mb-wall", "recover, wall", "MB/s", 0),
    shown("verify.mb-cpu", "verify, per core", "MB/s CPU", 0),
    shown("verify.mb-wall", "verify, wall", "MB/s", 0),
    shown(
        "recover.sessions-cpu",
        "recover, sessions of 50 records",
        "/s CPU",
        0,
    ),
    shown(
        "recover.sessions-wall",
        "the same, wall, all durable",
        "/s",
        0,
    ),
    shown(
        "verify.sessions-cpu",
        "verify, the same sessions",
        "/s CPU",
        0,
    ),
    shown("verify.sessions-wall", "the same, wall", "/s", 0),
];

const END: &[Shown] = &[
    shown("end.short.mb", "a short journal", "MB", 1),
    shown(
        "end.short.bytes",
        "written until it counts as ended",
        "bytes",
        0,
    )
    .at_most(1024.0),
    shown("end.short.ended", "until that is durable", "ms", 1),
    shown(
        "end.short.derived",
        "until the derived files are too",
        "ms",
        1,
    ),
    shown("end.long.mb", "a long journal", "MB", 1),
    shown(
        "end.long.bytes",
        "written until it counts as ended",
        "bytes",
        0,
    )
    .at_most(1024.0),
    shown("end.long.ended", "until that is durable", "ms", 1),
    shown(
        "end.long.derived",
        "until the derived files are too",
        "ms",
        1,
    ),
];

const LIST: &[Shown] = &[
    shown(
        "list.program",
        "`tracer sessions list -n 0`, from start to end",
        "ms",
        1,
    )
    .at_most(50.0),
    shown(
        "list.page",
        "`tracer sessions list`, one page of 20",
        "ms",
        1,
    ),
    shown(
        "list.call",
        "the listing itself, without the program",
        "ms",
        1,
    ),
    shown("list.call-cpu", "the same, CPU", "ms", 1),
    shown(
        "list.read",
        "reading all summaries and nothing else",
        "ms",
        1,
    ),
];

/// The tables.
pub(super) fn text(named: &Named, options: &Options) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "{}\n\nMedian and range of {} rounds in rotating order, in one process; where the machine is shared, \
         CPU time says more than wall time. Records are fork, exec and exit of short processes and a snapshot \
         row in 16.\n",
        report::setting(),
        options.rounds
    );
    append(&mut out, named);
    table(
        &mut out,
        named,
        &format!("Throughput: one session of {} events", options.events),
        FLOW,
    );
    table(
        &mut out,
        named,
        &format!(
            "Reading back: a session of {} MB, and {} of 50 records",
            options.journal_mb, options.short
        ),
        READ,
    );
    table(&mut out, named, "Ending", END);
    table(
        &mut out,
        named,
        &format!("Listing {} sessions", options.listed),
        LIST,
    );
    out
}

fn table(out: &mut String, named: &Named, title: &str, rows: &[Shown]) {
    let rows: Vec<String> = rows.iter().filter_map(|shown| shown.row(named)).collect();
    if rows.is_empty() {
        return;
    }
    let _ = write!(
        out,
        "\n### {title}\n\n| | median | range | target |\n|---|---|---|---|\n{}\n",
        rows.join("\n")
    );
}

/// The most that an accepted event may cost its producer, ns.
const ACCEPT_MOST: f64 = 3_000.0;

fn append(out: &mut String, named: &Named) {
    let us = |ns: f64| format!("{:.2}", ns / 1e3);
    let figure = |name: &str, part: &str| named.get(&format!("{name}.{part}"));
    let plain = figure("append.write", "p50").and_then(Figures::median);
    let mut rows = Vec::new();
    for (name, label, targeted) in APPEND {
        let Some((median, (least, most))) =
            figure(name, "p50").and_then(|figures| figures.median().zip(figures.range()))
        else {
            continue;
        };
        let p99 = figure(name, "p99").and_then(Figures::median);
        let target = if *targeted {
            format!("≤ 3 µs: {}", met(median <= ACCEPT_MOST))
        } else {
            "–".to_owned()
        };
        rows.push(format!(
            "| {label} | {} | {}–{} | {} | {} | {target} |",
            us(median),
            us(least),
            us(most),
            p99.map_or("–".to_owned(), us),
            plain.map_or("–".to_owned(), |plain| format!("{:.2}", median / plain)),
        ));
    }
    if !rows.is_empty() {
        let _ = write!(
            out,
            "### What an event costs its producer, µs\n\n\
             | | median | range | p99 | × `write(2)` | target, median |\n|---|---|---|---|---|---|\n{}\n",
            rows.join("\n")
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn a_row_says_whether_its_target_is_met() {
        let named = parse("figure x 180\nfigure x 190\nfigure x 250\n").unwrap();
        let at_least = shown("x", "reading", "MB/s", 0).at_least(200.0);
        let row = "| reading | 190 MB/s | 180–250 | ≥ 200: missed |";
        assert_eq!(at_least.row(&named).as_deref(), Some(row));
        let at_most = shown("x", "reading", "MB/s", 1).at_most(190.0);
        let row = "| reading | 190.0 MB/s | 180.0–250.0 | ≤ 190: met |";
        assert_eq!(at_most.row(&named).as_deref(), Some(row));
        assert_eq!(shown("y", "no", "", 0).row(&named), None);
    }

    #[test]
    fn the_producers_cost_stands_beside_a_plain_write() {
        let named = parse("figure append.write.p50 2000\nfigure append.burst.p50 500\nfigure append.burst.p99 4000\n").unwrap();
        let mut out = String::new();
        append(&mut out, &named);
        let row =
            "| accept, 10,000 without a pause | 0.50 | 0.50–0.50 | 4.00 | 0.25 | ≤ 3 µs: met |";
        assert!(out.contains(row), "{out}");
    }
}
