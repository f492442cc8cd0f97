//! `enrollment.json`: whose session it is, written once when the workload is pinned.
//!
//! It names the workload, or, when that could not be found, the root and the word `unresolved`.
//! Its last key is `crc`, as in a journal line: a damaged identity must not become another one.
//! Schema 3 is written; 1 and 2, whose caller's ids became labels, are read; others are refused by
//! name.

use std::{collections::BTreeMap, io};

use jiff::Timestamp;
use serde::{Deserialize, de::IgnoredAny};
use thiserror::Error;

use crate::{
    session::{
        journal::{
            encode::{put_count, put_field, put_number, put_object, put_serde, put_tail},
            info::ObserverInfo,
            reader::has_right_tail,
            text::{
                cmdline_from_text, key, parse_hex, put_bytes, put_cmdline, put_opt_u64, put_str,
            },
        },
        publish::{Existing, publish},
        store::{Dir, ENROLLMENT},
    },
    units::Ticks,
};

/// The schema that is written.
pub const SCHEMA: u64 = 3;
/// Longest file that is read.
pub const ENROLLMENT_MAX: u64 = 1 << 20;

/// Whose session it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrollment {
    /// The session; of schema 1 and 2 whatever they had.
    pub session_id: String,
    /// The workload, or the root when `unresolved`.
    pub pid: u32,
    /// Boot on which it ran.
    pub boot_id: String,
    /// Its start; `None` when it could not be read.
    pub starttime_ticks: Option<Ticks>,
    /// Its name, any bytes.
    pub comm: Vec<u8>,
    /// Its command line, NUL-separated.
    pub cmdline: Vec<u8>,
    /// Path of its image; empty when it could not be read.
    pub exe: Vec<u8>,
    /// When this was known.
    pub enrolled_at: Option<Timestamp>,
    /// Inode of its pid namespace.
    pub pid_ns: Option<u64>,
    /// Its user.
    pub uid: Option<u32>,
    /// Host name.
    pub hostname: String,
    /// The root.
    pub root_pid: Option<u32>,
    /// The root's start.
    pub root_starttime_ticks: Option<Ticks>,
    /// Who observes.
    pub observer: Option<ObserverInfo>,
    /// From `--label`.
    pub labels: BTreeMap<String, String>,
    /// Why the workload was not found.
    pub unresolved: Option<String>,
    /// Secrets in `cmdline` that were replaced.
    pub redacted: u32,
}

/// Why a file is not an enrollment.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum EnrollmentError {
    /// Not JSON, or a value of the wrong type.
    #[error("not an enrollment: {0}")]
    Malformed(String),
    /// Not what was written: its checksum is another one.
    #[error("the checksum of the enrollment is wrong: it was damaged or changed")]
    Checksum,
    /// Of a schema we do not know.
    #[error("enrollment schema {0} is not known; this version reads 1, 2 and 3")]
    Schema(u64),
}

impl Enrollment {
    /// The file's content.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        put_object(&mut out, |out| {
            put_number(out, key!("schema_version"), SCHEMA);
            put_field(out, key!("session_id"), &self.session_id);
            put_number(out, key!("pid"), self.pid.into());
            put_field(out, key!("boot_id"), &self.boot_id);
            put_optional(
                out,
                key!("starttime_ticks"),
                self.starttime_ticks.map(|ticks| ticks.0),
            );
            put_bytes(out, key!("comm"), key!("comm_hex"), &self.comm);
            put_cmdline(out, key!("cmdline"), key!("cmdline_hex"), &self.cmdline);
            put_bytes(out, key!("exe"), key!("exe_hex"), &self.exe);
            out.extend_from_slice(key!("enrolled_at"));
            match self.enrolled_at {
                Some(at) => put_str(out, &format!("{at:.6}")),
                None => out.extend_from_slice(b"null"),
            }
            put_optional(out, key!("pid_ns"), self.pid_ns);
            put_optional(out, key!("uid"), self.uid.map(u64::from));
            put_field(out, key!("hostname"), &self.hostname);
            put_optional(out, key!("root_pid"), self.root_pid.map(u64::from));
            let root_start = self.root_starttime_ticks.map(|ticks| ticks.0);
            put_optional(out, key!("root_starttime_ticks"), root_start);
            if let Some(observer) = &self.observer {
                out.extend_from_slice(key!("observer"));
                put_object(out, |out| {
                    put_number(out, key!("pid"), observer.pid.into());
                    let start = observer.starttime_ticks.map(|ticks| ticks.0);
                    put_optional(out, key!("starttime_ticks"), start);
                    put_field(out, key!("version"), &observer.version);
                    put_optional(out, key!("pid_ns"), observer.pid_ns);
                });
            }
            out.extend_from_slice(key!("labels"));
            put_object(out, |out| put_serde(out, &self.labels));
            if let Some(reason) = &self.unresolved {
                put_field(out, key!("unresolved"), reason);
            }
            put_count(out, key!("redacted"), self.redacted);
        });
        // The brace is the checksum's to write.
        out.pop();
        put_tail(&mut out, 0);
        out
    }

    /// Reads a file of schema 1, 2 or 3.
    ///
    /// # Errors
    /// [`EnrollmentError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, EnrollmentError> {
        let keys: Keys =
            serde_json::from_slice(bytes).map_err(|e| EnrollmentError::Malformed(e.to_string()))?;
        // Older schemas have none, and a file written by hand may. With the key gone the rest is as
        // it was: one flipped bit is either found or changes nothing.
        if keys.crc.is_some() && !has_right_tail(bytes.trim_ascii_end()) {
            return Err(EnrollmentError::Checksum);
        }
        match keys.schema_version {
            1..=3 => keys.enrollment(),
            other => Err(EnrollmentError::Schema(other)),
        }
    }

    /// Writes the file, unless one is there.
    ///
    /// # Errors
    /// What the system says; `AlreadyExists` when the session has its enrollment.
    pub fn write(&self, dir: &Dir) -> io::Result<()> {
        let content = self.encode();
        publish(dir, ENROLLMENT, Existing::Keep, |out| {
            out.write_all(&content)
        })
    }
}

fn put_optional(out: &mut Vec<u8>, key: &[u8], value: Option<u64>) {
    out.extend_from_slice(key);
    put_opt_u64(out, value);
}

#[derive(Deserialize)]
struct Keys {
    schema_version: u64,
    #[serde(default)]
    session_id: String,
    pid: u32,
    boot_id: String,
    starttime_ticks: Option<Ticks>,
    #[serde(default)]
    comm: String,
    comm_hex: Option<String>,
    #[serde(default)]
    cmdline: String,
    cmdline_hex: Option<String>,
    #[serde(default)]
    exe: String,
    exe_hex: Option<String>,
    enrolled_at: Option<String>,
    pid_ns: Option<u64>,
    uid: Option<u32>,
    #[serde(default)]
    hostname: String,
    root_pid: Option<u32>,
    root_starttime_ticks: Option<Ticks>,
    observer: Option<ObserverKeys>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    unresolved: Option<String>,
    #[serde(default)]
    redacted: u32,
    crc: Option<IgnoredAny>,
    kitchen_id: Option<String>,
    order_id: Option<String>,
}

#[derive(Deserialize)]
struct ObserverKeys {
    pid: u32,
    starttime_ticks: Option<Ticks>,
    #[serde(default)]
    version: String,
    pid_ns: Option<u64>,
}

impl Keys {
    fn enrollment(self) -> Result<Enrollment, EnrollmentError> {
        let mut labels = self.labels;
        let old = [("kitchen_id", self.kitchen_id), ("order_id", self.order_id)];
        for (key, value) in old {
            if let Some(value) = value {
                labels.entry(key.to_owned()).or_insert(value);
            }
        }
        let bad_hex = || EnrollmentError::Malformed("a hex key is not hex".to_owned());
        let bytes = |text: String, hex: Option<String>| match hex {
            Some(hex) => parse_hex(&hex).ok_or_else(bad_hex),
            None => Ok(text.into_bytes()),
        };
        let cmdline = match self.cmdline_hex {
            Some(hex) => parse_hex(&hex).ok_or_else(bad_hex)?,
            None => cmdline_from_text(&self.cmdline),
        };
        Ok(Enrollment {
            session_id: self.session_id,
            pid: self.pid,
            boot_id: self.boot_id.trim().to_owned(),
            starttime_ticks: self.starttime_ticks,
            comm: bytes(self.comm, self.comm_hex)?,
            cmdline,
            exe: bytes(self.exe, self.exe_hex)?,
            // A damaged time does not make the identity less certain.
            enrolled_at: self.enrolled_at.and_then(|text| text.parse().ok()),
            pid_ns: self.pid_ns,
            uid: self.uid,
            hostname: self.hostname,
            root_pid: self.root_pid,
            root_starttime_ticks: self.root_starttime_ticks,
            observer: self.observer.map(|keys| ObserverInfo {
                pid: keys.pid,
                starttime_ticks: keys.starttime_ticks,
                version: keys.version,
                pid_ns: keys.pid_ns,
                // The journal says it; nothing is derived from this file.
                rules: 1,
            }),
            labels,
            unresolved: self.unresolved,
            redacted: self.redacted,
        })
    }
}
