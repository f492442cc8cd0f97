//! The course of an ending: who is sent what, and when, until nobody is left or no more can be done.
//!
//! Pure: the clock and the list of the living are arguments. Each process gets the first signal once and
//! SIGKILL once, whenever it shows up in the list: also one that was forked by a dying process.

use std::{collections::HashSet, hash::Hash, time::Duration};

use super::ns;

const SIGKILL: i32 = 9;

/// Between two looks at who is left.
const EVERY: Duration = Duration::from_millis(5);
/// After SIGKILL only the kernel can hold a process up: for longer than this, nobody waits for it.
const GIVE_UP: Duration = Duration::from_secs(5);

/// An ending that has begun.
#[derive(Debug)]
pub(super) struct Course<K> {
    signal: i32,
    kill_at: u64,
    give_up_at: u64,
    next: u64,
    asked: HashSet<K>,
    killed: HashSet<K>,
}

impl<K: Copy + Eq + Hash> Course<K> {
    /// Begins now.
    pub(super) fn new(now: u64, signal: i32, kill_after: Duration) -> Self {
        // One that begins with SIGKILL has nothing to wait for.
        let kill_after = if signal == SIGKILL { 0 } else { ns(kill_after) };
        let kill_at = now.saturating_add(kill_after);
        Self {
            signal,
            kill_at,
            give_up_at: kill_at.saturating_add(ns(GIVE_UP)),
            next: now,
            asked: HashSet::new(),
            killed: HashSet::new(),
        }
    }

    /// Nobody waits for what is still asked to end.
    pub(super) fn hasten(&mut self, now: u64) {
        if self.kill_at > now {
            self.kill_at = now;
            self.give_up_at = now.saturating_add(ns(GIVE_UP));
            self.next = now;
        }
    }

    /// When to look at who is left.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Whether no more can be done.
    pub(super) fn is_over(&self, now: u64) -> bool {
        now >= self.give_up_at
    }

    /// What to send to those who live now, in their order.
    pub(super) fn pass(&mut self, now: u64, living: &[K]) -> Vec<(K, i32)> {
        let there: HashSet<K> = living.iter().copied().collect();
        self.asked.retain(|who| there.contains(who));
        self.killed.retain(|who| there.contains(who));
        let (signal, sent) = if now >= self.kill_at {
            (SIGKILL, &mut self.killed)
        } else {
            (self.signal, &mut self.asked)
        };
        let new: Vec<(K, i32)> = living
            .iter()
            .filter(|&&who| sent.insert(who))
            .map(|&who| (who, signal))
            .collect();
        // Whoever forks faster than is looked is not waited for.
        let pause = match signal {
            SIGKILL if !new.is_empty() => 0,
            _ => ns(EVERY),
        };
        self.next = now.saturating_add(pause);
        if now < self.kill_at {
            self.next = self.next.min(self.kill_at);
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: i32 = 15;
    const MS: u64 = 1_000_000;

    #[test]
    fn each_is_asked_once_and_then_killed_once() {
        let mut course = Course::new(0, TERM, Duration::from_millis(100));
        assert_eq!(course.pass(0, &[1, 2]), [(1, TERM), (2, TERM)]);
        assert_eq!(course.pass(5 * MS, &[1, 2]), []);
        // Forked by a dying one.
        assert_eq!(course.pass(10 * MS, &[2, 3]), [(3, TERM)]);
        assert_eq!(course.pass(100 * MS, &[2, 3]), [(2, SIGKILL), (3, SIGKILL)]);
        assert_eq!(
            course.next(),
            100 * MS,
            "another may have been forked just now"
        );
        assert_eq!(course.pass(100 * MS, &[3]), []);
        assert!(course.next() > 100 * MS);
        assert!(!course.is_over(5_099 * MS));
        assert!(course.is_over(5_100 * MS));
    }

    #[test]
    fn a_pass_is_never_later_than_the_kill() {
        let mut course = Course::new(0, TERM, Duration::from_millis(7));
        course.pass(0, &[1]);
        assert_eq!(course.next(), 5 * MS);
        course.pass(5 * MS, &[1]);
        assert_eq!(course.next(), 7 * MS);
    }

    #[test]
    fn whoever_is_in_a_hurry_gets_the_kill_now_and_not_later() {
        let mut course = Course::new(0, TERM, Duration::from_secs(10));
        course.pass(0, &[1]);
        course.hasten(MS);
        assert_eq!(course.next(), MS);
        assert_eq!(course.pass(MS, &[1]), [(1, SIGKILL)]);
        course.hasten(4_000 * MS);
        assert!(course.is_over(5_001 * MS), "asking again prolongs nothing");
    }

    #[test]
    fn a_kill_from_the_start_waits_for_nothing() {
        let mut course = Course::new(7, SIGKILL, Duration::MAX);
        assert_eq!(course.pass(7, &[1]), [(1, SIGKILL)]);
        let mut endless = Course::new(7, TERM, Duration::MAX);
        assert_eq!(endless.pass(u64::MAX - 1, &[1]), [(1, TERM)]);
    }

    #[test]
    fn memory_is_that_of_the_living() {
        let mut course = Course::new(0, TERM, Duration::from_secs(10));
        for who in 0..1_000_000 {
            course.pass(0, &[who]);
        }
        assert_eq!((course.asked.len(), course.killed.len()), (1, 0));
    }
}
