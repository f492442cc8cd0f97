//! Memory of one process: `oom_spike`, `oom_critical`, `rss_growth`.

use super::{
    change::{Detail, Span},
    episode::{Held, Seen},
    kind::Kind,
    oom::{Scale, share_of_limit},
    thresholds::{Key, Thresholds},
};
use crate::{snapshot::SnapshotRow, units::BootNs};

/// What earlier rows said.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Memory {
    /// The last score that could be read.
    score: Option<i64>,
    /// When it began or last executed a program: what it had before is not comparable.
    image: BootNs,
    /// The first settled resident set, KiB, and when it was read.
    settled: Option<(u64, BootNs)>,
    /// Rows with a resident set since, that one included.
    rows: u64,
}

impl Memory {
    /// Of a process that began then.
    pub(super) fn since(began: BootNs) -> Self {
        Self {
            image: began,
            ..Self::default()
        }
    }

    /// It executes another program: its memory is that program's.
    pub(super) fn exec(&mut self, t: BootNs) {
        *self = Self {
            score: self.score,
            ..Self::since(t)
        };
    }

    /// Goes on where another observer stopped, which had settled on this.
    pub(super) fn restore(&mut self, initial_kb: u64, span: Span) {
        self.settled = Some((initial_kb, span.first));
        self.rows = u64::MAX / 2;
    }

    pub(super) fn look(
        &mut self,
        t: BootNs,
        row: &SnapshotRow,
        scale: Scale,
        thresholds: &Thresholds,
    ) -> [(Kind, Seen); 3] {
        let score = Score::of(row, scale);
        let spike = self.spike(t, score, thresholds);
        let critical = score.map_or(Seen::Unknown, |score| score.critical(t, thresholds));
        [
            (Kind::OomSpike, spike),
            (Kind::OomCritical, critical),
            (Kind::RssGrowth, self.growth(t, row, thresholds)),
        ]
    }

    fn spike(&mut self, t: BootNs, score: Option<Score>, thresholds: &Thresholds) -> Seen {
        let Some(score) = score else {
            return Seen::Unknown;
        };
        let to = score.share;
        let Some(from) = self.score.replace(to) else {
            return Seen::Clear;
        };
        let delta = to - from;
        if delta <= whole(thresholds, Key::OomSpikeDelta) {
            return Seen::Clear;
        }
        let detail = Detail::OomSpike {
            from,
            to,
            delta,
            oom_score_raw: score.raw,
        };
        once(t, number(delta), detail)
    }

    fn growth(&mut self, t: BootNs, row: &SnapshotRow, thresholds: &Thresholds) -> Seen {
        // A process that is being torn down shows 0, which is no size.
        let Some(rss) = row.vm_rss_kb.filter(|&rss| rss > 0) else {
            return Seen::Unknown;
        };
        if self.settled.is_none() && t.since(self.image) < thresholds.ns(Key::RssSettleMs) {
            return Seen::Clear;
        }
        let (initial, since) = *self.settled.get_or_insert((rss, t));
        self.rows += 1;
        let factor = count(rss) / count(initial);
        let grown = rss.saturating_sub(initial) >= thresholds.whole(Key::RssGrowthMinKb)
            && factor > thresholds.get(Key::RssGrowthFactor);
        if !grown || self.rows < thresholds.whole(Key::RssGrowthRows) {
            return Seen::Clear;
        }
        Seen::Holds(Held {
            since,
            count: 1,
            value: factor,
            detail: Detail::RssGrowth {
                initial_rss_kb: initial,
                final_rss_kb: rss,
                growth_factor: round(factor, 3),
                rows: self.rows,
            },
        })
    }
}

/// Thousandths of memory, and what they are of.
#[derive(Debug, Clone, Copy)]
struct Score {
    raw: i64,
    share: i64,
    of: &'static str,
}

impl Score {
    /// The worse one of what it has of the machine and of its cgroup's limit.
    fn of(row: &SnapshotRow, scale: Scale) -> Option<Self> {
        let (raw, adj) = (row.oom_score?, row.oom_score_adj?);
        let machine = Self {
            raw,
            share: scale.share(raw, adj),
            of: "machine",
        };
        let used = row.vm_rss_kb.zip(limit_kb(row)).filter(|_| adj > -1000);
        let cgroup = used.map_or(0, |(used, limit)| share_of_limit(used, limit));
        Some(if cgroup > machine.share {
            Self {
                share: cgroup,
                of: "cgroup",
                ..machine
            }
        } else {
            machine
        })
    }

    fn critical(self, t: BootNs, thresholds: &Thresholds) -> Seen {
        if self.share < whole(thresholds, Key::OomCriticalScore) {
            return Seen::Clear;
        }
        let detail = Detail::OomCritical {
            oom_score: self.share,
            oom_score_raw: self.raw,
            of: self.of,
        };
        once(t, number(self.share), detail)
    }
}

/// The limit of its memory cgroup, KiB; `None` when there is none.
fn limit_kb(row: &SnapshotRow) -> Option<u64> {
    u64::try_from(row.cgroup_memory_limit_kb?).ok()
}

fn whole(thresholds: &Thresholds, key: Key) -> i64 {
    i64::try_from(thresholds.whole(key)).unwrap_or(i64::MAX)
}

/// A condition that one row shows.
pub(super) fn once(t: BootNs, value: f64, detail: Detail) -> Seen {
    Seen::Holds(Held {
        since: t,
        count: 1,
        value,
        detail,
    })
}

#[expect(clippy::cast_precision_loss, reason = "at most a thousand")]
fn number(share: i64) -> f64 {
    share as f64
}

#[expect(clippy::cast_precision_loss, reason = "counts and KiB are below 2^52")]
pub(super) fn count(n: u64) -> f64 {
    n as f64
}

/// To so many decimals.
pub(super) fn round(value: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    (value * scale).round() / scale
}
