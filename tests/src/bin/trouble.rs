//! Does one thing wrong, when told, and stops doing it, when told:
//! `trouble ACT FOLDER`, one ACT for each function below. It waits for the files `go`, `stop` and `over` there.

use std::ffi::CString;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use tracer_tests::sys;
use tracer_tests::truth::Truth;
use tracer_tests::wait::{PATIENCE, wait_for};

/// Children that nobody reaps.
const ZOMBIES: usize = 3;
/// Soft limit of descriptors, and how many of them are used up.
const LIMIT: u64 = 100;
/// Processes made at once.
const STORM: usize = 400;
/// Memory at first, and after it has grown, MiB.
const GROWS: [usize; 2] = [16, 64];

/// Memory taken at once, MiB.
const FILL: usize = 26;

/// Where the files are that it waits for.
struct Folder(PathBuf);

impl Folder {
    fn until(&self, name: &str) -> Result<()> {
        let file = self.0.join(name);
        wait_for(name, PATIENCE * 4, || Ok(file.exists().then_some(())))
    }
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let act = args.next().context("which trouble?")?;
    let folder = Folder(args.next().context("which folder?")?.into());
    match act.as_str() {
        "busy" => busy(&folder)?,
        "zombies" => zombies(&folder)?,
        "fds" => descriptors(&folder)?,
        "pending" => pending(&folder)?,
        "grow" => grow(&folder)?,
        "storm" => storm(&folder)?,
        "fill" => fill(&folder)?,
        "held" => held(&folder)?,
        "held-thread" => held_thread(&folder)?,
        "rename" => rename(&folder)?,
        "exec" => exec(&folder)?,
        "calm" => {}
        other => bail!("no trouble {other}"),
    }
    folder.until("over")
}

fn ready(folder: &Folder) -> Result<()> {
    let mut truth = Truth::from_env()?;
    truth.note("ready", &sys::getpid().to_string());
    truth.flush()?;
    folder.until("go")
}

fn busy(folder: &Folder) -> Result<()> {
    ready(folder)?;
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        let stopped = folder.until("stop");
        over.store(true, Ordering::Relaxed);
        stopped
    })
}

fn zombies(folder: &Folder) -> Result<()> {
    ready(folder)?;
    let children: Vec<i32> = (0..ZOMBIES)
        .map(|_| sys::fork(|| 0))
        .collect::<std::io::Result<_>>()?;
    folder.until("stop")?;
    for child in children {
        sys::wait4(child)?;
    }
    Ok(())
}

fn descriptors(folder: &Folder) -> Result<()> {
    let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let limits = rustix::process::Rlimit {
        current: Some(LIMIT),
        ..limits
    };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limits)?;
    ready(folder)?;
    let mut held = Vec::new();
    while held.len() < 85 {
        held.push(File::open(Path::new("/dev/null"))?);
    }
    folder.until("stop")?;
    drop(held);
    Ok(())
}

fn pending(folder: &Folder) -> Result<()> {
    sys::block(libc::SIGUSR1);
    ready(folder)?;
    let own = rustix::process::getpid();
    rustix::process::kill_process(own, rustix::process::Signal::USR1)?;
    folder.until("stop")?;
    sys::take_signal(&[libc::SIGUSR1])?;
    Ok(())
}

fn grow(folder: &Folder) -> Result<()> {
    let [first, then] = GROWS.map(|mib| mib << 20);
    let mut held = vec![1_u8; first];
    ready(folder)?;
    held.resize(then, 1);
    folder.until("stop")?;
    // Large blocks are given back at once (mallopt(3), M_MMAP_THRESHOLD).
    drop(held);
    Ok(())
}

fn storm(folder: &Folder) -> Result<()> {
    ready(folder)?;
    for _ in 0..STORM {
        sys::wait4(sys::fork(|| 0)?)?;
    }
    folder.until("stop")
}

/// Takes memory, and says when it has it.
fn fill(folder: &Folder) -> Result<()> {
    ready(folder)?;
    let held = vec![1_u8; FILL << 20];
    let mut truth = Truth::from_env()?;
    truth.note("filled", &sys::getpid().to_string());
    truth.flush()?;
    folder.until("stop")?;
    drop(held);
    Ok(())
}

/// Is in vfork until its child has ended.
fn held(folder: &Folder) -> Result<()> {
    ready(folder)?;
    let child = sys::clone(libc::CLONE_VFORK, || {
        i32::from(folder.until("stop").is_err())
    })?;
    reap(child)
}

/// As [`held`], but that is a thread and not the leader.
fn held_thread(folder: &Folder) -> Result<()> {
    ready(folder)?;
    let (reader, writer) = rustix::pipe::pipe()?;
    std::thread::scope(|scope| {
        // The child of a process with threads may only make system calls.
        let held = scope.spawn(|| {
            sys::clone(libc::CLONE_VFORK, || {
                i32::from(rustix::io::read(&reader, &mut [0]) != Ok(1))
            })
        });
        let stopped = folder.until("stop");
        rustix::io::write(&writer, b"x")?;
        let child = held.join().map_err(|_| anyhow!("the thread panicked"))??;
        stopped.and_then(|()| reap(child))
    })
}

fn reap(child: i32) -> Result<()> {
    let waited = sys::wait4(child)?;
    ensure!(waited.status == 0, "{waited:?}");
    Ok(())
}

/// Takes the name that is in `name`, and then its own again.
fn rename(folder: &Folder) -> Result<()> {
    let own = std::fs::read_to_string("/proc/self/comm")?;
    ready(folder)?;
    let name = std::fs::read_to_string(folder.0.join("name"))?;
    sys::set_comm(&CString::new(name)?)?;
    folder.until("stop")?;
    Ok(sys::set_comm(&CString::new(own.trim_end())?)?)
}

/// Executes the program that is called as `name` says.
fn exec(folder: &Folder) -> Result<()> {
    ready(folder)?;
    let program = folder
        .0
        .join(std::fs::read_to_string(folder.0.join("name"))?);
    Err(Command::new(program)
        .arg("calm")
        .arg(&folder.0)
        .exec()
        .into())
}
