//! `tracer holders`: who holds a file or a terminal, or what a process holds: why does this not end?

mod mount;

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::{Failure, OWN_FAILURE, escape::printable};
use crate::{
    procfs::{Access, FileId, ProcRoot, ReadEnd, mounts::MountId},
    session::redact::redact_argv,
    units::Tgid,
    watch::{
        holders::{self, Found, Holder, How, Named},
        holdings::{Held, Holding, holdings},
        wording,
    },
};

/// Nobody holds it.
const NOBODY: u8 = 1;

/// Arguments of `tracer holders`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A pid: what that process holds, and who else does; a path, or a terminal such as pts/3: who holds
    /// it; the root of a mount: who keeps it from being unmounted. A file called like a pid is meant by
    /// ./NAME
    #[arg(value_name = "PID|PATH|TTY")]
    what: String,

    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
}

pub(super) fn main(args: &Args) -> Result<u8, Failure> {
    answer(args).map_err(|error| Failure::new(OWN_FAILURE, error))
}

fn answer(args: &Args) -> anyhow::Result<u8> {
    let proc = ProcRoot::open("/proc")?;
    let pid = args.what.parse().ok().map(Tgid);
    let (text, any) = if let Some(pid) = pid {
        of_process(&proc, pid, args.json)?
    } else {
        let path = place(&args.what)?;
        match MountId::rooted_at(&path) {
            Some(mount) => mount::answer(&proc, mount, &path, args.json)?,
            None => of_file(&proc, &path, args.json)?,
        }
    };
    // Nobody is left to tell when stdout is gone.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(if any { 0 } else { NOBODY })
}

/// The path that is meant.
fn place(what: &str) -> anyhow::Result<PathBuf> {
    let path = Path::new(what);
    let terminal = what.starts_with("pts/") || what.starts_with("tty");
    let device = Path::new("/dev").join(what);
    if terminal && !path.exists() {
        ensure!(device.exists(), "there is no terminal {what}");
        return Ok(device);
    }
    Ok(path.to_owned())
}

fn of_process(proc: &ProcRoot, pid: Tgid, as_json: bool) -> anyhow::Result<(String, bool)> {
    let dir = match proc.process(pid) {
        Err(ReadEnd::Gone) => {
            bail!("no process has pid {pid}; a file of that name is meant by ./{pid}")
        }
        dir => dir.with_context(|| format!("process {pid}"))?,
    };
    let named = holders::name(&dir, pid, redact_argv).with_context(|| format!("process {pid}"))?;
    let Held { held, more } = holdings(proc, &dir, pid)
        .with_context(|| format!("what process {pid} has open: root or its own user may see it"))?;
    let mut files: Vec<FileId> = Vec::new();
    for file in held.iter().filter_map(|held| held.file) {
        if !files.contains(&file) {
            files.push(file);
        }
    }
    let found = if files.is_empty() {
        Found::default()
    } else {
        holders::search(proc, &files, redact_argv)?
    };
    let words = |held: &Holding| wording::holding(held, named.who, &files, &found);
    if as_json {
        let held: Vec<Value> = held
            .iter()
            .map(|held| json!({ "what": held.what, "name": held.name, "text": words(held) }))
            .collect();
        let answer = json!({
            "process": process(&named), "holds": held, "more": more, "denied": found.denied,
        });
        return Ok((format!("{answer}\n"), true));
    }
    let mut text = line(&named);
    for held in &held {
        let verb = if held.what == "waits" { "" } else { "holds " };
        let _ = writeln!(text, "  {verb}{}", printable(&words(held)));
    }
    if held.is_empty() {
        let _ = writeln!(
            text,
            "  holds no terminal, pipe, port, lock, mount or deleted file"
        );
    }
    if more > 0 {
        let _ = writeln!(text, "  holds at least {more} things more");
    }
    unseen(&mut text, found.denied);
    Ok((text, true))
}

fn of_file(proc: &ProcRoot, path: &Path, as_json: bool) -> anyhow::Result<(String, bool)> {
    let shown = path.display();
    let file = FileId::at(path)
        .with_context(|| format!("no process has the pid, no file the path {shown}"))?;
    let found = holders::search(proc, &[file], redact_argv)?;
    let any = !found.holders.is_empty();
    if as_json {
        let holders: Vec<Value> = found
            .holders
            .iter()
            .map(|holder| json!({ "process": process(&holder.named), "uses": uses(holder), "waits_in": holder.waits_in }))
            .collect();
        let answer = json!({ "holders": holders, "denied": found.denied });
        return Ok((format!("{answer}\n"), any));
    }
    let mut text = String::new();
    for holder in &found.holders {
        let waits = holder.waits_in.as_deref();
        let waits = waits
            .map(|at| format!(", waits in {at}"))
            .unwrap_or_default();
        let uses = uses(holder).join(", ");
        let _ = writeln!(
            text,
            "{}  has it as {uses}{}",
            line(&holder.named),
            printable(&waits)
        );
    }
    if !any {
        let _ = writeln!(
            text,
            "nobody that can be seen holds {}",
            printable(&shown.to_string())
        );
    }
    unseen(&mut text, found.denied);
    Ok((text, any))
}

fn line(named: &Named) -> String {
    format!(
        "{} (pid {}) {}: {}\n",
        printable(&named.comm),
        named.who.pid,
        named.state.unwrap_or("in an unknown state"),
        printable(&named.cmdline)
    )
}

fn unseen(text: &mut String, denied: usize) {
    if denied > 0 {
        let _ = writeln!(
            text,
            "{denied} more may hold it: their files may not be seen"
        );
    }
}

fn process(named: &Named) -> Value {
    json!({
        "pid": named.who.pid,
        "starttime_ticks": named.who.start,
        "comm": named.comm,
        "cmdline": named.cmdline,
        "state": named.state,
    })
}

fn descriptor(fd: u32, access: Option<Access>) -> String {
    let access = match access {
        Some(Access::Read) => " (reading)",
        Some(Access::Write) => " (writing)",
        Some(Access::Both) => " (reading and writing)",
        None => "",
    };
    format!("descriptor {fd}{access}")
}

fn uses(holder: &Holder) -> Vec<String> {
    let use_of = |how: &How| match how {
        How::Fd(fd, access) => descriptor(*fd, *access),
        How::Terminal => "its controlling terminal".to_owned(),
        How::Cwd => "its working directory".to_owned(),
        How::Root => "its root directory".to_owned(),
        How::Exe => "its program".to_owned(),
        How::Mapped => "a mapping in its memory".to_owned(),
        How::Lock(lock) => {
            let access = if lock.exclusive {
                "exclusive"
            } else {
                "shared"
            };
            format!("{access} {} lock", lock.kind.as_str())
        }
        How::WaitsForLock(kind) => format!("waiting for a {} lock", kind.as_str()),
    };
    holder.uses.iter().map(|(_, how)| use_of(how)).collect()
}
