//! The little of `/proc` the tests read themselves, independently of the product's own readers.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Fields of `/proc/<pid>/stat` from the third on (state first): the part after the last `)`.
///
/// # Errors
/// The process is gone.
pub fn stat_fields(pid: i32) -> Result<Vec<String>> {
    let line = fs::read(format!("/proc/{pid}/stat"))?;
    let line = String::from_utf8_lossy(&line);
    let (_, rest) = line
        .rsplit_once(')')
        .context("stat without a parenthesis")?;
    Ok(rest.split_whitespace().map(str::to_owned).collect())
}

/// The state letter; `None` when the process is gone.
#[must_use]
pub fn state(pid: i32) -> Option<char> {
    stat_fields(pid).ok()?.first()?.chars().next()
}

/// State letter of one thread of this process; `None` when it is gone.
#[must_use]
pub fn thread_state(pid: i32, tid: i32) -> Option<char> {
    let line = fs::read_to_string(format!("/proc/{pid}/task/{tid}/stat")).ok()?;
    line.rsplit_once(')')?.1.trim_start().chars().next()
}

/// Start time in clock ticks after boot, field 22.
///
/// # Errors
/// The process is gone.
pub fn start_ticks(pid: i32) -> Result<u64> {
    let fields = stat_fields(pid)?;
    fields
        .get(19)
        .context("stat without field 22")?
        .parse()
        .context("field 22")
}

/// The whole comm, newline at its end removed.
///
/// # Errors
/// The process is gone.
pub fn comm(pid: i32) -> Result<String> {
    let comm = fs::read(format!("/proc/{pid}/comm"))?;
    let comm = comm.strip_suffix(b"\n").unwrap_or(&comm);
    Ok(String::from_utf8_lossy(comm).into_owned())
}

/// One line of `/proc/<pid>/status`, without its name.
///
/// # Errors
/// The process is gone or has no such line.
pub fn status_line(pid: i32, name: &str) -> Result<String> {
    let status = fs::read(format!("/proc/{pid}/status"))?;
    let status = String::from_utf8_lossy(&status);
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(line
        .with_context(|| format!("no {name} in status of {pid}"))?
        .trim()
        .to_owned())
}

/// All living descendants, parents before children, as far as `/proc` still shows them.
#[must_use]
pub fn descendants(pid: i32) -> Vec<i32> {
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(&parent) = all.get(next) {
        next += 1;
        let Ok(tasks) = fs::read_dir(format!("/proc/{parent}/task")) else {
            continue;
        };
        for task in tasks.flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            all.extend(
                children
                    .split_whitespace()
                    .filter_map(|child| child.parse::<i32>().ok()),
            );
        }
    }
    all.remove(0);
    all
}

/// A kernel thread of this machine: `PF_KTHREAD` (`0x20_0000`) in field 9.
///
/// # Errors
/// None is visible: the tests run inside a pid namespace.
pub fn kernel_thread() -> Result<i32> {
    let is_kernel_thread = |pid: i32| {
        let fields = stat_fields(pid).ok()?;
        let flags: u64 = fields.get(6)?.parse().ok()?;
        (flags & 0x20_0000 != 0).then_some(pid)
    };
    pids(Path::new("/proc"))?
        .into_iter()
        .find_map(is_kernel_thread)
        .context("no kernel thread in /proc: the tests need the initial pid namespace")
}

/// All pids a procfs shows.
///
/// # Errors
/// It cannot be listed.
pub fn pids(proc: &Path) -> Result<Vec<i32>> {
    let entries = fs::read_dir(proc).with_context(|| format!("list {}", proc.display()))?;
    let pid = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    Ok(entries.flatten().filter_map(pid).collect())
}
