//! Who holds a file, a pipe or a terminal, and what a process holds: why something does not end.
//!
//! Sources: `proc_pid_fd(5)`, `proc_locks(5)`, `proc_pid_net(5)`, `proc_pid_wchan(5)`. Files are known by
//! device and inode. Processes whose descriptors may not be seen are counted, not passed over. Never reads
//! `environ`, and signals nobody.

use rustix::fs::FileType;

use super::decide::Who;
use crate::{
    procfs::{Access, Entry, FileId, OpenFile, ProcDir, ProcRoot, ReadEnd, locks},
    units::Tgid,
};

/// Descriptors of one process that are looked at.
const FILES_MAX: usize = 65_536;
/// Threads of one process that are asked what they wait for.
const THREADS_MAX: usize = 64;
/// Of a command line, in bytes.
const CMDLINE_MAX: usize = 200;

/// Makes secrets in a command line unreadable.
pub type Redact = fn(&mut [Vec<u8>]) -> u32;

/// A process for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Which.
    pub who: Who,
    /// Its name.
    pub comm: String,
    /// Its command line, without secrets, cut.
    pub cmdline: String,
    /// What it does, such as `sleeping`.
    pub state: Option<&'static str>,
}

/// How a process holds a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// By a descriptor.
    Fd(u32, Option<Access>),
    /// It is its terminal, whether it has it open or not.
    Terminal,
    /// It is there.
    Cwd,
    /// It is its root directory.
    Root,
    /// It runs it.
    Exe,
}

/// A process that holds one of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Who.
    pub named: Named,
    /// Which of the files, by its place in the list, and how.
    pub uses: Vec<(usize, How)>,
    /// A thread of it waits in a pipe: `pipe_read` and the like, the kernel function.
    pub waits_in: Option<String>,
}

impl Holder {
    /// Whether it can do that with the file at `index`.
    #[must_use]
    pub fn can(&self, index: usize, access: Access) -> bool {
        self.uses.iter().any(|(at, how)| {
            *at == index
                && matches!(how, How::Fd(_, Some(has)) if *has == access || *has == Access::Both)
        })
    }
}

/// What a search came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Who holds any of them, by pid.
    pub holders: Vec<Holder>,
    /// Processes whose descriptors may not be seen.
    pub denied: usize,
}

/// Looks through all processes for whoever holds one of these files.
///
/// # Errors
/// [`ReadEnd`] when the processes cannot be listed.
pub fn search(proc: &ProcRoot, sought: &[FileId], redact: Redact) -> Result<Found, ReadEnd> {
    let mut entries: Vec<Entry> = Vec::new();
    proc.list(&mut entries)?;
    let mut found = Found::default();
    for entry in entries {
        match proc
            .process(entry.tgid)
            .and_then(|dir| holder(&dir, entry.tgid, sought, redact))
        {
            Ok(Some(holder)) => found.holders.push(holder),
            Err(ReadEnd::Denied) => found.denied += 1,
            // It has ended meanwhile, or holds nothing any more.
            Ok(None) | Err(_) => {}
        }
    }
    Ok(found)
}

fn holder(
    dir: &ProcDir,
    tgid: Tgid,
    sought: &[FileId],
    redact: Redact,
) -> Result<Option<Holder>, ReadEnd> {
    // A leader that has ended holds nothing; its other threads do.
    let deputy = dir.deputy();
    let dir = deputy.as_ref().unwrap_or(dir);
    let stat = dir.stat()?;
    let mut uses = Vec::new();
    for (index, file) in sought.iter().enumerate() {
        if file.kind == FileType::CharacterDevice && file.is_terminal(stat.tty_nr) {
            uses.push((index, How::Terminal));
        }
        let places = [(c"cwd", How::Cwd), (c"root", How::Root), (c"exe", How::Exe)];
        for (link, how) in places {
            if dir.leads_to(link, file) {
                uses.push((index, how));
            }
        }
    }
    let held = match dir.holds(sought) {
        Ok(held) => held,
        // Who has its terminal here is told although its descriptors may not be seen.
        Err(ReadEnd::Denied) if !uses.is_empty() => Vec::new(),
        Err(end) => return Err(end),
    };
    if !held.is_empty() {
        let (files, _) = dir.open_files(FILES_MAX)?;
        for file in files {
            let which = held
                .iter()
                .filter(|&&at| sought[at].is(&file.file, stat.tty_nr));
            uses.extend(which.map(|&at| (at, How::Fd(file.fd, file.access))));
        }
    }
    if uses.is_empty() {
        return Ok(None);
    }
    Ok(Some(Holder {
        named: name(dir, tgid, redact)?,
        waits_in: waits_in_pipe(dir),
        uses,
    }))
}

/// What people call a process.
///
/// # Errors
/// [`ReadEnd`].
pub fn name(dir: &ProcDir, tgid: Tgid, redact: Redact) -> Result<Named, ReadEnd> {
    let stat = dir.stat()?;
    Ok(Named {
        who: Who {
            pid: tgid,
            start: stat.start_time,
        },
        comm: stat.comm.to_text(),
        cmdline: shown_cmdline(dir.cmdline().unwrap_or_default(), redact),
        state: stat.state.name(),
    })
}

/// A command line for people: without secrets, and not too long.
pub(super) fn shown_cmdline(mut words: Vec<Vec<u8>>, redact: Redact) -> String {
    redact(&mut words);
    let mut line = words.join(&b' ');
    if line.len() > CMDLINE_MAX {
        line.truncate(CMDLINE_MAX);
        line.extend("…".as_bytes());
    }
    String::from_utf8_lossy(&line).into_owned()
}

/// The kernel function in which a thread waits for a pipe.
fn waits_in_pipe(dir: &ProcDir) -> Option<String> {
    let mut tasks = Vec::new();
    dir.tasks(&mut tasks).ok()?;
    tasks.iter().take(THREADS_MAX).find_map(|task| {
        let wchan = dir.thread(task.tid).ok()?.wchan().ok()?;
        wchan.contains("pipe").then_some(wchan)
    })
}

/// Something a process holds that others may wait for, or that is in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// What it is: `terminal`, `pipe`, `port`, `lock`, `deleted`.
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
    let table = proc.text(c"locks").unwrap_or_default();
    for lock in locks::parse_locks(table.as_bytes()).filter(|lock| lock.pid == Some(tgid.0)) {
        let same = |file: &&OpenFile| {
            let (major, minor) = (
                rustix::fs::major(file.file.dev),
                rustix::fs::minor(file.file.dev),
            );
            (major, minor, file.file.ino) == lock.file
        };
        let path = files.iter().find(same);
        let path = path.map_or_else(
            || format!("inode {}", lock.file.2),
            |file| String::from_utf8_lossy(&file.name).into_owned(),
        );
        let verb = if lock.waits { "waits for " } else { "" };
        held.push(Holding {
            what: "lock",
            name: format!("{verb}{path}"),
            file: None,
            fds: Vec::new(),
        });
    }
    Ok(held)
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

    fn nothing(_: &mut [Vec<u8>]) -> u32 {
        0
    }

    #[test]
    fn who_has_a_pipe_is_found_with_its_ends() {
        let proc = ProcRoot::open("/proc").unwrap();
        let (_read, write) = std::io::pipe().unwrap();
        let pipe = FileId::of(&write).unwrap();
        let found = search(&proc, &[pipe], nothing).unwrap();
        let own = found.holders.iter();
        let own = own.filter(|holder| holder.named.who.pid.0 == std::process::id());
        let [own] = own.collect::<Vec<_>>()[..] else {
            panic!("{found:?}");
        };
        assert!(own.can(0, Access::Read) && own.can(0, Access::Write));
        assert!(!own.can(1, Access::Read));
    }

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
        assert!(has("lock", locked.path().to_str().unwrap()), "{held:?}");
        assert!(has("deleted", ""), "{held:?}");
    }

    #[test]
    fn a_long_command_line_is_cut() {
        let line = shown_cmdline(vec![vec![b'a'; 500]], nothing);
        assert_eq!(line.chars().count(), CMDLINE_MAX + 1);
    }
}
