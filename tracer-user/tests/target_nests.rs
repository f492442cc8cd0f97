//! Any nest of wrappers gives the workload inside, and an attach finds it in a tree that is there.

mod story;

use proptest::prelude::*;
use story::{ROOT, Story, existing, process};

#[test]
fn attaching_to_a_plain_process_pins_that() {
    let mut story = Story::new(None);
    story
        .resolver
        .existing(existing(101, Some(ROOT), "/bin/cat", "cat"));
    story
        .resolver
        .existing(existing(ROOT, None, "/usr/bin/python3.11", "python3|x.py"));
    let pinned = story.resolver.settle().unwrap();
    assert_eq!(
        (pinned.target.process(), pinned.target.exec_no()),
        (process(ROOT), 0)
    );
}

#[test]
fn attaching_to_a_wrapper_goes_down_to_its_command_past_the_monitor() {
    for expect in [None, Some("python3")] {
        let mut story = Story::new(expect);
        let sudo = "sudo|script|-qefc|python3 x.py|/dev/null";
        for one in [
            existing(104, Some(103), "/usr/bin/python3.11", "python3|x.py"),
            existing(103, Some(102), "/usr/bin/dash", "sh|-c|python3 x.py"),
            existing(102, Some(101), "/usr/bin/script", &sudo[5..]),
            existing(101, Some(ROOT), "/usr/bin/sudo", sudo),
            existing(ROOT, None, "/usr/bin/sudo", sudo),
        ] {
            story.resolver.existing(one);
        }
        let pinned = story.resolver.settle().unwrap();
        assert_eq!(pinned.target.process(), process(104), "{expect:?}");
    }
}

#[test]
fn who_ended_before_it_was_looked_at_is_found_by_name_and_only_by_name() {
    for expect in [None, Some("python3")] {
        let mut story = Story::new(expect);
        story.resolver.existing(existing(
            ROOT,
            None,
            "/usr/bin/timeout",
            "timeout|5|python3",
        ));
        let mut ended = existing(101, Some(ROOT), "/usr/bin/python3", "");
        ended.exe = None;
        ended.argv.clear();
        story.resolver.existing(ended);
        let pinned = story.resolver.settle();
        let found = pinned.map(|pinned| pinned.target.process());
        assert_eq!(found, expect.map(|_| process(101)));
    }
}

#[test]
fn attaching_before_the_command_was_started_waits_for_its_exec() {
    let mut story = Story::new(None);
    story.resolver.existing(existing(
        ROOT,
        None,
        "/usr/bin/timeout",
        "timeout|5|python3",
    ));
    assert_eq!(story.resolver.settle(), None);
    story.fork(ROOT, 101).exec(101, "python3");
    assert_eq!(story.pid(), Some(101));
}

/// One wrapper around a command, and whether it forks before the command runs.
fn wrap(kind: usize, inner: &str) -> (String, bool) {
    match kind {
        0 => (format!("timeout|-k|1|5|{inner}"), true),
        1 => (format!("env|A=1|{inner}"), false),
        2 => (format!("nice|-n|5|{inner}"), false),
        3 => (format!("setsid|{inner}"), true),
        4 => (format!("stdbuf|-oL|{inner}"), false),
        5 => (format!("sudo|-n|{inner}"), true),
        6 => (format!("tini|--|{inner}"), true),
        7 => (format!("sh|-c|exec {}", quoted(inner)), false),
        8 => (format!("bash|-lc|{}", quoted(inner)), true),
        9 => (format!("script|-qefc|{}|/dev/null", quoted(inner)), true),
        10 => (format!("uv|run|{inner}"), true),
        11 => (format!("busybox|nice|{inner}"), false),
        _ => (format!("xvfb-run|-a|{inner}"), true),
    }
}

/// A command as shell text.
fn quoted(line: &str) -> String {
    let words = line
        .split('|')
        .map(|word| format!("'{}'", word.replace('\'', r"'\''")));
    words.collect::<Vec<_>>().join(" ")
}

proptest! {
    #[test]
    fn any_nest_of_wrappers_pins_the_workload(
        kinds in prop::collection::vec(0_usize..13, 0..8),
        named: bool,
    ) {
        let mut lines = vec![("workload|--flag".to_owned(), false)];
        for kind in kinds {
            let line = wrap(kind, &lines[lines.len() - 1].0);
            lines.push(line);
        }
        let mut story = Story::new(named.then_some("workload"));
        let mut pid = ROOT;
        for (line, forks) in lines.iter().rev() {
            prop_assert_eq!(story.pid(), None, "pinned too early, before {}", line);
            story.exec(pid, line);
            if *forks {
                story.fork(pid, pid + 1);
                pid += 1;
            }
            if line.starts_with("script|") {
                let text = line.split('|').nth(2).unwrap_or_default();
                story.exec(pid, &format!("sh|-c|{text}"));
            }
        }
        prop_assert_eq!(story.pid(), Some(pid));
    }
}
