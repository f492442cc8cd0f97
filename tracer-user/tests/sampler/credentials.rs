//! Whose a process is, and what it may do: an observer that may read it says the same of all.

use std::os::unix::{
    fs::{PermissionsExt as _, chown},
    process::CommandExt as _,
};

use crate::{
    fixture::Fixture,
    kinds::{both_ways, resting},
    oracle::settle,
    roles::{prctl, ready, ready_then_rest},
};

const NOBODY: u32 = 65534;

/// Parts that differ in their ids and rights.
pub(crate) fn play(name: &str, _argument: &str) -> bool {
    match name {
        "three-ids" => {
            let id = rustix::fs::Uid::from_raw;
            // The real id last loses nothing: root stays the saved one.
            let (real, effective, saved) = (id(NOBODY), id(1), id(0));
            rustix::thread::set_thread_res_uid(real, effective, saved).unwrap();
            ready_then_rest("");
        }
        "powerless" => {
            let header = [0x2008_0522_u32, 0];
            let none = [0_u32; 6];
            // SAFETY: version 3 reads a header of two words and three words for each half.
            let result =
                unsafe { libc::syscall(libc::SYS_capset, &raw const header, &raw const none) };
            assert_eq!(result, 0);
            prctl(libc::PR_SET_DUMPABLE, 1);
            ready_then_rest("");
        }
        "confined" => {
            ready("");
            // From here on read, write, _exit and sigreturn alone; it is killed in its sleep.
            prctl(libc::PR_SET_SECCOMP, 1);
            loop {
                // SAFETY: reads no more than one byte into a byte of ours.
                unsafe { libc::read(0, (&raw mut *Box::new(0_u8)).cast(), 1) };
            }
        }
        _ => return false,
    }
    true
}

#[test]
fn a_setuid_program_started_by_another_user() {
    let dir = tempfile::tempdir().unwrap();
    let mode = |path: &std::path::Path, bits| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(bits)).unwrap();
    };
    mode(dir.path(), 0o755);
    let image = dir.path().join("image");
    std::fs::copy(std::env::current_exe().unwrap(), &image).unwrap();
    chown(&image, Some(1), None).unwrap();
    mode(&image, 0o4755);
    let mut command = std::process::Command::new(&image);
    command.uid(NOBODY).current_dir("/");
    let fixture = Fixture::spawn(&mut command, "rest");
    let process = settle(fixture.pid(), 'S');
    let status = process.status().unwrap();
    let ids = (status.ruid, status.euid, status.suid);
    assert_eq!(
        ids,
        (NOBODY, 1, 1),
        "needs a file system that lets setuid be"
    );
    both_ways(&process);
    fixture.finish();
}

#[test]
fn a_process_with_three_different_user_ids() {
    let fixture = Fixture::start("three-ids");
    let process = settle(fixture.pid(), 'S');
    let status = process.status().unwrap();
    assert_eq!((status.ruid, status.euid, status.suid), (NOBODY, 1, 0));
    both_ways(&process);
    fixture.finish();
}

#[test]
fn a_process_of_root_without_a_capability() {
    resting("powerless").0.finish();
}

#[test]
fn a_process_that_may_only_read_and_write() {
    let (fixture, _row) = resting("confined");
    let process = procfs::process::Process::new(fixture.pid().cast_signed()).unwrap();
    assert_eq!(process.status().unwrap().seccomp, Some(1));
}
