//! The rules for anomaly records: each opens once, closes at most once, and nothing is open twice. Pure.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::session::journal::{
    anomaly::{Anomaly, Stage},
    record::{End, ObserverEnding},
};

/// What is wrong, and about whom: of these only one may be open at a time.
type Matter = (String, u32, Option<u64>, Option<String>);

/// Checks them in their order.
#[derive(Debug, Default)]
pub(super) struct AnomalyRules {
    open: HashMap<u64, Matter>,
    matters: HashSet<Matter>,
    last_no: u64,
    again: u64,
    doubled: u64,
    unopened: u64,
    open_at_end: u64,
}

impl AnomalyRules {
    pub(super) fn entry(&mut self, anomaly: &Anomaly) {
        let command = anomaly.detail.get("command_id").and_then(Value::as_str);
        match anomaly.phase {
            Stage::Opened => {
                self.again += u64::from(anomaly.no <= self.last_no);
                self.last_no = self.last_no.max(anomaly.no);
                let matter = (
                    anomaly.anomaly.clone(),
                    anomaly.pid,
                    anomaly.starttime_ticks,
                    command.map(str::to_owned),
                );
                self.doubled += u64::from(!self.matters.insert(matter.clone()));
                self.open.insert(anomaly.no, matter);
            }
            Stage::Closed => match self.open.remove(&anomaly.no) {
                Some(matter) if matter.0 == anomaly.anomaly => {
                    self.matters.remove(&matter);
                }
                _ => self.unopened += 1,
            },
        }
    }

    /// An observer that came to its end has closed what was open.
    pub(super) fn end(&mut self, end: &End) {
        if matches!(
            end.ending,
            ObserverEnding::Completed | ObserverEnding::Stopped
        ) {
            self.open_at_end = self.open.len() as u64;
        }
    }

    /// What is broken, in words.
    pub(super) fn finish(self) -> Vec<String> {
        [
            (self.again, "with a number that was there before"),
            (self.doubled, "opened that were open already"),
            (self.unopened, "closed that were not open"),
            (self.open_at_end, "open behind the end"),
        ]
        .into_iter()
        .filter(|&(count, _)| count > 0)
        .map(|(count, what)| match count {
            1 => format!("1 anomaly {what}"),
            n => format!("{n} anomalies {what}"),
        })
        .collect()
    }
}
