//! Many processes at rest, of several kinds, until a file exists: `crowd N ZOMBIES FILE`.
//!
//! Of every four children one has two more threads, one has a signal pending that it blocks, one ten more
//! descriptors and a handler, and one nothing of all that. ZOMBIES more end at once and are waited for
//! only at the end. When all are at rest the truth log says `ready` with the time on the boot clock.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use tracer_tests::sys;
use tracer_tests::truth::Truth;
use tracer_tests::wait::{PATIENCE, wait_for};

fn rest(kind: usize, mut until: impl std::io::Read) -> Result<()> {
    let mut held = Vec::new();
    match kind % 4 {
        0 => {
            for _ in 0..2 {
                std::thread::spawn(|| {
                    loop {
                        std::thread::park();
                    }
                });
            }
        }
        1 => {
            sys::block(libc::SIGUSR1);
            sys::die_of(libc::SIGUSR1).ok();
        }
        2 => {
            for _ in 0..10 {
                held.push(File::open("/proc/self/stat")?);
            }
        }
        _ => {}
    }
    let mut byte = [0];
    let end = until.read(&mut byte)?;
    ensure!(end == 0, "somebody wrote");
    drop(held);
    Ok(())
}

fn is_asleep(pid: i32) -> bool {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return false;
    };
    let mut states = tasks.map(|task| {
        let stat = std::fs::read_to_string(task.ok()?.path().join("stat")).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    });
    states.all(|state| state == Some('S'))
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [count, zombies, file] = args.as_slice() else {
        anyhow::bail!("usage: crowd N ZOMBIES FILE")
    };
    let (count, zombies): (usize, usize) = (count.parse()?, zombies.parse()?);
    let mut truth = Truth::from_env()?;
    let (reader, writer) = std::io::pipe()?;
    let mut children = Vec::new();
    for kind in 0..count + zombies {
        let child = sys::fork(|| {
            if kind >= count {
                return 3;
            }
            let Ok(reader) = reader.try_clone() else {
                return 98;
            };
            sys::close(std::os::fd::AsRawFd::as_raw_fd(&writer));
            i32::from(rest(kind, reader).is_err())
        })?;
        truth.fork(sys::getpid(), child);
        children.push(child);
    }
    for (kind, &child) in children.iter().enumerate() {
        wait_for("a child at rest", PATIENCE, || {
            if kind >= count {
                let stat = std::fs::read_to_string(format!("/proc/{child}/stat"))?;
                return Ok(stat.contains(") Z ").then_some(()));
            }
            let threads = if kind % 4 == 0 { 3 } else { 1 };
            let there = std::fs::read_dir(format!("/proc/{child}/task"))?.count() == threads;
            Ok((there && is_asleep(child)).then_some(()))
        })?;
    }
    truth.note("ready", &sys::boot_ns().to_string());
    truth.flush()?;
    wait_for("the test to let go", PATIENCE, || {
        Ok(Path::new(file).exists().then_some(()))
    })?;
    drop(writer);
    for _ in &children {
        let waited = sys::wait4(-1).context("a child")?;
        truth.waited(waited);
    }
    Ok(truth.flush()?)
}
