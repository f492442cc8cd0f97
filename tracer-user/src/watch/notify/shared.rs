//! What the thread that files alerts and the thread that tells them have in common.

use std::{
    collections::BTreeSet,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{Say, count::Count, plan::Plan};
use crate::watch::alert::Alert;

/// No wait is longer, whatever was asked for.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Where alerts are filed until they are told.
pub(super) trait Inbox: Send {
    /// Files one. A sentence when whoever runs the watch should hear of it.
    fn file(&mut self, alert: &Alert, count: &Count) -> Option<String>;
    /// Nothing but these is open any more.
    fn only(&mut self, _keys: &BTreeSet<String>) {}
    /// No more than this may wait.
    fn limit(&mut self, capacity: usize);
    /// How many wait.
    fn waiting(&self) -> usize;
}

struct State<T> {
    inbox: T,
    /// No more will come, and after this moment nothing is begun.
    until: Option<Instant>,
    /// The filing thread has trouble, and has said so.
    troubled: bool,
    /// How it is told from now on.
    plan: Option<Plan>,
}

/// An inbox between two threads.
pub(super) struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    pub(super) count: Arc<Count>,
    pub(super) name: String,
    pub(super) say: Say,
}

/// What the filing thread sees of it.
pub(super) trait Filing: Send + Sync {
    fn file(&self, alert: &Alert);
    fn only(&self, keys: &BTreeSet<String>);
    fn replan(&self, plan: Plan);
    fn stop(&self, until: Instant);
}

impl<T: Inbox> Shared<T> {
    pub(super) fn new(inbox: T, name: &str, say: &Say) -> Self {
        let count = Arc::new(Count::default());
        count.queued(inbox.waiting());
        Self {
            state: Mutex::new(State {
                inbox,
                until: None,
                troubled: false,
                plan: None,
            }),
            changed: Condvar::new(),
            count,
            name: name.to_owned(),
            say: Arc::clone(say),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Every change to the state is complete when the lock is let go, also by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the inbox and keeps the count right.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut state = self.lock();
        let result = change(&mut state.inbox);
        self.count.queued(state.inbox.waiting());
        result
    }

    /// Waits until `ready` finds something, at most until `latest`. None: that moment has come without,
    /// or it is time to stop.
    pub(super) fn wait<R>(
        &self,
        latest: Option<Instant>,
        mut ready: impl FnMut(&mut T) -> Option<R>,
    ) -> Option<R> {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            if state.until.is_some_and(|until| now >= until) {
                return None;
            }
            if let Some(found) = ready(&mut state.inbox) {
                return Some(found);
            }
            if state.until.is_some() || latest.is_some_and(|latest| now >= latest) {
                return None;
            }
            let left = latest.map_or(LONGEST_WAIT, |latest| latest - now);
            state = self.wait_on(state, left);
        }
    }

    fn wait_on<'a>(
        &self,
        state: MutexGuard<'a, State<T>>,
        left: Duration,
    ) -> MutexGuard<'a, State<T>> {
        let waited = self.changed.wait_timeout(state, left.min(LONGEST_WAIT));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits for a while, or until there is another plan. False: it is time to stop, and nothing is to be
    /// tried again.
    pub(super) fn pause(&self, pause: Duration) -> bool {
        let end = Instant::now() + pause;
        let mut state = self.lock();
        while state.until.is_none() {
            if state.plan.is_some() {
                return true;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            state = self.wait_on(state, left);
        }
        false
    }

    /// Another plan than before, if there is one.
    pub(super) fn new_plan(&self) -> Option<Plan> {
        self.lock().plan.take()
    }

    /// Whether it is time to stop.
    pub(super) fn stopping(&self) -> bool {
        self.lock().until.is_some()
    }

    /// What of `timeout` is left before everything has to end.
    pub(super) fn within(&self, timeout: Duration) -> Duration {
        let until = self.lock().until;
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        left.map_or(timeout, |left| left.min(timeout))
    }

    pub(super) fn tell(&self, what: &str) {
        (self.say)(&format!("notifier {}: {what}", self.name));
    }
}

impl<T: Inbox> Filing for Shared<T> {
    fn file(&self, alert: &Alert) {
        let mut state = self.lock();
        let trouble = state.inbox.file(alert, &self.count);
        self.count.queued(state.inbox.waiting());
        let again = std::mem::replace(&mut state.troubled, trouble.is_some());
        drop(state);
        self.changed.notify_all();
        if let (Some(trouble), false) = (trouble, again) {
            self.tell(&trouble);
        }
    }

    fn only(&self, keys: &BTreeSet<String>) {
        self.change(|inbox| inbox.only(keys));
        self.changed.notify_all();
    }

    fn replan(&self, plan: Plan) {
        let mut state = self.lock();
        state.inbox.limit(plan.settings.queue);
        state.plan = Some(plan);
        drop(state);
        self.changed.notify_all();
    }

    fn stop(&self, until: Instant) {
        self.lock().until = Some(until);
        self.changed.notify_all();
    }
}
