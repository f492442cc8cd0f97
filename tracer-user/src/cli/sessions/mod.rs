//! `tracer sessions`: what has been recorded, looked at, checked and thrown away.
//!
//! What was asked for goes to standard output; hints and errors go to standard error, so that output
//! can be piped. Nothing here writes to a session that somebody observes.

mod anomalies;
mod check;
mod costs;
mod follow;
mod list;
mod remove;
mod show;
mod text;
mod when;
mod why;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Subcommand;

use super::Failure;
use crate::{
    observe::pins,
    session::{
        SessionId, StateDir, Store,
        list::reference::{FindError, find},
    },
};

/// Exit code when what was asked for could not be done, or what was checked is broken.
const FAILED: u8 = 1;
/// How long another process may keep the index.
const PATIENCE: Duration = Duration::from_secs(10);

/// Arguments of `tracer sessions`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[expect(clippy::doc_markdown, reason = "the text of --help, printed as it is")]
    /// Look for sessions here [default: /var/lib/tracer for root, $XDG_STATE_HOME/tracer otherwise]
    #[arg(long, value_name = "DIR", global = true)]
    state_dir: Option<PathBuf>,

    /// Look for pins here [default: /sys/fs/bpf/tracer]
    #[arg(long, value_name = "DIR", global = true)]
    bpffs: Option<PathBuf>,

    /// What to do; `list` unless told
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List sessions, newest first
    List(list::Args),
    /// Show one session: how it ended, what it cost, what ran
    Show(show::Args),
    /// Say how each process of a session ended, and why
    Why(why::Args),
    /// Remove sessions
    Rm(remove::Args),
    /// Leave out of listings what has ended until now; nothing is removed
    Clear,
    /// Make the derived files of sessions anew from their journals
    Rebuild(check::RebuildArgs),
    /// Check that sessions are whole and say what they must
    Verify(check::VerifyArgs),
    /// Print the directory of a session
    Path {
        /// The session: its id, or the beginning of it
        #[arg(value_name = "SESSION")]
        session: String,
    },
}

pub(super) fn main(args: Args) -> Result<u8, Failure> {
    let failed = |error| Failure::new(FAILED, error);
    let state = StateDir::resolve(
        args.state_dir,
        |name| std::env::var_os(name),
        rustix::process::getuid().as_raw(),
    );
    let state = state.map_err(|error| failed(error.into()))?;
    let store = Store::open_existing(&state).map_err(|error| failed(error.into()))?;
    let verb = args.verb.unwrap_or(Verb::List(list::Args::default()));
    let Some(store) = store else {
        return nothing_there(&verb, &state).map_err(failed);
    };
    let pins = pins::found(args.bpffs.as_deref(), &store);
    let done = match verb {
        Verb::List(args) => list::list(&store, args, &pins),
        Verb::Show(args) => show::show(&store, &args),
        Verb::Why(args) => why::why(&store, &args),
        Verb::Rm(args) => remove::remove(&store, &args, &pins),
        Verb::Clear => remove::clear(&store),
        Verb::Rebuild(args) => check::rebuild(&store, &args),
        Verb::Verify(args) => check::verify(&store, &args),
        Verb::Path { session } => path(&store, &session),
    };
    done.map_err(failed)
}

/// No session was ever recorded here. Whoever lists them has an answer; who asks for one has none.
fn nothing_there(verb: &Verb, state: &StateDir) -> anyhow::Result<u8> {
    let place = super::escape::printable(&state.path().to_string_lossy());
    match verb {
        Verb::List(args) => list::none(args, &place),
        Verb::Clear => {
            hint(&format!("no sessions in {place}: nothing to clear"));
            Ok(0)
        }
        _ => anyhow::bail!("no sessions in {place}; `tracer run -- COMMAND` records one"),
    }
}

fn path(store: &Store, session: &str) -> anyhow::Result<u8> {
    use std::os::unix::ffi::OsStrExt as _;
    let id = one(store, session)?;
    // For programs: the bytes as they are.
    let mut line = store.session_path(&id).as_os_str().as_bytes().to_vec();
    line.push(b'\n');
    print(&line)?;
    Ok(0)
}

/// The one session a user means.
fn one(store: &Store, session: &str) -> anyhow::Result<SessionId> {
    let ids = store.session_ids()?;
    find(&ids, session).map_err(|error| match error {
        FindError::Unknown { .. } if ids.is_empty() => {
            anyhow::anyhow!("there are no sessions; `tracer run -- COMMAND` records one")
        }
        other => other.into(),
    })
}

/// The sessions a user names, or all of them, oldest first.
fn many(store: &Store, sessions: &[String], all: bool) -> anyhow::Result<Vec<SessionId>> {
    let ids = store.session_ids()?;
    if all {
        return Ok(ids);
    }
    let mut found = Vec::new();
    for session in sessions {
        let id = find(&ids, session)?;
        if !found.contains(&id) {
            found.push(id);
        }
    }
    Ok(found)
}

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// Writes to standard output. A reader who has seen enough, as `head` has, is no failure.
fn print(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

/// Something to know beside what was asked for.
fn hint(text: &str) {
    // Nobody is left to tell when stderr is gone.
    let _ = io::stderr().write_all(format!("tracer: {text}\n").as_bytes());
}

/// `1 session`, `2 sessions`.
fn sessions(count: usize) -> String {
    match count {
        1 => "1 session".to_owned(),
        n => format!("{n} sessions"),
    }
}
