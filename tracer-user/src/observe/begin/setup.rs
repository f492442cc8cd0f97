//! What stands before a session: a probe or a reason for none, and whom it is to be about.

use super::{KernelFacts, Session, Subject};
use crate::{
    config::{AttachConfig, RunConfig},
    observe::{
        Audience, ObserveError,
        attached::Attachment,
        command::Command,
        error::chain,
        json::Lines,
        kernel::{self, Kernel},
    },
    probe::{attached::Attached, object::BUILT_BY},
    procfs::ProcRoot,
    session::journal::info::{Mode, parse_object},
};

/// What `run` needs before its command may begin: `/proc`, a probe or a reason for none, a session.
pub(in crate::observe) fn prepare(
    config: &RunConfig,
    command: &Command,
    audience: &mut dyn Audience,
) -> Result<(ProcRoot, Option<Attached>, Session), ObserveError> {
    let proc = ProcRoot::open("/proc")?;
    let mut probe = match kernel::load(config.observe.ring_bytes, true) {
        Ok(probe) => Some(probe),
        Err(error) if config.require_trace => return Err(error.into()),
        Err(error) => {
            audience.notice(&format!("running untraced: {}", chain(&error)));
            None
        }
    };
    let subject = Subject {
        mode: Mode::Run,
        root: command.pid(),
        command: config.command.clone(),
        uid: command.uid(),
        kernel: probe.as_ref().map(kernel_facts),
    };
    let lines = match Lines::start(config.observe.json.as_ref()) {
        Ok(lines) => lines,
        Err(error) if config.require_trace => return Err(error),
        // The record has them all the same.
        Err(error) => {
            audience.notice(&chain(&error));
            Lines::default()
        }
    };
    let session = Session::begin(
        &proc,
        &config.observe,
        subject,
        lines,
        probe.as_mut(),
        audience,
    )?;
    Ok((proc, probe, session))
}

/// What `attach` needs: a probe, and a session of the process that is there.
pub(in crate::observe) fn join(
    proc: &ProcRoot,
    config: &AttachConfig,
    attachment: &Attachment,
    audience: &mut dyn Audience,
) -> Result<(Attached, Session), ObserveError> {
    let mut probe = kernel::load(config.observe.ring_bytes, false)?;
    let subject = Subject {
        mode: Mode::Attach,
        root: attachment.root(),
        command: Vec::new(),
        uid: attachment.uid(),
        kernel: Some(kernel_facts(&probe)),
    };
    let lines = Lines::start(config.observe.json.as_ref())?;
    let session = Session::begin(
        proc,
        &config.observe,
        subject,
        lines,
        Some(&mut probe),
        audience,
    )?;
    Ok((probe, session))
}

/// What the session says of a probe.
fn kernel_facts(probe: &Attached) -> KernelFacts {
    KernelFacts {
        degraded: Kernel::degraded(probe),
        pid_ns: probe.observer().ns_inum.into(),
        object: parse_object(BUILT_BY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_kernel_side_says_what_built_it() {
        let object = parse_object(BUILT_BY);
        assert!(object["compiler"].starts_with("rustc 1."), "{object:?}");
        assert_eq!(object["object_sha256"].len(), 64);
    }
}
