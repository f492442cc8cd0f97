//! The decision table, row by row and against any course of events.

use proptest::prelude::*;

use super::*;

const S: u64 = 1_000_000_000;

fn who(pid: u32, start: u64) -> Who {
    Who {
        pid: Tgid(pid),
        start: Ticks(start),
    }
}

fn orphan(pid: u32, start: u64) -> Key {
    Key {
        kind: Kind::Orphan,
        who: who(pid, start),
    }
}

fn rules() -> Rules {
    Rules {
        older_than_s: 3600,
        cooldown_s: 1800,
        cooldown_of_s: BTreeMap::new(),
    }
}

fn look(seen: &[(Key, Option<u64>)]) -> Look {
    let sighting = |&(key, age_s): &(Key, Option<u64>)| Sighting { key, age_s };
    Look {
        seen: seen.iter().map(sighting).collect(),
        ..Look::default()
    }
}

#[test]
fn the_threshold_is_strict_to_the_second() {
    let mut ledger = Ledger::default();
    let key = orphan(7, 1);
    let at = |age| look(&[(key, Some(age))]);
    assert_eq!(ledger.decide(BootNs(0), &at(3599), &rules()), []);
    assert_eq!(ledger.decide(BootNs(S), &at(3600), &rules()), []);
    let news = ledger.decide(BootNs(2 * S), &at(3601), &rules());
    assert_eq!(news, [(key, Decision::Alert)]);
}

#[test]
fn the_cooldown_ends_to_the_nanosecond_and_begins_anew() {
    let mut ledger = Ledger::default();
    let key = orphan(7, 1);
    let there = look(&[(key, Some(4000))]);
    let mut at = |ns| ledger.decide(BootNs(ns), &there, &rules());
    assert_eq!(at(S), [(key, Decision::Alert)]);
    assert_eq!(at(1801 * S - 1), []);
    assert_eq!(at(1801 * S), [(key, Decision::Realert)]);
    assert_eq!(at(3601 * S - 1), []);
    assert_eq!(at(3601 * S), [(key, Decision::Realert)]);
}

#[test]
fn gone_is_told_once_and_then_nothing() {
    let mut ledger = Ledger::default();
    let key = orphan(7, 1);
    ledger.decide(BootNs(0), &look(&[(key, Some(4000))]), &rules());
    let news = ledger.decide(BootNs(S), &look(&[]), &rules());
    assert_eq!(news, [(key, Decision::Recovery)]);
    assert_eq!(ledger.decide(BootNs(2 * S), &look(&[]), &rules()), []);
    assert_eq!(ledger.open().count(), 0);
}

#[test]
fn a_pid_that_is_used_again_is_another() {
    let mut ledger = Ledger::default();
    let (old, new) = (orphan(7, 1), orphan(7, 2));
    ledger.decide(BootNs(0), &look(&[(old, Some(9000))]), &rules());
    let news = ledger.decide(BootNs(S), &look(&[(new, Some(9000))]), &rules());
    assert_eq!(news, [(old, Decision::Recovery), (new, Decision::Alert)]);
}

#[test]
fn kinds_are_apart_and_may_cool_down_apart() {
    let mut ledger = Ledger::default();
    let blocker = Key {
        kind: Kind::Blocker,
        ..orphan(7, 1)
    };
    let mut rules = rules();
    rules.cooldown_of_s.insert(Kind::Blocker, 10);
    let both = look(&[(orphan(7, 1), Some(4000)), (blocker, Some(4000))]);
    assert_eq!(ledger.decide(BootNs(0), &both, &rules).len(), 2);
    let news = ledger.decide(BootNs(10 * S), &both, &rules);
    assert_eq!(news, [(blocker, Decision::Realert)]);
}

#[test]
fn who_cannot_be_seen_is_neither_there_nor_gone() {
    let mut ledger = Ledger::default();
    let key = orphan(7, 1);
    let there = look(&[(key, Some(4000))]);
    ledger.decide(BootNs(0), &there, &rules());
    let unknown = Look {
        unknown: [key.who].into(),
        ..Look::default()
    };
    let blind = Look {
        blind: true,
        ..Look::default()
    };
    let ageless = look(&[(key, None)]);
    for (at, look) in [(9000, &unknown), (9001, &blind), (9002, &ageless)] {
        assert_eq!(ledger.decide(BootNs(at * S), look, &rules()), []);
    }
    // Not told meanwhile, so it is told now.
    let news = ledger.decide(BootNs(9003 * S), &there, &rules());
    assert_eq!(news, [(key, Decision::Realert)]);
}

#[test]
fn without_an_age_nothing_begins() {
    let mut ledger = Ledger::default();
    let ageless = look(&[(orphan(7, 1), None)]);
    assert_eq!(ledger.decide(BootNs(0), &ageless, &rules()), []);
}

#[test]
fn a_threshold_that_is_raised_makes_the_younger_fine() {
    let mut ledger = Ledger::default();
    let key = orphan(7, 1);
    let there = look(&[(key, Some(4000))]);
    ledger.decide(BootNs(0), &there, &rules());
    let later = Rules {
        older_than_s: 4000,
        ..rules()
    };
    assert_eq!(
        ledger.decide(BootNs(S), &there, &later),
        [(key, Decision::Recovery)]
    );
}

#[test]
fn a_boot_that_is_over_ends_all() {
    let mut ledger = Ledger::default();
    let both = look(&[(orphan(8, 1), Some(4000)), (orphan(7, 1), Some(4000))]);
    ledger.decide(BootNs(0), &both, &rules());
    let news = ledger.end_all();
    assert_eq!(
        news,
        [
            (orphan(7, 1), Decision::Recovery),
            (orphan(8, 1), Decision::Recovery)
        ]
    );
    assert_eq!(ledger.end_all(), []);
}

/// What a process can be to one look.
#[derive(Debug, Clone, Copy)]
enum Shown {
    Absent,
    Unknown,
    Aged(Option<u64>),
}

fn shown() -> impl Strategy<Value = Shown> {
    prop_oneof![
        Just(Shown::Absent),
        Just(Shown::Unknown),
        Just(Shown::Aged(None)),
        (3598_u64..3604).prop_map(|age| Shown::Aged(Some(age))),
        Just(Shown::Aged(Some(9000))),
    ]
}

/// Steps: seconds since the last look, whether it is blind, whether the watcher starts anew before it, and
/// what each of four processes is, two of which have the same pid.
fn course() -> impl Strategy<Value = Vec<(u64, bool, bool, [Shown; 4])>> {
    let step = (
        0_u64..1200,
        prop::bool::weighted(0.1),
        any::<bool>(),
        [shown(), shown(), shown(), shown()],
    );
    prop::collection::vec(step, 1..60)
}

proptest! {
    #[test]
    fn any_course_keeps_the_promises(course in course()) {
        let whos = [who(7, 1), who(7, 2), who(8, 1), who(9, 1)];
        let rules = rules();
        let mut ledger = Ledger::default();
        // Of each process: when it was told last, if it is open.
        let mut told: BTreeMap<Key, u64> = BTreeMap::new();
        let mut now = 0;
        for (pause, blind, restart, shown) in course {
            now += pause;
            let mut look = Look { blind, ..Look::default() };
            for (&who, shown) in whos.iter().zip(shown) {
                let key = Key { kind: Kind::Orphan, who };
                match shown {
                    Shown::Absent => {}
                    Shown::Unknown => { look.unknown.insert(who); }
                    Shown::Aged(age_s) => look.seen.push(Sighting { key, age_s }),
                }
            }
            if restart {
                // What is kept on disk is all there is to know.
                let text = serde_json::to_string(&ledger.open().collect::<Vec<_>>()).unwrap();
                let open: Vec<(Key, Open)> = serde_json::from_str(&text).unwrap();
                ledger = Ledger::of(open);
            }
            let news = ledger.decide(BootNs(now * S), &look, &rules);
            let mut keys: Vec<_> = news.iter().map(|&(key, _)| key).collect();
            keys.dedup();
            prop_assert_eq!(keys.len(), news.len(), "one news a key");
            let news: BTreeMap<Key, Decision> = news.into_iter().collect();
            for (&who, shown) in whos.iter().zip(shown) {
                let key = Key { kind: Kind::Orphan, who };
                let old = matches!(shown, Shown::Aged(Some(age)) if age > 3600);
                let gone = matches!(shown, Shown::Absent | Shown::Aged(Some(..=3600)));
                let expected = match told.get(&key) {
                    _ if blind => None,
                    None if old => Some(Decision::Alert),
                    Some(_) if gone => Some(Decision::Recovery),
                    Some(&last) if old && now - last >= 1800 => Some(Decision::Realert),
                    _ => None,
                };
                prop_assert_eq!(news.get(&key).copied(), expected);
                match expected {
                    Some(Decision::Recovery) => { told.remove(&key); }
                    Some(_) => { told.insert(key, now); }
                    None => {}
                }
            }
        }
    }
}
