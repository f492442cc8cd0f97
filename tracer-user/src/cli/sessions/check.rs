//! `tracer sessions verify` and `rebuild`.

use std::fmt::Write as _;

use super::{FAILED, hint, many, print, sessions, soon};
use crate::{
    cli::escape::{paragraph, printable},
    session::{
        Store,
        rebuild::rebuild as rebuild_one,
        verify::{Rows, verify_with},
    },
};

/// Arguments of `tracer sessions verify`.
#[derive(Debug, clap::Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    which: Which,
}

/// Arguments of `tracer sessions rebuild`.
#[derive(Debug, clap::Args)]
pub(super) struct RebuildArgs {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The sessions: ids, or the beginnings of some
    #[arg(value_name = "SESSION")]
    sessions: Vec<String>,

    /// Every session
    #[arg(short, long)]
    all: bool,
}

pub(super) fn verify(store: &Store, args: &VerifyArgs) -> anyhow::Result<u8> {
    let ids = many(store, &args.which.sessions, args.which.all)?;
    let rows = Rows::read(store);
    let mut broken = 0;
    for id in &ids {
        let verified = verify_with(store, id, &rows);
        let mut text = String::new();
        for finding in &verified.findings {
            let mark = if finding.broken { "BROKEN" } else { "note" };
            let place = match finding.file.as_str() {
                "." => String::new(),
                file => format!("{}: ", printable(file)),
            };
            let what = printable(&finding.what);
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{id}  {mark:<6}  {place}{what}");
        }
        if verified.holds() {
            let _ = writeln!(
                text,
                "{id}  ok      {}, {} records in {}",
                verified.status,
                verified.records,
                if verified.epochs == 1 {
                    "1 epoch".to_owned()
                } else {
                    format!("{} epochs", verified.epochs)
                }
            );
        } else {
            broken += 1;
        }
        print(text.as_bytes())?;
    }
    if broken == 0 {
        return Ok(0);
    }
    hint(&format!("{broken} of {} broken", sessions(ids.len())));
    Ok(FAILED)
}

pub(super) fn rebuild(store: &Store, args: &RebuildArgs) -> anyhow::Result<u8> {
    let mut code = 0;
    for id in many(store, &args.which.sessions, args.which.all)? {
        match rebuild_one(store, &id, soon()) {
            Ok(_) => print(format!("rebuilt {id}\n").as_bytes())?,
            Err(error) => {
                let error = anyhow::Error::from(error);
                hint(&paragraph(&format!("{error:#}")));
                code = FAILED;
            }
        }
    }
    Ok(code)
}
