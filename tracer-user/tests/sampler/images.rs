//! What a process was started from and what it calls itself.

use std::{io::Write as _, os::fd::AsRawFd as _, process::Command};

use tracer::{
    procfs::{ProcDir, ProcRoot},
    units::Tgid,
};

use crate::{
    fixture::Fixture,
    kinds::{both_ways, renamed, resting},
    oracle::settle,
    roles::ready_then_rest,
};

/// What the process overwrites its arguments with.
const TITLE: &[u8] = b"worker: idle";

/// Parts that change what they are called.
pub(crate) fn play(name: &str, _argument: &str) -> bool {
    match name {
        "retitled" => {
            retitle();
            ready_then_rest("");
        }
        "renamed-worker" => {
            named_by_worker("/proc/thread-self/comm");
        }
        "renamed-by-worker" => {
            named_by_worker(&format!("/proc/self/task/{}/comm", std::process::id()));
        }
        _ => return false,
    }
    true
}

/// A thread writes a name into a file, and rests.
fn named_by_worker(path: &str) {
    let (sender, receiver) = std::sync::mpsc::channel();
    let path = path.to_owned();
    let _worker = std::thread::spawn(move || {
        std::fs::write(path, "another").unwrap();
        sender.send(()).unwrap();
        loop {
            std::thread::park();
        }
    });
    receiver.recv().unwrap();
    ready_then_rest("");
}

/// Writes over its own arguments, as programs do that show what they are busy with.
fn retitle() {
    let line = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = line.rsplit_once(')').unwrap();
    // Fields 48 and 49 of proc_pid_stat(5); the first here is the third.
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let [begin, end] = [48, 49].map(|field| fields[field - 3].parse::<usize>().unwrap());
    assert!(end - begin > TITLE.len());
    // SAFETY: the argument area, which is on the stack and writable; nothing reads it any more.
    unsafe {
        let area = begin as *mut u8;
        area.write_bytes(0, end - begin);
        area.copy_from_nonoverlapping(TITLE.as_ptr(), TITLE.len());
    }
}

fn proc_dir(pid: u32) -> ProcDir {
    let root = ProcRoot::open("/proc").unwrap();
    root.process(Tgid(pid)).unwrap()
}

#[test]
fn an_image_that_never_was_a_file() {
    let name = "tracer-test";
    let memory = rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::empty()).unwrap();
    let mut memory = std::fs::File::from(memory);
    let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    memory.write_all(&bytes).unwrap();
    let path = format!("/proc/{}/fd/{}", std::process::id(), memory.as_raw_fd());
    let fixture = Fixture::start_from(path.as_ref(), "rest");
    both_ways(&settle(fixture.pid(), 'S'));
    let exe = proc_dir(fixture.pid()).exe().unwrap();
    assert!(exe.deleted);
    assert_eq!(exe.path.to_str(), Some("/memfd:tracer-test"));
    fixture.finish();
}

#[test]
fn a_command_line_of_half_a_mebibyte() {
    // Names of tests that do not exist.
    let long = "x".repeat(128 << 10).split_off(64);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([&long, &long, &long, &long]);
    let fixture = Fixture::spawn(&mut command, "rest");
    let process = settle(fixture.pid(), 'S');
    both_ways(&process);
    let told = proc_dir(fixture.pid()).cmdline().unwrap();
    assert!(told.iter().map(Vec::len).sum::<usize>() > 500 << 10);
    let truly = process.cmdline().unwrap().into_iter();
    assert!(told.into_iter().eq(truly.map(String::into_bytes)));
    fixture.finish();
}

#[test]
fn a_command_line_that_was_written_over() {
    let (fixture, _row) = resting("retitled");
    let told = proc_dir(fixture.pid()).cmdline().unwrap();
    assert_eq!(told[0], TITLE);
    assert!(told[1..].iter().all(Vec::is_empty));
    fixture.finish();
}

#[test]
fn a_comm_of_fifteen_bytes_is_whole_and_a_longer_one_cut() {
    let whole = "fifteen-bytes-x";
    for name in ["fifteen-bytes-x", "fifteen-bytes-x and more"] {
        assert_eq!(renamed(name.as_bytes()).comm.as_deref(), Some(whole));
    }
}

#[test]
fn a_comm_of_control_characters() {
    let odd: Vec<u8> = (1..32).chain([b'"', b'\'', 127]).collect();
    for name in odd.chunks(15) {
        let row = renamed(name);
        assert_eq!(row.comm.as_deref().map(str::as_bytes), Some(name));
    }
}

#[test]
fn a_comm_that_is_utf8_beyond_ascii() {
    let name = "señor µ 進"; // 13 bytes
    assert_eq!(renamed(name.as_bytes()).comm.as_deref(), Some(name));
}

#[test]
fn a_thread_that_renames_itself_leaves_the_processs_name() {
    let (plain, before) = resting("rest");
    let (fixture, row) = resting("renamed-worker");
    assert_eq!(row.comm, before.comm);
    plain.finish();
    fixture.finish();
}

#[test]
fn a_thread_may_rename_the_leader() {
    let (fixture, row) = resting("renamed-by-worker");
    assert_eq!(row.comm.as_deref(), Some("another"));
    fixture.finish();
}
