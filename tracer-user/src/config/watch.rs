//! Settings of the watch, from four places: flags > environment > file > default.
//!
//! Pure: the file's text and the environment are arguments. A value that makes no sense costs itself
//! only: its default is used, and one warning names key, value and default. A file that is no TOML, or
//! has a notifier that cannot be told, is an error: an alert that goes nowhere is worse than none.

mod channel;
pub mod follow;
mod keys;
#[cfg(test)]
mod tests;

use std::{net::SocketAddr, path::PathBuf};

use thiserror::Error;
use toml::{Table, Value};

use self::follow::FollowSettings;
use super::notify::NotifySettings;

/// Where the file is when nobody says otherwise. It need not be there.
pub const DEFAULT_FILE: &str = "/etc/tracer/config.toml";

/// The file as it is shipped: every setting, with its default and what it means.
pub const EXAMPLE: &str = include_str!("../../../contrib/config.toml");

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchSettings {
    /// Look at processes at all.
    pub enabled: bool,
    /// Age that a process has to exceed, minutes.
    pub age_min: u64,
    /// Regular expressions; a process whose command line matches one is looked at.
    pub patterns: Vec<String>,
    /// Time between an alert and its repetition, seconds.
    pub cooldown_s: u64,
    /// Time between two looks, seconds.
    pub interval_s: u64,
    /// Trees that are followed from inside the kernel.
    pub follow: FollowSettings,
    /// Where queues and open alerts are kept, where the user said so.
    pub state_dir: Option<PathBuf>,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
    /// Serve them to other machines too.
    pub metrics_any: bool,
    /// Who is told.
    pub notify: NotifySettings,
}

impl Default for WatchSettings {
    fn default() -> Self {
        Self {
            enabled: false,
            age_min: 60,
            patterns: vec!["pytest".to_owned()],
            cooldown_s: 1800,
            interval_s: 30,
            follow: FollowSettings::default(),
            state_dir: None,
            metrics: None,
            metrics_any: false,
            notify: NotifySettings::default(),
        }
    }
}

/// What the flags say; `None` where they say nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--enable`.
    pub enabled: Option<bool>,
    /// `--age-min`.
    pub age_min: Option<u64>,
    /// `--pattern`.
    pub patterns: Option<Vec<String>>,
    /// `--cooldown-s`.
    pub cooldown_s: Option<u64>,
    /// `--interval-s`.
    pub interval_s: Option<u64>,
    /// `--follow-cgroup`.
    pub follow_cgroups: Option<Vec<PathBuf>>,
    /// `--follow-container`.
    pub follow_containers: Option<Vec<String>>,
    /// `--follow-comm`.
    pub follow_comms: Option<Vec<String>>,
    /// `--state-dir`.
    pub state_dir: Option<PathBuf>,
    /// `--metrics`.
    pub metrics: Option<SocketAddr>,
    /// `--metrics-any`.
    pub metrics_any: Option<bool>,
}

/// Settings, and what was odd about where they come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// They.
    pub settings: WatchSettings,
    /// One sentence each.
    pub warnings: Vec<String>,
}

/// Why a file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FileError {
    /// Not TOML; where, and what was expected.
    #[error("this is not TOML: {0}")]
    Syntax(String),
    /// A notifier that could not tell anybody.
    #[error("{place}: {why}")]
    Notifier {
        /// Its table.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// Metrics that more could see than is meant.
    #[error(
        "watch.metrics is {0}, which other machines can reach: use a loopback address, or set \
         watch.metrics_any if that is meant"
    )]
    Reachable(SocketAddr),
}

/// Settings from the file's text (empty when there is no file), the environment and flags.
///
/// # Errors
/// [`FileError`]: there is nothing that could be used in place of what is wrong.
pub fn load(
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
    flags: &Flags,
) -> Result<Loaded, FileError> {
    let file: Table = toml::from_str(text).map_err(|error| syntax(text, &error))?;
    let mut settings = WatchSettings::default();
    let mut warnings = Vec::new();
    keys::from_file(&file, &mut settings, &mut warnings);
    settings.notify = channel::from_file(&file, &mut warnings)?;
    keys::from_environment(environment, &mut settings, &mut warnings);
    from_flags(flags, &mut settings);
    match settings.metrics {
        Some(addr) if !addr.ip().is_loopback() && !settings.metrics_any => {
            Err(FileError::Reachable(addr))
        }
        _ => Ok(Loaded { settings, warnings }),
    }
}

/// The same for a running watch: with a file that has anything wrong, `old` stays as it is.
///
/// # Errors
/// What is wrong, in full.
pub fn reload(
    old: &WatchSettings,
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
    flags: &Flags,
) -> Result<WatchSettings, String> {
    let loaded = load(text, environment, flags).map_err(|error| error.to_string())?;
    // What the environment has is as it was at the start, and has been told then.
    let about_file = load(text, &|_| None, flags).map_err(|error| error.to_string())?;
    if !about_file.warnings.is_empty() {
        return Err(about_file.warnings.join("; "));
    }
    // These are held open for as long as the watch runs.
    let mut settings = loaded.settings;
    settings.state_dir.clone_from(&old.state_dir);
    settings.metrics = old.metrics;
    settings.metrics_any = old.metrics_any;
    settings.notify.stdout = old.notify.stdout;
    Ok(settings)
}

/// Everything that is wrong with a file by itself, one sentence each.
#[must_use]
pub fn problems(text: &str) -> Vec<String> {
    match load(text, &|_| None, &Flags::default()) {
        Ok(loaded) => loaded.warnings,
        Err(error) => vec![error.to_string()],
    }
}

fn from_flags(flags: &Flags, settings: &mut WatchSettings) {
    fn set<T: Clone>(flag: Option<&T>, setting: &mut T) {
        if let Some(value) = flag {
            setting.clone_from(value);
        }
    }
    set(flags.enabled.as_ref(), &mut settings.enabled);
    set(flags.age_min.as_ref(), &mut settings.age_min);
    set(flags.patterns.as_ref(), &mut settings.patterns);
    set(flags.cooldown_s.as_ref(), &mut settings.cooldown_s);
    set(flags.interval_s.as_ref(), &mut settings.interval_s);
    let follow = &mut settings.follow;
    set(flags.follow_cgroups.as_ref(), &mut follow.cgroups);
    set(flags.follow_containers.as_ref(), &mut follow.containers);
    set(flags.follow_comms.as_ref(), &mut follow.comms);
    set(flags.metrics_any.as_ref(), &mut settings.metrics_any);
    if flags.state_dir.is_some() {
        settings.state_dir.clone_from(&flags.state_dir);
    }
    if flags.metrics.is_some() {
        settings.metrics = flags.metrics;
    }
}

/// Where it is, without the lines around: one of them may be meant to be secret.
fn syntax(text: &str, error: &toml::de::Error) -> FileError {
    let at = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = text
        .get(..at)
        .map_or(1, |before| before.split('\n').count());
    FileError::Syntax(format!("line {line}: {}", error.message()))
}

/// A value as it stood there, on one line and not endless.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(truth) => truth.to_string(),
        Value::Datetime(time) => time.to_string(),
        Value::Array(_) => "an array".to_owned(),
        Value::Table(_) => "a table".to_owned(),
    };
    quoted(&text)
}

fn quoted(text: &str) -> String {
    let short: String = text.chars().take(80).collect();
    format!("{short:?}")
}
