//! `tracer recover`: ends the records of sessions whose tracer was killed, and says what it did to each.
//!
//! Exit code 0: nothing went wrong, whatever there was to do; 1: something did.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    path::PathBuf,
};

use serde_json::{Map, Value, json};

use super::{Failure, escape::printable, options::KEEP, show::Screen};
use crate::{
    config::{RecoverConfig, ResumeConfig, Show},
    observe::{self, Audience as _},
    session::{
        journal::escape::put_json,
        recover::{Found, Outcome, Report},
    },
};

/// Something could not be done.
const FAILED: u8 = 1;

/// Arguments of `tracer recover`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[expect(clippy::doc_markdown, reason = "the text of --help, printed as it is")]
    /// Recover the sessions here [default: /var/lib/tracer for root, $XDG_STATE_HOME/tracer otherwise]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,

    /// Look here for what killed tracers have left in the kernel [default: /sys/fs/bpf/tracer]
    #[arg(long, value_name = "DIR")]
    bpffs: Option<PathBuf>,

    /// Say what would be done and change nothing
    #[arg(long)]
    dry_run: bool,

    #[expect(clippy::doc_markdown, reason = "the text of --help, printed as it is")]
    /// Take over what another recorder has left in DIR: pairs of files *_trace_PID.jsonl and
    /// *_enrollment_PID.json; may be given again
    #[arg(long = "foreign-dir", value_name = "DIR")]
    foreign_dirs: Vec<PathBuf>,

    /// Go on recording a session whose tracer was killed and whose target lives, until that ends
    #[arg(long, conflicts_with = "dry_run")]
    resume: bool,

    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
}

pub(super) fn main(args: Args) -> Result<u8, Failure> {
    let as_json = args.json;
    let resume = args.resume.then(|| ResumeConfig {
        state_dir: args.state_dir.clone(),
        bpffs: args.bpffs.clone(),
        ring_bytes: tracer_common::limits::RING_BYTES,
        show: Show::Block,
        keep: KEEP,
    });
    let config = RecoverConfig {
        state_dir: args.state_dir,
        bpffs: args.bpffs,
        dry_run: args.dry_run,
        foreign_dirs: args.foreign_dirs,
    };
    let report = observe::recover::recover(&config).map_err(|error| Failure::new(FAILED, error))?;
    let text = if as_json {
        escaped(&object(&report))
    } else {
        lines(&report)
    };
    // Nobody is left to tell when stdout is gone; what was done is done.
    let _ = io::stdout().write_all(text.as_bytes());
    if let Some(resume) = resume {
        return go_on(&resume, &report);
    }
    Ok(if report.count(Outcome::Failed) > 0 {
        FAILED
    } else {
        0
    })
}

/// Follows the oldest session that nobody watches.
fn go_on(config: &ResumeConfig, report: &Report) -> Result<u8, Failure> {
    let alive = report.found.iter();
    let alive = alive.filter(|found| found.outcome == Outcome::Alive);
    let mut alive = alive.filter_map(|found| found.session);
    let Some(id) = alive.next() else {
        return Ok(0);
    };
    let mut screen = Screen::announcing(config.show);
    let others = alive.count();
    if others > 0 {
        screen.notice(&format!(
            "{others} more with nobody to watch: run tracer recover --resume once for each"
        ));
    }
    let ending = observe::resume(config, &id, &mut screen);
    ending
        .map(|ending| ending.exit_code)
        .map_err(|error| Failure::new(FAILED, error))
}

/// One line of JSON, in which nothing a file calls itself reaches a terminal raw.
fn escaped(object: &Value) -> String {
    let mut line = Vec::new();
    let _an_object = put_json(&mut line, object);
    line.push(b'\n');
    String::from_utf8_lossy(&line).into_owned()
}

fn object(report: &Report) -> Value {
    let counts = report.counts.iter();
    let counts = counts.map(|(outcome, count)| (outcome.as_str().to_owned(), json!(count)));
    json!({
        "dry_run": report.dry_run,
        "sessions": report.found.iter().map(entry).collect::<Vec<_>>(),
        "counts": counts.collect::<Map<_, _>>(),
    })
}

fn entry(found: &Found) -> Value {
    json!({
        "name": found.name,
        "session_id": found.session.map(|id| id.to_string()),
        "outcome": found.outcome.as_str(),
        "gate": found.gate.map(|gate| gate as u8),
        "reason": found.reason,
    })
}

fn lines(report: &Report) -> String {
    let mut text = String::new();
    for found in &report.found {
        let name = printable(&found.name);
        let outcome = found.outcome.as_str();
        let _ = write!(text, "{name}  {outcome}");
        if let Some(id) = found.session.filter(|id| id.as_str() != found.name) {
            let _ = write!(text, " as {id}");
        }
        // One line a session, whatever a name or an error holds.
        let reason = printable(&found.reason);
        let _ = writeln!(text, ": {reason}");
    }
    let counts: Vec<String> = report
        .counts
        .iter()
        .map(|(outcome, count)| format!("{count} {}", outcome.as_str()))
        .collect();
    let what = if counts.is_empty() {
        "there are no sessions".to_owned()
    } else {
        counts.join(", ")
    };
    let _ = if report.dry_run {
        writeln!(text, "{what}; nothing was changed (--dry-run)")
    } else {
        writeln!(text, "{what}")
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::new(true);
        report.add(Found {
            name: "x\ny_trace_7.jsonl\u{1b}[2J".to_owned(),
            session: None,
            outcome: Outcome::Alien,
            gate: Some(crate::session::recover::gates::Gate::Enrollment),
            reason: "one\ntracer: two".to_owned(),
        });
        report
    }

    #[test]
    fn a_name_cannot_make_a_line_of_its_own() {
        let text = lines(&report());
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn the_object_says_outcome_gate_and_counts() {
        let object = object(&report());
        assert_eq!(object["sessions"][0]["outcome"], "alien");
        assert_eq!(object["sessions"][0]["gate"], 1);
        assert_eq!(object["counts"]["alien"], 1);
        assert_eq!(object["dry_run"], true);
    }
}
