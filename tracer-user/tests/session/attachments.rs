//! The caller's files: copied whole or not at all, and nothing but plain files.

use std::{
    cell::Cell,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tracer::session::{
    Store,
    attach_file::{AttachError, Copied, FILE_MAX, attach, attach_all, note},
    dir::Dir,
    journal::{
        info::Attachment,
        record::{Body, Record},
    },
    verify::verify,
};
use tracer::units::BootNs;

use crate::made::*;

const BEGAN: &str = "2026-11-21T05:45:12Z";

struct Case {
    room: tempfile::TempDir,
    store: Store,
    recorder: Live,
    dir: Dir,
}

impl Case {
    fn new() -> Self {
        let (room, store) = made();
        let info = info_at(&store, at(BEGAN));
        let recorder = going_on(&store, &info);
        let dir = store.existing_session(&info.session_id).expect("there");
        Self {
            room,
            store,
            recorder,
            dir,
        }
    }

    fn outside(&self, name: &str) -> PathBuf {
        self.room.path().join(name)
    }

    fn copy(&self, name: &str) -> PathBuf {
        self.dir.path().join("attachments").join(name)
    }

    /// Attaches and records what came of it, as an observer does.
    fn attach(&self, name: &str, path: &Path) -> Result<Copied, AttachError> {
        let file = file(name, path);
        let result = attach(&self.dir, &file, || true);
        self.recorder.accept(Record {
            t: BootNs(6_000_000_000),
            body: Body::Note(Box::new(note(&file, &result))),
        });
        result
    }

    fn copies(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.dir.path().join("attachments")) else {
            return Vec::new();
        };
        entries
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect()
    }
}

fn file(name: &str, path: &Path) -> Attachment {
    Attachment {
        name: name.to_owned(),
        path: path.as_os_str().as_bytes().to_vec(),
    }
}

#[test]
fn a_file_is_copied_privately_and_its_note_proves_it() {
    let case = Case::new();
    let content: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(case.outside("usage"), &content).expect("ours");
    std::fs::write(case.outside("empty"), "").expect("ours");
    let copied = case
        .attach("usage.bin", &case.outside("usage"))
        .expect("copied");
    assert_eq!(
        (copied.bytes, copied.crc32),
        (4_000_000, crc32fast::hash(&content))
    );
    assert!(copied.modified.is_some());
    assert_eq!(
        case.attach("empty", &case.outside("empty"))
            .expect("copied")
            .bytes,
        0
    );
    assert_eq!(
        std::fs::read(case.copy("usage.bin")).expect("there"),
        content
    );
    let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o7777;
    assert_eq!(mode(&case.copy("usage.bin")), 0o600);
    assert_eq!(
        mode(case.copy("usage.bin").parent().expect("a directory")),
        0o700
    );

    finish(&case.recorder, 2);
    let id = case.store.session_ids().expect("listed")[0];
    assert_eq!(verify(&case.store, &id).findings, []);
    std::fs::write(case.copy("empty"), "x").expect("ours");
    let broken = verify(&case.store, &id);
    assert!(!broken.holds());
    assert_eq!(broken.findings[0].file, "attachments/empty");
    assert!(
        broken.findings[0]
            .what
            .contains("changed after it was copied")
    );
    std::fs::remove_file(case.copy("empty")).expect("ours");
    assert!(!verify(&case.store, &id).holds());
}

#[test]
fn r7_only_what_is_a_plain_file_at_its_own_place_is_copied() {
    let case = Case::new();
    let secret = case.outside("secret");
    std::fs::write(&secret, "secret").expect("ours");
    let link = case.outside("link");
    std::os::unix::fs::symlink(&secret, &link).expect("ours");
    let pipe = case.outside("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).expect("ours");
    let socket = case.outside("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("ours");
    let started = Instant::now();
    for path in [
        &link,
        &pipe,
        &socket,
        case.room.path(),
        Path::new("/dev/zero"),
    ] {
        let refused = case.attach("a", path);
        assert!(
            matches!(refused, Err(AttachError::NotRegular)),
            "{}: {refused:?}",
            path.display()
        );
    }
    for path in [case.outside("none"), secret.join("below"), PathBuf::new()] {
        let refused = case.attach("a", &path);
        assert!(matches!(refused, Err(AttachError::Missing)), "{refused:?}");
    }
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "a pipe was waited for"
    );
    assert_eq!(case.copies(), [""; 0]);
}

#[test]
fn r7_a_name_out_of_a_record_is_no_path() {
    let case = Case::new();
    std::fs::write(case.outside("usage"), "x").expect("ours");
    let before = contents(case.room.path());
    for name in [
        "", ".", "..", "../lease", "/etc/x", "a/b", ".a", "a\0b", "a\nb",
    ] {
        let refused = attach(&case.dir, &file(name, &case.outside("usage")), || true);
        assert!(
            matches!(refused, Err(AttachError::Name(_))),
            "{name:?}: {refused:?}"
        );
    }
    assert_eq!(contents(case.room.path()), before);
}

#[test]
fn a_file_that_is_too_large_or_too_slow_is_not_copied_in_part() {
    let case = Case::new();
    let large = std::fs::File::create(case.outside("large")).expect("ours");
    large.set_len(FILE_MAX + 1).expect("sparse");
    let refused = case.attach("large", &case.outside("large"));
    assert!(
        matches!(refused, Err(AttachError::TooLarge { .. })),
        "{refused:?}"
    );

    std::fs::write(case.outside("slow"), vec![7; 3 << 20]).expect("ours");
    let looks = Cell::new(0);
    let refused = attach(&case.dir, &file("slow", &case.outside("slow")), || {
        looks.set(looks.get() + 1);
        looks.get() < 5
    });
    assert!(
        matches!(refused, Err(AttachError::OutOfTime)),
        "{refused:?}"
    );
    assert_eq!(case.copies(), [""; 0]);
    let notes = attach_all(
        &case.dir,
        &[file("slow", &case.outside("slow"))],
        Instant::now(),
    );
    assert_eq!(notes[0].data["result"], "out_of_time");
}

#[test]
fn a_copy_that_is_there_stays_and_what_a_crash_left_of_one_goes() {
    let case = Case::new();
    std::fs::write(case.outside("usage"), "first").expect("ours");
    let first = case
        .attach("usage", &case.outside("usage"))
        .expect("copied");
    std::fs::write(case.outside("usage"), "second, by another run").expect("ours");
    std::fs::write(case.copy(".audit.0123456789abcdef.tmp"), "half").expect("ours");
    let again = case.attach("usage", &case.outside("usage")).expect("there");
    assert!(again.is_same(&first));
    std::fs::remove_file(case.outside("usage")).expect("ours");
    assert!(
        case.attach("usage", &case.outside("usage"))
            .expect("there")
            .is_same(&first)
    );
    std::fs::write(case.outside("audit"), "whole").expect("ours");
    case.attach("audit", &case.outside("audit"))
        .expect("copied");
    let mut copies = case.copies();
    copies.sort_unstable();
    assert_eq!(copies, ["audit", "usage"]);
    assert_eq!(std::fs::read(case.copy("usage")).expect("there"), b"first");
}
