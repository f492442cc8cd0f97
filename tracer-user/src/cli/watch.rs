//! `tracer watch`: tells of processes that should have ended.

use std::{fs, io, net::SocketAddr, path::PathBuf};

use anyhow::Context as _;

use super::{Failure, OWN_FAILURE, show::Screen};
use crate::{
    config::{
        Show,
        watch::{DEFAULT_FILE, Flags, follow, load},
    },
    observe::{self, Audience as _, watching::WatchConfig},
};

/// Arguments of `tracer watch`. What is not given comes from the environment, then from the file.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[expect(clippy::doc_markdown, reason = "the text of --help, printed as it is")]
    /// Watch; without this, TRACER_WATCH_ENABLED=true or the file nothing is looked at
    #[arg(long)]
    enable: bool,

    /// Tell of a process that is older than so many minutes [default: 60]
    #[arg(long, value_name = "MINUTES")]
    age_min: Option<u64>,

    /// Look for processes whose command line fits this regular expression; may be given again
    /// [default: pytest]
    #[arg(long = "pattern", value_name = "REGEX")]
    patterns: Vec<String>,

    /// Tell of the same process again after so many seconds [default: 1800]
    #[arg(long, value_name = "SECONDS")]
    cooldown_s: Option<u64>,

    /// Seconds between two looks [default: 30]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    interval_s: Option<u64>,

    /// Follow all processes in this cgroup (version 2), from inside the kernel, and look at those that live
    /// on when their parent has ended: a directory, or a path as in /proc/PID/cgroup; may be given again
    #[arg(long = "follow-cgroup", value_name = "PATH", value_parser = follow::cgroup)]
    follow_cgroups: Vec<PathBuf>,

    /// The same for a container, by its id or at least 12 digits of its beginning; one that is not there
    /// yet is waited for; may be given again
    #[arg(long = "follow-container", value_name = "ID", value_parser = follow::container)]
    follow_containers: Vec<String>,

    /// The same for every program of this name and what it starts, from its first instruction on; of a
    /// longer name the first 15 bytes count; may be given again
    #[arg(long = "follow-comm", value_name = "NAME", value_parser = follow::comm)]
    follow_comms: Vec<String>,

    /// Serve /metrics and /healthz here, such as 127.0.0.1:9469
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,

    /// Let --metrics be an address that other machines can reach
    #[arg(long)]
    metrics_any: bool,

    /// Read settings from here; SIGHUP reads them again [default: /etc/tracer/config.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

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
    let failed = |error| Failure::new(OWN_FAILURE, error);
    let say = observe::watching::say(|line| Screen::new(Show::Block).notice(line));
    let flags = Flags {
        enabled: args.enable.then_some(true),
        age_min: args.age_min,
        patterns: (!args.patterns.is_empty()).then_some(args.patterns),
        cooldown_s: args.cooldown_s,
        interval_s: args.interval_s,
        follow_cgroups: (!args.follow_cgroups.is_empty()).then_some(args.follow_cgroups),
        follow_containers: (!args.follow_containers.is_empty()).then_some(args.follow_containers),
        follow_comms: (!args.follow_comms.is_empty()).then_some(args.follow_comms),
        state_dir: args.state_dir,
        metrics: args.metrics,
        metrics_any: args.metrics_any.then_some(true),
    };
    // The default file need not be there; one that was named must be.
    let file = args.config.clone().unwrap_or_else(|| DEFAULT_FILE.into());
    let text = match fs::read_to_string(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && args.config.is_none() => {
            String::new()
        }
        read => read
            .with_context(|| format!("read {}", file.display()))
            .map_err(failed)?,
    };
    let loaded = load(&text, &|key| std::env::var(key).ok(), &flags)
        .with_context(|| format!("{}", file.display()))
        .map_err(failed)?;
    for warning in &loaded.warnings {
        say(warning);
    }
    let config = WatchConfig {
        settings: loaded.settings,
        flags,
        file,
        bpffs: args.bpffs,
        once: args.once,
    };
    observe::watching::watch(&config, &say).map_err(|error| failed(error.into()))?;
    Ok(0)
}
