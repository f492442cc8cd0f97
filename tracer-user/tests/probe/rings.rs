//! A ring of the running kernel, read where it is hard: around its end, across the pages that are mapped,
//! with records that are kept.

use std::process::Command;

use tracer::{event::EventKind, probe::loader::Settings, units::Tgid};

use crate::watch::{Reading, attach, drain, fork, hold, reap, wait_for, watch_with};

/// Twice what is mapped of the data at once, so that the mapping has to move.
const RING: u32 = 2 << 20;
/// Enough for the ring to go round twice.
const EXECS: usize = 2500;

/// The arguments of the exec with this number: of another length, and so at another place, each time.
fn words(n: usize) -> [String; 3] {
    let letter = char::from(b'a' + u8::try_from(n % 26).unwrap());
    let word = letter.to_string().repeat(1800 + n % 101);
    ["true".to_owned(), n.to_string(), word]
}

fn execute(n: usize) {
    let [_, number, word] = words(n);
    let status = Command::new("/bin/true").args([number, word]).status();
    assert!(status.unwrap().success());
}

#[test]
fn records_are_whole_wherever_they_lie_in_the_ring() {
    let settings = Settings {
        ring_bytes: RING,
        ..Settings::default()
    };
    let seen = watch_with(settings, Reading::Live, || {
        (0..EXECS).for_each(execute);
        0
    });
    seen.assert_whole();
    let mut bytes = 0;
    for (n, exec) in seen.execs().enumerate() {
        let [_, number, word] = words(n);
        assert_eq!(exec.argv[1..], [number.as_bytes(), word.as_bytes()]);
        bytes += exec.argv_bytes;
    }
    assert_eq!(seen.execs().count(), EXECS);
    assert!(bytes > 2 * u64::from(RING), "{bytes}: this proves nothing");
}

#[test]
fn what_is_kept_stays_in_the_ring_until_it_is_released_and_never_comes_back() {
    let mut probe = attach(Settings::default());
    let mut ring = probe.take_ring().unwrap().unwrap();
    let held = hold(|| {
        for _ in 0..50 {
            reap(fork(|| 0), true);
        }
        0
    });
    let root = held.pid;
    probe.adopt(Tgid(root.cast_unsigned())).unwrap();
    let before = ring.position();
    assert!(ring.is_unread() && ring.end() > before);
    assert!(!ring.is_read_to(ring.end()));
    held.release();
    reap(root, true);
    wait_for("the end of all", || probe.tracked().unwrap().is_empty());

    let known = ring.end();
    let mut positions = vec![before];
    while ring.read_next().is_some() {
        positions.push(ring.position());
        // Reached when all before it was read, and not earlier.
        assert_eq!(ring.is_read_to(known), ring.position() >= known);
    }
    // The root adopted, fifty forks, the ends of all; their signals, and accounts that come later.
    assert!(positions.len() > 102, "{}", positions.len());
    let end = ring.position();
    assert!(end >= known);
    assert_eq!(ring.kept(), end - before);

    let (early, middle) = (positions[10], positions[60]);
    ring.release(middle);
    assert_eq!(ring.kept(), end - middle);
    // Neither backwards nor beyond what was read.
    ring.release(early);
    assert_eq!(ring.kept(), end - middle);
    ring.release(end + 8);
    assert_eq!(ring.kept(), end - middle);
    // What was released up to here already.
    ring.release(middle);
    assert_eq!(ring.kept(), end - middle);
    ring.release(end);
    assert_eq!(ring.kept(), 0);
    assert_eq!(ring.size(), Settings::default().ring_bytes as usize);

    // And it goes on from there.
    let held = hold(|| 0);
    probe.adopt(Tgid(held.pid.cast_unsigned())).unwrap();
    let mut events = Vec::new();
    drain(&mut ring, &mut events);
    let forks = events.iter().filter_map(|event| match &event.kind {
        EventKind::Fork(fork) => Some(fork.child.tgid.0.cast_signed()),
        _ => None,
    });
    assert_eq!(forks.collect::<Vec<_>>(), [held.pid]);
    reap(held.release(), true);
}
