//! Where pins may be: a directory that is ours alone, on a bpffs.

use std::{
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use tracer::probe::{
    attached::Attached,
    loader::{Loaded, Loader, Settings},
    pin::{self, Found, PinError},
};

/// A state directory that nobody looks into.
pub(crate) const STATE: &str = "/state/of a.test";

/// A bpffs in a mount namespace that only this thread, and what it starts, is in.
pub(crate) struct OwnBpffs(TempDir);

impl OwnBpffs {
    pub(crate) fn mount() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let none = c"none".as_ptr();
        let at = std::ffi::CString::new(folder.path().to_str().unwrap()).unwrap();
        // SAFETY: the calling thread alone gets a mount namespace of its own.
        let result = unsafe { libc::unshare(libc::CLONE_NEWNS) };
        assert_eq!(result, 0, "these tests need root");
        // SAFETY: valid strings; only this thread's namespace changes.
        let result = unsafe {
            let private = libc::MS_REC | libc::MS_PRIVATE;
            libc::mount(
                none,
                c"/".as_ptr(),
                std::ptr::null(),
                private,
                std::ptr::null(),
            ) + libc::mount(none, at.as_ptr(), c"bpf".as_ptr(), 0, std::ptr::null())
        };
        assert_eq!(
            result,
            0,
            "mount -t bpf: {}",
            std::io::Error::last_os_error()
        );
        Self(folder)
    }

    /// The directory for pins.
    pub(crate) fn pins(&self) -> PathBuf {
        self.0.path().join("pins")
    }
}

impl Drop for OwnBpffs {
    fn drop(&mut self) {
        let at = std::ffi::CString::new(self.0.path().to_str().unwrap()).unwrap();
        // SAFETY: a valid string; the mount is this test's own.
        unsafe { libc::umount2(at.as_ptr(), libc::MNT_DETACH) };
    }
}

pub(crate) fn attach(settings: Settings) -> Attached {
    Loader::new(settings)
        .load()
        .and_then(Loaded::attach)
        .unwrap_or_else(|error| panic!("these tests need root and eBPF: {error}"))
}

fn files(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<_> = entries
        .map(|entry| name(entry).into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn pins_are_private_and_go_with_a_clean_end() {
    let bpffs = OwnBpffs::mount();
    let mut probe = attach(Settings::default());
    probe
        .pin(&bpffs.pins(), "2026.a-b", STATE.as_ref())
        .unwrap();
    assert!(probe.is_pinned());
    let session = bpffs.pins().join("2026_a-b");
    for folder in [&bpffs.pins(), &session] {
        let mode = folder.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o700, "{}", folder.display());
    }
    let there = files(&session);
    for name in [
        "COUNTERS", "EVENTS", "TRACKED", "on_exit", "on_fork", "who_am_i",
    ] {
        assert!(there.iter().any(|file| file == name), "{name}: {there:?}");
    }
    let found = [Found {
        session: "2026.a-b".to_owned(),
        in_use: true,
        state: Some(STATE.into()),
    }];
    assert_eq!(pin::list(&bpffs.pins()).unwrap(), found);
    drop(probe);
    assert_eq!(files(&bpffs.pins()), [""; 0]);
}

#[test]
fn pins_in_use_are_neither_reopened_nor_removed() {
    let bpffs = OwnBpffs::mount();
    let mut probe = attach(Settings::default());
    probe.pin(&bpffs.pins(), "a", STATE.as_ref()).unwrap();
    let error = pin::remove(&bpffs.pins(), "a").unwrap_err();
    assert!(matches!(error, PinError::InUse { .. }), "{error}");
    let error = pin::reopen(&bpffs.pins(), "a").unwrap_err();
    assert!(matches!(error, PinError::InUse { .. }), "{error}");
    probe.leave_pins();
    drop(probe);
    assert!(!pin::list(&bpffs.pins()).unwrap()[0].in_use);
    let held = pin::reopen(&bpffs.pins(), "a").unwrap().unwrap();
    assert!(pin::list(&bpffs.pins()).unwrap()[0].in_use);
    assert!(pin::reopen(&bpffs.pins(), "a").is_err());
    drop(held);
    assert!(pin::remove(&bpffs.pins(), "a").unwrap());
    assert!(!pin::remove(&bpffs.pins(), "a").unwrap());
    assert!(pin::reopen(&bpffs.pins(), "a").unwrap().is_none());
}

#[test]
fn a_directory_that_others_can_change_is_refused_and_tracking_goes_on() {
    let bpffs = OwnBpffs::mount();
    let mut probe = attach(Settings::default());
    let pins = bpffs.pins();
    let mut refused = |what: &str, is_it: fn(&PinError) -> bool| {
        let error = probe.pin(&pins, "a", STATE.as_ref()).unwrap_err();
        assert!(is_it(&error), "{what}: {error}");
        assert!(!probe.is_pinned());
    };
    std::fs::create_dir(&pins).unwrap();
    let mode = |mode| std::fs::set_permissions(&pins, PermissionsExt::from_mode(mode)).unwrap();
    mode(0o770);
    refused("group", |e| {
        matches!(e, PinError::TooOpen { mode: 0o770, .. })
    });
    mode(0o1777);
    refused("world", |e| matches!(e, PinError::TooOpen { .. }));
    mode(0o700);
    std::os::unix::fs::chown(&pins, Some(1234), None).unwrap();
    refused("owner", |e| {
        matches!(e, PinError::WrongOwner { owner: 1234, .. })
    });
    std::fs::remove_dir(&pins).unwrap();
    let elsewhere = pins.with_file_name("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, &pins).unwrap();
    refused("symlink", |e| matches!(e, PinError::NotADirectory { .. }));
    std::fs::remove_file(&pins).unwrap();
    std::fs::create_dir(&pins).unwrap();
    std::fs::set_permissions(&pins, PermissionsExt::from_mode(0o700)).unwrap();
    symlink(&elsewhere, pins.join("a")).unwrap();
    refused("the session's is a symlink", |e| {
        matches!(e, PinError::Io { .. })
    });
    std::fs::remove_file(pins.join("a")).unwrap();
    assert_eq!(files(&elsewhere), [""; 0]);
    probe.pin(&pins, "a", STATE.as_ref()).unwrap();
}

#[test]
fn names_that_lead_elsewhere_are_none() {
    let bpffs = OwnBpffs::mount();
    let mut probe = attach(Settings::default());
    for name in ["", "/", "a/b", "a\nb", "ä", "a\u{1b}[2J"] {
        assert!(
            probe.pin(&bpffs.pins(), name, STATE.as_ref()).is_err(),
            "{name:?}"
        );
        assert!(pin::remove(&bpffs.pins(), name).is_err(), "{name:?}");
    }
    assert_eq!(files(&bpffs.pins()), [""; 0]);
}
