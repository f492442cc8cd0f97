//! Which argument of an interpreter is the script it runs.
//!
//! Sources: python(1), node(1), bash(1), dash(1), zsh(1), ruby(1), perlrun(1), php(1), java(1),
//! `deno run --help`, `bun --help`. The table says which options take a value; an interpreter that
//! is not in it has no script, so its arguments are never taken for a program's name.

use super::interpreter_table::{Interpreter, SHELLS, TABLE};

/// What an interpreter was told to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Script<'a> {
    /// A file or class, and its arguments.
    File(&'a [u8], &'a [Vec<u8>]),
    /// A module by name (`python3 -m`), and its arguments.
    Module(&'a [u8], &'a [Vec<u8>]),
    /// Program text on the command line, standard input, or nothing.
    Inline,
}

/// A program's name without its version: `python3.11` → `python`, `php8.2` → `php`.
fn stem(name: &[u8]) -> &[u8] {
    // Free-threaded CPython is called python3.13t.
    let name = match name {
        [head @ .., digit, b't'] if digit.is_ascii_digit() => &name[..=head.len()],
        _ => name,
    };
    let end = name
        .iter()
        .rposition(|byte| !byte.is_ascii_digit() && !matches!(byte, b'.' | b'-'))
        .map_or(0, |at| at + 1);
    &name[..end]
}

/// Whether `name` is a shell that takes `-c`.
pub(crate) fn is_shell(name: &[u8]) -> bool {
    SHELLS.iter().any(|shell| shell.as_bytes() == stem(name))
}

/// What the interpreter `name` runs, given its arguments; `None` when `name` is no interpreter.
/// `env` is one too, but what it runs is a command: see `wrappers::env`.
pub(crate) fn script<'a>(name: &[u8], args: &'a [Vec<u8>]) -> Option<Script<'a>> {
    let stem = stem(name);
    if stem == b"java" {
        return Some(java(args));
    }
    let interpreter = TABLE
        .iter()
        .find(|entry| entry.stems.iter().any(|known| known.as_bytes() == stem))?;
    Some(interpreter.script(args))
}

impl Interpreter {
    fn script<'a>(&self, args: &'a [Vec<u8>]) -> Script<'a> {
        let mut at = 0;
        while let Some(arg) = args.get(at) {
            at += 1;
            if arg == b"--" {
                break;
            }
            if let Some(long) = arg.strip_prefix(b"--") {
                let name = long.split(|&byte| byte == b'=').next().unwrap_or_default();
                if self
                    .long_inline
                    .iter()
                    .any(|known| known.as_bytes() == name)
                {
                    return Script::Inline;
                }
                if self
                    .long_values
                    .iter()
                    .any(|known| known.as_bytes() == long)
                {
                    at += 1;
                }
            } else if arg.len() > 1 && (arg[0] == b'-' || arg[0] == b'+') {
                match self.cluster(&arg[1..], args, at) {
                    Letters::Script(script) => return script,
                    Letters::TookNext => at += 1,
                    Letters::Flags => {}
                }
            } else {
                at -= 1;
                break;
            }
        }
        self.operand(args, at)
    }

    fn cluster<'a>(&self, letters: &'a [u8], args: &'a [Vec<u8>], next: usize) -> Letters<'a> {
        for (at, letter) in letters.iter().enumerate() {
            let rest = &letters[at + 1..];
            let is = |set: &str| set.as_bytes().contains(letter);
            if is(self.inline) {
                return Letters::Script(Script::Inline);
            }
            if is(self.module) || is(self.file) {
                let (value, after) = if rest.is_empty() {
                    (args.get(next).map(Vec::as_slice), next + 1)
                } else {
                    (Some(rest), next)
                };
                let after = args.get(after..).unwrap_or_default();
                return Letters::Script(match value {
                    None => Script::Inline,
                    Some(value) if is(self.file) => Script::File(value, after),
                    Some(value) => Script::Module(value, after),
                });
            }
            if is(self.values) {
                return if rest.is_empty() {
                    Letters::TookNext
                } else {
                    Letters::Flags
                };
            }
            if is(self.attached) {
                return Letters::Flags;
            }
        }
        Letters::Flags
    }

    fn operand<'a>(&self, args: &'a [Vec<u8>], at: usize) -> Script<'a> {
        let Some(first) = args.get(at) else {
            return Script::Inline;
        };
        let is = |set: &[&str]| set.iter().any(|known| known.as_bytes() == first);
        if is(self.tools) || first == b"-" {
            Script::Inline
        } else if is(self.runs) {
            // What follows are options again, of the same kind.
            Interpreter { runs: &[], ..*self }.script(&args[at + 1..])
        } else {
            Script::File(first, &args[at + 1..])
        }
    }
}

enum Letters<'a> {
    Script(Script<'a>),
    TookNext,
    Flags,
}

/// java(1): options are whole words with one dash; some take the next argument.
fn java(args: &[Vec<u8>]) -> Script<'_> {
    const VALUES: &[&str] = &[
        "-cp",
        "-classpath",
        "--class-path",
        "-p",
        "--module-path",
        "--upgrade-module-path",
        "--add-modules",
        "--add-opens",
        "--add-exports",
        "--add-reads",
        "--patch-module",
        "--source",
    ];
    let mut at = 0;
    while let Some(arg) = args.get(at) {
        at += 1;
        if matches!(arg.as_slice(), b"-jar" | b"-m" | b"--module") {
            return args
                .get(at)
                .map_or(Script::Inline, |file| Script::File(file, &args[at + 1..]));
        }
        if VALUES.iter().any(|known| known.as_bytes() == arg) {
            at += 1;
        } else if !arg.starts_with(b"-") && !arg.starts_with(b"@") {
            return Script::File(arg, &args[at..]);
        }
    }
    Script::Inline
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> String {
        let words: Vec<Vec<u8>> = line
            .split(' ')
            .map(|word| word.as_bytes().to_vec())
            .collect();
        let show = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        match script(&words[0], &words[1..]) {
            None => "no interpreter".into(),
            Some(Script::Inline) => "inline".into(),
            Some(Script::File(name, rest)) => format!("file {} +{}", show(name), rest.len()),
            Some(Script::Module(name, rest)) => format!("module {} +{}", show(name), rest.len()),
        }
    }

    #[test]
    fn the_script_is_found_behind_options_and_their_values() {
        for (line, want) in [
            ("python3 -u x.py a b", "file x.py +2"),
            ("python3.11 -W ignore -X dev x.py", "file x.py +0"),
            ("python3.13t -Wignore x.py", "file x.py +0"),
            ("python3 -m pytest -x", "module pytest +1"),
            ("python3 -Im pytest", "module pytest +0"),
            ("python3 -mpytest", "module pytest +0"),
            ("node --max-old-space-size=4096 cli.js", "file cli.js +0"),
            (
                "node -r ./hook.js --import ./x.mjs cli.js y",
                "file cli.js +1",
            ),
            ("bash -eu script", "file script +0"),
            ("bash -euo pipefail script a", "file script +1"),
            ("zsh +o nomatch script", "file script +0"),
            ("ruby3.1 -W0 -rset -I lib x.rb", "file x.rb +0"),
            ("perl -Mstrict -I lib -w x.pl", "file x.pl +0"),
            ("php8.2 -d memory_limit=1 -f x.php a", "file x.php +1"),
            (
                "deno run --allow-net -c deno.json main.ts",
                "file main.ts +0",
            ),
            ("bun run --bun dev.ts", "file dev.ts +0"),
            ("bun dev.ts", "file dev.ts +0"),
            (
                "java -Xmx1g -cp a:b com.example.Main x",
                "file com.example.Main +1",
            ),
            ("java -jar app.jar --port 1", "file app.jar +2"),
        ] {
            assert_eq!(run(line), want, "{line}");
        }
    }

    #[test]
    fn program_text_and_standard_input_are_no_script() {
        for line in [
            "python3 -c pytest",
            "python3 -uc pytest",
            "python3 -",
            "python3",
            "python3 -m",
            "node -e cli.js",
            "node -pe cli.js",
            "node --eval=cli.js x",
            "sh -c script",
            "bash -lc script",
            "bash -s script",
            "perl -ne script",
            "deno eval x",
            "java -version",
        ] {
            assert_eq!(run(line), "inline", "{line}");
        }
    }

    #[test]
    fn other_programs_have_no_script() {
        for line in ["timeout 5 python3", "pythonic x.py", "make all", "3 x"] {
            assert_eq!(run(line), "no interpreter", "{line}");
        }
    }
}
