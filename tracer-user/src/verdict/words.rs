//! How a verdict's facts are put into words.

use super::{Killer, Relation};

/// `pkill (pid 4711, "pkill -f python", uid 0, started by bash 4690, outside the tree)`.
pub(super) fn who(killer: &Killer) -> String {
    match killer.relation {
        Relation::Kernel => return "the kernel".to_owned(),
        Relation::Itself => return "itself".to_owned(),
        _ => {}
    }
    let mut facts = Vec::new();
    match killer.pid {
        Some(pid) => facts.push(format!("pid {pid}")),
        None => facts.push("hidden by a pid namespace".to_owned()),
    }
    facts.extend(killer.cmdline.as_ref().map(|line| format!("\"{line}\"")));
    facts.push(format!("uid {}", killer.uid));
    facts.extend(
        killer
            .started_by
            .as_ref()
            .map(|starter| format!("started by {} {}", starter.comm, starter.pid)),
    );
    facts.extend(place(killer.relation).map(str::to_owned));
    let comm = match killer.comm.as_str() {
        "" => "a process that was gone",
        comm => comm,
    };
    format!("{comm} ({})", facts.join(", "))
}

/// What somebody is to the process in question.
fn place(relation: Relation) -> Option<&'static str> {
    Some(match relation {
        Relation::Itself => "itself",
        Relation::Descendant => "below it",
        Relation::Ancestor => "above it",
        Relation::Wrapper => "its wrapper",
        Relation::Sibling => "elsewhere in its tree",
        Relation::Outside => "outside the tree",
        Relation::Kernel => "the kernel",
        Relation::Unknown => return None,
    })
}

/// Nanoseconds for people: `30 s`, `1.2 s`, `12 ms`.
pub(super) fn length(ns: u64) -> String {
    let ms = ns / 1_000_000;
    match ms {
        0 => format!("{} µs", ns / 1000),
        1..1_000 => format!("{ms} ms"),
        1_000..10_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        10_000..120_000 => format!("{} s", ms / 1000),
        _ => format!("{} min", ms / 60_000),
    }
}

/// KiB for people.
pub(super) fn size(kib: u64) -> String {
    match kib {
        0..1024 => format!("{kib} KiB"),
        1024..1_048_576 if kib.is_multiple_of(1024) || kib >= 102_400 => {
            format!("{} MiB", kib / 1024)
        }
        1024..1_048_576 => format!("{}.{} MiB", kib / 1024, kib % 1024 * 10 / 1024),
        _ => format!(
            "{}.{} GiB",
            kib / 1_048_576,
            kib % 1_048_576 * 10 / 1_048_576
        ),
    }
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn list(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// What the processor or the kernel complained of.
pub(super) fn fault(signal: &str, code: i32) -> Option<&'static str> {
    Some(match (signal, code) {
        ("SIGSEGV", 1) => "an address that is not mapped",
        ("SIGSEGV", 2) => "an address that may not be used that way",
        ("SIGSEGV", 0x80) => "an address that no pointer can hold",
        ("SIGBUS", 1) => "a misaligned address",
        ("SIGBUS", 2) => "memory that nothing stands behind, such as a file that was cut",
        ("SIGBUS", 4 | 5) => "a memory error of the hardware",
        ("SIGILL", 1..) => "an instruction that the processor refuses",
        ("SIGFPE", 1) => "an integer divided by zero",
        ("SIGFPE", 1..) => "arithmetic that cannot be done",
        ("SIGTRAP", 1..) => "a breakpoint",
        ("SIGSYS", 1) => "a system call that its seccomp filter forbids",
        ("SIGABRT", -6) => "it gave up, as abort(3) does",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Starter;

    #[test]
    fn a_killer_is_told_with_all_that_is_known_of_it() {
        let pkill = Killer {
            pid: Some(4711),
            starttime_ticks: 1,
            comm: "pkill".to_owned(),
            cmdline: Some("pkill -f python".to_owned()),
            uid: 0,
            relation: Relation::Outside,
            started_by: Some(Starter {
                pid: 4690,
                comm: "bash".to_owned(),
            }),
        };
        assert_eq!(
            who(&pkill),
            "pkill (pid 4711, \"pkill -f python\", uid 0, started by bash 4690, outside the tree)"
        );
        let hidden = Killer {
            pid: None,
            cmdline: None,
            started_by: None,
            relation: Relation::Unknown,
            ..pkill
        };
        assert_eq!(who(&hidden), "pkill (hidden by a pid namespace, uid 0)");
        assert_eq!(who(&Killer::kernel()), "the kernel");
    }

    #[test]
    fn lengths_and_sizes_read_well() {
        let lengths = [999_000, 12_000_000, 1_234_000_000, 30_010_000_000];
        assert_eq!(lengths.map(length), ["999 µs", "12 ms", "1.2 s", "30 s"]);
        let sizes = [512 << 10, 498 << 10, 24_320, 3 << 20];
        assert_eq!(
            sizes.map(size),
            ["512 MiB", "498 MiB", "23.7 MiB", "3.0 GiB"]
        );
        assert_eq!(list(&["a".into(), "b".into(), "c".into()]), "a, b and c");
    }
}
