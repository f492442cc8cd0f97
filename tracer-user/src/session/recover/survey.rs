//! Gathers what the gates want to know of a session. Reads, never writes.

use rustix::{
    fs::{OFlags, fstatfs},
    process::getpid,
};

use super::{
    gates::{Enrolled, Facts, Life, Observer, Shown, Storage, life, together},
    told,
    whose::{Recorded, Whose},
};
use crate::{
    procfs::{ProcRoot, ReadEnd},
    session::{
        SessionId,
        dir::Dir,
        enrollment::{ENROLLMENT_MAX, Enrollment},
        epochs::{self, EpochsError},
        journal::info::SessionInfo,
        status::Examined,
        store::{ENROLLMENT, PROC_TRACE, SUMMARY, StoreError},
    },
    units::Tgid,
};

/// `statfs(2)`: file systems that live in memory.
const TMPFS_MAGIC: i64 = 0x0102_1994;
const RAMFS_MAGIC: i64 = 0x8584_58f6;

/// Whether what is made from a session's journals is there: files, and not merely something of that name.
pub(super) fn is_settled(dir: &Dir) -> bool {
    [SUMMARY, PROC_TRACE]
        .iter()
        .all(|name| dir.open_plain(name, OFlags::RDONLY).is_ok())
}

/// The facts of a session, and whose it is. `held`: somebody else has its lease.
pub(super) fn facts(
    proc: &ProcRoot,
    id: &SessionId,
    dir: &Dir,
    examined: &Examined,
    held: bool,
) -> (Facts, Result<Whose, String>) {
    let observer = if held {
        let holder = examined.holder.as_ref();
        Observer::Lives(holder.map_or_else(
            || "its lease is held".to_owned(),
            |holder| format!("its lease is held by tracer, pid {}", holder.pid),
        ))
    } else {
        Observer::Gone
    };
    let whose = match epochs::session_info(dir) {
        // The enrollment would say whose it is; its records would be misread all the same.
        Err(error @ EpochsError::Format { .. }) => Err(told(&error)),
        session => Whose::of(*id, session_record(session), enrollment(dir)),
    };
    let facts = Facts {
        observer,
        enrolled: enrolled(&whose),
        boot_id: proc.host().boot_id.clone(),
        storage: storage(dir),
        target: target(proc, &whose),
    };
    (facts, whose)
}

/// What the gates want of whose it is.
pub(super) fn enrolled(whose: &Result<Whose, String>) -> Result<Enrolled, String> {
    match whose {
        Ok(whose) => Ok(Enrolled {
            boot_id: whose.boot_id.clone(),
        }),
        Err(why) => Err(why.clone()),
    }
}

fn session_record(found: Result<Option<SessionInfo>, EpochsError>) -> Result<SessionInfo, String> {
    match found {
        Ok(Some(info)) => Ok(info),
        Ok(None) => Err("its journal has no readable session record".to_owned()),
        Err(error) => Err(told(&error)),
    }
}

fn enrollment(dir: &Dir) -> Result<Enrollment, String> {
    let file = match dir.open_plain(ENROLLMENT, OFlags::RDONLY) {
        Err(StoreError::Io {
            source: rustix::io::Errno::NOENT,
            ..
        }) => return Err("it has no enrollment".to_owned()),
        other => other.map_err(|error| told(&error))?,
    };
    read_enrollment(file).map_err(|why| format!("{ENROLLMENT}: {why}"))
}

fn read_enrollment(file: impl std::io::Read) -> Result<Enrollment, String> {
    Enrollment::parse(&read_enrollment_bytes(file)?).map_err(|error| error.to_string())
}

/// Reads an enrollment, unless it is longer than any.
pub(super) fn read_enrollment_bytes(file: impl std::io::Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut limited = std::io::Read::take(file, ENROLLMENT_MAX + 1);
    std::io::Read::read_to_end(&mut limited, &mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > ENROLLMENT_MAX {
        return Err(format!("longer than {ENROLLMENT_MAX} bytes"));
    }
    Ok(bytes)
}

/// What holds the files. One that does not say keeps them.
pub(super) fn storage(dir: &impl std::os::fd::AsFd) -> Storage {
    #[expect(
        clippy::useless_conversion,
        reason = "the type of f_type differs between architectures"
    )]
    let kind = fstatfs(dir).map(|stat| i64::from(stat.f_type));
    match kind {
        Ok(TMPFS_MAGIC | RAMFS_MAGIC) => Storage::Memory,
        _ => Storage::Disk,
    }
}

/// What became of the target: root and workload.
fn target(proc: &ProcRoot, whose: &Result<Whose, String>) -> Life {
    let Ok(whose) = whose else {
        return Life::Unknown("nothing says which process it is".to_owned());
    };
    match whose.pid_ns {
        None => Life::Unknown("its pid namespace was not recorded".to_owned()),
        Some(then) => within(proc, then, whose),
    }
}

/// What became of the target of another recorder, which may not have said in which pid namespace it
/// was: then it can only have been ours.
pub(super) fn foreign_target(proc: &ProcRoot, whose: &Whose) -> Life {
    match whose.pid_ns {
        None => both(proc, whose),
        Some(then) => within(proc, then, whose),
    }
}

/// The same, numbered as in this pid namespace: in another one numbers are names of strangers.
fn within(proc: &ProcRoot, pid_ns: u64, whose: &Whose) -> Life {
    match own_pid_ns(proc) {
        Some(own) if own == pid_ns => both(proc, whose),
        Some(_) => {
            let why = "it was recorded in another pid namespace: run tracer recover there";
            Life::Unknown(why.to_owned())
        }
        None => Life::Unknown("our own pid namespace cannot be read".to_owned()),
    }
}

/// What became of root and workload, numbered as in our own pid namespace.
fn both(proc: &ProcRoot, whose: &Whose) -> Life {
    let root = of(proc, whose.root);
    match whose.workload {
        Some(workload) if workload != whose.root => together(root, of(proc, workload)),
        _ => root,
    }
}

fn of(proc: &ProcRoot, process: Recorded) -> Life {
    life(process.start, &shown(proc, process.pid))
}

fn own_pid_ns(proc: &ProcRoot) -> Option<u64> {
    let own = Tgid(getpid().as_raw_nonzero().get().unsigned_abs());
    proc.process(own).ok()?.pid_ns().ok()
}

/// What `/proc` shows under a number.
fn shown(proc: &ProcRoot, pid: u32) -> Shown {
    let stat = proc.process(Tgid(pid)).and_then(|dir| dir.stat());
    match stat {
        Ok(stat) => Shown::Process {
            start: Some(stat.start_time),
            // A leader that ended before its threads is no dead process.
            ended: stat.state.has_ended() && !stat.leader_ended_first(),
        },
        Err(ReadEnd::Gone) => Shown::Nothing,
        Err(end) => Shown::Hidden(format!("pid {pid}: {end}")),
    }
}
