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
    pub to: Endpoint,
    /// What the body looks like.
    pub format: Format,
    /// Headers besides `Content-Type`; nothing secret.
    pub headers: BTreeMap<String, String>,
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
    pub to: Endpoint,
    /// Labels on every alert.
    pub labels: BTreeMap<String, String>,
    /// Where its links lead.
    pub generator_url: Option<String>,
    /// How often an open alert is sent again; it ends by itself after four times that.
    pub resend: Duration,
}

/// A place that is told by HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it is.
    pub url: Address,
    /// Who we say we are.
    pub auth: Option<Auth>,
    /// Certificates (PEM) that are trusted in place of those that the system trusts.
    pub ca_file: Option<PathBuf>,
}

/// What `Authorization` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// `Bearer …`.
    Bearer(Secret),
    /// `Basic …`.
    Basic {
        /// In plain sight.
        user: String,
        /// The rest of it.
        password: Secret,
    },
}

impl Endpoint {
    /// The secrets it takes.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let url = match &self.url {
            Address::Secret(secret) => Some(secret),
            Address::Plain(_) => None,
        };
        let auth = self.auth.as_ref().map(|auth| match auth {
            Auth::Bearer(secret) => secret,
            Auth::Basic { password, .. } => password,
        });
        url.into_iter().chain(auth)
    }
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
