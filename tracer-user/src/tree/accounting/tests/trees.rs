//! Trees made by hand.

use super::*;
use crate::tree::accounting::{
    chain::{LINKS_MAX, SHARES_MAX},
    cost::Seen,
};

#[test]
fn a_process_counts_with_the_program_it_executed_last() {
    let mut told = Told::begin();
    let root = told.root;
    let one = told.child(1, 2, root, "/bin/sh");
    told.exec(2, one, "/usr/lib/gcc/cc1");
    let two = told.child(3, 3, root, "./cc1");
    // A subshell executes nothing.
    let sub = told.child(4, 4, root, "");
    told.end(5, one, root, 100);
    told.end(6, two, root, 30);
    told.end(7, sub, root, 5);
    told.end(8, root, process(0, 0), 7);
    let report = told.ledger.report(None);
    assert_eq!(account(&report, "cc1"), (2, 130, 1000));
    assert_eq!(account(&report, "make"), (2, 12, 70));
    assert_eq!(account(&report, "sh"), (0, 0, 0));
    let command = |name: &[u8]| {
        let commands = &report.costliest.commands;
        commands.iter().find(|command| *command.name == *name)
    };
    assert_eq!(command(b"cc1").unwrap().after_others, 1);
    assert_eq!(command(b"cc1").unwrap().execs, 2);
    // It ran, although nobody ended as it.
    assert!(command(b"sh").is_none());
    assert_eq!(report.costliest.rest.execs, 1);
    assert_eq!(whole(&report).cpu_us(), 142);
}

#[test]
fn a_file_without_a_name_of_its_own_goes_by_the_process_name() {
    let mut told = Told::begin();
    for (pid, path) in [(2, "/proc/self/fd/3"), (3, "/dev/fd/9"), (4, "/"), (5, "")] {
        let child = told.child(1, pid, told.root, "/bin/sh");
        told.ledger.executed(BootNs(2), &exec(child, path));
        told.end(3, child, told.root, 1);
    }
    let mut cut = exec(told.child(4, 6, told.root, "x"), "/very/long/na");
    cut.filename_truncated = true;
    told.ledger.executed(BootNs(5), &cut);
    told.end(6, cut.process, told.root, 1);
    assert_eq!(account(&told.ledger.report(None), "comm"), (5, 5, 10));
}

#[test]
fn an_orphan_stays_in_the_subtree_of_who_made_it() {
    let mut told = Told::begin();
    let root = told.root;
    let shell = told.child(1, 2, root, "sh");
    let daemon = told.child(2, 3, shell, "daemon");
    told.end(3, shell, root, 10);
    // Made by an orphan, which is init's by now.
    let worker = told.child(4, 4, daemon, "worker");
    let init = process(7, 0);
    told.end(5, worker, daemon, 1000);
    told.end(6, daemon, init, 100);
    told.end(7, root, init, 1);
    let report = told.ledger.report(None);
    let subtrees: Vec<_> = report
        .subtrees
        .iter()
        .map(|subtree| {
            let cost = subtree.cost;
            (subtree.process.key.init, cost.processes, cost.cpu_us())
        })
        .collect();
    assert_eq!(subtrees, [(1, 4, 1111), (2, 3, 1110), (3, 2, 1100)]);
    // It outlived its parent: nobody waited for it.
    assert_eq!(chain(&report).0, ["make", "sh"]);
}

#[test]
fn a_reused_pid_is_another_process() {
    let mut told = Told::begin();
    let root = told.root;
    for round in 0..3 {
        let child = told.child(10 * round + 1, 2, root, "sh");
        told.end(10 * round + 2, child, root, 5);
    }
    // The exit of the fourth is lost, and the fifth has its pid.
    let lost = told.child(40, 2, root, "sh");
    row(&mut told, 2, 40, Some(77), Some(10));
    told.ledger.end_lost(BootNs(41), lost.key);
    let next = told.child(41, 2, root, "sh");
    // A row of the one before it is none of its own.
    row(&mut told, 2, 40, Some(9999), Some(10));
    told.end(50, next, root, 5);
    told.end(60, root, process(0, 0), 1);
    let report = told.ledger.report(None);
    assert_eq!(account(&report, "sh"), (5, 20 + 77, 50));
    assert_eq!(report.alive.cpu_us(), 77);
    assert_eq!(whole(&report).cpu_us(), 98);
}

/// A row of the process of this number that was born at `start`.
fn row(told: &mut Told, pid: u32, start: u64, cpu_us: Option<u64>, peak_rss_kb: Option<u64>) {
    let seen = Seen {
        cpu_us,
        peak_rss_kb,
        io: None,
    };
    told.ledger.row(pid, |born| born == BootNs(start), &seen);
}

#[test]
fn who_lives_at_the_end_costs_what_the_last_row_says() {
    let mut told = Told::begin();
    let root = told.root;
    let server = told.child(1, 2, root, "server");
    told.child(2, 3, server, "unseen");
    row(&mut told, 2, 1, Some(500), Some(300));
    // What cannot be read takes nothing away.
    row(&mut told, 2, 1, None, None);
    told.end(9, root, process(0, 0), 4);
    let report = told.ledger.report(None);
    assert_eq!(account(&report, "server"), (1, 500, 300));
    assert_eq!(account(&report, "unseen"), (1, 0, 0));
    let alive = report.alive;
    assert_eq!(
        (alive.processes, alive.sampled, alive.unmeasured),
        (2, 1, 1)
    );
    assert_eq!(whole(&report).cpu_us(), 504);
    // The root's subtree has them, too.
    assert_eq!(report.subtrees[0].cost.cpu_us(), 504);
}

#[test]
fn the_chain_follows_the_child_that_ended_last() {
    let mut told = Told::begin();
    let root = told.root;
    // Two at a time: a is done first, b takes long; c starts when a is done.
    let a = told.child(10, 2, root, "a");
    let b = told.child(12, 3, root, "b");
    let inner = told.child(20, 4, b, "inner");
    told.end(30, a, root, 1);
    let c = told.child(32, 5, root, "c");
    told.end(60, c, root, 1);
    told.end(85, inner, b, 1);
    told.end(90, b, root, 1);
    // Nobody waits for one that is still there.
    told.child(91, 6, root, "background");
    told.end(100, root, process(0, 0), 1);
    let report = told.ledger.report(None);
    let (links, shares) = chain(&report);
    assert_eq!(links, ["make", "b", "inner"]);
    // make until 12 and from 90, b until 20 and from 85, inner between.
    let expected = [("inner", 65), ("make", 22), ("b", 13)];
    assert_eq!(shares, expected.map(|(name, ns)| (name.to_owned(), ns)));
}

#[test]
fn one_after_the_other_all_are_on_the_path_and_the_last_is_in_the_chain() {
    let mut told = Told::begin();
    let root = told.root;
    for (pid, name, from, to) in [(2, "big", 10, 70), (3, "small", 72, 80)] {
        let child = told.child(from, pid, root, name);
        told.end(to, child, root, 1);
    }
    told.exec(82, root, "/bin/last");
    told.end(100, root, process(0, 0), 1);
    let (links, shares) = chain(&told.ledger.report(None));
    assert_eq!(links, ["last", "small"]);
    // 12 + 2 as make, 18 as what it executed then.
    let expected = [("big", 60), ("last", 18), ("make", 14), ("small", 8)];
    assert_eq!(shares, expected.map(|(name, ns)| (name.to_owned(), ns)));
}

#[test]
fn a_chain_has_a_root_that_was_held_and_at_most_so_many_links() {
    let mut told = Told::begin();
    told.ledger.released(BootNs(50));
    let mut above = vec![told.root];
    for pid in 2..60 {
        let last = above[above.len() - 1];
        above.push(told.child(50 + u64::from(pid), pid, last, "nest"));
    }
    let mut t = 1000;
    while let Some(process) = above.pop() {
        let parent = above.last().copied().unwrap_or_default();
        told.end(t, process, parent, 1);
        t += 1;
    }
    let report = told.ledger.report(None);
    let chain = report.chain.unwrap();
    assert_eq!(chain.links.len(), LINKS_MAX);
    assert_eq!(chain.links[0].start, BootNs(50));
    let sum: u64 = chain.shares.iter().map(|(_, ns)| ns).sum();
    assert_eq!(sum, chain.links[0].end.since(BootNs(50)));
}

#[test]
fn what_a_parent_was_charged_beyond_the_exits_of_its_children_is_their_commands() {
    let mut told = Told::begin();
    let root = told.root;
    let one = told.child(1, 2, root, "cc1");
    end_below(&mut told, 5, one, root, (100, 0));
    end_charged(&mut told, 8, root, 7, 140);
    let report = told.ledger.report(None);
    assert_eq!(account(&report, "cc1").1, 140);
    assert_eq!(account(&report, "make").1, 7);
    assert_eq!(report.subtrees[0].cost.cpu_us(), 147);
}

#[test]
fn what_a_process_was_charged_before_it_was_found_is_nobodys_here() {
    let mut told = Told {
        ledger: Ledger::default(),
        root: process(1, 0),
    };
    let root = told.root;
    let mut found = fork(root, process(999_999, 0));
    found.adopted = true;
    told.ledger.born(&found);
    told.ledger.root(root.key);
    let one = told.child(1, 2, root, "cc1");
    end_below(&mut told, 5, one, root, (100, 0));
    // Most of it is that of children that had ended by then.
    end_charged(&mut told, 8, root, 7, 9_000);
    assert_eq!(account(&told.ledger.report(None), "cc1").1, 100);
}

#[test]
fn who_was_there_before_ran_something_else_than_what_it_executes_here() {
    let mut told = Told::begin();
    let root = told.root;
    let mut found = fork(process(2, 1), root);
    found.adopted = true;
    told.ledger.born(&found);
    told.exec(5, found.child, "cc1");
    told.end(9, found.child, root, 1);
    // One that was made here executes its first.
    let made = told.child(10, 3, root, "cc1");
    told.end(12, made, root, 1);
    told.end(20, root, process(0, 0), 1);
    let commands = told.ledger.report(None).costliest.commands;
    let cc1 = commands.iter().find(|command| *command.name == *b"cc1");
    assert_eq!(
        cc1.map(|cc1| (cc1.cost.processes, cc1.after_others)),
        Some((2, 1))
    );
}

#[test]
fn nobody_waits_for_a_process_that_was_given_to_it() {
    let mut told = Told::begin();
    let root = told.root;
    let shell = told.child(10, 2, root, "sh");
    let orphan = told.child(12, 3, shell, "orphan");
    told.end(20, shell, root, 1);
    // The root is a subreaper: the orphan is its child by now.
    told.end(90, orphan, root, 1);
    told.end(100, root, process(0, 0), 1);
    let (links, shares) = chain(&told.ledger.report(None));
    assert_eq!(links, ["make", "sh"]);
    let expected = [("make", 90), ("sh", 10)];
    assert_eq!(shares, expected.map(|(name, ns)| (name.to_owned(), ns)));
}

#[test]
fn time_of_programs_that_are_not_told_apart_comes_with_the_path_of_a_child() {
    let mut told = Told::begin();
    let root = told.root;
    let child = told.child(0, 2, root, "sh");
    let all = u64::try_from(SHARES_MAX).unwrap() + 10;
    for n in 0..all {
        told.exec(n + 1, child, &format!("/bin/{n:03}"));
    }
    told.end(all + 1, child, root, 1);
    told.end(all + 1, root, process(0, 0), 1);
    let report = told.ledger.report(None);
    let chain = report.chain.unwrap();
    let sum: u64 = chain.shares.iter().map(|(_, ns)| ns).sum();
    assert!(chain.other_ns > 0);
    assert_eq!(sum + chain.other_ns, all + 1);
}
