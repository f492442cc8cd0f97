//! Which sessions a listing shows. Pure.

use jiff::Timestamp;

use super::Listed;
use crate::session::SessionId;

/// What a listing is narrowed to; all conditions hold together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Each must be there, with this value where one is given.
    pub labels: Vec<(String, Option<String>)>,
    /// One of these; any when empty. `ended` stands for every kind of ended.
    pub statuses: Vec<String>,
    /// Started then or later.
    pub since: Option<Timestamp>,
    /// Started before.
    pub until: Option<Timestamp>,
    /// What ended before this is left out: the listing was cleared then.
    pub fence: Option<Timestamp>,
}

/// What an id alone says about a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ById {
    /// It is left out.
    Out,
    /// It is shown.
    In,
    /// The session must be looked at.
    Unknown,
}

impl Filter {
    /// What can be said before anything of the session is read. An id whose digits are no date began
    /// at no known time: no limit on time admits it.
    #[must_use]
    pub fn by_id(&self, id: &SessionId) -> ById {
        let start = id.started();
        let late = |at: Timestamp| start.is_some_and(|start| start >= at);
        let early = |at: Timestamp| start.is_some_and(|start| start < at);
        if self.since.is_some_and(|since| !late(since))
            || self.until.is_some_and(|until| !early(until))
        {
            return ById::Out;
        }
        // What began behind the fence has not ended before it.
        let fenced = self.fence.is_some_and(|fence| !late(fence));
        if fenced || !self.labels.is_empty() || !self.statuses.is_empty() {
            ById::Unknown
        } else {
            ById::In
        }
    }

    /// Whether a session that [`Self::by_id`] did not leave out is shown.
    #[must_use]
    pub fn admits(&self, session: &Listed) -> bool {
        let label = |(key, wanted): &(String, Option<String>)| {
            session
                .labels
                .get(key)
                .is_some_and(|value| wanted.as_ref().is_none_or(|wanted| wanted == value))
        };
        let status = |wanted: &String| {
            *wanted == session.status || (wanted == "ended" && session.has_ended())
        };
        self.labels.iter().all(label)
            && (self.statuses.is_empty() || self.statuses.iter().any(status))
            && !self.is_fenced(session)
    }

    fn is_fenced(&self, session: &Listed) -> bool {
        let (Some(fence), Some(ended)) = (self.fence, session.ended) else {
            // What has not ended, or cannot be told, stays in sight.
            return false;
        };
        ended < fence
    }
}
