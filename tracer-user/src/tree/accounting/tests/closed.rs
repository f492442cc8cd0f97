//! Closed accounts: they come late, in any order, twice, or not at all.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::tree::accounting::waiting::WAITING_MAX;

/// Whether the CPU time of a command is all there.
fn is_closed(report: &Report, name: &str) -> bool {
    let mut found = report.costliest.commands.iter();
    let found = found.find(|command| *command.name == *name.as_bytes());
    found.is_some_and(|command| command.cost.is_cpu_closed())
}

/// Two children of one parent: a long one that lacks 300 µs and a short one that lacks 20.
fn two(before: bool, after: bool, also_short: bool) -> Report {
    let mut told = Told::begin();
    let root = told.root;
    let long = told.child(1, 2, root, "long");
    let short = told.child(2, 3, root, "short");
    end_below(&mut told, 5, long, root, (700, 0));
    end_below(&mut told, 6, short, root, (80, 0));
    if before {
        told.close(long, 1_000);
    }
    end_charged(&mut told, 8, root, 7, 1_100);
    if also_short {
        told.close(short, 100);
    }
    if after {
        told.close(long, 1_000);
    }
    told.ledger.report(None)
}

#[test]
fn an_account_counts_the_same_before_and_after_the_end_of_the_parent() {
    for (before, after) in [(true, false), (false, true), (true, true)] {
        for also_short in [false, true] {
            let report = two(before, after, also_short);
            assert_eq!(account(&report, "long").1, 1_000);
            // It has what is left, or its own account.
            assert_eq!(account(&report, "short").1, 100);
            assert!(is_closed(&report, "long") && is_closed(&report, "short"));
            assert_eq!(report.subtrees[0].cost.cpu_us(), 1_107);
            assert_eq!(report.ended.cpu_us(), 1_107);
        }
    }
}

#[test]
fn without_accounts_what_is_left_is_divided_by_heads() {
    let report = two(false, false, false);
    let found = ["long", "short"].map(|name| account(&report, name).1);
    assert_eq!(found, [860, 240], "neither is right, the sum is");
    assert_eq!(report.subtrees[0].cost.cpu_us(), 1_107);
}

#[test]
fn with_all_accounts_a_command_is_closed_whatever_the_parent_says() {
    let mut told = Told::begin();
    let root = told.root;
    let child = told.child(1, 2, root, "cc1");
    // Its parent ignores its children, and is charged for none.
    end_below(&mut told, 5, child, root, (10, 0));
    end_charged(&mut told, 8, root, 7, 0);
    told.close(child, 2_000);
    let report = told.ledger.report(None);
    assert_eq!(account(&report, "cc1").1, 2_000);
    assert!(is_closed(&report, "cc1") && !is_closed(&report, "make"));
}

#[test]
fn a_zombie_has_what_its_exit_said_and_is_not_closed() {
    let mut told = Told::begin();
    let root = told.root;
    let child = told.child(1, 2, root, "zombie");
    end_below(&mut told, 5, child, root, (10, 0));
    end_charged(&mut told, 8, root, 7, 0);
    let report = told.ledger.report(None);
    assert_eq!(account(&report, "zombie").1, 10);
    assert!(!is_closed(&report, "zombie"));
}

#[test]
fn an_account_that_comes_twice_early_of_nobody_or_too_small_says_nothing() {
    let mut told = Told::begin();
    let root = told.root;
    let child = told.child(1, 2, root, "cc1");
    told.close(child, 5_000);
    told.close(process(77, 7), 5_000);
    end_below(&mut told, 5, child, root, (100, 0));
    told.close(child, 300);
    told.close(child, 9_000);
    let small = told.child(6, 3, root, "small");
    end_below(&mut told, 7, small, root, (100, 0));
    told.close(small, 99);
    let report = told.ledger.report(None);
    assert_eq!(account(&report, "cc1"), (1, 300, 1));
    assert_eq!(account(&report, "small").1, 100);
    assert!(is_closed(&report, "cc1") && !is_closed(&report, "small"));
}

#[test]
fn the_account_of_a_process_whose_pid_is_used_again_is_its_own() {
    let mut told = Told::begin();
    let root = told.root;
    let old = told.child(1, 2, root, "old");
    end_below(&mut told, 5, old, root, (10, 0));
    let new = told.child(6, 2, root, "new");
    told.close(old, 30);
    end_below(&mut told, 9, new, root, (20, 0));
    told.close(new, 50);
    let report = told.ledger.report(None);
    assert_eq!(account(&report, "old").1, 30);
    assert_eq!(account(&report, "new").1, 50);
}

#[test]
fn who_falls_out_of_the_table_is_counted_by_its_exit_and_shares_what_is_left() {
    let mut told = Told::begin();
    let root = told.root;
    let count = WAITING_MAX + 3;
    let children: Vec<Process> = (0..count)
        .map(|n| {
            let pid = u32::try_from(n).unwrap() + 2;
            told.child(u64::from(pid), pid, root, "many")
        })
        .collect();
    for (child, t) in children.iter().zip(10_000_u64..) {
        end_below(&mut told, t, *child, root, (10, 0));
    }
    // The first three are no longer waited for. Each was charged with 16 in the end.
    for child in &children {
        told.close(*child, 16);
    }
    end_charged(&mut told, 90_000, root, 0, 16 * count as u64);
    let report = told.ledger.report(None);
    assert_eq!(account(&report, "many").1, 16 * count as u64);
    assert!(is_closed(&report, "many"));
}

#[test]
fn what_one_thread_had_not_told_at_the_end_is_in_the_account() {
    let mut told = Told::begin();
    let root = told.root;
    let child = told.child(1, 2, root, "threads");
    let mut end = exit(child, root, 100, 1);
    end.totals.partial = true;
    end.totals.faults_minor = 5;
    told.ledger.ended(BootNs(5), &end, false);
    told.ledger.closed(&Account {
        process: child,
        cpu_user_us: 60,
        cpu_system_us: 90,
        faults_minor: 8,
        faults_major: 1,
        ctx_switches_voluntary: 0,
        ctx_switches_involuntary: 0,
        io_bytes: Some((4096, 0)),
    });
    let report = told.ledger.report(None);
    let cost = report.ended;
    assert_eq!((cost.cpu_user_us, cost.cpu_system_us), (60, 90));
    assert_eq!((cost.faults_minor, cost.faults_major), (8, 1));
    assert_eq!((cost.io_read_bytes, cost.partial), (4096, 0));
    assert!(is_closed(&report, "threads"));
}

/// A process of the model.
struct Lived {
    process: Process,
    parent: Option<usize>,
    name: String,
    lives: bool,
    /// What it was charged for its children.
    charged: u64,
    truth: u64,
}

/// What happens: what, to whom, with what.
type Step = (u8, prop::sample::Index, u8);

/// Plays them. Exits say less than the truth; accounts come later by any number of steps or, where `all_come` is
/// not set, for some never. Of each command the truth, and the report.
fn play(steps: &[Step], all_come: bool) -> (BTreeMap<String, u64>, Report) {
    let mut told = Told::begin();
    let born = |process, parent, name: &str| Lived {
        process,
        parent,
        name: name.to_owned(),
        lives: true,
        charged: 0,
        truth: 0,
    };
    let mut all = vec![born(told.root, None, "make")];
    let mut due: Vec<(usize, usize)> = Vec::new();
    for at in 0.. {
        let t = at as u64 + 1;
        due.retain(|&(when, of)| {
            if when <= at {
                told.close(all[of].process, all[of].truth);
            }
            when > at
        });
        let living: Vec<usize> = (0..all.len()).filter(|&at| all[at].lives).collect();
        let Some(&last) = living.last() else { break };
        let (what, of, with) = match steps.get(at) {
            Some((what, whom, with)) => (*what, *whom.get(&living), *with),
            // In the end all do, the youngest first.
            None => (3, last, 9),
        };
        if what % 4 < 2 {
            let pid = u32::try_from(all.len()).unwrap() + 2;
            let name = format!("p{}", with % 3);
            let child = told.child(t, pid, all[of].process, &name);
            all.push(born(child, Some(of), &name));
            continue;
        }
        let with = u64::from(with);
        let parent = all[of].parent.filter(|&parent| all[parent].lives);
        let reaper = parent.map_or(outside(), |parent| all[parent].process);
        end_below(
            &mut told,
            t,
            all[of].process,
            reaper,
            (with, all[of].charged),
        );
        let truth = with + with % 7 * 10;
        (all[of].lives, all[of].truth) = (false, truth);
        // Some ignore their children.
        if let Some(parent) = parent.filter(|_| with % 5 != 0) {
            all[parent].charged += truth + all[of].charged;
        }
        if all_come || with % 3 != 0 {
            due.push((at + 1 + usize::from(what % 16), of));
        }
    }
    due.sort_by_key(|&(when, _)| std::cmp::Reverse(when));
    for (_, of) in due {
        told.close(all[of].process, all[of].truth);
    }
    let mut truth = BTreeMap::new();
    for lived in all {
        *truth.entry(lived.name).or_default() += lived.truth;
    }
    (truth, told.ledger.report(None))
}

proptest! {
    #[test]
    fn no_sum_is_above_the_truth_whichever_accounts_come(
        steps in proptest::collection::vec(any::<Step>(), 0..150)
    ) {
        let (truth, report) = play(&steps, false);
        let all: u64 = truth.values().sum();
        prop_assert!(whole(&report).cpu_us() <= all);
        prop_assert_eq!(whole(&report), report.ended);
        for subtree in &report.subtrees {
            prop_assert!(subtree.cost.cpu_us() <= all);
            prop_assert!(subtree.cost.cpu_settled <= subtree.cost.cpu_short);
        }
        if let Some(root) = report.subtrees.first() {
            prop_assert_eq!(root.cost.cpu_us(), report.ended.cpu_us());
        }
    }

    #[test]
    fn when_all_accounts_come_each_command_has_the_truth(
        steps in proptest::collection::vec(any::<Step>(), 0..150)
    ) {
        let (truth, report) = play(&steps, true);
        for (name, cpu) in &truth {
            prop_assert_eq!(account(&report, name).1, *cpu, "{}", name);
            prop_assert!(is_closed(&report, name));
        }
    }
}
