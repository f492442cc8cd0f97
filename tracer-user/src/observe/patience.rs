//! How long the end of a session may take, and less for who asks again.
//!
//! Until the end is on disk the signals stay ours: one that asks to stop asks for what is happening
//! already. Who asks a second time does not want to wait for a slow disk, who asks a third time not at
//! all.

use std::{
    os::fd::AsFd,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    pipe::{PipeFlags, pipe_with},
};

use crate::{
    observe::begin::Session,
    session::{
        crash::stack::SignalStack,
        recorder::{EndInfo, FinishReport, Hurry},
        summary::Summary,
    },
    target::signals::{Received, SignalFd},
};

/// How long the disk may take for the end of a session.
const FINISH: Duration = Duration::from_secs(10);
/// The same for a disk that has just refused or not answered: whoever waits for the command waits too.
const FAILING: Duration = Duration::from_secs(1);
/// What is left of it for who asks a second time.
const ASKED_AGAIN: Duration = Duration::from_secs(1);

/// Whether a signal asks to stop.
pub(super) fn asks_to_stop(received: Received) -> bool {
    matches!(
        received.signo,
        libc::SIGINT | libc::SIGTERM | libc::SIGHUP | libc::SIGQUIT
    )
}

/// Who may still ask, and whether somebody has.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) signals: &'a SignalFd,
    /// Before the end began. However often that was: it was said to the command.
    pub(super) asked: bool,
}

/// Time left after so many have asked; `None`: as much as before.
fn left(asked: u32) -> Option<Duration> {
    match asked {
        0 | 1 => None,
        2 => Some(ASKED_AGAIN),
        _ => Some(Duration::ZERO),
    }
}

/// Ends the session, listening meanwhile.
pub(super) fn finish(
    session: &Session,
    info: EndInfo,
    asking: Asking<'_>,
) -> FinishReport<Summary> {
    // A disk that fails now is not waited for as long as one that is slow.
    let patience = if session.recorder.is_failing() {
        FAILING
    } else {
        FINISH
    };
    let hurry = session.recorder.hurry();
    std::thread::scope(|scope| {
        // Its other end is closed when all is done.
        let Ok((done, _open)) = pipe_with(PipeFlags::CLOEXEC) else {
            return session.finish(info, Instant::now() + patience);
        };
        // Without this thread the end takes its time, and is the same.
        let _listener = std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn_scoped(scope, move || listen(asking, &done, &hurry));
        session.finish(info, Instant::now() + patience)
    })
}

/// Looks at signals until `done` is closed.
fn listen(asking: Asking<'_>, done: &impl AsFd, hurry: &Hurry) {
    let _stack = SignalStack::for_this_thread();
    let mut asked = u32::from(asking.asked);
    loop {
        let mut polled = [
            PollFd::new(done, PollFlags::IN),
            PollFd::new(asking.signals, PollFlags::IN),
        ];
        match poll(&mut polled, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
        if !polled[0].revents().is_empty() {
            return;
        }
        loop {
            match asking.signals.next() {
                Ok(Some(received)) if asks_to_stop(received) => {
                    asked = asked.saturating_add(1);
                    if let Some(left) = left(asked) {
                        hurry.by(Instant::now() + left);
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_to_ask_waits_as_long_as_ever_and_the_third_not_at_all() {
        assert_eq!([0, 1].map(left), [None, None]);
        assert_eq!(left(2), Some(ASKED_AGAIN));
        assert_eq!([3, 4, u32::MAX].map(left), [Some(Duration::ZERO); 3]);
        assert!(ASKED_AGAIN < FINISH);
    }

    #[test]
    fn signals_of_other_meanings_ask_for_nothing() {
        let received = |signo| Received {
            signo,
            code: 0,
            pid: 1,
            uid: 0,
        };
        for signo in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT] {
            assert!(asks_to_stop(received(signo)));
        }
        for signo in [libc::SIGCHLD, libc::SIGUSR1, libc::SIGWINCH, libc::SIGCONT] {
            assert!(!asks_to_stop(received(signo)));
        }
    }
}
