//! Records in any order, cut anywhere.

use proptest::prelude::*;

use super::*;

fn header(kind: u32, tgid_init: u32) -> RowHeader {
    RowHeader {
        kind,
        tgid_init,
        start_boottime_ns: 7,
    }
}

fn process(tgid: u32) -> ProcessRow {
    ProcessRow {
        leader: ThreadRow {
            header: header(ROW_PROCESS, tgid),
            tid: tgid,
            cpu_ns: 1,
            nvcsw: 10,
            ..ThreadRow::default()
        },
        tgid,
        has_mm: 1,
        threads: 3,
        ..ProcessRow::default()
    }
}

fn thread(tgid: u32, number: u32, state: u32) -> ThreadRow {
    ThreadRow {
        header: header(ROW_THREAD, tgid),
        tid: number,
        state,
        cpu_ns: 100,
        nvcsw: 1000,
        ..ThreadRow::default()
    }
}

fn socket(tgid: u32, sock: u64) -> SocketRow {
    SocketRow {
        header: header(ROW_SOCKET, tgid),
        sock,
    }
}

fn raw(record: &impl bytemuck::NoUninit) -> Vec<u8> {
    bytemuck::bytes_of(record).to_vec()
}

/// Two processes whose records are mixed, the threads of one before its leader.
fn output() -> Vec<u8> {
    let (a, b) = (process(5), process(6));
    let parts: [Vec<u8>; 9] = [
        raw(&thread(6, 3, 2)),
        raw(&socket(5, 0xa)),
        raw(&socket(5, 0xb)),
        raw(&socket(5, 0xa)),
        raw(&a),
        raw(&b),
        raw(&thread(5, 8, 1)),
        raw(&thread(6, 9, 2)),
        raw(&thread(7, 10, 1)),
    ];
    parts.concat()
}

fn merged(pieces: &[&[u8]]) -> Vec<KernelRow> {
    let (mut merger, mut rows) = (Merger::default(), Vec::new());
    merger.begin();
    for piece in pieces {
        merger.take(piece).unwrap();
    }
    merger.end().unwrap();
    merger.rows(&mut rows);
    rows
}

#[test]
fn what_belongs_together_is_added_up() {
    let rows = merged(&[&output()]);
    assert_eq!(rows.len(), 2, "threads without a leader are no process");
    assert_eq!((rows[0].cpu_ns, rows[0].voluntary), (101, 1010));
    assert_eq!(rows[0].leader_voluntary, 10);
    assert_eq!(rows[0].net_established, Some(2));
    assert_eq!(rows[1].disk_sleep, [3, 9]);
    assert_eq!((rows[1].cpu_ns, rows[1].net_established), (201, Some(0)));
}

#[test]
fn who_ends_is_left_out_and_what_was_not_counted_is_unknown() {
    let mut ending = process(5);
    ending.leader.flags = PF_EXITING;
    let mut zombie = process(6);
    zombie.leader.exit_state = 0x20;
    let kernel = ProcessRow {
        has_mm: 0,
        ..process(7)
    };
    let hidden = ProcessRow {
        tgid: 0,
        ..process(8)
    };
    let large = ProcessRow {
        fd_count: NOT_LOOKED_THROUGH,
        fds_seen: NOT_LOOKED_THROUGH,
        ..process(9)
    };
    let all = [ending, zombie, kernel, hidden, large];
    let rows = merged(&[bytemuck::cast_slice(&all)]);
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].fd_count, rows[0].net_established), (None, None));
}

#[test]
fn output_that_makes_no_sense_is_refused() {
    let mut merger = Merger::default();
    let odd = bytemuck::bytes_of(&header(9, 1)).to_vec();
    assert_eq!(merger.take(&odd), Err(MergeError::Kind(9)));
    let mut merger = Merger::default();
    merger.take(&output()[..100]).unwrap();
    assert!(matches!(merger.end(), Err(MergeError::LeftOver(_))));
}

#[test]
fn states_have_the_letters_that_proc_shows() {
    let letters = [
        (0, 0, b'R'),
        (1, 0, b'S'),
        (2, 0, b'D'),
        (0x102, 0, b'D'),
        (0x2001, 0, b'S'),
        (0x8000, 0, b'D'),
        (0x1000, 0, b'D'),
        (4, 0, b'T'),
        (8, 0, b't'),
        (0x402, 0, b'I'),
        (0x40, 0, b'P'),
        (0x80, 0x20, b'Z'),
        (0x80, 0x10, b'X'),
    ];
    for (state, exit_state, shown) in letters {
        assert_eq!(
            letter(state, exit_state),
            shown,
            "{state:#x} {exit_state:#x}"
        );
    }
}

proptest! {
    #[test]
    fn where_the_output_is_cut_makes_no_difference(cuts in proptest::collection::vec(0..2000_usize, 0..6)) {
        let output = output();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(output.len())).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut begin = 0;
        for cut in cuts {
            pieces.push(&output[begin..cut]);
            begin = cut;
        }
        pieces.push(&output[begin..]);
        prop_assert_eq!(merged(&pieces), merged(&[&output]));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let (mut merger, mut rows) = (Merger::default(), Vec::new());
        merger.begin();
        let _ = merger.take(&bytes);
        merger.rows(&mut rows);
    }
}
