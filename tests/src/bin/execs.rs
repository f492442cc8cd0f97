//! Unusual execs: `execs thread|thread-after-leader|twice|bytes|huge|empty|no-argv|by-fd|missing`.
//!
//! Each act forks a child that execs `tiny 9` in its own way; the truth log has the path given to
//! execve and the wait status.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsRawFd as _;

use anyhow::{Result, bail};
use tracer_tests::exec::Argv;
use tracer_tests::place;
use tracer_tests::sys;
use tracer_tests::truth::Truth;
use tracer_tests::wait::{PATIENCE, wait_for};

/// Bytes that are not UTF-8, a newline, an escape sequence, and an argument that looks like JSON.
const ODD: [&std::ffi::CStr; 5] = [c"\xff\xfe\x80", c"a\nb", c"\x1b[31m", c"\"},{", c""];

fn exec_in_thread(file: CString, after_leader: bool) -> i32 {
    let leader = sys::getpid();
    let exec = move || {
        let ready = !after_leader
            || wait_for("the leader's end", PATIENCE, || {
                Ok((tracer_tests::proc::thread_state(leader, leader) == Some('Z')).then_some(()))
            })
            .is_ok();
        if ready {
            let _ = Argv::new(&file, &[c"tiny", c"9"]).exec();
        }
        sys::exit_now(99);
    };
    match std::thread::Builder::new().spawn(exec) {
        Ok(_) if after_leader => sys::exit_thread(3),
        // A successful exec by the thread ends this leader inside join.
        Ok(thread) => thread.join().map_or(97, |()| 96),
        Err(_) => 98,
    }
}

fn exec(file: &CString, argv: &[&std::ffi::CStr]) -> i32 {
    let _ = Argv::new(file, argv).exec();
    99
}

fn act(truth: &mut Truth, name: &str) -> Result<()> {
    let tiny = place::fixture_text("tiny")?;
    let file = CString::new(tiny.clone())?;
    // 800 arguments of 127 bytes and their NULs: 100 KiB.
    let long = CString::new(vec![b'x'; 127])?;
    let huge: Vec<_> = [c"tiny", c"9"]
        .into_iter()
        .chain((0..800).map(|_| long.as_c_str()))
        .collect();
    let odd: Vec<_> = [c"tiny", c"9"].into_iter().chain(ODD).collect();
    let own = CString::new(place::fixture_text("execs")?)?;
    let open = File::open(&tiny)?;
    let mut path = tiny.clone();
    let child = match name {
        "thread" => sys::fork(|| exec_in_thread(file, false))?,
        "thread-after-leader" => sys::fork(|| exec_in_thread(file, true))?,
        "twice" => sys::fork(|| exec(&own, &[c"execs", c"--then-tiny"]))?,
        "bytes" => sys::fork(|| exec(&file, &odd))?,
        "huge" => sys::fork(|| exec(&file, &huge))?,
        "empty" => sys::fork(|| exec(&file, &[c"tiny", c"9", c"", c""]))?,
        // Since Linux 5.18 the kernel puts one empty argument where there is none.
        "no-argv" => sys::fork(|| exec(&file, &[]))?,
        "by-fd" => {
            path = format!("/dev/fd/{}", open.as_raw_fd());
            let argv = Argv::new(&file, &[c"tiny", c"9"]);
            sys::fork(|| {
                let _ = argv.exec_fd(open.as_raw_fd());
                99
            })?
        }
        "missing" => {
            path.clear();
            sys::fork(|| {
                let _ = exec(&c"/nonexistent/program".to_owned(), &[c"x"]);
                9
            })?
        }
        other => bail!("no act {other}"),
    };
    truth.fork(sys::getpid(), child);
    if name == "twice" {
        truth.exec(child, &place::fixture_text("execs")?);
    }
    if !path.is_empty() {
        truth.exec(child, &path);
    }
    let waited = sys::wait4(child)?;
    truth.note(name, &child.to_string());
    truth.waited(waited);
    Ok(truth.flush()?)
}

fn main() -> Result<()> {
    let acts: Vec<String> = std::env::args().skip(1).collect();
    if acts == ["--then-tiny"] {
        let tiny = CString::new(place::fixture_text("tiny")?)?;
        bail!("exec tiny: {}", Argv::new(&tiny, &[c"tiny", c"9"]).exec());
    }
    let mut truth = Truth::from_env()?;
    acts.iter().try_for_each(|name| act(&mut truth, name))
}
