//! Open descriptors of a process: how many, and which are sockets.
//!
//! Source: `proc_pid_fd(5)`; fs/proc/fd.c. Counting needs no permission from 6.2 on, where the size of
//! the directory is the count; seeing what they are always needs `ptrace(2)` read access. The table
//! is the leader's: threads that unshared theirs (`CLONE_FILES` not set) have their own.

use rustix::{
    fs::{AtFlags, statat},
    io::Errno,
};

use super::{ProcDir, ReadEnd, net, read};

/// A million and a half connections at 180 bytes a row; beyond that the count is not worth its memory.
const TABLE_MOST: usize = 256 << 20;

impl ProcDir {
    /// Whether counting descriptors takes one call, however many there are.
    pub(crate) fn counts_fds_fast(&self) -> bool {
        self.shared().fd_dir_has_size
    }

    /// Number of open descriptors. Of a zombie 0, since its table is released. Since Linux 6.2 a number that a
    /// waiting `open` or `accept` has taken counts, though it is not listed yet.
    ///
    /// # Errors
    /// [`ReadEnd`].
    pub fn fd_count(&self) -> Result<u64, ReadEnd> {
        let count = if self.shared().fd_dir_has_size {
            statat(self.fd(), c"fd", AtFlags::empty())
                .map(|stat| u64::try_from(stat.st_size).unwrap_or(0))
        } else {
            let mut count = 0;
            read::list(self.fd(), c"fd", |_, _| {
                count += 1;
                Ok(())
            })
            .map(|()| count)
        };
        count.map_err(|errno| self.end(errno, c"fd"))
    }

    /// Replaces `inodes` by the inodes of its open sockets of any kind, sorted, each once.
    ///
    /// # Errors
    /// [`ReadEnd::Denied`] without `ptrace(2)` read access.
    pub fn sockets(&self, inodes: &mut Vec<u64>) -> Result<(), ReadEnd> {
        inodes.clear();
        read::list(self.fd(), c"fd", |dir, name| {
            // The link is read, not followed: no file system but procfs is asked.
            match read::read_link::<64, _>(dir, name, net::parse_socket_link) {
                Ok(Some(inode)) => inodes.push(inode),
                // No socket, closed since it was listed, or longer than the kernel's page.
                Ok(None) | Err(Errno::NOENT | Errno::NAMETOOLONG) => {}
                Err(errno) => return Err(errno),
            }
            Ok(())
        })
        .map_err(|errno| self.end(errno, c"fd"))?;
        inodes.sort_unstable();
        inodes.dedup();
        Ok(())
    }

    /// Appends the socket inodes of all established TCP connections in its network namespace,
    /// whosever they are. Costs what the namespace's tables cost: ask once for each namespace.
    ///
    /// # Errors
    /// [`ReadEnd`]; half a table is none.
    pub fn established(&self, inodes: &mut Vec<u64>) -> Result<(), ReadEnd> {
        let mut table = Vec::new();
        for file in [c"net/tcp", c"net/tcp6"] {
            table.clear();
            match read::read_all(self.fd(), file, &mut table, TABLE_MOST) {
                Ok(()) => {}
                // A kernel without IPv6 has no such table; a process that is gone has no other
                // file either.
                Err(Errno::NOENT) if file == c"net/tcp6" && self.stat().is_ok() => continue,
                Err(errno) => return Err(self.end(errno, file)),
            }
            net::parse_established(&table, inodes)
                .map_err(|error| ReadEnd::malformed(self.path(file), error))?;
        }
        Ok(())
    }
}
