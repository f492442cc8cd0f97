//! The kernel source of the watch: a thread that reads what the kernel side says of the followed trees,
//! between looks as well.
//!
//! A thread of its own, because a look through `/proc` may take longer than the ring has room for. It is
//! told what to follow, and never stops by itself: what it cannot do is a sentence in [`Shared::wrong`].

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::{Notify, watch};
use tracer_common::{event::KIND_MAX, names::PROG_FOLLOW_EXEC};

use super::{leftovers::same, orders::Orders};
use crate::{
    event::{Event, EventKind, Fork},
    observe::{
        attached::doubts,
        error::chain,
        kernel::{Kernel, load_following},
        ready::event_loop,
    },
    procfs::{ProcRoot, host::read_boot},
    session::redact::redact_argv,
    units::Process,
    watch::forest::Forest,
};

/// Of the ring: a short burst for as long as a busy machine lets this thread wait. All of it is resident.
const RING_BYTES: u32 = 2 << 20;
/// Events taken before others may look at the forest.
const BATCH: usize = 512;
/// Longest wait for orders to be carried out, which takes a walk through all tasks or two.
const ORDERS: Duration = Duration::from_secs(5);
/// Time between two readings of the counters.
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// Looks for those who are there, when one was not sure to have found everybody.
const LOOKS: u32 = 3;
/// Longest time in which the kernel verifies the programs, on a slow and busy machine.
const START: Duration = Duration::from_secs(60);

/// What the thread knows.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) forest: Forest,
    /// Events that reached the ring, by `KIND_` number.
    pub(super) sent: [u64; KIND_MAX as usize],
    /// What was lost, by reason.
    pub(super) lost: BTreeMap<String, u64>,
    /// What does not work, one sentence each, the oldest first.
    pub(super) wrong: Vec<String>,
    /// The number of the orders that are carried out.
    done: u64,
}

impl Shared {
    fn wrong(&mut self, why: String) {
        if !self.wrong.contains(&why) {
            self.wrong.push(why);
        }
    }
}

/// The thread, and what it shares.
pub(super) struct Source {
    shared: Arc<Mutex<Shared>>,
    orders: watch::Sender<Orders>,
    /// Told when orders have been carried out.
    carried_out: Arc<Condvar>,
    made: Arc<Notify>,
    done: mpsc::Receiver<()>,
    thread: JoinHandle<()>,
}

impl Source {
    /// Loads the kernel side and begins to follow. Why it cannot, in words that say what to do.
    pub(super) fn start(orders: Orders) -> Result<Self, String> {
        let shared = Arc::new(Mutex::new(Shared {
            forest: Forest::new(redact_argv),
            sent: [0; KIND_MAX as usize],
            lost: BTreeMap::new(),
            wrong: Vec::new(),
            done: 0,
        }));
        let carried_out = Arc::new(Condvar::new());
        let (orders, received) = watch::channel(orders);
        let made = Arc::new(Notify::new());
        let (say_begun, begun) = mpsc::sync_channel(1);
        let (at_end, done) = mpsc::sync_channel(1);
        let theirs = Arc::clone(&shared);
        let (notify, tell) = (Arc::clone(&made), Arc::clone(&carried_out));
        let thread = std::thread::Builder::new()
            .name("follow".to_owned())
            .spawn(move || {
                // Whoever waits for the end waits for this to be dropped.
                let _at_end = at_end;
                run(received, &theirs, (&notify, &tell), &say_begun);
            })
            .map_err(|error| format!("a thread cannot be started: {error}"))?;
        match begun.recv_timeout(START) {
            Ok(Ok(())) => Ok(Self {
                shared,
                orders,
                carried_out,
                made,
                done,
                thread,
            }),
            Ok(Err(why)) => Err(why),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                // It ends by itself as soon as it sees that nobody gives orders any more.
                Err(format!(
                    "the kernel has not verified the programs within {START:?}"
                ))
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => Err("it has failed".to_owned()),
        }
    }

    /// From now on these, and nothing else; carried out when this returns, unless that takes very long.
    pub(super) fn order(&self, mut orders: Orders) {
        let mut number = None;
        self.orders.send_if_modified(|now| {
            orders.number = now.number;
            if *now == orders {
                return false;
            }
            orders.number += 1;
            number = Some(orders.number);
            *now = orders;
            true
        });
        let Some(number) = number else { return };
        let is_open = |shared: &mut Shared| shared.done < number;
        let waited = self
            .carried_out
            .wait_timeout_while(self.shared(), ORDERS, is_open);
        // Late ones are carried out all the same; an end of the thread is told elsewhere.
        drop(waited);
    }

    /// What is known now.
    pub(super) fn shared(&self) -> MutexGuard<'_, Shared> {
        lock(&self.shared)
    }

    /// Whether the thread has ended, which it never should.
    pub(super) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Completes when a cgroup was made, on the machine.
    pub(super) async fn cgroup_made(&self) {
        self.made.notified().await;
    }

    /// Stops following. What does not end by then ends with the process.
    pub(super) fn stop(self, deadline: Duration) {
        self.orders.send_modify(|orders| orders.stop = true);
        let ended = self.done.recv_timeout(deadline);
        if matches!(ended, Err(mpsc::RecvTimeoutError::Disconnected)) {
            // A panic was told when it happened.
            let _panicked = self.thread.join();
        }
    }
}

/// The thread.
fn run(
    orders: watch::Receiver<Orders>,
    shared: &Mutex<Shared>,
    (made, carried_out): (&Notify, &Condvar),
    begun: &mpsc::SyncSender<Result<(), String>>,
) {
    let load = || -> Result<_, String> {
        let proc = ProcRoot::open("/proc").map_err(|error| chain(&error))?;
        let attached = load_following(RING_BYTES).map_err(|error| chain(&error))?;
        let runtime = event_loop().map_err(|error| chain(&error))?;
        Ok((proc, attached, runtime))
    };
    let (proc, attached, runtime) = match load() {
        Ok(begun) => begun,
        Err(why) => {
            let _nobody_waits = begun.send(Err(why));
            return;
        }
    };
    runtime.block_on(async {
        let page_kb = rustix::param::page_size() as u64 / 1024;
        let kernel = match Kernel::new(attached, page_kb) {
            Ok(kernel) => kernel,
            Err(error) => {
                let _nobody_waits = begun.send(Err(chain(&error)));
                return;
            }
        };
        let mut reading = Reading {
            made: kernel.cgroups_made(),
            kernel,
            proc,
            shared,
            orders,
            carried_out: 0,
            looks_left: 0,
            is_stale: true,
        };
        let first = reading.follow();
        if begun.send(first).is_ok() {
            reading.go_on(made, carried_out).await;
        }
    });
}

/// The thread while it reads.
struct Reading<'a> {
    kernel: Kernel,
    proc: ProcRoot,
    shared: &'a Mutex<Shared>,
    orders: watch::Receiver<Orders>,
    /// The number of the last orders.
    carried_out: u64,
    /// Cgroups that have been made, as far as was noticed.
    made: u32,
    /// Looks that are still to be taken because the last one was not sure to have found everybody.
    looks_left: u32,
    /// Whether anything was read since the counters were.
    is_stale: bool,
}

impl Reading<'_> {
    async fn go_on(&mut self, made: &Notify, carried_out: &Condvar) {
        let mut count_at = Instant::now();
        loop {
            let is_to_count = self.is_stale || self.looks_left > 0;
            tokio::select! {
                changed = self.orders.changed() => {
                    if changed.is_err() || self.orders.borrow().stop {
                        return;
                    }
                    if let Err(why) = self.follow() {
                        lock(self.shared).wrong(why);
                    }
                    lock(self.shared).done = self.carried_out;
                    carried_out.notify_all();
                }
                () = self.kernel.wait() => {}
                () = tokio::time::sleep_until(count_at.into()), if is_to_count => {}
            }
            while self.drain() {}
            let now_made = self.kernel.cgroups_made();
            if std::mem::replace(&mut self.made, now_made) != now_made {
                made.notify_one();
            }
            if (self.is_stale || self.looks_left > 0) && Instant::now() >= count_at {
                self.count();
                count_at = Instant::now() + COUNT_EVERY;
            }
        }
    }

    /// Follows what is ordered now.
    fn follow(&mut self) -> Result<(), String> {
        let orders = self.orders.borrow_and_update().clone();
        self.carried_out = orders.number;
        let adoption = self.kernel.follow(&orders.follow);
        let adoption = adoption.map_err(|error| chain(&error))?;
        self.looks_left = if adoption.converged() { 0 } else { LOOKS };
        let mut shared = lock(self.shared);
        for lack in self.kernel.follow_lacks() {
            // Who follows names only misses nothing where cgroups cannot be seen.
            if orders.of_cgroups || lack.name == PROG_FOLLOW_EXEC {
                shared.wrong(format!("{}: {}", lack.name, lack.why));
            }
        }
        Ok(())
    }

    /// Takes a batch of events. True when there are more.
    fn drain(&mut self) -> bool {
        let orders = self.orders.borrow();
        let mut shared = lock(self.shared);
        let mut any = false;
        let mut were_there = Vec::new();
        let more = self.kernel.drain_each(BATCH, |event, followed| {
            any = true;
            let found = match &event.kind {
                EventKind::Fork(fork) if fork.adopted => Some(*fork),
                _ => None,
            };
            let by = followed.zip(found);
            let by = by.map(|(followed, fork)| orders.by(followed, fork.comm));
            shared.forest.apply(&event, by);
            were_there.extend(found.map(|fork| fork.child));
        });
        drop(shared);
        // Without the lock: a process can keep whoever reads its command line waiting.
        for child in were_there {
            let words = same(&self.proc, child).and_then(|dir| dir.cmdline().ok());
            if let Some(words) = words {
                lock(self.shared).forest.runs(child.key, words);
            }
        }
        self.is_stale |= any;
        more
    }

    /// Reads what was sent and lost, and makes up for losses as far as that can be.
    fn count(&mut self) {
        if self.looks_left > 0 {
            self.look_again();
        }
        self.is_stale = false;
        let news = self.kernel.new_losses();
        let counters = self.kernel.counters();
        let mut shared = lock(self.shared);
        if let Some(counters) = counters {
            shared.sent = counters.sent;
        }
        for (reason, count) in &news {
            *shared.lost.entry(reason.clone()).or_default() += count;
        }
        drop(shared);
        if !news.is_empty() {
            self.look_again();
            self.make_up();
        }
    }

    fn look_again(&mut self) {
        self.looks_left = self.looks_left.saturating_sub(1);
        match self.kernel.follow_again() {
            Ok(adoption) if adoption.converged() => self.looks_left = 0,
            Ok(_) if self.looks_left > 0 => {}
            Ok(adoption) => {
                let why = doubts(adoption.doubts).kinds();
                lock(self.shared).wrong(format!(
                    "who was there when following began may not have been found completely: {why}"
                ));
            }
            Err(error) => lock(self.shared).wrong(chain(&error)),
        }
    }

    /// Takes from the kernel side's own list who lives.
    fn make_up(&mut self) {
        while self.drain() {}
        let now = read_boot(self.proc.host().boot_offset);
        let Some(living) = self.kernel.tracked() else {
            return;
        };
        // What ended before the list was made is told by its own event, as far as that was not lost.
        while self.drain() {}
        let mut shared = lock(self.shared);
        shared.forest.only(&living, now);
        let unknown = living.into_iter();
        let unknown = unknown.filter(|process| !shared.forest.has(process.key));
        let unknown: Vec<Process> = unknown.collect();
        drop(shared);
        for child in unknown {
            let Some(stat) = same(&self.proc, child).and_then(|dir| dir.stat().ok()) else {
                continue;
            };
            let mut shared = lock(self.shared);
            let parent = shared.forest.of_pid(stat.ppid).unwrap_or_default();
            // The fork that was lost, as far as `/proc` tells of it.
            let fork = Fork {
                child,
                creator: parent,
                parent,
                comm: stat.comm,
                depth: 0,
                uid: 0,
                adopted: true,
            };
            let kind = EventKind::Fork(fork);
            shared.forest.apply(&Event { t: now, kind }, None);
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
