//! What things are called: pids in each namespace, files, arguments.

use std::{
    ffi::{CString, OsStr},
    fs,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _, process::CommandExt as _},
    process::Command,
};

use crate::watch::{fork, reap, watch};

#[test]
fn a_deeper_pid_namespace_is_seen_from_outside() {
    let seen = watch(|| {
        // SAFETY: no memory involved; needs root.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWPID) }, 0);
        let init = fork(|| {
            reap(fork(|| 4), true);
            i32::from(std::process::id() != 1)
        });
        reap(init, true).unwrap().0
    });
    seen.assert_whole();
    assert_eq!(seen.status, 0);
    let inner: Vec<_> = seen.forks().map(|fork| fork.child.inner).collect();
    assert_eq!(inner, [seen.root.cast_unsigned(), 1, 2]);
    // This test's own namespace may itself be a deep one; from here all have ordinary pids.
    assert!(
        seen.forks().all(|fork| fork.child.tgid.0 > 2),
        "{:?}",
        seen.events
    );
    let last = seen.exits().find(|exit| exit.status == 0x400).unwrap();
    assert_eq!(last.process.inner, 2);
    assert_eq!(last.parent.inner, 1);
}

#[test]
fn an_observer_in_a_pid_namespace_sees_the_pids_of_its_own() {
    let outer = fork(|| {
        // SAFETY: no memory involved; needs root.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWPID) }, 0);
        let status = reap(fork(observe_inside), true).unwrap().0;
        i32::from(status != 0)
    });
    assert_eq!(
        reap(outer, true).unwrap().0,
        0,
        "see the output of the child"
    );
}

/// Runs as process 1 of a new pid namespace.
fn observe_inside() -> i32 {
    let result = std::panic::catch_unwind(|| {
        let seen = watch(|| {
            reap(fork(|| 5), true);
            // SAFETY: no memory involved; needs root.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWPID) }, 0);
            reap(fork(|| 6), true);
            0
        });
        seen.assert_whole();
        for fork in seen.forks() {
            assert_ne!(
                fork.child.key.init, fork.child.tgid.0,
                "the initial namespace's pid"
            );
            assert!((2..100).contains(&fork.child.tgid.0), "{fork:?}");
            assert_eq!(fork.parent.tgid.0 == 1, fork.adopted, "{fork:?}");
        }
        let deeper = seen.exits().find(|exit| exit.status == 0x600).unwrap();
        assert_eq!(deeper.process.inner, 1);
        assert!(deeper.process.tgid.0 > 2);
    });
    i32::from(result.is_err())
}

#[test]
fn arguments_arrive_as_they_are() {
    let odd = OsStr::from_bytes(b"not utf-8 \xff\xfe, \n and a tab\t");
    let long = "x".repeat(100 << 10);
    let seen = watch(|| {
        let _ = Command::new("/bin/true")
            .arg(odd)
            .arg("")
            .arg("last")
            .status();
        let _ = Command::new("/bin/true").arg(&long).status();
        let _ = Command::new("/bin/true").arg0("another name").status();
        let _ = Command::new("/does/not/exist").status();
        0
    });
    seen.assert_whole();
    let execs: Vec<_> = seen.execs().collect();
    assert_eq!(execs.len(), 3, "a failed exec is none");
    let words: [&[u8]; 4] = [b"/bin/true", odd.as_bytes(), b"", b"last"];
    assert_eq!(execs[0].argv, words);
    assert_eq!((execs[0].argc, execs[0].argv_truncated), (4, false));
    assert_eq!(execs[0].filename, b"/bin/true");
    assert_eq!(execs[0].comm.as_bytes(), b"true");
    assert_eq!(execs[1].argv_bytes, 10 + (100 << 10) + 1);
    assert!(execs[1].argv_truncated);
    assert_eq!(execs[1].argv[1].len(), 2048 - 10);
    assert_eq!(execs[2].argv, [b"another name"]);
}

#[test]
fn a_filename_of_any_length_is_cut_only_when_too_long() {
    let seen = watch(|| {
        for length in [511, 512, 513, 2000] {
            // "/bin" and slashes and "/true": a longer name of the same file.
            let name = format!("/bin{}true", "/".repeat(length - 8));
            assert_eq!(name.len(), length);
            let _ = Command::new(name).status();
        }
        0
    });
    seen.assert_whole();
    let found: Vec<_> = seen
        .execs()
        .map(|exec| (exec.filename.len(), exec.filename_truncated))
        .collect();
    assert_eq!(
        found,
        [(511, false), (512, false), (512, true), (512, true)]
    );
    assert!(seen.execs().all(|exec| exec.argv.len() == 1));
}

#[test]
fn a_script_is_named_with_its_interpreter_in_front() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("a script");
    fs::write(&script, "#!/bin/sh -e\nexit 3\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let path = CString::new(script.as_os_str().as_bytes()).unwrap();
    let seen = watch(|| {
        let argv = [path.as_ptr(), c"one".as_ptr(), std::ptr::null()];
        // SAFETY: valid, NULL-terminated strings.
        unsafe { libc::execv(path.as_ptr(), argv.as_ptr()) };
        9
    });
    seen.assert_whole();
    assert_eq!(seen.exit_of(seen.root).status, 0x300);
    let exec = seen.execs().next().unwrap();
    assert_eq!(exec.filename, path.as_bytes());
    let words: [&[u8]; 4] = [b"/bin/sh", b"-e", path.as_bytes(), b"one"];
    assert_eq!(exec.argv, words);
}
