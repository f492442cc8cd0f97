//! What a process uses up or leaves waiting: `high_cpu_sustained`, `fd_high`, `signals_pending`.

use super::{
    change::Detail,
    consecutive::Consecutive,
    episode::{Held, Seen},
    kind::Kind,
    memory::{count, once, round},
    state::reached,
    thresholds::{Key, Thresholds},
};
use crate::{snapshot::SnapshotRow, units::BootNs};

/// `SIGCHLD`, `SIGCONT`, `SIGURG` and `SIGWINCH` as bits (signal(7), all architectures but alpha, mips,
/// parisc and sparc). Their default is to be ignored: they are news to the process, not a request, and a
/// shell that is busy has one waiting at nearly any time.
const IGNORED: u64 = 1 << 16 | 1 << 17 | 1 << 22 | 1 << 27;

/// What earlier rows said.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Load {
    cpu: Consecutive,
    pending: Pending,
}

/// What is known of pending signals.
#[derive(Debug, Clone, Copy, Default)]
enum Pending {
    /// Nothing, or that there were some from the first row on.
    #[default]
    Unknown,
    /// There were none.
    None,
    /// There were none, and then some.
    Came,
}

impl Load {
    /// Goes on where another observer stopped.
    pub(super) fn restore(&mut self, kind: Kind, so_far: Consecutive) {
        match kind {
            Kind::HighCpuSustained => self.cpu = so_far,
            Kind::SignalsPending => self.pending = Pending::Came,
            _ => {}
        }
    }

    pub(super) fn look(
        &mut self,
        t: BootNs,
        row: &SnapshotRow,
        thresholds: &Thresholds,
    ) -> [(Kind, Seen); 3] {
        [
            (Kind::HighCpuSustained, self.cpu(t, row, thresholds)),
            (Kind::FdHigh, descriptors(t, row, thresholds)),
            (Kind::SignalsPending, self.pending(t, row)),
        ]
    }

    fn cpu(&mut self, t: BootNs, row: &SnapshotRow, thresholds: &Thresholds) -> Seen {
        let Some(cpu_percent) = row.cpu_percent else {
            return Seen::Unknown;
        };
        let busy = cpu_percent >= thresholds.get(Key::HighCpuPercent);
        self.cpu.row(t, busy);
        let rows = thresholds.whole(Key::HighCpuRows);
        let seen = reached(self.cpu, rows, |consecutive_count| Detail::HighCpu {
            cpu_percent,
            consecutive_count,
        });
        match seen {
            Seen::Holds(held) => Seen::Holds(Held {
                value: cpu_percent,
                ..held
            }),
            other => other,
        }
    }

    fn pending(&mut self, t: BootNs, row: &SnapshotRow) -> Seen {
        let mask = row.sig_pnd.as_deref();
        let Some(bits) = mask.and_then(|mask| u64::from_str_radix(mask, 16).ok()) else {
            return Seen::Unknown;
        };
        let bits = bits & !IGNORED;
        self.pending = match (bits, self.pending) {
            (0, _) => Pending::None,
            (_, Pending::None | Pending::Came) => Pending::Came,
            (_, Pending::Unknown) => Pending::Unknown,
        };
        if !matches!(self.pending, Pending::Came) {
            return Seen::Clear;
        }
        let detail = Detail::SignalsPending {
            from: format!("{:016x}", 0),
            to: mask.unwrap_or_default().to_owned(),
        };
        once(t, f64::from(bits.count_ones()), detail)
    }
}

fn descriptors(t: BootNs, row: &SnapshotRow, thresholds: &Thresholds) -> Seen {
    let (Some(fd_count), Some(fd_soft_limit)) = (row.fd_count, row.fd_soft_limit) else {
        return Seen::Unknown;
    };
    // -1 is no limit. Below a limit of 0 nothing can be opened, but what is open stays.
    let Ok(limit) = u64::try_from(fd_soft_limit) else {
        return Seen::Clear;
    };
    let ratio = count(fd_count) / count(limit.max(1));
    if ratio <= thresholds.get(Key::FdHighRatio) {
        return Seen::Clear;
    }
    let detail = Detail::FdHigh {
        fd_count,
        fd_soft_limit,
        ratio: round(ratio, 3),
    };
    once(t, ratio, detail)
}
