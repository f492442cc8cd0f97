//! The kernel's own account of an OOM kill, from `/dev/kmsg`.
//!
//! Since 4.20 `dump_oom_victim` (`mm/oom_kill.c`) logs one line with the constraint that was hit, the
//! cgroup whose limit it was, and the victim's cgroup and pid in the initial namespace, before it sends
//! the signal. Anybody who may write to `/dev/kmsg` can write such a line, but not in the kernel's
//! name: what user space writes has another facility.

use std::{fs::File, io::Read, os::unix::fs::OpenOptionsExt};

use crate::verdict::aftermath::Scope;

/// Longest record: `PRINTK_MESSAGE_MAX` and its prefix.
const RECORD_MAX: usize = 8192;
/// Most records read at a time.
const RECORDS_MAX: usize = 20_000;

/// An OOM kill as the kernel logs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OomLine {
    /// Whose memory was used up.
    pub scope: Option<Scope>,
    /// The cgroup whose limit was reached.
    pub oom_memcg: Option<String>,
    /// The victim's cgroup.
    pub task_memcg: Option<String>,
    /// The victim's pid in the initial namespace.
    pub pid: u32,
}

/// The log from now on.
#[derive(Debug)]
pub struct KernelLog {
    file: File,
    seen: Vec<OomLine>,
}

impl KernelLog {
    /// Opens it at its end. `None` where it may not be read.
    #[must_use]
    pub fn open() -> Option<Self> {
        let mut options = File::options();
        let flags = libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOFOLLOW;
        let file = options
            .read(true)
            .custom_flags(flags)
            .open("/dev/kmsg")
            .ok()?;
        rustix::fs::seek(&file, rustix::fs::SeekFrom::End(0)).ok()?;
        Some(Self {
            file,
            seen: Vec::new(),
        })
    }

    /// What the kernel said of the kill of this process.
    pub fn oom_of(&mut self, pid_init: u32) -> Option<OomLine> {
        self.read();
        let found = self.seen.iter().rposition(|line| line.pid == pid_init)?;
        Some(self.seen.swap_remove(found))
    }

    fn read(&mut self) {
        let mut record = [0; RECORD_MAX];
        for _ in 0..RECORDS_MAX {
            match self.file.read(&mut record) {
                Ok(0) => return,
                Ok(len) => {
                    if let Some(line) = parse_oom(&record[..len]) {
                        // Many can come at once, when a whole cgroup is killed.
                        if self.seen.len() >= 1024 {
                            self.seen.remove(0);
                        }
                        self.seen.push(line);
                    }
                }
                // What was overwritten before it was read is skipped; the next read goes on behind it.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                Err(_) => return,
            }
        }
    }
}

/// Reads one record of `/dev/kmsg`: `prefix,sequence,µs,flags;text`.
fn parse_oom(record: &[u8]) -> Option<OomLine> {
    let text = std::str::from_utf8(record).ok()?;
    let (head, message) = text.split_once(';')?;
    let priority: u32 = head.split(',').next()?.parse().ok()?;
    // Facility 0 is the kernel's alone (kernel/printk/printk.c, `devkmsg_write`).
    if priority >> 3 != 0 {
        return None;
    }
    let line = message.lines().next()?.strip_prefix("oom-kill:")?;
    let key = |name: &str| value(line, name);
    let scope = match key("constraint=")? {
        "CONSTRAINT_MEMCG" => Some(Scope::Cgroup),
        "CONSTRAINT_NONE" => Some(Scope::Machine),
        "CONSTRAINT_CPUSET" | "CONSTRAINT_MEMORY_POLICY" => Some(Scope::Nodes),
        _ => None,
    };
    Some(OomLine {
        scope,
        oom_memcg: key("oom_memcg=").map(str::to_owned),
        task_memcg: key("task_memcg=").map(str::to_owned),
        // The last one: a program's name, before it, may hold what looks like a key.
        pid: line
            .rsplit_once(",pid=")?
            .1
            .split(',')
            .next()?
            .parse()
            .ok()?,
    })
}

/// The value of a key; a cgroup's name may hold nearly anything, but the next key is known.
fn value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let from = line.find(name)? + name.len();
    let rest = &line[from..];
    let ends = [
        ",nodemask=",
        ",cpuset=",
        ",oom_memcg=",
        ",task_memcg=",
        ",task=",
        ",global_oom",
    ];
    let end = ends.iter().filter_map(|end| rest.find(end)).min();
    Some(&rest[..end.unwrap_or(rest.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_a_cgroup_is_told_from_a_machine_without_memory() {
        let line = parse_oom(
            b"6,1234,5678,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,\
              mems_allowed=0,oom_memcg=/job,task_memcg=/job/a,task=python3,pid=42,uid=0\n SUB=x\n",
        );
        let line = line.unwrap();
        assert_eq!((line.scope, line.pid), (Some(Scope::Cgroup), 42));
        assert_eq!(line.oom_memcg.as_deref(), Some("/job"));
        assert_eq!(line.task_memcg.as_deref(), Some("/job/a"));
        let line = parse_oom(
            b"6,1,2,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,\
              global_oom,task_memcg=/,task=a,pid=9,b,pid=43,uid=0",
        );
        let line = line.unwrap();
        assert_eq!((line.scope, line.pid), (Some(Scope::Machine), 43));
        assert_eq!(line.oom_memcg, None);
    }

    #[test]
    fn what_a_program_writes_into_the_log_is_not_the_kernels() {
        assert_eq!(
            parse_oom(b"12,1,2,-;oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/x,task=a,pid=1"),
            None
        );
        assert_eq!(parse_oom(b"6,1,2,-;oom-kill:nothing"), None);
        assert_eq!(parse_oom(b"\xff\xfe"), None);
    }
}
