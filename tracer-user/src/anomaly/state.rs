//! What a process is stuck in: `zombie_detected`, `zombie_persistent`, `d_state_sustained`.

use super::{
    change::Detail,
    consecutive::Consecutive,
    detector::Life,
    episode::{Held, Seen},
    kind::Kind,
    memory::count,
    thresholds::{Key, Thresholds},
};
use crate::{snapshot::SnapshotRow, units::BootNs};

/// Where waiting in disk sleep is how the kernel sleeps and no trouble; `""` and `"0"` say nothing.
const HARMLESS: [&str; 5] = [
    "do_nanosleep",
    "do_epoll_wait",
    "schedule_hrtimeout_range",
    "",
    "0",
];

/// The state's name in a row.
const DISK_SLEEP: &str = "disk-sleep";
/// Where the parent of a vfork waits until its child has executed a program or ended.
const VFORK: [&str; 5] = [
    "kernel_clone",
    "_do_fork",
    "do_fork",
    "wait_for_vfork_done",
    "do_wait_for_vfork_done",
];

/// What earlier rows said.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct States {
    zombie: Consecutive,
    disk: Consecutive,
    /// It was a zombie before its end was told.
    untold: bool,
    /// Voluntary context switches in the row before, of a process with one thread.
    switches: Option<u64>,
}

/// Whether a row is of a process that has ended.
pub(super) fn is_zombie(row: &SnapshotRow) -> Option<bool> {
    let state = row.state.as_deref()?;
    Some(matches!(state, "zombie" | "dead"))
}

impl States {
    /// Whether it was a zombie in the row before.
    pub(super) fn was_zombie(&self) -> bool {
        self.zombie.count > 0 || self.untold
    }

    /// Whether it counts as one in the last row that says.
    pub(super) fn is_zombie(&self) -> bool {
        self.zombie.count > 0
    }

    /// Goes on where another observer stopped.
    pub(super) fn restore(&mut self, kind: Kind, so_far: Consecutive) {
        match kind {
            Kind::ZombieDetected | Kind::ZombiePersistent => self.zombie = so_far,
            Kind::DStateSustained => self.disk = so_far,
            _ => {}
        }
    }

    pub(super) fn look(
        &mut self,
        t: BootNs,
        row: &SnapshotRow,
        life: Life,
        thresholds: &Thresholds,
    ) -> [(Kind, Seen); 3] {
        let [detected, persistent] = self.zombie(t, row, life, thresholds);
        [
            (Kind::ZombieDetected, detected),
            (Kind::ZombiePersistent, persistent),
            (Kind::DStateSustained, self.disk(t, row, thresholds)),
        ]
    }

    fn zombie(
        &mut self,
        t: BootNs,
        row: &SnapshotRow,
        life: Life,
        thresholds: &Thresholds,
    ) -> [Seen; 2] {
        let Some(zombie) = is_zombie(row) else {
            return [Seen::Unknown, Seen::Unknown];
        };
        if zombie && self.is_fresh(t, life, thresholds) {
            return [Seen::Unknown, Seen::Unknown];
        }
        self.zombie.row(t, zombie);
        let state = row.state.clone().unwrap_or_default();
        let persistent = thresholds.whole(Key::ZombiePersistentRows);
        [1, persistent].map(|rows| {
            reached(self.zombie, rows, |consecutive_count| Detail::Zombie {
                state: state.clone(),
                consecutive_count,
            })
        })
    }

    /// Every process is a zombie for a moment: until its parent has got round to it.
    fn is_fresh(&mut self, t: BootNs, life: Life, thresholds: &Thresholds) -> bool {
        match life {
            Life::Ended(at) => t.since(at) < thresholds.ns(Key::ZombieGraceMs),
            // Its end is on its way, or was lost: then it is a zombie in the next row as well.
            Life::Tracked => !std::mem::replace(&mut self.untold, true),
            Life::Untold => false,
        }
    }

    fn disk(&mut self, t: BootNs, row: &SnapshotRow, thresholds: &Thresholds) -> Seen {
        let (wchan, holds) = match disk_sleep(row) {
            DiskSleep::Unknown => return Seen::Unknown,
            DiskSleep::Nobody => ("", false),
            DiskSleep::In(wchan) => (wchan, true),
        };
        let switches = row
            .ctx_switches_voluntary
            .filter(|_| row.threads == Some(1));
        let before = std::mem::replace(&mut self.switches, switches);
        // A shell that starts one program after the other is found in this sleep again and again, and
        // is never stuck in it.
        let another = VFORK.contains(&wchan) && before.is_some() && before < switches;
        if another {
            self.disk = Consecutive::default();
        }
        self.disk.row(t, holds);
        let rows = thresholds.whole(Key::DStateRows);
        reached(self.disk, rows, |consecutive_count| Detail::DState {
            state: DISK_SLEEP.to_owned(),
            wchan: wchan.to_owned(),
            consecutive_count,
        })
    }
}

/// Whether a thread is in disk sleep, and not harmlessly so.
enum DiskSleep<'a> {
    /// That is not known of all of them.
    Unknown,
    Nobody,
    /// The leader or another is, here.
    In(&'a str),
}

fn disk_sleep(row: &SnapshotRow) -> DiskSleep<'_> {
    let bad = |wchan: &&str| !HARMLESS.contains(wchan);
    let others = row.threads_disk_sleep_wchan.iter().flatten();
    let leader = (row.state.as_deref() == Some(DISK_SLEEP)).then_some(row.wchan.as_deref());
    let mut sleeping = leader
        .flatten()
        .into_iter()
        .chain(others.map(String::as_str));
    if let Some(wchan) = sleeping.find(bad) {
        return DiskSleep::In(wchan);
    }
    let leader_known = row.state.is_some() && leader.is_none_or(|wchan| wchan.is_some());
    let others_known = match row.threads_disk_sleep {
        Some(0) => true,
        Some(_) => row.threads_disk_sleep_wchan.is_some(),
        // A zombie has none left.
        None => row.threads == Some(1) || is_zombie(row) == Some(true),
    };
    if leader_known && others_known {
        DiskSleep::Nobody
    } else {
        DiskSleep::Unknown
    }
}

/// A condition that takes so many rows in a row.
pub(super) fn reached(seen: Consecutive, rows: u64, detail: impl FnOnce(u64) -> Detail) -> Seen {
    if seen.count == 0 || seen.count < rows {
        return Seen::Clear;
    }
    Seen::Holds(Held {
        since: seen.since,
        count: seen.count,
        value: count(seen.count),
        detail: detail(seen.count),
    })
}
