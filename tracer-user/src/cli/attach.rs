//! `tracer attach`: a process tree that is running already.

use std::time::Duration;

use clap::ValueEnum;

use super::{
    Failure, USAGE,
    options::{Options, duration},
    show,
};
use crate::{
    config::{AttachConfig, Follow},
    observe,
};

/// Arguments of `tracer attach`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The process to start from: the workload, or a wrapper around it
    #[arg(long, value_name = "PID")]
    pid: u32,

    /// How long to wait for the workload to show behind its wrappers
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    timeout: Duration,

    /// End with the process of --pid, or with the workload
    #[arg(long, value_enum, value_name = "WHOSE", default_value = "root")]
    follow: Whose,

    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Whose {
    Root,
    Workload,
}

pub(super) fn main(args: Args) -> Result<u8, Failure> {
    let config = AttachConfig {
        pid: args.pid,
        follow: match args.follow {
            Whose::Root => Follow::Root,
            Whose::Workload => Follow::Workload,
        },
        timeout: args.timeout,
        observe: args
            .options
            .into_config()
            .map_err(|error| Failure::new(USAGE, error))?,
    };
    let ending = observe::attach(&config, &mut show::Screen::announcing(config.observe.show));
    let ending = ending.map_err(|error| Failure {
        code: error.exit_code(),
        error: error.into(),
    })?;
    Ok(ending.exit_code)
}
