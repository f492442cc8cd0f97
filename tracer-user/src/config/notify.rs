//! Who is told of alerts, and how: what the configuration file says under `notify`, checked.
//!
//! No secret is in here, only where it is to be read from.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// Everybody who is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifySettings {
    /// JSON lines on standard output.
    pub stdout: bool,
    /// The others; names unique.
    pub notifiers: Vec<NotifierSettings>,
}

impl Default for NotifySettings {
    fn default() -> Self {
        Self {
            stdout: true,
            notifiers: Vec::new(),
        }
    }
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifierSettings {
    /// Its name in metrics and messages, and of its queue: 1 to 32 of `a-z 0-9 _ -`.
    pub name: String,
    /// How long one delivery may take, all in all.
    pub timeout: Duration,
    /// How many alerts may wait for it on disk.
    pub queue: usize,
    /// How long after its decision an alert that cannot be told is still tried.
    pub keep: Duration,
    /// The longest pause between two attempts.
    pub retry_max: Duration,
    /// The way.
    pub channel: Channel,
}

/// A way to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Channel {
    /// HTTP POST of every alert.
    Webhook(Webhook),
    /// Alertmanager's v2 API.
    Alertmanager(Alertmanager),
    /// A program that gets the alert on its standard input.
    Command(Vec<String>),
}

/// HTTP POST of every alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where to.
    pub url: Address,
    /// What the body looks like.
    pub format: Format,
    /// Headers besides `Content-Type`; nothing secret.
    pub headers: BTreeMap<String, String>,
    /// `Authorization: Bearer …`.
    pub bearer: Option<Secret>,
}

/// The body of a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// The alert as it is.
    Json,
    /// A Slack incoming webhook's message.
    Slack,
    /// Telegram's `sendMessage`, to this chat.
    Telegram {
        /// `chat_id` as Telegram's API takes it.
        chat_id: String,
    },
}

/// An Alertmanager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alertmanager {
    /// Its address, without `/api/v2/alerts`.
    pub url: Address,
    /// Labels on every alert.
    pub labels: BTreeMap<String, String>,
    /// Where its links lead.
    pub generator_url: Option<String>,
    /// How often an open alert is sent again; it ends by itself after four times that.
    pub resend: Duration,
    /// `Authorization: Bearer …`.
    pub bearer: Option<Secret>,
}

/// A URL, which can be a secret as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// In plain sight; it holds no user and no password.
    Plain(String),
    /// Slack's and Telegram's are their own key.
    Secret(Secret),
}

/// Where a secret is read from, each time it is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// First line of a file.
    File(PathBuf),
    /// A variable of the environment.
    Environment(String),
}
