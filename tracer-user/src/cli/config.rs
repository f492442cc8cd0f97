//! `tracer config`: whether a configuration file is right, and what a complete one looks like.
//!
//! Exit code 0: nothing is wrong with the file; 1: something is, or it cannot be read.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::Context as _;

use super::{Failure, escape::printable};
use crate::config::watch::{DEFAULT_FILE, EXAMPLE, problems};

/// Something is wrong with the file.
const FAILED: u8 = 1;

/// Arguments of `tracer config`.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Say everything that is wrong with a configuration file.
    Check {
        /// The file
        #[arg(value_name = "FILE", default_value = DEFAULT_FILE)]
        file: PathBuf,
    },
    /// Print a configuration file with every setting, its default and what it means.
    Example,
}

pub(super) fn main(args: Args) -> Result<u8, Failure> {
    let (text, code) = match args.command {
        Command::Example => (EXAMPLE.to_owned(), 0),
        Command::Check { file } => {
            let text = fs::read_to_string(&file)
                .with_context(|| format!("read {}", printable(&file.display().to_string())))
                .map_err(|error| Failure::new(FAILED, error))?;
            let name = printable(&file.display().to_string());
            report(&name, &problems(&text))
        }
    };
    // Nobody is left to tell when stdout is gone.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(code)
}

fn report(name: &str, problems: &[String]) -> (String, u8) {
    let mut text = String::new();
    for problem in problems {
        let _ = writeln!(text, "{name}: {}", printable(problem));
    }
    if problems.is_empty() {
        let _ = writeln!(text, "{name}: nothing is wrong with it");
    }
    (text, if problems.is_empty() { 0 } else { FAILED })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_a_line_and_none_is_a_success() {
        assert_eq!(
            report("f", &[]),
            ("f: nothing is wrong with it\n".to_owned(), 0)
        );
        let two = ["a\nb".to_owned(), "c".to_owned()];
        let (text, code) = report("f", &two);
        assert_eq!((text.lines().count(), code), (2, FAILED), "{text}");
    }
}
