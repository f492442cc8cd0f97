//! Verdicts, from hand-made evidence.

use super::*;
use crate::{
    event::Signal,
    units::{BootNs, Comm, ProcKey, Process, Tgid, Ticks},
    verdict::Evidence,
};

fn process(pid: u32) -> Process {
    Process {
        key: ProcKey {
            init: pid,
            start: BootNs(1),
        },
        tgid: Tgid(pid),
        inner: pid,
    }
}

fn signal(number: i32, code: i32, sender: &str, from_kernel: bool) -> Signal {
    Signal {
        target: process(5),
        signal: number,
        code,
        result: 0,
        group: true,
        from_kernel,
        sender: process(6),
        sender_comm: Comm::from_bytes(sender.as_bytes()),
        sender_uid: 0,
        sender_redacted: 0,
        sender_cmdline: format!("{sender}\0-f\0python\0").into_bytes(),
    }
}

fn verdict(status: u32, records: &[(Signal, Relation)]) -> Verdict {
    let mut evidence = Evidence::default();
    for (seq, (signal, relation)) in (10..).zip(records) {
        evidence.signal(seq, BootNs(seq), signal, *relation, Ticks(1));
    }
    let case = evidence.take(process(5).key);
    judge("python3 (pid 5)", End::Seen(99, WaitStatus(status)), &case)
}

#[test]
fn a_code_of_128_and_more_is_still_an_exit() {
    let verdict = verdict(137 << 8, &[]);
    assert_eq!(
        (verdict.outcome, verdict.exit_code),
        (Outcome::Exited, Some(137))
    );
    assert_eq!(verdict.cause, Cause::ErrorExit);
}

#[test]
fn the_killer_is_named_with_its_command_line() {
    let verdict = verdict(9, &[(signal(9, 0, "pkill", false), Relation::Outside)]);
    assert_eq!(verdict.cause, Cause::Killed);
    assert_eq!(
        verdict.sentence,
        "python3 (pid 5) ended by SIGKILL: sent by pkill (pid 6, \"pkill -f python\", uid 0, \
         outside the tree)"
    );
    assert_eq!(verdict.evidence, [10, 99]);
}

#[test]
fn a_signal_that_was_not_delivered_is_never_the_cause() {
    let ignored = Signal {
        result: 1,
        ..signal(9, 0, "kill", false)
    };
    let verdict = verdict(9, &[(ignored, Relation::Outside)]);
    assert_eq!((verdict.cause, verdict.killer), (Cause::Unknown, None));
}

#[test]
fn a_signal_of_another_number_is_never_the_cause() {
    let verdict = verdict(
        15,
        &[
            (signal(15, 0, "kill", false), Relation::Outside),
            (signal(10, 0, "other", false), Relation::Sibling),
        ],
    );
    assert_eq!(verdict.killer.unwrap().comm, "kill");
}

#[test]
fn a_parent_that_kills_and_then_leaves_has_killed() {
    let cause = |parent_exit_seq| {
        let mut evidence = Evidence::default();
        let sent = signal(15, 0, "sh", false);
        evidence.signal(10, BootNs(10), &sent, Relation::Wrapper, Ticks(1));
        evidence.parent_ended(process(5).key, parent_exit_seq, process(6).key);
        let case = evidence.take(process(5).key);
        judge("python3", End::Seen(99, WaitStatus(15)), &case).cause
    };
    assert_eq!(cause(11), Cause::Killed);
    assert_eq!(cause(9), Cause::ParentDeath);
}

#[test]
fn a_wrapper_that_was_signalled_itself_only_passed_it_on() {
    let mut evidence = Evidence::default();
    let to_wrapper = Signal {
        target: process(6),
        sender: process(9),
        ..signal(15, 0, "pkill", false)
    };
    let alarm = Signal {
        target: process(6),
        sender: process(6),
        ..signal(14, 0x80, "swapper", true)
    };
    let passed_on = signal(15, 0, "timeout", false);
    let ticks = Ticks(1);
    evidence.signal(1, BootNs(1), &to_wrapper, Relation::Outside, ticks);
    evidence.signal(2, BootNs(2), &alarm, Relation::Kernel, ticks);
    evidence.signal(3, BootNs(3), &passed_on, Relation::Wrapper, ticks);
    let case = evidence.take(process(5).key);
    let verdict = judge("sleep (pid 5)", End::Seen(99, WaitStatus(15)), &case);
    assert_eq!(
        (verdict.cause, verdict.confidence),
        (Cause::Killed, Confidence::Likely)
    );
    assert!(
        verdict
            .sentence
            .contains("passed on what it got from pkill"),
        "{verdict:?}"
    );
}

#[test]
fn a_program_that_only_calls_itself_timeout_is_not_believed() {
    let spoofed = Signal {
        sender_cmdline: b"./ft\0".to_vec(),
        ..signal(15, 0, "timeout", false)
    };
    let verdict = verdict(15, &[(spoofed, Relation::Wrapper)]);
    assert_eq!(verdict.confidence, Confidence::Likely);
}

#[test]
fn a_kill_by_the_kernel_without_an_oom_report_is_no_oom_kill() {
    let verdict = verdict(9, &[(signal(9, 0x80, "bash", true), Relation::Itself)]);
    assert_eq!(
        (verdict.cause, verdict.confidence),
        (Cause::Killed, Confidence::Likely)
    );
}

#[test]
fn keys_at_the_terminal_faults_and_timeouts_are_told_apart() {
    let cause = |status, signal, relation| verdict(status, &[(signal, relation)]).cause;
    let outside = Relation::Outside;
    assert_eq!(
        cause(2, signal(2, 0x80, "kworker/u4:1", true), outside),
        Cause::Interrupt
    );
    assert_eq!(
        cause(2, signal(2, 0, "kill", false), outside),
        Cause::Killed
    );
    assert_eq!(
        cause(1, signal(1, 0x80, "tmux", true), outside),
        Cause::Hangup
    );
    assert_eq!(
        cause(0x8b, signal(11, 1, "python3", false), Relation::Itself),
        Cause::Fault
    );
    assert_eq!(
        cause(11, signal(11, 0, "kill", false), outside),
        Cause::Killed
    );
    assert_eq!(
        cause(15, signal(15, 0, "timeout", false), Relation::Wrapper),
        Cause::Timeout
    );
    assert_eq!(
        cause(15, signal(15, 0, "timeout", false), outside),
        Cause::Killed
    );
}
