//! Command-line options, read the way `getopt(3)` reads them with `+`: up to the first operand.
//!
//! Wrappers stop there because the rest belongs to the command they run. Knows only which options
//! take a value, since that is all it takes to find the first operand. Refuses to guess
//! abbreviations of long options.

/// The options of one program that take a value in the next argument.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Valued {
    /// Letters.
    pub(crate) short: &'static str,
    /// Long names, without dashes.
    pub(crate) long: &'static [&'static str],
}

/// An option as it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Given<'a> {
    /// The letter or the long name, without dashes.
    pub(crate) name: &'a [u8],
    /// Its value, where [`Valued`] or an `=` says it has one.
    pub(crate) value: Option<&'a [u8]>,
}

/// Splits `args` (without the program's name) into options and operands.
pub(crate) fn split(args: &[Vec<u8>], valued: Valued) -> (Vec<Given<'_>>, &[Vec<u8>]) {
    let mut given = Vec::new();
    let mut at = 0;
    while let Some(arg) = args.get(at) {
        if arg == b"--" {
            return (given, &args[at + 1..]);
        }
        let next = args.get(at + 1).map(Vec::as_slice);
        let took_next = if let Some(long) = arg.strip_prefix(b"--") {
            long_option(long, next, valued, &mut given)
        } else if arg.len() > 1 && (arg[0] == b'-' || arg[0] == b'+') {
            cluster(&arg[1..], next, valued, &mut given)
        } else {
            break;
        };
        at += if took_next { 2 } else { 1 };
    }
    (given, args.get(at..).unwrap_or_default())
}

/// Whether one of `names` was given.
pub(crate) fn has(given: &[Given<'_>], names: &[&str]) -> bool {
    given
        .iter()
        .any(|option| names.iter().any(|name| name.as_bytes() == option.name))
}

fn long_option<'a>(
    text: &'a [u8],
    next: Option<&'a [u8]>,
    valued: Valued,
    given: &mut Vec<Given<'a>>,
) -> bool {
    if let Some(equals) = text.iter().position(|&byte| byte == b'=') {
        given.push(Given {
            name: &text[..equals],
            value: Some(&text[equals + 1..]),
        });
        return false;
    }
    let takes = valued.long.iter().any(|name| name.as_bytes() == text);
    given.push(Given {
        name: text,
        value: if takes { next } else { None },
    });
    takes
}

fn cluster<'a>(
    letters: &'a [u8],
    next: Option<&'a [u8]>,
    valued: Valued,
    given: &mut Vec<Given<'a>>,
) -> bool {
    for at in 0..letters.len() {
        let name = &letters[at..=at];
        let rest = &letters[at + 1..];
        if !valued.short.as_bytes().contains(&letters[at]) {
            given.push(Given { name, value: None });
        } else if rest.is_empty() {
            given.push(Given { name, value: next });
            return true;
        } else {
            given.push(Given {
                name,
                value: Some(rest),
            });
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Valued = Valued {
        short: "ks",
        long: &["kill-after", "signal"],
    };

    fn args(line: &str) -> Vec<Vec<u8>> {
        line.split(' ')
            .map(|word| word.as_bytes().to_vec())
            .collect()
    }

    fn operands(line: &str) -> String {
        let args = args(line);
        let (_, rest) = split(&args, TIMEOUT);
        String::from_utf8(rest.join(&b' ')).unwrap()
    }

    #[test]
    fn values_may_be_attached_separate_or_after_an_equals_sign() {
        for line in [
            "-k 1 5 sleep -s",
            "-k1 5 sleep -s",
            "--kill-after 1 5 sleep -s",
            "--kill-after=1 5 sleep -s",
            "-vfk 1 -- 5 sleep -s",
        ] {
            assert_eq!(operands(line), "5 sleep -s", "{line}");
        }
    }

    #[test]
    fn an_option_that_lacks_its_value_at_the_end_leaves_no_operand() {
        assert_eq!(operands("-v -k"), "");
    }
}
