//! Records of every kind with any content, for property tests.

use proptest::{collection::vec, option, prelude::*};
use serde_json::{Map, Value, json};
use tracer::{
    event::{Account, EventKind, Exec, Exit, ExitTotals, Fork, Oom, OomFigures, Scene, Signal},
    session::journal::{
        Body,
        anomaly::{Anomaly, Stage},
        record::{
            Counts, Crash, End, Gap, Note, ObserverEnding, Pinned, Skipped, SnapshotEvent,
            TargetBody,
        },
    },
    snapshot::TreeTotals,
    units::{BootNs, Comm, ProcKey, Process, Tgid},
};

use crate::support::row;

/// Strings as targets choose them: mostly text, sometimes anything.
pub(crate) fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[ -~]{0,20}".prop_map(String::into_bytes),
        any::<String>().prop_map(String::into_bytes),
        vec(any::<u8>(), 0..40),
        vec(
            prop_oneof![Just(0_u8), Just(b' '), Just(b'a'), Just(0xff)],
            0..8
        ),
    ]
}

pub(crate) fn comm() -> impl Strategy<Value = Comm> {
    bytes().prop_map(|raw| Comm::from_bytes(&raw))
}

pub(crate) fn any_process() -> impl Strategy<Value = Process> {
    (
        any::<u64>(),
        any::<u32>(),
        option::of(any::<u32>()),
        option::of(any::<u32>()),
    )
        .prop_map(|(start, pid, init, inner)| Process {
            key: ProcKey {
                init: init.unwrap_or(pid),
                start: BootNs(start),
            },
            tgid: Tgid(pid),
            inner: inner.unwrap_or(pid),
        })
}

pub(crate) fn fork_event() -> impl Strategy<Value = EventKind> {
    (
        any_process(),
        any_process(),
        option::of(any_process()),
        comm(),
        any::<(u32, u32, bool)>(),
    )
        .prop_map(|(child, parent, creator, comm, (depth, uid, adopted))| {
            let creator = creator.unwrap_or(parent);
            EventKind::Fork(Fork {
                child,
                creator,
                parent,
                comm,
                depth,
                uid,
                adopted,
            })
        })
}

pub(crate) fn exec_event() -> impl Strategy<Value = EventKind> {
    (
        any_process(),
        comm(),
        bytes(),
        vec(bytes(), 0..6),
        any::<(bool, bool, bool)>(),
        any::<(u32, u64, u32, u32, u32, u32)>(),
    )
        .prop_map(|(process, comm, filename, argv, flags, numbers)| {
            EventKind::Exec(Box::new(Exec {
                process,
                comm,
                filename,
                filename_truncated: flags.0,
                argv,
                argc: numbers.0,
                argv_bytes: numbers.1,
                argv_truncated: flags.1,
                argv_unreadable: flags.2,
                exec_no: numbers.2,
                euid: numbers.3,
                caller_tid: numbers.4,
                redacted: numbers.5,
            }))
        })
}

pub(crate) fn exit_event() -> impl Strategy<Value = EventKind> {
    let totals = (
        any::<(u64, u64, u64, u64, bool, u64)>(),
        any::<(u64, u64, u64, Option<u64>, Option<u64>, bool)>(),
    )
        .prop_map(|(a, b)| ExitTotals {
            wall_ns: a.0,
            cpu_user_us: a.1,
            cpu_system_us: a.2,
            children_cpu_us: b.3.zip(b.4),
            peak_rss_kb: a.3,
            peak_rss_upper_bound: a.4,
            faults_minor: a.5,
            faults_major: b.0,
            ctx_switches_voluntary: b.1,
            ctx_switches_involuntary: b.2,
            io_read_bytes: b.3,
            io_write_bytes: b.4,
            partial: b.5,
        });
    (
        any_process(),
        any_process(),
        comm(),
        any::<(u32, u32, u32)>(),
        totals,
    )
        .prop_map(
            |(process, parent, comm, (status, execs, threads), totals)| {
                let exit = Exit {
                    process,
                    parent,
                    comm,
                    status,
                    totals,
                    execs,
                    threads,
                };
                EventKind::Exit(Box::new(exit))
            },
        )
}

pub(crate) fn signal_event() -> impl Strategy<Value = EventKind> {
    let numbers = any::<(i32, i32, i32, bool, bool, u32, u32)>();
    let parent = option::of((any_process(), comm()));
    let flags = any::<(bool, bool, bool, bool, bool)>();
    let scene =
        (flags, option::of(any::<u64>()), parent).prop_map(|(n, cpu_limit_s, parent)| Scene {
            cpu_limit_s,
            no_info: n.0,
            privileged: n.1,
            sender_exiting: n.2,
            blocked: n.3,
            handled: n.4,
            sender_parent: parent,
        });
    (
        any_process(),
        any_process(),
        comm(),
        bytes(),
        numbers,
        scene,
    )
        .prop_map(|(target, sender, sender_comm, sender_cmdline, n, scene)| {
            EventKind::Signal(Box::new(Signal {
                target,
                signal: n.0,
                code: n.1,
                result: n.2,
                group: n.3,
                from_kernel: n.4,
                sender,
                sender_comm,
                sender_uid: n.5,
                sender_cmdline,
                sender_redacted: n.6,
                scene,
            }))
        })
}

pub(crate) fn oom_event() -> impl Strategy<Value = EventKind> {
    let figures = option::of(any::<(u64, u64, u64, u64)>());
    (any_process(), any_process(), comm(), figures, any::<i32>()).prop_map(
        |(victim, trigger, comm, figures, oom_score_adj)| {
            let figures = figures.map(|f| OomFigures {
                total_vm_kb: f.0,
                anon_rss_kb: f.1,
                file_rss_kb: f.2,
                shmem_rss_kb: f.3,
            });
            EventKind::Oom(Box::new(Oom {
                victim,
                comm,
                trigger,
                figures,
                oom_score_adj,
            }))
        },
    )
}

pub(crate) fn account_event() -> impl Strategy<Value = EventKind> {
    let numbers = any::<(u64, u64, u64, u64, u64, u64)>();
    let io = any::<Option<(u64, u64)>>();
    (any_process(), numbers, io).prop_map(|(process, n, io_bytes)| {
        EventKind::Account(Account {
            process,
            cpu_user_us: n.0,
            cpu_system_us: n.1,
            faults_minor: n.2,
            faults_major: n.3,
            ctx_switches_voluntary: n.4,
            ctx_switches_involuntary: n.5,
            io_bytes,
        })
    })
}

pub(crate) fn target() -> impl Strategy<Value = TargetBody> {
    let skipped =
        (any_process(), comm(), any::<String>()).prop_map(|(process, comm, reason)| Skipped {
            process,
            comm,
            reason,
        });
    let pinned = (
        any_process(),
        any::<String>(),
        vec(skipped, 0..4),
        comm(),
        (bytes(), bytes()),
        any::<Option<u64>>(),
    )
        .prop_map(
            |(process, rule, skipped, comm, (cmdline, exe), pin_latency_ns)| {
                TargetBody::Pinned(Pinned {
                    process,
                    rule,
                    skipped,
                    comm,
                    cmdline,
                    exe,
                    pin_latency_ns,
                    redacted: 1,
                })
            },
        );
    prop_oneof![
        pinned,
        any::<String>().prop_map(|reason| TargetBody::Unresolved { reason }),
    ]
}

pub(crate) fn data() -> impl Strategy<Value = Map<String, Value>> {
    proptest::collection::btree_map(any::<String>(), any::<(u64, String)>(), 0..4).prop_map(|map| {
        map.into_iter()
            .map(|(key, (n, text))| (key, json!([n, text, null, { "x": true }])))
            .collect()
    })
}

pub(crate) fn anomaly() -> impl Strategy<Value = Anomaly> {
    let texts = any::<(String, String, Option<String>, Option<String>)>();
    let numbers = any::<(u64, u32, Option<u64>, u64, u64, u64, u32)>();
    (
        texts,
        numbers,
        data(),
        proptest::option::of(data()),
        any::<bool>(),
    )
        .prop_map(
            |(
                (ts, kind, comm, ended),
                (no, pid, starttime_ticks, first, last, count, worst),
                detail,
                snapshot,
                opened,
            )| {
                Anomaly {
                    first: ts.clone(),
                    last: ts.clone(),
                    ts,
                    no,
                    severity: kind.clone(),
                    anomaly: kind,
                    phase: if opened { Stage::Opened } else { Stage::Closed },
                    pid,
                    starttime_ticks,
                    comm,
                    first_t_boot_ns: BootNs(first),
                    last_t_boot_ns: BootNs(last),
                    count,
                    worst: f64::from(worst) / 1000.0,
                    detail,
                    snapshot,
                    ended,
                }
            },
        )
}

pub(crate) fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        fork_event().prop_map(Body::Event),
        exec_event().prop_map(Body::Event),
        exit_event().prop_map(Body::Event),
        signal_event().prop_map(Body::Event),
        oom_event().prop_map(Body::Event),
        account_event().prop_map(Body::Event),
        target().prop_map(|target| Body::Target(Box::new(target))),
        (any::<u32>(), any::<bool>()).prop_map(|(n, at_exit)| {
            let Body::Snapshot { row, .. } = row(n.into()).body else {
                unreachable!()
            };
            let event = if at_exit {
                SnapshotEvent::ExitSnapshot
            } else {
                SnapshotEvent::Snapshot
            };
            Body::Snapshot { row, event }
        }),
        (any::<(u64, u64, u64)>(), 0_u32..1_000_000).prop_map(|(n, tenths)| {
            Body::Tick(Box::new(TreeTotals {
                captured_at: "2026-11-21T05:45:12.000001Z".to_owned(),
                processes: n.0,
                threads: n.1,
                rss_kb: n.2,
                cpu_percent: f64::from(tenths) / 10.0,
                fds: 3,
                missed_ticks: 0,
                ..TreeTotals::default()
            }))
        }),
        anomaly().prop_map(|anomaly| Body::Anomaly(Box::new(anomaly))),
        any::<(String, u64)>().prop_map(|(reason, count)| Body::Loss { reason, count }),
        any::<(String, u64, u64, u64)>().prop_map(|(reason, dropped, first, last)| {
            let (first_t, last_t) = (BootNs(first), BootNs(last));
            Body::Gap(Box::new(Gap {
                reason,
                dropped,
                first_t,
                last_t,
            }))
        }),
        (any::<(String, String)>(), data())
            .prop_map(|((topic, text), data)| Body::Note(Box::new(Note { topic, text, data }))),
        any::<(String, String)>()
            .prop_map(|(cause, detail)| Body::Crash(Box::new(Crash { cause, detail }))),
        ("[a-z\"\\\\é]{0,30}", any::<u64>()).prop_map(|(cause, n)| {
            let counts = Counts {
                records: n,
                execs: n / 2,
                dropped: 1,
                ..Counts::default()
            };
            Body::End(Box::new(End {
                ending: ObserverEnding::Stopped,
                cause,
                counts,
            }))
        }),
        data().prop_map(|value| Body::Unknown {
            kind: "from_the_future_2".to_owned(),
            value
        }),
    ]
}
