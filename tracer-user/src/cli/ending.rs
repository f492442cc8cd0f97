//! The options of `run` that end what runs.

use std::time::Duration;

use anyhow::{bail, ensure};
use clap::ValueEnum;

use super::options::duration;
use crate::{
    config::{EndingConfig, OnStall},
    verdict::signals,
};

/// glibc's `SIGRTMIN` and `SIGRTMAX`.
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

/// `--timeout` and its kind.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Ending what runs")]
pub(super) struct Ending {
    /// End the command and everything it started when it has run this long: SIGTERM, then SIGKILL.
    /// tracer exits with the command's own status, such as 143, not with 124
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,

    /// Send SIGKILL to what is left this long after the first signal [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    kill_after: Option<Duration>,

    /// The first signal, by name or number [default: TERM]
    #[arg(long, value_name = "SIGNAL", value_parser = signal)]
    signal: Option<i32>,

    /// When the command has ended, end in the same way what it started and left running
    #[arg(long)]
    end_leftovers: bool,

    /// End or report the command when for this long nothing of it used CPU time, wrote, started or
    /// ended
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    idle_timeout: Option<Duration>,

    /// End or report the command when for this long nothing of it wrote, whatever CPU time it used
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    stale_timeout: Option<Duration>,

    /// What to do when --idle-timeout or --stale-timeout is over [default: end]
    #[arg(long, value_enum, value_name = "WHAT")]
    on_idle: Option<OnIdle>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OnIdle {
    /// Say so once, and go on
    Report,
    /// End everything, as --timeout does
    End,
}

impl Ending {
    pub(super) fn into_config(self) -> anyhow::Result<EndingConfig> {
        let stalls = self.idle_timeout.is_some() || self.stale_timeout.is_some();
        ensure!(
            stalls || self.on_idle.is_none(),
            "--on-idle has nothing to act on: give --idle-timeout or --stale-timeout too"
        );
        let ends = self.timeout.is_some() || self.end_leftovers || stalls;
        for (given, option) in [
            (self.kill_after.is_some(), "--kill-after"),
            (self.signal.is_some(), "--signal"),
        ] {
            ensure!(
                ends || !given,
                "{option} has nothing to act on: give --timeout, --idle-timeout, --stale-timeout or \
                 --end-leftovers too"
            );
        }
        Ok(EndingConfig {
            timeout: self.timeout,
            idle: self.idle_timeout,
            stale: self.stale_timeout,
            on_stall: match self.on_idle {
                Some(OnIdle::Report) => OnStall::Report,
                Some(OnIdle::End) | None => OnStall::End,
            },
            end_leftovers: self.end_leftovers,
            signal: self.signal.unwrap_or(EndingConfig::SIGNAL),
            kill_after: self.kill_after.unwrap_or(EndingConfig::KILL_AFTER),
        })
    }
}

/// `TERM`, `SIGTERM`, `15`, `RTMIN+3`.
fn signal(text: &str) -> anyhow::Result<i32> {
    let upper = text.to_ascii_uppercase();
    let number = match upper.parse() {
        Ok(number) => Some(number),
        Err(_) => signals::number(&upper).or_else(|| real_time(&upper)),
    };
    let Some(number) = number.filter(|number| (1..=64).contains(number)) else {
        bail!("give a signal such as TERM, SIGINT or 9");
    };
    ensure!(
        signals::is_lethal(number),
        "{} ends nothing by itself: give one such as TERM, INT or KILL",
        signals::name(number)
    );
    Ok(number)
}

fn real_time(name: &str) -> Option<i32> {
    let name = name.strip_prefix("SIG").unwrap_or(name);
    REAL_TIME
        .into_iter()
        .find(|&number| signals::name(number).strip_prefix("SIG") == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers_and_must_be_able_to_end_something() {
        for (text, number) in [
            ("TERM", 15),
            ("sigint", 2),
            ("9", 9),
            ("RTMIN+3", 37),
            ("SIGRTMIN", 34),
        ] {
            assert_eq!(signal(text).unwrap(), number, "{text}");
        }
        for wrong in ["", "0", "65", "-9", "NOPE", "CONT", "STOP", "CHLD", "19"] {
            assert!(signal(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_has_nothing_to_act_on_is_refused_with_what_is_missing() {
        let length = Duration::from_secs(1);
        let second = Some(length);
        let alone = [
            Ending {
                kill_after: second,
                ..Ending::default()
            },
            Ending {
                signal: Some(2),
                ..Ending::default()
            },
            Ending {
                on_idle: Some(OnIdle::End),
                timeout: second,
                ..Ending::default()
            },
        ];
        for options in alone {
            let error = options.into_config().unwrap_err().to_string();
            assert!(error.contains("give --"), "{error}");
        }
        let with = Ending {
            kill_after: second,
            end_leftovers: true,
            ..Ending::default()
        };
        assert_eq!(with.into_config().unwrap().kill_after, length);
        let none = Ending::default().into_config().unwrap();
        assert_eq!(none, EndingConfig::default());
    }
}
