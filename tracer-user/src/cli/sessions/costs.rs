//! What a session's commands cost, and what its wall time waited for, as tables.

use std::fmt::Write as _;

use super::text::Columns;
use crate::{
    cli::{
        escape::printable,
        show::{length, size},
    },
    session::summary::{CommandCost, Critical, Summary},
};

/// Commands in the table, by CPU time.
const TABLE_MAX: usize = 10;
/// Commands that are in it for being largest, or run most often.
const ALSO_MAX: usize = 3;
/// Programs that the wall time is told of.
const SHARES_MAX: usize = 5;

/// The costliest commands, and what the wall time waited for.
pub(super) fn tables(summary: &Summary) -> String {
    let mut text = String::new();
    if summary.totals.processes > 1 {
        text.push_str(&commands(summary));
    }
    if let Some(critical) = &summary.critical_chain
        && (critical.links.len() > 1 || critical.by_command.len() > 1)
    {
        text.push('\n');
        text.push_str(&chain(critical));
    }
    text
}

fn commands(summary: &Summary) -> String {
    let costs = &summary.costs;
    let is_shown = |command: &&CommandCost| {
        let among = |names: &[String], most| names.iter().take(most).any(|n| *n == command.command);
        among(&costs.by_cpu, TABLE_MAX)
            || among(&costs.by_peak_rss, ALSO_MAX)
            || among(&costs.by_count, ALSO_MAX)
    };
    let shown: Vec<_> = costs.commands.iter().filter(is_shown).collect();
    let mut columns = Columns::new(&[
        "COMMAND",
        ">PROCESSES",
        ">EXECUTED",
        ">CPU",
        ">PEAK RSS",
        ">READ",
        ">WRITTEN",
    ]);
    for command in &shown {
        let figures = &command.figures;
        columns.row(vec![
            printable(&command.command),
            figures.processes.to_string(),
            command.execs.to_string(),
            length(figures.cpu_us),
            size(figures.peak_rss_kb),
            bytes(figures.io_read_bytes),
            bytes(figures.io_write_bytes),
        ]);
    }
    let left_out = (costs.commands.len() - shown.len()) as u64
        + costs.rest.as_ref().map_or(0, |rest| rest.commands);
    let mut text = match left_out {
        0 => "costliest commands\n".to_owned(),
        more => format!("costliest commands, {more} more are left out\n"),
    };
    text.push_str(&columns.text());
    if costs.cpu_unattributed_us >= 1000 {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "and {} CPU that the kernel charged after the processes' exit events, to none of them",
            length(costs.cpu_unattributed_us)
        );
    }
    text
}

fn chain(critical: &Critical) -> String {
    let mut text = String::from("what the wall time waited for\n");
    let mut columns = Columns::new(&["     AT", ">PID", ">WALL", ">THEN", "COMMAND"]);
    for (depth, link) in critical.links.iter().enumerate() {
        let at = link.start_us / 1000;
        columns.row(vec![
            format!("{:>3}.{:03} s", at / 1000, at % 1000),
            link.pid.to_string(),
            length(link.wall_us),
            length(link.tail_us),
            format!("{}{}", "  ".repeat(depth), printable(&link.command)),
        ]);
    }
    text.push_str(&columns.text());
    let shares = critical.by_command.iter().take(SHARES_MAX).map(|share| {
        let percent = share.wall_us.saturating_mul(100) / critical.wall_us.max(1);
        let name = printable(&share.command);
        format!("{name} {} ({percent} %)", length(share.wall_us))
    });
    let shares: Vec<String> = shares.collect();
    let _ = writeln!(text, "wall time by program: {}", shares.join(", "));
    text
}

fn bytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "-".to_owned(), |bytes| size(bytes / 1024))
}
