//! Readings in Prometheus' text format, version 0.0.4.
//!
//! Names and units follow Prometheus' conventions: base units, `_total` on what only grows, `process_`
//! for what every exporter says of itself. A label's value is whatever somebody called something: `\`,
//! `"` and newline are escaped, and nothing else may be.

use std::{
    collections::BTreeMap,
    fmt::{Display, Write},
};

use super::Readings;

/// The content type of the text.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The lines so far.
struct Page(String);

impl Page {
    /// Begins a metric.
    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{label}=\"{}\"", escaped(text));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    /// A metric with one value.
    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.metric(name, kind, help);
        self.line(name, &[], value);
    }

    /// A metric with a value for each value of a label.
    fn by(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        label: &str,
        values: &BTreeMap<String, u64>,
    ) {
        self.metric(name, kind, help);
        for (text, value) in values {
            self.line(name, &[(label, text)], value);
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// The whole page.
pub(super) fn page(readings: &Readings) -> String {
    let mut page = Page(String::with_capacity(8 << 10));
    about_sessions(&mut page, readings);
    about_alerts(&mut page, readings);
    about_notifiers(&mut page, readings);
    about_the_watch(&mut page, readings);
    page.0
}

fn about_sessions(page: &mut Page, readings: &Readings) {
    let help = "Sessions in the state directory, by status.";
    page.by(
        "tracer_sessions",
        "gauge",
        help,
        "status",
        &readings.sessions,
    );
    page.one(
        "tracer_processes_tracked",
        "gauge",
        "Processes that the kernel side tracks.",
        readings.processes_tracked,
    );
    page.one(
        "tracer_watch_processes_seen",
        "gauge",
        "Processes that the last look went through.",
        readings.processes_seen,
    );
    let help = "Events from the kernel side, by kind.";
    page.by(
        "tracer_events_total",
        "counter",
        help,
        "kind",
        &readings.events,
    );
    let help = "Events that were lost, by reason.";
    page.by(
        "tracer_events_lost_total",
        "counter",
        help,
        "reason",
        &readings.lost,
    );
}

fn about_alerts(page: &mut Page, readings: &Readings) {
    let help = "Alerts that are open, by kind.";
    page.by(
        "tracer_watch_alerts_open",
        "gauge",
        help,
        "kind",
        &readings.alerts_open,
    );
    let name = "tracer_watch_decisions_total";
    page.metric(
        name,
        "counter",
        "Alerts, repetitions and recoveries that were told, by kind.",
    );
    for ((kind, decision), count) in &readings.decisions {
        page.line(name, &[("kind", kind), ("decision", decision)], count);
    }
}

fn about_notifiers(page: &mut Page, readings: &Readings) {
    let name = "tracer_notifier_alerts_total";
    page.metric(
        name,
        "counter",
        "Alerts by what became of them: delivered, or dropped for want of room, age or acceptance.",
    );
    for one in &readings.notifiers {
        for (outcome, count) in [("delivered", one.delivered), ("dropped", one.dropped)] {
            let labels = [
                ("notifier", &*one.notifier),
                ("channel", one.channel),
                ("outcome", outcome),
            ];
            page.line(name, &labels, count);
        }
    }
    let name = "tracer_notifier_failed_attempts_total";
    page.metric(name, "counter", "Attempts that failed and are made again.");
    for one in &readings.notifiers {
        let labels = [("notifier", &*one.notifier), ("channel", one.channel)];
        page.line(name, &labels, one.failed);
    }
    let name = "tracer_notifier_queued_alerts";
    page.metric(name, "gauge", "Alerts that wait for delivery.");
    for one in &readings.notifiers {
        let labels = [("notifier", &*one.notifier), ("channel", one.channel)];
        page.line(name, &labels, one.queued);
    }
}

fn about_the_watch(page: &mut Page, readings: &Readings) {
    let name = "tracer_watch_tick_duration_seconds";
    page.metric(name, "histogram", "How long one look took.");
    let bucket = format!("{name}_bucket");
    for (bound, count) in readings.ticks.buckets() {
        page.line(&bucket, &[("le", &bound.to_string())], count);
    }
    let (count, sum) = (readings.ticks.count(), readings.ticks.sum());
    page.line(&bucket, &[("le", "+Inf")], count);
    page.line(&format!("{name}_sum"), &[], sum.as_secs_f64());
    page.line(&format!("{name}_count"), &[], count);
    page.one(
        "tracer_watch_ticks_missed_total",
        "counter",
        "Looks that began late because the one before took too long.",
        readings.ticks_missed,
    );
    let name = "tracer_watch_degraded";
    page.metric(
        name,
        "gauge",
        "1 for each part that does not work as it should.",
    );
    for degraded in &readings.degraded {
        page.line(name, &[("part", &degraded.part)], 1);
    }
    page.one(
        "tracer_watch_config_last_reload_successful",
        "gauge",
        "Whether the settings were last read well.",
        u8::from(readings.config_ok),
    );
    let name = "tracer_build_info";
    page.metric(name, "gauge", "1, and the version in a label.");
    page.line(name, &[("version", env!("CARGO_PKG_VERSION"))], 1);
    let help = "CPU time of the watch itself.";
    page.one(
        "process_cpu_seconds_total",
        "counter",
        help,
        readings.cpu.as_secs_f64(),
    );
    let help = "Resident memory of the watch itself.";
    page.one(
        "process_resident_memory_bytes",
        "gauge",
        help,
        readings.rss_bytes,
    );
    let help = "Open descriptors of the watch itself.";
    page.one("process_open_fds", "gauge", help, readings.open_fds);
    let help = "When the watch began, in seconds since 1970.";
    page.one(
        "process_start_time_seconds",
        "gauge",
        help,
        readings.start_time_s,
    );
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::watch::metrics::Degraded;

    #[test]
    fn a_label_cannot_end_its_line() {
        let mut readings = Readings::default();
        let name = "a\\b\"c\nd".to_owned();
        readings.degraded.push(Degraded {
            part: name,
            why: String::new(),
        });
        let text = page(&readings);
        assert!(
            text.contains("tracer_watch_degraded{part=\"a\\\\b\\\"c\\nd\"} 1\n"),
            "{text}"
        );
    }

    #[test]
    fn a_histogram_adds_up_and_a_bound_belongs_to_its_bucket() {
        let mut readings = Readings::default();
        for took in [1, 5, 6, 7000] {
            readings.ticks.add(Duration::from_millis(took));
        }
        let text = page(&readings);
        for line in [
            "_bucket{le=\"0.001\"} 1",
            "_bucket{le=\"0.005\"} 2",
            "_bucket{le=\"0.01\"} 3",
            "_bucket{le=\"1\"} 3",
            "_bucket{le=\"5\"} 3",
            "_bucket{le=\"+Inf\"} 4",
            "_sum 7.012",
            "_count 4",
        ] {
            let line = format!("tracer_watch_tick_duration_seconds{line}\n");
            assert!(text.contains(&line), "{line}: {text}");
        }
    }
}
