//! A program cannot tell that it is observed: what it inherits, what it writes, how it ends.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Resource, Rlimit, Signal};
use tracer_tests::check::until_noted;
use tracer_tests::launch::Launch;
use tracer_tests::outline::{self, expect_same, pipe_with, same_lines_elsewhere};
use tracer_tests::pty::Pty;
use tracer_tests::room::Room;
use tracer_tests::sys;
use tracer_tests::wait::PATIENCE;

#[test]
fn what_a_program_reads_writes_and_inherits_is_the_same() -> Result<()> {
    let outline = expect_same("0", &["an argument", "", "--json", "-v", "--"], &|launch| {
        Ok(launch.stdio(0, pipe_with(b"first line\nsecond, without an end")?))
    })?;
    ensure!(outline.end.stdout == b"first line\nsecond, without an endsaid on stdout\n");
    ensure!(
        outline.lines.len() > 60,
        "show_self says too little: {:#?}",
        outline.lines
    );
    Ok(())
}

#[test]
fn without_q_tracer_adds_to_stderr_only() -> Result<()> {
    let room = Room::new()?;
    let traced = outline::traced(&room, &["--require-trace"], "3", &[], &Ok)?;
    ensure!(
        traced.end.code == Some(3) && traced.end.stdout == b"said on stdout\n",
        "{:?}",
        traced.end
    );
    ensure!(
        traced.end.stderr.starts_with("said on stderr\n") && traced.end.stderr.lines().count() > 3
    );
    let folder = room.session_folder()?;
    ensure!(
        traced.end.stderr.contains(&*folder.to_string_lossy()),
        "where is the record?"
    );
    Ok(())
}

#[test]
fn exit_codes_and_signals_come_through() -> Result<()> {
    for end in [
        "1", "2", "125", "127", "255", "-15", "-9", "-11", "-6", "-13", "-2", "-1",
    ] {
        expect_same(end, &[], &|launch| {
            Ok(launch.before_exec(|| {
                let none = Rlimit {
                    current: Some(0),
                    maximum: Some(0),
                };
                Ok(rustix::process::setrlimit(Resource::Core, none)?)
            }))
        })
        .with_context(|| format!("ending with {end}"))?;
    }
    Ok(())
}

#[test]
fn dispositions_and_masks_are_inherited_as_they_are() -> Result<()> {
    // SIGPIPE is what the standard library's runtime changes; SIGCHLD ignored breaks waitpid.
    for signal in [
        libc::SIGPIPE,
        libc::SIGINT,
        libc::SIGHUP,
        libc::SIGCHLD,
        libc::SIGTERM,
        libc::SIGTSTP,
    ] {
        for ignored in [false, true] {
            let outline = expect_same("0", &[], &move |launch| {
                Ok(launch.before_exec(move || {
                    sys::ignore(signal, ignored);
                    Ok(())
                }))
            });
            let outline = outline.with_context(|| format!("signal {signal} ignored: {ignored}"))?;
            let mask = outline
                .lines
                .iter()
                .find_map(|line| line.strip_prefix("SigIgn "));
            let mask = u64::from_str_radix(mask.context("no SigIgn")?, 16)?;
            ensure!(
                (mask >> (signal - 1) & 1 == 1) == ignored,
                "the test did not set it: {mask:x}"
            );
        }
    }
    for signal in [libc::SIGUSR1, libc::SIGTERM, libc::SIGCHLD, libc::SIGINT] {
        expect_same("0", &[], &move |launch| {
            Ok(launch.before_exec(move || {
                sys::block(signal);
                Ok(())
            }))
        })
        .with_context(|| format!("signal {signal} blocked"))?;
    }
    Ok(())
}

#[test]
fn closed_standard_descriptors_stay_closed() -> Result<()> {
    for closed in [&[0][..], &[1], &[2], &[0, 1, 2]] {
        let outline = expect_same("0", &[], &move |launch| {
            Ok(launch.before_exec(move || {
                for &fd in closed {
                    sys::close(fd);
                }
                Ok(())
            }))
        });
        let outline = outline.with_context(|| format!("{closed:?} closed"))?;
        for fd in closed {
            let start = format!("fd {fd} ");
            ensure!(
                !outline.lines.iter().any(|line| line.starts_with(&start)),
                "{fd} was not closed"
            );
        }
    }
    Ok(())
}

#[test]
fn other_open_descriptors_and_their_flags_come_through() -> Result<()> {
    let file = File::open("/etc/passwd")?;
    let (pipe, _write) = std::io::pipe()?;
    let (file, pipe) = (file.as_raw_fd(), pipe.as_raw_fd());
    expect_same("0", &[], &move |launch| {
        Ok(launch.before_exec(move || {
            sys::put_at(file, 3)?;
            sys::put_at(pipe, 9)?;
            sys::put_at(file, 200)
        }))
    })?;
    // A terminal's O_NONBLOCK is shared with whoever set it; stdin of a shell pipeline often has it.
    expect_same("0", &[], &|launch| {
        let (read, write) = std::io::pipe()?;
        rustix::io::ioctl_fionbio(&read, true)?;
        drop(write);
        Ok(launch.stdio(0, Stdio::from(read)))
    })?;
    Ok(())
}

#[test]
fn limits_priorities_umask_and_directory_are_inherited() -> Result<()> {
    let outline = expect_same("0", &[], &|mut launch: Launch| {
        launch.raw().current_dir("/usr/lib");
        Ok(launch.before_exec(|| {
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o027));
            let limit = |current, maximum| Rlimit {
                current: Some(current),
                maximum: Some(maximum),
            };
            rustix::process::setrlimit(Resource::Nofile, limit(77, 300))?;
            rustix::process::setrlimit(Resource::Core, limit(4096, 1 << 20))?;
            rustix::process::setrlimit(Resource::Memlock, limit(64 << 10, 64 << 10))?;
            rustix::process::setrlimit(Resource::Stack, limit(1 << 20, 8 << 20))?;
            rustix::process::nice(5)?;
            Ok(())
        }))
    })?;
    let says = |text: &str| outline.lines.iter().any(|line| line.contains(text));
    ensure!(
        says("Umask 0027") && says("nice 5") && says("cwd Some(\"/usr/lib\")"),
        "{:#?}",
        outline.lines
    );
    Ok(())
}

#[test]
fn the_observer_goes_ahead_of_what_it_watches() -> Result<()> {
    let room = Room::new()?;
    let before = rustix::process::getpriority_process(None)?;
    let nice = |pid: i32| -> Result<i32> {
        let pid = rustix::process::Pid::from_raw(pid);
        Ok(rustix::process::getpriority_process(pid)?)
    };
    let tracer = room.run()?.arg("-q").observe("listener", &[])?.spawn()?;
    let command = until_noted(&room, "ready")?.parse()?;
    let (ours, its) = (nice(tracer.pid())?, nice(command)?);
    tracer.signal(Signal::TERM)?;
    tracer.finish(PATIENCE)?.expect_code(42)?;
    ensure!(its == before, "the command has {its}, not {before}");
    ensure!(ours == (before - 10).max(-20), "the observer has {ours}");
    Ok(())
}

#[test]
fn the_environment_is_the_same_bytes_in_the_same_order() -> Result<()> {
    expect_same("0", &[], &|mut launch: Launch| {
        launch.raw().env_clear();
        Ok(launch)
    })?;
    expect_same("0", &[], &|mut launch: Launch| {
        let odd = std::ffi::OsStr::from_bytes(b"\xff\xfe=\n");
        launch
            .raw()
            .env_clear()
            .env("Z", "1")
            .env("A", odd)
            .env("EMPTY", "")
            .env("TERM", "dumb");
        launch
            .raw()
            .env("LD_BIND_NOW", "1")
            .env("RUST_LOG", "trace")
            .env("RUST_BACKTRACE", "1");
        Ok(launch)
    })?;
    Ok(())
}

#[test]
fn a_terminal_is_the_same_terminal_in_the_foreground() -> Result<()> {
    let room = Room::new()?;
    // A shell leads the session in both runs, as at a desk.
    let on_terminal = |command: Launch, report: &str| -> Result<Vec<String>> {
        let mut pty = Pty::new(31, 97)?;
        let running = pty.spawn(command)?;
        let shown = pty.watch_to_end(&running, PATIENCE)?;
        running
            .finish(PATIENCE)?
            .expect_code(6)
            .with_context(|| shown)?;
        let text = std::fs::read_to_string(room.path(report))?;
        Ok(text.lines().map(str::to_owned).collect())
    };
    let shell = |command: &str| {
        room.program("sh")
            .args(["-c", &format!("{command}; exit $?")])
    };
    let (tracer, show) = (
        tracer_tests::place::tracer()?,
        tracer_tests::place::fixture("show_self")?,
    );
    let launch = shell("\"$0\" \"$1\" 6")
        .arg(&show)
        .arg(room.path("report.alone"));
    let alone = on_terminal(launch, "report.alone")?;
    let line = "\"$0\" run -q --require-trace --state-dir \"$1\" -- \"$2\" \"$3\" 6";
    let launch = shell(line)
        .arg(tracer)
        .arg(room.state())
        .arg(show)
        .arg(room.path("report.traced"));
    let under_tracer = on_terminal(launch, "report.traced")?;
    ensure!(
        alone.iter().any(|line| line == "in the foreground true"),
        "{alone:#?}"
    );
    ensure!(
        alone.iter().any(|line| line == "fd 0 size 31x97"),
        "{alone:#?}"
    );
    same_lines_elsewhere(&alone, &under_tracer)
}

#[test]
fn user_gives_the_command_that_users_identity_and_no_privilege() -> Result<()> {
    let room = Room::new()?;
    // The build directory may be closed to other users.
    let show = room.path("show_self");
    std::fs::copy(tracer_tests::place::fixture("show_self")?, &show)?;
    let launch = room
        .run()?
        .args(["-q", "--require-trace", "--user", "nobody"]);
    let report = room.path("report");
    launch
        .command([&show, &report])
        .arg("4")
        .finish(PATIENCE)?
        .expect_code(4)?;
    let report = std::fs::read_to_string(report)?;
    let nobody = "65534\t65534\t65534\t65534";
    for line in [
        &format!("Uid {nobody}"),
        &format!("Gid {nobody}"),
        "CapPrm 0000000000000000",
        "CapEff 0000000000000000",
        "CapAmb 0000000000000000",
    ] {
        ensure!(
            report.lines().any(|found| found == line),
            "no {line:?} in\n{report}"
        );
    }
    let groups = report.lines().find_map(|line| line.strip_prefix("Groups "));
    ensure!(
        matches!(groups.map(str::trim), Some("" | "65534")),
        "groups {groups:?}"
    );
    ensure!(
        report.contains("dumpable 1"),
        "a program that is not set-uid is dumpable"
    );
    room.session()?.expect_complete()
}

#[test]
fn an_unknown_user_is_an_error_before_anything_runs() -> Result<()> {
    let room = Room::new()?;
    let launch = room.run()?.args(["--user", "no-such-user"]);
    let end = launch
        .command(["touch"])
        .arg(room.path("ran"))
        .finish(PATIENCE)?;
    ensure!(
        matches!(end.code, Some(2 | 125)),
        "{:?}\n{}",
        end.code,
        end.stderr
    );
    ensure!(
        !room.path("ran").exists() && end.stderr.contains("no-such-user"),
        "{}",
        end.stderr
    );
    Ok(())
}
