//! What people see, on stderr: notices, a line for each event, and one block at the end.
//!
//! Names and command lines are the observed program's to choose: they pass through `escape`, and
//! nothing a program calls itself can move the cursor or colour the terminal.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    os::unix::ffi::OsStrExt as _,
    path::Path,
};

use super::{
    anomalies::{anomaly_words, put_line},
    costs::costliest,
    escape::{paragraph, printable, printable_bytes},
};
use crate::{
    config::Show,
    event::{Event, EventKind},
    observe::Audience,
    session::{journal::anomaly::Anomaly, summary::Summary},
    units::BootNs,
    verdict::{WaitStatus, signals},
};

/// Leftovers that the block names; the summary has more.
const LEFTOVERS_MAX: usize = 4;
/// Missing capabilities that the block names; the summary has all.
const DEGRADED_MAX: usize = 8;
/// Of their command lines, in characters.
const COMMAND_MAX: usize = 60;

/// Standard error, as much of it as the user wants.
pub(super) struct Screen {
    show: Show,
    began: Option<BootNs>,
    /// Say where the record is when it begins, and not only at the end.
    announce: bool,
    /// Lines end in CR LF while the terminal is raw.
    raw: bool,
}

impl Screen {
    /// For a session that ends when the user has seen enough: its record is read while it grows.
    pub(super) fn announcing(show: Show) -> Self {
        Self {
            announce: show != Show::Nothing,
            ..Self::new(show)
        }
    }

    pub(super) fn new(show: Show) -> Self {
        Self {
            show,
            began: None,
            announce: false,
            raw: false,
        }
    }

    fn line(&self, text: &str) {
        let end = if self.raw { "\r\n" } else { "\n" };
        // One write a line, so that the command's own output cannot come between.
        let line = format!("{}{end}", text.replace('\n', end));
        // Nobody is left to tell when stderr is gone; the record has it all.
        let _ = io::stderr().write_all(line.as_bytes());
    }
}

impl Audience for Screen {
    fn raw_terminal(&mut self, raw: bool) {
        self.raw = raw;
    }

    fn began(&mut self, directory: &Path) {
        if self.announce || self.show == Show::Events {
            self.notice(&format!(
                "recording in {}",
                printable_bytes(directory.as_os_str().as_bytes())
            ));
        }
    }

    fn notice(&mut self, text: &str) {
        if self.show != Show::Nothing {
            self.line(&format!("tracer: {}", paragraph(text)));
        }
    }

    fn event(&mut self, event: &Event) {
        if self.show == Show::Events {
            let began = *self.began.get_or_insert(event.t);
            self.line(&event_line(event, began));
        }
    }

    fn anomaly(&mut self, t: BootNs, anomaly: &Anomaly) {
        if self.show == Show::Events {
            let began = *self.began.get_or_insert(t);
            self.line(&timed(t, began, &anomaly_words(anomaly)));
        }
    }

    fn finished(&mut self, summary: &Summary, directory: &Path) {
        if self.show != Show::Nothing {
            block(summary, directory)
                .lines()
                .for_each(|line| self.line(line));
        }
    }
}

/// Prints what is wrong with the arguments. They are quoted in it, and may come from anywhere.
pub(super) fn usage(text: &str) {
    let lines: Vec<_> = text.lines().map(printable).collect();
    // Nobody is left to tell when stderr is gone.
    let _ = io::stderr().write_all(format!("{}\n", lines.join("\n")).as_bytes());
}

/// Prints an error with its causes.
pub(super) fn failure(error: &anyhow::Error) {
    let text = paragraph(&format!("{error:#}"));
    // Nobody is left to tell when stderr is gone.
    let _ = io::stderr().write_all(format!("tracer: {text}\n").as_bytes());
}

pub(super) fn block(summary: &Summary, directory: &Path) -> String {
    let totals = &summary.totals;
    let completeness = &summary.completeness;
    let mut text = format!("tracer: {}\n", printable(&summary.verdict.sentence));
    if let Some(root) = summary.root.as_ref().filter(|root| root.pid != summary.pid) {
        let comm = root.comm.as_deref().unwrap_or("the command");
        let how = match (root.exit_code, &root.signal) {
            (Some(code), _) => format!("exited {code}"),
            (None, signal) => format!("ended by {}", signal.as_deref().unwrap_or("a signal")),
        };
        let _ = writeln!(
            text,
            "  command     {} (pid {}) {how}",
            printable(comm),
            root.pid
        );
    }
    if let Some(why) = &summary.unresolved {
        let _ = writeln!(text, "  workload    not resolved: {}", paragraph(why));
    }
    if summary.observer.backend == "none" {
        // Nothing below the root was seen, and zeros would pass for measurements.
        let wall = length(totals.wall_us);
        let _ = writeln!(
            text,
            "  cost        {wall} wall; not traced, so nothing else is known"
        );
        left_behind(&mut text, summary);
        let _ = writeln!(
            text,
            "  record      {}",
            printable_bytes(directory.as_os_str().as_bytes())
        );
        return text;
    }
    let _ = writeln!(
        text,
        "  cost        {} wall, {} user + {} system CPU, peak RSS {} (tree {})",
        length(totals.wall_us),
        length(totals.cpu_user_us),
        length(totals.cpu_system_us),
        size(summary.peak_rss_kb),
        size(totals.peak_tree_rss_kb),
    );
    let alive = match completeness.alive {
        0 => String::new(),
        alive => format!(", {alive} still alive and not in the CPU time"),
    };
    let missing = match completeness.reasons.as_slice() {
        [] => "nothing lost".to_owned(),
        reasons => format!("record incomplete: {}", printable(&reasons.join("; "))),
    };
    let _ = writeln!(
        text,
        "  processes   {} run, {} program{} executed{alive}; {missing}",
        totals.processes,
        completeness.execs,
        if completeness.execs == 1 { "" } else { "s" },
    );
    if let Some(costliest) = costliest(summary) {
        let _ = writeln!(text, "  costliest   {costliest}");
    }
    left_behind(&mut text, summary);
    degraded(&mut text, &summary.observer.degraded);
    put_line(&mut text, summary.anomaly_count, &summary.anomalies);
    let _ = writeln!(
        text,
        "  record      {}",
        printable_bytes(directory.as_os_str().as_bytes())
    );
    text
}

/// A line for each process that outlives the command, and what it keeps open.
fn left_behind(text: &mut String, summary: &Summary) {
    for left in summary.leftovers.iter().take(LEFTOVERS_MAX) {
        let held = left.holds.iter().map(|held| match held.as_str() {
            "terminal" => "the terminal",
            "stdout" => "standard output",
            "stderr" => "standard error",
            other => other,
        });
        let held: Vec<&str> = held.collect();
        let what = match (&left.refused, held.as_slice()) {
            (Some(why), _) => format!("could not be ended: {}", printable(why)),
            (None, []) => "is still running".to_owned(),
            (None, held) => format!("still holds {}", held.join(" and ")),
        };
        let mut line = printable(&left.cmdline);
        if line.chars().count() > COMMAND_MAX {
            line = line.chars().take(COMMAND_MAX).chain(['…']).collect();
        }
        let comm = printable(&left.comm);
        let _ = writeln!(
            text,
            "  left behind {comm} (pid {}, \"{line}\") {what}",
            left.pid
        );
    }
    let more = summary.leftovers.len().saturating_sub(LEFTOVERS_MAX);
    if more > 0 {
        let _ = writeln!(
            text,
            "  left behind and {more} more: see leftovers in summary.json"
        );
    }
}

/// What could not be observed, by name: without it, what is not there would pass for what did not happen.
/// Why has been told when it was found, and is in the summary.
fn degraded(text: &mut String, lost: &[String]) {
    let name = |lost: &String| printable(lost.split_once(": ").map_or(lost, |(name, _)| name));
    let mut names: Vec<String> = lost.iter().take(DEGRADED_MAX).map(name).collect();
    let more = lost.len().saturating_sub(DEGRADED_MAX);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    if !names.is_empty() {
        let names = names.join(", ");
        let _ = writeln!(
            text,
            "  degraded    {names}; observer.degraded in summary.json says why"
        );
    }
}

pub(super) fn event_line(event: &Event, began: BootNs) -> String {
    let what = match &event.kind {
        EventKind::Fork(fork) => {
            let verb = if fork.adopted { "found" } else { "fork" };
            format!(
                "{verb:<6} {} by {} ({})",
                fork.child.tgid,
                fork.creator.tgid,
                printable_bytes(fork.comm.as_bytes())
            )
        }
        EventKind::Exec(exec) => {
            let words: Vec<_> = exec.argv.iter().map(|word| printable_bytes(word)).collect();
            let more = if exec.argv_truncated { " …" } else { "" };
            format!("exec   {} {}{more}", exec.process.tgid, words.join(" "))
        }
        EventKind::Exit(exit) => {
            let status = WaitStatus(exit.status);
            let how = match (status.exit_code(), status.signal()) {
                (Some(code), _) => format!("exited {code}"),
                (None, signal) => signals::name(signal.unwrap_or(0)),
            };
            format!(
                "exit   {} ({}) {how}",
                exit.process.tgid,
                printable_bytes(exit.comm.as_bytes())
            )
        }
        EventKind::Signal(signal) => format!(
            "signal {} for {} from {} ({})",
            signals::name(signal.signal),
            signal.target.tgid,
            signal.sender.tgid,
            if signal.from_kernel {
                "kernel".to_owned()
            } else {
                printable_bytes(signal.sender_comm.as_bytes())
            },
        ),
        EventKind::Oom(oom) => format!(
            "oom    {} ({})",
            oom.victim.tgid,
            printable_bytes(oom.comm.as_bytes())
        ),
        EventKind::Account(account) => format!(
            "cost   {} {} CPU",
            account.process.tgid,
            length(account.cpu_user_us.saturating_add(account.cpu_system_us))
        ),
    };
    timed(event.t, began, &what)
}

fn timed(t: BootNs, began: BootNs, what: &str) -> String {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds for people")]
    let seconds = t.since(began) as f64 / 1e9;
    printable(&format!("tracer: {seconds:9.3}s {what}"))
}

/// Microseconds for people: `12 ms`, `3.42 s`, `1 h 02 min`.
pub(super) fn length(us: u64) -> String {
    let ms = us / 1000;
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..10_000 => format!("{ms}.{} ms", us % 1000 / 100),
        10_000..1_000_000 => format!("{ms} ms"),
        1_000_000..60_000_000 => format!("{}.{:02} s", ms / 1000, ms % 1000 / 10),
        60_000_000..3_600_000_000 => format!("{} min {:02} s", ms / 60_000, ms / 1000 % 60),
        _ => format!("{} h {:02} min", ms / 3_600_000, ms / 60_000 % 60),
    }
}

/// KiB for people.
pub(super) fn size(kib: u64) -> String {
    match kib {
        0..1024 => format!("{kib} KiB"),
        1024..1_048_576 => format!("{}.{} MiB", kib / 1024, kib % 1024 * 10 / 1024),
        _ => format!(
            "{}.{:02} GiB",
            kib / 1_048_576,
            kib % 1_048_576 * 100 / 1_048_576
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_sizes_read_well() {
        assert_eq!(length(999), "999 µs");
        assert_eq!(length(1_234), "1.2 ms");
        assert_eq!(length(45_678), "45 ms");
        assert_eq!(length(3_421_000), "3.42 s");
        assert_eq!(length(3_725_000_000), "1 h 02 min");
        assert_eq!(size(512), "512 KiB");
        assert_eq!(size(1536), "1.5 MiB");
        assert_eq!(size(3 << 20), "3.00 GiB");
    }
}
