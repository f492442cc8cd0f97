//! What a process holds that others may wait for, or that is in the way, and what it waits for itself.
//!
//! Sources: `proc_pid_fd(5)`, `proc_pid_fdinfo(5)`, `proc_locks(5)`, `proc_pid_net(5)`. Never reads `environ`,
//! and signals nobody.

use rustix::fs::FileType;

use super::holders::{FILES_MAX, is_locked_by};
use crate::{
    procfs::{Access, FileId, OpenFile, ProcDir, ProcRoot, ReadEnd, locks},
    units::Tgid,
};

/// [`Holding::what`] of a lock.
pub(super) const LOCK: &str = "lock";
/// [`Holding::what`] of what it does not have.
pub(super) const WAITS: &str = "waits";

/// Something a process holds that others may wait for, or that is in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// What it is: `terminal`, `pipe`, `port`, `lock`, `deleted`, `mount`, or `waits` for what it wants.
    pub what: &'static str,
    /// What it is called.
    pub name: String,
    /// Which file, where others may hold it too.
    pub file: Option<FileId>,
    /// By which descriptors.
    pub fds: Vec<(u32, Option<Access>)>,
}

/// What a process holds.
///
/// # Errors
/// [`ReadEnd::Denied`] without `ptrace(2)` read access.
pub fn holdings(proc: &ProcRoot, dir: &ProcDir, tgid: Tgid) -> Result<Vec<Holding>, ReadEnd> {
    let deputy = dir.deputy();
    let dir = deputy.as_ref().unwrap_or(dir);
    let (files, _) = dir.open_files(FILES_MAX)?;
    let mut held: Vec<Holding> = Vec::new();
    let has_sockets = files.iter().any(|file| file.file.kind == FileType::Socket);
    let listening = if has_sockets {
        dir.listening()
    } else {
        Vec::new()
    };
    for file in &files {
        for (what, name) in kinds(file, &listening) {
            let again = held
                .iter_mut()
                .find(|held| held.what == what && held.file == Some(file.file));
            if let Some(again) = again {
                again.fds.push((file.fd, file.access));
                continue;
            }
            held.push(Holding {
                what,
                name,
                file: Some(file.file),
                fds: vec![(file.fd, file.access)],
            });
        }
    }
    held.extend(locks_of(&files));
    let table = proc.text(c"locks").unwrap_or_default();
    let own = locks::parse_locks(table.as_bytes());
    for lock in own.filter(|lock| lock.waits && lock.pid == Some(tgid.0)) {
        let file = files.iter().find(|file| is_locked_by(&file.file, &lock));
        let path = file.map_or_else(
            || format!("inode {}", lock.file.2),
            |file| String::from_utf8_lossy(&file.name).into_owned(),
        );
        held.push(Holding {
            what: WAITS,
            name: format!("{} lock on {path}", lock.kind.as_str()),
            file: file.map(|file| file.file),
            fds: Vec::new(),
        });
    }
    if let Some(mount) = dir.cwd_mount().filter(|mount| mount.place != "/") {
        held.push(Holding {
            what: "mount",
            name: format!("{} (it is there)", mount.place),
            file: None,
            fds: Vec::new(),
        });
    }
    Ok(held)
}

/// The locks it has, each file and kind once.
fn locks_of(files: &[OpenFile]) -> Vec<Holding> {
    let mut held: Vec<Holding> = Vec::new();
    for file in files {
        for lock in &file.locks {
            let access = if lock.exclusive {
                "exclusive"
            } else {
                "shared"
            };
            let path = String::from_utf8_lossy(&file.name);
            let name = format!("{access} {} on {path}", lock.kind.as_str());
            let mut again = held.iter_mut();
            let again = again.find(|held| held.file == Some(file.file) && held.name == name);
            if let Some(again) = again {
                again.fds.push((file.fd, file.access));
                continue;
            }
            held.push(Holding {
                what: LOCK,
                name,
                file: Some(file.file),
                fds: vec![(file.fd, file.access)],
            });
        }
    }
    held
}

/// What a descriptor is, of what is told.
fn kinds(file: &OpenFile, listening: &[(u64, u16)]) -> Vec<(&'static str, String)> {
    let name = || String::from_utf8_lossy(&file.name).into_owned();
    let mut kinds = Vec::new();
    match file.file.kind {
        FileType::CharacterDevice if is_terminal(&file.name) => kinds.push(("terminal", name())),
        FileType::Fifo => kinds.push(("pipe", name())),
        FileType::Socket => {
            let port = listening.iter().find(|(inode, _)| *inode == file.file.ino);
            kinds.extend(port.map(|(_, port)| ("port", port.to_string())));
        }
        _ if file.deleted => kinds.push(("deleted", name())),
        _ => {}
    }
    kinds
}

fn is_terminal(name: &[u8]) -> bool {
    name.starts_with(b"/dev/pts/") || name.starts_with(b"/dev/tty") || name == b"/dev/console"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_holds_its_port_its_lock_and_what_has_no_name() {
        let proc = ProcRoot::open("/proc").unwrap();
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port().to_string();
        let locked = tempfile::NamedTempFile::new().unwrap();
        rustix::fs::fcntl_lock(&locked, rustix::fs::FlockOperation::LockExclusive).unwrap();
        let _deleted = tempfile::tempfile().unwrap();
        let own = Tgid(std::process::id());
        let held = holdings(&proc, &proc.process(own).unwrap(), own).unwrap();
        let has = |what, name: &str| {
            let mut held = held.iter();
            held.any(|held| held.what == what && held.name.contains(name))
        };
        assert!(has("port", &port), "{held:?}");
        let path = locked.path().to_str().unwrap();
        assert!(
            has("lock", &format!("exclusive POSIX on {path}")),
            "{held:?}"
        );
        assert!(has("deleted", ""), "{held:?}");
    }
}
