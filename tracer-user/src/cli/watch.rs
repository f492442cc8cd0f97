//! `tracer watch`: tells of processes that should have ended.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;

use super::{Failure, OWN_FAILURE, options::duration, show::Screen};
use crate::{
    config::{
        Show,
        watch::{WatchConfig, WatchSettings},
    },
    observe::{self, Audience as _},
    watch::patterns::Patterns,
};

/// Arguments of `tracer watch`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[expect(clippy::doc_markdown, reason = "the text of --help, printed as it is")]
    /// Watch; without this or TRACER_WATCH_ENABLED=true nothing is looked at
    #[arg(long)]
    enable: bool,

    /// Tell of a process that is older than this, such as 90s, 60m or 2h [default: 60m]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    age: Option<Duration>,

    /// Look for processes whose command line fits this regular expression; may be given again
    /// [default: pytest]
    #[arg(long = "pattern", value_name = "REGEX")]
    patterns: Vec<String>,

    /// Tell of the same process again after this [default: 30m]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    cooldown: Option<Duration>,

    /// Time between looks [default: 1m]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    interval: Option<Duration>,

    /// Look once and end
    #[arg(long)]
    once: bool,

    #[expect(clippy::doc_markdown, reason = "the text of --help, printed as it is")]
    /// Look for what sessions left here, and keep here what was told
    /// [default: /var/lib/tracer for root, $XDG_STATE_HOME/tracer otherwise]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,

    /// Look here for what killed tracers have left in the kernel [default: /sys/fs/bpf/tracer]
    #[arg(long, value_name = "DIR")]
    bpffs: Option<PathBuf>,
}

pub(super) fn main(args: Args) -> Result<u8, Failure> {
    let failed = |error: observe::ObserveError| Failure::new(OWN_FAILURE, error);
    let say = observe::watching::say(|line| Screen::new(Show::Block).notice(line));
    let mut settings = WatchSettings::default();
    for warning in settings.take_environment(|key| std::env::var(key).ok()) {
        say(&warning);
    }
    settings.enabled |= args.enable;
    settings.older_than = args.age.unwrap_or(settings.older_than);
    settings.cooldown = args.cooldown.unwrap_or(settings.cooldown);
    settings.interval = args.interval.unwrap_or(settings.interval);
    if !args.patterns.is_empty() {
        Patterns::new(&args.patterns)
            .context("--pattern")
            .map_err(|error| Failure::new(super::USAGE, error))?;
        settings.patterns = args.patterns;
    }
    let config = WatchConfig {
        settings,
        state_dir: args.state_dir,
        bpffs: args.bpffs,
        once: args.once,
    };
    observe::watching::watch(&config, &say).map_err(failed)?;
    Ok(0)
}
