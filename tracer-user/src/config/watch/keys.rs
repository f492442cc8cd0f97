//! The settings that are one value each: what they are called in the file and in the environment, and
//! what they may be.

use std::{net::SocketAddr, path::PathBuf};

use toml::{Table, Value};

use super::{WatchSettings, follow, quoted, shown};

/// The table of the file they are in.
const TABLE: &str = "watch";
/// What their names begin with in the environment.
const PREFIX: &str = "TRACER_WATCH_";

/// A setting.
struct Key {
    /// In the file; in the environment in capitals after [`PREFIX`].
    name: &'static str,
    /// Takes a value, or says what it should be.
    set: fn(&mut WatchSettings, &Value) -> Result<(), &'static str>,
    /// What it is when nobody says otherwise.
    default: fn(&WatchSettings) -> String,
}

const KEYS: &[Key] = &[
    Key {
        name: "enabled",
        set: |settings, value| truth(value).map(|truth| settings.enabled = truth),
        default: |default| default.enabled.to_string(),
    },
    Key {
        name: "age_min",
        set: |settings, value| count(value, 0, 5_256_000).map(|age| settings.age_min = age),
        default: |default| default.age_min.to_string(),
    },
    Key {
        name: "patterns",
        set: |settings, value| words(value).map(|words| settings.patterns = words),
        default: |default| format!("{:?}", default.patterns),
    },
    Key {
        name: "cooldown_s",
        set: |settings, value| count(value, 0, 31_536_000).map(|time| settings.cooldown_s = time),
        default: |default| default.cooldown_s.to_string(),
    },
    Key {
        name: "interval_s",
        set: |settings, value| count(value, 1, 86_400).map(|time| settings.interval_s = time),
        default: |default| default.interval_s.to_string(),
    },
    Key {
        name: "follow_cgroup",
        set: |settings, value| {
            each(value, follow::cgroup).map(|paths| settings.follow.cgroups = paths)
        },
        default: |_| "none".to_owned(),
    },
    Key {
        name: "follow_container",
        set: |settings, value| {
            each(value, follow::container).map(|ids| settings.follow.containers = ids)
        },
        default: |_| "none".to_owned(),
    },
    Key {
        name: "follow_comm",
        set: |settings, value| each(value, follow::comm).map(|names| settings.follow.comms = names),
        default: |_| "none".to_owned(),
    },
    Key {
        name: "state_dir",
        set: |settings, value| absolute(value).map(|path| settings.state_dir = Some(path)),
        default: |_| "the state directory of the user".to_owned(),
    },
    Key {
        name: "metrics",
        set: |settings, value| address(value).map(|address| settings.metrics = address),
        default: |_| "off".to_owned(),
    },
    Key {
        name: "metrics_any",
        set: |settings, value| truth(value).map(|truth| settings.metrics_any = truth),
        default: |default| default.metrics_any.to_string(),
    },
];

/// What they are called in the file.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|key| key.name)
}

/// Takes what the file says.
pub(super) fn from_file(file: &Table, settings: &mut WatchSettings, warnings: &mut Vec<String>) {
    for name in file
        .keys()
        .filter(|name| !matches!(&***name, TABLE | "notify"))
    {
        warnings.push(format!("{}: there is no such setting", quoted(name)));
    }
    let Some(value) = file.get(TABLE) else { return };
    let Value::Table(table) = value else {
        warnings.push(format!("{TABLE} is {}, it has to be a table", shown(value)));
        return;
    };
    for (name, value) in table {
        match KEYS.iter().find(|key| key.name == name) {
            Some(key) => key.take(&format!("{TABLE}.{name}"), value, settings, warnings),
            None => warnings.push(format!("{TABLE}.{name}: there is no such setting")),
        }
    }
}

/// Takes what the environment says. A variable that is empty says nothing.
pub(super) fn from_environment(
    environment: &dyn Fn(&str) -> Option<String>,
    settings: &mut WatchSettings,
    warnings: &mut Vec<String>,
) {
    for key in KEYS {
        let name = format!("{PREFIX}{}", key.name.to_uppercase());
        if let Some(text) = environment(&name).filter(|text| !text.is_empty()) {
            key.take(&name, &Value::String(text), settings, warnings);
        }
    }
}

impl Key {
    /// Takes the value, or its default with a warning.
    fn take(
        &self,
        place: &str,
        value: &Value,
        settings: &mut WatchSettings,
        warnings: &mut Vec<String>,
    ) {
        let Err(wanted) = (self.set)(settings, value) else {
            return;
        };
        let default = WatchSettings::default();
        warnings.push(format!(
            "{place} is {}, it has to be {wanted}: the default is used, {}",
            shown(value),
            (self.default)(&default)
        ));
        self.reset(settings, default);
    }

    /// The default, also where a place of less weight had said something: what is malformed was meant to
    /// change that, and nobody knows to what.
    fn reset(&self, settings: &mut WatchSettings, default: WatchSettings) {
        match self.name {
            "enabled" => settings.enabled = default.enabled,
            "age_min" => settings.age_min = default.age_min,
            "patterns" => settings.patterns = default.patterns,
            "cooldown_s" => settings.cooldown_s = default.cooldown_s,
            "interval_s" => settings.interval_s = default.interval_s,
            "follow_cgroup" => settings.follow.cgroups = default.follow.cgroups,
            "follow_container" => settings.follow.containers = default.follow.containers,
            "follow_comm" => settings.follow.comms = default.follow.comms,
            "state_dir" => settings.state_dir = default.state_dir,
            "metrics" => settings.metrics = default.metrics,
            _ => settings.metrics_any = default.metrics_any,
        }
    }
}

fn truth(value: &Value) -> Result<bool, &'static str> {
    match value {
        Value::Boolean(truth) => Ok(*truth),
        Value::String(text) => match text.trim().to_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Ok(true),
            "0" | "false" | "no" | "off" => Ok(false),
            _ => Err("true or false"),
        },
        _ => Err("true or false"),
    }
}

fn count(value: &Value, least: u64, most: u64) -> Result<u64, &'static str> {
    let number = match value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let number = number.filter(|number| (least..=most).contains(number));
    number.ok_or(if least == 0 {
        "a whole number, 0 or more and no more than years"
    } else {
        "a whole number, 1 or more and no more than a day"
    })
}

/// An array; in the environment also words with commas between them.
fn words(value: &Value) -> Result<Vec<String>, &'static str> {
    const WANTED: &str = "one or more words, none of them empty";
    let words: Vec<String> = match value {
        Value::Array(items) => {
            let text = |item: &Value| item.as_str().map(str::to_owned);
            items
                .iter()
                .map(text)
                .collect::<Option<_>>()
                .ok_or(WANTED)?
        }
        Value::String(text) if text.trim_start().starts_with('[') => {
            let table: Table = toml::from_str(&format!("words = {text}")).map_err(|_| WANTED)?;
            return match table.get("words") {
                Some(array @ Value::Array(_)) if table.len() == 1 => words(array),
                _ => Err(WANTED),
            };
        }
        Value::String(text) => text.split(',').map(|word| word.trim().to_owned()).collect(),
        _ => return Err(WANTED),
    };
    if words.is_empty() || words.iter().any(String::is_empty) {
        return Err(WANTED);
    }
    Ok(words)
}

/// Words as in [`words`], or none, each made what it stands for.
fn each<T>(
    value: &Value,
    parse: fn(&str) -> Result<T, &'static str>,
) -> Result<Vec<T>, &'static str> {
    let is_empty = match value {
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.trim() == "[]",
        _ => false,
    };
    if is_empty {
        return Ok(Vec::new());
    }
    words(value)?.iter().map(|word| parse(word)).collect()
}

fn absolute(value: &Value) -> Result<PathBuf, &'static str> {
    let path = value.as_str().map(PathBuf::from);
    path.filter(|path| path.is_absolute())
        .ok_or("an absolute path")
}

/// `off` is no address.
fn address(value: &Value) -> Result<Option<SocketAddr>, &'static str> {
    match value.as_str() {
        Some("off") => Ok(None),
        Some(text) => text.trim().parse().map(Some).map_err(|_| WANTED_ADDRESS),
        None => Err(WANTED_ADDRESS),
    }
}

const WANTED_ADDRESS: &str = "an address and a port, such as 127.0.0.1:9469, or off";
