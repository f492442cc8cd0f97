//! What a process holds that others may wait for, or that is in the way, and what it waits for itself.
//!
//! Sources: `proc_pid_fd(5)`, `proc_pid_fdinfo(5)`, `proc_locks(5)`, `proc_pid_net(5)`. Never reads `environ`,
//! and signals nobody.

use std::collections::HashMap;

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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Each thing once, the first [`HELD_MAX`].
    pub held: Vec<Holding>,
    /// At least so many beyond.
    pub more: u64,
}

/// Things that are looked at of one process. Whoever holds more of them wants to keep us busy.
pub const HELD_MAX: usize = 1024;

/// What a process holds.
///
/// # Errors
/// [`ReadEnd::Denied`] without `ptrace(2)` read access.
pub fn holdings(proc: &ProcRoot, dir: &ProcDir, tgid: Tgid) -> Result<Held, ReadEnd> {
    let deputy = dir.deputy();
    let dir = deputy.as_ref().unwrap_or(dir);
    let (files, all) = dir.open_files(FILES_MAX)?;
    let has_sockets = files.iter().any(|file| file.file.kind == FileType::Socket);
    let listening = if has_sockets {
        dir.listening()
    } else {
        Vec::new()
    };
    let mut gathered = Gathered::default();
    for file in &files {
        for (what, name) in kinds(file, &listening) {
            gathered.add(what, name, file);
        }
    }
    for file in &files {
        for lock in &file.locks {
            let access = if lock.exclusive {
                "exclusive"
            } else {
                "shared"
            };
            let path = String::from_utf8_lossy(&file.name);
            let name = format!("{access} {} on {path}", lock.kind.as_str());
            gathered.add(LOCK, name, file);
        }
    }
    let mut held = gathered.held;
    held.more += u64::from(!all);
    let table = proc.text(c"locks").unwrap_or_default();
    let own = locks::parse_locks(table.as_bytes());
    let own = own.filter(|lock| lock.waits && lock.pid == Some(tgid.0));
    for lock in own.take(HELD_MAX) {
        let file = files.iter().find(|file| is_locked_by(&file.file, &lock));
        let path = file.map_or_else(
            || format!("inode {}", lock.file.2),
            |file| String::from_utf8_lossy(&file.name).into_owned(),
        );
        held.held.push(Holding {
            what: WAITS,
            name: format!("{} lock on {path}", lock.kind.as_str()),
            file: file.map(|file| file.file),
            fds: Vec::new(),
        });
    }
    if let Some(mount) = dir.cwd_mount().filter(|mount| mount.place != "/") {
        held.held.push(Holding {
            what: "mount",
            name: format!("{} (it is there)", mount.place),
            file: None,
            fds: Vec::new(),
        });
    }
    Ok(held)
}

/// Things as they are found, by what they are of which file.
#[derive(Default)]
struct Gathered {
    held: Held,
    known: HashMap<(&'static str, u64, u64, String), usize>,
}

impl Gathered {
    fn add(&mut self, what: &'static str, name: String, file: &OpenFile) {
        // The same file is one thing, but each kind of lock on it another.
        let kind = if what == LOCK {
            name.clone()
        } else {
            String::new()
        };
        let key = (what, file.file.dev, file.file.ino, kind);
        let by = (file.fd, file.access);
        if let Some(&at) = self.known.get(&key) {
            self.held.held[at].fds.push(by);
        } else if self.held.held.len() >= HELD_MAX {
            self.held.more += 1;
        } else {
            self.known.insert(key, self.held.held.len());
            self.held.held.push(Holding {
                what,
                name,
                file: Some(file.file),
                fds: vec![by],
            });
        }
    }
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
        assert_eq!(held.more, 0);
        let held = held.held;
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

    #[test]
    fn a_process_with_pipes_without_end_is_told_of_in_part_and_soon() {
        let pipe = |n: u32| OpenFile {
            fd: n,
            file: FileId {
                dev: 14,
                ino: u64::from(n / 2),
                rdev: 0,
                kind: FileType::Fifo,
            },
            name: format!("pipe:[{}]", n / 2).into_bytes(),
            deleted: false,
            access: None,
            locks: Vec::new(),
        };
        let mut gathered = Gathered::default();
        for n in 0..60_000 {
            let file = pipe(n);
            gathered.add("pipe", String::from_utf8_lossy(&file.name).into(), &file);
        }
        let held = gathered.held;
        assert_eq!(held.held.len(), HELD_MAX);
        assert_eq!(held.more, 60_000 - 2 * HELD_MAX as u64);
        assert_eq!(held.held[7].name, "pipe:[7]");
        assert_eq!(held.held[7].fds, [(14, None), (15, None)]);
    }
}
