//! `tracer sessions show`.

use std::fmt::Write as _;

use anyhow::Context as _;
use jiff::Timestamp;
use rustix::fs::OFlags;
use serde_json::json;

use super::{
    anomalies::{self, anomalies},
    costs::tables,
    follow::follow,
    one, print,
    text::{Columns, seconds, time, word},
};
use crate::{
    cli::{
        escape::printable,
        show::{block, length, size},
    },
    session::{
        SessionId, Store,
        anomalies::Following,
        derive::Fold as _,
        dir::Dir,
        epochs::{self, EpochStats, Epochs},
        journal::{escape::pretty, record::Body},
        list::{Listed, look},
        processes::{Lived, Overview, Processes},
        store::ATTACHMENTS,
        summary::{Summarizer, Summary},
    },
    units::BootNs,
    verdict::signals,
};

/// Processes shown unless told otherwise.
const PROCESSES: usize = 20;

/// Arguments of `tracer sessions show`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The session: its id, or the beginning of it
    #[arg(value_name = "SESSION")]
    session: String,

    /// Print the events, and go on while the session runs
    #[arg(short, long)]
    follow: bool,

    /// Processes to show; 0 shows all of them
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = PROCESSES)]
    limit: usize,

    /// Print JSON; with --follow, the records as they are
    #[arg(long)]
    json: bool,
}

/// Everything about one session.
struct View {
    listed: Listed,
    summary: Option<Summary>,
    overview: Overview,
    began: BootNs,
    stats: Vec<EpochStats>,
    attachments: Vec<(String, u64)>,
    anomalies: Following,
}

pub(super) fn show(store: &Store, args: &Args) -> anyhow::Result<u8> {
    let id = one(store, &args.session)?;
    if args.follow {
        let dir = store.existing_session(&id)?;
        return follow(&dir, args.json);
    }
    let view = view(store, &id, args.limit)?;
    if args.json {
        let text = pretty(&json!({
            "session": view.listed,
            "summary": view.summary,
            "epochs": view.stats.len(),
            "bad_lines": view.stats.iter().map(|epoch| epoch.stats.bad_lines).sum::<u64>(),
            "torn_bytes": view.stats.iter().map(|epoch| epoch.stats.torn).sum::<u64>(),
            "attachments": view.attachments.iter().map(|(name, bytes)| json!({
                "name": name, "bytes": bytes,
            })).collect::<Vec<_>>(),
        }))?;
        print(&text)?;
    } else {
        print(in_words(&view).as_bytes())?;
    }
    Ok(0)
}

/// Reads a session's whole record, as far as it has come.
fn view(store: &Store, id: &SessionId, limit: usize) -> anyhow::Result<View> {
    let mut view = View {
        listed: look(store, id, Timestamp::now()),
        summary: None,
        overview: Overview::default(),
        began: BootNs(0),
        stats: Vec::new(),
        attachments: Vec::new(),
        anomalies: Following::keeping(anomalies::SHOWN),
    };
    if view.listed.status == "corrupt" {
        return Ok(view);
    }
    let dir = store.existing_session(id)?;
    let info =
        epochs::session_info(&dir).with_context(|| format!("session {id} cannot be read"))?;
    view.began = info.as_ref().map_or(BootNs(0), |info| info.clock.boot);
    let root = info.as_ref().map_or(0, |info| info.root.pid);
    let mut fold = info.map(Summarizer::new);
    let mut processes = Processes::new(limit, root);
    let mut epochs = Epochs::open(&dir)?;
    while epochs.next_epoch()?.is_some() {
        while let Some(entry) = epochs.next_entry()? {
            processes.apply(entry.t, &entry.body);
            if let Body::Anomaly(anomaly) = &entry.body {
                view.anomalies.apply(anomaly);
            }
            if let Some(fold) = &mut fold {
                fold.apply(entry.seq, entry.t, &entry.body);
            }
        }
    }
    view.summary = fold.map(Summarizer::finish);
    view.overview = processes.finish();
    view.stats = epochs.stats().to_vec();
    view.attachments = attachments(&dir);
    Ok(view)
}

/// The copies of the caller's files that are there.
fn attachments(dir: &Dir) -> Vec<(String, u64)> {
    let Ok(Some(attachments)) = dir.child(ATTACHMENTS) else {
        return Vec::new();
    };
    let mut files: Vec<(String, u64)> = attachments
        .names()
        .unwrap_or_default()
        .into_iter()
        .filter(|name| !name.starts_with('.'))
        .filter_map(|name| {
            let file = attachments.open_plain(&name, OFlags::RDONLY).ok()?;
            Some((name, file.metadata().ok()?.len()))
        })
        .collect();
    files.sort_unstable();
    files
}

fn in_words(view: &View) -> String {
    let listed = &view.listed;
    let mut text = String::new();
    let mut field = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<12}{value}");
    };
    field("session", listed.session_id.as_str());
    let status = match (listed.status.as_str(), &listed.problem) {
        ("interrupted", _) => {
            "interrupted: its observer is gone without an end; `tracer recover` finishes it"
                .to_owned()
        }
        (status, Some(problem)) => format!("{status}: {problem}"),
        (status, None) => status.to_owned(),
    };
    field("status", &printable(&status));
    let took = match listed.duration_seconds {
        None => String::new(),
        took if listed.status == "running" => format!(", running for {}", seconds(took)),
        took => format!(", took {}", seconds(took)),
    };
    field("started", &format!("{} UTC{took}", time(listed.started)));
    field("command", &word(Some(&listed.command)));
    if let Some(summary) = &view.summary {
        field("directory", &word(Some(&summary.cwd)));
    }
    if !listed.labels.is_empty() {
        let labels: Vec<String> = listed
            .labels
            .iter()
            .map(|(key, value)| printable(&format!("{key}={value}")))
            .collect();
        field("labels", &labels.join("  "));
    }
    for (name, bytes) in &view.attachments {
        field(
            "attached",
            &format!("{} ({})", printable(name), amount(*bytes)),
        );
    }
    if let Some(ending) = view.summary.as_ref().and_then(|summary| {
        let observer = &summary.observer;
        let ending = observer.ending.as_deref()?;
        Some(match &observer.cause {
            Some(cause) => format!("{ending}: {cause}"),
            None => ending.to_owned(),
        })
    }) {
        field("observer", &printable(&ending));
    }
    if view.stats.len() > 1 {
        field("epochs", &format!("{}, one an observer", view.stats.len()));
    }
    let torn: u64 = view.stats.iter().map(|epoch| epoch.stats.torn).sum();
    if torn > 0 && listed.status != "running" {
        field(
            "torn",
            &format!("{torn} bytes at the end are half a record"),
        );
    }
    let bad: u64 = view.stats.iter().map(|epoch| epoch.stats.bad_lines).sum();
    if bad > 0 {
        field(
            "damaged",
            &format!("{bad} lines do not count: `tracer sessions verify` says why"),
        );
    }
    if let Some(summary) = &view.summary {
        text.push('\n');
        // The block of a run's end, as fields like those above.
        let block = block(summary, &listed.path);
        for line in block.lines() {
            let _ = match line.strip_prefix("tracer: ") {
                // It is too early for one.
                Some(_) if listed.status == "running" => Ok(()),
                Some(verdict) => writeln!(text, "{:<12}{verdict}", "verdict"),
                None => writeln!(text, "{}", line.strip_prefix("  ").unwrap_or(line)),
            };
        }
    }
    let anomalies = anomalies(&view.anomalies);
    if !anomalies.is_empty() {
        text.push('\n');
        text.push_str(&anomalies);
    }
    if let Some(summary) = &view.summary {
        let costs = tables(summary);
        if !costs.is_empty() {
            text.push('\n');
            text.push_str(&costs);
        }
    }
    if view.overview.total > 0 {
        text.push('\n');
        text.push_str(&processes(view));
    }
    text
}

fn amount(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        _ => size(bytes.div_ceil(1024)),
    }
}

fn processes(view: &View) -> String {
    let overview = &view.overview;
    let headings = [
        "     AT",
        ">PID",
        ">PARENT",
        "NAME",
        ">WALL",
        ">CPU",
        ">PEAK RSS",
        "ENDING",
        "COMMAND",
    ];
    let mut columns = Columns::new(&headings);
    for lived in &overview.head {
        columns.row(row(lived, view.began));
    }
    if overview.left_out > 0 {
        let mut cells = vec![String::new(); headings.len()];
        "      …".clone_into(&mut cells[0]);
        cells[3] = format!("({} left out)", overview.left_out);
        columns.row(cells);
    }
    for lived in &overview.tail {
        columns.row(row(lived, view.began));
    }
    let mut text = match (overview.total, overview.left_out) {
        (1, _) => "1 process\n".to_owned(),
        (total, 0) => format!("{total} processes\n"),
        (total, _) => format!(
            "{total} processes, the first {} and the last {} (--limit 0 shows all)\n",
            overview.head.len(),
            overview.tail.len()
        ),
    };
    text.push_str(&columns.text());
    if overview.left_out > 0 {
        for (title, list) in [
            ("most CPU time", &overview.by_cpu),
            ("largest peak RSS", &overview.by_rss),
        ] {
            let _ = writeln!(text, "\n{title}");
            let mut columns = Columns::new(&headings);
            for lived in list {
                columns.row(row(lived, view.began));
            }
            text.push_str(&columns.text());
        }
    }
    text
}

fn row(lived: &Lived, began: BootNs) -> Vec<String> {
    let at = lived.born.since(began) / 1_000_000;
    let command: Vec<_> = lived
        .argv
        .iter()
        .map(|word| String::from_utf8_lossy(word))
        .collect();
    let parent = lived
        .ppid
        .map_or_else(|| "?".to_owned(), |pid| pid.to_string());
    let mut cells = vec![
        format!("{:>3}.{:03} s", at / 1000, at % 1000),
        lived.process.tgid.to_string(),
        parent,
        printable(&lived.comm.to_text()),
    ];
    match lived.ended {
        Some(ended) => cells.extend([
            length(ended.wall_ns / 1000),
            length(ended.cpu_us),
            size(ended.peak_rss_kb),
            match (ended.status.exit_code(), ended.status.signal()) {
                (Some(code), _) => format!("exit {code}"),
                (None, signal) => signals::name(signal.unwrap_or(0)),
            },
        ]),
        None => cells.extend(["-", "-", "-", "alive"].map(str::to_owned)),
    }
    cells.push(printable(&command.join(" ")));
    cells
}
