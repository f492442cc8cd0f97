//! What the probe needs of kernel and privileges, as one table: each way it can fail, and what to do.
//!
//! The kernel answers most refusals with the same `EPERM`. What it meant is told apart here from the
//! step that failed, whether the verifier had anything to say, and the state of this process
//! ([`Situation`]). The telling apart is pure; only [`Situation::read`] asks the system.

use std::io;

use aya::{EbpfError, maps::MapError, programs::ProgramError};
use rustix::{io::Errno, thread::CapabilitySet};
use thiserror::Error;

use super::{btf::BtfError, offsets::MissingField};

/// Why tracking cannot start. Each message ends in what to do.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// `/sys/kernel/btf/vmlinux` is not there.
    #[error(
        "no kernel type information at /sys/kernel/btf/vmlinux: mount sysfs (mount -t sysfs sysfs \
         /sys), or use a kernel built with CONFIG_DEBUG_INFO_BTF=y"
    )]
    NoBtf {
        /// Opening it.
        #[source]
        source: io::Error,
    },
    /// It is there and cannot be read.
    #[error("cannot read /sys/kernel/btf/vmlinux: {source}; run as a user who may read it")]
    UnreadableBtf {
        /// Reading it.
        #[source]
        source: io::Error,
    },
    /// It makes no sense.
    #[error(
        "kernel type information is not usable: {source}; report this with your kernel version"
    )]
    BadBtf {
        /// What is wrong with it.
        #[source]
        source: BtfError,
    },
    /// The kernel lacks something that nothing works without.
    #[error(
        "{source}: use Linux 5.10 or newer with CONFIG_DEBUG_INFO_BTF=y and CONFIG_BPF_EVENTS=y"
    )]
    MissingField {
        /// What.
        #[source]
        source: MissingField,
    },
    /// Root only inside a user namespace: BPF asks for capabilities in the initial one.
    #[error(
        "eBPF is refused inside a user namespace, even to its root: run tracer in the initial user \
         namespace (outside the rootless container)"
    )]
    UserNamespace,
    /// Capabilities are missing.
    #[error(
        "eBPF needs {missing}: run with sudo, or grant them with setcap cap_bpf,cap_perfmon+ep on the \
         tracer binary"
    )]
    NoPrivilege {
        /// Names of the missing capabilities.
        missing: String,
    },
    /// The kernel is locked down.
    #[error(
        "kernel lockdown ({mode}) refuses eBPF programs that read kernel memory: boot with \
         lockdown=integrity or without lockdown"
    )]
    Lockdown {
        /// `confidentiality`, as /sys/kernel/security/lockdown says.
        mode: String,
    },
    /// A capable process is refused: seccomp, an LSM, or a container's policy.
    #[error(
        "the kernel refused {step} although this process has the capabilities: allow the bpf(2) \
         system call in the container's seccomp profile or LSM policy"
    )]
    Refused {
        /// What was refused.
        step: &'static str,
        /// Its answer.
        #[source]
        source: io::Error,
    },
    /// A map or program type this kernel does not know.
    #[error("this kernel has no {what}: use Linux 5.10 or newer")]
    TooOld {
        /// The missing part.
        what: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// Memory for maps.
    #[error(
        "the kernel has no memory for map {map}: make the ring buffer or the number of tracked \
         processes smaller"
    )]
    NoMemory {
        /// Its name.
        map: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The verifier does not accept a program.
    #[error(
        "this kernel's verifier rejected program {program}: report this with the log's end: \
         {log_end}"
    )]
    Rejected {
        /// Its name.
        program: String,
        /// The last lines of the verifier's log.
        log_end: String,
    },
    /// A size that the kernel would not take.
    #[error("{setting} is {value}, but must be {must}")]
    BadSetting {
        /// Which.
        setting: &'static str,
        /// What it is.
        value: u32,
        /// What it has to be.
        must: &'static str,
    },
    /// Another step failed.
    #[error("{step} failed: {source}; report this with your kernel version")]
    Step {
        /// What was being done.
        step: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ProbeError {
    /// Another step failed.
    pub(crate) fn step(
        step: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Step {
            step: step.into(),
            source: source.into(),
        }
    }

    /// Opening or reading the kernel's BTF failed.
    pub(super) fn from_btf_file(source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound => Self::NoBtf { source },
            _ => Self::UnreadableBtf { source },
        }
    }

    /// Making the maps failed.
    pub(super) fn from_maps(error: EbpfError, situation: impl FnOnce() -> Situation) -> Self {
        match error {
            EbpfError::MapError(MapError::CreateError { name, io_error }) => {
                map_refused(name, io_error, situation)
            }
            other => Self::step("preparing the kernel side", other),
        }
    }

    /// Loading a program failed.
    pub(super) fn from_program(
        program: &str,
        error: ProgramError,
        situation: impl FnOnce() -> Situation,
    ) -> Self {
        match error {
            ProgramError::LoadError {
                io_error,
                verifier_log,
            } => {
                let log = verifier_log.to_string();
                if is(&io_error, Errno::MFILE) {
                    Self::step(
                        "loading the kernel side with so few descriptors (raise `ulimit -n`)",
                        io_error,
                    )
                } else if log.trim().is_empty() {
                    program_refused(io_error, situation)
                } else {
                    Self::Rejected {
                        program: program.to_owned(),
                        log_end: last_lines(&log, 6),
                    }
                }
            }
            other => Self::step(format!("loading program {program}"), other),
        }
    }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

fn map_refused(
    map: String,
    source: io::Error,
    situation: impl FnOnce() -> Situation,
) -> ProbeError {
    if is(&source, Errno::PERM) || is(&source, Errno::ACCESS) {
        return situation().refusal("making a map", source);
    }
    if is(&source, Errno::NOMEM) || is(&source, Errno::TOOBIG) {
        return ProbeError::NoMemory { map, source };
    }
    if is(&source, Errno::INVAL) && map == tracer_common::names::MAP_EVENTS {
        return ProbeError::TooOld {
            what: "BPF ring buffer (Linux 5.8)",
            source,
        };
    }
    if is(&source, Errno::NOSYS) {
        return ProbeError::TooOld {
            what: "bpf(2) system call (CONFIG_BPF_SYSCALL)",
            source,
        };
    }
    ProbeError::step(format!("making map {map}"), source)
}

fn program_refused(source: io::Error, situation: impl FnOnce() -> Situation) -> ProbeError {
    if is(&source, Errno::PERM) || is(&source, Errno::ACCESS) {
        // A rejected program has a log; only a refused process has none.
        return situation().refusal("loading a program", source);
    }
    if is(&source, Errno::INVAL) || source.raw_os_error() == Some(ENOTSUPP) {
        return ProbeError::TooOld {
            what: "BTF tracepoint programs",
            source,
        };
    }
    ProbeError::step("loading a program", source)
}

/// `ENOTSUPP` of include/linux/errno.h, which user space has no name for.
const ENOTSUPP: i32 = 524;

/// The last lines of a text, in one line.
fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(count)..].join(" | ")
}

/// What about this process and system decides whether eBPF is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Situation {
    /// Effective capabilities; `None` when they cannot be read.
    pub capabilities: Option<CapabilitySet>,
    /// This process is in another than the initial user namespace.
    pub in_user_namespace: bool,
    /// The active mode of /sys/kernel/security/lockdown, when there is one.
    pub lockdown: Option<String>,
}

/// Inode number of the initial user namespace: `PROC_USER_INIT_INO` of `include/linux/proc_ns.h`.
const INITIAL_USER_NAMESPACE: u64 = 0xEFFF_FFFD;

impl Situation {
    /// Asks the system. Only when something was refused: nothing here is needed otherwise.
    #[must_use]
    pub fn read() -> Self {
        let lockdown = std::fs::read_to_string("/sys/kernel/security/lockdown").ok();
        Self {
            capabilities: rustix::thread::capabilities(None)
                .ok()
                .map(|sets| sets.effective),
            // A name, not a file of some process: which namespace this very program is in.
            in_user_namespace: rustix::fs::stat("/proc/self/ns/user")
                .is_ok_and(|stat| stat.st_ino != INITIAL_USER_NAMESPACE),
            lockdown: lockdown.as_deref().and_then(parse_lockdown),
        }
    }

    /// What an `EPERM` at `step` meant.
    fn refusal(&self, step: &'static str, source: io::Error) -> ProbeError {
        if self.in_user_namespace {
            return ProbeError::UserNamespace;
        }
        if let Some(missing) = self.missing_capabilities() {
            return ProbeError::NoPrivilege { missing };
        }
        if let Some(mode) = &self.lockdown
            && mode == "confidentiality"
        {
            return ProbeError::Lockdown { mode: mode.clone() };
        }
        ProbeError::Refused { step, source }
    }

    /// Names of the capabilities that are needed and not there.
    fn missing_capabilities(&self) -> Option<String> {
        let has = self.capabilities?;
        if has.contains(CapabilitySet::SYS_ADMIN) {
            return None;
        }
        let missing: Vec<&str> = [
            (CapabilitySet::BPF, "CAP_BPF"),
            (CapabilitySet::PERFMON, "CAP_PERFMON"),
        ]
        .into_iter()
        .filter_map(|(capability, name)| (!has.contains(capability)).then_some(name))
        .collect();
        (!missing.is_empty()).then(|| missing.join(" and "))
    }
}

/// The mode in brackets: `none [integrity] confidentiality`.
fn parse_lockdown(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    let (mode, _) = rest.split_once(']')?;
    (mode != "none").then(|| mode.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eperm() -> io::Error {
        io::Error::from_raw_os_error(Errno::PERM.raw_os_error())
    }

    fn situation(capabilities: CapabilitySet) -> Situation {
        Situation {
            capabilities: Some(capabilities),
            in_user_namespace: false,
            lockdown: None,
        }
    }

    #[test]
    fn a_refusal_names_exactly_the_capabilities_that_are_missing() {
        let only_perfmon = situation(CapabilitySet::PERFMON);
        let error = map_refused("TRACKED".to_owned(), eperm(), || only_perfmon);
        let text = error.to_string();
        assert!(text.starts_with("eBPF needs CAP_BPF:"), "{text}");
        let none = situation(CapabilitySet::empty());
        let text = program_refused(eperm(), || none).to_string();
        assert!(text.contains("CAP_BPF and CAP_PERFMON"), "{text}");
    }

    #[test]
    fn a_user_namespace_is_told_from_missing_capabilities() {
        let inside = Situation {
            in_user_namespace: true,
            ..situation(CapabilitySet::all())
        };
        let error = map_refused("EVENTS".to_owned(), eperm(), || inside);
        assert!(matches!(error, ProbeError::UserNamespace), "{error}");
    }

    #[test]
    fn only_confidentiality_lockdown_is_the_culprit() {
        let locked = |mode: &str| Situation {
            lockdown: Some(mode.to_owned()),
            ..situation(CapabilitySet::SYS_ADMIN)
        };
        let error = program_refused(eperm(), || locked("confidentiality"));
        assert!(matches!(error, ProbeError::Lockdown { .. }), "{error}");
        let error = program_refused(eperm(), || locked("integrity"));
        assert!(matches!(error, ProbeError::Refused { .. }), "{error}");
    }

    #[test]
    fn a_kernel_without_ring_buffer_is_too_old() {
        let einval = io::Error::from_raw_os_error(Errno::INVAL.raw_os_error());
        let error = map_refused("EVENTS".to_owned(), einval, || unreachable!());
        assert!(error.to_string().contains("Linux 5.10 or newer"), "{error}");
    }

    #[test]
    fn the_lockdown_mode_is_the_one_in_brackets() {
        assert_eq!(parse_lockdown("[none] integrity confidentiality\n"), None);
        assert_eq!(
            parse_lockdown("none integrity [confidentiality]\n").as_deref(),
            Some("confidentiality")
        );
    }

    #[test]
    fn a_verifier_log_is_cut_to_its_end() {
        assert_eq!(last_lines("a\nb\n\nc\n", 2), "b | c");
    }
}
