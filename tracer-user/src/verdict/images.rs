//! What each living process is called and was started as.
//!
//! A sender is often gone before anybody can read its command line; if it is one of the tree its own
//! exec record has it. A child that has not executed anything is its parent's image.

use std::collections::hash_map::Entry;

use crate::{
    collections::HashMap,
    event::Exec,
    units::{BootNs, Comm, ProcKey, Process},
};

/// Bytes of a command line that are kept.
const CMDLINE_MAX: usize = 512;

/// What was executed. As bytes: of most processes nobody asks.
#[derive(Debug, Clone, Default)]
pub struct Image {
    /// Empty when it is not known.
    program: Vec<u8>,
    cmdline: Vec<u8>,
    has_cmdline: bool,
    cmdline_is_cut: bool,
    /// When.
    pub t: BootNs,
}

impl Image {
    /// Is this from now on, in the room that it had before.
    fn become_of(&mut self, t: BootNs, exec: &Exec) {
        self.t = t;
        self.program.clear();
        let program = exec.filename.rsplit(|&byte| byte == b'/').next();
        if let Some(program) = program.filter(|_| !exec.filename_truncated) {
            self.program.extend_from_slice(program);
        }
        let line = &mut self.cmdline;
        line.clear();
        let length = exec.argv.iter().map(|arg| arg.len() + 1).sum::<usize>();
        line.reserve_exact(length.min(CMDLINE_MAX));
        for (at, arg) in exec.argv.iter().enumerate() {
            if at > 0 && line.len() < CMDLINE_MAX {
                line.push(b' ');
            }
            let room = CMDLINE_MAX - line.len();
            line.extend_from_slice(&arg[..arg.len().min(room)]);
        }
        self.has_cmdline = !exec.argv.is_empty();
        // A blank fewer than arguments.
        self.cmdline_is_cut = length > CMDLINE_MAX + 1 || exec.argv_truncated;
    }

    /// Last part of the path.
    #[must_use]
    pub fn program(&self) -> Option<String> {
        let program = String::from_utf8_lossy(&self.program);
        (!program.is_empty()).then(|| program.into_owned())
    }

    /// Arguments with blanks between.
    #[must_use]
    pub fn cmdline(&self) -> Option<String> {
        let mut text = String::from_utf8_lossy(&self.cmdline).into_owned();
        if self.cmdline_is_cut {
            text.push('…');
        }
        self.has_cmdline.then_some(text)
    }
}

/// A living process.
#[derive(Debug, Clone)]
struct Living {
    pid: u32,
    comm: Comm,
    image: Option<usize>,
}

/// All living ones.
#[derive(Debug, Clone, Default)]
pub struct Images {
    living: HashMap<ProcKey, Living>,
    /// Each with the number of those that are it. Counted by hand, because only one thread is ever here: what
    /// counts for several waits at each step for all that was written before.
    kept: Vec<(usize, Image)>,
    /// Those that nobody is.
    free: Vec<usize>,
}

impl Images {
    /// A process was made: it is what its creator is.
    pub fn fork(&mut self, child: Process, creator: ProcKey, comm: Comm) {
        let image = self.living.get(&creator).and_then(|living| living.image);
        if let Entry::Vacant(entry) = self.living.entry(child.key) {
            let pid = child.tgid.0;
            entry.insert(Living { pid, comm, image });
            if let Some(image) = image {
                self.kept[image].0 += 1;
            }
        }
    }

    /// A process executed something.
    pub fn exec(&mut self, t: BootNs, exec: &Exec) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.kept.push(Default::default());
            self.kept.len() - 1
        });
        let (count, image) = &mut self.kept[place];
        *count = 1;
        image.become_of(t, exec);
        let living = Living {
            pid: exec.process.tgid.0,
            comm: exec.comm,
            image: Some(place),
        };
        let before = self.living.insert(exec.process.key, living);
        self.leave(before);
    }

    /// A process has ended.
    pub fn forget(&mut self, key: ProcKey) {
        let before = self.living.remove(&key);
        self.leave(before);
    }

    fn leave(&mut self, before: Option<Living>) {
        if let Some(image) = before.and_then(|before| before.image) {
            let (count, _) = &mut self.kept[image];
            *count -= 1;
            if *count == 0 {
                self.free.push(image);
            }
        }
    }

    /// What a living process runs, where that was seen.
    #[must_use]
    pub fn of(&self, key: ProcKey) -> Option<&Image> {
        let (_, image) = &self.kept[self.living.get(&key)?.image?];
        Some(image)
    }

    /// Pid and name of a living process.
    #[must_use]
    pub fn who(&self, key: ProcKey) -> Option<(u32, Comm)> {
        let living = self.living.get(&key)?;
        Some((living.pid, living.comm))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::made;

    fn key(pid: u32) -> ProcKey {
        process(pid).key
    }

    fn process(pid: u32) -> Process {
        made::process(pid, pid.into())
    }

    fn exec(images: &mut Images, pid: u32, argv: &[&str]) {
        images.exec(BootNs(u64::from(pid)), &made::exec(process(pid), argv));
    }

    fn line(images: &Images, pid: u32) -> Option<String> {
        images.of(key(pid))?.cmdline()
    }

    #[test]
    fn a_child_is_its_parents_image_until_it_executes_and_room_is_used_again() {
        let mut images = Images::default();
        exec(&mut images, 1, &["sh", "-c", "x"]);
        for pid in 2..1000 {
            images.fork(process(pid), key(1), Comm::from_bytes(b"sh"));
            // Told twice.
            images.fork(process(pid), key(1), Comm::from_bytes(b"sh"));
            assert_eq!(line(&images, pid).as_deref(), Some("sh -c x"));
            exec(&mut images, pid, &["a"]);
            exec(&mut images, pid, &[]);
            assert_eq!(line(&images, pid), None);
            images.forget(key(pid));
        }
        images.fork(process(1000), key(1), Comm::from_bytes(b"sh"));
        images.forget(key(1));
        assert_eq!(line(&images, 1000).as_deref(), Some("sh -c x"));
        assert!(images.of(key(1)).is_none() && images.kept.len() <= 3);
        images.forget(key(1000));
        assert_eq!(images.free.len(), images.kept.len());
    }

    #[test]
    fn a_long_command_line_is_cut_and_says_so() {
        let mut images = Images::default();
        let rest = "b".repeat(CMDLINE_MAX - 2);
        exec(&mut images, 1, &["a", &rest]);
        assert_eq!(line(&images, 1), Some(format!("a {rest}")));
        exec(&mut images, 1, &["a", &rest, ""]);
        assert_eq!(line(&images, 1), Some(format!("a {rest}…")));
        exec(&mut images, 1, &["", ""]);
        assert_eq!(line(&images, 1).as_deref(), Some(" "));
    }
}
