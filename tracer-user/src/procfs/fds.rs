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

impl ProcDir {
    /// Number of open descriptors. Of a zombie 0, since its table is released.
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
                // Closed since it was listed.
                Ok(None) | Err(Errno::NOENT) => {}
                // Longer than the kernel's page: no socket.
                Err(Errno::NAMETOOLONG) => {}
                Err(errno) => return Err(errno),
            }
            Ok(())
        })
        .map_err(|errno| self.end(errno, c"fd"))?;
        inodes.sort_unstable();
        inodes.dedup();
        Ok(())
    }
}
