//! What a process was charged for the children that it waited for, against what their exit events said.
//!
//! An exit event is sent while its process is on its way out: the time since the kernel last accounted for it, up
//! to a tick, and what dying takes are not in it. All of it is in its closed account, which comes later, and in what
//! the kernel charges the parent that waits for it. What the parent was charged beyond all that is known belongs
//! to the children whose accounts have not come, together. What each of them lacks is of the same kind, so it is
//! divided evenly among them: right for them as a group, and close for each kind of them. So nothing is divided
//! before it is known of every child whether its account comes. Pure.

use std::sync::Arc;

use super::{commands::Name, cost::Cost};

/// Names of children that are told apart.
const NAMES_MAX: usize = 16;

/// The children of one parent that have ended.
#[derive(Debug, Clone, Default)]
pub(super) struct Charges {
    /// How many there are of each name whose accounts have not come.
    names: Vec<(Name, u64)>,
    /// How many had others.
    others: u64,
    /// What is known of all, and of what they had waited for, µs.
    told_us: u64,
    /// Of one of them it is not known what it had waited for.
    is_unknown: bool,
    /// Those whose accounts may still come.
    waiting: u64,
    /// What the parent was charged for them: user and system time, µs. Not before its end, and only if all of
    /// its life was seen.
    pub(super) charged_us: Option<(u64, u64)>,
}

/// What children have cost beyond their exit events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Late {
    /// By name.
    pub(super) names: Vec<(Name, Cost)>,
    /// Of those that are not told apart.
    pub(super) others: Cost,
    /// All together.
    pub(super) sum: Cost,
}

impl Charges {
    /// A child has ended that was charged so much for its own children.
    pub(super) fn ended(&mut self, children_us: Option<(u64, u64)>) {
        self.waiting += 1;
        match children_us {
            Some((user, system)) => self.tell(user.saturating_add(system)),
            None => self.is_unknown = true,
        }
    }

    /// The account of one has come.
    pub(super) fn closed(&mut self, cost: &Cost) {
        self.waiting = self.waiting.saturating_sub(1);
        self.tell(cost.cpu_us());
    }

    /// The account of one is waited for no longer: all there is of it is its exit event.
    pub(super) fn given_up(&mut self, name: &Name, cost: &Cost) {
        self.waiting = self.waiting.saturating_sub(1);
        self.tell(cost.cpu_us());
        match self.names.iter().position(|(other, _)| other == name) {
            Some(at) => self.names[at].1 += 1,
            None if self.names.len() < NAMES_MAX => self.names.push((Arc::clone(name), 1)),
            None => self.others += 1,
        }
    }

    fn tell(&mut self, us: u64) {
        self.told_us = self.told_us.saturating_add(us);
    }

    /// Whether it is known of every child whether its account comes.
    pub(super) fn is_settled(&self) -> bool {
        self.waiting == 0
    }

    /// Whether there is anybody to divide among.
    pub(super) fn has_shares(&self) -> bool {
        self.others > 0 || !self.names.is_empty()
    }

    /// What those without accounts have cost beyond their exit events. Nothing where the parent was charged
    /// less than the children are known to have cost: some were waited for by nobody.
    pub(super) fn settle(self) -> Option<Late> {
        let (user, system) = self.charged_us?;
        let count: u64 = self.names.iter().map(|(_, count)| count).sum::<u64>() + self.others;
        let charged = user.saturating_add(system);
        let late = charged.checked_sub(self.told_us)?;
        if count == 0 || self.is_unknown {
            return None;
        }
        let of = |part: u64| {
            let us = share(late, part, count);
            let cpu_user_us = share(us, user, charged.max(1));
            Cost {
                cpu_user_us,
                cpu_system_us: us - cpu_user_us,
                cpu_settled: part,
                ..Cost::default()
            }
        };
        let mut told = Late {
            others: of(self.others),
            ..Late::default()
        };
        told.sum.add(&told.others);
        for (name, part) in self.names {
            let cost = of(part);
            told.sum.add(&cost);
            told.names.push((name, cost));
        }
        Some(told)
    }
}

/// `whole * part / of`, rounded down; `part` is at most `of`.
fn share(whole: u64, part: u64, of: u64) -> u64 {
    let share = u128::from(whole) * u128::from(part) / u128::from(of);
    u64::try_from(share).unwrap_or(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(cpu_user_us: u64) -> Cost {
        Cost {
            processes: 1,
            cpu_user_us,
            cpu_short: 1,
            ..Cost::default()
        }
    }

    impl Charges {
        /// A child that has ended, and whose account does not come.
        fn add(&mut self, name: &Name, cost: &Cost, children_us: Option<(u64, u64)>) {
            self.ended(children_us);
            assert!(!self.is_settled());
            self.given_up(name, cost);
        }

        fn settled_with(&self, charged_us: (u64, u64)) -> Option<Late> {
            let mut charges = self.clone();
            assert!(charges.is_settled());
            charges.charged_us = Some(charged_us);
            charges.settle()
        }
    }

    #[test]
    fn what_came_late_is_divided_by_heads_and_nothing_of_it_is_lost_but_fractions() {
        let [cc, sh] = ["cc1", "sh"].map(|name| Name::from(name.as_bytes()));
        let mut charges = Charges::default();
        for _ in 0..3 {
            charges.add(&cc, &cost(100), Some((0, 0)));
        }
        // A child that was itself charged for 50.
        charges.add(&sh, &cost(10), Some((40, 10)));
        let late = charges.settled_with((300, 101)).unwrap();
        let found: Vec<_> = late
            .names
            .iter()
            .map(|(_, cost)| (cost.cpu_us(), cost.cpu_settled))
            .collect();
        // 401 charged, 360 told: 41 for four.
        assert_eq!(found, [(30, 3), (10, 1)]);
        assert_eq!((late.sum.cpu_us(), late.sum.cpu_settled), (40, 4));
        assert_eq!(late.sum.processes, 0);
    }

    #[test]
    fn a_parent_that_was_charged_less_than_is_known_or_did_not_say_settles_nothing() {
        let name = Name::from(&b"sh"[..]);
        let mut charges = Charges::default();
        charges.add(&name, &cost(100), Some((0, 0)));
        assert_eq!(charges.settled_with((50, 49)), None);
        assert!(charges.settled_with((50, 50)).is_some());
        assert_eq!(charges.clone().settle(), None);
        charges.add(&name, &cost(0), None);
        assert_eq!(charges.settled_with((500, 0)), None);
        assert_eq!(Charges::default().settled_with((5, 0)), None);
    }

    #[test]
    fn many_names_are_not_told_apart_and_not_forgotten() {
        let mut charges = Charges::default();
        for n in 0..40_u8 {
            charges.add(&Name::from(&[n][..]), &cost(1), Some((0, 0)));
        }
        assert_eq!(charges.names.len(), NAMES_MAX);
        let late = charges.settled_with((120, 0)).unwrap();
        assert_eq!((late.others.cpu_us(), late.sum.cpu_us()), (48, 80));
        assert_eq!(late.sum.cpu_settled, 40);
    }

    #[test]
    fn who_has_an_account_gets_no_share_and_leaves_the_rest_to_those_who_have_none() {
        let [long, short] = ["long", "short"].map(|name| Name::from(name.as_bytes()));
        let mut charges = Charges::default();
        charges.ended(Some((5, 0)));
        charges.add(&short, &cost(100), Some((0, 0)));
        // Its exit event said much less.
        charges.closed(&cost(400));
        charges.add(&long, &cost(100), Some((0, 0)));
        let late = charges.settled_with((700, 0)).unwrap();
        // 700 charged; known are 400, what that one had waited for, and twice 100.
        let found = late.names.iter().map(|(_, cost)| cost.cpu_us());
        assert_eq!(found.collect::<Vec<_>>(), [47, 47]);
        assert_eq!(late.sum.cpu_settled, 2);
    }
}
