//! The gates, fact by fact.

use super::*;

const NOW: &str = "11111111-0000-4000-8000-000000000000";
const BEFORE: &str = "22222222-0000-4000-8000-000000000000";

/// A session that crashed: everything else changes one fact of it.
fn crashed() -> Facts {
    Facts {
        observer: Observer::Gone,
        enrolled: Ok(Enrolled {
            boot_id: NOW.to_owned(),
        }),
        boot_id: NOW.to_owned(),
        storage: Storage::Disk,
        target: Life::Dead,
    }
}

fn enrolled_on(boot_id: &str) -> Enrolled {
    Enrolled {
        boot_id: boot_id.to_owned(),
    }
}

fn doubt() -> Life {
    Life::Unknown("hidden".to_owned())
}

#[test]
fn a_free_lease_and_a_dead_target_are_a_crash() {
    assert_eq!(judge(&crashed()), Decision::Finish(Crash::Observer));
}

#[test]
fn a_held_lease_comes_before_everything_else() {
    for boot in [NOW, BEFORE] {
        for storage in [Storage::Disk, Storage::Memory] {
            for enrolled in [Ok(enrolled_on(boot)), Err("no enrollment".to_owned())] {
                for target in [Life::Alive, Life::Dead, doubt()] {
                    let facts = Facts {
                        observer: Observer::Lives("pid 5".to_owned()),
                        enrolled: enrolled.clone(),
                        storage,
                        target,
                        ..crashed()
                    };
                    let left = Decision::Leave(Gate::Lease, "pid 5".to_owned());
                    assert_eq!(judge(&facts), left);
                }
            }
        }
    }
}

#[test]
fn what_is_not_ours_is_left_whatever_else_is_true_of_it() {
    for storage in [Storage::Disk, Storage::Memory] {
        let facts = Facts {
            enrolled: Err("no enrollment".to_owned()),
            storage,
            ..crashed()
        };
        let left = Decision::Leave(Gate::Enrollment, "no enrollment".to_owned());
        assert_eq!(judge(&facts), left);
    }
}

#[test]
fn another_boot_decides_before_a_number_that_is_in_use_again() {
    for target in [Life::Alive, Life::Dead, doubt()] {
        let on = |storage| {
            judge(&Facts {
                enrolled: Ok(enrolled_on(BEFORE)),
                storage,
                target: target.clone(),
                ..crashed()
            })
        };
        assert_eq!(on(Storage::Disk), Decision::Finish(Crash::HostReboot));
        assert!(matches!(on(Storage::Memory), Decision::Discard(_)));
    }
}

#[test]
fn memory_alone_deletes_nothing() {
    for (target, deleted) in [(Life::Alive, false), (Life::Dead, false), (doubt(), false)] {
        let facts = Facts {
            storage: Storage::Memory,
            target,
            ..crashed()
        };
        assert_eq!(matches!(judge(&facts), Decision::Discard(_)), deleted);
    }
}

#[test]
fn a_boot_that_is_not_known_is_neither_this_one_nor_another() {
    for (then, now) in [("", NOW), (NOW, ""), ("", "")] {
        let facts = Facts {
            enrolled: Ok(enrolled_on(then)),
            boot_id: now.to_owned(),
            storage: Storage::Memory,
            ..crashed()
        };
        assert!(
            matches!(judge(&facts), Decision::Doubt(Gate::Boot, _)),
            "{then:?} {now:?}"
        );
    }
}

#[test]
fn a_target_that_lives_or_may_live_is_no_crash() {
    let with = |target| {
        judge(&Facts {
            target,
            ..crashed()
        })
    };
    assert!(matches!(with(Life::Alive), Decision::Alive(_)));
    assert!(matches!(with(doubt()), Decision::Doubt(Gate::Liveness, _)));
}

#[test]
fn the_same_number_is_the_same_process_only_with_the_same_start() {
    let shown = |start, ended| Shown::Process { start, ended };
    let (then, other) = (Some(Ticks(450)), Some(Ticks(451)));
    assert_eq!(life(then, &Shown::Nothing), Life::Dead);
    assert_eq!(life(None, &Shown::Nothing), Life::Dead);
    assert_eq!(life(then, &shown(then, false)), Life::Alive);
    // The number was given to another process.
    assert_eq!(life(then, &shown(other, false)), Life::Dead);
    // A zombie has ended, whosever it is.
    for start in [then, other, None] {
        assert_eq!(life(then, &shown(start, true)), Life::Dead);
        assert_eq!(life(None, &shown(start, true)), Life::Dead);
    }
    // A start that is not known proves nothing.
    for (recorded, start) in [(None, then), (then, None), (None, None)] {
        assert!(matches!(
            life(recorded, &shown(start, false)),
            Life::Unknown(_)
        ));
    }
    let hidden = Shown::Hidden("hidepid".to_owned());
    assert_eq!(life(then, &hidden), Life::Unknown("hidepid".to_owned()));
}

#[test]
fn one_that_lives_keeps_the_target_alive_and_one_in_doubt_keeps_it_in_doubt() {
    use Life::{Alive, Dead};
    assert_eq!(together(Dead, Dead), Dead);
    for other in [Alive, Dead, doubt()] {
        assert_eq!(together(Alive, other.clone()), Alive);
        assert_eq!(together(other, Alive), Alive);
    }
    assert_eq!(together(doubt(), Dead), doubt());
    assert_eq!(together(Dead, doubt()), doubt());
    assert_eq!(together(doubt(), doubt()), doubt());
}

fn rows(first: &str, same: bool, names: &[&str], wrappers: &[&str]) -> Rows {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Rows {
        first: Some((first.to_owned(), same)),
        tracked: !names.is_empty(),
        names: owned(names),
        wrappers: owned(wrappers),
    }
}

#[test]
fn rows_of_a_wrapper_are_alien_and_execs_explain_names() {
    let alien = |rows: &Rows| judge_rows("claude", rows).is_some();
    assert!(!alien(&Rows::default()), "no rows");
    assert!(!alien(&rows("claude", true, &[], &[])));
    assert!(!alien(&rows("claude", false, &["claude"], &["script"])));
    // No exec is recorded: nothing explains the name.
    assert!(alien(&rows("script", true, &[], &[])));
    assert!(alien(&rows("script", false, &["claude"], &[])));
    // The wrapper's own name is no rename, whatever the number says.
    assert!(alien(&rows("script", true, &["claude"], &["script"])));
    assert!(!alien(&rows(
        "node",
        false,
        &["node", "claude"],
        &["script"]
    )));
    // The same process, its execs recorded: it renamed itself.
    assert!(!alien(&rows("node-MainThread", true, &["claude"], &["sh"])));
    assert!(alien(&rows("node-MainThread", false, &["claude"], &["sh"])));
}
