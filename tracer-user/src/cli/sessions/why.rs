//! `tracer sessions why`: how each process of a session ended.

use super::{one, print};
use crate::{
    cli::escape::printable,
    session::{Store, inquest::inquest},
};

/// Arguments of `tracer sessions why`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The session: its id, or the beginning of it
    #[arg(value_name = "SESSION")]
    session: String,

    /// Only processes of this pid
    #[arg(short, long)]
    pid: Option<u32>,

    /// Only processes that did not exit 0
    #[arg(long)]
    failed: bool,

    /// Print a JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn why(store: &Store, args: &Args) -> anyhow::Result<u8> {
    let id = one(store, &args.session)?;
    let dir = store.existing_session(&id)?;
    let mut failure = None;
    inquest(&dir, |finding| {
        let wanted = args.pid.is_none_or(|pid| pid == finding.pid)
            && !(args.failed && finding.verdict.exit_code == Some(0));
        if !wanted || failure.is_some() {
            return;
        }
        let line = if args.json {
            serde_json::to_string(&finding).map_err(anyhow::Error::from)
        } else {
            Ok(printable(&finding.verdict.sentence))
        };
        let printed = line.and_then(|line| print(format!("{line}\n").as_bytes()));
        failure = printed.err();
    })?;
    failure.map_or(Ok(0), Err)
}
