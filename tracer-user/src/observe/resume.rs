//! `tracer recover --resume`: goes on with a session whose observer was killed and whose target lives.
//!
//! Same session, next epoch. The tree comes from the journals, what happened meanwhile from the pins;
//! then it is subject like any other until the target ends. Without pins the kernel side is loaded
//! anew and the living adopted; what came and went in between is missing, and the gap says so.

use std::iter;

use crate::{
    config::{AttachConfig, Durability, Follow, ObserveConfig, ResumeConfig},
    event::Event,
    observe::{
        Audience, Ending, ObserveError,
        attached::Attachment,
        begin::Session,
        end::Stop,
        error::chain,
        follower::Follower,
        kernel::{self, Kernel},
        losses::Told,
        past::Past,
        pins, priority,
        ready::event_loop,
        recover,
        unattended::unattended,
    },
    probe::{attached::Attached, decode::DecodeUnits, object::BUILT_BY},
    procfs::ProcRoot,
    session::{
        SessionId, Store,
        crash::panics::survive,
        derive::Watched,
        epochs::{self, Standing},
        journal::{
            info::parse_object,
            notes::{UNSAMPLED, UNWATCHED},
            record::{Body, Gap, Note, Record},
        },
        store::{ClaimedSession, SessionClaim},
        summary::Summarizer,
    },
    units::BootNs,
};

/// Why a session is not resumed whose target was alive a moment ago, or never.
const TOO_LATE: &str = "its target has ended; run tracer recover";

/// What a session is resumed with.
struct Found {
    probe: Attached,
    /// What happened since the journals stop, and what of it was lost; empty when nobody was there to
    /// see it.
    rest: (Vec<Event>, Vec<Record>),
    /// The losses that are known, with these.
    told: Told,
    /// The kernel side went on.
    went_on: bool,
    /// What cannot be observed from here on.
    degraded: Vec<String>,
}

/// Goes on with a session until its target ends.
///
/// # Errors
/// [`ObserveError`] when somebody else has it, it has ended, or its target has.
pub fn resume(
    config: &ResumeConfig,
    id: &SessionId,
    audience: &mut dyn Audience,
) -> Result<Ending, ObserveError> {
    priority::go_ahead();
    let proc = ProcRoot::open("/proc")?;
    let store = recover::store(config.state_dir.as_deref())?;
    let claimed = match store.claim(id).map_err(failed)? {
        SessionClaim::Held(claimed) => claimed,
        SessionClaim::Taken => return Err(refused(id, "somebody else has it")),
    };
    let (past, fold, standing) = relive(id, &claimed, &proc)?;
    let Some(subject) = past.followed() else {
        return Err(refused(id, TOO_LATE));
    };
    let attach = AttachConfig {
        pid: subject.tgid.0,
        follow: Follow::Root,
        timeout: std::time::Duration::MAX,
        observe: observe_config(config, &past),
    };
    let mut attachment = Attachment::check(&proc, &attach).map_err(|error| match error {
        ObserveError::Attach(error) if error.is_over() => refused(id, TOO_LATE),
        error => error,
    })?;
    let start = past.info.tick_rule.ticks(subject.key.start);
    let there = proc.process(subject.tgid).and_then(|dir| dir.stat());
    if !there.is_ok_and(|stat| stat.start_time == start) {
        return Err(refused(id, TOO_LATE));
    }
    let units = DecodeUnits {
        page_kb: proc.host().page_size / 1024,
    };
    let mut found = take_over(config, &past, &claimed, &store, units, audience)?;

    let first = past.info.clone();
    let fold = (fold, &standing);
    let session = Session::resume(&proc, config, store, claimed, first, fold);
    let session = match session {
        Ok(session) => session,
        Err(error) => {
            found.probe.leave_pins();
            return Err(error);
        }
    };
    let observed = survive(|| {
        event_loop()?.block_on(async {
            let mut follower = Follower::resume(session, proc, audience, past, subject);
            let gap = gap(&standing, follower.clock_now(), found.went_on);
            let degraded = found.degraded.iter().map(|lost| Note::degraded(lost));
            let notes = iter::once(Note::resumed(found.went_on)).chain(degraded);
            let notes = notes.map(|note| follower.now(Body::Note(Box::new(note))));
            let first = iter::once(gap).chain(notes).collect();
            let mut kernel = Kernel::resume(found.probe, units, found.told)?;
            if !found.went_on {
                kernel.adopt(subject.tgid, false)?;
            }
            follower.go_on(kernel, first, found.rest);
            let stop = attachment.watch(&mut follower, &attach).await;
            follower.end(&stop, attachment.asking(&stop)).await;
            match stop {
                Stop::Failed(why) => Err(ObserveError::Failed(why)),
                _ => Ok(Ending { exit_code: 0 }),
            }
        })
    });
    observed.unwrap_or_else(|panicked| Err(panicked.into()))
}

/// Reads all that was recorded.
fn relive(
    id: &SessionId,
    claimed: &ClaimedSession,
    proc: &ProcRoot,
) -> Result<(Past, Summarizer, Standing), ObserveError> {
    let info = epochs::session_info(&claimed.dir).map_err(failed)?;
    let info = info.ok_or_else(|| refused(id, "it has no readable session record"))?;
    if info.boot_id != proc.host().boot_id {
        return Err(refused(id, "it is of another boot; run tracer recover"));
    }
    let mut both = Watched {
        onlooker: Past::new(info.clone()),
        fold: Summarizer::new(info),
    };
    let standing = epochs::replay(&claimed.dir, &mut both).map_err(failed)?;
    if standing.end.is_some() {
        return Err(refused(id, "it has ended"));
    }
    Ok((both.onlooker, both.fold, standing))
}

/// The kernel side that is there, or another one.
fn take_over(
    config: &ResumeConfig,
    past: &Past,
    claimed: &ClaimedSession,
    store: &Store,
    units: DecodeUnits,
    audience: &mut dyn Audience,
) -> Result<Found, ObserveError> {
    let id = &past.info.session_id;
    let bpffs = pins::place(config.bpffs.as_deref()).ok();
    let left = bpffs.map(|bpffs| unattended(&bpffs, id, &claimed.dir, units));
    if let Some(left) = left.transpose().map_err(failed)?.flatten() {
        // Only then are what the pinned maps hold and what is embedded here of one mind.
        let is_same_build = past.info.object == parse_object(BUILT_BY);
        let probe = left.pins.take_over(is_same_build).map_err(failed)?;
        return Ok(Found {
            degraded: news(past, Kernel::degraded(&probe)),
            probe,
            rest: (left.events, left.losses),
            told: left.told,
            went_on: true,
        });
    }
    let mut probe = kernel::load(config.ring_bytes, false)?;
    let mut degraded = Kernel::degraded(&probe);
    if let Err(unpinned) = pins::pin(&mut probe, config.bpffs.as_deref(), id, store) {
        audience.notice(&unpinned.notice());
        degraded.push(unpinned.degraded());
    }
    Ok(Found {
        degraded: news(past, degraded),
        probe,
        rest: Default::default(),
        told: Told::default(),
        went_on: false,
    })
}

/// What the `session` record does not name yet.
fn news(past: &Past, degraded: Vec<String>) -> Vec<String> {
    let known = &past.info.degraded;
    let degraded = degraded.into_iter();
    degraded.filter(|lost| !known.contains(lost)).collect()
}

/// The stretch without an observer: without rows where the kernel side went on, else without anything.
fn gap(standing: &Standing, now: BootNs, went_on: bool) -> Record {
    let reason = if went_on { UNSAMPLED } else { UNWATCHED };
    Record {
        t: now,
        body: Body::Gap(Box::new(Gap {
            reason: reason.to_owned(),
            dropped: 0,
            first_t: standing.last_t,
            last_t: now,
        })),
    }
}

fn observe_config(config: &ResumeConfig, past: &Past) -> ObserveConfig {
    ObserveConfig {
        expect: None,
        interval: past.info.interval,
        slow_every: 1,
        labels: past.info.labels.clone(),
        state_dir: config.state_dir.clone(),
        bpffs: config.bpffs.clone(),
        json: None,
        redact: past.info.redact,
        show: config.show,
        durability: Durability::default(),
        ring_bytes: config.ring_bytes,
        attach_files: Vec::new(),
        keep: config.keep,
        thresholds: past.anomalies.thresholds(),
    }
}

fn refused(id: &SessionId, why: &str) -> ObserveError {
    ObserveError::Failed(format!("cannot resume {id}: {why}"))
}

fn failed(error: impl std::error::Error) -> ObserveError {
    ObserveError::Failed(format!("cannot resume: {}", chain(&error)))
}
