//! Which trees the watch follows, where their cgroups are, and whom they have orphaned.
//!
//! Cgroups and containers are looked for at each look and whenever the kernel says that one was made; names
//! need no looking for. What cannot be followed at all is an error at the beginning; what goes wrong later
//! is said once, and is a degraded part for as long as it lasts.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};

use super::{
    keeping::Keeping,
    leftovers::may_live,
    orders::Orders,
    places::{Checked, Place},
    source::Source,
};
use crate::{
    config::watch::follow::FollowSettings,
    observe::{ObserveError, losses::KINDS},
    procfs::ProcRoot,
    units::{BootNs, Comm, Ticks},
    watch::{
        decide::Who,
        metrics::{Degraded, Readings},
        notify::Say,
        orphan::{FollowedTree, Orphan, Orphans, Parent},
    },
};

/// The part that is degraded, in metrics.
const PART: &str = "kernel";
/// From the making of a cgroup until it can be found, and a container has one more below it.
const SETTLE: Duration = Duration::from_millis(20);
/// Looking for cgroups as they are made takes at most one part in so many of the time.
const SHARE: u32 = 20;

/// Longest time for the source to end when nothing is to be followed any more.
const STOP: Duration = Duration::from_secs(5);

/// The followed trees of one watch.
pub(super) struct Following<'a> {
    keeping: &'a Keeping<'a>,
    boot_id: String,
    settings: FollowSettings,
    places: Vec<Place>,
    source: Option<Source>,
    /// Why there is no source although there should be.
    why_not: Option<String>,
    /// What was said of the source.
    said: BTreeSet<String>,
    orphans: Orphans,
    /// Of whom it was asked whether a session has them.
    asked: BTreeSet<Who>,
    took: Duration,
}

impl<'a> Following<'a> {
    /// Begins to follow. Without the means for it that is said, and the watch goes on without. `once`: one
    /// look is no time in which a parent could be seen to end.
    pub(super) fn begin(
        settings: &FollowSettings,
        once: bool,
        keeping: &'a Keeping<'a>,
        (proc, say): (&ProcRoot, &Say),
    ) -> Result<Self, ObserveError> {
        let boot_id = proc.host().boot_id.clone();
        let mut following = Self {
            keeping,
            boot_id,
            settings: FollowSettings::default(),
            places: Vec::new(),
            source: None,
            why_not: None,
            said: BTreeSet::new(),
            orphans: Orphans::new(),
            asked: BTreeSet::new(),
            took: Duration::ZERO,
        };
        if settings.is_empty() {
            return Ok(following);
        }
        following.orphans = keeping.read_orphans(&following.boot_id, say);
        if once {
            say("--once looks once, and so follows no tree: nobody is seen to lose a parent");
            return Ok(following);
        }
        let checked = Checked::look(settings).map_err(ObserveError::Failed)?;
        following.follow(checked, say);
        Ok(following)
    }

    /// Follows these from now on.
    pub(super) fn follow(&mut self, checked: Checked, say: &Say) {
        let has_source = self
            .source
            .as_ref()
            .is_some_and(|source| !source.has_ended());
        if checked.settings == self.settings && (has_source || checked.settings.is_empty()) {
            return;
        }
        self.settings = checked.settings;
        self.places = checked.places;
        self.why_not = None;
        for place in &mut self.places {
            place.tell(say);
        }
        if self.settings.is_empty() {
            self.stop(STOP);
            self.orphans.clear();
            self.keep(say);
            return;
        }
        if let Some(source) = self.source.as_ref().filter(|_| has_source) {
            source.order(self.orders());
            say(&format!("now following {}", self.flags()));
            return;
        }
        self.source = match Source::start(self.orders()) {
            Ok(source) => {
                say(&format!("following {}", self.flags()));
                Some(source)
            }
            Err(why) => {
                say(&format!(
                    "not following any tree: {why}; what fits a pattern and what sessions left is \
                     looked for all the same"
                ));
                self.why_not = Some(why);
                None
            }
        };
    }

    /// Looks where the cgroups are, and who has been orphaned since the last look.
    pub(super) fn look(&mut self, proc: &ProcRoot, now: BootNs, at: Timestamp, say: &Say) {
        self.find(say);
        let before: Vec<Who> = self.orphans.keys().copied().collect();
        // Who is in the forest lives; of the others, of an earlier watcher, `/proc` is asked.
        let mut alive = BTreeSet::new();
        if let Some(source) = &self.source {
            let clk_tck = proc.host().clk_tck;
            let shared = source.shared();
            for (process, ended, root) in shared.forest.orphans() {
                let who = Who {
                    pid: process.tgid,
                    start: process.key.start.to_ticks(clk_tck),
                };
                if !alive.insert(who) || self.orphans.contains_key(&who) {
                    continue;
                }
                let ago = i64::try_from(now.since(ended.t) / 1_000_000).unwrap_or(i64::MAX);
                let ended_at = at
                    .checked_sub(SignedDuration::from_millis(ago))
                    .unwrap_or(at);
                let ended_at = Timestamp::from_millisecond(ended_at.as_millisecond());
                let orphan = Orphan {
                    parent: Parent {
                        pid: ended.process.tgid,
                        comm: ended.comm.to_text(),
                        cmdline: ended.cmdline.to_string(),
                        ended: ended.how.clone(),
                        ended_at: ended_at.unwrap_or(at),
                    },
                    tree: FollowedTree {
                        root: root.process.tgid,
                        root_comm: root.comm.to_text(),
                        by: root.by.clone(),
                    },
                    session: None,
                };
                self.orphans.insert(who, orphan);
            }
        }
        let lives = |who: &Who| alive.contains(who) || may_live(proc, *who);
        self.orphans.retain(|who, _| lives(who));
        if !before.iter().eq(self.orphans.keys()) {
            self.keep(say);
        }
        for wrong in self.degraded() {
            if Some(&wrong.why) != self.why_not.as_ref() && self.said.insert(wrong.why.clone()) {
                say(&format!("following trees: {}", wrong.why));
            }
        }
    }

    /// Who lives on although its parent was seen to end.
    pub(super) fn orphans(&self) -> &Orphans {
        &self.orphans
    }

    /// Those that began so long ago and of whom it was not asked yet whether a session has them.
    pub(super) fn unasked(&mut self, older_than: Ticks) -> Vec<Who> {
        let orphans = self.orphans.keys().copied();
        let unasked: Vec<Who> = orphans
            .filter(|who| who.start < older_than && !self.asked.contains(who))
            .collect();
        self.asked.retain(|who| self.orphans.contains_key(who));
        self.asked.extend(&unasked);
        unasked
    }

    /// These are on record.
    pub(super) fn of_sessions(&mut self, sessions: HashMap<Who, String>, say: &Say) {
        if sessions.is_empty() {
            return;
        }
        for (who, session) in sessions {
            if let Some(orphan) = self.orphans.get_mut(&who) {
                orphan.session = Some(session);
            }
        }
        self.keep(say);
    }

    /// Completes when a cgroup was made and can be looked for; for ever, where nobody would say so.
    pub(super) async fn cgroup_made(&self) {
        match &self.source {
            Some(source) => source.cgroup_made().await,
            None => std::future::pending().await,
        }
        tokio::time::sleep(SETTLE.max(self.took.saturating_mul(SHARE))).await;
    }

    /// Looks where the cgroups are now.
    pub(super) fn find(&mut self, say: &Say) {
        let began = Instant::now();
        for place in &mut self.places {
            place.wrong = place.look(false).err();
        }
        if let Some(source) = &self.source {
            source.order(self.orders());
        }
        // Only now it is true.
        for place in &mut self.places {
            place.tell(say);
        }
        self.took = began.elapsed();
    }

    /// What the source measures.
    pub(super) fn read_into(&self, readings: &mut Readings) {
        readings.degraded.extend(self.degraded());
        let Some(source) = &self.source else { return };
        let shared = source.shared();
        readings.processes_tracked = shared.forest.len() as u64;
        for (kind, name) in KINDS {
            let sent = shared.sent.get(usize::from(kind)).copied().unwrap_or(0);
            readings.events.insert(name.to_owned(), sent);
        }
        readings.lost.clone_from(&shared.lost);
    }

    /// Ends.
    pub(super) fn stop(&mut self, deadline: Duration) {
        if let Some(source) = self.source.take() {
            source.stop(deadline);
        }
    }

    fn degraded(&self) -> Vec<Degraded> {
        let mut wrong: Vec<String> = self.why_not.iter().cloned().collect();
        let places = self.places.iter();
        wrong.extend(places.filter_map(|place| {
            let why = place.wrong.as_ref()?;
            Some(format!("{}: {why}", place.flag))
        }));
        if let Some(source) = &self.source {
            if source.has_ended() {
                wrong.push("the kernel source has ended; SIGHUP starts it again".to_owned());
            }
            let shared = source.shared();
            wrong.extend(shared.wrong.iter().cloned());
            if !shared.lost.is_empty() {
                wrong.push("events were lost: an orphan may be unknown".to_owned());
            }
        }
        let degraded = |why| Degraded {
            part: PART.to_owned(),
            why,
        };
        wrong.into_iter().map(degraded).collect()
    }

    /// What is followed now, as a person would say it.
    fn flags(&self) -> String {
        let names = self.settings.comms.iter();
        let names = names.map(|name| format!("--follow-comm {name}"));
        let there = self.places.iter().filter(|place| place.found.is_some());
        let flags: Vec<String> = names.chain(there.map(|place| place.flag.clone())).collect();
        match flags.as_slice() {
            [] => "nothing yet".to_owned(),
            flags => flags.join(", "),
        }
    }

    fn orders(&self) -> Orders {
        let mut orders = Orders {
            of_cgroups: !self.places.is_empty(),
            ..Orders::default()
        };
        for name in &self.settings.comms {
            orders.follow.name(name.as_bytes());
            let shown = Comm::from_bytes(name.as_bytes()).to_text();
            orders
                .by_name
                .insert(shown, format!("--follow-comm {name}"));
        }
        for place in &self.places {
            if let Some(found) = &place.found {
                orders.follow.cgroups.insert(found.id);
                orders.by_cgroup.insert(found.id, place.flag.clone());
            }
        }
        orders
    }

    fn keep(&self, say: &Say) {
        self.keeping
            .write_orphans(&self.orphans, &self.boot_id, say);
    }
}
