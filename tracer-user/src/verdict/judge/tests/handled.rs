//! Signals that were handled, and what came of them: an exit, or the same signal once more.

use super::*;

const HUP: i32 = 1;
const INT: i32 = 2;
const SEGV: i32 = 11;
const PIPE: i32 = 13;
const TERM: i32 = 15;
const XCPU: i32 = 24;
const PROF: i32 = 27;

fn handled(signal: Signal) -> Signal {
    Signal {
        scene: Scene {
            handled: true,
            ..signal.scene
        },
        ..signal
    }
}

/// Ctrl-C at the terminal.
fn key() -> Signal {
    by_kernel(INT, 70, "kworker/u8:1", SELF)
}

fn all(signals: &[Signal], status: u32) -> Verdict {
    let mut story = Story::new();
    for signal in signals {
        story.signal(signal.clone());
    }
    story.ends(status)
}

#[test]
fn who_handles_a_key_and_then_ends_itself_like_that_was_ended_by_the_key() {
    let verdict = all(&[handled(key()), kill(INT, SELF, SELF)], 2);
    assert_eq!(
        (verdict.cause, verdict.confidence),
        (Cause::Interrupt, Confidence::Likely)
    );
    assert_eq!(
        verdict.sentence,
        "python3 (pid 5): Ctrl-C at its terminal; it handled that and sent itself SIGINT 1 ms later"
    );
    assert_eq!(verdict.evidence, [3, 4, 5]);
    // Also when it sent that twice; not when it had not handled the key.
    let own = kill(INT, SELF, SELF);
    let twice = all(&[handled(key()), handled(own.clone()), own.clone()], 2);
    assert_eq!(twice.cause, Cause::Interrupt);
    let own = all(&[own], 2);
    assert_eq!(own.cause, Cause::Killed);
}

#[test]
fn who_sent_what_a_program_repeats_is_its_killer() {
    let verdict = all(
        &[handled(kill(TERM, 99, SELF)), kill(TERM, SELF, SELF)],
        TERM.cast_unsigned(),
    );
    assert_eq!(
        (verdict.cause, verdict.confidence),
        (Cause::Killed, Confidence::Likely)
    );
    assert_eq!(verdict.killer.unwrap().pid, Some(99));
}

#[test]
fn a_fault_whose_handler_sends_it_again_is_still_that_fault() {
    let fault = Signal {
        code: 1,
        group: false,
        ..handled(kill(SEGV, SELF, SELF))
    };
    let again = Signal {
        code: -6,
        group: false,
        ..kill(SEGV, SELF, SELF)
    };
    let verdict = all(&[fault, again.clone()], 11);
    assert_eq!(
        (verdict.cause, verdict.confidence),
        (Cause::Fault, Confidence::Certain)
    );
    assert!(
        verdict
            .sentence
            .contains("an address that is not mapped; it handled that and sent itself SIGSEGV"),
        "{verdict:?}"
    );
    // Without one the signal is all there is, and no fault of the processor's.
    let sent = all(&[again], 11);
    assert!(
        sent.sentence
            .ends_with("SIGSEGV in python3: it sent that to itself"),
        "{sent:?}"
    );
}

#[test]
fn an_exit_tells_of_what_was_handled_just_before() {
    let verdict = all(&[handled(key())], 130 << 8);
    assert_eq!(
        verdict.sentence,
        "python3 (pid 5): exited 130 by choice, 1 ms after SIGINT, which did not kill it (Ctrl-C at \
         its terminal)"
    );
    let verdict = all(&[handled(key())], 0);
    assert_eq!(
        verdict.sentence,
        "python3 (pid 5): exited 0; 1 ms before: Ctrl-C at its terminal"
    );
    let closed = Signal {
        group: true,
        ..by_kernel(HUP, 99, "tmux", SELF)
    };
    let verdict = all(&[handled(closed)], 1 << 8);
    assert!(
        verdict
            .sentence
            .contains("exited 1; 1 ms before: its terminal went away: tmux"),
        "{verdict:?}"
    );
    let pipe = handled(on_behalf(PIPE, SELF, SELF, false));
    let verdict = all(&[pipe], 1 << 8);
    assert!(
        verdict.sentence.contains("before: SIGPIPE: it wrote to"),
        "{verdict:?}"
    );
}

#[test]
fn timers_by_which_programs_measure_themselves_are_not_told() {
    let timer = handled(by_kernel(PROF, SELF, "python3", SELF));
    assert_eq!(all(&[timer], 1 << 8).sentence, "python3 (pid 5): exited 1");
}

#[test]
fn a_limit_that_was_announced_to_deaf_ears_is_told_when_it_kills() {
    let warning = Signal {
        result: 1,
        ..by_kernel(XCPU, SELF, "python3", SELF)
    };
    let verdict = all(&[warning, by_kernel(9, SELF, "python3", SELF)], 9);
    assert!(
        verdict.sentence.contains("RLIMIT_RTTIME"),
        "{}",
        verdict.sentence
    );
    assert_eq!(verdict.confidence, Confidence::Likely);
}

#[test]
fn the_end_of_a_child_just_before_is_told_down_to_where_it_began() {
    let mut story = Story::new();
    // 7 below 6 below 5: 3, 3, and then 2.
    story.fork(7, CHILD, "cc1", false);
    story.exit(7, CHILD, 3 << 8);
    story.exit(CHILD, SELF, 3 << 8);
    let verdict = story.ends(2 << 8);
    assert_eq!(
        verdict.sentence,
        "python3 (pid 5): exited 2; just before, below it: python3 (pid 7): exited 3"
    );
    assert_eq!(verdict.confidence, Confidence::Certain);
    // One that ended well came after it.
    let mut story = Story::new();
    story.fork(7, SELF, "true", false);
    story.exit(CHILD, SELF, 3 << 8);
    story.exit(7, SELF, 0);
    assert_eq!(story.ends(2 << 8).sentence, "python3 (pid 5): exited 2");
}

#[test]
fn a_childs_code_is_not_taken_for_another_that_the_same_signal_may_give() {
    let mut story = Story::new();
    story.exit(CHILD, SELF, 255 << 8);
    let verdict = story.ends(129 << 8);
    assert!(
        verdict.sentence.contains("exited 129 by choice"),
        "{verdict:?}"
    );
    let mut story = Story::new();
    story.exit(CHILD, SELF, 255 << 8);
    let verdict = story.ends(255 << 8);
    assert!(verdict.sentence.contains("255 came from"), "{verdict:?}");
}

#[test]
fn of_several_signals_that_are_passed_on_each_finds_its_own_sender() {
    let mut story = Story::new();
    for (seq, signal) in [(90, HUP), (91, 18)] {
        story.book.forwarded(Forwarded {
            seq,
            signal,
            code: 0x80,
            sender: Killer::kernel(),
        });
    }
    story.signal(kill(HUP, 2, SELF));
    let verdict = story.ends(1);
    assert_eq!(verdict.cause, Cause::Hangup, "{verdict:?}");
    assert!(
        verdict.sentence.contains("tracer's terminal went away"),
        "{verdict:?}"
    );
}

#[test]
fn codes_that_stand_for_a_command_that_could_not_be_run_are_told_as_that() {
    for (code, words) in [(126, "could not be executed"), (127, "was not found")] {
        let verdict = Story::new().ends(code << 8);
        assert!(verdict.sentence.contains(words), "{verdict:?}");
        assert_eq!(verdict.confidence, Confidence::Certain);
    }
}
