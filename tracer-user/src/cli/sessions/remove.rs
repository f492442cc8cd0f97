//! `tracer sessions rm` and `clear`.

use jiff::Timestamp;

use super::{FAILED, hint, many, print, sessions, soon};
use crate::{
    cli::escape::paragraph,
    probe::pin::Found,
    session::{
        SessionId, Store, fence,
        remove::{Which, remove as remove_one},
        retain::forget,
    },
};

/// Arguments of `tracer sessions rm`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The sessions: ids, or the beginnings of some
    #[arg(value_name = "SESSION", required = true)]
    sessions: Vec<String>,

    /// Also interrupted and corrupt ones; never one that is running
    #[arg(short, long)]
    force: bool,
}

pub(super) fn remove(store: &Store, args: &Args, pins: &[Found]) -> anyhow::Result<u8> {
    let which = if args.force {
        Which::NotRunning
    } else {
        Which::Finished
    };
    let is_pinned = |id: &SessionId| pins.iter().any(|pin| pin.session == id.as_str());
    // All names are checked before anything goes.
    let ids = many(store, &args.sessions, false)?;
    let mut removed = Vec::new();
    let mut code = 0;
    for id in ids {
        match remove_one(store, &id, which, is_pinned) {
            Ok(()) => removed.push(id),
            Err(error) => {
                let error = anyhow::Error::from(error);
                hint(&paragraph(&format!("{error:#}")));
                code = FAILED;
            }
        }
    }
    forget(store, &removed, soon());
    let lines: String = removed.iter().fold(String::new(), |mut lines, id| {
        lines.push_str("removed ");
        lines.push_str(id.as_str());
        lines.push('\n');
        lines
    });
    print(lines.as_bytes())?;
    Ok(code)
}

pub(super) fn clear(store: &Store) -> anyhow::Result<u8> {
    fence::put(store, Timestamp::now(), soon())?;
    let count = store.session_ids()?.len();
    hint(&format!(
        "cleared: listings leave out what has ended until now; all {} are still there, and \
         `tracer sessions list --all` shows them",
        sessions(count)
    ));
    Ok(0)
}
