//! Who is told of an observation, and how it came out.

use std::path::Path;

use crate::{
    event::Event,
    session::{journal::anomaly::Anomaly, summary::Summary},
    units::BootNs,
};

/// Whoever looks on. What an observation has to say to people goes through here.
pub trait Audience {
    /// The terminal is raw from now on, or no longer: lines need a carriage return meanwhile.
    fn raw_terminal(&mut self, raw: bool);
    /// A session has begun, in this directory.
    fn began(&mut self, directory: &Path);
    /// Something people should know.
    fn notice(&mut self, text: &str);
    /// An event, as it is taken.
    fn event(&mut self, event: &Event);
    /// An anomaly opens or closes. Of news to whoever watches; the record has it in any case.
    fn anomaly(&mut self, t: BootNs, anomaly: &Anomaly) {
        let _ = (t, anomaly);
    }
    /// The session has ended, and this is what it came to.
    fn finished(&mut self, summary: &Summary, directory: &Path);
}

/// How an observation came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// What tracer should exit with.
    pub exit_code: u8,
}
