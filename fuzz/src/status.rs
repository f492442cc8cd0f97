//! `/proc/<pid>/status` and the other files of many lines.

use tracer::procfs::{
    io::ProcIo,
    limits::parse_open_files,
    net::{parse_established, parse_net_link, parse_socket_link},
    status::ProcStatus,
};

use crate::{about, fingerprint};

/// Parses it as each of them.
#[must_use]
pub fn target(data: &[u8]) -> u64 {
    let status = ProcStatus::parse(data);
    let mut inodes = Vec::new();
    let table = parse_established(data, &mut inodes).is_ok();
    fingerprint((
        (status.uids.is_some(), status.threads.is_some()),
        ProcIo::parse(data).is_some(),
        parse_open_files(data).is_some(),
        table,
        about(inodes.len()),
        parse_socket_link(data).is_some(),
        parse_net_link(data).is_some(),
    ))
}
