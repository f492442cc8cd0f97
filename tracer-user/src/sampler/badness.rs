//! `oom_score`, and whether an `oom_score_adj` is the one that is in it.
//!
//! Source: `proc_oom_score` (`fs/proc/base.c`) and `oom_badness` (`mm/oom_kill.c`) since 5.9. A score is
//! memory and adjustment in one number, and the adjustment is in another file: whoever writes that between
//! two reads makes gigabytes of a wish, or hides them behind one. No order of reads helps, and neither do
//! more of them: the writer may be as fast. But memory is known besides, so what the score would be is known
//! too, and a pair that does not come to about that is not of one moment. It is read again; where that does
//! not help, the score stays, and the adjustment is the value that could not be read.

use rustix::system::sysinfo;

use super::reading::{Field, no_value};
use crate::{
    anomaly::oom::Scale,
    procfs::{ProcRoot, status::ProcStatus},
    units::Tgid,
};

/// Times that both are read before it is given up.
const LOOKS_MAX: u32 = 4;
/// How far a score may be from what memory and adjustment come to: memory is read at another moment, and 20
/// are three hundredths of all there is.
const TOLERANCE: i64 = 20;

/// Memory of one process as far as it counts here.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Weight {
    /// Pages resident and swapped out.
    pub(super) pages: u64,
    /// Bytes of page tables.
    pub(super) page_tables: u64,
}

/// One look at a process.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) weight: Weight,
    pub(super) adj: Field<i64>,
    pub(super) score: Field<i64>,
}

/// What all memory of the machine is, in which scores are shares.
#[derive(Debug, Clone, Copy)]
pub(super) struct Machine {
    /// Pages of memory and swap space.
    pages: i64,
    page_size: u64,
    /// Older kernels show something else, which nothing here is compared with.
    scale: Scale,
}

impl Machine {
    /// Nothing is known of its memory before [`Self::look`]. This process is small, so how the kernel shows
    /// it says how it shows badness.
    pub(super) fn new(root: &ProcRoot) -> Self {
        let own = root.process(Tgid(std::process::id())).ok();
        let shown = own.and_then(|own| Some((own.oom_score().ok()?, own.oom_score_adj().ok()?)));
        Self {
            pages: 0,
            page_size: root.host().page_size.max(1),
            scale: shown.map_or(Scale::Shifted, |(score, adj)| Scale::of(score, adj)),
        }
    }

    /// How much memory there is now: swap space comes and goes.
    pub(super) fn look(&mut self) {
        let memory = sysinfo();
        let bytes = (u128::from(memory.totalram) + u128::from(memory.totalswap))
            * u128::from(memory.mem_unit.max(1));
        let pages = bytes / u128::from(self.page_size);
        self.pages = i64::try_from(pages)
            .unwrap_or(i64::MAX)
            .min(i64::MAX / 2000);
    }

    /// What the kernel shows for it.
    pub(super) fn score(&self, weight: Weight, adj: i64) -> i64 {
        if adj == -1000 || self.pages < 1000 {
            return 0;
        }
        let pages = weight
            .pages
            .saturating_add(weight.page_tables / self.page_size);
        let badness = i64::try_from(pages)
            .unwrap_or(i64::MAX)
            .min(i64::MAX / 4000)
            .saturating_add(adj.saturating_mul(self.pages / 1000));
        (1000 + badness.saturating_mul(1000) / self.pages) * 2 / 3
    }

    /// Memory as `status` has it.
    pub(super) fn weight(&self, status: &ProcStatus) -> Weight {
        let kb = |kb: Option<u64>| kb.unwrap_or(0).saturating_mul(1024);
        Weight {
            pages: kb(status.vm_rss_kb).saturating_add(kb(status.vm_swap_kb)) / self.page_size,
            page_tables: kb(status.vm_pte_kb),
        }
    }

    /// Whether a process of this weight can show the one with the other in it. Zero is shown for whoever is
    /// passed over, and says nothing of either.
    pub(super) fn explains(&self, weight: Weight, adj: i64, score: i64) -> bool {
        let is_near = || self.score(weight, adj).abs_diff(score) <= TOLERANCE.unsigned_abs();
        score == 0 || self.scale == Scale::Plain || self.pages < 1000 || is_near()
    }

    /// Score and adjustment of one moment. `look` reads anew.
    pub(super) fn together(&self, mut look: impl FnMut() -> Look) -> (Field<i64>, Field<i64>) {
        let mut looks = 1;
        loop {
            let Look { weight, adj, score } = look();
            let is_one = match (&score, &adj) {
                (Ok(score), Ok(adj)) => self.explains(weight, *adj, *score),
                _ => true,
            };
            if is_one {
                return (score, adj);
            }
            if looks == LOOKS_MAX {
                return (
                    score,
                    Err(no_value("it is not the one that is in oom_score")),
                );
            }
            looks += 1;
        }
    }
}

#[cfg(test)]
impl Machine {
    /// One with so many pages of 4 KiB.
    pub(super) fn of_pages(pages: i64, scale: Scale) -> Self {
        Self {
            pages,
            page_size: 4096,
            scale,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(scale: Scale) -> Machine {
        Machine::of_pages(6_000_000, scale)
    }

    fn weight(pages: u64) -> Weight {
        Weight {
            pages,
            ..Weight::default()
        }
    }

    #[test]
    fn the_formula_gives_what_kernels_were_seen_to_give() {
        let score = |adj, pages| machine(Scale::Shifted).score(weight(pages), adj);
        assert_eq!(score(0, 500), 666);
        assert_eq!(score(200, 500), 800);
        assert_eq!(score(1000, 500), 1333);
        assert_eq!(score(-1000, 5_000_000), 0);
        assert_eq!(score(0, 6_000_000), 1333);
        let page_tables = Weight {
            pages: 0,
            page_tables: 6_000_000 * 4096 / 2,
        };
        assert_eq!(machine(Scale::Shifted).score(page_tables, 0), 1000);
    }

    /// A process that is always at one of two adjustments, and a reader that is overtaken as `order` says:
    /// which of both it finds at each of its reads.
    fn read(pages: u64, adjs: [i64; 2], order: &[bool]) -> (Field<i64>, Field<i64>) {
        let machine = machine(Scale::Shifted);
        let mut order = order
            .iter()
            .cycle()
            .map(|&second| adjs[usize::from(second)]);
        machine.together(|| {
            let adj = order.next().unwrap();
            let score = machine.score(weight(pages), order.next().unwrap());
            Look {
                weight: weight(pages),
                adj: Ok(adj),
                score: Ok(score),
            }
        })
    }

    #[test]
    fn however_often_the_adjustment_is_written_meanwhile_no_wish_passes_for_memory() {
        // Every way in which eight reads can fall between the writes.
        for order in 0..1_u32 << 8 {
            let order: Vec<bool> = (0..8).map(|bit| order >> bit & 1 == 1).collect();
            for adjs in [[0, 1000], [1000, 0], [-500, 500], [0, 300], [-1000, 0]] {
                for (pages, share) in [(600, 0), (1_800_000, 300)] {
                    let (score, adj) = read(pages, adjs, &order);
                    let Ok(adj) = adj else { continue };
                    let found = Scale::Shifted.share(score.unwrap(), adj);
                    // Whoever is passed over shows nothing, with whatever adjustment.
                    let is_passed_over = adjs.contains(&-1000) && found == 0;
                    assert!(
                        (share - 31..=share + 31).contains(&found) || is_passed_over,
                        "{order:?} {adjs:?}: {found} of {share}"
                    );
                }
            }
        }
    }

    #[test]
    fn one_look_is_enough_when_nobody_writes_and_a_second_one_when_it_was_once() {
        for order in [[false; 8], [true; 8]] {
            let (_, adj) = read(600, [0, 1000], &order);
            assert_eq!(adj.unwrap(), 1000 * i64::from(order[0]));
        }
        let mut once = [true; 8];
        once[0] = false;
        assert_eq!(read(600, [0, 1000], &once).1.unwrap(), 1000);
        let never = [false, true].repeat(4);
        assert!(read(600, [0, 1000], &never).1.is_err());
    }

    #[test]
    fn a_kernel_that_shows_badness_otherwise_is_taken_at_its_word() {
        let plain = machine(Scale::Plain);
        assert!(plain.explains(weight(600), 0, 3));
        assert!(!machine(Scale::Shifted).explains(weight(600), 0, 3));
        assert!(machine(Scale::Shifted).explains(weight(600), 500, 0));
    }
}
