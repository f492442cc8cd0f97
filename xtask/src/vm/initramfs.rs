//! The guest's whole file system: busybox, the programs with their shared libraries, and an `init`
//! that runs the tests, prints how they ended and powers off.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::cpio::Cpio;
use crate::artifacts::Artifact;
use crate::program;

/// What the guest prints before its own lines; tests do not.
pub(super) const MARK: &str = "@@xtask";

/// What is to run in the guest.
pub(super) struct Content<'a> {
    /// `tracer` and the fixtures, to stand where cargo puts programs.
    pub(super) programs: &'a [Artifact],
    /// The test binary, to stand below them; without one the guest only boots.
    pub(super) tests: Option<&'a Artifact>,
    /// Arguments of the test binary.
    pub(super) args: &'a [String],
}

/// Writes the archive.
///
/// # Errors
/// A program, a library of it or busybox cannot be read.
pub(super) fn write(content: &Content<'_>) -> Result<Vec<u8>> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"]
        .map(Path::new)
        .into_iter()
        .find(|path| path.exists())
        .context("busybox is missing: apt-get install busybox-static")?;
    if !libraries(busybox)?.is_empty() {
        bail!(
            "{} needs shared libraries: apt-get install busybox-static",
            busybox.display()
        );
    }
    let mut cpio = Cpio::default();
    cpio.device("/dev/console", 5, 1);
    for folder in ["proc", "sys", "tmp", "run", "root", "etc", "var/lib"] {
        cpio.folder(folder);
    }
    cpio.program(
        "/etc/passwd",
        b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
    );
    cpio.program("/etc/group", b"root:x:0:\nnogroup:x:65534:\n");
    cpio.copy("/bin/busybox", busybox)?;
    cpio.program("/init", init(content).as_bytes());
    let programs = content
        .programs
        .iter()
        .map(|program| (program, "/target/debug"));
    let tests = content.tests.map(|tests| (tests, "/target/debug/deps"));
    for (artifact, folder) in programs.chain(tests) {
        let file = &artifact.executable;
        cpio.copy(&format!("{folder}/{}", artifact.name), file)?;
        for library in libraries(file)? {
            cpio.copy(&library.to_string_lossy(), &library)?;
        }
    }
    Ok(cpio.finish())
}

/// The first process of the guest.
fn init(content: &Content<'_>) -> String {
    let run = content.tests.map_or_else(String::new, |tests| {
        let args: Vec<_> = content.args.iter().map(|arg| quote(arg)).collect();
        format!("/target/debug/deps/{} {}", tests.name, args.join(" "))
    });
    // A tty of its own, so that a test that asks for one finds what it would find elsewhere. cgroup2
    // and bpffs are mounted because a running system has them; both may be missing in a kernel.
    format!(
        "#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o ptmxmode=0666 pts /dev/pts
mount -t tmpfs tmp /dev/shm
mount -t tmpfs tmp /tmp
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup /sys/fs/cgroup
ip link set lo up
hostname guest
export PATH=/bin:/target/debug HOME=/root USER=root TERM=dumb TRACER_TEST_SLOW=10
cd /root
echo {MARK} kernel $(uname -r)
{run}
echo {MARK} exit $?
poweroff -f
"
    )
}

fn quote(arg: &str) -> String {
    format!("'{}'", arg.replace('\'', r"'\''"))
}

/// The shared libraries of a program, the loader included.
fn libraries(file: &Path) -> Result<Vec<PathBuf>> {
    let mut ldd = Command::new("ldd");
    let output = ldd.arg(file).output().context("cannot start ldd")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && !said.contains("not a dynamic executable") {
        bail!("`{}`: {}", program::line(&ldd), said.trim());
    }
    parse_ldd(&String::from_utf8_lossy(&output.stdout))
        .with_context(|| format!("libraries of {}", file.display()))
}

/// `NAME => PATH (ADDRESS)` and `PATH (ADDRESS)`; the vDSO has no path.
fn parse_ldd(told: &str) -> Result<Vec<PathBuf>> {
    let mut libraries = Vec::new();
    for line in told.lines().map(str::trim) {
        let found = line.split_once("=> ").map_or(line, |(_, found)| found);
        if found.starts_with("not found") {
            bail!("{line}");
        }
        if let Some((path, _)) = found.split_once(" (")
            && path.starts_with('/')
        {
            libraries.push(PathBuf::from(path));
        }
    }
    Ok(libraries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_known_by_path_and_a_missing_one_is_an_error() {
        let told = "\tlinux-vdso.so.1 (0x7ffc)\n\tlibgcc_s.so.1 => /lib/x/libgcc_s.so.1 (0x7f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x7f)\n";
        let found = parse_ldd(told).unwrap();
        assert_eq!(
            found,
            ["/lib/x/libgcc_s.so.1", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from)
        );
        assert_eq!(
            parse_ldd("\tstatically linked\n").unwrap(),
            [""; 0].map(PathBuf::from)
        );
        assert!(parse_ldd("\tliba.so => not found\n").is_err());
    }

    #[test]
    fn arguments_reach_the_tests_as_they_are() {
        let artifact = Artifact {
            package_dir: "/w/tests".into(),
            name: "core".to_owned(),
            is_test: true,
            is_integration: true,
            executable: "/w/core".into(),
        };
        let args = ["--test-threads=1".to_owned(), "it's".to_owned()];
        let content = Content {
            programs: &[],
            tests: Some(&artifact),
            args: &args,
        };
        let line = r"/target/debug/deps/core '--test-threads=1' 'it'\''s'";
        assert!(init(&content).contains(line), "{}", init(&content));
    }
}
