//! Wrappers: programs that only start another one, and how to tell from their command lines.
//!
//! Pure: an image goes in, what part it plays comes out. [`table`] is the data, [`shell`] reads
//! `-c` texts, [`interpreters`] finds scripts, [`image`] joins them to one name.

mod env;
mod image;
mod interpreter_table;
mod interpreters;
mod options;
mod shell;
mod table;
mod words;

pub(crate) use image::Image;
pub(crate) use shell::is_housekeeping;
use table::Finds;
pub(crate) use table::{ENV, SHELL, SHIM};

/// The part an image plays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Stands between root and workload.
    Wrapper {
        /// Why it is not the workload.
        why: &'static str,
        /// What has to be seen before it is believed to be the command; `None`: anything.
        want: Option<Want>,
        /// A shell that does more after its command, so its status is its own.
        goes_on: bool,
    },
    /// A program of its own.
    Program,
    /// A shell whose `-c` text is the program.
    ShellText,
}

/// What a wrapper that also runs other programs was asked to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Want {
    /// Name without directory; `None`: any but housekeeping.
    name: Option<Vec<u8>>,
    /// The arguments it will have at its end; empty: any.
    tail: Vec<Vec<u8>>,
    /// Not another shim of that name.
    beyond_shims: bool,
}

impl Want {
    /// Whether this image is what was asked for.
    pub(crate) fn is(&self, image: &Image<'_>) -> bool {
        let program = image.program();
        if self.beyond_shims && (is_shim(image.filename) || is_shim(program.path)) {
            return false;
        }
        let Some(name) = self.name.as_deref() else {
            return !is_housekeeping(image.file().unwrap_or(program.name));
        };
        let named = [
            image.file(),
            image.argv0(),
            image.script(),
            Some(program.name),
        ]
        .into_iter()
        .flatten()
        .any(|known| known == name);
        named && (image.argv_cut || image.argv.ends_with(&self.tail))
    }
}

/// The part of a path after the last slash; the whole when nothing follows it.
pub(crate) fn basename(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(at) if at + 1 < path.len() => &path[at + 1..],
        _ => path,
    }
}

/// What part an image plays, by its own names and arguments alone.
pub(crate) fn part(image: &Image<'_>) -> Part {
    let program = image.program();
    let shim = [program.path, image.filename]
        .into_iter()
        .find(|path| is_shim(path));
    if let Some(path) = shim {
        let mut want = want(path);
        want.beyond_shims = true;
        return wrapper(table::SHIM, Some(want));
    }
    if program.name == b"env" {
        return match env::command_name(program.args) {
            Some(_) => wrapper(table::ENV, None),
            None => Part::Program,
        };
    }
    if interpreters::is_shell(program.name) {
        return shell_part(image, program.args);
    }
    let entry = table::TABLE.iter().find(|entry| {
        entry
            .names
            .iter()
            .any(|name| name.as_bytes() == program.name)
    });
    match entry {
        Some(entry) => table_part(entry, program.args),
        None => Part::Program,
    }
}

fn wrapper(why: &'static str, want: Option<Want>) -> Part {
    Part::Wrapper {
        why,
        want,
        goes_on: false,
    }
}

fn table_part(entry: &table::Wrapper, args: &[Vec<u8>]) -> Part {
    let asks_itself = |arg: &Vec<u8>| matches!(arg.as_slice(), b"--help" | b"--version");
    if args.first().is_some_and(asks_itself) {
        return Part::Program;
    }
    let command = match &entry.finds {
        Finds::Always => return wrapper(entry.why, None),
        Finds::Script { words } => {
            let (_, operands) = options::split(args, options::Valued::default());
            let known = |word: &Vec<u8>| words.iter().any(|known| known.as_bytes() == word);
            return if operands.first().is_some_and(known) {
                wrapper(entry.why, None)
            } else {
                Part::Program
            };
        }
        Finds::After {
            options,
            operands,
            alone,
            shells,
        } => {
            let (given, rest) = options::split(args, *options);
            if options::has(&given, alone) {
                return Part::Program;
            }
            // `sudo A=1 prog`; nothing else in the table has operands with an equals sign.
            let skipped = rest
                .iter()
                .skip(*operands)
                .position(|word| !word.contains(&b'='));
            // With or without a command in it.
            if options::has(&given, shells) {
                return wrapper(entry.why, None);
            }
            skipped.and_then(|skipped| rest.get(operands + skipped..))
        }
        Finds::Sub { options, words } => {
            let (_, rest) = options::split(args, *options);
            match rest.split_first() {
                Some((first, rest)) if words.iter().any(|word| word.as_bytes() == first) => {
                    let (given, rest) = options::split(rest, *options);
                    // `uv run -m pytest`
                    match given
                        .iter()
                        .find(|option| matches!(option.name, b"m" | b"module"))
                    {
                        Some(module) => return wrapper(entry.why, module.value.map(want)),
                        // `direnv exec DIR`, `rbenv exec -- prog`
                        None if entry.names == ["direnv"] => rest.get(1..),
                        None => Some(rest),
                    }
                }
                _ => None,
            }
        }
    };
    match command {
        Some([name, tail @ ..]) if entry.helpers => {
            let mut want = want(name);
            want.tail = tail.to_vec();
            wrapper(entry.why, Some(want))
        }
        Some([_, ..]) => wrapper(entry.why, None),
        _ => Part::Program,
    }
}

fn want(name: &[u8]) -> Want {
    Want {
        name: Some(basename(name).to_vec()),
        tail: Vec::new(),
        beyond_shims: false,
    }
}

fn shell_part(image: &Image<'_>, args: &[Vec<u8>]) -> Part {
    let valued = options::Valued {
        short: "oO",
        long: &["rcfile", "init-file"],
    };
    let (given, operands) = options::split(args, valued);
    let [text, positional @ ..] = operands else {
        return Part::Program;
    };
    if !options::has(&given, &["c"]) {
        return Part::Program;
    }
    // A cut text may go on with anything: what was read of it is not all, and its last word no word.
    let cut = image.argv_cut && positional.is_empty();
    let (name, goes_on) = match shell::runs(text, positional) {
        shell::Runs::Script => return Part::ShellText,
        shell::Runs::Nothing if !cut => return Part::ShellText,
        shell::Runs::One { word, goes_on } if !cut => (word, goes_on),
        shell::Runs::Nothing | shell::Runs::One { .. } => (None, false),
    };
    Part::Wrapper {
        why: table::SHELL,
        // Start-up files (-l, -i, BASH_ENV) and substitutions run programs before the command.
        want: Some(Want {
            name: name.map(|word| basename(&word).to_vec()),
            tail: Vec::new(),
            beyond_shims: false,
        }),
        goes_on,
    }
}

/// Version managers keep their shims in a directory of that name.
fn is_shim(path: &[u8]) -> bool {
    path.split(|&byte| byte == b'/')
        .rev()
        .nth(1)
        .is_some_and(|directory| directory == b"shims")
}

#[cfg(test)]
mod tests;
