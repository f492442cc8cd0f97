//! What a session's commands cost, in one line.

use super::{escape::printable, show::length};
use crate::session::summary::Summary;

/// Commands in the line.
const COMMANDS_MAX: usize = 3;
/// Below this a line on CPU time says nothing.
const WORTH_A_LINE_US: u64 = 100_000;

/// The commands with the most CPU time; none where there is only one, or nothing to tell.
pub(super) fn costliest(summary: &Summary) -> Option<String> {
    let costs = &summary.costs;
    let mut worth = costs
        .commands
        .iter()
        .filter(|command| command.figures.cpu_us >= 1000)
        .peekable();
    let total: u64 = costs.commands.iter().map(|one| one.figures.cpu_us).sum();
    worth.peek()?;
    if total < WORTH_A_LINE_US || costs.commands.len() < 2 {
        return None;
    }
    let told = worth.take(COMMANDS_MAX).map(|command| {
        let figures = &command.figures;
        let name = printable(&command.command);
        let cpu = length(figures.cpu_us);
        match figures.processes {
            1 => format!("{name} {cpu}"),
            count => format!("{name} ×{count} {cpu}"),
        }
    });
    let mut told: Vec<String> = told.collect();
    told[0].push_str(" CPU");
    Some(told.join("; "))
}
