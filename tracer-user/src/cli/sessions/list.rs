//! `tracer sessions list`.

use std::{collections::HashMap, fmt::Write as _};

use jiff::Timestamp;
use serde_json::json;

use super::{
    hint, print, sessions,
    text::{Columns, memory, seconds, status, time, word},
    when,
};
use crate::{
    cli::escape::{paragraph, printable},
    probe::pin::Found,
    session::{
        Store, fence,
        journal::escape::pretty,
        list::{self, Listed, Listing, STATUSES, filter::Filter, page::Paging},
    },
};

/// Sessions on a page unless told otherwise.
const PAGE: usize = 20;

/// Arguments of `tracer sessions list`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only sessions with this label, or with any value of it; may be given again
    #[arg(long = "label", value_name = "KEY[=VALUE]", value_parser = label)]
    labels: Vec<(String, Option<String>)>,

    /// Only sessions in this state; may be given again
    #[arg(long = "status", value_name = "STATUS", value_parser = STATUSES)]
    statuses: Vec<String>,

    /// Only sessions that began at this time or later: a date, a time, or 2h, 7d (ago)
    #[arg(long, value_name = "TIME", value_parser = past)]
    since: Option<Timestamp>,

    /// Only sessions that began before this time
    #[arg(long, value_name = "TIME", value_parser = past)]
    until: Option<Timestamp>,

    /// Also sessions that ended before the last `clear`
    #[arg(short, long)]
    all: bool,

    /// Sessions on a page; 0 puts all of them on one
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = PAGE)]
    limit: usize,

    /// Which page
    #[arg(short, long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    page: usize,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            labels: Vec::new(),
            statuses: Vec::new(),
            since: None,
            until: None,
            all: false,
            limit: PAGE,
            page: 1,
            json: false,
        }
    }
}

fn past(text: &str) -> anyhow::Result<Timestamp> {
    when::parse(text, Timestamp::now())
}

fn label(text: &str) -> anyhow::Result<(String, Option<String>)> {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Some(value.to_owned())),
        None => (text, None),
    };
    anyhow::ensure!(!key.is_empty(), "the key is missing");
    Ok((key.to_owned(), value))
}

pub(super) fn list(store: &Store, args: Args, pins: &[Found]) -> anyhow::Result<u8> {
    let fence = match fence::read(store) {
        Ok(fence) => fence.filter(|_| !args.all),
        Err(error) => {
            hint(&format!(
                "{} is left aside: {error}; `tracer sessions clear` makes it anew",
                fence::FENCE
            ));
            None
        }
    };
    let filter = Filter {
        labels: args.labels,
        statuses: args.statuses,
        since: args.since,
        until: args.until,
        fence,
    };
    let paging = Paging {
        limit: args.limit,
        number: args.page,
    };
    let listing = list::list(store, &filter, paging, Timestamp::now())?;
    if args.json {
        print(&as_json(&listing, pins)?)?;
    } else {
        print(table(&listing.sessions).as_bytes())?;
        for line in footer(&listing, &filter, store) {
            hint(&line);
        }
        for pin in pins.iter().filter(|pin| !pin.in_use) {
            hint(&format!(
                "the kernel still records for {} and nobody reads it: `tracer recover` does, and ends it",
                printable(&pin.session)
            ));
        }
    }
    Ok(0)
}

/// There is no store at all.
pub(super) fn none(args: &Args, place: &str) -> anyhow::Result<u8> {
    if args.json {
        let page = Paging {
            limit: args.limit,
            number: args.page,
        };
        let listing = Listing {
            sessions: Vec::new(),
            page: page.of(0),
            left_out: 0,
        };
        print(&as_json(&listing, &[])?)?;
    } else {
        hint(&empty(place));
    }
    Ok(0)
}

fn empty(place: &str) -> String {
    format!("no sessions in {place}; `tracer run -- COMMAND` records one")
}

fn as_json(listing: &Listing, pins: &[Found]) -> anyhow::Result<Vec<u8>> {
    let page = listing.page;
    Ok(pretty(&json!({
        "sessions": listing.sessions,
        "page": page.number,
        "pages": page.pages,
        "total": page.total,
        "left_out": listing.left_out,
        "pins": pins.iter().map(|pin| json!({
            "session_id": pin.session, "in_use": pin.in_use,
        })).collect::<Vec<_>>(),
    }))?)
}

fn table(listed: &[Listed]) -> String {
    if listed.is_empty() {
        return String::new();
    }
    let mut columns = Columns::new(&[
        "SESSION",
        "STARTED (UTC)",
        "STATUS",
        ">TOOK",
        ">PEAK RSS",
        "WORKLOAD",
        "COMMAND",
    ]);
    let mut short: HashMap<&str, u32> = HashMap::new();
    for session in listed {
        *short.entry(session.session_id.short()).or_default() += 1;
    }
    for session in listed {
        let id = &session.session_id;
        // Eight random digits name a session among millions, unless they are there twice.
        let twice = short.get(id.short()).is_some_and(|&times| times > 1);
        let what = match &session.problem {
            Some(problem) => format!("({})", printable(problem)),
            None => printable(&session.command),
        };
        columns.row(vec![
            if twice { id.as_str() } else { id.short() }.to_owned(),
            time(session.started),
            status(session),
            seconds(session.duration_seconds),
            memory(session.peak_rss_kb),
            word(session.workload.as_deref()),
            what,
        ]);
    }
    columns.text()
}

/// What the table does not say.
fn footer(listing: &Listing, filter: &Filter, store: &Store) -> Vec<String> {
    let page = listing.page;
    let mut lines = Vec::new();
    if page.total == 0 && listing.left_out == 0 {
        let place = printable(&store.dir().path().to_string_lossy());
        return vec![empty(&place)];
    }
    let mut line = if page.total == 0 {
        "no session fits".to_owned()
    } else if page.is_empty() {
        format!(
            "page {} is empty: {} on {}",
            page.number,
            sessions(page.total),
            if page.pages == 1 {
                "1 page".to_owned()
            } else {
                format!("{} pages", page.pages)
            }
        )
    } else if page.pages > 1 {
        format!(
            "{} to {} of {}, page {} of {}",
            page.from + 1,
            page.to,
            sessions(page.total),
            page.number,
            page.pages
        )
    } else {
        sessions(page.total)
    };
    if listing.left_out > 0 {
        // Writing to a string cannot fail.
        let _ = write!(line, "; {} left out", listing.left_out);
        if let Some(fence) = filter.fence {
            let cleared = time(Some(fence));
            let _ = write!(
                line,
                " (cleared {cleared} UTC: --all lists what ended before)"
            );
        }
    }
    lines.push(line);
    let count = |status: &str| {
        let is = |session: &&Listed| session.status == status;
        listing.sessions.iter().filter(is).count()
    };
    if let interrupted @ 1.. = count("interrupted") {
        lines.push(format!(
            "{} interrupted: `tracer recover` finishes what is left",
            sessions(interrupted)
        ));
    }
    if let corrupt @ 1.. = count("corrupt") {
        lines.push(format!(
            "{} corrupt: `tracer sessions verify` says what is left",
            sessions(corrupt)
        ));
    }
    lines.iter().map(|line| paragraph(line)).collect()
}
