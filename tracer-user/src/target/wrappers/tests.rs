//! Sentences about single command lines; nests of them are in `tests/target_resolve.rs`.

use super::*;

fn of(line: &str) -> Part {
    let argv: Vec<Vec<u8>> = line
        .split('|')
        .map(|word| word.as_bytes().to_vec())
        .collect();
    part(&Image {
        comm: b"",
        filename: &argv[0],
        filename_cut: false,
        argv: &argv,
        argv_cut: false,
    })
}

fn wants(line: &str) -> String {
    match of(line) {
        Part::Wrapper { want: None, .. } => "anything".into(),
        Part::Wrapper {
            want: Some(want), ..
        } => want
            .name
            .map_or_else(|| "open".into(), |name| String::from_utf8(name).unwrap()),
        other => format!("{other:?}"),
    }
}

#[test]
fn programs_that_only_run_their_command_are_wrappers() {
    for line in [
        "script|-qefc|python3 x.py|/dev/null",
        "timeout|-k|1|5|python3",
        "/usr/bin/env|-i|A=1|prog",
        "nice|-n|10|prog",
        "nice|-10|prog",
        "ionice|-c3|prog",
        "nohup|prog",
        "setsid|-w|prog",
        "stdbuf|-oL|prog",
        "setpriv|--reuid|1000|--clear-groups|prog",
        "unshare|-pf|prog",
        "chroot|/srv|prog",
        "chrt|-f|10|prog",
        "taskset|-c|0,1|prog",
        "prlimit|--nofile=10|prog",
        "flock|-n|/tmp/lock|prog",
        "flock|/tmp/lock|-c|prog",
        "time|-v|prog",
        "tini|--|prog",
        "tini|-g|-p|SIGTERM|--|prog",
        "dumb-init|prog",
        "faketime|2020-01-01|prog",
        "strace|-f|-o|log|prog",
        "busybox|timeout|5|prog",
        "npx|cowsay",
        "node|/usr/lib/node_modules/npm/bin/npx-cli.js|cowsay",
        "node|/usr/bin/npm|run|dev",
        "sudo|-i",
        "perf|stat|-e|cycles|prog",
    ] {
        assert_eq!(wants(line), "anything", "{line}");
    }
}

#[test]
fn wrappers_that_run_other_programs_too_want_the_one_they_were_given() {
    for line in [
        "sudo|-u|www-data|-E|A=1|/opt/prog|-x",
        "doas|-u|x|prog",
        "sh|-c|prog -x",
        "bash|-lc|exec prog",
        "bash|-e|-c|A=1 prog",
        "zsh|-ic|cd /x && prog",
        "busybox|sh|-c|prog",
        "bash|/root/.pyenv/shims/prog|-V",
        "/opt/mise/shims/prog|-V",
        "pyenv|exec|prog|-V",
        "uv|run|--with|x|prog|-V",
        "uv|run|-m|prog",
        "python3|-m|poetry|run|prog",
        "/usr/bin/python3|/usr/local/bin/pipenv|run|prog",
        "conda|run|-n|base|prog",
        "direnv|exec|/srv|prog",
        "dbus-run-session|--|prog",
        "xvfb-run|-a|-s|-screen 0|prog",
        "systemd-run|--scope|-p|X=1|prog",
    ] {
        assert_eq!(wants(line), "prog", "{line}");
    }
}

#[test]
fn a_wrapper_that_runs_nothing_is_the_program_meant() {
    for line in [
        "env",
        "env|-i|A=1",
        "timeout|--help",
        "taskset|-p|1",
        "sudo|-v",
        "nice",
        "flock|9",
        "npm|install",
        "uv|sync",
        "poetry|install",
        "prlimit|--pid|1",
    ] {
        assert_eq!(of(line), Part::Program, "{line}");
    }
}

#[test]
fn programs_that_do_the_work_are_no_wrappers() {
    for line in [
        "python3|-c|print(1)",
        "bash|run.sh",
        "bash",
        "-bash",
        "sh|-s|x",
        "make|-j2",
        "xargs|prog",
        "gdb|--args|prog",
        "cargo|run",
        "python3|/opt/timeout.py",
    ] {
        assert_eq!(of(line), Part::Program, "{line}");
    }
    assert_eq!(of("bash|-c|exit 3"), Part::ShellText);
    assert_eq!(of("sh|-c|for i in 1 2; do x; done"), Part::ShellText);
}

#[test]
fn a_text_that_was_cut_leaves_the_name_open() {
    let argv: Vec<Vec<u8>> = vec![b"bash".to_vec(), b"-c".to_vec(), b"A=1 pyth".to_vec()];
    let cut = part(&Image {
        comm: b"bash",
        filename: b"/bin/bash",
        filename_cut: false,
        argv: &argv,
        argv_cut: true,
    });
    let Part::Wrapper {
        want: Some(want), ..
    } = cut
    else {
        panic!("{cut:?}");
    };
    assert_eq!(want.name, None);
}
