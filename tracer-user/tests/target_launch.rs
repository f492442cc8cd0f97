//! What a started command finds, compared with the same command started without us.
//!
//! This program is also the launcher it tests (`--launch …`), a process of its own without the
//! threads and descriptors of a test harness. What the command finds is told by `cat` of its own
//! files in `/proc`, which changes nothing before it looks.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what must hold, helpers included"
)]

mod harness;
mod launching;

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use harness::tests;
use launching::{Found, found_by, launcher, scratch, wait_for};
use rustix::process::Signal;

const TESTS: &[(&str, fn())] = tests![
    a_command_finds_what_it_would_without_us,
    ignored_and_blocked_signals_reach_the_command,
    closed_descriptors_stay_closed,
    limits_umask_and_extra_descriptors_are_passed_on,
    exit_codes_and_signals_are_reported_raw,
    a_command_that_is_nowhere_is_127_and_says_where_it_was_sought,
    a_file_that_cannot_run_is_126,
    a_script_without_interpreter_line_is_the_shells,
    a_command_never_runs_when_its_launcher_dies_first,
    a_command_given_up_leaves_nothing_behind,
    a_command_killed_before_its_release_is_said_to,
    another_user_gets_its_ids_groups_and_names,
    a_terminal_of_ours_is_the_commands_own,
    stops_and_continues_are_reported,
    signals_to_the_launcher_reach_the_command_once,
    ignored_hang_ups_end_neither_of_them,
    piped_input_ends_for_a_command_with_a_terminal,
    the_real_terminal_is_given_back,
];

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "--launch") {
        return launching::as_launcher(&args[1..]);
    }
    harness::run_tests(TESTS, &args)
}

fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// Compares what `cat` finds alone and under the launcher, both started in the way `prepare` says.
fn same_with_and_without(prepare: impl Fn(&mut Command)) -> Found {
    let [alone, launched] = [false, true].map(|in_launcher| found_by(in_launcher, &prepare));
    assert_eq!(launched, alone);
    launched
}

fn a_command_finds_what_it_would_without_us() {
    let found = same_with_and_without(|command| {
        command
            .current_dir("/usr")
            .env("ODD", "a\nb")
            .env("EMPTY", "");
    });
    // Rust gives its children SIGPIPE back.
    assert_eq!(found.mask("SigIgn") & bit(libc::SIGPIPE), 0);
    assert_eq!(found.mask("SigBlk"), 0);
}

fn ignored_and_blocked_signals_reach_the_command() {
    let found = same_with_and_without(|command| {
        let prepare = || {
            for signal in [libc::SIGPIPE, libc::SIGINT, libc::SIGHUP, libc::SIGCHLD] {
                // SAFETY: an ignored signal involves no code of ours.
                unsafe { libc::signal(signal, libc::SIG_IGN) };
            }
            launching::block(&[libc::SIGUSR1, libc::SIGTERM, libc::SIGRTMIN() + 2]);
            Ok(())
        };
        // SAFETY: between fork and exec, only async-signal-safe functions are called.
        unsafe { command.pre_exec(prepare) };
    });
    for signal in [libc::SIGPIPE, libc::SIGINT, libc::SIGHUP, libc::SIGCHLD] {
        assert_ne!(found.mask("SigIgn") & bit(signal), 0, "{signal}");
    }
    for signal in [libc::SIGUSR1, libc::SIGTERM, libc::SIGRTMIN() + 2] {
        assert_ne!(found.mask("SigBlk") & bit(signal), 0, "{signal}");
    }
}

fn closed_descriptors_stay_closed() {
    let found = same_with_and_without(|command| {
        let prepare = || {
            for fd in [0, 2] {
                // SAFETY: closes a descriptor that nothing in the child uses.
                unsafe { libc::close(fd) };
            }
            Ok(())
        };
        // SAFETY: between fork and exec, only async-signal-safe functions are called.
        unsafe { command.pre_exec(prepare) };
    });
    assert!(!found.descriptors.contains(&"2".into()), "{found:?}");
}

fn limits_umask_and_extra_descriptors_are_passed_on() {
    let file = fs::File::open("/dev/null").unwrap();
    let found = same_with_and_without(|command| {
        let from = std::os::fd::AsRawFd::as_raw_fd(&file);
        let prepare = move || {
            let limit = libc::rlimit {
                rlim_cur: 300,
                rlim_max: 400,
            };
            // SAFETY: these take numbers and one valid limit.
            unsafe {
                libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
                libc::umask(0o027);
                libc::nice(3);
                libc::dup2(from, 9);
            }
            Ok(())
        };
        // SAFETY: between fork and exec, only async-signal-safe functions are called.
        unsafe { command.pre_exec(prepare) };
    });
    assert_eq!(found.status("Umask"), "0027");
    assert!(found.descriptors.contains(&"9".into()), "{found:?}");
}

fn run(args: &[&str]) -> (String, String) {
    let output = launcher(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

fn exit_codes_and_signals_are_reported_raw() {
    for (script, status) in [
        ("exit 0", "0x0"),
        ("exit 7", "0x700"),
        ("kill -9 $$", "0x9"),
        ("kill -15 $$", "0xf"),
    ] {
        assert_eq!(
            run(&["sh", "-c", script]).1,
            format!("status {status}\n"),
            "{script}"
        );
    }
}

fn a_command_that_is_nowhere_is_127_and_says_where_it_was_sought() {
    let mut command = launcher(&["no-such-command"]);
    let output = command.env("PATH", "/nowhere:/usr/bin").output().unwrap();
    assert_eq!(output.status.code(), Some(127));
    let text = String::from_utf8(output.stderr).unwrap();
    let wanted = "\"no-such-command\" not found: it is in none of the 2 folders of PATH";
    assert!(text.contains(wanted), "{text}");
}

fn a_file_that_cannot_run_is_126() {
    let directory = scratch();
    let file = directory.path().join("plain");
    fs::write(&file, "x").unwrap();
    let output = launcher(&[file.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(126));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains(&format!("cannot execute {}", file.display())) && text.contains("denied"),
        "{text}"
    );
}

fn a_script_without_interpreter_line_is_the_shells() {
    let directory = scratch();
    let file = launching::executable(directory.path(), "old", "echo \"$1 $0\"\n");
    let name = file.to_str().unwrap();
    assert_eq!(
        run(&[name, "hello"]),
        (format!("hello {name}\n"), "status 0x0\n".into())
    );
}

fn a_command_never_runs_when_its_launcher_dies_first() {
    let directory = scratch();
    let mark = directory.path().join("ran");
    let mut command = launcher(&["--hold", "touch", mark.to_str().unwrap()]);
    let mut launcher = command.stdout(Stdio::piped()).spawn().unwrap();
    let child = launching::line(launcher.stdout.as_mut().unwrap());
    launcher.kill().unwrap();
    launcher.wait().unwrap();
    wait_for("the child ends", || !launching::runs(&child));
    assert!(!mark.exists());
}

fn a_command_given_up_leaves_nothing_behind() {
    let (child, _) = run(&["--drop", "sleep", "100"]);
    assert!(!launching::exists(child.trim()), "{child}");
}

fn a_command_killed_before_its_release_is_said_to() {
    let output = launcher(&["--kill", "true"]).output().unwrap();
    assert_eq!(output.status.code(), Some(128 + libc::SIGTERM));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("ended before it was released (wait status 0xf)"),
        "{text}"
    );
}

fn another_user_gets_its_ids_groups_and_names() {
    let (out, error) = run(&[
        "--user",
        "daemon",
        "sh",
        "-c",
        "id -un; id -G; echo $HOME $USER $LOGNAME; id -ru",
    ]);
    let want = Command::new("id").args(["-G", "daemon"]).output().unwrap();
    let groups = String::from_utf8(want.stdout).unwrap();
    assert_eq!(
        out,
        format!("daemon\n{groups}/usr/sbin daemon daemon\n1\n"),
        "{error}"
    );
}

fn a_terminal_of_ours_is_the_commands_own() {
    let script = "test -t 0 && test -t 1 && test -t 2 && stty size && ps -o pid=,sid=,tpgid= -p $$; \
                  exec 3</dev/tty && echo has a terminal; ls -l /proc/self/fd";
    let (out, error) = run(&["--pty", "sh", "-c", script]);
    let lines: Vec<&str> = out.lines().map(str::trim).collect();
    assert_eq!(lines[0], "24 80", "{out} {error}");
    let ids: Vec<&str> = lines[1].split_whitespace().collect();
    assert!(
        ids[0] == ids[1] && ids[1] == ids[2],
        "leads its session in front: {ids:?}"
    );
    assert_eq!(lines[2], "has a terminal");
    for ours in ["ptmx", "pidfd", "signalfd"] {
        assert!(!out.contains(ours), "{out}");
    }
}

fn stops_and_continues_are_reported() {
    let mut launcher = launcher(&["sh", "-c", "echo $$; kill -STOP $$; read line; exit 4"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let command: u32 = launching::line(launcher.stdout.as_mut().unwrap())
        .parse()
        .unwrap();
    let said = launcher.stderr.as_mut().unwrap();
    assert_eq!(launching::line(said), format!("stopped {}", libc::SIGSTOP));
    launching::kill(command, Signal::CONT);
    assert_eq!(launching::line(said), "continued");
    drop(launcher.stdin.take());
    let output = launcher.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "status 0x400\n");
}

fn signals_to_the_launcher_reach_the_command_once() {
    let script = "trap 'n=$((n+1))' USR1; trap 'echo got $n; exit 5' TERM; echo ready; while :; do sleep 0.01; done";
    let mut launcher = launcher(&["sh", "-c", script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(launching::line(launcher.stdout.as_mut().unwrap()), "ready");
    launching::kill(launcher.id(), Signal::USR1);
    launching::kill(launcher.id(), Signal::TERM);
    let output = launcher.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "got 1\n");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "status 0x500\n");
}

fn ignored_hang_ups_end_neither_of_them() {
    let mut command = launcher(&["sh", "-c", "echo ready; read line; exit 6"]);
    // SAFETY: an ignored signal involves no code of ours.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGHUP, libc::SIG_IGN);
            Ok(())
        });
    }
    let mut launcher = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(launching::line(launcher.stdout.as_mut().unwrap()), "ready");
    // A blocked signal is queued even if it is ignored: the launcher must not have blocked it.
    let blocked = launching::mask_of(launcher.id(), "SigBlk");
    assert_eq!(
        blocked & (bit(libc::SIGHUP) | bit(libc::SIGTERM)),
        bit(libc::SIGTERM)
    );
    launching::kill(launcher.id(), Signal::HUP);
    drop(launcher.stdin.take());
    let output = launcher.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "status 0x600\n");
}

fn piped_input_ends_for_a_command_with_a_terminal() {
    for (input, want) in [
        ("one\ntwo\n", "one\ntwo\n"),
        ("no newline", "no newline"),
        ("", ""),
    ] {
        let mut launcher = launcher(&[
            "--pty",
            "sh",
            "-c",
            "stty -echo -onlcr; echo go; cat; echo end",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
        assert_eq!(launching::line(launcher.stdout.as_mut().unwrap()), "go");
        std::io::Write::write_all(&mut launcher.stdin.take().unwrap(), input.as_bytes()).unwrap();
        let output = launcher.wait_with_output().unwrap();
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            format!("{want}end\n")
        );
    }
}

fn the_real_terminal_is_given_back() {
    for ending in ["exit 0", "kill -9 $$"] {
        let terminal = launching::Terminal::open();
        let before = terminal.settings();
        let mut launcher = terminal.spawn(launcher(&[
            "--pty",
            "sh",
            "-c",
            &format!("echo ready; read x; {ending}"),
        ]));
        terminal.read_until("ready");
        assert_ne!(terminal.settings(), before, "raw while the command runs");
        terminal.type_keys(b"\n");
        launcher.wait().unwrap();
        assert_eq!(terminal.settings(), before, "{ending}");
    }
}
