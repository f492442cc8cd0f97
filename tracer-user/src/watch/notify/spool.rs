//! The thread that files alerts in every notifier's queue, so that the watcher never waits for a disk.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Instant,
};

use super::{NotifyError, join_until, shared::Filing, spawn};
use crate::watch::alert::Alert;

/// Alerts that may wait for the disk.
const WAITING: usize = 1024;

/// Something to file.
enum Job {
    Alert(Arc<Alert>),
    Only(BTreeSet<String>),
    /// From now on, for these.
    For(Vec<Arc<dyn Filing>>),
}

/// The thread.
pub(super) struct Spool {
    sender: SyncSender<Job>,
    /// Alerts that it has not filed yet.
    waiting: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Spool {
    pub(super) fn start(inboxes: Vec<Arc<dyn Filing>>) -> Result<Self, NotifyError> {
        let (sender, jobs) = sync_channel(WAITING);
        let waiting = Arc::new(AtomicU64::new(0));
        let theirs = Arc::clone(&waiting);
        let thread = spawn("spool", move || work(&jobs, inboxes, &theirs))?;
        Ok(Self {
            sender,
            waiting,
            thread,
        })
    }

    /// False: there was no room.
    pub(super) fn alert(&self, alert: &Alert) -> bool {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let took = self.sender.try_send(Job::Alert(Arc::new(alert.clone())));
        if took.is_err() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        took.is_ok()
    }

    pub(super) fn only(&self, keys: &BTreeSet<String>) -> bool {
        self.sender.try_send(Job::Only(keys.clone())).is_ok()
    }

    pub(super) fn serve(&self, inboxes: Vec<Arc<dyn Filing>>) -> bool {
        self.sender.try_send(Job::For(inboxes)).is_ok()
    }

    /// Files what it has. How many alerts it could not file by then.
    pub(super) fn shutdown(self, until: Instant) -> u64 {
        drop(self.sender);
        if join_until(self.thread, until) {
            return 0;
        }
        self.waiting.load(Ordering::Relaxed)
    }
}

fn work(jobs: &Receiver<Job>, mut inboxes: Vec<Arc<dyn Filing>>, waiting: &AtomicU64) {
    for job in jobs {
        match job {
            Job::Alert(alert) => {
                for inbox in &inboxes {
                    inbox.file(&alert);
                }
                waiting.fetch_sub(1, Ordering::Relaxed);
            }
            Job::Only(keys) => {
                for inbox in &inboxes {
                    inbox.only(&keys);
                }
            }
            Job::For(others) => inboxes = others,
        }
    }
}
