//! Any tree, against a model that keeps everything and walks backwards.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// What the model remembers of a process.
#[derive(Debug, Clone)]
struct Lived {
    process: Process,
    creator: Option<usize>,
    parent: Option<usize>,
    /// Names, and when each began.
    images: Vec<(u64, String)>,
    start: u64,
    end: Option<u64>,
    parent_at_end: Option<usize>,
    cpu: u64,
}

#[derive(Debug, Default)]
struct Model {
    all: Vec<Lived>,
    t: u64,
}

impl Model {
    fn living(&self) -> Vec<usize> {
        let alive = |&at: &usize| self.all[at].end.is_none();
        (0..self.all.len()).filter(alive).collect()
    }

    /// Name and time of all that was on the way from `to` back to the birth of `at`.
    fn walk(&self, at: usize, shares: &mut BTreeMap<String, u64>) {
        let lived = &self.all[at];
        let mut to = lived.end.unwrap();
        let waited = |child: &(usize, &Lived), to: u64| {
            let (_, child) = *child;
            child.parent == Some(at)
                && child.parent_at_end == Some(at)
                && child.end.is_some_and(|end| end <= to)
        };
        loop {
            let children = self.all.iter().enumerate();
            let last = children
                .filter(|child| waited(child, to))
                .max_by_key(|(_, child)| child.end);
            let from = last.map_or(lived.start, |(_, child)| child.end.unwrap());
            self.own(at, from, to, shares);
            let Some((child, last)) = last else { return };
            self.walk(child, shares);
            to = last.start;
        }
    }

    /// The time between, by what it ran.
    fn own(&self, at: usize, from: u64, to: u64, shares: &mut BTreeMap<String, u64>) {
        let images = &self.all[at].images;
        for (n, (begin, name)) in images.iter().enumerate() {
            let end = images.get(n + 1).map_or(u64::MAX, |(next, _)| *next);
            let (begin, end) = ((*begin).max(from), end.min(to));
            if end > begin {
                *shares.entry(name.clone()).or_default() += end - begin;
            }
        }
    }

    /// Itself and all its descendants.
    fn below(&self, above: usize) -> Vec<usize> {
        let all = 0..self.all.len();
        all.filter(|&at| self.is_below(at, above)).collect()
    }

    fn is_below(&self, mut at: usize, above: usize) -> bool {
        while at != above {
            match self.all[at].creator {
                Some(creator) => at = creator,
                None => return false,
            }
        }
        true
    }
}

/// One thing that happens: what, to whom, with what.
type Step = (u8, prop::sample::Index, u8);

fn play(steps: &[Step]) -> (Model, Report) {
    let mut told = Told::begin();
    let root = Lived {
        process: told.root,
        creator: None,
        parent: None,
        images: vec![(0, "make".to_owned())],
        start: 0,
        end: None,
        parent_at_end: None,
        cpu: 0,
    };
    let mut model = Model {
        all: vec![root],
        t: 0,
    };
    let end = |model: &mut Model, told: &mut Told, at: usize, cpu: u64| {
        model.t += 1;
        let t = model.t;
        let parent = model.all[at].parent;
        let kept = parent.filter(|&parent| model.all[parent].end.is_none());
        let reaper = kept.map_or(process(0, 0), |parent| model.all[parent].process);
        told.end(t, model.all[at].process, reaper, cpu);
        let lived = &mut model.all[at];
        (lived.end, lived.parent_at_end, lived.cpu) = (Some(t), kept, cpu);
    };
    for (what, whom, with) in steps {
        let living = model.living();
        if living.is_empty() {
            break;
        }
        let at = *whom.get(&living);
        model.t += u64::from(*with);
        match what % 4 {
            0 | 1 => {
                model.t += 1;
                let t = model.t;
                // Pids are used again.
                let taken = |pid: u32| {
                    let with_it = model.all.iter().filter(|lived| lived.end.is_none());
                    with_it.clone().any(|lived| lived.process.key.init == pid)
                };
                let pid = (2..1000).find(|&pid| !taken(pid)).unwrap();
                let creator = model.all[at].clone();
                let child = told.child(t, pid, creator.process, "");
                let name = creator.images.last().unwrap().1.clone();
                model.all.push(Lived {
                    process: child,
                    creator: Some(at),
                    parent: Some(at),
                    images: vec![(t, name)],
                    start: t,
                    end: None,
                    parent_at_end: None,
                    cpu: 0,
                });
            }
            2 => {
                model.t += 1;
                let name = format!("p{}", with % 5);
                told.exec(model.t, model.all[at].process, &name);
                model.all[at].images.push((model.t, name));
            }
            _ => end(&mut model, &mut told, at, u64::from(*with)),
        }
    }
    for at in model.living().into_iter().rev() {
        end(&mut model, &mut told, at, 1);
    }
    (model, told.ledger.report(None))
}

proptest! {
    #[test]
    fn every_account_is_what_a_model_that_keeps_everything_says(
        steps in proptest::collection::vec(any::<Step>(), 0..120)
    ) {
        let (model, report) = play(&steps);
        let mut by_name: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for lived in &model.all {
            let name = lived.images.last().unwrap().1.clone();
            let sums = by_name.entry(name).or_default();
            *sums = (sums.0 + 1, sums.1 + lived.cpu);
        }
        for (name, (count, cpu)) in &by_name {
            let (found, cost, _) = account(&report, name);
            prop_assert_eq!((found, cost), (*count, *cpu), "{}", name);
        }
        let cpu: u64 = model.all.iter().map(|lived| lived.cpu).sum();
        prop_assert_eq!(whole(&report).cpu_us(), cpu);
        prop_assert_eq!(whole(&report).processes, model.all.len() as u64);

        for subtree in &report.subtrees {
            let is_it = |lived: &Lived| lived.process == subtree.process;
            let at = model.all.iter().position(is_it).unwrap();
            let below = model.below(at);
            let cpu: u64 = below.iter().map(|&other| model.all[other].cpu).sum();
            prop_assert_eq!(subtree.cost.cpu_us(), cpu);
            prop_assert_eq!(subtree.cost.processes, below.len() as u64);
        }
        let mut subtrees: Vec<u64> = (0..model.all.len())
            .map(|at| model.below(at))
            .filter(|below| below.len() > 1)
            .map(|below| below.iter().map(|&other| model.all[other].cpu).sum())
            .collect();
        subtrees.sort_unstable_by(|one, other| other.cmp(one));
        subtrees.truncate(20);
        let found: Vec<u64> = report.subtrees.iter().map(|one| one.cost.cpu_us()).collect();
        prop_assert_eq!(found, subtrees);

        let mut shares = BTreeMap::new();
        model.walk(0, &mut shares);
        let found: BTreeMap<String, u64> = chain(&report).1.into_iter().collect();
        prop_assert_eq!(found.values().sum::<u64>(), model.all[0].end.unwrap());
        prop_assert_eq!(found, shares);
    }
}
