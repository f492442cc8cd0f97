//! `tracer run`: a command, recorded from before its first instruction.

use std::ffi::OsString;

use clap::ValueEnum;

use super::{Failure, OWN_FAILURE, ending::Ending, options::Options, show};
use crate::{
    config::{ExitFrom, RunConfig},
    observe,
};

/// Arguments of `tracer run`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Give the command a terminal of its own, connected to this one
    #[arg(long)]
    pty: bool,

    /// Run the command as this user, while tracer itself stays as it is
    #[arg(long, value_name = "NAME")]
    user: Option<String>,

    /// Fail with exit code 125 rather than run the command untraced
    #[arg(long)]
    require_trace: bool,

    /// Take the exit code from the command, or from the workload behind its wrappers
    #[arg(long, value_enum, value_name = "WHOSE", default_value = "command")]
    exit_from: Whose,

    #[command(flatten)]
    options: Options,

    /// The command and its arguments, after --
    #[arg(required = true, last = true, value_name = "COMMAND")]
    command: Vec<OsString>,

    // Last: its heading is that of whatever comes behind it.
    #[command(flatten)]
    ending: Ending,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Whose {
    Command,
    Workload,
}

impl Args {
    /// What they mean.
    pub(super) fn into_config(self) -> anyhow::Result<RunConfig> {
        Ok(RunConfig {
            command: self.command,
            pty: self.pty,
            user: self.user,
            exit_from: match self.exit_from {
                Whose::Command => ExitFrom::Command,
                Whose::Workload => ExitFrom::Workload,
            },
            require_trace: self.require_trace,
            ending: self.ending.into_config()?,
            observe: self.options.into_config()?,
        })
    }
}

pub(super) fn main(args: Args) -> Result<u8, Failure> {
    let config = args.into_config();
    let config = config.map_err(|error| Failure::new(OWN_FAILURE, error))?;
    let ending = observe::run(&config, &mut show::Screen::new(config.observe.show));
    let ending = ending.map_err(|error| Failure {
        code: error.exit_code(),
        error: error.into(),
    })?;
    Ok(ending.exit_code)
}
