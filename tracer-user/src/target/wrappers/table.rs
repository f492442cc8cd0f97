//! The known wrappers, as data: names, how to find the command they run, and why they are passed
//! over.
//!
//! Sources: the manual page or `--help` of each. A program belongs here when what it is *for* is
//! running one other program. Left out on purpose, since they are the workload: `xargs`, `parallel`,
//! `watch`, `make` (they decide what to run), `gdb` (a person decides), `cargo run` (it builds first;
//! the program's name is not on its command line), `tmux`, `screen` (the command belongs to their
//! server), `docker`, `podman` (it belongs to a daemon or another tree), `coverage run`, `valgrind`
//! (the same process goes on).

use super::options::Valued;

/// One kind of wrapper.
#[derive(Debug)]
pub(crate) struct Wrapper {
    pub(crate) names: &'static [&'static str],
    /// Why it is not the workload: the end of "skipped: …".
    pub(crate) why: &'static str,
    pub(crate) finds: Finds,
    /// May run other programs first: only the command's own name is believed.
    pub(crate) helpers: bool,
}

/// Where the command is on its command line.
#[derive(Debug)]
pub(crate) enum Finds {
    /// After options, this many operands, and assignments.
    After {
        options: Valued,
        operands: usize,
        /// Options with which it runs nothing.
        alone: &'static [&'static str],
        /// Options with which it starts a shell, whatever else is named.
        shells: &'static [&'static str],
    },
    /// After options, one of these words, and options again.
    Sub {
        options: Valued,
        words: &'static [&'static str],
    },
    /// One of these words makes it start something that is not named there.
    Script { words: &'static [&'static str] },
    /// Always starts something, a shell if nothing is named.
    Always,
}

const fn valued(short: &'static str, long: &'static [&'static str]) -> Valued {
    Valued { short, long }
}

const fn after(short: &'static str, long: &'static [&'static str], operands: usize) -> Finds {
    Finds::After {
        options: valued(short, long),
        operands,
        alone: &[],
        shells: &[],
    }
}

const fn unless(
    short: &'static str,
    long: &'static [&'static str],
    operands: usize,
    alone: &'static [&'static str],
) -> Finds {
    Finds::After {
        options: valued(short, long),
        operands,
        alone,
        shells: &[],
    }
}

const fn direct(names: &'static [&'static str], why: &'static str, finds: Finds) -> Wrapper {
    Wrapper {
        names,
        why,
        finds,
        helpers: false,
    }
}

const fn with_helpers(names: &'static [&'static str], why: &'static str, finds: Finds) -> Wrapper {
    Wrapper {
        names,
        why,
        finds,
        helpers: true,
    }
}

const fn sub(
    short: &'static str,
    long: &'static [&'static str],
    words: &'static [&'static str],
) -> Finds {
    Finds::Sub {
        options: valued(short, long),
        words,
    }
}

const SUDO_LONG: &[&str] = &[
    "user",
    "group",
    "prompt",
    "chdir",
    "chroot",
    "close-from",
    "command-timeout",
    "other-user",
    "host",
    "role",
    "type",
    "login-class",
    "auth-type",
];
const SETPRIV_LONG: &[&str] = &[
    "ambient-caps",
    "inh-caps",
    "bounding-set",
    "ruid",
    "euid",
    "rgid",
    "egid",
    "reuid",
    "regid",
    "groups",
    "securebits",
    "pdeathsig",
    "selinux-label",
    "apparmor-profile",
    "landlock-access",
    "landlock-rule",
    "seccomp-filter",
    "ptracer",
];
const RUN: &[&str] = &["run"];
const EXEC: &[&str] = &["exec"];
const SCRIPTS: &[&str] = &[
    "exec",
    "x",
    "dlx",
    "run",
    "run-script",
    "test",
    "t",
    "start",
    "stop",
    "restart",
];

/// The table. Looked through in order; names are of the program, not of a path.
#[rustfmt::skip] // one wrapper a line reads as a table
pub(crate) const TABLE: &[Wrapper] = &[
    direct(&["script", "unbuffer"], "gives its command a terminal", Finds::Always),
    direct(&["timeout", "gtimeout"], "limits its command's time", after("ks", &["kill-after", "signal"], 1)),
    direct(&["nice"], "sets a priority", after("n", &["adjustment"], 0)),
    direct(&["ionice"], "sets an I/O priority", unless("cn", &["class", "classdata"], 0, &["p", "P", "u", "pid", "pgid", "uid"])),
    direct(&["nohup"], "ignores hang-ups", after("", &[], 0)),
    direct(&["setsid"], "starts a session", after("", &[], 0)),
    direct(&["stdbuf"], "sets buffering", after("ioe", &["input", "output", "error"], 0)),
    with_helpers(&["sudo"], "changes the user", Finds::After { options: valued("ugpCDhRrtTUca", SUDO_LONG), operands: 0, alone: &["v", "validate", "l", "list", "V", "e", "edit"], shells: &["s", "shell", "i", "login"], }),
    with_helpers(&["doas"], "changes the user", Finds::After { options: valued("uCa", &[]), operands: 0, alone: &["L"], shells: &["s"], }),
    with_helpers(&["su", "runuser", "pkexec"], "changes the user", Finds::Always),
    direct(&["gosu", "su-exec", "setuidgid", "envdir", "softlimit"], "changes the user or limits", after("acdflmoprst", &[], 1)),
    direct(&["chpst"], "changes the user or limits", after("uUbenmdoprftc/", &[], 0)),
    direct(&["setpriv"], "sets privileges", unless("", SETPRIV_LONG, 0, &["d", "dump"])),
    direct(&["unshare", "nsenter"], "enters namespaces", Finds::Always),
    direct(&["chroot"], "changes the root directory", Finds::Always),
    direct(&["bwrap", "firejail", "minijail0", "nsjail"], "sets up a sandbox", Finds::Always),
    direct(&["chrt"], "sets a scheduling policy", unless("TPD", &["sched-runtime", "sched-period", "sched-deadline"], 1, &["p", "pid", "m", "max"])),
    direct(&["taskset"], "sets a CPU mask", unless("", &[], 1, &["p", "pid"])),
    direct(&["numactl"], "sets memory placement", unless("iwmNCpP", &["interleave", "membind", "cpunodebind", "physcpubind", "preferred"], 0, &["s", "show", "H", "hardware"])),
    direct(&["prlimit"], "sets limits", unless("o", &["output"], 0, &["p", "pid"])),
    direct(&["cgexec"], "enters a control group", after("g", &[], 0)),
    direct(&["flock"], "holds a lock", after("wE", &["timeout", "wait", "conflict-exit-code"], 1)),
    direct(&["time", "gtime"], "measures time", after("fo", &["format", "output"], 0)),
    direct(&["tini", "tini-static", "docker-init"], "is an init", after("pe", &[], 0)),
    direct(&["dumb-init"], "is an init", after("r", &["rewrite"], 0)),
    direct(&["catatonit"], "is an init", after("", &[], 0)),
    direct(&["faketime"], "shifts the clock", after("", &[], 1)),
    direct(&["strace", "ltrace"], "traces its command", unless("abeEIoOPsSuUX", &["output", "trace", "string-limit", "env", "user", "summary-sort-by"], 0, &["p", "attach"])),
    direct(&["systemd-cat", "systemd-inhibit"], "connects to the system manager", after("tp", &["identifier", "priority", "what", "who", "why", "mode"], 0)),
    with_helpers(&["systemd-run"], "starts a scope or unit", after("pEMHGCut", &["property", "unit", "slice", "uid", "gid", "setenv", "working-directory", "description", "machine", "host", "nice"], 0)),
    with_helpers(&["dbus-run-session", "dbus-launch"], "starts a message bus", after("", &["config-file", "dbus-daemon"], 0)),
    with_helpers(&["xvfb-run"], "starts a display", after("efnpsw", &["error-file", "auth-file", "server-num", "xauth-protocol", "server-args", "wait"], 0)),
    direct(&["npx", "npx-cli.js", "bunx", "pnpx"], "runs a package's command", Finds::Always),
    direct(&["npm", "npm-cli.js", "pnpm", "pnpm.cjs", "yarn", "yarn.js", "yarnpkg", "corepack"], "runs a package's command", Finds::Script { words: SCRIPTS }),
    direct(&["bun"], "runs a package's command", Finds::Script { words: &["x", "run"], }),
    direct(&["perf"], "measures its command", sub("eoFpgCGjmr", &["event", "output", "freq", "call-graph"], &["stat", "record", "trace"])),
    with_helpers(&["uv"], "prepares an environment", sub("pmn", &["python", "with", "extra", "group", "project", "directory", "package", "env-file", "index-url"], RUN)),
    with_helpers(&["uvx"], "prepares an environment", after("pn", &["python", "with", "from", "index-url"], 0)),
    with_helpers(&["poetry", "pipenv", "rye", "pdm", "hatch", "pixi"], "prepares an environment", sub("CPpe", &["directory", "project", "environment", "manifest-path", "env"], RUN)),
    with_helpers(&["conda", "mamba", "micromamba"], "prepares an environment", sub("np", &["name", "prefix", "cwd"], RUN)),
    with_helpers(&["pyenv", "rbenv", "nodenv", "goenv", "asdf", "mise", "bundle", "volta"], "chooses a version", sub("", &["node", "npm", "gemfile"], &["exec", "x", "run"])),
    with_helpers(&["pyenv-exec", "rbenv-exec", "nodenv-exec", "goenv-exec"], "chooses a version", after("", &[], 0)),
    Wrapper { names: &["direnv"], why: "loads an environment", finds: Finds::Sub { options: valued("", &[]), words: EXEC, }, helpers: true, },
];

/// Why a file in a version manager's directory of shims is passed over.
pub(crate) const SHIM: &str = "is a version manager's shim";
/// Why a shell with one command is passed over.
pub(crate) const SHELL: &str = "is a shell that only starts its command";
/// Why `env` is passed over.
pub(crate) const ENV: &str = "sets the environment";
