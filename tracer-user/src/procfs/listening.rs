//! Sockets that wait for connections, by their inodes.
//!
//! Source: `proc_pid_net(5)`, `get_tcp4_sock` in `net/ipv4/tcp_ipv4.c`. A table is the network namespace's;
//! whose a socket is, descriptors say.

use super::{ProcDir, read, scan};

/// `TCP_LISTEN`, `include/net/tcp_states.h`.
const LISTEN: u64 = 0x0a;

/// Appends inode and port of every socket that listens, in `net/tcp` or `net/tcp6`. A line that is none is
/// left out: a port that cannot be told is no claim.
pub fn parse_listening(table: &[u8], found: &mut Vec<(u64, u16)>) {
    for line in table.split(|&byte| byte == b'\n').skip(1) {
        let mut words = scan::words(line);
        let port = words.nth(1).and_then(|address| {
            let port = address.rsplit(|&byte| byte == b':').next()?;
            u16::try_from(scan::parse_hex(port)?).ok()
        });
        let state = words.nth(1).and_then(scan::parse_hex);
        let inode = words.nth(5).and_then(scan::parse_u64);
        if let (Some(port), Some(LISTEN), Some(inode)) = (port, state, inode) {
            found.push((inode, port));
        }
    }
}

impl ProcDir {
    /// Inode and port of every TCP socket that listens in its network namespace; what cannot be read is
    /// left out.
    #[must_use]
    pub fn listening(&self) -> Vec<(u64, u16)> {
        let mut found = Vec::new();
        let mut table = Vec::new();
        for file in [c"net/tcp", c"net/tcp6"] {
            table.clear();
            if read::read_all(self.fd(), file, &mut table, 4 * read::MOST).is_ok() {
                parse_listening(&table, &mut found);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{procfs::ProcRoot, units::Tgid};

    #[test]
    fn a_port_that_we_listen_on_is_found() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let proc = ProcRoot::open("/proc").unwrap();
        let own = proc.process(Tgid(std::process::id())).unwrap();
        let mut sockets = Vec::new();
        own.sockets(&mut sockets).unwrap();
        let listening = own.listening();
        let mine = listening
            .iter()
            .filter(|(inode, _)| sockets.binary_search(inode).is_ok());
        assert!(
            mine.clone().any(|&(_, found)| found == port),
            "{listening:?}"
        );
    }

    #[test]
    fn rubbish_is_left_out() {
        let mut found = Vec::new();
        parse_listening(b"heading\n 0: 00:1F90 0:0 0A\nx\n\n", &mut found);
        assert_eq!(found, []);
    }
}
