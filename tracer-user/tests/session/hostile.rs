//! A state directory in which somebody has put what does not belong there: nothing hangs, nothing is
//! read or written elsewhere, and what is wrong is said.

use std::{
    fs::File,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{PermissionsExt, chown, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    sync::mpsc,
    time::{Duration, Instant},
};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tracer::session::{
    SessionId, Store, epochs, index, lease,
    recorder::Recorder,
    status::{Status, examine},
};

use crate::support::*;

/// What may stand where a file of a session should.
const KINDS: &[&str] = &[
    "symlink",
    "dangling",
    "loop",
    "hard link",
    "fifo",
    "device",
    "block device",
    "directory",
    "socket",
    "stranger's",
];

/// A session that was interrupted, in a room with a file that must never change.
struct Scene {
    dir: tempfile::TempDir,
    store: Store,
    id: SessionId,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("victim"), "as it was").expect("a file");
        let store = store_in(dir.path());
        let info = info(&store);
        let id = info.session_id;
        let recorder = Recorder::create(&store, info, Seen::default()).expect("a session");
        let _taken = recorder.accept(fork(1));
        drop(recorder);
        Self { dir, store, id }
    }

    fn victim(&self) -> PathBuf {
        self.dir.path().join("victim")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.store.session_path(&self.id).join(name)
    }

    /// Puts something else where the file `name` of the session is.
    fn replace(&self, name: &str, kind: &str) {
        let path = self.file(name);
        if path.exists() {
            std::fs::remove_file(&path).expect("it is a file");
        }
        plant(&path, kind, &self.victim());
    }

    /// Everything that looks at a session looks at this one, and the victim stays.
    fn look_at_everything(&self) -> Status {
        let store = store_in(self.dir.path());
        let id = self.id;
        let status = within(Duration::from_secs(20), move || {
            let ids = store.session_ids().expect("the store itself is sound");
            assert!(ids.contains(&id));
            let Ok(dir) = store.existing_session(&id) else {
                return Status::Corrupt("not opened".to_owned());
            };
            let examined = examine(&dir);
            let _refused = lease::is_taken(&dir);
            let _refused = lease::last_holder(&dir);
            let _refused = epochs::session_info(&dir);
            let _refused = epochs::replay(&dir, &mut Seen::default());
            let _refused = store.claim(&id);
            examined.status
        });
        assert_eq!(
            std::fs::read_to_string(self.victim()).expect("still a file"),
            "as it was"
        );
        status
    }
}

fn plant(path: &Path, kind: &str, victim: &Path) {
    let node =
        |kind, device| mknodat(CWD, path, kind, Mode::RUSR | Mode::WUSR, device).expect("root");
    match kind {
        "symlink" => symlink(victim, path).expect("a link"),
        "dangling" => symlink(victim.with_file_name("nothing"), path).expect("a link"),
        "loop" => symlink(path.file_name().expect("a name"), path).expect("a link"),
        "hard link" => std::fs::hard_link(victim, path).expect("a link"),
        "fifo" => node(FileType::Fifo, 0),
        // mem 5 is /dev/zero, which never ends.
        "device" => node(FileType::CharacterDevice, rustix::fs::makedev(1, 5)),
        "block device" => node(FileType::BlockDevice, rustix::fs::makedev(7, 4_000)),
        "directory" => std::fs::create_dir(path).expect("a directory"),
        "socket" => drop(UnixListener::bind(path).expect("a socket")),
        "stranger's" => {
            std::fs::write(path, "").expect("a file");
            chown(path, Some(54_321), None).expect("root");
        }
        other => panic!("{other}"),
    }
}

/// Runs `look` on a thread of its own: what hangs must fail, not hang the suite.
fn within<T: Send + 'static>(limit: Duration, look: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::sync_channel(1);
    let thread = std::thread::spawn(move || done.send(look()));
    let found = result.recv_timeout(limit);
    if let Err(mpsc::RecvTimeoutError::Disconnected) = found {
        std::panic::resume_unwind(thread.join().expect_err("it sent nothing"));
    }
    found.expect("it hangs")
}

#[test]
fn r7_nothing_that_stands_in_the_journals_place_is_read_followed_or_waited_for() {
    for kind in KINDS {
        let scene = Scene::new();
        scene.replace("journal.0.jsonl", kind);
        let status = scene.look_at_everything();
        assert!(matches!(status, Status::Corrupt(_)), "{kind}: {status:?}");
    }
}

#[test]
fn r7_nothing_that_stands_in_the_leases_place_makes_a_session_run_or_be_taken_over() {
    for kind in KINDS {
        let scene = Scene::new();
        scene.replace("lease", kind);
        let status = scene.look_at_everything();
        assert!(matches!(status, Status::Corrupt(_)), "{kind}: {status:?}");
        let claimed = scene.store.claim(&scene.id);
        assert!(claimed.is_err(), "{kind}: claimed over it");
    }
}

#[test]
fn r7_a_later_journal_that_is_none_of_ours_is_not_followed() {
    for kind in KINDS {
        let scene = Scene::new();
        scene.replace("journal.1.jsonl", kind);
        let status = scene.look_at_everything();
        assert!(
            !matches!(status, Status::Ended(_) | Status::Running),
            "{kind}: {status:?}"
        );
    }
}

#[test]
fn r7_a_session_that_is_a_link_or_open_to_others_is_not_entered() {
    let scene = Scene::new();
    let real = scene.store.session_path(&scene.id);
    let outside = scene.dir.path().join("outside");
    std::fs::rename(&real, &outside).expect("moved");
    let bytes = std::fs::read(outside.join("journal.0.jsonl")).expect("a journal");
    symlink(&outside, &real).expect("a link");
    assert!(scene.store.existing_session(&scene.id).is_err());
    assert!(scene.store.claim(&scene.id).is_err());
    // The list names what could be a session; a link is none.
    assert!(
        !scene
            .store
            .session_ids()
            .expect("readable")
            .contains(&scene.id)
    );
    assert_eq!(
        std::fs::read(outside.join("journal.0.jsonl")).expect("a journal"),
        bytes
    );
    std::fs::remove_file(&real).expect("the link");
    std::fs::rename(&outside, &real).expect("moved back");
    for (mode, owner) in [
        (0o777, 0),
        (0o770, 0),
        (0o720, 0),
        (0o702, 0),
        (0o700, 54_321),
    ] {
        std::fs::set_permissions(&real, PermissionsExt::from_mode(mode)).expect("ours");
        chown(&real, Some(owner), None).expect("root");
        assert!(
            scene.store.existing_session(&scene.id).is_err(),
            "{mode:o} of {owner}"
        );
    }
    chown(&real, Some(0), None).expect("root");
    std::fs::set_permissions(&real, PermissionsExt::from_mode(0o700)).expect("ours");
    assert!(scene.store.existing_session(&scene.id).is_ok());
}

#[test]
fn names_that_are_no_ids_are_left_out_and_stop_nothing() {
    let scene = Scene::new();
    let sessions = scene.dir.path().join("state/sessions");
    let id = scene.id.as_str();
    let names: Vec<Vec<u8>> = [
        "x",
        ".x.new",
        "a\nb",
        "\u{1b}[2J",
        "..x",
        "-rf",
        "*",
        "20261121T054512.123456Z-0A1B2C3D",
    ]
    .iter()
    .map(|name| name.as_bytes().to_vec())
    .chain([
        format!("{id}\n").into_bytes(),
        format!(".{id}").into_bytes(),
        format!("{id}.").into_bytes(),
        format!("{id}\u{202e}").into_bytes(),
        [id.as_bytes(), b"\xff"].concat(),
        vec![b'y'; 255],
    ])
    .collect();
    for name in &names {
        std::fs::create_dir(sessions.join(std::ffi::OsStr::from_bytes(name))).expect("a directory");
    }
    let ids = scene.store.session_ids().expect("readable");
    assert_eq!(ids, [scene.id]);
    assert!(matches!(scene.look_at_everything(), Status::Interrupted));
}

#[test]
fn files_of_any_size_are_read_up_to_their_bound() {
    let scene = Scene::new();
    let hole = |path: &Path, bytes: u64| {
        let file = File::options()
            .create(true)
            .append(true)
            .open(path)
            .expect("a file");
        let there = file.metadata().expect("a file").len();
        file.set_len(there + bytes).expect("a sparse file");
    };
    // A hole of a terabyte costs nothing to make and hours to read.
    hole(&scene.file("lease"), 1 << 40);
    hole(&scene.file("enrollment.json"), 1 << 40);
    hole(&scene.file("summary.json"), 1 << 40);
    let (store, id) = (store_in(scene.dir.path()), scene.id);
    within(Duration::from_secs(20), move || {
        let dir = store.existing_session(&id).expect("it is there");
        let _told = lease::last_holder(&dir);
        let _told = examine(&dir);
        let _claimed = store.claim(&id);
    });
    hole(&scene.file("journal.0.jsonl"), 1 << 40);
    let (store, id) = (store_in(scene.dir.path()), scene.id);
    let status = within(Duration::from_secs(20), move || {
        examine(&store.existing_session(&id).expect("it is there")).status
    });
    assert!(
        !matches!(status, Status::Ended(_) | Status::Running),
        "{status:?}"
    );
}

#[test]
fn an_index_row_as_deep_as_it_is_long_is_one_bad_row() {
    let scene = Scene::new();
    let row = serde_json::json!({ "session_id": "x" });
    let deep = [&b"{\"x\":"[..], &b"[".repeat(500_000), b"\n"].concat();
    std::fs::write(scene.dir.path().join("state/sessions.jsonl"), deep).expect("a file");
    index::append(&scene.store, &row, Instant::now() + Duration::from_secs(20)).expect("a row");
    assert_eq!(index::read(&scene.store).expect("readable"), (vec![row], 1));
}

#[test]
fn a_lease_full_of_nonsense_is_a_lease_without_a_holder() {
    for nonsense in [
        &b""[..],
        b"\0\0\0",
        b"{}\n",
        b"[[[[\n",
        b"\xff\n\n\n{\"session_id\":7}\n",
    ] {
        let scene = Scene::new();
        // Same file: whoever has the lock has it on this one.
        std::fs::write(scene.file("lease"), nonsense).expect("a file");
        assert!(matches!(scene.look_at_everything(), Status::Interrupted));
    }
}

#[test]
fn r7_an_index_that_is_something_else_is_neither_read_nor_written() {
    for kind in KINDS {
        let scene = Scene::new();
        plant(
            &scene.dir.path().join("state/sessions.jsonl"),
            kind,
            &scene.victim(),
        );
        let store = store_in(scene.dir.path());
        let (read, written) = within(Duration::from_secs(20), move || {
            let row = serde_json::json!({ "session_id": "x" });
            let soon = Instant::now() + Duration::from_secs(10);
            (
                index::read(&store).is_err(),
                index::append(&store, &row, soon).is_err(),
            )
        });
        // Nobody else can put a file of theirs into a directory that only we may write to.
        let written = written || *kind == "stranger's";
        assert!(
            read && written,
            "{kind}: read refused {read}, append refused {written}"
        );
        let victim = std::fs::read_to_string(scene.victim()).expect("still a file");
        assert_eq!(victim, "as it was", "{kind}");
    }
}
