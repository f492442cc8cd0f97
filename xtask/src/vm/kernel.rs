//! Debian's kernels, fetched with apt but not installed.
//!
//! apt gets a state of its own under `target/vm`, with one suite of the mirror that this machine uses
//! anyway. So proxies, retries, checksums and the archive's signature are apt's, and the machine's own
//! package lists stay untouched. The newest cloud image of the suite is taken, whatever its number.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::program::{self, say};

/// Kernel series and the Debian suite that has it.
const SUITES: [(&str, &str); 4] = [
    ("5.10", "bullseye"),
    ("6.1", "bookworm"),
    ("6.12", "trixie"),
    // Unstable moves on; what it has is what the next release will have.
    ("7.2", "sid"),
];

/// Where Debian is when the machine's own sources name no mirror of it.
const MIRROR: &str = "http://deb.debian.org/debian";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const METAPACKAGE: &str = "linux-image-cloud-amd64";

/// The series that can be asked for.
pub(super) fn series() -> Vec<&'static str> {
    SUITES.iter().map(|(series, _)| *series).collect()
}

/// A kernel image on disk.
#[derive(Debug)]
pub(super) struct Image {
    /// The bzImage.
    pub(super) file: PathBuf,
    /// What is worth knowing besides: that the suite has moved on, or the mirror could not be asked.
    pub(super) note: Option<String>,
}

/// Fetches the image of a series into `cache`, or takes it from there.
///
/// # Errors
/// The series is unknown, or neither the mirror nor the cache has it.
pub(super) fn fetch(series: &str, cache: &Path) -> Result<Image> {
    let Some((_, suite)) = SUITES.iter().find(|(known, _)| *known == series) else {
        bail!(
            "no kernel {series}; there are {}",
            self::series().join(", ")
        );
    };
    ensure!(
        Path::new(KEYRING).exists(),
        "{KEYRING} is missing: apt-get install debian-archive-keyring"
    );
    let apt = Apt::new(cache.join(suite), suite)?;
    let (package, mut note) = match apt.newest() {
        Ok(package) => (package, None),
        Err(error) => {
            let package = apt.newest_fetched().with_context(|| format!("{error:#}"))?;
            (
                package,
                Some(format!("mirror not asked ({error}), kernel from the cache")),
            )
        }
    };
    if !package.contains(&format!("-{series}.")) {
        note = Some(format!(
            "{suite} has left {series} behind, it has {package}"
        ));
    }
    Ok(Image {
        file: apt.image(&package)?,
        note,
    })
}

/// An apt of our own for one suite.
struct Apt {
    folder: PathBuf,
    suite: String,
    options: Vec<String>,
}

impl Apt {
    fn new(folder: PathBuf, suite: &str) -> Result<Self> {
        for part in ["state/lists/partial", "cache/archives/partial", "debs"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).with_context(|| format!("making {}", part.display()))?;
        }
        let list = folder.join("sources.list");
        let mirror = machine_mirror().unwrap_or_else(|| MIRROR.to_owned());
        let source = format!("deb [signed-by={KEYRING} arch=amd64] {mirror} {suite} main\n");
        fs::write(&list, source).with_context(|| format!("writing {}", list.display()))?;
        let options = [
            format!("Dir::Etc::sourcelist={}", list.display()),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            "Dir::State::status=/dev/null".to_owned(),
            format!("Dir::State={}", folder.join("state").display()),
            format!("Dir::Cache={}", folder.join("cache").display()),
            "APT::Architecture=amd64".to_owned(),
            "APT::Architectures=amd64".to_owned(),
            // Not this user's to give away: the folder may be closed to the _apt user.
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            "Acquire::Retries=3".to_owned(),
            "Acquire::http::Timeout=30".to_owned(),
        ];
        Ok(Self {
            options: options.map(|option| format!("-o{option}")).to_vec(),
            folder,
            suite: suite.to_owned(),
        })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .args(&self.options)
            .current_dir(self.folder.join("debs"));
        command
    }

    /// Name of the package with the newest cloud image, by the suite's index.
    fn newest(&self) -> Result<String> {
        program::read(self.command("apt-get").args(["-qq", "update"]))?;
        let image = self
            .dependency(METAPACKAGE, "linux-image-")?
            .with_context(|| format!("the mirror has no {METAPACKAGE} in {}", self.suite))?;
        // Since 7.0 the image package only signs for another one, which holds the kernel.
        Ok(self.dependency(&image, "linux-binary-")?.unwrap_or(image))
    }

    /// The first package with that beginning that `package` depends on.
    fn dependency(&self, package: &str, beginning: &str) -> Result<Option<String>> {
        let told = program::read(self.command("apt-cache").args(["depends", package]))?;
        Ok(parse_dependency(&told, beginning))
    }

    /// The newest package that was unpacked before.
    fn newest_fetched(&self) -> Result<String> {
        let mut names: Vec<String> = fs::read_dir(&self.folder)?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.starts_with("linux-"))
            .collect();
        names.sort();
        names
            .pop()
            .with_context(|| format!("nothing of {} in the cache either", self.suite))
    }

    /// The kernel in a package, unpacked once.
    fn image(&self, package: &str) -> Result<PathBuf> {
        let unpacked = self.folder.join(package);
        if let Some(image) = find_image(&unpacked) {
            return Ok(image);
        }
        say(format!("fetching {package}"));
        program::read(self.command("apt-get").args(["-qq", "download", package]))?;
        let debs = self.folder.join("debs");
        let deb = fs::read_dir(&debs)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with(&format!("{package}_"))
            })
            .with_context(|| format!("apt-get downloaded no {package} to {}", debs.display()))?;
        // Unpacked beside and moved when whole: an interrupted run leaves nothing that looks done.
        let partial = self.folder.join("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        program::run(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&partial))?;
        fs::rename(&partial, &unpacked)?;
        fs::remove_file(&deb)?;
        find_image(&unpacked).with_context(|| {
            format!("{package} has neither boot/vmlinuz-… nor usr/lib/modules/…/vmlinuz")
        })
    }
}

/// The first `Depends: NAME` with that beginning in what `apt-cache depends` says.
fn parse_dependency(told: &str, beginning: &str) -> Option<String> {
    told.lines()
        .filter_map(|line| {
            line.trim()
                .trim_start_matches('|')
                .strip_prefix("Depends: ")
        })
        .find(|name| name.starts_with(beginning))
        .map(str::to_owned)
}

/// `boot/vmlinuz-VERSION`, or `usr/lib/modules/VERSION/vmlinuz` in newer packages.
fn find_image(unpacked: &Path) -> Option<PathBuf> {
    let entries = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
    let boot = entries(unpacked.join("boot"))
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().contains("/vmlinuz-"));
    boot.or_else(|| {
        ["usr/lib/modules", "lib/modules"]
            .into_iter()
            .flat_map(|folder| entries(unpacked.join(folder)))
            .map(|entry| entry.path().join("vmlinuz"))
            .find(|path| path.is_file())
    })
}

/// The mirror of Debian proper in apt's sources, if the machine has one.
fn machine_mirror() -> Option<String> {
    let told = Command::new("apt-get")
        .args([
            "indextargets",
            "--format",
            "$(SITE) $(REPO_URI)",
            "Created-By: Packages",
        ])
        .output()
        .ok()?;
    parse_mirror(&String::from_utf8_lossy(&told.stdout))
}

/// The first repository that ends in `/debian`: security updates and others' packages do not.
fn parse_mirror(told: &str) -> Option<String> {
    told.lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .map(|uri| uri.trim_end_matches('/'))
        .find(|uri| uri.ends_with("/debian"))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_image_is_what_the_metapackage_depends_on() {
        let told = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-53-cloud-amd64\n";
        let image = parse_dependency(told, "linux-image-");
        assert_eq!(image.as_deref(), Some("linux-image-6.1.0-53-cloud-amd64"));
        let told =
            "linux-image-7.2\n  PreDepends: x\n |Depends: kmod\n  Depends: linux-binary-7.2\n";
        assert_eq!(
            parse_dependency(told, "linux-binary-").as_deref(),
            Some("linux-binary-7.2")
        );
        assert_eq!(
            parse_dependency("x\n  Suggests: linux-image-1\n", "linux-image-"),
            None
        );
    }

    #[test]
    fn the_mirror_is_debians_own_archive() {
        let told = "http://m/debian-security http://m/debian-security/\nhttp://n http://n/node\n\
                    http://m/debian http://m/debian/\n";
        assert_eq!(parse_mirror(told).as_deref(), Some("http://m/debian"));
        assert_eq!(parse_mirror("http://u/ubuntu http://u/ubuntu/\n"), None);
    }

    #[test]
    fn a_series_that_nobody_has_is_named() {
        let error = fetch("4.4", Path::new("/nonexistent"))
            .unwrap_err()
            .to_string();
        assert_eq!(error, "no kernel 4.4; there are 5.10, 6.1, 6.12, 7.2");
    }
}
