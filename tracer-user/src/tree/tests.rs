//! The tree against a model that keeps every process for ever.

use proptest::prelude::*;

use super::*;
use crate::event::{
    Event,
    made::{self, Told as _, process},
};

fn apply(tree: &mut Tree, event: &Event) -> Effect {
    tree.apply(event.t, &event.kind)
}

fn event(t: u64, kind: EventKind) -> Event {
    Event { t: BootNs(t), kind }
}

fn fork(t: u64, child: Process, parent: Process) -> Event {
    event(t, made::fork(child, parent).told())
}

fn exit(t: u64, process: Process) -> Event {
    event(t, made::exit(process, Process::default(), 0).told())
}

fn exec(t: u64, process: Process, name: &str, exec_no: u32) -> Event {
    let exec = made::exec(process, &[name]);
    event(t, Exec { exec_no, ..exec }.told())
}

#[test]
fn an_exec_changes_the_name_and_keeps_the_identity() {
    let mut tree = Tree::new();
    let (init, child) = (process(1, 0), process(2, 5));
    apply(&mut tree, &fork(5, child, init));
    apply(&mut tree, &exec(6, child, "make", 1));
    let node = tree.get(child.key).unwrap();
    assert_eq!((node.comm, node.exec_no), (Comm::from_bytes(b"make"), 1));
    assert_eq!(tree.len(), 1);
}

#[test]
fn children_of_the_dead_are_nobodys_and_stay_in_the_tree() {
    let mut tree = Tree::new();
    let (root, middle, leaf) = (process(10, 1), process(11, 2), process(12, 3));
    apply(&mut tree, &fork(1, root, process(1, 0)));
    apply(&mut tree, &fork(2, middle, root));
    apply(&mut tree, &fork(3, leaf, middle));
    assert!(tree.is_under(leaf.key, root.key));
    apply(&mut tree, &exit(4, middle));
    assert_eq!(tree.get(leaf.key).unwrap().parent, None);
    assert_eq!(tree.get(leaf.key).unwrap().creator, Some(middle.key));
    assert!(!tree.is_under(leaf.key, root.key));
}

#[test]
fn a_reused_pid_is_another_process() {
    let mut tree = Tree::new();
    let (old, new) = (process(7, 1), process(7, 9));
    apply(&mut tree, &fork(1, old, process(1, 0)));
    apply(&mut tree, &exit(2, old));
    assert_eq!(
        apply(&mut tree, &fork(9, new, process(1, 0))),
        Effect::Applied
    );
    assert_eq!(
        apply(&mut tree, &exit(10, old)),
        Effect::BirthLost,
        "the old one is long gone"
    );
    assert!(tree.get(new.key).is_some());
}

#[test]
fn a_lost_exit_shows_when_the_pid_comes_back() {
    let mut tree = Tree::new();
    let (old, new) = (process(7, 1), process(7, 9));
    apply(&mut tree, &fork(1, old, process(1, 0)));
    assert_eq!(
        apply(&mut tree, &fork(9, new, process(1, 0))),
        Effect::ExitLost(old.key)
    );
    assert_eq!(tree.len(), 1);
}

#[test]
fn a_lost_fork_shows_at_the_exec() {
    let mut tree = Tree::new();
    assert_eq!(
        apply(&mut tree, &exec(2, process(5, 1), "cc", 1)),
        Effect::BirthLost
    );
    assert!(tree.get(process(5, 1).key).unwrap().birth_lost);
}

#[test]
fn an_exit_may_overtake_the_report_of_its_adoption() {
    let mut tree = Tree::new();
    let gone = process(5, 1);
    apply(&mut tree, &exit(3, gone));
    assert_eq!(
        apply(&mut tree, &fork(2, gone, process(1, 0))),
        Effect::BirthLate
    );
    assert!(tree.is_empty());
}

#[test]
fn an_exec_may_overtake_the_report_of_its_adoption() {
    let mut tree = Tree::new();
    let (parent, early) = (process(4, 1), process(5, 1));
    apply(&mut tree, &fork(1, parent, process(1, 0)));
    apply(&mut tree, &exec(3, early, "cc", 1));
    assert_eq!(apply(&mut tree, &fork(2, early, parent)), Effect::BirthLate);
    let node = tree.get(early.key).unwrap();
    assert_eq!(
        (node.comm, node.exec_no, node.birth_lost),
        (Comm::from_bytes(b"cc"), 1, false)
    );
    assert_eq!(node.parent, Some(parent.key));
    assert_eq!(tree.children(parent.key).count(), 1);
    apply(&mut tree, &exit(4, early));
    assert_eq!(tree.children(parent.key).count(), 0);
}

/// What may happen next: indices choose among the living of the model.
#[derive(Debug, Clone)]
enum Step {
    Fork(usize, u32),
    Exec(usize),
    Exit(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(
        prop_oneof![
            3 => (any::<usize>(), 2..40_u32).prop_map(|(at, pid)| Step::Fork(at, pid)),
            2 => any::<usize>().prop_map(Step::Exec),
            2 => any::<usize>().prop_map(Step::Exit),
        ],
        0..300,
    )
}

proptest! {
    #[test]
    fn the_tree_is_the_model_without_its_dead(steps in steps()) {
        let root = process(1000, 1);
        let mut tree = Tree::new();
        apply(&mut tree, &fork(1, root, process(1, 0)));
        // The model: every process ever made, its parent, whether it lives, and its execs.
        let mut model = vec![(root, process(1, 0).key, true, 0_u32)];
        for (now, step) in (2_u64..).zip(steps) {
            let living: Vec<usize> = (0..model.len()).filter(|&i| model[i].2).collect();
            if living.is_empty() {
                break;
            }
            let pick = |at: usize| living[at % living.len()];
            match step {
                Step::Fork(at, pid) => {
                    if model.iter().any(|entry| entry.2 && entry.0.key.init == pid) {
                        continue; // the kernel gives no pid twice at a time
                    }
                    let (parent, child) = (model[pick(at)].0, process(pid, now));
                    prop_assert_eq!(apply(&mut tree, &fork(now, child, parent)), Effect::Applied);
                    model.push((child, parent.key, true, 0));
                }
                Step::Exec(at) => {
                    let entry = pick(at);
                    model[entry].3 += 1;
                    let (who, number) = (model[entry].0, model[entry].3);
                    prop_assert_eq!(apply(&mut tree, &exec(now, who, "x", number)), Effect::Applied);
                }
                Step::Exit(at) => {
                    let entry = pick(at);
                    model[entry].2 = false;
                    prop_assert_eq!(apply(&mut tree, &exit(now, model[entry].0)), Effect::Applied);
                }
            }
        }
        let living: Vec<_> = model.iter().filter(|entry| entry.2).collect();
        prop_assert_eq!(tree.len(), living.len());
        for (who, parent, _, execs) in living {
            let node = tree.get(who.key).expect("a living process is in the tree");
            prop_assert_eq!(node.exec_no, *execs);
            let parent_lives = model.iter().any(|entry| entry.0.key == *parent && entry.2);
            let is_root = *who == root;
            let wanted = (parent_lives || is_root).then_some(*parent);
            prop_assert_eq!(node.parent, wanted);
            if parent_lives {
                prop_assert!(tree.children(*parent).any(|child| child.process == *who));
            }
        }
        prop_assert!(tree.children.values().all(|some| some.iter().next().is_some()));
    }
}
