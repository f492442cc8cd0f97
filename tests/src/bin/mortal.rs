//! Ends, or waits to be ended, in one way: `mortal ACT [ARGUMENT]`. `ready` in the truth log is its pid.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Resource, Rlimit, setrlimit};
use tracer_tests::truth::Truth;
use tracer_tests::wait::{PATIENCE, wait_for};
use tracer_tests::{fatal, proc, sys};

const TERM: i32 = libc::SIGTERM;

fn ready() -> Result<()> {
    let mut truth = Truth::from_env()?;
    truth.note("ready", &sys::getpid().to_string());
    Ok(truth.flush()?)
}

fn forever() -> Result<()> {
    loop {
        std::thread::park();
    }
}

fn until(go: &str) -> Result<()> {
    wait_for("the word to go on", PATIENCE, || {
        Ok(Path::new(go).exists().then_some(()))
    })
}

fn limit(resource: Resource, soft: u64, hard: u64) -> Result<()> {
    let limit = Rlimit {
        current: Some(soft),
        maximum: Some(hard),
    };
    Ok(setrlimit(resource, limit)?)
}

fn burn() -> ! {
    loop {
        std::hint::black_box(0);
    }
}

/// The leader ends, another thread lives on.
fn leaderless() -> Result<()> {
    let leader = sys::getpid();
    std::thread::spawn(move || {
        let gone = wait_for("the leader's end", PATIENCE, || {
            Ok((proc::thread_state(leader, leader) == Some('Z')).then_some(()))
        });
        if gone.and_then(|()| ready()).is_err() {
            sys::exit_now(98);
        }
        forever()
    });
    sys::exit_thread(3)
}

fn join(cgroup: &str) -> Result<()> {
    std::fs::write(Path::new(cgroup).join("cgroup.procs"), "0")
        .with_context(|| format!("join {cgroup}"))
}

/// Joins a cgroup and takes memory there.
fn hog(cgroup: &str, mib: usize) -> Result<()> {
    join(cgroup)?;
    ready()?;
    fatal::hold_memory(mib);
    forever()
}

#[expect(clippy::too_many_lines, reason = "a table: one way to end a line")]
fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["wait"] => {
            ready()?;
            forever()
        }
        ["group"] => {
            rustix::process::setpgid(None, None)?;
            ready()?;
            forever()
        }
        ["exit", code] => sys::exit_now(code.parse()?),
        ["nowhere"] => {
            fatal::read_nowhere();
            Ok(())
        }
        ["report-and-crash"] => {
            fatal::repeat(libc::SIGSEGV);
            fatal::read_nowhere();
            Ok(())
        }
        ["beyond"] => {
            fatal::read_beyond();
            Ok(())
        }
        ["cut"] => fatal::touch_cut_file().map_err(Into::into),
        ["instruction"] => {
            fatal::bad_instruction();
            Ok(())
        }
        ["divide"] => {
            fatal::divide_by_zero();
            Ok(())
        }
        ["trap"] => {
            fatal::breakpoint();
            Ok(())
        }
        ["abort"] => fatal::abort(),
        ["forbidden"] => fatal::forbidden_call().map_err(Into::into),
        ["pretend", signal, code] => {
            fatal::pretend(signal.parse()?, code.parse()?).map_err(Into::into)
        }
        ["alarm"] => {
            fatal::alarm_in_ms(50);
            forever()
        }
        ["pipe"] => {
            fatal::default(libc::SIGPIPE);
            let (read, write) = rustix::pipe::pipe()?;
            drop(read);
            rustix::io::write(&write, b"x")?;
            Ok(())
        }
        ["cpu-soft"] => {
            limit(Resource::Cpu, 1, 5)?;
            burn()
        }
        ["cpu-hard"] => {
            limit(Resource::Cpu, 1, 1)?;
            burn()
        }
        ["real-time"] => {
            sys::ignore(libc::SIGXCPU, true);
            limit(Resource::Rttime, 50_000, 100_000)?;
            fatal::be_real_time()?;
            burn()
        }
        ["file-size", file] => {
            limit(Resource::Fsize, 10, 10)?;
            fatal::default(libc::SIGXFSZ);
            Ok(std::fs::write(file, [0; 100])?)
        }
        ["ignore"] => {
            sys::ignore(TERM, true);
            ready()?;
            forever()
        }
        ["handle"] => {
            fatal::exit_143_on(TERM);
            ready()?;
            forever()
        }
        ["shrug-once", go] => {
            fatal::shrug_at(TERM);
            ready()?;
            until(go)?;
            fatal::default(TERM);
            let mut truth = Truth::from_env()?;
            truth.note("default", "");
            truth.flush()?;
            forever()
        }
        ["block", go] => {
            sys::block(TERM);
            ready()?;
            until(go)?;
            fatal::unblock(TERM);
            forever()
        }
        ["no-details"] => {
            // sigqueue and tgkill of a standard signal then lose their details, not the signal.
            limit(Resource::Sigpending, 0, 0)?;
            ready()?;
            forever()
        }
        ["follow"] => {
            fatal::follow_parent(TERM)?;
            ready()?;
            forever()
        }
        ["leaderless"] => leaderless(),
        // A child that has a zombie for its parent, and a living one.
        ["leaderless", program, arguments @ ..] => {
            Command::new(program).args(arguments).spawn()?;
            leaderless()
        }
        ["hog", cgroup, mib] => hog(cgroup, mib.parse()?),
        // One waits in the cgroup, another takes memory there; this one waits for both, outside of it.
        ["hog-beside", cgroup, mib] => {
            let waits = sys::fork(|| i32::from(join(cgroup).and_then(|()| forever()).is_err()))?;
            wait_for("the first to join", PATIENCE, || {
                let members = std::fs::read_to_string(Path::new(cgroup).join("cgroup.procs"))?;
                Ok((!members.is_empty()).then_some(()))
            })?;
            let mib = mib.parse()?;
            let takes = sys::fork(|| i32::from(hog(cgroup, mib).is_err()))?;
            let mut truth = Truth::from_env()?;
            truth.note("waits", &waits.to_string());
            truth.note("takes", &takes.to_string());
            truth.flush()?;
            for child in [waits, takes] {
                sys::wait4(child)?;
            }
            sys::exit_now(7)
        }
        ["share", cgroup, mib] => {
            let sharer = fatal::sharer()?;
            let mut truth = Truth::from_env()?;
            truth.note("sharer", &sharer.to_string());
            truth.flush()?;
            // Writing 0 moves only this one: the memory is charged to it either way.
            hog(cgroup, mib.parse()?)
        }
        other => bail!("no act {other:?}"),
    }
}
