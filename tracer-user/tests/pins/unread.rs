//! What is in the ring when its observer is gone.

use std::{
    io::Write as _,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use aya::maps::MapData;
use tracer::{
    event::{Event, EventKind},
    probe::{
        attached::Attached,
        decode::{DecodeUnits, decode},
        loader::Settings,
        pin::{self, Reopened},
    },
    units::Tgid,
};

use crate::place::{OwnBpffs, STATE, attach};

const UNITS: DecodeUnits = DecodeUnits { page_kb: 4 };
const DEADLINE: Duration = Duration::from_secs(60);

/// A tracked shell that waits for a line before it goes on, and its probe.
fn observed(bpffs: &OwnBpffs, script: &str, settings: Settings) -> (Attached, Child) {
    let mut probe = attach(settings);
    probe.pin(&bpffs.pins(), "a", STATE.as_ref()).unwrap();
    let child = Command::new("sh")
        .args(["-c", &format!("read go; {script}")])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let adoption = probe.adopt(Tgid(child.id())).unwrap();
    assert!(
        adoption.converged() && adoption.adopted == 1,
        "{adoption:?}"
    );
    (probe, child)
}

fn go(child: &mut Child) {
    child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
}

/// As a kill does: every descriptor closed, the pins where they are.
fn die(mut probe: Attached) {
    probe.leave_pins();
    drop(probe);
}

fn reopen(bpffs: &OwnBpffs) -> Reopened {
    pin::reopen(&bpffs.pins(), "a").unwrap().unwrap()
}

fn exits(events: &[Event]) -> Vec<(u32, u32)> {
    let exit = |event: &Event| match &event.kind {
        EventKind::Exit(exit) => Some((exit.process.tgid.0, exit.status)),
        _ => None,
    };
    events.iter().filter_map(exit).collect()
}

/// Waits until the kernel has freed a map, which the programs hold as well.
fn until_freed(map: u32) {
    let begun = Instant::now();
    while MapData::from_id(map).is_ok() {
        assert!(begun.elapsed() < DEADLINE, "map {map} is still there");
        std::thread::yield_now();
    }
}

fn ring_id(bpffs: &OwnBpffs) -> u32 {
    let map = MapData::from_pin(bpffs.pins().join("a/EVENTS")).unwrap();
    map.info().unwrap().id()
}

#[test]
fn what_happens_while_nobody_observes_is_in_the_ring() {
    let bpffs = OwnBpffs::mount();
    let script = "i=0; while [ $i -lt 50 ]; do /bin/true; i=$((i+1)); done; sh -c 'exit 9'; exit 7";
    let (probe, mut child) = observed(&bpffs, script, Settings::default());
    let ring = ring_id(&bpffs);
    die(probe);
    go(&mut child);
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(7));

    let mut left = reopen(&bpffs);
    let unread = left.unread(UNITS).unwrap();
    assert_eq!(unread.undecodable, 0);
    assert_eq!(unread.counters.sent(), unread.events.len() as u64);
    assert_eq!(unread.counters.lost(), 0);
    assert_eq!(unread.alive, []);
    let ends = exits(&unread.events);
    assert_eq!(ends.len(), 52);
    assert_eq!(ends.last(), Some(&(child.id(), 0x700)));
    assert_eq!(ends.iter().filter(|end| end.1 == 0x900).count(), 1);
    // Reading takes nothing away: who reads and dies leaves the same to the next.
    drop(left);
    let mut left = reopen(&bpffs);
    assert_eq!(left.unread(UNITS).unwrap().events, unread.events);
    left.remove().unwrap();
    until_freed(ring);
}

#[test]
fn while_the_target_goes_on_nothing_is_counted_that_is_not_among_the_events() {
    let bpffs = OwnBpffs::mount();
    let storm = "i=0; while [ $i -lt 2500 ]; do (:); i=$((i+1)); done";
    let script = format!("for worker in 1 2 3 4; do ({storm}) & done; wait");
    let (probe, mut child) = observed(&bpffs, &script, Settings::default());
    die(probe);
    go(&mut child);
    let (mut looks, mut last) = (0, 0);
    while child.try_wait().unwrap().is_none() {
        let unread = reopen(&bpffs).unread(UNITS).unwrap();
        let (sent, found) = (unread.counters.sent(), unread.events.len() as u64);
        assert!(sent <= found, "look {looks}: {sent} sent, {found} found");
        looks += u32::from(found > last);
        last = found;
    }
    assert!(
        looks > 3,
        "{looks} looks, {last} events: the storm was over"
    );
}

#[test]
fn what_was_read_and_not_released_is_read_again_and_what_was_released_is_not() {
    let bpffs = OwnBpffs::mount();
    let (mut probe, mut child) =
        observed(&bpffs, "/bin/true; /bin/true; exit 3", Settings::default());
    let mut ring = probe.take_ring().unwrap().unwrap();
    go(&mut child);
    child.wait().unwrap();
    let mut read = Vec::new();
    let mut positions = Vec::new();
    while let Some(record) = ring.read_next() {
        read.push(decode(record, UNITS).unwrap());
        positions.push(ring.position());
    }
    assert!(read.len() > 5);
    assert!(!ring.is_unread() && ring.kept() > 0);
    ring.release(positions[1]);
    // Neither of these is a place to go back to, or on to.
    ring.release(positions[0]);
    ring.release(positions[positions.len() - 1] + 8);
    assert_eq!(ring.kept(), positions[positions.len() - 1] - positions[1]);
    drop(ring);
    die(probe);
    let mut left = reopen(&bpffs);
    assert_eq!(left.unread(UNITS).unwrap().events, read[2..]);
}

#[test]
fn a_ring_that_nobody_reads_overflows_and_says_by_how_much() {
    let bpffs = OwnBpffs::mount();
    let settings = Settings {
        ring_bytes: 4096,
        ..Settings::default()
    };
    let script = "i=0; while [ $i -lt 100 ]; do /bin/true; i=$((i+1)); done; exit 7";
    let (probe, mut child) = observed(&bpffs, script, settings);
    die(probe);
    go(&mut child);
    child.wait().unwrap();
    let unread = reopen(&bpffs).unread(UNITS).unwrap();
    let counters = unread.counters;
    assert_eq!(counters.sent(), unread.events.len() as u64);
    // The shell's adoption; 100 forks and execs; 101 exits. Signals to the shell come on top.
    let exit = usize::from(tracer_common::event::KIND_EXIT);
    assert_eq!(counters.sent[exit] + counters.ring_full[exit], 101);
    let fork = usize::from(tracer_common::event::KIND_FORK);
    assert_eq!(counters.sent[fork] + counters.ring_full[fork], 101);
    assert!(counters.ring_full[exit] > 50, "{counters:?}");
    assert_eq!(unread.alive, []);
}

#[test]
fn an_observer_that_takes_over_goes_on_where_the_first_stopped() {
    let bpffs = OwnBpffs::mount();
    let script = "/bin/true; read again; sh -c 'exit 4'; exit 5";
    let (probe, mut child) = observed(&bpffs, script, Settings::default());
    let ring = ring_id(&bpffs);
    die(probe);
    go(&mut child);
    let mut left = reopen(&bpffs);
    let begun = Instant::now();
    let mut events = Vec::new();
    while exits(&events).is_empty() {
        events.extend(left.unread(UNITS).unwrap().events);
        assert!(begun.elapsed() < DEADLINE);
    }
    let unread = left.unread(UNITS).unwrap();
    events.extend(unread.events);
    assert_eq!(unread.alive.len(), 1);
    assert_eq!(unread.alive[0].tgid.0, child.id());

    let mut probe = left.take_over(true).unwrap();
    assert_eq!(probe.observer().tgid_init, std::process::id());
    let mut ring_map = probe.take_ring().unwrap().unwrap();
    go(&mut child);
    assert_eq!(child.wait().unwrap().code(), Some(5));
    while let Some(record) = ring_map.read_next() {
        events.push(decode(record, UNITS).unwrap());
    }
    let statuses: Vec<u32> = exits(&events).iter().map(|exit| exit.1).collect();
    assert_eq!(statuses, [0, 0x400, 0x500]);
    assert_eq!(probe.losses().unwrap().sent(), events.len() as u64);
    drop((probe, ring_map));
    assert_eq!(pin::list(&bpffs.pins()).unwrap(), []);
    until_freed(ring);
}

#[test]
fn an_observer_that_takes_over_has_snapshots_and_leaves_the_pins_as_they_are() {
    let bpffs = OwnBpffs::mount();
    let (probe, mut child) = observed(&bpffs, "exit 5", Settings::default());
    die(probe);
    let pinned = || {
        let files = std::fs::read_dir(bpffs.pins().join("a")).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = pinned();
    let mut probe = reopen(&bpffs).take_over(true).unwrap();
    assert_eq!(probe.degraded(), []);
    let mut rows = Vec::new();
    for _ in 0..2 {
        assert!(probe.snapshot(&mut rows).unwrap());
        assert_eq!(rows.len(), 1, "{rows:?}");
        assert_eq!(rows[0].tgid.0, child.id());
    }
    assert_eq!(pinned(), before);
    go(&mut child);
    child.wait().unwrap();
    assert!(probe.snapshot(&mut rows).unwrap());
    assert_eq!(rows.len(), 0, "{rows:?}");
}

#[test]
fn around_the_maps_of_another_build_no_program_is_loaded_and_that_is_named() {
    let bpffs = OwnBpffs::mount();
    let (probe, mut child) = observed(&bpffs, "exit 5", Settings::default());
    die(probe);
    let mut probe = reopen(&bpffs).take_over(false).unwrap();
    let mut rows = Vec::new();
    assert!(!probe.snapshot(&mut rows).unwrap());
    let [lost] = probe.degraded() else {
        panic!("{:?}", probe.degraded())
    };
    assert_eq!(lost.name, "snapshots");
    assert!(lost.why.contains("another build"), "{lost:?}");
    go(&mut child);
    child.wait().unwrap();
}
