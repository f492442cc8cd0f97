//! Trees from made-up events.

use proptest::prelude::*;

use super::*;
use crate::event::made::{self, Told as _};

fn process(pid: u32) -> Process {
    made::process(pid, u64::from(pid) * 1000)
}

fn event(kind: EventKind) -> Event {
    Event { t: BootNs(5), kind }
}

fn fork(child: u32, parent: u32) -> Event {
    event(made::fork(process(child), process(parent)).told())
}

fn exec(pid: u32, words: &[&str]) -> Event {
    event(made::exec(process(pid), words).told())
}

fn exit(pid: u32, status: u32) -> Event {
    event(made::exit(process(pid), process(1), status).told())
}

fn forest() -> Forest {
    Forest::new(|words| {
        for word in words.iter_mut().filter(|word| word.starts_with(b"secret")) {
            *word = b"***".to_vec();
        }
        0
    })
}

fn orphans(forest: &Forest) -> Vec<(u32, u32, String, String, u32)> {
    let mut found: Vec<_> = forest
        .orphans()
        .map(|(process, ended, root)| {
            (
                process.tgid.0,
                ended.process.tgid.0,
                ended.how.clone(),
                ended.cmdline.to_string(),
                root.process.tgid.0,
            )
        })
        .collect();
    found.sort();
    found
}

#[test]
fn who_lives_on_is_told_with_the_parent_that_ended_and_its_tree() {
    let mut forest = forest();
    forest.apply(&fork(10, 1), Some("--follow-comm claude".to_owned()));
    forest.apply(&fork(11, 10), None);
    forest.apply(&exec(11, &["sh", "-c", "secret=x"]), None);
    forest.apply(&fork(12, 11), None);
    forest.apply(&fork(13, 11), None);
    assert_eq!(orphans(&forest), []);
    forest.apply(&exit(13, 0), None);
    forest.apply(&exit(11, 9), None);
    let told = |pid, how: &str, line: &str| (pid, 11, how.to_owned(), line.to_owned(), 10);
    assert_eq!(
        orphans(&forest),
        [told(12, "was ended by SIGKILL", "sh -c ***")]
    );
    let (_, _, root) = forest.orphans().next().unwrap();
    assert_eq!(root.by, "--follow-comm claude");
    // Its own child is no orphan; when it ends in its turn, that one is.
    forest.apply(&fork(14, 12), None);
    assert_eq!(orphans(&forest).len(), 1);
    forest.apply(&exit(12, 0x300), None);
    assert_eq!(
        orphans(&forest),
        [(
            14,
            12,
            "exited with code 3".to_owned(),
            "sh -c ***".to_owned(),
            10
        )]
    );
    forest.apply(&exit(14, 0), None);
    forest.apply(&exit(10, 0), None);
    assert!(forest.is_empty() && forest.members.is_empty());
}

#[test]
fn the_first_parent_counts_and_the_init_of_a_namespace_has_none() {
    let mut forest = forest();
    forest.apply(&fork(10, 1), Some(String::new()));
    forest.apply(&fork(11, 10), None);
    let mut init = fork(12, 11);
    if let EventKind::Fork(fork) = &mut init.kind {
        fork.child.inner = 1;
    }
    forest.apply(&init, None);
    forest.apply(&exit(11, 0), None);
    assert_eq!(orphans(&forest), []);
    // One that is followed by itself stays of the tree it is in.
    forest.apply(&fork(13, 10), Some("--follow-cgroup /x".to_owned()));
    forest.apply(&exit(10, 0), None);
    let (_, _, root) = forest.orphans().next().unwrap();
    assert_eq!((root.process.tgid.0, root.by.as_str()), (10, ""));
}

#[test]
fn after_a_loss_only_those_live_that_the_kernel_says() {
    let mut forest = forest();
    for (child, parent) in [(10, 1), (11, 10), (12, 11)] {
        forest.apply(&fork(child, parent), None);
    }
    forest.only(&[process(10), process(12)], BootNs(9));
    assert_eq!((forest.len(), forest.members.len()), (2, 2));
    let (orphan, ended, _) = forest.orphans().next().unwrap();
    assert_eq!((orphan.tgid.0, ended.process.tgid.0), (12, 11));
    assert!(ended.how.contains("not seen"));
}

proptest! {
    #[test]
    fn whatever_comes_in_whatever_order_memory_is_that_of_the_living(
        steps in prop::collection::vec((0_u8..3, 1_u32..8, 1_u32..8), 0..60)
    ) {
        let mut forest = forest();
        for (what, one, other) in steps {
            let event = match what {
                0 => fork(one, other),
                1 => exec(one, &["x"]),
                _ => exit(one, 0),
            };
            forest.apply(&event, None);
            prop_assert!(forest.members.len() <= 8);
        }
        for pid in 1..8 {
            forest.apply(&exit(pid, 0), None);
        }
        prop_assert!(forest.members.is_empty() && forest.is_empty());
    }
}
