//! Older sessions make room when one has ended.

use std::time::{Duration, Instant};

use crate::observe::{follower::Follower, pins};
use crate::session::retain::retain;

/// How long the user waits for it: there is a next time.
const PATIENCE: Duration = Duration::from_secs(2);

impl Follower<'_> {
    /// Removes the finished sessions that are too many by `--keep`, never this one.
    pub(super) fn make_room(&mut self) {
        let session = &self.session;
        // What the kernel may still hold of a session, nobody has read yet.
        let pinned = pins::found(session.bpffs.as_deref(), &session.store);
        let retained = retain(
            &session.store,
            session.keep as usize,
            Some(&session.info.session_id),
            |id| pinned.iter().any(|pin| pin.session == id.as_str()),
            Instant::now() + PATIENCE,
        );
        let problem = match retained {
            Err(error) => Some(error.to_string()),
            Ok(done) => done.kept.into_iter().next().map(|(_, why)| why),
        };
        if let Some(why) = problem {
            self.say(&format!("an older session could not be removed: {why}"));
        }
    }
}
