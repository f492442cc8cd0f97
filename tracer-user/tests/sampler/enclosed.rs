//! Processes in namespaces of their own, and below a root of their own: rows speak the observer's numbers.

use crate::{
    fixture::Fixture,
    kinds::both_ways,
    oracle::settle,
    roles::{prctl, ready_then_rest, rest, with_child},
};

/// Parts that shut themselves in.
pub(crate) fn play(name: &str, argument: &str) -> bool {
    match name {
        "unshare" => {
            unshare(argument.parse().unwrap());
            ready_then_rest("");
        }
        // For the namespaces that only children enter.
        "unshare-child" => {
            unshare(argument.parse().unwrap());
            with_child(inner_rest, true);
        }
        "pid-namespaces" => {
            unshare(libc::CLONE_NEWPID);
            let inner = || {
                prctl(libc::PR_SET_PDEATHSIG, 9);
                unshare(libc::CLONE_NEWPID);
                // SAFETY: this process has one thread, so the child may do what it likes.
                if unsafe { libc::fork() } == 0 {
                    inner_rest();
                    crate::roles::exit(0);
                }
                rest();
            };
            with_child(inner, true);
        }
        "chroot" => {
            std::os::unix::fs::chroot(argument).unwrap();
            std::env::set_current_dir("/").unwrap();
            ready_then_rest("");
        }
        _ => return false,
    }
    true
}

fn unshare(flag: libc::c_int) {
    // SAFETY: takes one flag; this process has one thread.
    let result = unsafe { libc::unshare(flag) };
    let error = std::io::Error::last_os_error();
    assert_eq!(result, 0, "unshare {flag:#x}: {error}");
}

fn inner_rest() {
    prctl(libc::PR_SET_PDEATHSIG, 9);
    rest();
}

fn namespace_of(pid: u32, name: &str) -> std::path::PathBuf {
    std::fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap()
}

fn enclosed(flag: libc::c_int, name: &str) {
    let fixture = Fixture::start(&format!("unshare:{flag}"));
    let process = settle(fixture.pid(), 'S');
    let own = namespace_of(std::process::id(), name);
    assert_ne!(namespace_of(fixture.pid(), name), own);
    both_ways(&process);
    fixture.finish();
}

#[test]
fn a_process_in_another_user_namespace() {
    enclosed(libc::CLONE_NEWUSER, "user");
}

#[test]
fn a_process_in_another_mount_namespace() {
    enclosed(libc::CLONE_NEWNS, "mnt");
}

#[test]
fn a_process_in_another_host_name_namespace() {
    enclosed(libc::CLONE_NEWUTS, "uts");
}

#[test]
fn a_process_in_another_ipc_namespace() {
    enclosed(libc::CLONE_NEWIPC, "ipc");
}

#[test]
fn a_process_in_another_cgroup_namespace() {
    enclosed(libc::CLONE_NEWCGROUP, "cgroup");
}

#[test]
fn a_process_in_another_time_namespace() {
    // CLONE_NEWTIME, uapi/linux/sched.h.
    let fixture = Fixture::start(&format!("unshare-child:{}", 0x80));
    let process = settle(fixture.named_pid(), 'S');
    let own = namespace_of(std::process::id(), "time");
    assert_ne!(namespace_of(fixture.named_pid(), "time"), own);
    both_ways(&process);
    fixture.finish();
}

#[test]
fn a_process_in_a_pid_namespace_below() {
    let fixture = Fixture::start(&format!("unshare-child:{}", libc::CLONE_NEWPID));
    let process = settle(fixture.named_pid(), 'S');
    let own = namespace_of(std::process::id(), "pid");
    assert_ne!(namespace_of(fixture.named_pid(), "pid"), own);
    let row = both_ways(&process);
    assert_eq!(row.ppid, Some(fixture.pid()));
    fixture.finish();
}

#[test]
fn a_process_in_a_pid_namespace_two_below() {
    let fixture = Fixture::start("pid-namespaces");
    let outer = settle(fixture.named_pid(), 'S');
    let outer = outer.task_main_thread().unwrap();
    let inner = outer.children().unwrap()[0];
    let row = both_ways(&settle(inner, 'S'));
    assert_eq!(row.ppid, Some(fixture.named_pid()));
    let [own, middle, inner] =
        [std::process::id(), fixture.named_pid(), inner].map(|pid| namespace_of(pid, "pid"));
    assert!(own != middle && middle != inner && own != inner);
    fixture.finish();
}

#[test]
fn a_process_below_another_root_directory() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::start(&format!("chroot:{}", dir.path().display()));
    let process = settle(fixture.pid(), 'S');
    let root = std::fs::read_link(format!("/proc/{}/root", fixture.pid())).unwrap();
    assert_eq!(root, dir.path().canonicalize().unwrap());
    both_ways(&process);
    fixture.finish();
}
