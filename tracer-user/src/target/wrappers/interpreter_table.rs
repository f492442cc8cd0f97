//! How interpreters read their command lines, as data.
//!
//! Sources: the manual pages and `--help` texts named in [`super::interpreters`].

/// How one interpreter reads its command line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Interpreter {
    /// Names without version.
    pub(super) stems: &'static [&'static str],
    /// Letters after which there is no script: the program is text or standard input.
    pub(super) inline: &'static str,
    /// Letters that name a module.
    pub(super) module: &'static str,
    /// Letters that name the script file.
    pub(super) file: &'static str,
    /// Letters with a value.
    pub(super) values: &'static str,
    /// Letters whose value, if any, is attached: they end a cluster.
    pub(super) attached: &'static str,
    /// Long options without script.
    pub(super) long_inline: &'static [&'static str],
    /// Long options with a value.
    pub(super) long_values: &'static [&'static str],
    /// First operands that stand before the script.
    pub(super) runs: &'static [&'static str],
    /// First operands after which there is no script.
    pub(super) tools: &'static [&'static str],
}

const NONE: Interpreter = Interpreter {
    stems: &[],
    inline: "",
    module: "",
    file: "",
    values: "",
    attached: "",
    long_inline: &[],
    long_values: &[],
    runs: &[],
    tools: &[],
};

/// Shells, which also read commands from `-c`.
pub(super) const SHELLS: &[&str] = &["sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "rbash"];

/// The table.
pub(super) const TABLE: &[Interpreter] = &[
    Interpreter {
        stems: &["python", "pypy"],
        inline: "c",
        module: "m",
        values: "WXQ",
        long_values: &["check-hash-based-pycs"],
        ..NONE
    },
    Interpreter {
        stems: &["node", "nodejs"],
        inline: "ep",
        values: "rC",
        long_inline: &["eval", "print", "run"],
        long_values: &[
            "require",
            "import",
            "loader",
            "experimental-loader",
            "conditions",
            "input-type",
            "title",
            "inspect-port",
            "test-name-pattern",
            "watch-path",
        ],
        ..NONE
    },
    Interpreter {
        stems: SHELLS,
        inline: "cs",
        values: "oO",
        long_values: &["rcfile", "init-file"],
        ..NONE
    },
    Interpreter {
        stems: &["ruby", "jruby"],
        inline: "e",
        values: "rICE",
        attached: "KFTWx0i",
        ..NONE
    },
    Interpreter {
        stems: &["perl"],
        inline: "eE",
        values: "I",
        attached: "MmiFC0lxdDV",
        ..NONE
    },
    Interpreter {
        stems: &["php"],
        inline: "rSBRE",
        file: "f",
        values: "dczt",
        ..NONE
    },
    Interpreter {
        stems: &["lua", "luajit"],
        values: "el",
        ..NONE
    },
    Interpreter {
        stems: &["Rscript"],
        inline: "e",
        ..NONE
    },
    Interpreter {
        stems: &["tclsh", "wish", "escript"],
        ..NONE
    },
    Interpreter {
        stems: &["expect"],
        inline: "c",
        file: "f",
        ..NONE
    },
    Interpreter {
        stems: &["julia"],
        inline: "eE",
        values: "JptLC",
        ..NONE
    },
    Interpreter {
        stems: &["deno"],
        values: "cL",
        long_values: &[
            "config",
            "import-map",
            "lock",
            "cert",
            "location",
            "seed",
            "log-level",
        ],
        runs: &["run", "test", "bench", "serve"],
        tools: &[
            "eval", "repl", "task", "fmt", "lint", "check", "compile", "install", "x",
        ],
        ..NONE
    },
    Interpreter {
        stems: &["bun"],
        inline: "ep",
        values: "rc",
        long_inline: &["eval", "print"],
        long_values: &["preload", "config", "cwd", "env-file"],
        runs: &["run"],
        tools: &[
            "x", "test", "install", "add", "build", "create", "exec", "repl",
        ],
        ..NONE
    },
    Interpreter {
        stems: &["dotnet"],
        runs: &["exec"],
        tools: &["run", "build", "test", "publish", "restore", "tool", "new"],
        ..NONE
    },
];
