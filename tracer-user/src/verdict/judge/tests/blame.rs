//! Who sent it.

use super::*;

#[test]
fn the_killer_is_named_with_its_command_line_and_who_started_it() {
    let verdict = after(
        Signal {
            sender_cmdline: b"pkill\0-f\0python\0".to_vec(),
            scene: Scene {
                sender_parent: Some((process(4690), Comm::from_bytes(b"bash"))),
                ..Scene::default()
            },
            ..kill(9, 4711, SELF)
        },
        9,
    );
    assert_eq!(
        verdict.sentence,
        "python3 (pid 5): killed by SIGKILL from pkill (pid 4711, \"pkill -f python\", uid 0, \
         started by bash 4690, outside the tree)"
    );
    assert_eq!(
        (verdict.cause, verdict.evidence),
        (Cause::Killed, vec![3, 4])
    );
}

#[test]
fn a_sender_of_the_tree_is_known_by_its_own_exec_record() {
    let mut story = Story::new();
    story.exec(CHILD, &["/usr/bin/pkill", "-f", "python"]);
    story.signal(kill(15, CHILD, SELF));
    let killer = story.ends(15).killer.unwrap();
    assert_eq!(killer.cmdline.as_deref(), Some("/usr/bin/pkill -f python"));
    assert_eq!(killer.relation, Relation::Descendant);
    assert_eq!(killer.started_by.unwrap().comm, "python3");
}

#[test]
fn a_wrapper_is_one_also_when_its_signal_is_faster_than_the_pin() {
    let mut story = Story::unpinned();
    story.signal(kill(15, WRAPPER, SELF));
    story.pin();
    let killer = story.ends(15).killer.unwrap();
    assert_eq!(killer.relation, Relation::Wrapper);
}

#[test]
fn what_the_observer_only_passed_on_is_the_senders() {
    let mut story = Story::new();
    story.book.forwarded(Forwarded {
        seq: 900,
        signal: 15,
        code: 0,
        sender: Killer {
            pid: Some(77),
            comm: "systemd".to_owned(),
            relation: Relation::Outside,
            ..Killer::kernel()
        },
    });
    story.signal(kill(15, 2, SELF));
    let verdict = story.ends(15);
    assert!(
        verdict
            .sentence
            .contains("from systemd (pid 77, uid 0, outside the tree), passed on"),
        "{verdict:?}"
    );
    assert_eq!(verdict.killer.unwrap().pid, Some(77));
    assert!(verdict.evidence.contains(&900));
}

#[test]
fn a_key_at_the_observers_terminal_is_a_key() {
    let mut story = Story::new();
    story.book.forwarded(Forwarded {
        seq: 900,
        signal: 2,
        code: 0x80,
        sender: Killer {
            relation: Relation::Unknown,
            ..Killer::kernel()
        },
    });
    story.signal(kill(2, 2, SELF));
    let verdict = story.ends(2);
    assert_eq!(
        (verdict.cause, verdict.confidence),
        (Cause::Interrupt, Confidence::Certain)
    );
    assert!(verdict.sentence.contains("Ctrl-C at tracer's terminal"));
}

#[test]
fn a_wrapper_that_was_signalled_itself_is_told_with_who_did_that() {
    let mut story = Story::new();
    story.signal(kill(15, 99, WRAPPER));
    story.signal(by_kernel(14, 0, "swapper/0", WRAPPER));
    story.signal(kill(15, 98, WRAPPER));
    story.signal(kill(15, WRAPPER, SELF));
    let verdict = story.ends(15);
    assert_eq!(verdict.cause, Cause::Killed);
    assert!(
        verdict
            .sentence
            .contains("its wrapper), which had got SIGTERM from pkill (pid 98"),
        "{verdict:?}"
    );
    assert_eq!(verdict.killer.unwrap().relation, Relation::Wrapper);
}

#[test]
fn timeout_is_believed_when_its_timer_ran_out() {
    let ran_out = |program: &str, alarm: bool| {
        let mut story = Story::new();
        story.exec(WRAPPER, &[program, "30", "python3"]);
        if alarm {
            story.signal(Signal {
                code: -2,
                from_kernel: true,
                ..kill(14, 0, WRAPPER)
            });
        }
        let comm = Comm::from_bytes(b"timeout");
        story.signal(Signal {
            sender_comm: comm,
            ..kill(15, WRAPPER, SELF)
        });
        let verdict = story.ends(15);
        (verdict.cause, verdict.confidence)
    };
    let timeout = "/usr/bin/timeout";
    assert_eq!(
        ran_out(timeout, true),
        (Cause::Timeout, Confidence::Certain)
    );
    assert_eq!(
        ran_out(timeout, false),
        (Cause::Timeout, Confidence::Likely)
    );
    // Any program may call itself so.
    assert_eq!(ran_out("./ft", true).0, Cause::Killed);
}

#[test]
fn timeout_counts_from_when_it_runs_and_not_from_when_its_process_was_made() {
    let mut story = Story::new();
    // A command is held until it is tracked, and a shell may become one long after its start.
    for _ in 0..400 {
        story.exec(CHILD, &["node"]);
    }
    story.exec(WRAPPER, &["/usr/bin/timeout", "0.1", "python3"]);
    for _ in 0..99 {
        story.exec(CHILD, &["node"]);
    }
    story.signal(kill(15, WRAPPER, SELF));
    let sentence = story.ends(15).sentence;
    assert!(sentence.contains("ended it after 100 ms"), "{sentence}");
}

#[test]
fn a_parent_that_kills_and_then_leaves_has_killed() {
    let mut story = Story::new();
    story.signal(kill(15, SELF, CHILD));
    story.exit(SELF, WRAPPER, 0);
    story.exit(CHILD, 1, 15);
    assert_eq!(story.verdict().cause, Cause::Killed);
    assert_eq!(story.verdict().killer.unwrap().relation, Relation::Ancestor);
}

#[test]
fn a_parent_that_has_left_is_followed() {
    let mut story = Story::new();
    let left = story.exit(SELF, WRAPPER, 0);
    let sent = story.signal(kill(15, SELF, CHILD));
    let end = story.exit(CHILD, 1, 15);
    let verdict = story.verdict();
    assert_eq!(
        (verdict.cause, verdict.evidence),
        (Cause::ParentDeath, vec![left, sent, end])
    );
    // Its end may be reported later, and only the thread that started it may have ended.
    let mut story = Story::new();
    story.signal(on_behalf(15, SELF, CHILD, true));
    story.exit(CHILD, 1, 15);
    assert_eq!(story.verdict().cause, Cause::ParentDeath);
}

#[test]
fn who_is_hidden_by_a_namespace_is_said_to_be() {
    let hidden = Process {
        tgid: Tgid(0),
        ..process(70)
    };
    let verdict = after(
        Signal {
            sender: hidden,
            ..kill(9, 70, SELF)
        },
        9,
    );
    assert!(
        verdict
            .sentence
            .ends_with("pkill (hidden by a pid namespace, uid 0)"),
        "{verdict:?}"
    );
    let killer = verdict.killer.unwrap();
    assert_eq!((killer.pid, killer.relation), (None, Relation::Unknown));
}
