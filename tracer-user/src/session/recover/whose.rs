//! Whose session it is, from its two witnesses: the journal's `session` record and the enrollment.
//!
//! Either is enough; both must be of this very session. What only one knows is taken from that one.
//! Pure.

use std::time::Duration;

use crate::{
    session::{
        SessionId,
        enrollment::Enrollment,
        journal::info::{Backend, ClockPair, Mode, ObserverInfo, RootInfo, SessionInfo, TickRule},
        redact::Redactor,
    },
    units::{BootNs, Comm, Ticks},
};

/// A recorded process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// Its number in the observer's pid namespace.
    pub pid: u32,
    /// Its start; `None` when it was not known.
    pub start: Option<Ticks>,
}

/// Whose session it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Whose {
    /// The boot it was recorded on.
    pub boot_id: String,
    /// Inode of the observer's pid namespace; `None` when it was not recorded.
    pub pid_ns: Option<u64>,
    /// The process the user named.
    pub root: Recorded,
    /// The workload, where it was found.
    pub workload: Option<Recorded>,
    /// The name that was enrolled; of a session without enrollment, none.
    pub comm: Option<String>,
    /// What a further epoch's `session` record repeats.
    pub info: SessionInfo,
}

impl Whose {
    /// Puts the two together.
    ///
    /// # Errors
    /// Why it is nobody's, or another's.
    pub fn of(
        id: SessionId,
        session: Result<SessionInfo, String>,
        enrollment: Result<Enrollment, String>,
    ) -> Result<Self, String> {
        if let Ok(info) = &session
            && info.session_id != id
        {
            return Err(format!("its journal is of session {}", info.session_id));
        }
        if let Ok(enrollment) = &enrollment
            && enrollment.session_id != id.as_str()
        {
            let other = &enrollment.session_id;
            return Err(format!("its enrollment is of session {other:?}"));
        }
        let (info, enrollment) = match (session, enrollment) {
            (Ok(info), enrollment) => (info, enrollment.ok()),
            (Err(_), Ok(enrollment)) => (info_of(&enrollment, id), Some(enrollment)),
            (Err(journal), Err(enrollment)) => return Err(format!("{journal}; {enrollment}")),
        };
        if let Some(enrollment) = &enrollment
            && enrollment.boot_id != info.boot_id
        {
            return Err("its journal and its enrollment are of different boots".to_owned());
        }
        let root = Recorded {
            pid: info.root.pid,
            start: info.root.starttime_ticks,
        };
        let workload = enrollment
            .as_ref()
            .filter(|enrollment| enrollment.unresolved.is_none());
        Ok(Self {
            boot_id: info.boot_id.clone(),
            pid_ns: info
                .observer
                .pid_ns
                .or(enrollment.as_ref().and_then(|enrollment| enrollment.pid_ns)),
            root,
            workload: workload.map(recorded),
            comm: workload.map(comm_of),
            info,
        })
    }

    /// Of a pair of files that another recorder left.
    #[must_use]
    pub fn foreign(id: SessionId, enrollment: &Enrollment) -> Self {
        let info = info_of(enrollment, id);
        Self {
            boot_id: enrollment.boot_id.clone(),
            pid_ns: enrollment.pid_ns,
            root: Recorded {
                pid: info.root.pid,
                start: info.root.starttime_ticks,
            },
            workload: Some(recorded(enrollment)),
            comm: Some(comm_of(enrollment)),
            info,
        }
    }
}

fn recorded(enrollment: &Enrollment) -> Recorded {
    Recorded {
        pid: enrollment.pid,
        start: enrollment.starttime_ticks,
    }
}

fn comm_of(enrollment: &Enrollment) -> String {
    // At most 15 bytes of a name are ever seen in a row.
    Comm::from_bytes(&enrollment.comm).to_text()
}

/// What an enrollment knows of what a `session` record would have said. Nothing is made up: what it
/// does not know is empty.
fn info_of(enrollment: &Enrollment, id: SessionId) -> SessionInfo {
    let tick_rule = TickRule::default();
    let own_start = enrollment.starttime_ticks;
    let root = match enrollment.root_pid {
        Some(pid) => RootInfo {
            pid,
            starttime_ticks: enrollment.root_starttime_ticks,
            start: None,
            comm: Comm::default(),
            cmdline: Vec::new(),
        },
        None => RootInfo {
            pid: enrollment.pid,
            starttime_ticks: own_start,
            start: None,
            comm: Comm::from_bytes(&enrollment.comm),
            cmdline: enrollment.cmdline.clone(),
        },
    };
    let words = enrollment.cmdline.split(|&byte| byte == 0);
    let mut command: Vec<Vec<u8>> = words.map(<[u8]>::to_vec).collect();
    if command.last().is_some_and(Vec::is_empty) {
        command.pop();
    }
    let mut info = SessionInfo {
        session_id: id,
        epoch: 0,
        boot_id: enrollment.boot_id.clone(),
        clock: ClockPair {
            // The clocks were read when it was enrolled at the earliest; its start is the best guess
            // at a boot time of then.
            boot: own_start.map_or(BootNs(0), |ticks| start_ns(ticks, tick_rule)),
            wall: enrollment.enrolled_at.unwrap_or_default(),
        },
        tick_rule,
        observer: enrollment.observer.clone().unwrap_or(ObserverInfo {
            pid: 0,
            starttime_ticks: None,
            version: String::new(),
            pid_ns: enrollment.pid_ns,
            rules: 1,
        }),
        root,
        mode: Mode::Attach,
        command,
        cwd: Vec::new(),
        interval: Duration::ZERO,
        labels: enrollment.labels.clone(),
        backend: Backend::None,
        degraded: Vec::new(),
        hostname: enrollment.hostname.clone(),
        uid: enrollment.uid.unwrap_or(u32::MAX),
        object: std::collections::BTreeMap::new(),
        redact: false,
        redacted: 0,
        attachments: Vec::new(),
    };
    // Whoever wrote it may not have looked for secrets.
    Redactor::new(true).session(&mut info);
    info
}

/// The first instant of a tick.
pub(super) fn start_ns(ticks: Ticks, rule: TickRule) -> BootNs {
    let ns_a_tick = 1_000_000_000_u64.checked_div(rule.clk_tck).unwrap_or(0);
    BootNs(ticks.0.saturating_mul(ns_a_tick))
}
