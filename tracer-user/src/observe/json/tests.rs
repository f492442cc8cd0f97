//! Where `--json` writes, and where it refuses to.

use std::{io::Read, os::unix::fs::PermissionsExt, path::PathBuf};

use rustix::fs::{self, Mode};

use super::*;

fn refusal(path: &Path) -> String {
    let error = open(path, Arc::default())
        .err()
        .expect("it must be refused");
    error.to_string()
}

#[test]
fn a_new_file_is_private_and_an_old_one_is_appended_to() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lines");
    open(&path, Arc::default())
        .unwrap()
        .write_all(b"one\n")
        .unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    open(&path, Arc::default())
        .unwrap()
        .write_all(b"two\n")
        .unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    // Whom the user has let in stays.
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);
}

#[test]
fn links_devices_and_other_peoples_files_are_refused_and_nothing_is_made_or_written() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("victim"), "as it was").unwrap();
    std::os::unix::fs::symlink(at("victim"), at("link")).unwrap();
    std::os::unix::fs::symlink(at("nothing"), at("dangling")).unwrap();
    assert!(refusal(&at("link")).contains("symbolic link"));
    assert!(refusal(&at("dangling")).contains("symbolic link"));
    assert!(!at("nothing").exists());
    std::fs::hard_link(at("victim"), at("second")).unwrap();
    assert!(refusal(&at("second")).contains("2 names"));
    assert_eq!(std::fs::read_to_string(at("victim")).unwrap(), "as it was");
    assert!(refusal(dir.path()).contains("neither a file nor a FIFO"));
    assert!(refusal(Path::new("/dev/zero")).contains("neither a file nor a FIFO"));
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    assert!(refusal(&at("socket")).contains("neither a file nor a FIFO"));
    assert!(refusal(Path::new("/")).contains("no file name"));
    assert!(
        rustix::process::geteuid().is_root(),
        "giving files away needs root"
    );
    for name in ["planted", "planted-fifo"] {
        if name == "planted" {
            std::fs::write(at(name), "").unwrap();
        } else {
            let (kind, mode) = (FileType::Fifo, Mode::RWXU);
            fs::mknodat(fs::CWD, at(name), kind, mode, 0).unwrap();
        }
        std::os::unix::fs::chown(at(name), Some(1234), None).unwrap();
        assert!(refusal(&at(name)).contains("uid 1234"));
    }
    // In a directory of theirs it is theirs to say.
    std::os::unix::fs::chown(dir.path(), Some(1234), None).unwrap();
    assert!(open(&at("planted"), Arc::default()).is_ok());
}

#[test]
fn a_descriptor_that_was_given_is_written_to_and_one_of_our_own_is_not() {
    use std::os::fd::AsRawFd as _;
    let (mut reader, writer) = std::io::pipe().unwrap();
    let path = PathBuf::from(format!("/dev/fd/{}", writer.as_raw_fd()));
    assert!(refusal(&path).contains("not given"));
    rustix::io::fcntl_setfd(&writer, rustix::io::FdFlags::empty()).unwrap();
    let mut sink = open(&path, Arc::default()).unwrap();
    sink.write_all(b"one\n").unwrap();
    drop((sink, writer));
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "one\n");
    assert!(open(Path::new("/dev/fd/99999"), Arc::default()).is_err());
}

#[test]
fn a_fifo_that_is_replaced_while_it_is_waited_for_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let path = fifo(&dir);
    let mut sink = open(&path, Arc::default()).unwrap();
    std::fs::write(dir.path().join("victim"), "as it was").unwrap();
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(dir.path().join("victim"), &path).unwrap();
    assert!(
        sink.write(b"x")
            .unwrap_err()
            .to_string()
            .contains("symbolic link")
    );
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "as it was").unwrap();
    assert!(
        sink.write(b"x")
            .unwrap_err()
            .to_string()
            .contains("replaced")
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "as it was");
}

fn fifo(dir: &tempfile::TempDir) -> PathBuf {
    let path = dir.path().join("fifo");
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
    rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0).unwrap();
    path
}

#[test]
fn a_fifo_that_nobody_reads_holds_up_neither_start_nor_end() {
    let dir = tempfile::tempdir().unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let mut sink = open(&fifo(&dir), Arc::clone(&over)).unwrap();
    over.store(true, Ordering::Relaxed);
    let error = sink.write(b"x").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENXIO));
}

#[test]
fn a_reader_that_comes_late_gets_every_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = fifo(&dir);
    let mut sink = open(&path, Arc::default()).unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        File::open(path).unwrap().read_to_string(&mut text).unwrap();
        text
    });
    sink.write_all(b"one\ntwo\n").unwrap();
    drop(sink);
    assert_eq!(reader.join().unwrap(), "one\ntwo\n");
}
