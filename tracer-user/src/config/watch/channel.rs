//! `[notify]`: who is told of alerts. Everything in here has to be right; nothing has a default that
//! could tell somebody else instead.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, de::DeserializeOwned};
use toml::{Table, Value};

use super::{FileError, quoted, shown};
use crate::config::notify::{
    Address, Alertmanager, Auth, Channel, Endpoint, Format, NotifierSettings, NotifySettings,
    Secret, Webhook,
};

/// What every notifier can have.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Common {
    name: String,
    timeout_s: Option<u64>,
    queue: Option<usize>,
    keep_s: Option<u64>,
    retry_max_s: Option<u64>,
    // Which of these a notifier has depends on its kind.
    url: Option<String>,
    url_file: Option<PathBuf>,
    url_env: Option<String>,
    bearer_file: Option<PathBuf>,
    bearer_env: Option<String>,
    user: Option<String>,
    password_file: Option<PathBuf>,
    password_env: Option<String>,
    ca_file: Option<PathBuf>,
    format: Option<String>,
    chat_id: Option<String>,
    headers: Option<BTreeMap<String, String>>,
    labels: Option<BTreeMap<String, String>>,
    generator_url: Option<String>,
    resend_s: Option<u64>,
    command: Option<Vec<String>>,
}

/// Kinds, and what each may have besides what all have.
const KINDS: [(&str, &[&str]); 3] = [
    ("webhook", &["format", "chat_id", "headers"]),
    ("alertmanager", &["labels", "generator_url", "resend_s"]),
    ("command", &["command"]),
];
/// What all kinds have that are told by HTTP.
const HTTP: [&str; 9] = [
    "url",
    "url_file",
    "url_env",
    "bearer_file",
    "bearer_env",
    "user",
    "password_file",
    "password_env",
    "ca_file",
];
const ALL_HAVE: [&str; 5] = ["name", "timeout_s", "queue", "keep_s", "retry_max_s"];

/// What the settings of all kinds are called.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let own = KINDS.iter().flat_map(|(_, keys)| keys.iter());
    own.chain(&HTTP).chain(&ALL_HAVE).copied()
}

/// Takes what the file says.
pub(super) fn from_file(
    file: &Table,
    warnings: &mut Vec<String>,
) -> Result<NotifySettings, FileError> {
    let mut settings = NotifySettings::default();
    let Some(value) = file.get("notify") else {
        return Ok(settings);
    };
    let table = value
        .as_table()
        .ok_or_else(|| wrong("notify", "has to be a table"))?;
    for (name, value) in table {
        if let Some((kind, keys)) = KINDS.iter().find(|(kind, _)| kind == name) {
            let place = format!("notify.{kind}");
            let items = value.as_array();
            let items = items.ok_or_else(|| wrong(&place, &format!("write [[{place}]]")))?;
            for item in items {
                settings.notifiers.push(notifier(kind, keys, &place, item)?);
            }
        } else if name == "stdout" {
            match value {
                Value::Boolean(truth) => settings.stdout = *truth,
                _ => warnings.push(format!(
                    "notify.stdout is {}, it has to be true or false: the default is used, {}",
                    shown(value),
                    settings.stdout
                )),
            }
        } else {
            warnings.push(format!("notify.{name}: there is no such setting"));
        }
    }
    let mut names = BTreeSet::from(["stdout"]);
    for notifier in &settings.notifiers {
        if !names.insert(&notifier.name) {
            let why = format!("the name {} is taken", quoted(&notifier.name));
            return Err(wrong("notify", &why));
        }
    }
    Ok(settings)
}

fn notifier(
    kind: &str,
    keys: &[&str],
    place: &str,
    item: &Value,
) -> Result<NotifierSettings, FileError> {
    let wrong = |why: &str| wrong(place, why);
    let table = item
        .as_table()
        .ok_or_else(|| wrong(&format!("write [[{place}]]")))?;
    let by_http = kind != "command";
    let known = |key: &str| {
        keys.contains(&key) || ALL_HAVE.contains(&key) || (by_http && HTTP.contains(&key))
    };
    if let Some(key) = table.keys().find(|key| !known(key)) {
        return Err(wrong(&format!("there is no setting {}", quoted(key))));
    }
    let common: Common = parsed(item).map_err(|why| wrong(&why))?;
    if !is_name(&common.name) {
        let name = quoted(&common.name);
        return Err(wrong(&format!(
            "the name {name} has to be 1 to 32 of a-z, 0-9, _ and -"
        )));
    }
    let seconds = |name: &str, value: Option<u64>, default: u64, most: u64| match value {
        Some(value) if !(1..=most).contains(&value) => {
            Err(wrong(&format!("{name} has to be from 1 to {most}")))
        }
        value => Ok(Duration::from_secs(value.unwrap_or(default))),
    };
    let queue = common.queue.unwrap_or(1000);
    if !(1..=100_000).contains(&queue) {
        return Err(wrong("queue has to be from 1 to 100000"));
    }
    Ok(NotifierSettings {
        timeout: seconds("timeout_s", common.timeout_s, 10, 300)?,
        queue,
        keep: seconds("keep_s", common.keep_s, 86_400, 31_536_000)?,
        retry_max: seconds("retry_max_s", common.retry_max_s, 300, 86_400)?,
        channel: match kind {
            "webhook" => Channel::Webhook(webhook(&common).map_err(|why| wrong(&why))?),
            "alertmanager" => Channel::Alertmanager(Alertmanager {
                to: endpoint(&common).map_err(|why| wrong(&why))?,
                resend: seconds("resend_s", common.resend_s, 60, 3600)?,
                labels: common.labels.clone().unwrap_or_default(),
                generator_url: common.generator_url.clone(),
            }),
            _ => Channel::Command(command(&common).map_err(|why| wrong(&why))?),
        },
        name: common.name,
    })
}

fn webhook(common: &Common) -> Result<Webhook, String> {
    let format = match (common.format.as_deref().unwrap_or("json"), &common.chat_id) {
        ("json", None) => Format::Json,
        ("slack", None) => Format::Slack,
        ("telegram", Some(chat_id)) => Format::Telegram {
            chat_id: chat_id.clone(),
        },
        ("telegram", None) => return Err("format telegram needs chat_id".to_owned()),
        ("json" | "slack", Some(_)) => return Err("chat_id is for format telegram".to_owned()),
        (other, _) => {
            let other = quoted(other);
            return Err(format!(
                "format is {other}, it has to be json, slack or telegram"
            ));
        }
    };
    let headers = common.headers.clone().unwrap_or_default();
    let secret = |name: &&String| {
        let name = name.to_lowercase();
        ["authorization", "cookie", "token", "secret", "key"]
            .iter()
            .any(|word| name.contains(word))
    };
    if let Some(name) = headers.keys().find(secret) {
        let name = quoted(name);
        return Err(format!(
            "the header {name} looks like a secret: use bearer_file, or user and password_file"
        ));
    }
    Ok(Webhook {
        to: endpoint(common)?,
        format,
        headers,
    })
}

fn command(common: &Common) -> Result<Vec<String>, String> {
    let command = common.command.clone().unwrap_or_default();
    match command.first() {
        Some(program) if program.starts_with('/') => Ok(command),
        _ => Err("command has to be an array that begins with an absolute path".to_owned()),
    }
}

fn address(common: &Common) -> Result<Address, String> {
    match (&common.url, &common.url_file, &common.url_env) {
        (Some(url), None, None) => plain(url),
        (None, Some(file), None) => Ok(Address::Secret(Secret::File(file.clone()))),
        (None, None, Some(name)) => Ok(Address::Secret(Secret::Environment(name.clone()))),
        _ => Err("it needs one of url, url_file and url_env".to_owned()),
    }
}

/// Nothing of the URL is repeated: it may be a secret in the wrong place.
fn plain(url: &str) -> Result<Address, String> {
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    let Some(rest) = rest.filter(|rest| !rest.is_empty()) else {
        return Err("url has to begin with http:// or https://".to_owned());
    };
    if url.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        return Err("url has a blank in it".to_owned());
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("url has a user or a password in it: use url_file or url_env".to_owned());
    }
    let known = ["hooks.slack.com", "api.telegram.org"];
    if known.contains(&authority) {
        return Err(format!(
            "the URLs of {authority} are secrets: use url_file or url_env"
        ));
    }
    Ok(Address::Plain(url.trim_end_matches('/').to_owned()))
}

fn endpoint(common: &Common) -> Result<Endpoint, String> {
    let url = address(common)?;
    let is_open = matches!(&url, Address::Plain(url) if url.starts_with("http://"));
    if is_open && common.ca_file.is_some() {
        return Err("ca_file is for a url that begins with https://".to_owned());
    }
    if common
        .ca_file
        .as_ref()
        .is_some_and(|file| !file.is_absolute())
    {
        return Err("ca_file has to be an absolute path".to_owned());
    }
    Ok(Endpoint {
        url,
        auth: auth(common)?,
        ca_file: common.ca_file.clone(),
    })
}

fn auth(common: &Common) -> Result<Option<Auth>, String> {
    let bearer = secret(
        "bearer",
        common.bearer_file.as_ref(),
        common.bearer_env.as_ref(),
    )?;
    let password = secret(
        "password",
        common.password_file.as_ref(),
        common.password_env.as_ref(),
    )?;
    match (bearer, &common.user, password) {
        (None, None, None) => Ok(None),
        (Some(bearer), None, None) => Ok(Some(Auth::Bearer(bearer))),
        // A colon would begin the password (RFC 7617, 2).
        (None, Some(user), Some(_))
            if user.contains(|letter: char| letter == ':' || letter.is_control()) =>
        {
            Err("user cannot have a colon or a control character in it".to_owned())
        }
        (None, Some(user), Some(password)) => Ok(Some(Auth::Basic {
            user: user.clone(),
            password,
        })),
        (Some(_), ..) => Err("a bearer token and a password are one too many".to_owned()),
        _ => Err("user needs password_file or password_env, and they need user".to_owned()),
    }
}

fn secret(
    what: &str,
    file: Option<&PathBuf>,
    variable: Option<&String>,
) -> Result<Option<Secret>, String> {
    match (file, variable) {
        (None, None) => Ok(None),
        (Some(file), None) => Ok(Some(Secret::File(file.clone()))),
        (None, Some(name)) => Ok(Some(Secret::Environment(name.clone()))),
        _ => Err(format!("one of {what}_file and {what}_env is enough")),
    }
}

fn is_name(name: &str) -> bool {
    let plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    (1..=32).contains(&name.len()) && name.bytes().all(plain)
}

fn parsed<T: DeserializeOwned>(item: &Value) -> Result<T, String> {
    // Only the first line: what follows shows the value, which may be a secret in the wrong place.
    let told = |error: toml::de::Error| {
        error
            .message()
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    item.clone().try_into().map_err(told)
}

fn wrong(place: &str, why: &str) -> FileError {
    FileError::Notifier {
        place: place.to_owned(),
        why: why.to_owned(),
    }
}
