//! Alerts to tell, and notifiers with everything they say kept.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use tracer::{
    config::watch::{Flags, load},
    watch::{
        alert::{Alert, Decision, Detail, Kind, Severity},
        notify::{Counters, Notifiers},
    },
};

/// Notifiers of a test.
pub(crate) struct Told {
    /// They.
    pub(crate) notifiers: Notifiers,
    said: Arc<Mutex<Vec<String>>>,
}

impl Told {
    /// Notifiers as this configuration file has them, with their queues in `dir`.
    ///
    /// # Errors
    /// The file, or a notifier, cannot be used.
    pub(crate) fn start(file: &str, dir: &Path) -> Result<Self> {
        let said = Arc::new(Mutex::new(Vec::new()));
        let theirs = Arc::clone(&said);
        let file = format!("[notify]\nstdout = false\n{file}");
        let loaded = load(&file, &|_| None, &Flags::default())?;
        anyhow::ensure!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        let notifiers = Notifiers::start(
            &loaded.settings.notify,
            dir,
            &(Arc::new(move |line: &str| {
                theirs
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(line.to_owned());
            }) as _),
        )?;
        Ok(Self { notifiers, said })
    }

    /// What they have said, line by line.
    #[must_use]
    pub(crate) fn said(&self) -> Vec<String> {
        self.said
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Counters of one of them.
    #[must_use]
    pub(crate) fn counters(&self, name: &str) -> Option<Counters> {
        let mut all = self.notifiers.counters().into_iter();
        all.find(|counters| counters.notifier == name)
    }
}

/// An orphan with this pid, just found.
#[must_use]
pub(crate) fn orphan(pid: u32) -> Alert {
    let now = jiff::Timestamp::now();
    Alert {
        key: format!("orphan:boot:{pid}:77"),
        kind: Kind::Orphan,
        decision: Decision::Alert,
        severity: Severity::Warning,
        at: now,
        since: now,
        text: format!("pid {pid} (pytest) has lost its parent"),
        labels: BTreeMap::from([
            ("pid".to_owned(), pid.to_string()),
            ("comm".to_owned(), "pytest".to_owned()),
        ]),
        details: BTreeMap::from([("age_s".to_owned(), Detail::Number(3601))]),
    }
}

/// The end of that.
#[must_use]
pub(crate) fn recovery(alert: &Alert) -> Alert {
    Alert {
        decision: Decision::Recovery,
        at: jiff::Timestamp::now(),
        ..alert.clone()
    }
}
