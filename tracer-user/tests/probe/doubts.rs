//! Why an adoption is not sure to have found everybody: each reason, brought about on this kernel. That the
//! kernel skips a program cannot be brought about before Linux 7.0.

use std::time::{Duration, Instant};

use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
use tracer::{
    event::EventKind,
    probe::{
        attached::Doubts,
        loader::{Loader, Settings},
    },
    units::Tgid,
};

use crate::watch::{attach, drain, fork, hold, reap};

/// Long enough for any machine.
const DEADLINE: Duration = Duration::from_secs(60);
/// More children than are written down of one dying process.
const CHILDREN: u32 = 100;

fn pause() -> i32 {
    // SAFETY: waits to be killed.
    unsafe { libc::pause() };
    0
}

/// Ends the group that `leader` leads, and takes its status.
fn end(leader: i32) {
    // SAFETY: the group this test made.
    unsafe { libc::kill(-leader, libc::SIGKILL) };
    reap(leader, true);
}

fn lead_a_group() {
    // SAFETY: no memory involved.
    unsafe { libc::setpgid(0, 0) };
}

/// The built kernel side with one program whose first instruction is none.
fn with_nonsense_in(program: &str) -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/bpf/tracer.bpf.o");
    let mut bytes = std::fs::read(path).unwrap();
    let at = {
        let file = object::File::parse(&bytes[..]).unwrap();
        let symbol = file.symbol_by_name(program).unwrap();
        let section = symbol.section_index().unwrap();
        let section = file.section_by_index(section).unwrap();
        section.file_range().unwrap().0 + symbol.address()
    };
    bytes[usize::try_from(at).unwrap()] = 0xff;
    bytes
}

#[test]
fn where_the_kernel_refuses_a_program_that_watches_an_adoption_nobody_watched() {
    let loaded = Loader::new(Settings::default())
        .with_object(with_nonsense_in("adopt_born"))
        .load()
        .unwrap();
    let refused: Vec<_> = loaded.degraded().iter().map(|lost| &lost.name).collect();
    assert_eq!(refused, ["sched_wakeup_new"]);
    let mut probe = loaded.attach().unwrap();
    let held = hold(|| 0);
    let adoption = probe.adopt(Tgid(held.pid.cast_unsigned())).unwrap();
    let only = Doubts {
        unwatched: true,
        ..Doubts::default()
    };
    assert_eq!((adoption.doubts, adoption.adopted), (only, 1));
    assert!(!adoption.converged());
    reap(held.release(), true);
}

#[test]
fn whoever_had_no_room_in_the_map_is_a_reason() {
    const ALIVE: u64 = 20;
    const ROOM: u32 = 8;
    let mut probe = attach(Settings {
        tracked_max: ROOM,
        ..Settings::default()
    });
    let (ready, say_ready) = std::io::pipe().unwrap();
    let root = fork(move || {
        use std::io::Write as _;
        lead_a_group();
        for _ in 0..ALIVE {
            fork(pause);
        }
        (&say_ready).write_all(b"r").unwrap();
        pause()
    });
    std::io::Read::read_exact(&mut &ready, &mut [0]).unwrap();
    let adoption = probe.adopt(Tgid(root.cast_unsigned())).unwrap();
    let tracked = probe.tracked().unwrap().len();
    let mut ring = probe.take_ring().unwrap().unwrap();
    let known = ring.end();
    end(root);
    let mut events = Vec::new();
    drain(&mut ring, &mut events);

    // What was begun of those without room was given up again, and stands between the others.
    let forks = events.iter();
    let forks = forks.filter(|event| matches!(event.kind, EventKind::Fork(_)));
    assert_eq!(forks.count(), tracked);
    assert!(ring.is_read_to(known), "stuck at {}", ring.position());
    assert_eq!(adoption.adopted as usize, tracked, "{adoption:?}");
    // A hash may refuse a little before it is full, and every pass finds them again.
    assert!(tracked <= ROOM as usize, "{tracked}");
    let missing = ALIVE + 1 - tracked as u64;
    assert!(adoption.doubts.untracked >= missing, "{adoption:?}");
    let rest = Doubts {
        untracked: 0,
        ..adoption.doubts
    };
    assert_eq!(rest, Doubts::default());
    assert!(!adoption.converged());
}

#[test]
fn a_process_that_dies_with_more_children_than_are_written_down_is_a_reason() {
    let mut probe = attach(Settings::default());
    let root = fork(|| {
        lead_a_group();
        loop {
            let parent = fork(|| {
                for _ in 0..CHILDREN {
                    fork(|| 0);
                }
                0
            });
            reap(parent, true);
        }
    });
    let begun = Instant::now();
    let adoption = loop {
        let adoption = probe.adopt(Tgid(root.cast_unsigned())).unwrap();
        if !adoption.converged() || begun.elapsed() > DEADLINE {
            break adoption;
        }
    };
    end(root);

    assert!(adoption.doubts.unwritten > 0, "{adoption:?}");
    let rest = Doubts {
        unwritten: 0,
        ..adoption.doubts
    };
    assert_eq!(rest, Doubts::default());
}
