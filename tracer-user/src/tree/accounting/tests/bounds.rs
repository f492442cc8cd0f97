//! Memory: what is kept is counted, not guessed from the size of this process.

use super::*;
use crate::tree::accounting::{commands::TOP, waiting::WAITING_MAX};

#[test]
fn after_a_million_processes_of_a_million_commands_nothing_has_grown() {
    let mut told = Told::begin();
    let root = told.root;
    let mut cpu = 0;
    for n in 0..1_000_000_u32 {
        let t = u64::from(n) * 10;
        // Five are heavy, and come again and again.
        let heavy = n % 400 == 0;
        let name = if heavy {
            format!("heavy{}", n / 400 % 5)
        } else {
            format!("light{n}")
        };
        let child = told.child(t, 2 + n % 30_000, root, &name);
        let cost = if heavy { 5_000 } else { u64::from(n % 7) };
        cpu += cost;
        told.end(t + 5, child, root, cost);
        // The accounts of half of them come, the heavy ones' among them.
        if n % 2 == 0 {
            told.close(child, cost);
        }
        assert!(told.ledger.entries() <= WAITING_MAX + 2 && told.ledger.commands() <= 2048);
    }
    // It may have been among those that were given up.
    let newcomer = told.child(9_999_996, 2, root, "newcomer");
    told.end(9_999_998, newcomer, root, 9_000_000);
    cpu += 9_000_000;
    told.end(10_000_000, root, process(0, 0), 0);
    let report = told.ledger.report(None);
    for n in 0..5 {
        assert_eq!(
            account(&report, &format!("heavy{n}")),
            (500, 2_500_000, 50_000)
        );
    }
    // They were there from the start, so nothing of them can be missing.
    let heavy = |name: &[u8]| name.starts_with(b"heavy");
    let commands = &report.costliest.commands;
    let sure = commands.iter().filter(|command| heavy(&command.name));
    assert!(sure.clone().all(|command| !command.at_least) && sure.count() == 5);
    let newcomer = commands
        .iter()
        .find(|command| *command.name == *b"newcomer");
    assert!(newcomer.is_some_and(|command| command.at_least));
    assert!(commands.len() <= 3 * TOP);
    // Whatever was given up is in the sums.
    let sum = whole(&report);
    assert_eq!((sum.processes, sum.cpu_us()), (1_000_002, cpu));
    assert!(report.costliest.rest.commands > 900_000);
    let (_, shares) = chain(&report);
    let other = report.chain.as_ref().unwrap().other_ns;
    let sum = shares.iter().map(|(_, ns)| ns).sum::<u64>() + other;
    assert_eq!(sum, 10_000_000);
}

#[test]
fn a_million_generations_that_each_outlive_their_parent_need_no_memory() {
    generations(true, 0);
}

#[test]
fn nor_do_they_much_if_no_account_ever_comes() {
    generations(false, WAITING_MAX);
}

fn generations(comes: bool, most: usize) {
    let mut told = Told::begin();
    let mut last = told.root;
    for n in 0..1_000_000_u32 {
        let t = u64::from(n) * 10 + 1;
        let child = told.child(t, 2 + n % 30_000, last, "fork");
        told.end(t + 5, last, process(0, 0), 1);
        if comes {
            told.close(last, 1);
        }
        last = child;
        assert!(
            told.ledger.entries() <= most + TOP + 2,
            "{}",
            told.ledger.entries()
        );
    }
    told.end(20_000_000, last, process(0, 0), 1);
    if comes {
        told.close(last, 1);
        assert_eq!(told.ledger.entries(), 0);
    }
    let report = told.ledger.report(None);
    // A subtree counts those who are too deep to be told apart as well.
    assert_eq!(report.subtrees[0].cost.cpu_us(), 1_000_001);
    assert_eq!(report.subtrees.len(), TOP);
    assert_eq!(whole(&report).cpu_us(), 1_000_001);
}
