//! The caller's own files, copied into the session before its end is written.
//!
//! On a thread of its own: a file on a dead network disk must hang neither the events nor the end. What
//! became of each file is a note in the journal, and said where it is not there.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::mpsc, time::Instant};

use crate::observe::follower::Follower;
use crate::session::{
    attach_file::{ATTACHMENTS_MAX, AttachError, Copied, attach, note},
    journal::info::Attachment,
};

/// How long all files together may take.
const PATIENCE: Duration = Duration::from_secs(5);

type Copy = (Attachment, Result<Copied, AttachError>);

/// A thread that copies, for as long as anybody waits for it.
struct Copying {
    results: mpsc::Receiver<Copy>,
    go_on: Arc<AtomicBool>,
}

impl Drop for Copying {
    fn drop(&mut self) {
        // The thread is not joined: it may hang in a file. It stops with the piece it is at.
        self.go_on.store(false, Ordering::Release);
    }
}

impl Follower<'_> {
    /// Copies the files that `--attach-file` names. Events are taken meanwhile.
    pub(super) async fn attach_files(&mut self) {
        let mut left = self.session.info.attachments.clone();
        if left.is_empty() {
            return;
        }
        let mut copying = match self.start_copying(left.clone()) {
            Ok(copying) => copying,
            Err(why) => return self.say(&format!("--attach-file: nothing was copied: {why}")),
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            tokio::select! {
                copy = copying.results.recv() => {
                    let Some((file, result)) = copy else { break };
                    left.retain(|other| other.name != file.name);
                    self.attached(&file, &result);
                }
                () = self.readable() => { self.take_events(); }
                () = tokio::time::sleep_until(deadline) => break,
            }
        }
        drop(copying);
        for file in left {
            self.attached(&file, &Err(AttachError::OutOfTime));
        }
    }

    fn attached(&mut self, file: &Attachment, result: &Result<Copied, AttachError>) {
        let note = note(file, result);
        if result.is_err() {
            self.say(&format!("--attach-file: {}", note.text));
        }
        self.note(note);
    }

    fn start_copying(&self, files: Vec<Attachment>) -> Result<Copying, String> {
        let session = &self.session;
        let dir = session.store.existing_session(&session.info.session_id);
        let dir = dir.map_err(|error| error.to_string())?;
        let (sender, results) = mpsc::channel(ATTACHMENTS_MAX);
        let go_on = Arc::new(AtomicBool::new(true));
        let thread = {
            let go_on = Arc::clone(&go_on);
            move || {
                for file in files {
                    let result = attach(&dir, &file, || go_on.load(Ordering::Acquire));
                    // There is room for all; nobody listens any more when this fails.
                    if sender.try_send((file, result)).is_err() {
                        return;
                    }
                }
            }
        };
        std::thread::Builder::new()
            .name("attachments".to_owned())
            .spawn(thread)
            .map_err(|error| error.to_string())?;
        Ok(Copying { results, go_on })
    }
}
