//! Parents, sessions and groups; and the processes that have no user space at all.

use procfs::process::{Process, StatFlags};

use crate::{
    fixture::{Fixture, row, wait_for},
    kinds::both_ways,
    oracle::settle,
    roles::{exit, prctl, ready_then_rest, rest},
};

/// Parts that differ in their relations.
pub(crate) fn play(name: &str, _argument: &str) -> bool {
    match name {
        "session-leader" => {
            rustix::process::setsid().unwrap();
            ready_then_rest("");
        }
        "group-leader" => {
            rustix::process::setpgid(None, None).unwrap();
            ready_then_rest("");
        }
        "adopting" => {
            prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
            let orphan = orphan();
            ready_then_rest(orphan);
            // SAFETY: the orphan is our child by now; a null status is allowed.
            unsafe { libc::waitpid(orphan, std::ptr::null_mut(), 0) };
        }
        "abandoning" => {
            let orphan = orphan();
            ready_then_rest(orphan);
        }
        _ => return false,
    }
    true
}

/// A grandchild whose parent has ended. It rests on the same standard input, so it ends with this process.
fn orphan() -> libc::pid_t {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    // SAFETY: this process has one thread, so the child may do what it likes.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        // SAFETY: as above.
        let orphan = unsafe { libc::fork() };
        if orphan == 0 {
            rest();
            exit(0);
        }
        rustix::io::write(&writer, &orphan.to_ne_bytes()).unwrap();
        exit(0);
    }
    let mut pid = [0; 4];
    assert_eq!(rustix::io::read(&reader, &mut pid).unwrap(), 4);
    // SAFETY: a null status is allowed.
    let reaped = unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    assert_eq!(reaped, child);
    libc::pid_t::from_ne_bytes(pid)
}

#[test]
fn the_leader_of_a_session() {
    let fixture = Fixture::start("session-leader");
    let process = settle(fixture.pid(), 'S');
    let stat = process.stat().unwrap();
    assert_eq!((stat.session, stat.tty_nr), (stat.pid, 0));
    both_ways(&process);
    fixture.finish();
}

#[test]
fn a_process_in_a_group_of_its_own() {
    let fixture = Fixture::start("group-leader");
    let process = settle(fixture.pid(), 'S');
    let stat = process.stat().unwrap();
    assert!(stat.pgrp == stat.pid && stat.session != stat.pid);
    both_ways(&process);
    fixture.finish();
}

#[test]
fn a_process_that_an_ancestor_adopted() {
    let fixture = Fixture::start("adopting");
    let row = both_ways(&settle(fixture.named_pid(), 'S'));
    assert_eq!(row.ppid, Some(fixture.pid()));
    fixture.finish();
}

#[test]
fn a_process_whose_parent_is_gone() {
    let fixture = Fixture::start("abandoning");
    let process = settle(fixture.named_pid(), 'S');
    let row = both_ways(&process);
    assert_ne!(row.ppid, Some(fixture.pid()));
    fixture.finish();
    let gone = || !process.is_alive() || process.stat().is_ok_and(|stat| stat.state == 'Z');
    wait_for("the orphan's end", gone);
}

#[test]
fn a_kernel_thread_has_no_memory_and_its_row_from_files_says_so() {
    let threads = procfs::process::all_processes().unwrap();
    let is_kernels = |process: &Process| {
        let flags = process.stat().and_then(|stat| stat.flags());
        flags.is_ok_and(|flags| flags.contains(StatFlags::PF_KTHREAD))
    };
    let thread = threads.map(Result::unwrap).find(is_kernels);
    let thread =
        thread.expect("needs the kernel's threads to be seen, as in the first pid namespace");
    let pid = thread.pid.cast_unsigned();
    let row = row(pid);
    let unread: Vec<_> = row.unread.keys().map(String::as_str).collect();
    assert_eq!(unread, ["vm_hwm_kb", "vm_rss_kb"], "{:?}", row.unread);
    assert_eq!((row.vm_rss_kb, row.vm_hwm_kb), (None, None));
    assert_eq!(
        row.comm.as_deref(),
        Some(thread.stat().unwrap().comm.as_str())
    );
    assert_eq!((row.threads, row.fd_count), (Some(1), Some(0)));
    assert_eq!(row.net_established, Some(0));
}
