//! A process image by its names: the file, `argv[0]`, and the script or module it runs.
//!
//! Source: `linux_binprm` as the exec hook reports it, or `/proc/<pid>/{exe,cmdline,comm}`. For a
//! script the kernel reports the script as the file and the interpreter as `argv[0]`
//! (`fs/binfmt_script.c`); `/proc` shows the interpreter as both. [`Image::program`] gives the same
//! answer for either.

use super::interpreters::{self, Script};
use super::{basename, env};

/// A process image, borrowed from where it was reported.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Image<'a> {
    pub(crate) comm: &'a [u8],
    /// As given to execve, or the path of `/proc/<pid>/exe`.
    pub(crate) filename: &'a [u8],
    pub(crate) filename_cut: bool,
    pub(crate) argv: &'a [Vec<u8>],
    /// The last argument may be cut, and more may follow.
    pub(crate) argv_cut: bool,
}

/// What an image runs, seen through interpreters and multi-call binaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Program<'a> {
    /// Its name without directory.
    pub(crate) name: &'a [u8],
    /// As it was named: the script's path, or the file's.
    pub(crate) path: &'a [u8],
    /// Its own arguments.
    pub(crate) args: &'a [Vec<u8>],
}

impl<'a> Image<'a> {
    /// The file's name; `None` where the path says nothing about the program.
    pub(crate) fn file(&self) -> Option<&'a [u8]> {
        let path = self
            .filename
            .strip_suffix(b" (deleted)")
            .unwrap_or(self.filename);
        let says_nothing = path.is_empty()
            || self.filename_cut
            || path.starts_with(b"/proc/self/")
            || path.starts_with(b"/dev/fd/");
        (!says_nothing).then(|| basename(path))
    }

    /// The name in `argv[0]`, without the dash of a login shell.
    pub(crate) fn argv0(&self) -> Option<&'a [u8]> {
        let first = self.argv.first()?;
        let name = basename(first.strip_prefix(b"-").unwrap_or(first));
        (!name.is_empty()).then_some(name)
    }

    /// The name of the script, module or, for `env`, command that `argv[0]` interprets.
    pub(crate) fn script(&self) -> Option<&'a [u8]> {
        let interpreter = self.argv0()?;
        let args = &self.argv[1..];
        if interpreter == b"env" {
            return env::command_name(args).map(basename);
        }
        let whole = |rest: &[Vec<u8>]| !(self.argv_cut && rest.is_empty());
        match interpreters::script(interpreter, args)? {
            Script::File(path, rest) if whole(rest) => Some(basename(path)),
            Script::Module(name, rest) if whole(rest) => Some(name),
            _ => None,
        }
    }

    /// What it runs.
    pub(crate) fn program(&self) -> Program<'a> {
        if let Some(at) = self.shebang_at() {
            // `#!/usr/bin/env python3`: env will exec again and only then is it the script.
            if self.argv0() == Some(b"env") {
                return self.plain(b"env");
            }
            return Program {
                name: basename(self.filename),
                path: self.filename,
                args: &self.argv[at + 1..],
            };
        }
        let called = self.argv0().unwrap_or_default();
        let file = self.file().unwrap_or(called);
        if self.is_multi_call() {
            if called != file && !called.is_empty() {
                return self
                    .interpreted(called)
                    .unwrap_or_else(|| self.plain(called));
            }
            if let [_, applet, args @ ..] = self.argv {
                let applet = Program {
                    name: basename(applet),
                    path: applet,
                    args,
                };
                return through(applet.name, args).unwrap_or(applet);
            }
        }
        self.interpreted(called)
            .or_else(|| self.interpreted(file))
            .unwrap_or_else(|| self.plain(file))
    }

    /// One file for many programs, told apart by `argv`.
    pub(crate) fn is_multi_call(&self) -> bool {
        let file = self.file().or(self.argv0());
        matches!(file, Some(b"busybox" | b"toybox" | b"coreutils"))
    }

    fn plain(&self, name: &'a [u8]) -> Program<'a> {
        Program {
            name,
            path: self.filename,
            args: self.argv.get(1..).unwrap_or_default(),
        }
    }

    fn interpreted(&self, interpreter: &[u8]) -> Option<Program<'a>> {
        through(interpreter, self.argv.get(1..)?)
    }

    /// Where in `argv` the kernel put the script's path.
    fn shebang_at(&self) -> Option<usize> {
        // A program may have its own path as an argument (`which /bin/which`); a script is never
        // its own interpreter.
        if self.argv0()? == basename(self.filename) || self.filename.is_empty() {
            return None;
        }
        // Interpreter, at most one argument of the `#!` line, script.
        (1..=2).find(|&at| self.argv.get(at).is_some_and(|arg| arg == self.filename))
    }
}

fn through<'a>(interpreter: &[u8], args: &'a [Vec<u8>]) -> Option<Program<'a>> {
    match interpreters::script(interpreter, args)? {
        Script::File(path, args) => Some(Program {
            name: basename(path),
            path,
            args,
        }),
        Script::Module(name, args) => Some(Program {
            name,
            path: name,
            args,
        }),
        Script::Inline => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(filename: &str, line: &str) -> String {
        let argv: Vec<Vec<u8>> = line
            .split(' ')
            .map(|word| word.as_bytes().to_vec())
            .collect();
        let image = Image {
            comm: b"",
            filename: filename.as_bytes(),
            filename_cut: false,
            argv: &argv,
            argv_cut: false,
        };
        let program = image.program();
        let name = String::from_utf8_lossy(program.name);
        format!("{name} +{}", program.args.len())
    }

    #[test]
    fn a_script_is_the_same_program_from_an_event_and_from_proc() {
        assert_eq!(program("./run.sh", "/bin/bash -e ./run.sh a"), "run.sh +1");
        assert_eq!(
            program("/usr/bin/bash", "/bin/bash -e ./run.sh a"),
            "run.sh +1"
        );
    }

    #[test]
    fn env_in_a_shebang_line_is_env_until_it_execs_again() {
        assert_eq!(program("./tool", "/usr/bin/env python3 ./tool a"), "env +3");
        assert_eq!(program("/usr/bin/python3", "python3 ./tool a"), "tool +1");
    }

    #[test]
    fn a_multi_call_binary_is_its_applet() {
        assert_eq!(program("/bin/busybox", "busybox timeout 5 x"), "timeout +2");
        assert_eq!(program("/bin/busybox", "timeout 5 x"), "timeout +2");
        assert_eq!(program("/bin/busybox", "busybox sh run.sh"), "run.sh +0");
        assert_eq!(program("/bin/busybox", "busybox"), "busybox +0");
    }

    #[test]
    fn names_that_say_nothing_give_way_to_the_arguments() {
        assert_eq!(program("/dev/fd/3", "python3 -c 1"), "python3 +2");
        assert_eq!(program("/proc/self/exe", "timeout 5 x"), "timeout +2");
        assert_eq!(
            program("/usr/bin/which", "which /usr/bin/which"),
            "which +1"
        );
    }
}
