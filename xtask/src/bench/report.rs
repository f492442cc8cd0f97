//! The tables, in Markdown, and their place in docs/performance.md. Pure but for [`put`].

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::events::some;
use super::figures::Figures;
use super::measure::Cost;
use super::tally::Tally;
use crate::program;

/// What a bench's tables stand between.
fn marks(bench: &str) -> (String, String) {
    (
        format!("<!-- bench {bench}: begin; written by `cargo xtask bench {bench} --write` -->"),
        format!("<!-- bench {bench}: end -->"),
    )
}

/// One observer's figures.
#[derive(Debug, Default)]
pub(super) struct Row {
    name: String,
    /// Wall time over the mean of the bare runs before and after.
    pub(super) slowdown: Figures,
    cpu_us: Figures,
    rss_kb: Figures,
    forks: Figures,
    execs: Figures,
    exits: Figures,
    lost: Figures,
    wrong_codes: Figures,
    truth: Option<[usize; 3]>,
    /// Added to `true`, ms.
    pub(super) start_added_ms: Figures,
    /// `true` alone, in the same pairs, ms.
    pub(super) start_alone_ms: Figures,
    /// CPU time around `true`, µs.
    pub(super) start_cpu_us: Figures,
}

/// Times from exec to pin.
#[derive(Debug, Default)]
pub(super) struct Pins {
    /// µs.
    pub(super) us: Figures,
    /// Sessions whose journal does not say it.
    pub(super) missing: usize,
}

/// Everything that was measured.
pub(super) struct Tables {
    pub(super) rows: Vec<Row>,
    pub(super) processes: usize,
    pub(super) rounds: usize,
    pub(super) how: &'static str,
    pub(super) workers: usize,
    pub(super) versions: Vec<String>,
    pub(super) pins: Option<Pins>,
    pub(super) long: Option<(usize, Row)>,
}

#[expect(clippy::cast_precision_loss, reason = "counts below 2^52")]
fn float(count: usize) -> f64 {
    count as f64
}

impl Row {
    /// A row without figures.
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// Adds one observed storm.
    pub(super) fn record(&mut self, cost: &Cost, tally: &Tally, truth: &Tally) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "microseconds and KiB below 2^52"
        )]
        let (cpu_us, rss_kb) = (cost.cpu_us as f64, cost.rss_kb as f64);
        self.cpu_us.push(cpu_us);
        self.rss_kb.push(rss_kb);
        self.forks.push(float(tally.forks));
        self.execs.push(float(tally.execs));
        self.exits.push(float(tally.exits));
        self.lost.push(float(tally.lost(truth)));
        if let Some(right) = tally.right_codes(truth) {
            self.wrong_codes
                .push(float(truth.exits.saturating_sub(right)));
        }
        self.truth = Some([truth.forks, truth.execs, truth.exits]);
    }

    /// CPU time per 1,000 events in ms, three events a process: all of it, and without what the start
    /// costs.
    fn cpu_per_1000(&self, processes: usize) -> Option<(f64, f64)> {
        let all = self.cpu_us.median()?;
        let beyond = (all - self.start_cpu_us.median().unwrap_or(0.0)).max(0.0);
        let events = float(3 * processes);
        Some((all / events, beyond / events))
    }

    fn line(&self, processes: usize) -> String {
        let none = || "–".to_owned();
        let slowdown = self
            .slowdown
            .median()
            .map_or_else(none, |x| format!("{x:.2}"));
        let range = self.slowdown.range();
        let range = range.map_or_else(none, |(a, b)| format!("{a:.2}–{b:.2}"));
        let cpu = self
            .cpu_per_1000(processes)
            .map_or_else(none, |(all, beyond)| format!("{all:.1} / {beyond:.1}"));
        let rss = self
            .rss_kb
            .range()
            .map_or_else(none, |(_, x)| format!("{:.1}", x / 1024.0));
        let [forks, execs, exits] = self.truth.unwrap_or_default();
        let forks = seen(&self.forks, forks);
        let execs = seen(&self.execs, execs);
        let exits = seen(&self.exits, exits);
        let lost = self
            .lost
            .range()
            .map_or_else(none, |(_, most)| format!("{most:.0}"));
        let codes = match some(&self.wrong_codes).and_then(Figures::range) {
            None => none(),
            Some((_, 0.0)) => "all".to_owned(),
            Some((_, wrong)) => format!("all but {wrong:.0}"),
        };
        let name = &self.name;
        format!(
            "| {name} | {slowdown} | {range} | {cpu} | {rss} | {forks} | {execs} | {exits} | {lost} | {codes} |"
        )
    }
}

/// "all", or how many were missing at worst.
fn seen(figures: &Figures, truth: usize) -> String {
    match figures.range() {
        None => "–".to_owned(),
        Some((least, _)) if least >= float(truth) => "all".to_owned(),
        Some((least, _)) => format!("misses {:.0}", float(truth) - least),
    }
}

/// The tables.
pub(super) fn text(tables: &Tables) -> String {
    let mut out = String::new();
    let Tables {
        processes,
        rounds,
        how,
        workers,
        ..
    } = tables;
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}\n", setting());
    let _ = writeln!(out, "Versions: {}.\n", tables.versions.join("; "));
    let _ = writeln!(
        out,
        "### Storm: {processes} times {how}, exec of a tiny static program, exit(i mod 256), {workers} workers\n\n\
         Wall time of the storm over the mean of the bare storms just before and after; median and range of {rounds} \
         rounds in rotating order. CPU is the observer's own per 1,000 events (three a process), with its start and beyond it; \
         peak memory is its own; the median and the worst of all rounds. Every observer writes its full record.\n"
    );
    out += "| observer | slowdown | range | CPU ms / 1,000 events | RSS MB | forks | execs | exits | lost, worst | right exit codes |\n";
    out += "|---|---|---|---|---|---|---|---|---|---|\n";
    for row in &tables.rows {
        let _ = writeln!(out, "{}", row.line(*processes));
    }
    if let Some((processes, row)) = &tables.long {
        let rss = row.rss_kb.median().unwrap_or(0.0) / 1024.0;
        let lost = row.lost.median().unwrap_or(0.0);
        let _ = writeln!(
            out,
            "\ntracer after {processes} processes in one session: peak RSS {rss:.1} MB, {lost:.0} events lost."
        );
    }
    out += "\n### Start-up: what an observer adds to a program that ends at once\n\n";
    out += "| observer | added ms, median | range | the program alone, ms | CPU ms |\n|---|---|---|---|---|\n";
    for row in tables
        .rows
        .iter()
        .filter(|row| row.start_added_ms.len() > 0)
    {
        let figure = |figures: &Figures| figures.median().unwrap_or(0.0);
        let (least, most) = row.start_added_ms.range().unwrap_or_default();
        let _ = writeln!(
            out,
            "| {} | {:.1} | {least:.1}–{most:.1} | {:.1} | {:.1} |",
            row.name,
            figure(&row.start_added_ms),
            figure(&row.start_alone_ms),
            figure(&row.start_cpu_us) / 1e3,
        );
    }
    if let Some(pins) = &tables.pins {
        out += "\n### From exec to pin, behind `env`\n\n";
        let us = |p: f64| {
            pins.us
                .percentile(p)
                .map_or("–".to_owned(), |us| format!("{us:.0}"))
        };
        let _ = writeln!(
            out,
            "p50 {} µs, p99 {} µs, worst {} µs of {} sessions (`pin_latency_ns` of their `target` record); {} sessions do not say.",
            us(0.5),
            us(0.99),
            us(1.0),
            pins.us.len(),
            pins.missing
        );
    }
    out
}

/// Date, kernel and machine, in one line.
pub(super) fn setting() -> String {
    let read = |program: &str, args: &[&str]| {
        let said = program::read(Command::new(program).args(args)).unwrap_or_default();
        said.trim().to_owned()
    };
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "Measured {} on Linux {}, {cpus} CPUs, load {} at the end.",
        read("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        read("uname", &["-r"]),
        fs::read_to_string("/proc/loadavg")
            .unwrap_or_default()
            .split(' ')
            .next()
            .unwrap_or("?"),
    )
}

/// Puts a bench's tables between its marks; a file without them gets them at its end.
pub(super) fn put(file: &Path, bench: &str, tables: &str) -> Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let old = fs::read_to_string(file).unwrap_or_else(|_| "# Performance\n".to_owned());
    fs::write(file, splice(&old, bench, tables))?;
    Ok(())
}

fn splice(old: &str, bench: &str, tables: &str) -> String {
    let (begin_mark, end_mark) = marks(bench);
    let block = format!("{begin_mark}\n\n{}\n\n{end_mark}", tables.trim());
    match (old.find(&begin_mark), old.find(&end_mark)) {
        (Some(begin), Some(end)) if begin < end => {
            format!("{}{block}{}", &old[..begin], &old[end + end_mark.len()..])
        }
        _ => format!("{}\n\n{block}\n", old.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn new_tables_replace_the_old_ones_and_nothing_else() {
        let first = splice("# Performance\n\nWhy.\n", "events", "| a |");
        let first = splice(&first, "record", "| other |");
        let second = splice(&format!("{first}\nAfter.\n"), "events", "| b |");
        assert!(
            second.starts_with("# Performance\n\nWhy.\n\n<!--"),
            "{second}"
        );
        assert!(second.ends_with("-->\n\nAfter.\n"), "{second}");
        assert!(second.contains("| b |") && !second.contains("| a |"));
        assert!(second.contains("| other |"), "{second}");
    }

    #[test]
    fn a_row_tells_loss_wrong_codes_and_cost_beyond_the_start() {
        let truth = Tally::truth(1, 1000);
        let mut seen = truth.clone();
        seen.forks -= 2;
        seen.codes = Some([vec![1000], vec![0; 255]].concat());
        let cost = Cost {
            cpu_us: 40_000,
            rss_kb: 2048,
            wall: Duration::ZERO,
            ok: true,
        };
        let mut row = Row::new("x");
        row.start_cpu_us.push(10_000.0);
        row.slowdown.push(1.5);
        row.record(&cost, &seen, &truth);
        assert_eq!(
            row.line(1000),
            "| x | 1.50 | 1.50–1.50 | 13.3 / 10.0 | 2.0 | misses 2 | all | all | 2 | all but 996 |"
        );
        assert_eq!(
            Row::new("none").line(1000),
            "| none | – | – | – | – | – | – | – | – | – |"
        );
    }
}
