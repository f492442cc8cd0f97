//! Which process is pinned behind which wrappers, told as streams of events.

use std::time::Duration;

mod story;

use story::{ROOT, Story, process};
use tracer::target::{KEPT, Miss, Rule};
use tracer::units::BootNs;

#[test]
fn a_plain_program_is_pinned_at_its_own_exec() {
    let mut story = Story::new(None);
    story.exec(ROOT, "python3|x.py");
    assert_eq!(story.found(), Some((ROOT, Rule::FirstProgram)));
    let target = &story.pinned[0].target;
    assert_eq!(
        (target.exe(), target.at()),
        (&b"/usr/bin/python3"[..], BootNs(1))
    );
}

#[test]
fn script_with_a_command_gives_the_program_inside_and_pins_once() {
    let mut story = Story::new(None);
    story
        .exec(
            ROOT,
            "script|-qefc|python3 -c 'x = bytearray(60<<20)'|/dev/null",
        )
        .fork(ROOT, 101)
        .exec_file(101, "/bin/sh", "sh|-c|python3 -c 'x = bytearray(60<<20)'")
        .exec(101, "python3|-c|x = bytearray(60<<20)")
        .exec(101, "late");
    assert_eq!(story.pinned.len(), 1);
    assert_eq!(story.pid(), Some(101));
    assert_eq!(story.wrappers(), ["script", "sh"]);
}

#[test]
fn sudo_that_forks_a_monitor_and_a_password_check_gives_its_command() {
    let mut story = Story::new(None);
    story
        .exec(ROOT, "sudo|-u|www|A=1|/opt/prog|-x")
        .fork(ROOT, 101)
        .exec(101, "/usr/sbin/unix_chkpwd|www|nullok")
        .exit(101)
        .fork(ROOT, 102)
        .fork(102, 103)
        .exec(103, "/opt/prog|-x");
    assert_eq!(story.pid(), Some(103));
    assert_eq!(story.wrappers(), ["sudo"]);
}

#[test]
fn a_login_shells_start_up_files_are_not_the_workload() {
    let mut story = Story::new(None);
    story.exec(ROOT, "bash|-lc|python3 x.py");
    for (pid, line) in [
        (101, "id|-u"),
        (102, "locale-check|C.UTF-8"),
        (103, "motd-tool"),
    ] {
        story.fork(ROOT, pid).exec(pid, line).exit(pid);
    }
    story.exec(ROOT, "python3|x.py");
    assert_eq!(story.found(), Some((ROOT, Rule::FirstProgram)));
}

#[test]
fn npx_gives_the_packages_script() {
    let mut story = Story::new(None);
    story
        .exec_file(
            ROOT,
            "/usr/bin/npx",
            "/usr/bin/env|node|/usr/bin/npx|cowsay|hi",
        )
        .exec(ROOT, "node|/usr/bin/npx|cowsay|hi")
        .fork(ROOT, 101)
        .exec(101, "sh|-c|cowsay hi")
        .exec_file(101, "/x/.bin/cowsay", "/usr/bin/env|node|/x/.bin/cowsay|hi")
        .exec(101, "node|/x/.bin/cowsay|hi");
    assert_eq!(story.pid(), Some(101));
    assert_eq!(story.pinned[0].target.argv()[0], b"node");
}

/// What `script -qefc 'python3 x.py' /dev/null` executes where python3 is a shim of pyenv 2.3.
fn pyenv(story: &mut Story) -> &mut Story {
    let (shim, dir) = ("/root/.pyenv/shims/python3", "/root/.pyenv/libexec");
    let by_env = |name: &str, rest: &str| format!("/usr/bin/env|bash|{dir}/{name}{rest}");
    let by_bash = |name: &str, rest: &str| format!("bash|{dir}/{name}{rest}");
    story
        .exec(ROOT, "script|-qefc|python3 x.py|/dev/null")
        .fork(ROOT, 101)
        .exec_file(101, "/bin/bash", "bash|-c|python3 x.py")
        .exec_file(101, shim, &format!("/usr/bin/env|bash|{shim}|x.py"))
        .exec(101, &format!("bash|{shim}|x.py"));
    for (name, rest) in [
        ("pyenv", "|exec|python3|x.py"),
        ("pyenv-exec", "|python3|x.py"),
    ] {
        story
            .exec_file(101, &format!("{dir}/{name}"), &by_env(name, rest))
            .exec(101, &by_bash(name, rest));
    }
    for (pid, name, rest) in [
        (102, "pyenv-version-name", "|-f"),
        (103, "pyenv-which", "|python3"),
    ] {
        story
            .fork(101, pid)
            .exec_file(pid, &format!("{dir}/{name}"), &by_env(name, rest))
            .exec(pid, &by_bash(name, rest))
            .fork(pid, pid + 10)
            .exec(pid + 10, "readlink|pyenv")
            .exit(pid + 10)
            .exit(pid);
    }
    story
}

#[test]
fn pyenv_shims_give_the_real_python_and_not_its_helpers() {
    for (expect, rule) in [(None, Rule::FirstProgram), (Some("python3"), Rule::Comm)] {
        let mut story = Story::new(expect);
        assert_eq!(
            pyenv(&mut story).found(),
            None,
            "{expect:?}: only wrappers so far"
        );
        story.exec(101, "/root/.pyenv/versions/3.11.7/bin/python3|x.py");
        assert_eq!(story.found(), Some((101, rule)));
        assert_eq!(story.pinned[0].target.comm().as_bytes(), b"python3");
    }
}

#[test]
fn a_shim_of_the_expected_name_that_ends_without_it_is_the_best_there_was() {
    let mut story = Story::new(Some("python3"));
    pyenv(&mut story).exit(101);
    assert_eq!(story.found(), Some((101, Rule::Script)));
}

#[test]
fn an_applet_run_without_an_exec_is_found_at_the_end() {
    let mut story = Story::new(None);
    story.exec(ROOT, "busybox|nice|true").exit(ROOT);
    let rule = story.resolver.conclude().map(|pinned| pinned.rule);
    assert_eq!(rule, Some(Rule::OnlyProcess));
}

#[test]
fn uv_run_is_not_fooled_by_its_interpreter_query() {
    let mut story = Story::new(None);
    story
        .exec(ROOT, "uv|run|python|x.py")
        .fork(ROOT, 101)
        .exec(101, "/usr/bin/python|-I|-B|-c|import sys")
        .exit(101)
        .fork(ROOT, 102)
        .exec(102, "/srv/.venv/bin/python|x.py");
    assert_eq!(story.pid(), Some(102));
}

#[test]
fn an_env_script_is_pinned_as_the_program_that_runs_it() {
    for expect in [None, Some("tool"), Some("python3")] {
        let mut story = Story::new(expect);
        story.exec_file(ROOT, "./tool", "/usr/bin/env|python3|./tool|a");
        assert_eq!(
            story.pid(),
            None,
            "{expect:?}: env is there only for a moment"
        );
        story.exec(ROOT, "python3|./tool|a");
        assert_eq!(story.pid(), Some(ROOT), "{expect:?}");
        assert_eq!(story.pinned[0].target.comm().as_bytes(), b"python3");
    }
}

#[test]
fn an_env_script_of_the_expected_name_that_cannot_run_is_still_the_one() {
    let mut story = Story::new(Some("tool"));
    story
        .exec_file(ROOT, "./tool", "/usr/bin/env|no-such|./tool")
        .exit(ROOT);
    assert_eq!(story.found(), Some((ROOT, Rule::Comm)));
}

#[test]
fn the_expected_name_may_be_comm_file_argv0_or_script() {
    for (expect, file, line, rule) in [
        ("claude", "/usr/bin/claude", "claude", Rule::Comm),
        ("claude", "/usr/bin/python3", "/x/claude|x.py", Rule::Argv0),
        (
            "run.sh",
            "/bin/bash",
            "bash|-eu|/srv/run.sh|x",
            Rule::Script,
        ),
        (
            "pytest",
            "/usr/bin/python3",
            "python3|-m|pytest|-x",
            Rule::Script,
        ),
        (
            "cli.js",
            "/usr/bin/node",
            "node|--max-old-space-size=4096|/x/cli.js",
            Rule::Script,
        ),
        ("/opt/claude", "/usr/bin/claude", "claude", Rule::Comm),
        (
            "a-name-longer-than-fifteen",
            "/x/a-name-longer-than-fifteen",
            "x",
            Rule::Comm,
        ),
    ] {
        let mut story = Story::new(Some(expect));
        story.exec_file(ROOT, file, line);
        assert_eq!(story.found(), Some((ROOT, rule)), "{expect} {line}");
    }
}

#[test]
fn names_cut_at_fifteen_bytes_do_not_confuse_programs_that_begin_alike() {
    let mut story = Story::new(Some("very-long-program-b"));
    story.exec(ROOT, "/x/very-long-program-a");
    assert_eq!(story.pid(), None);
    story.fork(ROOT, 101).exec(101, "/x/very-long-program-b");
    assert_eq!(story.pid(), Some(101));
}

#[test]
fn a_wrapper_whose_arguments_hold_the_name_is_not_it() {
    let mut story = Story::new(Some("python3"));
    story
        .exec(ROOT, "timeout|5|script|-qefc|python3 x.py|/dev/null")
        .exec(ROOT, "script|-qefc|python3 x.py|/dev/null")
        .fork(ROOT, 101)
        .exec(101, "sh|-c|python3 x.py");
    assert_eq!(story.pid(), None);
    story.exec(101, "python3|x.py");
    assert_eq!(story.found(), Some((101, Rule::Comm)));
    assert_eq!(story.wrappers(), ["timeout", "script", "sh"]);
}

#[test]
fn a_shell_whose_text_is_the_program_is_the_workload() {
    for text in [
        "exit 3",
        "kill -9 $$",
        "make; ./run",
        "for i in 1 2; do /bin/true; done",
    ] {
        let mut story = Story::new(None);
        story
            .exec(ROOT, "timeout|5|bash")
            .fork(ROOT, 101)
            .exec(101, &format!("bash|-c|{text}"));
        assert_eq!(story.found(), Some((101, Rule::ShellText)), "{text}");
    }
}

#[test]
fn a_shell_that_goes_on_after_its_program_is_said_to() {
    let mut story = Story::new(None);
    story
        .exec(ROOT, "sh|-c|python3 x; exit 7")
        .fork(ROOT, 101)
        .exec(101, "python3|x");
    assert_eq!(story.pid(), Some(101));
    assert!(story.pinned[0].shell_goes_on);
}

#[test]
fn a_shell_that_started_nothing_is_the_workload_once_it_has_ended() {
    let mut story = Story::new(None);
    story.exec(ROOT, "bash|-c|[ -e /none ] && prog").exit(ROOT);
    assert_eq!(story.pid(), None);
    let rule = story.resolver.conclude().map(|pinned| pinned.rule);
    assert_eq!(rule, Some(Rule::OnlyProcess));
    assert_eq!(story.resolver.conclude(), None, "once");
}

#[test]
fn a_wrapper_whose_command_does_not_exist_is_never_the_workload() {
    let mut story = Story::new(None);
    story
        .exec(ROOT, "timeout|5|no-such")
        .fork(ROOT, 101)
        .exit(101)
        .exit(ROOT);
    assert_eq!(story.resolver.conclude(), None);
}

#[test]
fn what_a_shell_function_ran_is_taken_when_nothing_better_came() {
    let mut story = Story::new(None);
    story
        .exec(ROOT, "bash|-lc|deploy")
        .fork(ROOT, 101)
        .exec(101, "id")
        .exit(101);
    story.fork(ROOT, 102).exec(102, "python3|deploy.py");
    assert_eq!(story.pid(), None);
    let pinned = story.resolver.settle().unwrap();
    assert_eq!(
        (pinned.target.process(), pinned.rule),
        (process(102), Rule::OnlyCandidate)
    );
}

#[test]
fn a_workload_of_two_milliseconds_under_three_wrappers_is_found_in_one_batch() {
    let mut story = Story::new(None);
    story
        .exec(ROOT, "timeout|5|nice|setsid|sleep|0.002")
        .fork(ROOT, 101)
        .exec(101, "nice|setsid|sleep|0.002")
        .exec(101, "setsid|sleep|0.002")
        .fork(101, 102)
        .exec(102, "sleep|0.002")
        .exit(102)
        .exit(101)
        .exit(ROOT);
    assert_eq!(story.pid(), Some(102));
}

#[test]
fn a_name_that_never_comes_is_an_error_that_tells_everything_seen() {
    let mut story = Story::new(Some("claude"));
    story
        .exec(ROOT, "script|-qefc|codex")
        .fork(ROOT, 101)
        .exec(101, "codex|--fast")
        .exit(101);
    assert_eq!(story.resolver.conclude(), None);
    let gone = story
        .resolver
        .failure(Miss::RootVanished, Duration::from_millis(12))
        .to_string();
    let late = story
        .resolver
        .failure(Miss::TimedOut, Duration::from_secs(2))
        .to_string();
    for part in [
        "100",
        "claude",
        "(script)",
        "101 (codex) /usr/bin/codex [codex --fast]: has another name",
    ] {
        assert!(
            gone.contains(part) && late.contains(part),
            "{part} in\n{gone}\n{late}"
        );
    }
    assert!(gone.contains("ended after 12ms") && late.contains("timed out after 2s"));
}

#[test]
fn a_storm_of_candidates_is_counted_and_not_kept() {
    let mut story = Story::new(Some("none"));
    for pid in 101..20_101 {
        story.fork(ROOT, pid).exec(pid, "true").exit(pid);
    }
    let error = story.resolver.failure(Miss::TimedOut, Duration::ZERO);
    assert_eq!(error.candidates.len(), KEPT);
    assert_eq!(error.more, 20_000 - u64::try_from(KEPT).unwrap());
}
