//! Wall and CPU time of a stretch of work, and figures of many short ones.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// What a stretch of work took.
#[derive(Clone, Copy)]
pub(crate) struct Took {
    /// On the wall, s.
    pub(crate) wall: f64,
    /// On processors, by all threads of this process, s.
    pub(crate) cpu: f64,
}

/// A stretch that has begun.
pub(crate) struct Watch {
    wall: Instant,
    cpu: Duration,
}

impl Watch {
    pub(crate) fn start() -> Self {
        Self {
            wall: Instant::now(),
            cpu: cpu(),
        }
    }

    pub(crate) fn stop(&self) -> Took {
        Took {
            wall: self.wall.elapsed().as_secs_f64(),
            cpu: cpu().saturating_sub(self.cpu).as_secs_f64(),
        }
    }
}

/// CPU time of this process so far.
fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(now).expect("not negative")
}

/// What a share `p` of all does not exceed, in ns; by nearest rank.
pub(crate) fn percentile(costs: &mut [Duration], p: f64) -> f64 {
    costs.sort_unstable();
    let rank = (p * float(costs.len() as u64)).ceil().max(1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank among the figures"
    )]
    let at = rank as usize - 1;
    costs[at].as_secs_f64() * 1e9
}

/// A count as a number to divide by.
#[expect(clippy::cast_precision_loss, reason = "counts below 2^52")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}
