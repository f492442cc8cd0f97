//! Loads the kernel side: [`Loader`] → [`Loaded`] → [`Attached`].
//!
//! A [`Loaded`] probe is complete, verified, and sees nothing; an [`Attached`] one runs. Between the
//! two nothing can be refused any more but the attaching itself. Start-up is what a user waits for
//! before his command begins, so what is independent runs side by side: the kernel's types are read
//! while aya finds out about the kernel, and each program is verified in a thread of its own.
//!
//! This does not pin anything: until [`Attached::pin`] the kernel removes it all when the observer ends,
//! however it ends.

use std::{
    thread,
    time::{Duration, Instant},
};

use aya::{Btf as AyaBtf, Ebpf, EbpfLoader};
use rustix::{
    process::chroot,
    thread::{UnshareFlags, unshare_unsafe},
};
use tracer_common::{
    follow::{CgroupPlaces, FOLLOWED_MAX},
    limits::{RING_BYTES, TRACKED_MAX, UNRELEASED_MAX},
    names::{
        GLOBAL_ADOPTS_TREES, GLOBAL_CGROUPS, GLOBAL_OFFSETS, GLOBAL_PLACES, GLOBAL_RING_BYTES,
        MAP_EVENTS, MAP_FOLLOWED, MAP_TRACKED, MAP_UNRELEASED,
    },
    offsets::ABSENT,
    snapshot::Places,
};

use super::{
    ask,
    attached::{Attached, InKernel},
    btf::Btf,
    cgroups,
    control::SharedControl,
    hook_types::{HookKind, hook_types},
    hooks::{HOOKS, Wanted, alone, attach, join, load_programs},
    kernel_types::KernelTypes,
    maps::Maps,
    memlock::RaisedMemlock,
    object::OBJECT,
    offsets::{Degraded, KernelFacts, read_kernel},
    snapshot::Snapshots,
    support::{ProbeError, Situation},
};
use crate::procfs::host::read_pid_max;

/// Where the kernel offers its types.
const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";
const KERNEL_BTF_FOLDER: &str = "/sys/kernel/btf";

/// Sizes of what the kernel side keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of the ring buffer: a power of two, at least a page.
    pub ring_bytes: u32,
    /// Most processes tracked at once: unless told, as many as there can be, up to [`TRACKED_MAX`].
    pub tracked_max: u32,
    /// Whether trees are to be adopted that go on meanwhile, or that another process holds. The programs for
    /// that take the kernel as long to verify as all others together. Without them only a child can be
    /// adopted that this process holds ([`Attached::adopt_held`]).
    pub adopts_trees: bool,
    /// Whether trees are to begin by themselves ([`Attached::follow`]). The programs for that cost every
    /// exec, every new process and every move to another cgroup on the machine a little.
    pub follows: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ring_bytes: RING_BYTES,
            // Room for more than there can be would be made for nothing, before each command begins.
            tracked_max: TRACKED_MAX.min(read_pid_max()),
            adopts_trees: true,
            follows: false,
        }
    }
}

impl Settings {
    fn check(self) -> Result<(), ProbeError> {
        let page = u32::try_from(rustix::param::page_size()).unwrap_or(u32::MAX);
        if !self.ring_bytes.is_power_of_two() || self.ring_bytes < page {
            return Err(ProbeError::BadSetting {
                setting: "ring buffer size",
                value: self.ring_bytes,
                must: "a power of two and at least one page",
            });
        }
        if self.tracked_max == 0 {
            return Err(ProbeError::BadSetting {
                setting: "number of tracked processes",
                value: 0,
                must: "at least 1",
            });
        }
        Ok(())
    }
}

/// How long the steps of starting took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StartTimes {
    /// Reading the kernel's types, and at the same time aya's look at the kernel.
    pub types: Duration,
    /// Making the maps.
    pub maps: Duration,
    /// Verifying the programs.
    pub programs: Duration,
    /// Attaching them, and finding out who we are.
    pub attach: Duration,
}

/// A probe with its settings, and nothing done yet.
#[derive(Debug, Clone)]
pub struct Loader {
    settings: Settings,
    object: Option<Vec<u8>>,
}

impl Loader {
    /// Prepares to load the embedded kernel side.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            object: None,
        }
    }

    /// Loads this object instead of the embedded one: a debug build of the same kernel side.
    #[must_use]
    pub fn with_object(mut self, object: Vec<u8>) -> Self {
        self.object = Some(object);
        self
    }

    /// Loads and verifies everything. After this the process may drop its privileges, once it has
    /// attached.
    ///
    /// # Errors
    /// [`ProbeError`] says what is missing and how to get it.
    #[cfg_attr(
        not(feature = "log"),
        expect(unused_mut, reason = "changed in debug builds")
    )]
    pub fn load(mut self) -> Result<Loaded, ProbeError> {
        self.settings.check()?;
        #[cfg(feature = "log")]
        if self.object.is_none() {
            self.object = super::kernel_log::named_object()?;
        }
        let begun = Instant::now();
        let (mut aya, kernel) = thread::scope(|scope| {
            let aya = scope.spawn(|| {
                // Found out once for the process, and needed from the first map on.
                let _ = aya::features();
                blind_loader()
            });
            let kernel = Kernel::read(self.settings);
            (join(aya), kernel)
        });
        let kernel = kernel?;
        // Before the maps: what is given back now is not on top of them.
        release_memory();
        let typed = begun.elapsed();

        // Before 5.11 maps and programs count against a limit that is 64 KiB by default; the limit is
        // inherited, so it must not stay.
        let limit = kernel.is_memlock_charged.then(RaisedMemlock::new);
        let mut ebpf = self.make_maps(&mut aya, &kernel)?;
        drop(aya);
        let mapped = begun.elapsed();

        #[cfg(feature = "log")]
        let log = super::kernel_log::KernelLog::take(&mut ebpf);
        let snapshots = Snapshots::wanted(&kernel);
        let mut degraded = kernel.facts.degraded;
        let wanted = Wanted {
            stand_ins: kernel.facts.offsets.programs_can_be_skipped == 1,
            accounts: kernel.facts.offsets.tells_accounts == 1,
            held: kernel.adopts_children_only,
            adopting: self.settings.adopts_trees,
            following: self.settings.follows,
        };
        let present = load_programs(&mut ebpf, &kernel.hook_types, wanted, &mut degraded)?;
        drop(limit);
        let maps = Maps::take(&mut ebpf)?;
        let control = maps.map_control()?;
        let times = StartTimes {
            types: typed,
            maps: mapped.saturating_sub(typed),
            programs: begun.elapsed().saturating_sub(mapped),
            attach: Duration::ZERO,
        };
        release_memory();
        Ok(Loaded {
            ebpf,
            maps,
            control,
            snapshots,
            degraded,
            present,
            times,
            #[cfg(feature = "log")]
            log,
        })
    }

    pub(super) fn make_maps<'a>(
        &'a self,
        aya: &mut EbpfLoader<'a>,
        kernel: &'a Kernel,
    ) -> Result<Ebpf, ProbeError> {
        let offsets = bytemuck::bytes_of(&kernel.facts.offsets);
        let places = kernel.facts.places.as_ref().unwrap_or(&Places::ABSENT);
        // A reference to a constant: what is handed over must live as long as the loader.
        let adopts_trees: &u32 = if self.settings.adopts_trees { &1 } else { &0 };
        let tells_accounts = kernel.facts.offsets.tells_accounts == 1;
        aya.btf(None)
            .override_global(GLOBAL_OFFSETS, offsets, true)
            .override_global(GLOBAL_PLACES, bytemuck::bytes_of(places), true)
            .override_global(GLOBAL_CGROUPS, bytemuck::bytes_of(&kernel.cgroups), true)
            .override_global(GLOBAL_RING_BYTES, &self.settings.ring_bytes, true)
            .override_global(GLOBAL_ADOPTS_TREES, adopts_trees, true)
            .map_max_entries(MAP_EVENTS, self.settings.ring_bytes)
            .map_max_entries(MAP_TRACKED, self.settings.tracked_max)
            .map_max_entries(MAP_FOLLOWED, entries(self.settings.follows, FOLLOWED_MAX))
            .map_max_entries(MAP_UNRELEASED, entries(tells_accounts, UNRELEASED_MAX))
            .load(self.object.as_deref().unwrap_or(OBJECT))
            .map_err(|error| ProbeError::from_maps(error, Situation::read))
    }
}

/// Entries of a map: one is the least there can be.
fn entries(is_wanted: bool, most: u32) -> u32 {
    if is_wanted { most } else { 1 }
}

/// aya's loader without the kernel's types.
///
/// Its constructor parses all of them if it finds them, which takes as long as everything else together
/// and thrice the memory the observer needs later; and nothing here uses the result. It cannot be told
/// not to. So this thread, which ends after this, gets a root directory without them. Where that is not
/// allowed the constructor takes its time.
pub(super) fn blind_loader<'a>() -> EbpfLoader<'a> {
    // SAFETY: gives this thread a root and working directory of its own; shares no memory or
    // descriptors less than before.
    if unsafe { unshare_unsafe(UnshareFlags::FS) }.is_ok() {
        // Any folder without a `sys` in it; this one is there whenever there is something to read.
        let _ = chroot(KERNEL_BTF_FOLDER);
    }
    EbpfLoader::new()
}

/// What is known of the running kernel.
pub(super) struct Kernel {
    pub(super) facts: KernelFacts,
    cgroups: CgroupPlaces,
    hook_types: AyaBtf,
    /// Nobody else is to be adopted, and this kernel says who is whose child.
    adopts_children_only: bool,
    pub(super) is_memlock_charged: bool,
}

impl Kernel {
    pub(super) fn read(settings: Settings) -> Result<Self, ProbeError> {
        let follows = settings.follows;
        let bytes = KernelTypes::open(KERNEL_BTF).map_err(ProbeError::from_btf_file)?;
        let btf = Btf::parse(&bytes).map_err(|source| ProbeError::BadBtf { source })?;
        let mut facts = read_kernel(&btf).map_err(|source| ProbeError::MissingField { source })?;
        // Trees that are only looked at now and then: nobody adds up what their members have cost.
        let hooks = facts.hooks;
        let has_sum = facts.offsets.signal_sum_sched_runtime != ABSENT;
        facts.offsets.tells_accounts = u32::from(!follows && has_sum && hooks.free.is_some());
        let cgroups = follows.then(|| cgroups::read(&btf));
        let (moved, made) = match &cgroups {
            Some(cgroups) => (cgroups.moved, cgroups.made),
            None => (None, None),
        };
        let knows_children =
            facts.offsets.task_children != ABSENT && facts.offsets.task_sibling != ABSENT;
        let adopts_children_only = !settings.adopts_trees && !follows && knows_children;
        // Of the highest id by far: what lies below it is filled up for aya.
        let iterator = hooks.task_iterator.filter(|_| !adopts_children_only);
        let tracepoint = HookKind::Tracepoint;
        let types: Vec<_> = [
            (hooks.fork, "btf_trace_sched_process_fork", tracepoint),
            (hooks.exec, "btf_trace_sched_process_exec", tracepoint),
            (hooks.exit, "btf_trace_sched_process_exit", tracepoint),
            (hooks.wakeup_new, "btf_trace_sched_wakeup_new", tracepoint),
            (hooks.free, "btf_trace_sched_process_free", tracepoint),
            (hooks.signal, "btf_trace_signal_generate", tracepoint),
            (hooks.oom, "btf_trace_mark_victim", tracepoint),
            (iterator, "bpf_iter_task", HookKind::Iterator),
            (moved, "btf_trace_cgroup_attach_task", tracepoint),
            (made, "btf_trace_cgroup_mkdir", tracepoint),
        ]
        .into_iter()
        .filter_map(|(id, name, kind)| Some((id?, name, kind)))
        .collect();
        let hook_types = hook_types(&types)
            .map_err(|source| ProbeError::step("describing the hooks to aya", source))?;
        let places = cgroups.as_ref().map(|cgroups| cgroups.places);
        facts
            .degraded
            .extend(cgroups.into_iter().flat_map(|cgroups| cgroups.degraded));
        Ok(Self {
            facts,
            cgroups: places.unwrap_or(CgroupPlaces::ABSENT),
            hook_types,
            adopts_children_only,
            // Memory of maps went from the limit to the memory cgroup in the release that also brought
            // this helper.
            is_memlock_charged: !btf.enum_has("bpf_func_id", "BPF_FUNC_get_current_task_btf"),
        })
    }
}

/// A probe whose maps exist and whose programs are verified; it sees nothing yet.
#[derive(Debug)]
pub struct Loaded {
    ebpf: Ebpf,
    maps: Maps,
    control: SharedControl,
    snapshots: Snapshots,
    degraded: Vec<Degraded>,
    present: Vec<&'static str>,
    times: StartTimes,
    #[cfg(feature = "log")]
    log: super::kernel_log::KernelLog,
}

impl Loaded {
    /// What this kernel cannot tell.
    #[must_use]
    pub fn degraded(&self) -> &[Degraded] {
        &self.degraded
    }

    /// Starts seeing. Nothing is tracked before [`Attached::adopt`].
    ///
    /// # Errors
    /// [`ProbeError`] names the program that could not be attached.
    pub fn attach(mut self) -> Result<Attached, ProbeError> {
        let begun = Instant::now();
        // Before the first event: pids in it are translated to the observer's namespace.
        let program = ask::program_who_am_i(&mut self.ebpf)?;
        let observer = ask::who_am_i(program, &self.control)?;
        self.control.set_observer(&observer);
        let mut links = Vec::new();
        for hook in HOOKS
            .iter()
            .filter(|hook| self.present.contains(&hook.program))
        {
            links.push((hook.program, attach(&mut self.ebpf, hook.program)?));
        }
        self.times.attach = begun.elapsed();
        let loaded = InKernel {
            ebpf: self.ebpf,
            maps: self.maps,
            control: self.control,
            snapshots: self.snapshots,
            links,
            alone: alone(&self.present),
        };
        Ok(Attached::new(
            loaded,
            observer,
            self.degraded,
            self.times,
            #[cfg(feature = "log")]
            self.log,
        ))
    }
}

/// Gives back what reading the kernel's types left behind: ten times what the observer needs later.
pub(super) fn release_memory() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: no preconditions; frees unused pages of the allocator.
        unsafe { libc::malloc_trim(0) };
    }
}
