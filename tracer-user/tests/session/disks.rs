//! The recorder and its store on real disks: full, limited, and laid out by someone else.

use std::{os::unix::fs::symlink, path::Path, process::Command};

use tracer::session::{
    StateDir, Store,
    recorder::{EndOutcome, Notice, Recorder},
    store::StoreError,
};

use crate::support::*;

/// A file system of a few pages; unmounted when dropped.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mounted(kilobytes: u32) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let status = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={kilobytes}k,mode=700"),
                "tmpfs",
            ])
            .arg(dir.path())
            .status()
            .expect("mount(8) is there");
        assert!(status.success(), "this test mounts a tmpfs: run it as root");
        Self(dir)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn n11_on_a_full_tmpfs_the_last_event_lands_when_space_is_freed_without_another_event() {
    let tmpfs = Tmpfs::mounted(512);
    let store = store_in(tmpfs.0.path());
    let recorder = Recorder::create(&store, info(&store), Seen::default()).expect("made");
    let ballast = tmpfs.0.path().join("ballast");
    std::fs::write(&ballast, vec![0_u8; 400 << 10]).expect("fits");
    recorder.accept_all(&mut (0..1_000).map(fork).collect());
    let mut told = Vec::new();
    wait_for("ENOSPC", || {
        told.extend(recorder.notices());
        !told.is_empty()
    });
    assert!(matches!(told[0], Notice::WriteFailed { .. }), "{told:?}");
    assert!(recorder.progress().written < 1_001);
    std::fs::remove_file(&ballast).expect("removed");
    wait_for("the last event", || recorder.progress().written == 1_001);
    let (entries, stats) = read_journal(recorder.path());
    assert!(stats.is_clean(), "{stats:?}");
    assert_eq!(entries[1_000].body, fork(999).body);
    let report = recorder.finish(end("done"), soon());
    assert_eq!(report.end, EndOutcome::Durable);
}

#[test]
fn a_session_that_cannot_begin_leaves_nothing() {
    let tmpfs = Tmpfs::mounted(64);
    let store = store_in(tmpfs.0.path());
    let ballast = tmpfs.0.path().join("ballast");
    // As much as there is; the write that does not fit says so.
    let _full = std::fs::write(&ballast, vec![0_u8; 64 << 10]);
    let refused = Recorder::create(&store, info(&store), Seen::default());
    let error = refused.err().expect("no room").to_string();
    assert!(
        error.contains(&*tmpfs.0.path().to_string_lossy()),
        "{error}"
    );
    assert_eq!(store.session_ids().expect("listed"), []);
}

const LIMITED: &str = "TRACER_TEST_LIMITED_STATE";

/// Records beyond its own file size limit.
#[test]
#[ignore = "the process that a_file_size_limit_is_a_full_disk_and_not_a_signal starts"]
fn limited() {
    let Some(state) = std::env::var_os(LIMITED) else {
        return;
    };
    let store = store_in(Path::new(&state));
    let recorder = Recorder::create(&store, info(&store), Seen::default()).expect("made");
    let limit = rustix::process::Rlimit {
        current: Some(40_000),
        maximum: None,
    };
    rustix::process::setrlimit(rustix::process::Resource::Fsize, limit).expect("lowered");
    recorder.accept_all(&mut (0..1_000).map(fork).collect());
    wait_for("EFBIG", || !recorder.notices().is_empty());
    let none = rustix::process::Rlimit {
        current: None,
        maximum: None,
    };
    rustix::process::setrlimit(rustix::process::Resource::Fsize, none).expect("raised");
    let report = recorder.finish(end("done"), soon());
    assert_eq!(report.end, EndOutcome::Durable);
    assert_eq!(read_journal(recorder.path()).0.len(), 1_002);
}

#[test]
fn a_file_size_limit_is_a_full_disk_and_not_a_signal() {
    let dir = tempfile::tempdir().expect("a directory");
    let output = Command::new(std::env::current_exe().expect("known"))
        .args(["--ignored", "--exact", "disks::limited"])
        .env(LIMITED, dir.path())
        .output()
        .expect("started");
    assert!(output.status.success(), "{output:?}");
}

fn open(path: &Path) -> Result<Store, StoreError> {
    Store::open(&StateDir::resolve(Some(path.to_path_buf()), |_| None, 0).expect("a flag"))
}

#[test]
fn a_state_directory_others_could_tamper_with_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a directory");
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("ours");
    };
    let open_to_all = dir.path().join("open");
    std::fs::create_dir(&open_to_all).expect("made");
    mode(&open_to_all, 0o777);
    assert!(matches!(
        open(&open_to_all),
        Err(StoreError::TooOpen { mode: 0o777, .. })
    ));
    let link = dir.path().join("link");
    symlink(dir.path(), &link).expect("made");
    assert!(matches!(open(&link), Err(StoreError::NotADirectory { .. })));
    let foreign = dir.path().join("foreign");
    std::fs::create_dir(&foreign).expect("made");
    std::os::unix::fs::chown(&foreign, Some(12_345), None).expect("root");
    assert!(matches!(
        open(&foreign),
        Err(StoreError::WrongOwner { owner: 12_345, .. })
    ));
    // The directory of sessions is as good a place for a trap.
    let inner = dir.path().join("inner");
    open(&inner).expect("fresh");
    std::fs::remove_dir(inner.join("sessions")).expect("empty");
    symlink("/tmp", inner.join("sessions")).expect("made");
    assert!(matches!(
        open(&inner),
        Err(StoreError::NotADirectory { .. })
    ));
}

#[test]
fn the_default_state_directory_depends_on_who_asks_and_is_refused_in_tests() {
    let env = |pairs: &'static [(&str, &str)]| {
        move |name: &str| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.into())
        }
    };
    let path = |pairs, uid| {
        StateDir::resolve(None, env(pairs), uid).map(|state| state.path().to_path_buf())
    };
    assert_eq!(path(&[], 0).expect("root"), Path::new("/var/lib/tracer"));
    let home: &[_] = &[("HOME", "/home/u")];
    assert_eq!(
        path(home, 7).expect("home"),
        Path::new("/home/u/.local/state/tracer")
    );
    let xdg: &[_] = &[("XDG_STATE_HOME", "/s"), ("HOME", "/home/u")];
    assert_eq!(path(xdg, 7).expect("xdg"), Path::new("/s/tracer"));
    assert!(matches!(
        path(&[("HOME", "relative")], 7),
        Err(StoreError::NoDefault)
    ));
    let refused: &[_] = &[("TRACER_REFUSE_DEFAULT_STATE", "1")];
    assert!(matches!(
        path(refused, 0),
        Err(StoreError::DefaultRefused { .. })
    ));
}
