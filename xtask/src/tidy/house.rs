//! The plan of the house as tables: who may import whom, who owns which foreign crate, what is pure.
//!
//! A change here is a change of architecture: it belongs in ARCHITECTURE.md too.

/// Members of the workspace, in the order data flows.
pub(super) const MEMBERS: [&str; 6] = [
    "tracer-common",
    "tracer-ebpf",
    "tracer-user",
    "xtask",
    "tests",
    "fuzz",
];

/// What each member may use of the others, by crate name.
pub(super) const CRATES: &[(&str, &[&str])] = &[
    ("tracer-common", &[]),
    ("tracer-ebpf", &["tracer_common"]),
    ("tracer-user", &["tracer_common"]),
    ("xtask", &[]),
    ("tests", &["tracer", "tracer_common"]),
    ("fuzz", &["tracer"]),
];

/// Crates of the workspace that something could import.
pub(super) const OWN_CRATES: &[&str] = &["tracer", "tracer_common", "tracer_fuzz", "tracer_tests"];

/// Rooms of `tracer-user/src` by floor. A room imports from floors below its own, never from its own
/// or above: rooms on one floor meet only in `observe`.
pub(super) const FLOORS: &[&[&str]] = &[
    &["main", "lib"],
    &["cli"],
    &["observe"],
    &["target", "probe", "sampler", "session", "watch"],
    &["tree", "verdict", "anomaly", "procfs"],
    &["event", "snapshot", "config"],
    &["units", "collections"],
];

/// Imports on one floor that are meant: what verdicts and anomalies rest on is the tree.
pub(super) const NEIGHBOURS: &[(&str, &str)] = &[("verdict", "tree"), ("anomaly", "tree")];

/// Foreign crates with owners: crate, rooms of `tracer-user`, other members.
pub(super) const OWNERS: &[(&str, &[&str], &[&str])] = &[
    ("aya", &["probe"], &[]),
    ("aya_log", &["probe"], &[]),
    ("aya_obj", &["probe"], &[]),
    ("anyhow", &["main", "cli"], &["xtask", "tests"]),
    ("clap", &["cli"], &["xtask"]),
    (
        "serde_json",
        &["session", "cli", "watch"],
        &["xtask", "tests"],
    ),
    ("tokio", &["observe", "probe", "sampler", "watch"], &[]),
];

/// Modules that decide and never touch the system, by path without `.rs`. Time is an argument there.
/// A file or a folder of that name is meant, with all that is in it.
pub(super) const PURE: &[&str] = &[
    "tracer-common/src",
    "tracer-user/src/anomaly",
    "tracer-user/src/event",
    "tracer-user/src/observe/warden/course",
    "tracer-user/src/observe/warden/stall",
    "tracer-user/src/probe/btf",
    "tracer-user/src/probe/decode",
    "tracer-user/src/procfs/io",
    "tracer-user/src/procfs/limits",
    "tracer-user/src/procfs/stat",
    "tracer-user/src/procfs/status",
    "tracer-user/src/sampler/rate",
    "tracer-user/src/session/derive",
    "tracer-user/src/session/id",
    "tracer-user/src/session/journal/record",
    "tracer-user/src/session/recover/foreign/names",
    "tracer-user/src/session/recover/foreign/rows",
    "tracer-user/src/session/recover/gates",
    "tracer-user/src/session/recover/whose",
    "tracer-user/src/session/redact",
    "tracer-user/src/snapshot",
    "tracer-user/src/target/resolve",
    "tracer-user/src/target/wrappers",
    "tracer-user/src/tree",
    "tracer-user/src/units",
    "tracer-user/src/verdict",
    "tracer-user/src/watch/alert",
    "tracer-user/src/watch/decide",
];

/// What a pure module does not name.
pub(super) const IMPURE: &[&str] = &[
    "aya",
    "libc",
    "rustix",
    "std::env",
    "std::fs",
    "std::io::stderr",
    "std::io::stdin",
    "std::io::stdout",
    "std::net",
    "std::os::unix::net",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
];

/// Module names that say nothing about what is inside.
pub(super) const VAGUE: &[&str] = &[
    "utils", "util", "helpers", "helper", "common", "types", "prelude", "misc",
];

/// Lines a file may have, its tests included.
pub(super) const LINES: usize = 400;

/// Files that are read first and therefore stay short: lines, name at the end of the path.
pub(super) const SHORT: &[(usize, &str)] = &[
    (150, "src/main.rs"),
    (150, "src/lib.rs"),
    (150, "src/observe/mod.rs"),
];

/// Longer files, each with the reason.
pub(super) const LONG: &[(&str, usize, &str)] = &[];
