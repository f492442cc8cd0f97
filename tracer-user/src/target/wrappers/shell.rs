//! What a shell does with the text after `-c`: run one program, several, or none.
//!
//! `sh -c 'python3 x.py'` only starts the workload; `sh -c 'a; b; exit 3'` *is* the workload, a script
//! that happens to stand in an argument. Telling them apart needs the words in command position, so
//! this splits the text as the POSIX shell grammar does (XCU 2.3, 2.10) far enough to find them. It
//! expands nothing and runs nothing; what only a shell could know is [`Runs::One`] without a name.

use super::options::{self, Valued};
use super::words::{Lexer, Token};

/// What a command text starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Runs {
    /// Builtins only: the shell does the work.
    Nothing,
    /// One program.
    One {
        /// The word it is started by; `None` when only expansion tells.
        word: Option<Vec<u8>>,
        /// More follows it, so the shell's exit status is not the program's.
        goes_on: bool,
    },
    /// A script of its own: loops, functions, or several programs.
    Script,
}

const BUILTINS: &[&str] = &[
    ":",
    ".",
    "[",
    "[[",
    "alias",
    "bg",
    "bind",
    "break",
    "cd",
    "complete",
    "continue",
    "declare",
    "dirs",
    "disown",
    "echo",
    "enable",
    "exit",
    "export",
    "false",
    "fc",
    "fg",
    "getopts",
    "hash",
    "help",
    "history",
    "jobs",
    "kill",
    "let",
    "local",
    "logout",
    "mapfile",
    "popd",
    "printf",
    "pushd",
    "pwd",
    "read",
    "readarray",
    "readonly",
    "return",
    "set",
    "setopt",
    "shift",
    "shopt",
    "source",
    "suspend",
    "test",
    "times",
    "trap",
    "true",
    "type",
    "typeset",
    "ulimit",
    "umask",
    "unalias",
    "unset",
    "wait",
];

/// Small tools around a workload: never what a command line with one other program is about.
const HOUSEKEEPING: &[&str] = &[
    "awk",
    "basename",
    "cat",
    "chmod",
    "chown",
    "clear",
    "cp",
    "cut",
    "date",
    "dircolors",
    "dirname",
    "expr",
    "find",
    "getent",
    "grep",
    "groups",
    "head",
    "hostname",
    "id",
    "install",
    "lesspipe",
    "ln",
    "locale",
    "locale-check",
    "ls",
    "manpath",
    "mesg",
    "mkdir",
    "mktemp",
    "mv",
    "nproc",
    "ps",
    "readlink",
    "realpath",
    "rm",
    "rmdir",
    "sed",
    "seq",
    "sleep",
    "sort",
    "stat",
    "stty",
    "sync",
    "tail",
    "tee",
    "touch",
    "tput",
    "tr",
    "tty",
    "uname",
    "uniq",
    "wc",
    "which",
    "whoami",
];

/// Whether `name` is a small tool that start-up files and scripts run on the side.
pub(crate) fn is_housekeeping(name: &[u8]) -> bool {
    HOUSEKEEPING.iter().any(|known| known.as_bytes() == name)
}

/// Reads the text after `-c`; `positional` are the arguments after it (`$0`, `$1`, …).
pub(crate) fn runs(text: &[u8], positional: &[Vec<u8>]) -> Runs {
    let Some(commands) = commands(text) else {
        return Runs::Script;
    };
    let programs: Vec<usize> = (0..commands.len())
        .filter(|&at| !commands[at].builtin)
        .collect();
    let main: Vec<usize> = programs
        .iter()
        .copied()
        .filter(|&at| {
            let word = commands[at].word.as_deref();
            !word.is_some_and(|word| is_housekeeping(super::basename(word)))
        })
        .collect();
    let chosen = match (programs.as_slice(), main.as_slice()) {
        ([], _) => return Runs::Nothing,
        ([one], _) | (_, [one]) => *one,
        _ => return Runs::Script,
    };
    let word = match commands[chosen].word.as_deref() {
        Some(b"$@" | b"$*" | b"$1") => positional.get(1).cloned(),
        Some(b"$0") => positional.first().cloned(),
        Some(word) if word.iter().any(|byte| b"$`*?[~".contains(byte)) => {
            // `$HOME/bin/tool` still ends in a known name.
            let base = super::basename(word);
            (word.len() != base.len() && !base.iter().any(|byte| b"$`*?[~".contains(byte)))
                .then(|| base.to_vec())
        }
        other => other.map(<[u8]>::to_vec),
    };
    let goes_on = commands[chosen + 1..]
        .iter()
        .any(|later| !later.keeps_status);
    Runs::One { word, goes_on }
}

/// One simple command.
struct Command {
    /// Its first word after assignments; `None` for `eval`, whose text is not looked into.
    word: Option<Vec<u8>>,
    builtin: bool,
    /// `exit`, `exit $?`, `wait`: leaves the status of what ran before.
    keeps_status: bool,
}

/// The simple commands of a text in order; `None` for what is a script in any case.
fn commands(text: &[u8]) -> Option<Vec<Command>> {
    const PASSED_OVER: &[&[u8]] = &[
        b"if", b"then", b"elif", b"else", b"fi", b"!", b"{", b"}", b"time",
    ];
    const SCRIPT: &[&[u8]] = &[
        b"for",
        b"while",
        b"until",
        b"case",
        b"select",
        b"function",
        b"coproc",
        b"do",
    ];
    let mut commands = Vec::new();
    let mut words: Vec<Vec<u8>> = Vec::new();
    let mut lexer = Lexer::new(text);
    loop {
        let token = lexer.next()?;
        match token {
            Token::Word(word) => {
                if words.is_empty() {
                    if SCRIPT.contains(&word.as_slice()) || word.ends_with(b"()") {
                        return None;
                    }
                    if PASSED_OVER.contains(&word.as_slice()) || is_assignment(&word) {
                        continue;
                    }
                }
                words.push(word);
            }
            Token::Separator | Token::End => {
                commands.extend(command(&words));
                words.clear();
                if token == Token::End {
                    return Some(commands);
                }
            }
        }
    }
}

fn command(words: &[Vec<u8>]) -> Option<Command> {
    let exec_options = Valued {
        short: "a",
        long: &[],
    };
    let mut rest = words;
    let mut word = rest.split_off_first()?;
    // These run what follows them.
    while matches!(word.as_slice(), b"exec" | b"command" | b"builtin") {
        rest = options::split(rest, exec_options).1;
        match rest.split_off_first() {
            Some(next) => word = next,
            None => break,
        }
    }
    if word == b"eval" {
        return Some(Command {
            word: None,
            builtin: false,
            keeps_status: false,
        });
    }
    let builtin = matches!(word.as_slice(), b"exec" | b"command" | b"builtin")
        || BUILTINS
            .iter()
            .any(|known| known.as_bytes() == word.as_slice());
    let keeps_status =
        word == b"wait" || (word == b"exit" && rest.first().is_none_or(|status| status == b"$?"));
    Some(Command {
        word: Some(word.clone()),
        builtin,
        keeps_status,
    })
}

fn is_assignment(word: &[u8]) -> bool {
    let name = word.split(|&byte| byte == b'=').next().unwrap_or_default();
    name.len() < word.len()
        && name.first().is_some_and(|byte| !byte.is_ascii_digit())
        && name
            .iter()
            .all(|&byte| byte == b'_' || byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Runs {
        let positional = [b"zero".to_vec(), b"/opt/first".to_vec()];
        runs(text.as_bytes(), &positional)
    }

    fn one(word: &str, goes_on: bool) -> Runs {
        Runs::One {
            word: Some(word.as_bytes().to_vec()),
            goes_on,
        }
    }

    #[test]
    fn one_program_is_found_among_builtins_assignments_and_redirections() {
        for text in [
            "python3 x.py",
            "exec python3 x.py",
            "cd /srv && A=1 B='x y' exec python3 x.py >log 2>&1 </dev/null",
            "set -e; export PATH=/x:$PATH\n python3 'a;b' \"c && d\"",
            "mkdir -p out && python3 x.py",
            "exec -a name python3",
            "if [ -f x ]; then python3 x; fi",
            "( cd /x; python3 x )",
            "\"python3\" -c 'import os; os.exit()'",
            "2>/dev/null python3",
            ". venv/bin/activate; python3 x; exit $?",
            "python3 - <<EOF\nmake; true\nEOF",
            "cat x | python3 $(find . -name x | head -1) # make",
            "python3 x & wait",
        ] {
            assert_eq!(read(text), one("python3", false), "{text}");
        }
    }

    #[test]
    fn a_shell_that_goes_on_after_the_program_says_so() {
        for text in [
            "python3 x; exit 7",
            "python3 x | tee log",
            "python3 x || true",
            "python3 x; rm -f y",
        ] {
            assert_eq!(read(text), one("python3", true), "{text}");
        }
    }

    #[test]
    fn builtins_alone_are_the_shells_own_work() {
        for text in [
            "exit 3",
            "kill -9 $$",
            ":",
            "",
            "x=1; echo $x",
            "true && [ 1 = 1 ]",
        ] {
            assert_eq!(read(text), Runs::Nothing, "{text}");
        }
    }

    #[test]
    fn several_programs_loops_and_functions_are_a_script() {
        for text in [
            "make; python3 x",
            "for i in 1 2; do python3 x; done",
            "f() { python3; }; f",
            "while :; do sleep 1; done",
            "sleep 1; sleep 2",
        ] {
            assert_eq!(read(text), Runs::Script, "{text}");
        }
    }

    #[test]
    fn words_only_the_shell_can_expand_leave_the_name_open() {
        let open = Runs::One {
            word: None,
            goes_on: false,
        };
        for text in [
            "$CMD x",
            "\"$(which x)\" y",
            "eval \"$CMD\"",
            "`x` y",
            "~/bin/$X",
        ] {
            assert_eq!(read(text), open, "{text}");
        }
        assert_eq!(read("$HOME/bin/tool x"), one("tool", false));
        assert_eq!(read("exec \"$@\""), one("/opt/first", false));
        assert_eq!(read("$0"), one("zero", false));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(text in proptest::collection::vec(0_u8.., 0..200)) {
            let _ = runs(&text, &[]);
        }
    }
}
