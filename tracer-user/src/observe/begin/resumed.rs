//! A session that goes on under another observer: the next epoch.

use std::sync::Arc;

use super::Session;
use crate::{
    config::ResumeConfig,
    observe::{ObserveError, own},
    procfs::ProcRoot,
    session::{
        Store,
        crash::slot,
        epochs::Standing,
        journal::info::SessionInfo,
        recorder::{self, Recorder},
        store::ClaimedSession,
        summary::Summarizer,
    },
};

impl Session {
    /// Goes on with the session `first` tells of, whose lease is ours. What earlier observers wrote is
    /// not touched. `fold` and `standing` are what their records came to.
    pub(in crate::observe) fn resume(
        proc: &ProcRoot,
        config: &ResumeConfig,
        store: Store,
        claimed: ClaimedSession,
        first: SessionInfo,
        (fold, standing): (Summarizer, &Standing),
    ) -> Result<Self, ObserveError> {
        let info = SessionInfo {
            epoch: standing.next_epoch,
            clock: own::clock_pair(proc),
            observer: own::identity(proc),
            ..first
        };
        let _silent = slot::install();
        let options = recorder::Options {
            boot_offset: proc.host().boot_offset,
            ..recorder::Options::default()
        };
        let recorder = Recorder::reopen(&store, claimed, standing, info.clone(), fold, options)?;
        let kept = (store, config.keep, config.bpffs.clone());
        Ok(Self::of(recorder, info, kept, Arc::default()))
    }
}
