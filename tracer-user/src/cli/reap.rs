//! `tracer reap`: ends what sessions left behind.
//!
//! Exit code 0: nobody who was to end lives; 1: somebody does, or something could not be looked at.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    time::Duration,
};

use super::{
    Failure, OWN_FAILURE, USAGE,
    escape::printable,
    options::{duration, label},
};
use crate::{
    config::reap::ReapConfig,
    observe::reaping::{self, Fate, Report},
};

/// Somebody lives on.
const SURVIVED: u8 = 1;

/// Arguments of `tracer reap`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(super) struct Args {
    /// End what this session left: its id, or the beginning of it; may be given again
    #[arg(long = "session", value_name = "SESSION")]
    sessions: Vec<String>,

    /// End what sessions with this label left; may be given again, then all must fit
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,

    /// End only those whose command line fits this regular expression; may be given again
    #[arg(long = "pattern", value_name = "REGEX")]
    patterns: Vec<String>,

    /// End what any session left
    #[arg(long)]
    all: bool,

    /// Say what would be ended and end nothing; on a terminal this is so without --yes
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,

    /// End them without being asked again
    #[arg(long, short)]
    yes: bool,

    /// Time from SIGTERM to SIGKILL
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    grace: Duration,

    #[expect(clippy::doc_markdown, reason = "the text of --help, printed as it is")]
    /// Look for sessions here [default: /var/lib/tracer for root, $XDG_STATE_HOME/tracer otherwise]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,

    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
}

pub(super) fn main(args: Args) -> Result<u8, Failure> {
    let chooses = !(args.sessions.is_empty() && args.labels.is_empty() && args.patterns.is_empty());
    if !chooses && !args.all {
        let error = anyhow::anyhow!(
            "say what to end: --session SESSION, --label KEY=VALUE, --pattern REGEX, or --all"
        );
        return Err(Failure::new(USAGE, error));
    }
    let by_hand = io::stdin().is_terminal() && !args.yes;
    let config = ReapConfig {
        state_dir: args.state_dir,
        sessions: args.sessions,
        labels: args.labels,
        patterns: args.patterns,
        dry_run: args.dry_run || by_hand,
        grace: args.grace,
    };
    let report = reaping::reap(&config).map_err(|error| Failure::new(OWN_FAILURE, error))?;
    let text = if args.json {
        let mut text = serde_json::to_string(&report).unwrap_or_default();
        text.push('\n');
        text
    } else {
        lines(&report, by_hand && !args.dry_run)
    };
    // Nobody is left to tell when stdout is gone; what was done is done.
    let _ = io::stdout().write_all(text.as_bytes());
    let bad = report.survivors() > 0 || !report.failures.is_empty();
    Ok(if bad { SURVIVED } else { 0 })
}

fn lines(report: &Report, wants_yes: bool) -> String {
    let mut text = String::new();
    for reaped in &report.reaped {
        let fate = match &reaped.fate {
            Fate::Left => "would be ended".to_owned(),
            Fate::EndedItself => "has ended by itself".to_owned(),
            Fate::Terminated => "ended after SIGTERM".to_owned(),
            Fate::Killed => "ended after SIGKILL".to_owned(),
            Fate::Survived(why) => format!("LIVES ON: {}", printable(why)),
        };
        let from = match &reaped.session {
            Some(session) => format!("left by {session}"),
            None => "forked meanwhile".to_owned(),
        };
        let _ = writeln!(
            text,
            "{} (pid {}) {fate}; {from}: {}",
            printable(&reaped.comm),
            reaped.pid,
            printable(&reaped.cmdline)
        );
    }
    for note in report.notes.iter().chain(&report.failures) {
        let _ = writeln!(text, "note: {}", printable(note));
    }
    let count = report.reaped.len();
    let _ = match (count, report.dry_run) {
        (0, _) => writeln!(text, "nothing was left behind"),
        (_, true) if wants_yes => {
            writeln!(
                text,
                "{count} would be ended; nothing was done: --yes ends them"
            )
        }
        (_, true) => writeln!(text, "{count} would be ended; nothing was done"),
        (_, false) => {
            let survivors = report.survivors();
            writeln!(text, "{} ended, {survivors} live on", count - survivors)
        }
    };
    text
}
