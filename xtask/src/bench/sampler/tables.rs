//! The tables of `bench sampler`, in Markdown. Pure but for the date in the first line.

use std::fmt::Write as _;

use super::Options;
use crate::bench::record::Named;
use crate::bench::report;

/// Ways as the program names them, and for people.
const WAYS: [(&str, &str); 8] = [
    (
        "kernel",
        "**tracer**: rows from the kernel side, files for fewer than eight",
    ),
    ("walk", "of that, the task iterator and reading it"),
    ("files", "tracer, files through a held directory"),
    (
        "kept",
        "descriptors kept open, `pread` (reading only, nothing parsed)",
    ),
    ("procfs", "procfs crate"),
    (
        "psutil",
        "psutil `oneshot` alone: no signals, OOM, wchan, sockets, cgroup",
    ),
    (
        "psutil-full",
        "psutil `oneshot`, and Python for what it lacks: the same fields",
    ),
    ("pidstat", "`pidstat -druvw`"),
];

/// Most µs a process, for a thousand.
const MOST_US: f64 = 10.0;
/// Least times cheaper than psutil and than the procfs crate, for a thousand.
const THAN_PSUTIL: f64 = 40.0;
const THAN_PROCFS: f64 = 10.0;
/// Most ms that strangers may add to a tick.
const MOST_ADDED_MS: f64 = 10.0;

/// The tables.
pub(super) fn text(named: &Named, options: &Options) -> String {
    let median = |name: &str, size: usize| named.get(&format!("{name}.{size}"))?.median();
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "{}\n\nµs of CPU a sleeping process and tick, the kernel's share included: median (range) of {} \
         rounds in rotating order over the same processes. tracer's rows are whole rows of the record; \
         writing them into the journal is not in it.\n",
        report::setting(),
        options.rounds
    );
    let sizes = &options.sizes;
    let head: Vec<String> = sizes.iter().map(|size| format!("{size}")).collect();
    let _ = writeln!(out, "| processes | {} |", head.join(" | "));
    let _ = writeln!(out, "|---|{}", "---|".repeat(sizes.len()));
    for (name, label) in WAYS {
        let cells: Vec<String> = sizes
            .iter()
            .map(|size| cell(named, &format!("{name}.{size}")))
            .collect();
        if cells.iter().any(|cell| cell != "–") {
            let _ = writeln!(out, "| {label} | {} |", cells.join(" | "));
        }
    }
    let _ = writeln!(out, "\n| for 1,000 processes | | target |\n|---|---|---|");
    if let Some(ours) = median("kernel", 1000) {
        let _ = writeln!(
            out,
            "| a whole row | {ours:.1} µs | ≤ {MOST_US}: {} |",
            met(ours <= MOST_US)
        );
        for (other, label, least) in [
            ("psutil-full", "psutil, the same fields", THAN_PSUTIL),
            ("procfs", "the procfs crate", THAN_PROCFS),
        ] {
            if let Some(theirs) = median(other, 1000) {
                let times = theirs / ours;
                let _ = writeln!(
                    out,
                    "| times cheaper than {label} | {times:.0} | ≥ {least}: {} |",
                    met(times >= least)
                );
            }
        }
        if let Some(more) = median("kernel", 5000) {
            let _ = writeln!(
                out,
                "| a process of 5,000 over one of 1,000 | {:.2} | linear |",
                more / ours
            );
        }
    }
    strangers(&mut out, named, options);
    out
}

fn cell(named: &Named, name: &str) -> String {
    let figures = named.get(name);
    let Some((median, (least, most))) =
        figures.and_then(|figures| figures.median().zip(figures.range()))
    else {
        return "–".to_owned();
    };
    format!("{median:.1} ({least:.1}–{most:.1})")
}

fn strangers(out: &mut String, named: &Named, options: &Options) {
    let ms = |name: &str| {
        named
            .get(&format!("{name}.100"))?
            .median()
            .map(|us| us / 1e3)
    };
    let mut rows = Vec::new();
    for (way, label) in [("kernel", "rows from the kernel side"), ("files", "files")] {
        let alone = ms(&format!("{way}.alone"));
        let among = ms(&format!("{way}.among-strangers"));
        if let (Some(alone), Some(among)) = (alone, among) {
            let added = among - alone;
            rows.push(format!(
                "| {label} | {alone:.2} ms | {among:.2} ms | {added:+.2} ms, < {MOST_ADDED_MS}: {} |",
                met(added < MOST_ADDED_MS)
            ));
        }
    }
    if !rows.is_empty() {
        let _ = write!(
            out,
            "\nA tick over 100 processes, alone and with {} others on the machine that nobody asked for:\n\n\
             | | alone | among them | added |\n|---|---|---|---|\n{}\n",
            options.strangers,
            rows.join("\n")
        );
    }
}

fn met(is: bool) -> &'static str {
    if is { "met" } else { "missed" }
}
