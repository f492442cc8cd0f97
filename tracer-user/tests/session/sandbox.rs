//! Kernels and sandboxes that lack the newer system calls: the older ways are as safe.

use tracer::session::{
    enrollment::Enrollment,
    recorder::{EndOutcome, Recorder},
    status::{Status, examine},
    store::{SessionClaim, StoreError},
};

use crate::support::*;

/// From now on these system calls of this thread, and of threads it starts, give `errno`.
fn refuse(calls: [libc::c_long; 2], errno: u16) {
    let instruction = |code: u32, k: u32, jt: u8| libc::sock_filter {
        code: u16::try_from(code).expect("an opcode"),
        jt,
        jf: 0,
        k,
    };
    let [first, second] = calls.map(|call| u32::try_from(call).expect("a system call"));
    let mut program = [
        // The number is the first field of `seccomp_data`.
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, first, 2),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, second, 1),
        instruction(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0),
        instruction(
            libc::BPF_RET | libc::BPF_K,
            libc::SECCOMP_RET_ERRNO | u32::from(errno),
            0,
        ),
    ];
    let filter = libc::sock_fprog {
        len: 5,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: this prctl takes integers only.
    let locked = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(locked, 0);
    // SAFETY: `filter` points at a program of five instructions, both alive during the call.
    let set = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const filter,
        )
    };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

/// A whole session, and what must be refused, with the newer calls answered by `errno`.
fn whole_session_without_newer_calls(errno: i32) {
    let thread = std::thread::spawn(move || {
        let errno = u16::try_from(errno).expect("small");
        refuse([libc::SYS_openat2, libc::SYS_renameat2], errno);
        let dir = tempfile::tempdir().expect("a directory");
        let store = store_in(dir.path());
        let info = info(&store);
        let recorder = Recorder::create(&store, info.clone(), Seen::default()).expect("made");
        assert!(recorder.enroll(enrollment(info.session_id.as_str())));
        recorder.accept(fork(0));
        let report = recorder.finish(end("done"), soon());
        assert_eq!(report.end, EndOutcome::Durable);
        assert!(report.failures.is_empty(), "{report:?}");

        let path = store.session_path(&info.session_id);
        let enrolled = std::fs::read(path.join("enrollment.json")).expect("there");
        assert!(Enrollment::parse(&enrolled).is_ok());
        let session = store.existing_session(&info.session_id).expect("there");
        assert!(matches!(examine(&session).status, Status::Ended(_)));
        assert!(matches!(
            store.claim(&info.session_id),
            Ok(SessionClaim::Held(_))
        ));

        // What is there is never written over, and no symbolic link is followed.
        let again = Recorder::create(&store, info.clone(), Seen::default());
        assert!(again.is_err());
        std::fs::remove_file(path.join("lease")).expect("there");
        std::os::unix::fs::symlink("/etc/passwd", path.join("lease")).expect("made");
        let link = session.open_plain("lease", rustix::fs::OFlags::RDONLY);
        assert!(matches!(link, Err(StoreError::NotPlain { .. })), "{link:?}");
        let names = std::fs::read_dir(&path).expect("listed");
        assert_eq!(names.count(), 5);
        let strays = std::fs::read_dir(dir.path().join("state/sessions")).expect("listed");
        assert_eq!(strays.count(), 1);
    });
    thread.join().expect("as said");
}

#[test]
fn a_kernel_without_openat2_and_renameat2_makes_the_same_session() {
    whole_session_without_newer_calls(libc::ENOSYS);
}

#[test]
fn a_sandbox_that_forbids_openat2_and_renameat2_is_no_obstacle() {
    whole_session_without_newer_calls(libc::EPERM);
}
