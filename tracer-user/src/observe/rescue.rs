//! What becomes of a command whose observation a panic has ended: it goes on.
//!
//! The record is ended as crashed before anything unwinds. What is left to do is what a shell would: pass
//! signals on, wait, and hand the exit code back.

use super::{Audience, Ending, ObserveError, command::Command, ready::event_loop};
use crate::{config::RunConfig, session::crash::panics::Panicked, target::RunningChild};

/// Serves the command to its end. One that had not begun begins, unless it was not to without a trace.
pub(super) fn rescue(
    config: &RunConfig,
    command: Command,
    running: Option<RunningChild>,
    panicked: Panicked,
    audience: &mut dyn Audience,
) -> Result<Ending, ObserveError> {
    audience.notice(&format!(
        "a mistake in tracer has ended the record, the command goes on: {panicked}"
    ));
    let served = event_loop()?.block_on(command.go_on(running, !config.require_trace));
    audience.raw_terminal(false);
    served.unwrap_or(Err(panicked.into()))
}
