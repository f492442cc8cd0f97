//! The options that `run` and `attach` share.

use std::{
    collections::BTreeMap, ffi::OsString, fmt::Write as _, os::unix::ffi::OsStringExt,
    path::PathBuf, time::Duration,
};

use anyhow::{Context, bail, ensure};
use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::{
    anomaly::thresholds::{self, ThresholdError},
    config::{AttachFile, Durability, JsonSink, ObserveConfig, Show},
    session::attach_file::{ATTACHMENTS_MAX, check_name},
};

/// Shortest interval between snapshots: below it a tick would not end before the next.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

/// `--durability`. A killed tracer loses nothing either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum When {
    None,
    Interval,
    Always,
}

/// Finished sessions that are kept unless the user says otherwise.
pub(super) const KEEP: u32 = 500;

/// Options of every observation.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Pin the process of this name as the workload: its comm, or the file name of its program or
    /// script
    #[arg(long, value_name = "NAME")]
    expect: Option<OsString>,

    /// Time between snapshots, such as 500ms, 5s or 2m
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    interval: Duration,

    /// Read what is dear (sockets, threads, places of waiting, cgroups) at every N-th snapshot only, as far
    /// as it has to be read from /proc
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    slow_every: u32,

    /// Store key=value with the session; may be given again
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,

    #[expect(clippy::doc_markdown, reason = "the text of --help, printed as it is")]
    /// Keep sessions here [default: /var/lib/tracer for root, $XDG_STATE_HOME/tracer otherwise]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,

    /// Pin the kernel side here, in a directory on a bpffs, so that it outlives a killed tracer
    /// [default: /sys/fs/bpf/tracer]
    #[arg(long, value_name = "DIR")]
    bpffs: Option<PathBuf>,

    /// Copy FILE into the session at its end, as attachments/NAME; may be given again
    #[arg(long = "attach-file", value_name = "NAME=FILE", value_parser = OsStringValueParser::new().try_map(attach_file))]
    attach_files: Vec<AttachFile>,

    #[expect(clippy::doc_markdown, reason = "the text of --help, printed as it is")]
    /// Change when anomalies are reported, such as high_cpu_percent=95; may be given again
    #[arg(long = "threshold", value_name = "KEY=VALUE", value_parser = threshold, long_help = thresholds_help())]
    thresholds: Vec<(&'static str, f64)>,

    /// Keep this many finished sessions, the ones that ended last; 0 keeps all
    #[arg(long, value_name = "COUNT", default_value_t = KEEP)]
    keep: u32,

    /// When records are made safe from a power failure: at the end, every 5 seconds, or each at once
    #[arg(long, value_enum, value_name = "WHEN", default_value = "interval")]
    durability: When,

    /// Write each record as a JSON line, to standard output or to FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    json: Option<PathBuf>,

    /// Record command lines as they are, also what looks like a password or token in them
    #[arg(long)]
    no_redact: bool,

    /// Print a line for each event
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,

    /// Print nothing but errors
    #[arg(short, long)]
    quiet: bool,

    /// Size of the kernel's event buffer in bytes, a power of two
    #[arg(long, value_name = "BYTES", default_value_t = tracer_common::limits::RING_BYTES, hide = true)]
    ring_bytes: u32,
}

impl Options {
    pub(super) fn into_config(self) -> anyhow::Result<ObserveConfig> {
        ensure!(
            self.interval >= INTERVAL_MIN,
            "--interval {:?} is too short: give 10ms or more",
            self.interval
        );
        ensure!(
            self.ring_bytes.is_power_of_two() && self.ring_bytes >= 4096,
            "--ring-bytes {} does not fit: give a power of two of at least 4096",
            self.ring_bytes
        );
        let mut labels = BTreeMap::new();
        for (key, value) in self.labels {
            if labels.insert(key.clone(), value).is_some() {
                bail!("--label {key} is given twice: a session has one value for each key");
            }
        }
        let expect = self.expect.map(OsStringExt::into_vec);
        if let Some(name) = &expect {
            ensure!(
                !name.is_empty() && !name.contains(&b'/'),
                "--expect takes a name such as python3, not a path and not nothing"
            );
        }
        for (at, file) in self.attach_files.iter().enumerate() {
            let mut before = self.attach_files[..at].iter();
            ensure!(
                before.all(|other| other.name != file.name),
                "--attach-file {} is given twice: each copy needs a name of its own",
                file.name
            );
        }
        ensure!(
            self.attach_files.len() <= ATTACHMENTS_MAX,
            "--attach-file is given {} times: a session keeps up to {ATTACHMENTS_MAX} files",
            self.attach_files.len()
        );
        let mut thresholds = BTreeMap::new();
        for (key, value) in self.thresholds {
            if thresholds.insert(key.to_owned(), value).is_some() {
                bail!("--threshold {key} is given twice: give each key one value");
            }
        }
        Ok(ObserveConfig {
            expect,
            interval: self.interval,
            slow_every: self.slow_every,
            labels,
            state_dir: self.state_dir,
            bpffs: self.bpffs,
            json: self
                .json
                .map(|path| match path.as_os_str().as_encoded_bytes() {
                    b"-" => JsonSink::Stdout,
                    _ => JsonSink::File(path),
                }),
            redact: !self.no_redact,
            show: match (self.quiet, self.verbose) {
                (true, _) => Show::Nothing,
                (false, true) => Show::Events,
                (false, false) => Show::Block,
            },
            durability: match self.durability {
                When::None => Durability::None,
                When::Interval => Durability::default(),
                When::Always => Durability::Always,
            },
            ring_bytes: self.ring_bytes,
            attach_files: self.attach_files,
            keep: self.keep,
            thresholds,
        })
    }
}

/// `500ms`, `5s`, `1m 30s`: a length of time above 0.
pub(super) fn duration(text: &str) -> anyhow::Result<Duration> {
    let signed: jiff::SignedDuration = text
        .parse()
        .with_context(|| "give a number and a unit, such as 500ms, 5s or 2m")?;
    let length = Duration::try_from(signed).context("a length of time cannot be negative")?;
    ensure!(!length.is_zero(), "a length of time must be above 0");
    Ok(length)
}

fn threshold(text: &str) -> Result<(&'static str, f64), ThresholdError> {
    thresholds::parse(text)
}

/// The text of `--help`, with the table.
fn thresholds_help() -> String {
    let mut text = "Change when anomalies are reported; may be given again\n\nKeys:\n".to_owned();
    for row in &thresholds::TABLE {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {} [{} {}]", row.name, row.default, row.unit);
        for line in wrapped(row.meaning, MEANING_WIDTH) {
            let _ = writeln!(text, "      {line}");
        }
    }
    text
}

/// Columns for what a threshold means: 80 without what stands before it. clap would go on in the first
/// column of the table.
const MEANING_WIDTH: usize = 80 - 10 - 6;

/// Lines of at most so many letters, broken between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

pub(super) fn label(text: &str) -> anyhow::Result<(String, String)> {
    let (key, value) = text.split_once('=').context("give it as key=value")?;
    ensure!(!key.is_empty(), "the key before = is missing");
    Ok((key.to_owned(), value.to_owned()))
}

/// `NAME=FILE`: what the copy is called, and the file, which need not be there yet.
fn attach_file(text: OsString) -> anyhow::Result<AttachFile> {
    // A path is any bytes, a name is text.
    let mut name = text.into_vec();
    let equals = name.iter().position(|&byte| byte == b'=');
    let equals = equals.context("give it as NAME=FILE, such as usage.json=/tmp/usage.json")?;
    let path = OsString::from_vec(name.split_off(equals + 1));
    name.truncate(equals);
    let name = std::str::from_utf8(&name).context("the name before = is not UTF-8")?;
    check_name(name)?;
    ensure!(!path.is_empty(), "the file behind = is missing");
    let path = std::path::absolute(path).context("the file's place cannot be told")?;
    Ok(AttachFile {
        name: name.to_owned(),
        path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_the_table_of_thresholds_is_broken_again_by_80_columns() {
        let help = thresholds_help();
        for row in &thresholds::TABLE {
            assert!(help.contains(&format!("\n  {} [", row.name)), "{help}");
        }
        for line in help.lines() {
            assert!(line.len() <= 70, "{line}");
        }
        assert_eq!(wrapped("aa bb ccccc d", 5), ["aa bb", "ccccc", "d"]);
    }

    #[test]
    fn lengths_of_time_need_a_unit_and_a_value() {
        assert_eq!(duration("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(duration("1m 30s").unwrap(), Duration::from_secs(90));
        for wrong in ["5", "", "-5s", "0s", "5 parsecs"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_label_keeps_every_equals_sign_after_the_first() {
        assert_eq!(label("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        assert!(label("a").is_err());
        assert!(label("=b").is_err());
    }

    #[test]
    fn an_attached_file_has_a_plain_name_and_an_absolute_path() {
        let attach_file = |text: &str| attach_file(text.into());
        let file = attach_file("usage.json=/tmp/a=b").unwrap();
        assert_eq!(file.name, "usage.json");
        assert_eq!(file.path, std::path::Path::new("/tmp/a=b"));
        assert!(attach_file("a=b").unwrap().path.is_absolute());
        for wrong in ["usage.json", "=b", "a=", "../a=b", "a/b=c", ".a=b"] {
            assert!(attach_file(wrong).is_err(), "{wrong:?}");
        }
    }
}
