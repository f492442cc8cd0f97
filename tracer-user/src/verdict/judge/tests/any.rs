//! What holds for every verdict, whatever the records say.

use std::collections::HashMap;

use proptest::{collection::vec, prelude::*};

use super::*;

/// One thing that may happen to one of a few processes.
#[derive(Debug, Clone)]
enum Act {
    Fork(u32, u32, bool),
    Signal(Signal),
    Oom(u32, u32),
    Exit(u32, u32, u32),
    Forwarded(i32, i32),
    Tick,
    Loss(u64),
}

fn pid() -> impl Strategy<Value = u32> {
    3_u32..9
}

fn number() -> impl Strategy<Value = i32> {
    // Those with rules of their own, and any other.
    prop_oneof![
        prop::sample::select(vec![1, 2, 3, 6, 9, 11, 13, 14, 15, 18, 19, 24, 25, 31, 34]),
        1_i32..65,
    ]
}

fn signal() -> impl Strategy<Value = Signal> {
    let code = prop::sample::select(vec![0, -6, -1, -2, 0x80, 1, 2]);
    let result = prop::sample::select(vec![0, 0, 0, 1, 2, 3, 4]);
    let flags = any::<(bool, bool, bool, bool, bool, bool, bool)>();
    (number(), pid(), pid(), code, result, flags).prop_map(|(number, from, to, code, result, f)| {
        Signal {
            code,
            result,
            group: f.0,
            from_kernel: code == 0x80 || code == -2 || (code > 0 && from != to),
            scene: Scene {
                no_info: code == 0 && f.1,
                privileged: code == 0x80 && f.2,
                sender_exiting: f.3,
                blocked: f.4,
                handled: f.5,
                cpu_limit_s: f.6.then_some(1),
                sender_parent: None,
            },
            ..kill(number, from, to)
        }
    })
}

fn status() -> impl Strategy<Value = u32> {
    prop_oneof![
        (0_u32..256).prop_map(|code| code << 8),
        prop::sample::select(vec![137_u32, 143, 139]).prop_map(|code| code << 8),
        number().prop_map(i32::unsigned_abs),
        number().prop_map(|signal| signal.unsigned_abs() | 0x80),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => (pid(), pid(), any::<bool>()).prop_map(|(a, b, c)| Act::Fork(a, b, c)),
        6 => signal().prop_map(Act::Signal),
        1 => (pid(), pid()).prop_map(|(a, b)| Act::Oom(a, b)),
        4 => (pid(), pid(), status()).prop_map(|(a, b, c)| Act::Exit(a, b, c)),
        1 => (number(), prop::sample::select(vec![0, 0x80])).prop_map(|(a, b)| Act::Forwarded(a, b)),
        1 => Just(Act::Tick),
        1 => (1_u64..9).prop_map(Act::Loss),
    ]
}

/// What a record was, by its number.
#[derive(Debug, PartialEq, Eq)]
enum Was {
    Signal(i32, bool),
    Oom,
    Exit,
    Note,
    Loss,
    Other,
}

/// Lets it all happen; everybody who ended, and what the records were.
fn play(acts: &[Act]) -> (Casebook, Vec<Arc<Dead>>, HashMap<u64, Was>) {
    let mut story = Story::new();
    let mut dead = Vec::new();
    let mut were = HashMap::new();
    for act in acts {
        let (seq, t) = (story.seq, story.now());
        let was = match act.clone() {
            Act::Fork(child, creator, adopted) => {
                story.fork(child, creator, "some", adopted);
                Was::Other
            }
            Act::Signal(signal) => {
                let was = Was::Signal(signal.signal, QUEUED.contains(&signal.result));
                story.signal(signal);
                was
            }
            Act::Oom(victim, trigger) => {
                story.oom(victim, trigger, 1);
                Was::Oom
            }
            Act::Exit(pid, parent, status) => {
                story.last = None;
                story.exit(pid, parent, status);
                dead.extend(story.last.clone());
                Was::Exit
            }
            Act::Forwarded(signal, code) => {
                let sender = Killer::kernel();
                story.book.forwarded(Forwarded {
                    seq,
                    signal,
                    code,
                    sender,
                });
                story.seq += 1;
                Was::Note
            }
            Act::Tick => {
                story.book.aftermath.unseen.tick(t);
                story.seq += 1;
                Was::Other
            }
            Act::Loss(count) => {
                story.book.aftermath.unseen.lost(seq, t, count);
                story.seq += 1;
                Was::Loss
            }
        };
        if !matches!(was, Was::Loss | Was::Other) {
            story.book.aftermath.unseen.other();
        }
        were.insert(seq, was);
    }
    (story.book, dead, were)
}

const QUEUED: [i32; 2] = [0, 4];

fn verdict(dead: &Dead, after: &Aftermath) -> Verdict {
    judge(&dead.name(), End::Seen(dead), after)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_verdict_rests_on_records_that_are_there_and_were_delivered(acts in vec(act(), 1..60)) {
        let (book, dead, were) = play(&acts);
        for dead in &dead {
            let verdict = verdict(dead, &book.aftermath);
            for seq in &verdict.evidence {
                let was = were.get(seq);
                prop_assert!(
                    matches!(was, Some(Was::Signal(_, true) | Was::Oom | Was::Exit | Was::Note | Was::Loss)),
                    "{seq} is {was:?} in {verdict:?}"
                );
            }
            prop_assert!(verdict.evidence.is_sorted());
            prop_assert!(verdict.evidence.contains(&dead.seq), "its own end: {verdict:?}");
            prop_assert!(verdict.sentence.starts_with(&dead.name()));
            prop_assert_eq!(verdict.cause == Cause::Unknown, verdict.confidence == Confidence::Unknown);
        }
    }

    #[test]
    fn nobody_is_accused_without_a_signal_that_fits(acts in vec(act(), 1..60)) {
        let (book, dead, were) = play(&acts);
        for dead in &dead {
            let verdict = verdict(dead, &book.aftermath);
            let by = verdict.signal.clone().or(verdict.origin.as_ref().and_then(|at| at.signal.clone()));
            if verdict.killer.is_some() {
                let fits = verdict.evidence.iter().any(|seq| match were.get(seq) {
                    Some(Was::Signal(number, _)) => Some(signals::name(*number)) == by,
                    _ => false,
                });
                prop_assert!(fits, "{verdict:?}");
            }
            if verdict.confidence == Confidence::Certain && verdict.outcome == Outcome::Signaled {
                let oom = verdict.cause == Cause::KernelOom;
                prop_assert!(verdict.killer.is_some() || oom, "certain of nothing: {verdict:?}");
            }
            if verdict.outcome == Outcome::Exited && verdict.origin.is_none() {
                prop_assert!(verdict.killer.is_none(), "who chose to exit was not killed: {verdict:?}");
            }
        }
    }

    #[test]
    fn nothing_is_certain_about_a_kill_when_anything_may_have_been_missed(acts in vec(act(), 1..60)) {
        let (book, dead, _) = play(&acts);
        let mut blind = book.aftermath.clone();
        blind.unseen.gap(u64::MAX, BootNs(0), BootNs(u64::MAX), 1);
        for dead in &dead {
            let (seen, unseen) = (verdict(dead, &book.aftermath), verdict(dead, &blind));
            if unseen.outcome == Outcome::Signaled && unseen.cause != Cause::KernelOom {
                prop_assert!(unseen.confidence != Confidence::Certain, "{unseen:?}");
            }
            prop_assert_eq!(
                (seen.outcome, seen.exit_code, seen.signal),
                (unseen.outcome, unseen.exit_code, unseen.signal),
                "what was seen stays"
            );
        }
    }

    #[test]
    fn the_same_records_give_the_same_verdicts(acts in vec(act(), 1..60)) {
        let (first, again) = (play(&acts), play(&acts));
        for (one, other) in first.1.iter().zip(&again.1) {
            prop_assert_eq!(verdict(one, &first.0.aftermath), verdict(other, &again.0.aftermath));
        }
    }
}
