//! Who holds a file, a pipe or a terminal: why something does not end.
//!
//! Sources: `proc_pid_fd(5)`, `proc_pid_fdinfo(5)`, `proc_locks(5)`, `proc_pid_wchan(5)`. Files are known by
//! device and inode. Processes whose descriptors may not be seen are counted, not passed over. Never reads
//! `environ`, and signals nobody.

use rustix::fs::FileType;

use super::decide::Who;
use crate::{
    procfs::{
        Access, Entry, FileId, ProcDir, ProcRoot, ReadEnd, Sought,
        locks::{self, FileLock, LockKind},
    },
    units::Tgid,
};

/// Descriptors of one process that are looked at.
pub(super) const FILES_MAX: usize = 65_536;
/// Threads of one process that are asked what they wait for.
const THREADS_MAX: usize = 64;
/// Of a command line, in bytes.
pub(super) const CMDLINE_MAX: usize = 200;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// It has it in its memory.
    Mapped,
    /// It has locked it.
    Lock(FileLock),
    /// It waits until somebody else's lock is gone.
    WaitsForLock(LockKind),
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

    /// Whether it waits for a lock of the file at `index`.
    #[must_use]
    pub fn waits_for_lock(&self, index: usize) -> bool {
        let mut uses = self.uses.iter();
        uses.any(|(at, how)| *at == index && matches!(how, How::WaitsForLock(_)))
    }

    /// Whether it has locked the file at `index`.
    #[must_use]
    pub fn has_lock(&self, index: usize) -> bool {
        let mut uses = self.uses.iter();
        uses.any(|(at, how)| *at == index && matches!(how, How::Lock(_)))
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
    let waits = waits(proc, sought);
    let sought = Sought::new(sought);
    for entry in entries {
        match proc
            .process(entry.tgid)
            .and_then(|dir| holder(&dir, entry.tgid, &sought, &waits, redact))
        {
            Ok(Some(holder)) => found.holders.push(holder),
            Err(ReadEnd::Denied) => found.denied += 1,
            // It has ended meanwhile, or holds nothing any more.
            Ok(None) | Err(_) => {}
        }
    }
    Ok(found)
}

/// Who waits for a lock of one of the files, by its place in the list.
fn waits(proc: &ProcRoot, sought: &[FileId]) -> Vec<(Tgid, usize, LockKind)> {
    if sought.iter().all(|file| file.kind != FileType::RegularFile) {
        return Vec::new();
    }
    let table = proc.text(c"locks").unwrap_or_default();
    let waits = locks::parse_locks(table.as_bytes()).filter(|lock| lock.waits);
    waits
        .filter_map(|lock| {
            let at = sought.iter().position(|file| is_locked_by(file, &lock))?;
            Some((Tgid(lock.pid?), at, lock.kind))
        })
        .collect()
}

/// Whether a lock is of that file.
pub(super) fn is_locked_by(file: &FileId, lock: &FileLock) -> bool {
    let (major, minor) = (rustix::fs::major(file.dev), rustix::fs::minor(file.dev));
    (major, minor, file.ino) == lock.file
}

fn holder(
    dir: &ProcDir,
    tgid: Tgid,
    sought: &Sought<'_>,
    waits: &[(Tgid, usize, LockKind)],
    redact: Redact,
) -> Result<Option<Holder>, ReadEnd> {
    // A leader that has ended holds nothing; its other threads do.
    let deputy = dir.deputy();
    let dir = deputy.as_ref().unwrap_or(dir);
    let stat = dir.stat()?;
    let mut uses = places(dir, sought, stat.tty_nr);
    let own_waits = waits.iter().filter(|(pid, ..)| *pid == tgid);
    uses.extend(own_waits.map(|&(_, at, kind)| (at, How::WaitsForLock(kind))));
    let held = match dir.holds(sought) {
        Ok(held) => held,
        // Who has its terminal here is told although its descriptors may not be seen.
        Err(ReadEnd::Denied) if !uses.is_empty() => Vec::new(),
        Err(end) => return Err(end),
    };
    if !held.is_empty() {
        let is_held = |file: &FileId| sought.which(file, stat.tty_nr).next().is_some();
        let (files, _) = dir.open_files_if(FILES_MAX, is_held)?;
        for file in files {
            for at in sought.which(&file.file, stat.tty_nr) {
                uses.push((at, How::Fd(file.fd, file.access)));
                let locks = file.locks.iter();
                let locks = locks.map(|&lock| (at, How::Lock(lock)));
                uses.extend(locks);
            }
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

/// Which of the files it uses otherwise than by a descriptor.
fn places(dir: &ProcDir, sought: &Sought<'_>, tty_nr: i64) -> Vec<(usize, How)> {
    let mut uses = Vec::new();
    for (index, file) in sought.files().iter().enumerate() {
        if file.kind == FileType::CharacterDevice && file.is_terminal(tty_nr) {
            uses.push((index, How::Terminal));
        }
    }
    for (link, how) in [(c"cwd", How::Cwd), (c"root", How::Root), (c"exe", How::Exe)] {
        let at = dir.leads_to(link).map_or(&[][..], |inode| sought.at(inode));
        uses.extend(at.iter().map(|&index| (index, how)));
    }
    let is_regular = |file: &FileId| file.kind == FileType::RegularFile;
    if sought.files().iter().any(is_regular) {
        let mapped = dir.mapped_files().into_iter();
        let mapped = mapped.flat_map(|inode| sought.at(inode).iter().copied());
        for index in mapped.filter(|&index| is_regular(&sought.files()[index])) {
            if !uses.contains(&(index, How::Exe)) {
                uses.push((index, How::Mapped));
            }
        }
    }
    uses.sort_by_key(|&(index, _)| index);
    uses
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

/// Text of at most so many bytes, and a mark where there was more.
pub(super) fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let whole = (0..=most).rev().find(|&end| text.is_char_boundary(end));
        text.truncate(whole.unwrap_or(0));
        text.push('…');
    }
    text
}

/// The kernel function in which a thread waits for a pipe.
pub(super) fn waits_in_pipe(dir: &ProcDir) -> Option<String> {
    let mut tasks = Vec::new();
    dir.tasks(&mut tasks).ok()?;
    tasks.iter().take(THREADS_MAX).find_map(|task| {
        let wchan = dir.thread(task.tid).ok()?.wchan().ok()?;
        wchan.contains("pipe").then_some(wchan)
    })
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
    fn a_long_command_line_is_cut() {
        let line = shown_cmdline(vec![vec![b'a'; 500]], nothing);
        assert_eq!(line.chars().count(), CMDLINE_MAX + 1);
    }
}
