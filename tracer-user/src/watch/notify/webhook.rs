//! HTTP POST of every alert, as JSON or as a message for Slack or Telegram.

use std::{fmt::Write as _, time::Duration};

use serde_json::json;

use super::{
    failure::Failure,
    http::{Client, Post},
    json,
    worker::Deliver,
};
use crate::{
    config::notify::{Format, Webhook},
    watch::alert::{Alert, Decision},
};

/// Longest message, in units of UTF-16: Telegram takes 4096 of those, Slack shows 40,000 letters; nobody
/// reads more than this.
const LONGEST: usize = 3_500;

/// A webhook that can be called.
pub(super) struct Caller {
    webhook: Webhook,
    client: Client,
}

impl Caller {
    pub(super) fn new(webhook: Webhook) -> Self {
        let client = Client::new(webhook.to.clone());
        Self { webhook, client }
    }
}

impl Deliver for Caller {
    fn deliver(&mut self, alert: &Alert, within: Duration) -> Result<(), Failure> {
        let body = body(&self.webhook.format, alert)
            .map_err(|error| Failure::Refused(error.to_string()))?;
        let headers = self.webhook.headers.iter();
        let post = Post {
            path: "",
            headers: &mut headers.map(|(name, value)| (name.as_str(), value.as_str())),
            body: &body,
        };
        self.client.post(post, within)
    }
}

/// The body for an alert.
fn body(format: &Format, alert: &Alert) -> serde_json::Result<Vec<u8>> {
    match format {
        Format::Json => json::encode(alert),
        // Slack reads `<…>` and `&…;` as markup, nothing else can be escaped.
        Format::Slack => {
            let text = message(alert);
            let text = text
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;");
            json::encode(&json!({ "text": text, "mrkdwn": false }))
        }
        // No parse_mode: the text is shown as it is.
        Format::Telegram { chat_id } => json::encode(&json!({
            "chat_id": chat_id,
            "text": message(alert),
            "disable_web_page_preview": true,
        })),
    }
}

/// An alert as a message for a person.
fn message(alert: &Alert) -> String {
    let news = match alert.decision {
        Decision::Alert => alert.severity.as_str().to_uppercase(),
        Decision::Realert => format!("STILL {}", alert.severity.as_str().to_uppercase()),
        Decision::Recovery => "RECOVERED".to_owned(),
    };
    let mut text = format!("[{news}] {}: {}", alert.kind.as_str(), plain(&alert.text));
    for (name, detail) in &alert.details {
        let _ = write!(text, "\n{name}: {}", plain(&detail.to_string()));
    }
    let mut room = LONGEST;
    let fits = |letter: &char| {
        let left = room.checked_sub(letter.len_utf16());
        left.inspect(|&left| room = left).is_some()
    };
    text.chars().take_while(fits).collect()
}

/// Who named the process must not draw the message, nor add a line to it.
fn plain(text: &str) -> String {
    let text = text.replace(['\n', '\r'], " ");
    text.chars()
        .filter(|&letter| !json::deceives(letter))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{super::sample::orphan, *};
    use crate::watch::alert::Detail;

    fn value(format: &Format, alert: &Alert) -> Value {
        let body = body(format, alert).expect("a body");
        serde_json::from_slice(&body).expect("JSON")
    }

    #[test]
    fn the_generic_body_is_the_alert() {
        let alert = orphan(7);
        let value = value(&Format::Json, &alert);
        assert_eq!(value["decision"], "alert");
        assert_eq!(value["at"], "2026-11-21T10:00:00.5Z");
        assert_eq!(value["details"]["age_s"], 5400);
        assert_eq!(
            serde_json::from_value::<Alert>(value).expect("an alert"),
            alert
        );
    }

    #[test]
    fn slack_gets_its_markup_escaped() {
        let text = value(&Format::Slack, &orphan(7))["text"].to_string();
        assert!(
            text.contains("[WARNING] orphan: pid 7 (pytest -x &lt;tests&gt;) &amp; co."),
            "{text}"
        );
        assert!(text.contains("holds: pty /dev/pts/3, tcp :8080"), "{text}");
    }

    #[test]
    fn nobody_adds_a_line_to_a_message_by_what_it_calls_itself() {
        let mut alert = orphan(7);
        let lines = |alert: &Alert| message(alert).lines().count();
        let before = lines(&alert);
        let forged = "x\n[RECOVERED] orphan: pid 7 is gone";
        alert.text = forged.to_owned();
        alert
            .details
            .insert("holds".to_owned(), Detail::Text(forged.to_owned()));
        alert.details.insert(
            "command".to_owned(),
            Detail::List(vec![forged.to_owned(), forged.to_owned()]),
        );
        let text = message(&alert);
        assert!(lines(&alert) <= before + 2, "{text}");
        assert!(!text.contains("\n[RECOVERED]"), "{text}");
    }

    #[test]
    fn telegram_takes_the_longest_message_whatever_its_letters_are() {
        let mut alert = orphan(7);
        alert.text = "\u{1f600}".repeat(10_000);
        let chat_id = "1".to_owned();
        let value = value(&Format::Telegram { chat_id }, &alert);
        let text = value["text"].as_str().expect("text");
        let units = text.encode_utf16().count();
        assert!((3_000..=4_096).contains(&units), "{units} units");
    }

    #[test]
    fn telegram_gets_plain_text_for_a_chat_and_not_too_much() {
        let mut alert = orphan(7);
        alert.decision = Decision::Recovery;
        alert.text = format!("\u{202e}{}", "x".repeat(10_000));
        let chat_id = "-100123".to_owned();
        let value = value(&Format::Telegram { chat_id }, &alert);
        assert_eq!(value["chat_id"], "-100123");
        let text = value["text"].as_str().expect("text");
        assert!(text.starts_with("[RECOVERED] orphan: xxx"), "{text}");
        assert_eq!(text.chars().count(), LONGEST);
        assert!(value.get("parse_mode").is_none());
    }
}
