//! What a program sees of the world, with tracer and without: `show_self` run twice under the same
//! conditions, and the lines that differ.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};

use crate::launch::{Finished, Launch};
use crate::place;
use crate::room::Room;
use crate::wait::PATIENCE;

/// What one run of `show_self` gave.
#[derive(Debug)]
pub struct Outline {
    /// Its report, line by line.
    pub lines: Vec<String>,
    /// Its end, or tracer's.
    pub end: Finished,
}

/// How `show_self` is to be run; each closure gets a fresh launch of program or tracer.
pub type Condition<'a> = &'a dyn Fn(Launch) -> Result<Launch>;

fn show(room: &Room, launch: Launch, condition: Condition<'_>, report: &str) -> Result<Outline> {
    let end = condition(launch)?.finish(PATIENCE)?;
    let path = room.path(report);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("show_self wrote no report; it ended as {end:?}"))?;
    Ok(Outline {
        lines: text.lines().map(str::to_owned).collect(),
        end,
    })
}

/// Runs `show_self` alone.
///
/// # Errors
/// It did not end in time or wrote no report.
pub fn alone(room: &Room, end: &str, extra: &[&str], condition: Condition<'_>) -> Result<Outline> {
    let report = room.path("report.alone");
    let launch = room.fixture("show_self")?.arg(report).arg(end).args(extra);
    show(room, launch, condition, "report.alone")
}

/// Runs `show_self` under `tracer run` with these options.
///
/// # Errors
/// It did not end in time or wrote no report.
pub fn traced(
    room: &Room,
    options: &[&str],
    end: &str,
    extra: &[&str],
    condition: Condition<'_>,
) -> Result<Outline> {
    let report = room.path("report.traced");
    let program = place::fixture("show_self")?;
    let launch = room
        .run()?
        .args(options)
        .arg("--")
        .arg(program)
        .arg(report)
        .arg(end)
        .args(extra);
    show(room, launch, condition, "report.traced")
}

/// Runs it both ways and checks that the program could not tell, and that its stdout, stderr and end
/// are the same. `-q` keeps tracer itself silent.
///
/// # Errors
/// The lines that differ.
pub fn expect_same(end: &str, extra: &[&str], condition: Condition<'_>) -> Result<Outline> {
    let room = Room::new()?;
    let alone = alone(&room, end, extra, condition)?;
    let traced = traced(&room, &["-q", "--require-trace"], end, extra, condition)?;
    same_lines(&alone.lines, &traced.lines)?;
    ensure!(
        alone.end.stdout == traced.end.stdout,
        "stdout differs: {alone:?} {traced:?}"
    );
    ensure!(
        alone.end.stderr == traced.end.stderr,
        "stderr differs:\n{}---\n{}",
        alone.end.stderr,
        traced.end.stderr
    );
    // A signal that ended the program is 128+n to a shell, and tracer is like a shell here.
    let code = alone
        .end
        .code
        .or(alone.end.signal.map(|signal| 128 + signal));
    ensure!(
        traced.end.code == code && traced.end.signal.is_none(),
        "alone it ends with {:?} {:?}, traced with {:?} {:?}",
        alone.end.code,
        alone.end.signal,
        traced.end.code,
        traced.end.signal
    );
    Ok(alone)
}

/// Checks that two reports are the same but for what differs between any two runs.
///
/// # Errors
/// The lines that differ.
pub fn same_lines(alone: &[String], traced: &[String]) -> Result<()> {
    let (alone, traced): (Vec<_>, Vec<_>) = (
        alone.iter().map(|line| plain(line)).collect(),
        traced.iter().map(|line| plain(line)).collect(),
    );
    let (left, right): (BTreeSet<_>, BTreeSet<_>) =
        (alone.iter().collect(), traced.iter().collect());
    let only_alone: Vec<_> = left.difference(&right).collect();
    let only_traced: Vec<_> = right.difference(&left).collect();
    ensure!(
        only_alone.is_empty() && only_traced.is_empty() && alone.len() == traced.len(),
        "the program can tell:\n  alone:  {only_alone:#?}\n  traced: {only_traced:#?}"
    );
    // Order counts too: of the environment, for one.
    ensure!(
        alone == traced,
        "the same lines in another order:\n{alone:#?}\n{traced:#?}"
    );
    Ok(())
}

/// As [`same_lines`], without the numbers of session and groups: on two terminals they differ.
///
/// # Errors
/// The lines that differ.
pub fn same_lines_elsewhere(alone: &[String], traced: &[String]) -> Result<()> {
    let keep = |lines: &[String]| -> Vec<String> {
        let elsewhere =
            |line: &&String| line.starts_with("number of ") || line.starts_with("tty_nr ");
        let plain = |line: &String| match line.find("/dev/pts/") {
            Some(at) => {
                let rest = line[at + 9..].trim_start_matches(|c: char| c.is_ascii_digit());
                format!("{}/dev/pts/N{rest}", &line[..at])
            }
            None => line.clone(),
        };
        lines
            .iter()
            .filter(|line| !elsewhere(line))
            .map(plain)
            .collect()
    };
    same_lines(&keep(alone), &keep(traced))
}

/// Without the names of this run's own files and the numbers of pipes.
fn plain(line: &str) -> String {
    let line = line
        .replace("report.alone", "report")
        .replace("report.traced", "report");
    ["pipe:[", "socket:[", "stdout.", "stderr."]
        .into_iter()
        .fold(line, |line, mark| {
            let Some(start) = line.find(mark).map(|at| at + mark.len()) else {
                return line;
            };
            let rest = line[start..].trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{}{rest}", &line[..start])
        })
}

/// A pipe's read end that already holds `bytes`, for a program's stdin.
///
/// # Errors
/// As `pipe(2)`; more bytes than a pipe holds would block.
pub fn pipe_with(bytes: &[u8]) -> Result<Stdio> {
    use std::io::Write as _;
    ensure!(bytes.len() <= 4096, "more than a pipe is sure to hold");
    let (read, mut write) = std::io::pipe()?;
    write.write_all(bytes)?;
    Ok(OwnedFd::from(read).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(list: &[&str]) -> Vec<String> {
        list.iter().map(|&line| line.to_owned()).collect()
    }

    #[test]
    fn a_pipe_is_the_same_pipe_whatever_its_number() {
        let (a, b) = (
            lines(&["fd 0 \"pipe:[12]\" x"]),
            lines(&["fd 0 \"pipe:[345]\" x"]),
        );
        same_lines(&a, &b).unwrap();
    }

    #[test]
    fn an_additional_descriptor_is_told() {
        let (a, b) = (lines(&["fd 0"]), lines(&["fd 0", "fd 5 socket"]));
        assert!(
            same_lines(&a, &b)
                .unwrap_err()
                .to_string()
                .contains("fd 5 socket")
        );
        assert!(same_lines(&lines(&["a", "b"]), &lines(&["b", "a"])).is_err());
    }
}
