//! What this program sees of `/proc` from another namespace.

use tracer::{procfs::ProcRoot, units::Tgid};

use crate::roles::ready_then_rest;

/// Part of the process under test: looks, and says what it saw.
pub(crate) fn report(what: &str) {
    let root = match ProcRoot::open("/proc") {
        Ok(root) => root,
        Err(error) => return ready_then_rest(format_args!("error {error}")),
    };
    let (kind, argument) = what.split_once(' ').unwrap_or((what, ""));
    match kind {
        "own-row" => {
            let row = crate::fixture::row(std::process::id());
            let own = row.pid == std::process::id() && row.unread.is_empty();
            ready_then_rest(if own { "own row" } else { "not my row" });
        }
        "start" => {
            let tgid = Tgid(argument.parse().unwrap());
            let start = root.process(tgid).unwrap().identity().unwrap().start;
            let pair = root.host().read_clock_pair();
            ready_then_rest(format_args!("{} {} {}", start.0, pair.boot.0, pair.wall_us));
        }
        other => panic!("no view {other}"),
    }
}
