//! The observers: how each is started around or beside a storm, and how its output is read.
//!
//! Each writes its full record of fork, exec and exit to a file: what an observer costs that keeps
//! nothing is no comparison.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::tally::{self, Tally};
use crate::program;

/// One observer.
pub(super) struct Observer {
    /// What the table calls it.
    pub(super) name: &'static str,
    /// The short name for `--only`.
    pub(super) key: &'static str,
    /// The program.
    pub(super) program: PathBuf,
    /// How it meets its workload.
    pub(super) style: Style,
    /// It waits for the workload, and the kernel adds the workload's CPU time to its own.
    pub(super) waits: bool,
    tally: fn(&mut dyn Iterator<Item = String>, usize) -> Tally,
}

/// How an observer meets its workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// It starts the workload and ends with it.
    Around,
    /// It runs beside it and is interrupted after it.
    Beside,
}

const BPFTRACE: &str = r#"
tracepoint:sched:sched_process_fork { printf("F %s %d %d\n", str(args->parent_comm), args->parent_pid, args->child_pid); }
tracepoint:sched:sched_process_exec { printf("E %s %d\n", comm, pid); }
tracepoint:sched:sched_process_exit { printf("X %s %d %d\n", comm, pid, curtask->exit_code); }"#;

/// Those that are installed; `tracer` is the one that was just built.
pub(super) fn installed(tracer: &Path) -> Vec<Observer> {
    let ours = Observer {
        name: "tracer",
        key: "tracer",
        program: tracer.to_path_buf(),
        style: Style::Around,
        waits: true,
        tally: |lines, workers| tally::tracer(lines, workers),
    };
    let peer = |name, key, program: &str, style, tally| {
        program::find(program).map(|program| Observer {
            name,
            key,
            program,
            style,
            // perf kills and leaves its workload without waiting for it.
            waits: style == Style::Around && key != "perf",
            tally,
        })
    };
    let peers = [
        peer(
            "bpftrace, printing fork, exec, exit",
            "bpftrace",
            "bpftrace",
            Style::Around,
            |lines, workers| tally::bpftrace(lines, workers),
        ),
        peer(
            "forkstat (netlink)",
            "forkstat",
            "forkstat",
            Style::Beside,
            |lines, workers| tally::forkstat(lines, workers),
        ),
        peer(
            "perf trace",
            "perf",
            "perf",
            Style::Around,
            |lines, workers| tally::perf(lines, workers),
        ),
        peer(
            "strace -f -e trace=process",
            "strace",
            "strace",
            Style::Around,
            |lines, workers| tally::strace(lines, workers),
        ),
    ];
    [Some(ours)].into_iter().chain(peers).flatten().collect()
}

impl Observer {
    /// The command line: around `workload`, or beside whatever runs. Its record goes into `room`.
    ///
    /// # Errors
    /// The room cannot be written.
    pub(super) fn command(&self, workload: &[OsString], room: &Path) -> Result<Command> {
        let output = self.output(room);
        let mut command = match self.key {
            // Both need tracefs, which not every machine has mounted; in a mount namespace of its own
            // that changes nothing for anybody else. The shell is gone before the observer starts.
            "bpftrace" | "perf" => {
                let mut command = Command::new("unshare");
                let mount = "[ -e /sys/kernel/tracing/events ] || mount -t tracefs tracefs /sys/kernel/tracing; exec \"$@\"";
                command.args(["--mount", "--", "sh", "-c", mount, "sh"]);
                command.arg(&self.program);
                command
            }
            _ => Command::new(&self.program),
        };
        match self.key {
            "tracer" => {
                command.args(["run", "-q", "--state-dir"]).arg(&output);
                command.arg("--").args(workload);
            }
            "strace" => {
                command
                    .args(["-f", "-e", "trace=process", "-o"])
                    .arg(&output)
                    .args(workload);
            }
            "perf" => {
                let events =
                    ["fork", "exec", "exit"].map(|kind| format!("sched:sched_process_{kind}"));
                command
                    .args(["trace", "-a", "-e", &events.join(","), "-o"])
                    .arg(&output);
                command.arg("--").args(workload);
            }
            "bpftrace" => {
                let words: Vec<_> = workload.iter().map(|word| word.to_string_lossy()).collect();
                command
                    .arg("-o")
                    .arg(&output)
                    .args(["-c", &words.join(" "), "-e", BPFTRACE]);
            }
            _ => {
                command.args(["-c", "-e", "fork,exec,exit"]);
                let file = File::create(&output)
                    .with_context(|| format!("writing {}", output.display()))?;
                command.stdout(file);
            }
        }
        if self.style == Style::Around {
            command.stdout(Stdio::null());
        }
        command.stdin(Stdio::null()).stderr(Stdio::null());
        Ok(command)
    }

    /// What it recorded; the record is then removed.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn tally(&self, room: &Path, workers: usize) -> Result<Tally> {
        let output = self.output(room);
        let file = if self.key == "tracer" {
            journal(&output)?
        } else {
            output.clone()
        };
        let reader = File::open(&file)
            .with_context(|| format!("{} left no record {}", self.name, file.display()))?;
        let mut lines = BufReader::new(reader)
            .split(b'\n')
            .map_while(Result::ok)
            .map(|line| String::from_utf8_lossy(&line).into_owned());
        let tally = (self.tally)(&mut lines, workers);
        self.clear(room)?;
        Ok(tally)
    }

    /// Whether it says itself that its record is complete; `None` when it says nothing about that.
    ///
    /// # Errors
    /// It should, and its summary cannot be read.
    pub(super) fn says_complete(&self, room: &Path) -> Result<Option<bool>> {
        if self.key != "tracer" {
            return Ok(None);
        }
        let summary = session(&self.output(room))?.join("summary.json");
        let text = fs::read_to_string(&summary)
            .with_context(|| format!("reading {}", summary.display()))?;
        let summary: serde_json::Value = serde_json::from_str(&text)?;
        Ok(Some(summary["completeness"]["status"] == "complete"))
    }

    /// Removes what it recorded.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(super) fn clear(&self, room: &Path) -> Result<()> {
        let output = self.output(room);
        if output.is_dir() {
            fs::remove_dir_all(&output)?;
        } else if output.exists() {
            fs::remove_file(&output)?;
        }
        Ok(())
    }

    /// Whether it is ready to see what comes, for one that runs beside.
    pub(super) fn is_ready(&self, pid: u32) -> bool {
        self.key != "forkstat"
            || listens(
                &fs::read_to_string("/proc/net/netlink").unwrap_or_default(),
                pid,
            )
    }

    /// Its version in one line.
    pub(super) fn version(&self) -> String {
        if self.key == "forkstat" {
            return package_version("forkstat");
        }
        let said = program::read(Command::new(&self.program).arg("--version")).unwrap_or_default();
        let line = said.lines().next().unwrap_or("version unknown").to_owned();
        line.replace("version ", "").replace(" -- ", " ")
    }

    fn output(&self, room: &Path) -> PathBuf {
        room.join(format!("record-{}", self.key))
    }
}

/// The only session's folder in tracer's state directory.
///
/// # Errors
/// There is none, or more than one.
pub(super) fn session(state: &Path) -> Result<PathBuf> {
    let sessions = state.join("sessions");
    let listing = || format!("listing {}", sessions.display());
    let mut folders = fs::read_dir(&sessions)
        .with_context(listing)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .with_context(listing)?;
    folders.retain(|path| path.is_dir());
    let only = (folders.len() == 1).then(|| folders.remove(0));
    only.with_context(|| format!("one session expected in {}", sessions.display()))
}

/// The journal of the only session.
///
/// # Errors
/// There is no such session.
pub(super) fn journal(state: &Path) -> Result<PathBuf> {
    Ok(session(state)?.join("journal.0.jsonl"))
}

/// `/proc/net/netlink`: protocol 11 is the connector, a group mask other than 0 is a listener.
fn listens(netlink: &str, pid: u32) -> bool {
    netlink.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        matches!(fields.as_slice(), [_, "11", owner, groups, ..]
            if owner.parse() == Ok(pid) && groups.chars().any(|digit| digit != '0'))
    })
}

fn package_version(package: &str) -> String {
    let mut dpkg = Command::new("dpkg-query");
    dpkg.args(["-W", "-f", "${Package} ${Version}", package]);
    program::read(&mut dpkg).unwrap_or_else(|_| format!("{package}, version unknown"))
}

/// Words of a command line.
pub(super) fn words<'a>(
    words: impl IntoIterator<Item = &'a (impl AsRef<OsStr> + ?Sized + 'a)>,
) -> Vec<OsString> {
    words
        .into_iter()
        .map(|word| word.as_ref().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_the_connector_is_ready() {
        let table = "sk               Eth Pid        Groups   Rmem\n\
                     00000000a9d3a4e9 11  4711       00000001 0\n\
                     00000000a9d3a4ea 11  4712       00000000 0\n\
                     00000000a9d3a4eb 0   4713       00000001 0\n";
        assert!(listens(table, 4711));
        assert!(!listens(table, 4712), "bound, but joined no group");
        assert!(!listens(table, 4713), "another protocol");
    }
}
