//! The files beside the journals: names, modes, and that what is derived is what the journals give.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader, Read, Write},
};

use rustix::{
    fs::{self, AtFlags, FileType, OFlags},
    io::Errno,
};
use serde_json::Value;

use super::rules::{Finding, Passed};
use crate::session::{
    SessionId, Store,
    attach_file::Copied,
    derive::{Fold, RULES},
    dir::{Dir, has_other_names},
    enrollment::{ENROLLMENT_MAX, Enrollment},
    index,
    journal::escape::pretty,
    publish::is_temporary,
    remove::is_ours,
    settle::{write_anomalies, write_trace},
    status::told,
    store::{ANOMALIES, ATTACHMENTS, ENROLLMENT, INDEX, PROC_TRACE, SUMMARY, StoreError},
    summary::{Summarizer, Summary},
};

/// Most bytes of a summary that are looked at for its version.
const SUMMARY_MAX: u64 = 4 << 20;

/// The rows of the index, the last one of each session; nothing when it cannot be read.
#[derive(Debug)]
pub struct Rows(Option<HashMap<String, Value>>);

impl Rows {
    /// Reads the index.
    #[must_use]
    pub fn read(store: &Store) -> Self {
        let id = |row: &Value| row["session_id"].as_str().unwrap_or_default().to_owned();
        let read = index::read(store).ok();
        Self(read.map(|(rows, _)| rows.into_iter().map(|row| (id(&row), row)).collect()))
    }
}

/// Everything is a file of ours that nobody else can read.
pub(super) fn check_names(dir: &Dir, held: bool, findings: &mut Vec<Finding>) {
    match fs::fstat(dir) {
        Ok(stat) if stat.st_mode & 0o7777 != 0o700 => {
            let mode = stat.st_mode & 0o7777;
            findings.push(Finding::broken(".", format!("mode {mode:04o}, not 0700")));
        }
        _ => {}
    }
    let names = match dir.names() {
        Ok(names) => names,
        Err(error) => return findings.push(Finding::broken(".", told(&error))),
    };
    for name in names {
        let Ok(stat) = fs::statat(dir, name.as_str(), AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        let mode = stat.st_mode & 0o7777;
        if name == ATTACHMENTS && kind == FileType::Directory {
            continue;
        }
        if !is_ours(&name) {
            findings.push(Finding::noted(name, "not a file of tracer's"));
        } else if kind != FileType::RegularFile || has_other_names(dir, &name, stat.st_nlink) {
            let what = "not a plain file with this name alone";
            findings.push(Finding::broken(name, what));
        } else if mode != 0o600 {
            findings.push(Finding::broken(name, format!("mode {mode:04o}, not 0600")));
        } else if is_temporary(&name) && !held {
            let what = "left unfinished by a crash; rebuild the session";
            findings.push(Finding::noted(name, what));
        }
    }
}

/// The enrollment is of this session and of the boot its journal speaks of.
pub(super) fn check_enrollment(
    dir: &Dir,
    id: &SessionId,
    passed: &Passed,
    findings: &mut Vec<Finding>,
) {
    let mut broken = |what: String| findings.push(Finding::broken(ENROLLMENT, what));
    let text = match read_small(dir, ENROLLMENT, ENROLLMENT_MAX) {
        // The disk may have refused it; the journal's first record says as much of the root.
        Ok(None) => return,
        Ok(Some(text)) => text,
        Err(why) => return broken(why),
    };
    let enrollment = match Enrollment::parse(&text) {
        Ok(enrollment) => enrollment,
        Err(error) => return broken(error.to_string()),
    };
    if enrollment.session_id != id.as_str() {
        broken(format!("it is of session {:?}", enrollment.session_id));
    }
    let Some(session) = &passed.session else {
        return;
    };
    if enrollment.boot_id != session.boot_id {
        broken("it is of another boot than the journal".to_owned());
    }
    if enrollment
        .root_pid
        .is_some_and(|pid| pid != session.root.pid)
    {
        broken("its root is not the journal's".to_owned());
    }
}

/// Each copy is there and is what its note says.
pub(super) fn check_attachments(dir: &Dir, passed: &Passed, findings: &mut Vec<Finding>) {
    let noted: Vec<Copied> = passed
        .attached
        .iter()
        .filter_map(Copied::from_note)
        .collect();
    for copied in &noted {
        let file = format!("{ATTACHMENTS}/{}", copied.name);
        match Copied::of_copy(dir, &copied.name) {
            Ok(found) if found.is_same(copied) => {}
            Ok(_) => findings.push(Finding::broken(file, "it was changed after it was copied")),
            Err(error) => findings.push(Finding::broken(file, error.to_string())),
        }
    }
    let there = dir
        .existing_child(ATTACHMENTS)
        .and_then(|attachments| attachments.names())
        .unwrap_or_default();
    for name in there {
        if !noted.iter().any(|copied| copied.name == name) {
            let file = format!("{ATTACHMENTS}/{name}");
            findings.push(Finding::noted(file, "no record says where it is from"));
        }
    }
}

/// By which rules the files were made.
#[derive(Debug, Clone, Copy)]
struct Made {
    /// The oldest that can be: those of the observer that ended the session.
    oldest: u32,
    /// As the file at hand says.
    said: u32,
}

impl Made {
    /// What a file is that is not what today's rules give. Old files are old and not broken; but
    /// nothing can be older than the session.
    fn differs(self, name: &str, what: &str) -> Finding {
        let Self { oldest, said } = self;
        if oldest > RULES {
            Finding::noted(name, format!("{what} (a later tracer ended it)"))
        } else if (oldest..RULES).contains(&said) {
            let what = "made by the rules of an older tracer; `tracer sessions rebuild` renews it";
            Finding::noted(name, what)
        } else {
            Finding::broken(name, what)
        }
    }
}

/// The version that a derived object names. Those before there was one do not.
fn version_of(value: &Value) -> u32 {
    let version = value.get("derived_version").map_or(Some(1), Value::as_u64);
    version
        .and_then(|version| u32::try_from(version).ok())
        .unwrap_or(u32::MAX)
}

/// The files of a session that has ended, and its row in the index. `oldest`: the rules by which whoever
/// ended it derived files.
pub(super) fn check_derived(
    dir: &Dir,
    summary: &Summary,
    oldest: u32,
    rows: &Rows,
    findings: &mut Vec<Finding>,
) {
    // A summary that cannot be read was made by no rules.
    let said = match read_small(dir, SUMMARY, SUMMARY_MAX) {
        Ok(Some(text)) => serde_json::from_slice(&text).map_or(u32::MAX, |v| version_of(&v)),
        Ok(None) | Err(_) => u32::MAX,
    };
    let made = Made { oldest, said };
    let mut compare = |name: &str, write: &dyn Fn(&mut dyn Write) -> io::Result<()>| {
        let found = match dir.open_plain(name, OFlags::RDONLY) {
            Ok(file) => same(file, write),
            Err(StoreError::Io {
                source: Errno::NOENT,
                ..
            }) => return findings.push(Finding::noted(name, "missing; rebuild the session")),
            Err(error) => return findings.push(Finding::broken(name, told(&error))),
        };
        match found {
            Ok(None) => {}
            Ok(Some(at)) => {
                let what = format!("not what the journal gives, from byte {at} on; rebuild it");
                findings.push(made.differs(name, &what));
            }
            Err(error) => findings.push(Finding::broken(name, error.to_string())),
        }
    };
    compare(SUMMARY, &|out| out.write_all(&pretty(summary)?));
    compare(PROC_TRACE, &|out| write_trace(dir, None, out));
    if summary.anomaly_count > 0 {
        compare(ANOMALIES, &|out| write_anomalies(dir, None, out));
    } else if dir.open_plain(ANOMALIES, OFlags::RDONLY).is_ok() {
        let what = "the journal has no anomalies; rebuild the session";
        findings.push(made.differs(ANOMALIES, what));
    }

    let Some(rows) = &rows.0 else {
        findings.push(Finding::noted(INDEX, "it cannot be read"));
        return;
    };
    match rows.get(&summary.session_id) {
        None => findings.push(Finding::noted(INDEX, "no row; rebuild the session")),
        Some(row) if *row == Summarizer::index_row(summary) => {}
        Some(row) => {
            let what = "the row is not what the journal gives; rebuild the session";
            let said = version_of(row);
            findings.push(Made { oldest, said }.differs(INDEX, what));
        }
    }
}

/// A file of at most `max` bytes; `None` when it is not there.
fn read_small(dir: &Dir, name: &str, max: u64) -> Result<Option<Vec<u8>>, String> {
    let file = match dir.open_plain(name, OFlags::RDONLY) {
        Err(StoreError::Io {
            source: Errno::NOENT,
            ..
        }) => return Ok(None),
        other => other.map_err(|error| told(&error))?,
    };
    let mut text = Vec::new();
    file.take(max)
        .read_to_end(&mut text)
        .map_err(|error| error.to_string())?;
    Ok(Some(text))
}

/// Where `file` begins to differ from what `write` produces; `None` when it does not.
fn same(
    file: File,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<Option<u64>> {
    let mut compared = Compared {
        file: BufReader::with_capacity(256 << 10, file),
        at: 0,
        differs: None,
        buffer: Vec::new(),
    };
    write(&mut compared)?;
    let mut rest = [0];
    if compared.differs.is_none() && compared.file.read(&mut rest)? > 0 {
        compared.differs = Some(compared.at);
    }
    Ok(compared.differs)
}

/// Takes bytes as if to write them, and compares them with those of a file.
struct Compared {
    file: BufReader<File>,
    at: u64,
    differs: Option<u64>,
    buffer: Vec<u8>,
}

impl Write for Compared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.differs.is_none() {
            self.buffer.clear();
            let wanted = bytes.len() as u64;
            let read = (&mut self.file)
                .take(wanted)
                .read_to_end(&mut self.buffer)?;
            let equal = self.buffer.iter().zip(bytes).take_while(|(a, b)| a == b);
            let equal = equal.count();
            if equal < bytes.len() || read < bytes.len() {
                self.differs = Some(self.at + equal as u64);
            }
            self.at += wanted;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
