//! The kinds of anomalies, their names in the record and how bad they are.

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The badness rose at once.
    OomSpike,
    /// So much of the memory it may have that it is next.
    OomCritical,
    /// Ended, and nobody has taken its status.
    ZombieDetected,
    /// The same, for several rows.
    ZombiePersistent,
    /// A thread waits where no signal reaches it.
    DStateSustained,
    /// As busy as a CPU can be.
    HighCpuSustained,
    /// A signal waits to be taken.
    SignalsPending,
    /// Few descriptors are left.
    FdHigh,
    /// The resident set has grown.
    RssGrowth,
    /// The workload bears a name that nothing explains.
    IdentityDrift,
    /// Processes are made faster than is sensible.
    ForkStorm,
    /// Many zombies at once.
    ZombiePileup,
    /// Processes live on without who started them.
    OrphanLeft,
    /// The command has ended, and somebody holds its terminal.
    PtyHolder,
    /// One command fails again and again.
    RetryLoop,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth a look.
    Warning,
    /// Worth a look now.
    Critical,
}

impl Severity {
    /// Its name in the record.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl Kind {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 15] = [
        Self::OomSpike,
        Self::OomCritical,
        Self::ZombieDetected,
        Self::ZombiePersistent,
        Self::DStateSustained,
        Self::HighCpuSustained,
        Self::SignalsPending,
        Self::FdHigh,
        Self::RssGrowth,
        Self::IdentityDrift,
        Self::ForkStorm,
        Self::ZombiePileup,
        Self::OrphanLeft,
        Self::PtyHolder,
        Self::RetryLoop,
    ];

    /// Its name in the record.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OomSpike => "oom_spike",
            Self::OomCritical => "oom_critical",
            Self::ZombieDetected => "zombie_detected",
            Self::ZombiePersistent => "zombie_persistent",
            Self::DStateSustained => "d_state_sustained",
            Self::HighCpuSustained => "high_cpu_sustained",
            Self::SignalsPending => "signals_pending",
            Self::FdHigh => "fd_high",
            Self::RssGrowth => "rss_growth",
            Self::IdentityDrift => "identity_drift",
            Self::ForkStorm => "fork_storm",
            Self::ZombiePileup => "zombie_pileup",
            Self::OrphanLeft => "orphan_left",
            Self::PtyHolder => "pty_holder",
            Self::RetryLoop => "retry_loop",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// How bad it is.
    #[must_use]
    pub fn severity(self) -> Severity {
        match self {
            Self::OomCritical | Self::ZombiePersistent | Self::IdentityDrift => Severity::Critical,
            _ => Severity::Warning,
        }
    }

    /// Whether it is of a process that nobody reaps.
    #[must_use]
    pub fn is_zombie(self) -> bool {
        matches!(self, Self::ZombieDetected | Self::ZombiePersistent)
    }

    /// Whether it is about the tree rather than one process.
    #[must_use]
    pub fn is_of_tree(self) -> bool {
        matches!(
            self,
            Self::ForkStorm
                | Self::ZombiePileup
                | Self::OrphanLeft
                | Self::PtyHolder
                | Self::RetryLoop
        )
    }
}
