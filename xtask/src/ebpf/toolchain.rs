//! The one compiler and linker that build the kernel side, found or installed.
//!
//! A compiler for `bpfel-unknown-none` must build `core` itself, so it needs its own sources. Two come
//! with them: Debian's `rustc-web`, which lies beside any rustup one, and a rustup toolchain of the same
//! version with the component `rust-src`. The linker loads the LLVM it needs while it runs.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

/// The version of rustc that built the committed object.
pub(super) const COMPILER_VERSION: &str = "1.96.0";
/// The version of bpf-linker that did; later ones want another LLVM.
pub(super) const LINKER_VERSION: &str = "0.10.3";
/// The LLVM that both speak.
const LLVM_MAJOR: &str = "22";

const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// A complete toolchain.
pub(super) struct Toolchain {
    /// As `rustc -V` says it.
    pub(super) compiler: String,
    /// LLVM of the compiler.
    pub(super) llvm: String,
    /// As `bpf-linker --version` says it.
    pub(super) linker_version: String,
    /// The cargo that belongs to the compiler.
    pub(super) cargo: PathBuf,
    rustc: PathBuf,
    linker: PathBuf,
    llvm_folder: PathBuf,
}

impl Toolchain {
    /// Finds all parts; installs what is missing if that is allowed.
    ///
    /// # Errors
    /// Names the missing part and the command that installs it.
    pub(super) fn find(may_install: bool) -> Result<Self> {
        let compiler = match find_compiler() {
            Some(compiler) => compiler,
            None if may_install => {
                install_compiler()?;
                find_compiler().context("the compiler is still missing after installing it")?
            }
            None => bail!("{}", compiler_missing()),
        };
        let (linker, linker_version) = match find_linker() {
            Some(linker) => linker,
            None if may_install => {
                install_linker()?;
                find_linker().context("bpf-linker is still missing after installing it")?
            }
            None => bail!(
                "no bpf-linker {LINKER_VERSION}: cargo install bpf-linker --version \
                 {LINKER_VERSION} --locked (or `cargo xtask ebpf --install`)"
            ),
        };
        let llvm_folder = find_llvm(&compiler.rustc).with_context(|| {
            format!(
                "no libLLVM.so of version {LLVM_MAJOR} for bpf-linker: \
                 apt-get install libllvm{LLVM_MAJOR}"
            )
        })?;
        Ok(Self {
            compiler: compiler.version,
            llvm: compiler.llvm,
            linker_version,
            cargo: compiler.cargo,
            rustc: compiler.rustc,
            linker,
            llvm_folder,
        })
    }

    /// Gives a cargo command this toolchain, and nothing of the one that runs xtask.
    pub(super) fn prepare(&self, command: &mut Command) -> Result<()> {
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            let is_home = text == "CARGO_HOME" || text.starts_with("CARGO_HTTP");
            if (text.starts_with("CARGO") && !is_home) || text.starts_with("RUST") {
                command.env_remove(name);
            }
        }
        let mut path = OsString::from(self.linker.parent().unwrap_or(Path::new("/")));
        path.push(":");
        path.push(env::var_os("PATH").unwrap_or_default());
        command
            .env("PATH", path)
            .env("RUSTC", &self.rustc)
            // `build-std` is a nightly option; this is the stable compiler that Debian's browsers are
            // built with, told to accept it.
            .env("RUSTC_BOOTSTRAP", "1")
            // Empty, but set: a personal configuration must not add flags.
            .env("CARGO_ENCODED_RUSTFLAGS", "")
            .env("RUSTC_WRAPPER", "")
            .env("LD_LIBRARY_PATH", &self.llvm_folder);
        ensure!(self.cargo.exists(), "{} is gone", self.cargo.display());
        Ok(())
    }
}

struct Compiler {
    rustc: PathBuf,
    cargo: PathBuf,
    version: String,
    llvm: String,
}

/// The first compiler of the right version that has its own sources.
fn find_compiler() -> Option<Compiler> {
    // The system's own, whatever stands before it in PATH.
    let system = ["/usr/bin", "/bin"].map(PathBuf::from);
    let rustup = output(
        "rustup",
        &["which", "--toolchain", COMPILER_VERSION, "rustc"],
    )
    .and_then(|path| PathBuf::from(path.trim()).parent().map(Path::to_path_buf));
    system
        .into_iter()
        .chain(rustup)
        .find_map(|folder| compiler_in(&folder))
}

fn compiler_in(folder: &Path) -> Option<Compiler> {
    let (rustc, cargo) = (folder.join("rustc"), folder.join("cargo"));
    let about = output(&rustc, &["-vV"])?;
    let field = |name: &str| {
        about
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(|value| value.trim().to_owned())
    };
    let sysroot = output(&rustc, &["--print", "sysroot"])?;
    let core = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core");
    let llvm = field("LLVM version:")?;
    let is_right = field("release:")? == COMPILER_VERSION
        && llvm.split('.').next() == Some(LLVM_MAJOR)
        && core.is_dir()
        && cargo.exists();
    is_right.then(|| Compiler {
        rustc,
        cargo,
        version: about.lines().next().unwrap_or_default().to_owned(),
        llvm,
    })
}

/// bpf-linker of the right version, and what it says of itself.
fn find_linker() -> Option<(PathBuf, String)> {
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(cargo_home.map(|home| home.join("bin")))
        .map(|folder| folder.join("bpf-linker"))
        .find_map(|linker| {
            let version = output(&linker, &["--version"])?.trim().to_owned();
            (version.split(' ').nth(1) == Some(LINKER_VERSION)).then_some((linker, version))
        })
}

/// A folder with the LLVM library that bpf-linker loads.
fn find_llvm(rustc: &Path) -> Option<PathBuf> {
    let config = format!("llvm-config-{LLVM_MAJOR}");
    let mut folders: Vec<PathBuf> = Vec::new();
    folders.extend(output(&config, &["--libdir"]).map(|folder| PathBuf::from(folder.trim())));
    folders.push(format!("/usr/lib/llvm-{LLVM_MAJOR}/lib").into());
    // Debian keeps libraries under the machine's name.
    let machine = env::consts::ARCH;
    folders.push(format!("/usr/lib/{machine}-linux-gnu").into());
    for compiler in [rustc, Path::new("rustc")] {
        let sysroot = output(compiler, &["--print", "sysroot"]);
        folders.extend(sysroot.map(|folder| Path::new(folder.trim()).join("lib")));
    }
    folders.into_iter().find(|folder| has_llvm(folder))
}

fn has_llvm(folder: &Path) -> bool {
    let prefixes = [
        format!("libLLVM.so.{LLVM_MAJOR}"),
        format!("libLLVM-{LLVM_MAJOR}"),
    ];
    fs::read_dir(folder).is_ok_and(|entries| {
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            prefixes
                .iter()
                .any(|prefix| name.starts_with(prefix.as_str()))
        })
    })
}

fn compiler_missing() -> String {
    format!(
        "no rustc {COMPILER_VERSION} with its sources: on Debian, apt-get install {}; elsewhere, \
         rustup toolchain install {COMPILER_VERSION} --profile minimal --component rust-src \
         (or `cargo xtask ebpf --install`)",
        DEBIAN_PACKAGES.join(" ")
    )
}

fn install_compiler() -> Result<()> {
    let known = output("apt-cache", &["show", DEBIAN_PACKAGES[0]])
        .is_some_and(|text| text.contains(&format!("Version: {COMPILER_VERSION}")));
    if known {
        let mut words = vec!["apt-get", "install", "--yes", "--no-install-recommends"];
        words.extend(DEBIAN_PACKAGES);
        if !is_root() {
            words.insert(0, "sudo");
        }
        return run(&words);
    }
    run(&[
        "rustup",
        "toolchain",
        "install",
        COMPILER_VERSION,
        "--profile",
        "minimal",
        "--component",
        "rust-src",
    ])
}

fn install_linker() -> Result<()> {
    run(&[
        "cargo",
        "install",
        "bpf-linker",
        "--version",
        LINKER_VERSION,
        "--locked",
    ])
}

fn is_root() -> bool {
    output("id", &["-u"]).is_some_and(|uid| uid.trim() == "0")
}

fn run(words: &[&str]) -> Result<()> {
    eprintln!("{}", words.join(" "));
    let status = Command::new(words[0])
        .args(&words[1..])
        .status()
        .with_context(|| format!("cannot start `{}`", words.join(" ")))?;
    ensure!(status.success(), "`{}` failed: {status}", words.join(" "));
    Ok(())
}

/// What a program writes, if it is there and succeeds.
fn output(program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
