//! How a notifier is told, complete: its settings and what they need of the rest.

use super::{command::Runner, webhook::Caller, worker::Deliver};
use crate::config::notify::{Channel, NotifierSettings, NotifySettings, Secret};

/// The settings of one notifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) settings: NotifierSettings,
    /// Variables of the environment in which notifiers have their secrets.
    pub(super) hidden: Vec<String>,
    /// Name of this machine.
    pub(super) host: String,
}

impl Plan {
    /// One for each notifier.
    pub(super) fn all(settings: &NotifySettings, host: &str) -> Vec<Self> {
        let secrets = settings.notifiers.iter().flat_map(secrets);
        let variable = |secret: &Secret| match secret {
            Secret::Environment(name) => Some(name.clone()),
            Secret::File(_) => None,
        };
        let hidden: Vec<String> = secrets.filter_map(variable).collect();
        let plan = |settings: &NotifierSettings| Self {
            settings: settings.clone(),
            hidden: hidden.clone(),
            host: host.to_owned(),
        };
        settings.notifiers.iter().map(plan).collect()
    }

    /// What the way is called in counters.
    pub(super) fn channel(&self) -> &'static str {
        match self.settings.channel {
            Channel::Webhook(_) => "webhook",
            Channel::Alertmanager(_) => "alertmanager",
            Channel::Command(_) => "command",
        }
    }

    /// The way to tell one alert after the other.
    pub(super) fn way(&self) -> Box<dyn Deliver> {
        match &self.settings.channel {
            Channel::Webhook(webhook) => Box::new(Caller::new(webhook.clone())),
            Channel::Command(command) => {
                Box::new(Runner::new(command.clone(), self.hidden.clone()))
            }
            // It has a loop of its own; nothing is told this way.
            Channel::Alertmanager(_) => Box::new(Runner::new(Vec::new(), Vec::new())),
        }
    }
}

fn secrets(settings: &NotifierSettings) -> Vec<&Secret> {
    match &settings.channel {
        Channel::Webhook(webhook) => webhook.to.secrets().collect(),
        Channel::Alertmanager(manager) => manager.to.secrets().collect(),
        Channel::Command(_) => Vec::new(),
    }
}
