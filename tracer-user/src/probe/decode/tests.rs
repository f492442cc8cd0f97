//! What the decoder must keep, and that no bytes can hurt it.

use bytemuck::{Zeroable, bytes_of};
use proptest::prelude::*;
use tracer_common::event::KIND_MAX;

use super::*;

const UNITS: DecodeUnits = DecodeUnits { page_kb: 4 };

fn header(kind: u16, flags: u16) -> EventHeader {
    EventHeader {
        t_boot_ns: 5_000,
        kind,
        flags,
        cpu: 1,
    }
}

fn exec_record(event: &ExecEvent, filename: &[u8], argv: &[u8]) -> Vec<u8> {
    let event = ExecEvent {
        filename_len: u16::try_from(filename.len()).unwrap(),
        argv_len: u16::try_from(argv.len()).unwrap(),
        ..*event
    };
    [bytes_of(&event), filename, argv].concat()
}

fn decode_exec(flags: u16, argc: u32, area: &[u8]) -> Exec {
    let event = ExecEvent {
        header: header(KIND_EXEC, flags),
        argc,
        argv_total: area.len() as u64,
        ..ExecEvent::zeroed()
    };
    match decode(&exec_record(&event, b"/bin/x", area), UNITS) {
        Ok(Event {
            kind: EventKind::Exec(exec),
            ..
        }) => *exec,
        other => panic!("not an exec: {other:?}"),
    }
}

fn decode_totals(event: ExitEvent) -> ExitTotals {
    match decode(bytes_of(&event), UNITS) {
        Ok(Event {
            kind: EventKind::Exit(exit),
            ..
        }) => exit.totals,
        other => panic!("not an exit: {other:?}"),
    }
}

fn exit_event(flags: u16) -> ExitEvent {
    ExitEvent {
        header: header(KIND_EXIT, flags),
        ..ExitEvent::zeroed()
    }
}

#[test]
fn arguments_arrive_byte_by_byte_also_empty_and_invalid_ones() {
    let exec = decode_exec(0, 5, b"sh\0\0\n\xff\0\0x y\0");
    let expected: [&[u8]; 5] = [b"sh", b"", b"\n\xff", b"", b"x y"];
    assert_eq!(exec.argv, expected);
    assert_eq!(exec.filename, b"/bin/x");
    assert!(!exec.argv_truncated);
}

#[test]
fn no_argument_is_not_one_empty_argument() {
    assert_eq!(decode_exec(0, 0, b"").argv, Vec::<Vec<u8>>::new());
    assert_eq!(decode_exec(0, 1, b"\0").argv, [b""]);
}

#[test]
fn a_cut_may_fall_inside_an_argument_or_just_behind_one() {
    let inside = decode_exec(FLAG_ARGV_TRUNCATED, 3, b"a\0bcd");
    assert_eq!(inside.argv, [&b"a"[..], b"bcd"]);
    assert!(inside.argv_truncated);
    let behind = decode_exec(FLAG_ARGV_TRUNCATED, 3, b"a\0b\0");
    assert_eq!(behind.argv, [b"a", b"b"]);
    assert_eq!(behind.argc, 3);
}

#[test]
fn fewer_bytes_than_the_total_is_a_cut_even_without_its_flag() {
    let event = ExecEvent {
        header: header(KIND_EXEC, 0),
        argv_total: 100,
        ..ExecEvent::zeroed()
    };
    let record = exec_record(&event, b"", b"a\0");
    assert!(matches!(
        decode(&record, UNITS).unwrap().kind,
        EventKind::Exec(exec) if exec.argv_truncated && exec.argv_bytes == 100
    ));
    let event = ExecEvent {
        header: header(KIND_EXEC, FLAG_ARGV_UNREADABLE),
        ..event
    };
    assert!(matches!(
        decode(&exec_record(&event, b"", b""), UNITS).unwrap().kind,
        EventKind::Exec(exec) if exec.argv_unreadable && !exec.argv_truncated && exec.argv.is_empty()
    ));
}

#[test]
fn lengths_that_reach_behind_the_record_are_refused() {
    let event = ExecEvent {
        header: header(KIND_EXEC, 0),
        filename_len: 6,
        argv_len: u16::MAX,
        ..ExecEvent::zeroed()
    };
    let record = [bytes_of(&event), b"/bin/x", b"abc"].concat();
    assert_eq!(
        decode(&record, UNITS),
        Err(DecodeError::BadLengths {
            filename: 6,
            argv: u16::MAX,
            have: 9
        })
    );
}

#[test]
fn cpu_time_is_split_like_the_kernels_own() {
    // Ticks only give the ratio: 3:1 of 10 ms.
    assert_eq!(cpu_split_us(10_000_000, 12, 4), (7_500, 2_500));
    // Too short for any tick: all user, as in cputime_adjust().
    assert_eq!(cpu_split_us(999_999, 0, 0), (999, 0));
    assert_eq!(cpu_split_us(2_000_500, 0, 4_000_000), (0, 2_000));
    assert_eq!(cpu_split_us(2_000_500, 4_000_000, 0), (2_000, 0));
    // Rounding never loses a microsecond of the sum.
    assert_eq!(cpu_split_us(3_000, 1, 1), (2, 1));
}

#[test]
fn an_inherited_peak_is_replaced_by_the_images_own_or_marked() {
    let base = ExitEvent {
        maxrss_pages: 1_000,
        image_rss_pages: 300,
        ..exit_event(0)
    };
    let own = decode_totals(base);
    assert_eq!((own.peak_rss_kb, own.peak_rss_upper_bound), (4_000, false));
    let inherited = decode_totals(ExitEvent {
        header: header(KIND_EXIT, FLAG_MAXRSS_UPPER_BOUND),
        ..base
    });
    assert_eq!(
        (inherited.peak_rss_kb, inherited.peak_rss_upper_bound),
        (1_200, false)
    );
    let unknown = decode_totals(ExitEvent {
        header: header(KIND_EXIT, FLAG_MAXRSS_UPPER_BOUND),
        image_rss_pages: 0,
        ..base
    });
    assert_eq!(
        (unknown.peak_rss_kb, unknown.peak_rss_upper_bound),
        (4_000, true)
    );
}

#[test]
fn io_that_is_not_accounted_is_unknown_and_not_zero() {
    let totals = decode_totals(ExitEvent {
        read_bytes: u64::MAX,
        write_bytes: 0,
        ..exit_event(0)
    });
    assert_eq!(totals.io_read_bytes, None);
    assert_eq!(totals.io_write_bytes, Some(0));
}

#[test]
fn a_start_after_the_end_gives_no_time_rather_than_centuries() {
    let totals = decode_totals(ExitEvent {
        process: ProcRef {
            start_boottime_ns: 5_001,
            ..ProcRef::zeroed()
        },
        maxrss_pages: u64::MAX,
        ..exit_event(FLAG_TOTALS_PARTIAL)
    });
    assert_eq!(totals.wall_ns, 0);
    assert_eq!(totals.peak_rss_kb, u64::MAX);
    assert!(totals.partial);
}

#[test]
fn new_kinds_and_short_records_are_told_apart() {
    for kind in [0, KIND_MAX, u16::MAX] {
        let record = bytes_of(&header(kind, 0)).to_vec();
        assert_eq!(decode(&record, UNITS), Err(DecodeError::UnknownKind(kind)));
    }
    assert_eq!(
        decode(&[0; 15], UNITS),
        Err(DecodeError::TooShort {
            kind: 0,
            len: 15,
            need: 16
        })
    );
}

/// One well-formed record of each kind, every field different from its neighbours.
fn samples() -> Vec<Vec<u8>> {
    fn filled<T: Pod>(kind: u16) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..=250).cycle().take(size_of::<T>()).collect();
        bytes[8..10].copy_from_slice(&kind.to_le_bytes());
        bytes
    }
    let exec: ExecEvent = bytemuck::pod_read_unaligned(&filled::<ExecEvent>(KIND_EXEC));
    vec![
        filled::<ForkEvent>(KIND_FORK),
        exec_record(&exec, b"/usr/bin/env", b"env\0\0sh\0"),
        filled::<ExitEvent>(KIND_EXIT),
        filled::<SignalEvent>(KIND_SIGNAL),
        filled::<OomEvent>(KIND_OOM),
        filled::<AccountEvent>(KIND_ACCOUNT),
    ]
}

#[test]
fn a_record_cut_anywhere_is_an_error_and_a_longer_one_is_not() {
    for record in samples() {
        let whole = decode(&record, UNITS).unwrap();
        for len in 0..record.len() {
            assert!(decode(&record[..len], UNITS).is_err(), "cut at {len}");
        }
        let longer = [&record[..], &[0xaa; 40]].concat();
        assert_eq!(decode(&longer, UNITS), Ok(whole));
    }
}

proptest! {
    #[test]
    fn any_bytes_decode_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..400), kind in 0..KIND_MAX) {
        let mut bytes = bytes;
        let _ = decode(&bytes, UNITS);
        if bytes.len() >= 10 {
            bytes[8..10].copy_from_slice(&kind.to_le_bytes());
            let _ = decode(&bytes, UNITS);
        }
    }

    #[test]
    fn nothing_stays_of_the_event_whose_room_is_used_again(
        areas in prop::collection::vec("[ab\u{0}]{0,12}", 1..6),
        names in prop::collection::vec("[a-z/]{0,9}", 6),
    ) {
        let mut spare = Spare::default();
        for (area, name) in areas.iter().zip(&names) {
            let event = ExecEvent {
                header: header(KIND_EXEC, 0),
                argv_total: area.len() as u64,
                ..ExecEvent::zeroed()
            };
            let record = exec_record(&event, name.as_bytes(), area.as_bytes());
            let event = decode_into(&mut spare, &record, UNITS).unwrap();
            prop_assert_eq!(&event, &decode(&record, UNITS).unwrap());
            spare.keep(event.kind);
        }
    }

    #[test]
    fn an_exit_keeps_every_field(bytes in prop::collection::vec(any::<u8>(), size_of::<ExitEvent>())) {
        let mut wire: ExitEvent = bytemuck::pod_read_unaligned(&bytes);
        wire.header.kind = KIND_EXIT;
        let event = decode(bytes_of(&wire), UNITS).unwrap();
        prop_assert_eq!(event.t, BootNs(wire.header.t_boot_ns));
        let EventKind::Exit(exit) = event.kind else { panic!("not an exit") };
        prop_assert_eq!(exit.process.key.init, wire.process.tgid_init);
        prop_assert_eq!(exit.process.key.start.0, wire.process.start_boottime_ns);
        prop_assert_eq!(exit.process.tgid.0, wire.process.tgid);
        prop_assert_eq!(exit.process.inner, wire.process.tgid_inner);
        prop_assert_eq!(exit.parent, process(&wire.parent));
        prop_assert_eq!((exit.status, exit.execs, exit.threads), (wire.status, wire.execs, wire.threads));
        let totals = exit.totals;
        prop_assert_eq!(u128::from(totals.cpu_user_us) + u128::from(totals.cpu_system_us), u128::from(wire.cpu_ns / 1000));
        prop_assert_eq!((totals.faults_minor, totals.faults_major), (wire.min_flt, wire.maj_flt));
        prop_assert_eq!((totals.ctx_switches_voluntary, totals.ctx_switches_involuntary), (wire.nvcsw, wire.nivcsw));
        prop_assert_eq!((totals.io_read_bytes, totals.io_write_bytes), (accounted(wire.read_bytes), accounted(wire.write_bytes)));
    }

    #[test]
    fn a_fork_keeps_every_field(bytes in prop::collection::vec(any::<u8>(), size_of::<ForkEvent>())) {
        let mut wire: ForkEvent = bytemuck::pod_read_unaligned(&bytes);
        wire.header.kind = KIND_FORK;
        let EventKind::Fork(fork) = decode(bytes_of(&wire), UNITS).unwrap().kind else { panic!("not a fork") };
        prop_assert_eq!((fork.child, fork.creator, fork.parent), (process(&wire.child), process(&wire.creator), process(&wire.parent)));
        prop_assert_eq!(fork.comm, Comm::from_bytes(&wire.comm));
        prop_assert_eq!((fork.depth, fork.uid), (wire.depth, wire.uid));
        prop_assert_eq!(fork.adopted, wire.header.flags & FLAG_ADOPTED != 0);
    }

    #[test]
    fn a_signal_keeps_every_field(bytes in prop::collection::vec(any::<u8>(), size_of::<SignalEvent>())) {
        let mut wire: SignalEvent = bytemuck::pod_read_unaligned(&bytes);
        wire.header.kind = KIND_SIGNAL;
        let EventKind::Signal(signal) = decode(bytes_of(&wire), UNITS).unwrap().kind else { panic!("not a signal") };
        prop_assert_eq!((signal.target, signal.sender), (process(&wire.target), process(&wire.sender)));
        prop_assert_eq!((signal.signal, signal.code, signal.result), (wire.signal, wire.code, wire.result));
        prop_assert_eq!((signal.sender_comm, signal.sender_uid), (Comm::from_bytes(&wire.sender_comm), wire.sender_uid));
        prop_assert_eq!(signal.group, wire.header.flags & FLAG_SIGNAL_GROUP != 0);
        prop_assert_eq!(signal.from_kernel, wire.header.flags & FLAG_SENDER_KERNEL != 0);
    }

    #[test]
    fn an_account_keeps_every_field(bytes in prop::collection::vec(any::<u8>(), size_of::<AccountEvent>())) {
        let mut wire: AccountEvent = bytemuck::pod_read_unaligned(&bytes);
        wire.header.kind = KIND_ACCOUNT;
        let usage = wire.usage;
        let event = decode(bytes_of(&wire), UNITS).unwrap();
        let EventKind::Account(account) = event.kind else { panic!("not an account") };
        prop_assert_eq!(event.t, BootNs(wire.header.t_boot_ns));
        prop_assert_eq!(account.process, process(&wire.process));
        prop_assert_eq!(account.cpu_user_us + account.cpu_system_us, usage.cpu_ns / 1000);
        prop_assert_eq!((account.faults_minor, account.faults_major), (usage.min_flt, usage.maj_flt));
        let switches = (account.ctx_switches_voluntary, account.ctx_switches_involuntary);
        prop_assert_eq!(switches, (usage.nvcsw, usage.nivcsw));
        let io = accounted(usage.read_bytes).zip(accounted(usage.write_bytes));
        prop_assert_eq!(account.io_bytes, io);
    }

    #[test]
    fn an_oom_keeps_every_field(bytes in prop::collection::vec(any::<u8>(), size_of::<OomEvent>())) {
        let mut wire: OomEvent = bytemuck::pod_read_unaligned(&bytes);
        wire.header.kind = KIND_OOM;
        let EventKind::Oom(oom) = decode(bytes_of(&wire), UNITS).unwrap().kind else { panic!("not an oom") };
        prop_assert_eq!((oom.victim, oom.trigger), (process(&wire.victim), process(&wire.trigger)));
        prop_assert_eq!(oom.oom_score_adj, wire.oom_score_adj);
        prop_assert_eq!(oom.figures.is_some(), wire.header.flags & FLAG_OOM_FIGURES != 0);
        if let Some(figures) = oom.figures {
            prop_assert_eq!(figures.anon_rss_kb, wire.anon_rss_pages.saturating_mul(4));
            prop_assert_eq!(figures.shmem_rss_kb, wire.shmem_rss_pages.saturating_mul(4));
        }
    }

    #[test]
    fn arguments_come_back_as_they_went_in(argv in prop::collection::vec(prop::collection::vec(1_u8.., 0..20), 0..20)) {
        let mut area = Vec::new();
        for argument in &argv {
            area.extend_from_slice(argument);
            area.push(0);
        }
        prop_assert_eq!(decode_exec(0, u32::try_from(argv.len()).unwrap(), &area).argv, argv);
    }
}

proptest! {
    // Cheap, and the decoder stands between the kernel and everything else.
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn real_records_with_some_bytes_wrong_never_panic(which in 0_usize..5, hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut record = samples().swap_remove(which);
        for (at, byte) in hits {
            let at = at.index(record.len());
            record[at] = byte;
        }
        if let Ok(Event { kind: EventKind::Exec(exec), .. }) = decode(&record, UNITS) {
            prop_assert!(exec.filename.len() + exec.argv.concat().len() <= record.len());
        }
    }
}
