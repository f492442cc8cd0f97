//! `cargo xtask ebpf`: builds the kernel side into `tracer-user/bpf`, or checks what is there.
//!
//! The object is committed, so that users need stable Rust only; and it is built by exactly one
//! compiler and linker, so that anybody can build the same bytes again and compare. It holds no paths
//! and no debug info, which is what makes it the same in every folder.

mod sources;
mod toolchain;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use self::toolchain::Toolchain;

/// Arguments of `cargo xtask ebpf`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Change nothing: fail if the object is not what the sources give.
    #[arg(long)]
    check: bool,
    /// Build the object that logs, into target/bpf, for `tracer` built with its feature `log`.
    #[arg(long, conflicts_with = "check")]
    debug_object: bool,
    /// Install the compiler and linker when they are missing; on CI this is the default.
    #[arg(long)]
    install: bool,
}

/// What built an object; the file beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct BuiltBy {
    compiler: String,
    linker: String,
    llvm: String,
    source_sha256: String,
    object_sha256: String,
}

/// Everything about the build that bears on the bytes, spelled out so that the workspace's own
/// profiles have no say in it.
const PROFILE: &[&str] = &[
    "profile.bpf.inherits=\"release\"",
    "profile.bpf.opt-level=3",
    "profile.bpf.codegen-units=1",
    "profile.bpf.debug=false",
    "profile.bpf.debug-assertions=false",
    "profile.bpf.overflow-checks=false",
    "profile.bpf.incremental=false",
    "profile.bpf.lto=false",
    "profile.bpf.panic=\"abort\"",
    "profile.bpf.strip=\"none\"",
];

const TARGET: &str = "bpfel-unknown-none";

/// Runs the command.
pub(crate) fn main(args: &Args) -> Result<()> {
    let root = root()?;
    let source_sha256 = sources::hash(&root, PROFILE)?;
    let object_path = root.join("tracer-user/bpf/tracer.bpf.o");
    let note_path = root.join("tracer-user/bpf/tracer.bpf.json");
    let may_install = args.install || std::env::var_os("CI").is_some_and(|ci| !ci.is_empty());

    if args.check {
        let note = check_note(&object_path, &note_path, &source_sha256)?;
        let toolchain = Toolchain::find(may_install)?;
        let object = build(&root, &toolchain, "ebpf-check", false)?;
        return compare(&note, &object, &object_path, &toolchain);
    }

    let toolchain = Toolchain::find(may_install)?;
    let object = build(&root, &toolchain, "ebpf", args.debug_object)?;
    if args.debug_object {
        let path = root.join("target/bpf/tracer-debug.bpf.o");
        write(&path, &object)?;
        eprintln!("{}: {} bytes, with logging", path.display(), object.len());
        return Ok(());
    }
    let note = BuiltBy {
        compiler: toolchain.compiler.clone(),
        linker: toolchain.linker_version.clone(),
        llvm: toolchain.llvm.clone(),
        source_sha256,
        object_sha256: sources::sha256(&object),
    };
    write(&object_path, &object)?;
    let mut text = serde_json::to_string_pretty(&note)?;
    text.push('\n');
    write(&note_path, text.as_bytes())?;
    eprintln!(
        "{}: {} bytes, sha256 {}",
        object_path.display(),
        object.len(),
        note.object_sha256
    );
    Ok(())
}

/// The cheap half of the check: what the note says against sources and object as they are.
fn check_note(object_path: &Path, note_path: &Path, source_sha256: &str) -> Result<BuiltBy> {
    let text = fs::read_to_string(note_path)
        .with_context(|| format!("{}: run `cargo xtask ebpf`", note_path.display()))?;
    let note: BuiltBy = serde_json::from_str(&text)
        .with_context(|| format!("{}: run `cargo xtask ebpf`", note_path.display()))?;
    ensure!(
        note.source_sha256 == source_sha256,
        "the kernel side's sources have changed since {} was built (it says {}, the sources are {}): \
         run `cargo xtask ebpf` and commit what it writes",
        object_path.display(),
        note.source_sha256,
        source_sha256,
    );
    let object = fs::read(object_path)
        .with_context(|| format!("{}: run `cargo xtask ebpf`", object_path.display()))?;
    let object_sha256 = sources::sha256(&object);
    ensure!(
        note.object_sha256 == object_sha256,
        "{} is not the object that {} describes ({object_sha256} instead of {}): \
         run `cargo xtask ebpf` and commit both",
        object_path.display(),
        note_path.display(),
        note.object_sha256,
    );
    Ok(note)
}

/// The dear half: a build of our own against the object.
fn compare(note: &BuiltBy, built: &[u8], object_path: &Path, toolchain: &Toolchain) -> Result<()> {
    let built_sha256 = sources::sha256(built);
    if built_sha256 == note.object_sha256 {
        eprintln!(
            "{}: as the sources give it ({built_sha256})",
            object_path.display()
        );
        return Ok(());
    }
    let mut by = String::new();
    for (what, theirs, ours) in [
        ("compiler", &note.compiler, &toolchain.compiler),
        ("linker", &note.linker, &toolchain.linker_version),
        ("LLVM", &note.llvm, &toolchain.llvm),
    ] {
        if theirs != ours {
            let _ = write!(by, "; {what}: it was built with {theirs}, this is {ours}");
        }
    }
    let committed = fs::read(object_path)?;
    let first = committed
        .iter()
        .zip(built)
        .position(|(left, right)| left != right);
    bail!(
        "{} is not what the sources give: {} bytes, sha256 {}, against {} bytes, sha256 \
         {built_sha256}, first difference at byte {}{by}",
        object_path.display(),
        committed.len(),
        note.object_sha256,
        built.len(),
        first.unwrap_or(committed.len().min(built.len())),
    );
}

/// Builds the kernel side in a target folder of its own and returns the object.
fn build(root: &Path, toolchain: &Toolchain, folder: &str, log: bool) -> Result<Vec<u8>> {
    let target_dir = root.join("target").join(folder);
    let mut command = Command::new(&toolchain.cargo);
    command
        .current_dir(root)
        .args([
            "build",
            "--locked",
            "--package",
            "tracer-ebpf",
            "--profile",
            "bpf",
        ])
        .args(["-Z", "build-std=core", "--target", TARGET, "--target-dir"])
        .arg(&target_dir);
    for setting in PROFILE {
        command.args(["--config", setting]);
    }
    if log {
        command.args(["--features", "log"]);
    }
    toolchain.prepare(&mut command)?;
    let status = command
        .status()
        .with_context(|| format!("cannot start {command:?}"))?;
    ensure!(
        status.success(),
        "building the kernel side failed ({status}): {command:?}"
    );
    let path = target_dir.join(TARGET).join("bpf/tracer");
    fs::read(&path).with_context(|| path.display().to_string())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    fs::write(path, bytes).with_context(|| path.display().to_string())
}

/// The workspace's folder.
fn root() -> Result<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent()
        .map(Path::to_path_buf)
        .context("xtask has no parent folder")
}
