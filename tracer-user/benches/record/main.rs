//! What the record costs: `cargo xtask bench record` builds this for release and makes a table of it.
//!
//! Every line printed is `figure NAME VALUE`, one a round; whoever reads them takes medians. In each round
//! every part has one turn, with another one first. CPU time is told beside wall time, because on a
//! machine that others use only the former says something about the program.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement that cannot be made ends at once, and its output is what it is for"
)]
#![expect(
    clippy::similar_names,
    reason = "a story is recorded into a store, and both names say it best"
)]

mod append;
mod clock;
mod ending;
mod flow;
mod listing;
mod reading;
mod story;

use std::{path::PathBuf, time::Duration};

use tracer::session::{StateDir, Store};

/// What to measure, and how much of it.
struct Plan {
    rounds: u64,
    /// Events of the long session.
    events: u64,
    /// MB of the session that is recovered and verified.
    journal_mb: u64,
    /// Short sessions that are recovered and verified.
    short: u64,
    /// MB of the session that is ended.
    end_mb: u64,
    /// Sessions in the listing.
    listed: u64,
    only: Vec<String>,
    /// Where records go; a directory of its own is made there.
    room: PathBuf,
}

impl Plan {
    fn from_args() -> Self {
        let mut plan = Self {
            rounds: 5,
            events: 1_000_000,
            journal_mb: 100,
            short: 100,
            end_mb: 200,
            listed: 500,
            only: Vec::new(),
            room: std::env::temp_dir(),
        };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            if arg == "--bench" {
                // Cargo says so by itself.
                continue;
            }
            let value = args.next().expect("each option has a value");
            let number = || value.parse().expect("a number");
            match arg.as_str() {
                "--rounds" => plan.rounds = number(),
                "--events" => plan.events = number(),
                "--journal-mb" => plan.journal_mb = number(),
                "--short" => plan.short = number(),
                "--end-mb" => plan.end_mb = number(),
                "--listed" => plan.listed = number(),
                "--only" => plan.only = value.split(',').map(str::to_owned).collect(),
                "--room" => plan.room = value.into(),
                other => panic!("no option {other}"),
            }
        }
        plan
    }
}

/// A store of its own, in a directory that goes with the first value.
fn store(plan: &Plan) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir_in(&plan.room).expect("a directory");
    let state = StateDir::resolve(Some(dir.path().join("state")), |_| None, 0);
    let store = Store::open(&state.expect("a flag is enough")).expect("a fresh directory");
    (dir, store)
}

/// Long enough for a busy machine.
fn soon() -> std::time::Instant {
    std::time::Instant::now() + Duration::from_secs(120)
}

/// Tells one figure.
/// Measures one thing, once a round.
type Part<'a> = Box<dyn FnMut() + 'a>;

fn figure(name: &str, value: f64) {
    println!("figure {name} {value}");
}

fn main() {
    let plan = Plan::from_args();
    let wanted = |name: &str| plan.only.is_empty() || plan.only.iter().any(|only| only == name);
    let listing = wanted("list").then(|| listing::Listing::of(&plan));
    let mut parts: Vec<(&str, Part<'_>)> = vec![
        ("append", Box::new(|| append::measure(&plan))),
        ("flow", Box::new(|| flow::measure(&plan))),
        ("read", Box::new(|| reading::measure(&plan))),
        ("end", Box::new(|| ending::measure(&plan))),
    ];
    parts.retain(|(name, _)| wanted(name));
    if let Some(listing) = &listing {
        parts.push(("list", Box::new(|| listing.measure())));
    }
    for round in 0..plan.rounds {
        eprintln!("round {} of {}", round + 1, plan.rounds);
        for (name, measure) in &mut parts {
            eprintln!("  {name}");
            measure();
        }
        // Whatever a part leaves behind in caches and on the disk, it is not always the same that suffers.
        parts.rotate_left(1);
    }
}
