//! The cgroups and containers that are to be followed, each where it is now.
//!
//! What is not there is looked for again and again; what changes is said once.

use std::path::PathBuf;

use super::cgroups::{self, Cgroup};
use crate::{config::watch::follow::FollowSettings, watch::notify::Say};

/// What is to be followed, as far as that can be known beforehand.
pub(super) struct Checked {
    pub(super) settings: FollowSettings,
    pub(super) places: Vec<Place>,
}

impl Checked {
    /// Looks for the cgroups. An error is of what can never be followed.
    pub(super) fn look(settings: &FollowSettings) -> Result<Self, String> {
        let mut places = places(settings);
        for place in &mut places {
            let looked = place.look(true);
            looked.map_err(|why| format!("{}: {why}", place.flag))?;
        }
        Ok(Self {
            settings: settings.clone(),
            places,
        })
    }
}

/// A cgroup or a container that is to be followed.
pub(super) struct Place {
    pub(super) flag: String,
    what: What,
    pub(super) found: Option<Cgroup>,
    /// What is wrong, or that it is not there, as it was last said.
    said: Option<String>,
    /// It cannot be followed.
    pub(super) wrong: Option<String>,
}

enum What {
    Cgroup(PathBuf),
    Container(String),
}

impl Place {
    /// Looks where it is, if it is not where it was.
    pub(super) fn look(&mut self, is_first: bool) -> Result<(), String> {
        if self.found.as_ref().is_some_and(cgroups::is_there) {
            return Ok(());
        }
        self.found = None;
        self.found = match &self.what {
            What::Cgroup(path) => cgroups::cgroup(path)?,
            What::Container(id) => cgroups::container(id, is_first)?,
        };
        Ok(())
    }

    /// Says what has changed.
    pub(super) fn tell(&mut self, say: &Say) {
        let now = match (&self.wrong, &self.found) {
            (Some(why), _) => Some(why.clone()),
            (None, Some(_)) => None,
            (None, None) => Some("is not there; it is followed as soon as it is".to_owned()),
        };
        if now == self.said {
            return;
        }
        match (&now, &self.found) {
            (Some(why), _) => say(&format!("{} {why}", self.flag)),
            (None, Some(found)) => say(&format!(
                "{} is there: following {}",
                self.flag,
                found.path.display()
            )),
            (None, None) => {}
        }
        self.said = now;
    }
}

fn places(settings: &FollowSettings) -> Vec<Place> {
    let place = |flag, what| Place {
        flag,
        what,
        found: None,
        said: None,
        wrong: None,
    };
    let cgroups = settings.cgroups.iter().map(|path| {
        let flag = format!("--follow-cgroup {}", path.display());
        place(flag, What::Cgroup(path.clone()))
    });
    let containers = settings.containers.iter().map(|id| {
        let flag = format!("--follow-container {id}");
        place(flag, What::Container(id.clone()))
    });
    cgroups.chain(containers).collect()
}
