//! Tables of TCP sockets, and the links that name sockets and namespaces.
//!
//! Sources: `proc_pid_net(5)`, `get_tcp4_sock` in `net/ipv4/tcp_ipv4.c`, `get_tcp6_sock` in
//! `net/ipv6/tcp_ipv6.c`. A table is the network namespace's, not the process's: only the socket inodes of
//! its own descriptors say which rows are its own. Pure.

use thiserror::Error;

use super::scan;

/// `TCP_ESTABLISHED`, `include/net/tcp_states.h`.
const ESTABLISHED: u64 = 0x01;

/// A row of the table that is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("line {line} is no row of a TCP table")]
pub struct TcpTableError {
    /// Counting from 1, the heading included.
    pub line: usize,
}

/// Appends the socket inodes of all established connections in `net/tcp` or `net/tcp6`.
///
/// # Errors
/// At the first line that has no state or no inode: half a table would be a wrong count.
pub fn parse_established(table: &[u8], inodes: &mut Vec<u64>) -> Result<(), TcpTableError> {
    for (index, line) in table.split(|&byte| byte == b'\n').enumerate().skip(1) {
        // sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode …
        let mut words = scan::words(line);
        if words.next().is_none() {
            continue;
        }
        let malformed = TcpTableError { line: index + 1 };
        let state = words.nth(2).and_then(scan::parse_hex).ok_or(malformed)?;
        let inode = words.nth(5).and_then(scan::parse_u64).ok_or(malformed)?;
        // Inode 0: no file is left, so no process owns it.
        if state == ESTABLISHED && inode != 0 {
            inodes.push(inode);
        }
    }
    Ok(())
}

/// The inode in `socket:[N]`, what `/proc/<pid>/fd/<n>` of a socket points to.
#[must_use]
pub fn parse_socket_link(link: &[u8]) -> Option<u64> {
    scan::parse_u64(link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?)
}

/// The inode in `net:[N]`, what `/proc/<pid>/ns/net` points to.
#[must_use]
pub fn parse_net_link(link: &[u8]) -> Option<u64> {
    scan::parse_u64(link.strip_prefix(b"net:[")?.strip_suffix(b"]")?)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use procfs::FromBufReadSI as _;
    use proptest::prelude::*;

    use super::*;

    const TABLE: &[u8] = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   \
uid  timeout inode                                                     \n\
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100 0 0 10 0\n\
   1: 0100007F:1F90 0100007F:C0DE 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0 20 4 30 10 -1\n\
   2: 0100007F:1F91 0100007F:C0DF 06 00000000:00000000 03:00000F0B 00000000     0        0 0 3 0\n\
10000: 0100007F:1F92 0100007F:C0E0 01 00000000:00000000 00:00000000 00000000  1000        0 333 1 0\n";

    #[test]
    fn established_rows_with_an_owner_count() {
        let mut inodes = Vec::new();
        parse_established(TABLE, &mut inodes).unwrap();
        assert_eq!(inodes, [222, 333]);
    }

    #[test]
    fn a_torn_row_is_an_error_not_a_smaller_count() {
        let mut inodes = Vec::new();
        assert_eq!(
            parse_established(&TABLE[..TABLE.len() - 30], &mut inodes),
            Err(TcpTableError { line: 5 })
        );
    }

    #[test]
    fn links_are_taken_whole() {
        assert_eq!(parse_socket_link(b"socket:[4026]"), Some(4026));
        assert_eq!(parse_socket_link(b"socket:[4026"), None);
        assert_eq!(parse_socket_link(b"/tmp/socket:[4026]"), None);
        assert_eq!(parse_net_link(b"net:[4026531840]"), Some(4_026_531_840));
        assert_eq!(parse_net_link(b"net:[]"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = parse_established(&bytes, &mut Vec::new());
            let _ = parse_socket_link(&bytes);
            let _ = parse_net_link(&bytes);
        }

        #[test]
        fn agrees_with_the_procfs_crate(
            rows in proptest::collection::vec((1_u8..=12, 0_u64..1 << 40, any::<u32>()), 0..20)
        ) {
            let mut table = String::from("  sl  local_address rem_address   st …\n");
            for (index, (state, inode, address)) in rows.iter().enumerate() {
                writeln!(
                    table,
                    "{index:4}: {address:08X}:1F90 0100007F:C0DE {state:02X} 00000000:00000000 \
                     00:00000000 00000000     0        0 {inode} 1 0"
                ).unwrap();
            }
            let oracle: Vec<u64> = procfs::net::TcpNetEntries::from_buf_read(
                table.as_bytes(),
                procfs::current_system_info(),
            )
            .unwrap()
            .0
            .iter()
            .filter(|row| row.state == procfs::net::TcpState::Established && row.inode != 0)
            .map(|row| row.inode)
            .collect();
            let mut ours = Vec::new();
            parse_established(table.as_bytes(), &mut ours).unwrap();
            prop_assert_eq!(ours, oracle);
        }
    }
}
