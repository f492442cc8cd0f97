//! The command line of `env`: what it runs after options and assignments.
//!
//! Source: env(1) of GNU coreutils, `-S` included, which `#!` lines use to pass several arguments.

use super::options::{self, Valued};

const OPTIONS: Valued = Valued {
    short: "uCSa",
    long: &["unset", "chdir", "split-string", "argv0"],
};

/// The command word as given; `None` when `env` only prints the environment.
pub(crate) fn command_name(args: &[Vec<u8>]) -> Option<&[u8]> {
    let (given, operands) = options::split(args, OPTIONS);
    let split = given
        .iter()
        .filter(|option| matches!(option.name, b"S" | b"split-string"))
        .filter_map(|option| option.value)
        .flat_map(|value| value.split(u8::is_ascii_whitespace));
    split
        .chain(operands.iter().map(Vec::as_slice))
        .find(|word| !word.is_empty() && !word.contains(&b'=') && !word.starts_with(b"-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str) -> Option<String> {
        let args: Vec<Vec<u8>> = line
            .split('|')
            .map(|word| word.as_bytes().to_vec())
            .collect();
        command_name(&args).map(|name| String::from_utf8_lossy(name).into_owned())
    }

    #[test]
    fn the_command_follows_options_and_assignments() {
        for line in [
            "prog",
            "-i|A=1|prog|B=2",
            "-u|HOME|--chdir=/|-C|/x|prog",
            "-S|prog -u|script",
            "-S prog -u|script",
            "--split-string=A=1 prog|script",
            "--|prog",
        ] {
            assert_eq!(command(line).as_deref(), Some("prog"), "{line}");
        }
        assert_eq!(command("-i|A=1"), None);
    }
}
