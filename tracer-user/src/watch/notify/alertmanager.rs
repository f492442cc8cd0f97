//! Alertmanager's v2 API: what is open is sent again and again, what ended is sent once it ended.
//!
//! The form is that of Alertmanager's `openapi.yaml`, `postAlerts`. Alertmanager forgets an alert that
//! nobody repeats before its `endsAt`; so an open one ends by itself when tracer has been gone for four
//! times the repetition, and is resolved at once when it is fine. Grouping, silences and routing are
//! Alertmanager's.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{
    board::{Board, Item},
    failure::Failure,
    http::{Client, Post},
    json,
    outage::Outage,
    plan::Plan,
    shared::Shared,
};
use crate::{
    config::notify::{Alertmanager, Channel, NotifierSettings},
    watch::alert::{Alert, Decision, Kind},
};

/// Alerts in one request.
const AT_ONCE: usize = 64;
/// Where alerts go, after the address.
const PATH: &str = "/api/v2/alerts";

/// Sends until it is told to stop.
pub(super) fn run(shared: &Shared<Board>, mut plan: Plan) {
    loop {
        let Channel::Alertmanager(manager) = &plan.settings.channel else {
            return;
        };
        let sender = Sender {
            client: Client::new(manager.to.clone()),
            manager,
            host: &plan.host,
        };
        match run_one(shared, &plan.settings, &sender) {
            Some(other) => plan = other,
            None => return,
        }
    }
}

/// Sends until there is another plan, or none: until it is told to stop.
fn run_one(
    shared: &Shared<Board>,
    settings: &NotifierSettings,
    sender: &Sender<'_>,
) -> Option<Plan> {
    let mut outage = Outage::new(settings.retry_max);
    let mut again = Instant::now();
    loop {
        let news = shared.wait(Some(again), |board| {
            let untold = board.untold();
            (!untold.is_empty()).then_some(untold)
        });
        if news.is_none() && shared.stopping() {
            return None;
        }
        if let Some(plan) = shared.new_plan() {
            return Some(plan);
        }
        let items = if Instant::now() >= again {
            again = Instant::now() + sender.manager.resend;
            shared.change(|board| board.all())
        } else {
            news.unwrap_or_default()
        };
        for chunk in items.chunks(AT_ONCE) {
            let sent = sender.send(chunk, shared.within(settings.timeout));
            match sent {
                Ok(()) => {
                    accepted(shared, chunk, false);
                    outage.over(shared);
                }
                Err(Failure::Refused(_)) => one_by_one(shared, settings, sender, chunk),
                Err(Failure::Again(why)) => {
                    let pause = outage.failed(shared, &why);
                    // Whatever is open by then is due.
                    again = Instant::now();
                    if !shared.pause(pause) {
                        return None;
                    }
                    break;
                }
            }
        }
    }
}

/// One of them is not liked: finds which.
fn one_by_one(
    shared: &Shared<Board>,
    settings: &NotifierSettings,
    sender: &Sender<'_>,
    chunk: &[Item],
) {
    for item in chunk {
        let item = std::slice::from_ref(item);
        match sender.send(item, shared.within(settings.timeout)) {
            Ok(()) => accepted(shared, item, false),
            Err(Failure::Refused(why)) => {
                shared.tell(&format!("an alert was refused: {why}: dropped"));
                accepted(shared, item, true);
            }
            // The rest is sent with the next repetition.
            Err(Failure::Again(_)) => {
                shared.count.failed();
                return;
            }
        }
    }
}

fn accepted(shared: &Shared<Board>, items: &[Item], given_up: bool) {
    let (news, removed) = shared.change(|board| board.told(items, given_up));
    if given_up {
        shared.count.dropped(news);
    } else {
        shared.count.delivered(news);
    }
    if let Err(error) = removed {
        shared.tell(&format!("an alert that ended stays on disk: {error}"));
    }
}

struct Sender<'a> {
    client: Client,
    manager: &'a Alertmanager,
    host: &'a str,
}

impl Sender<'_> {
    fn send(&self, items: &[Item], within: Duration) -> Result<(), Failure> {
        let alerts = items.iter().map(|item| &item.alert);
        let body = body(alerts, self.manager, self.host, Timestamp::now())
            .map_err(|error| Failure::Refused(error.to_string()))?;
        let post = Post {
            path: PATH,
            headers: &mut std::iter::empty(),
            body: &body,
        };
        self.client.post(post, within)
    }
}

/// `postableAlert`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Postable<'a> {
    labels: BTreeMap<String, &'a str>,
    annotations: BTreeMap<String, String>,
    starts_at: Timestamp,
    ends_at: Timestamp,
    #[serde(rename = "generatorURL", skip_serializing_if = "Option::is_none")]
    generator_url: Option<&'a str>,
}

fn body<'a>(
    alerts: impl Iterator<Item = &'a Alert>,
    manager: &'a Alertmanager,
    host: &'a str,
    now: Timestamp,
) -> serde_json::Result<Vec<u8>> {
    let postable = alerts.map(|alert| postable(alert, manager, host, now));
    json::encode(&postable.collect::<Vec<_>>())
}

fn postable<'a>(
    alert: &'a Alert,
    manager: &'a Alertmanager,
    host: &'a str,
    now: Timestamp,
) -> Postable<'a> {
    let pair = |(name, value): (&str, &'a str)| (label_name(name), value);
    let mut labels = BTreeMap::from([("instance".to_owned(), host)]);
    let theirs = alert.labels.iter().map(|(name, value)| (&**name, &**value));
    let ours = manager
        .labels
        .iter()
        .map(|(name, value)| (&**name, &**value));
    labels.extend(theirs.map(pair));
    labels.extend(ours.map(pair));
    // Last: what a session was labelled with must not make it another alert.
    let fixed = [
        ("alertname", name(alert.kind)),
        ("severity", alert.severity.as_str()),
        ("tracer_key", &*alert.key),
    ];
    labels.extend(fixed.map(pair));
    // An empty label is no label to Alertmanager.
    labels.retain(|_, value| !value.is_empty());
    let details = alert.details.iter();
    let mut annotations: BTreeMap<String, String> = details
        .map(|(name, detail)| (label_name(name), detail.to_string()))
        .collect();
    annotations.insert("summary".to_owned(), alert.text.clone());
    let ends_at = if alert.decision == Decision::Recovery {
        // A clock that was set back must not make it end before it began.
        alert.at.max(alert.since)
    } else {
        let lasts = SignedDuration::try_from(manager.resend.saturating_mul(4));
        let lasts = lasts.unwrap_or(SignedDuration::from_hours(1));
        now.saturating_add(lasts)
            .unwrap_or(Timestamp::MAX)
            .max(alert.since)
    };
    Postable {
        labels,
        annotations,
        starts_at: alert.since,
        ends_at,
        generator_url: manager.generator_url.as_deref(),
    }
}

/// `alertname`, as alerts are called there.
fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Orphan => "TracerOrphan",
        Kind::Blocker => "TracerBlocker",
        Kind::Anomaly => "TracerAnomaly",
    }
}

/// A label's name as Alertmanager takes it: `[a-zA-Z_][a-zA-Z0-9_]*`.
fn label_name(name: &str) -> String {
    let plain = |letter: char| {
        if letter.is_ascii_alphanumeric() {
            letter
        } else {
            '_'
        }
    };
    let text: String = name.chars().map(plain).collect();
    if text.starts_with(|first: char| first.is_ascii_digit()) || text.is_empty() {
        return format!("_{text}");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{super::sample::orphan, *};
    use crate::config::notify::{Address, Endpoint};

    fn manager() -> Alertmanager {
        Alertmanager {
            to: Endpoint {
                url: Address::Plain("http://localhost:9093".to_owned()),
                auth: None,
                ca_file: None,
            },
            labels: BTreeMap::from([("team".to_owned(), "agents".to_owned())]),
            generator_url: Some("https://example.org/runbook".to_owned()),
            resend: Duration::from_secs(60),
        }
    }

    fn sent(alert: &Alert) -> Value {
        let now = "2026-11-21T12:00:00Z".parse().expect("a time");
        let manager = manager();
        let body = body([alert].into_iter(), &manager, "box", now).expect("JSON");
        let mut value: Value = serde_json::from_slice(&body).expect("JSON");
        value[0].take()
    }

    #[test]
    fn an_open_alert_ends_by_itself_and_a_recovery_at_its_time() {
        let mut alert = orphan(7);
        let open = sent(&alert);
        assert_eq!(open["startsAt"], "2026-11-21T08:30:00Z");
        assert_eq!(open["endsAt"], "2026-11-21T12:04:00Z");
        assert_eq!(open["generatorURL"], "https://example.org/runbook");
        alert.decision = Decision::Recovery;
        let over = sent(&alert);
        assert_eq!(over["endsAt"], "2026-11-21T10:00:00.5Z");
        assert_eq!(over["labels"], open["labels"], "or it is another alert");
        alert.at = "2026-11-20T00:00:00Z".parse().expect("a time");
        assert_eq!(sent(&alert)["endsAt"], "2026-11-21T08:30:00Z");
    }

    #[test]
    fn labels_are_valid_and_what_names_the_alert_is_ours() {
        let mut alert = orphan(7);
        for (name, value) in [
            ("alertname", "Fake"),
            ("1 a-b", "x"),
            ("", "y"),
            ("none", ""),
        ] {
            alert.labels.insert(name.to_owned(), value.to_owned());
        }
        let value = sent(&alert);
        let labels = &value["labels"];
        assert_eq!(labels["alertname"], "TracerOrphan");
        assert_eq!(labels["severity"], "warning");
        assert_eq!(labels["instance"], "box");
        assert_eq!(labels["team"], "agents");
        assert_eq!(labels["pid"], "7");
        assert_eq!(labels["_1_a_b"], "x");
        assert_eq!(labels["_"], "y");
        assert!(labels.get("none").is_none());
        assert_eq!(value["annotations"]["holds"], "pty /dev/pts/3, tcp :8080");
    }
}
