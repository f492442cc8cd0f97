//! tracer's own ways: the kernel side's rows, and files through a held directory.

use tracer::{
    probe::{
        attached::Attached,
        loader::{Loader, Settings},
    },
    procfs::ProcRoot,
    sampler::{KernelRows, Sampler, Subject, SystemClock},
    snapshot::{Role, kernel::KernelRow},
    units::{Tgid, Ticks},
};

use crate::crowd::Crowd;

/// A sampler, with a kernel side or without.
pub(crate) struct Ours {
    sampler: Sampler,
    clock: SystemClock,
    subjects: Vec<Subject>,
    kernel: Option<KernelSide>,
    rows: Vec<KernelRow>,
}

struct KernelSide(Attached);

impl KernelRows for KernelSide {
    fn read(&mut self, rows: &mut Vec<KernelRow>) -> bool {
        self.0.snapshot(rows).expect("a snapshot")
    }
}

impl Ours {
    /// Chooses as a session does: for a few it reads files.
    pub(crate) fn new(crowd: &Crowd) -> Self {
        let mut attached = Loader::new(Settings::default())
            .load()
            .and_then(tracer::probe::loader::Loaded::attach)
            .expect("eBPF works here");
        // Nobody is born meanwhile, so one that is held is what the maker is. Parents stand before their
        // children, so one pass finds all; where numbers began again from the bottom, the next does.
        let mut adopted = 0;
        while adopted <= crowd.pids.len() {
            let found = attached
                .adopt_held(Tgid(crowd.root()))
                .expect("the maker lives");
            adopted += usize::try_from(found.adopted).expect("a small number");
        }
        let mut ours = Self::by_files(crowd);
        ours.kernel = Some(KernelSide(attached));
        ours
    }

    /// Reads files.
    pub(crate) fn by_files(crowd: &Crowd) -> Self {
        let root = ProcRoot::open("/proc").expect("procfs");
        let subjects = crowd
            .pids
            .iter()
            .map(|&pid| Subject {
                tgid: Tgid(pid),
                starttime_ticks: Some(start(&root, pid)),
                start: None,
                role: Role::Descendant,
            })
            .collect();
        Self {
            clock: SystemClock::new(root.host()),
            sampler: Sampler::new(root),
            subjects,
            kernel: None,
            rows: Vec::new(),
        }
    }

    /// One tick: the whole row of each.
    pub(crate) fn tick(&mut self, crowd: &Crowd) {
        let subjects = self.subjects.iter().copied();
        let tick = match &mut self.kernel {
            Some(kernel) => self.sampler.tick_from(self.clock, subjects, kernel),
            None => self.sampler.tick(self.clock, subjects),
        };
        assert_eq!(tick.rows.len(), crowd.pids.len(), "{:?}", tick.ends.first());
        let by_kernel = usize::try_from(tick.totals.rows_from_kernel).expect("small");
        let is_expected = self.kernel.is_some() && crowd.pids.len() >= 8;
        assert_eq!(by_kernel, if is_expected { crowd.pids.len() } else { 0 });
    }

    /// The kernel side's part of a tick, without making rows of it.
    pub(crate) fn walk(&mut self, crowd: &Crowd) {
        let kernel = self.kernel.as_mut().expect("made with one");
        assert!(kernel.read(&mut self.rows));
        // The maker is one of them.
        assert_eq!(self.rows.len(), crowd.pids.len() + 1);
    }
}

fn start(root: &ProcRoot, pid: u32) -> Ticks {
    let dir = root.process(Tgid(pid)).expect("it lives");
    dir.stat().expect("it lives").start_time
}
