//! One boot: QEMU without hardware virtualisation, the guest's serial line as its only voice.
//!
//! Pure emulation because it runs everywhere, in a container and inside another virtual machine, and a
//! boot of a few seconds is cheap enough. What the guest said is judged by [`Report::parse`], which is
//! pure.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io};

use anyhow::{Context as _, Result, bail};

use super::initramfs::MARK;
use crate::program;
use crate::test::Counts;

const QEMU: &str = "qemu-system-x86_64";

/// Everything that can be emulated but `cmpxchg16b`: an interrupt just after it finds the accumulator
/// in the flags (QEMU 7.2), which the guest's allocator, its main user, answers with a double fault.
const CPU: &str = "max,-cx16";

/// How a guest's run ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report {
    /// What `uname -r` says there; `None` when it did not get that far.
    pub(super) kernel: Option<String>,
    /// Test results.
    pub(super) counts: Counts,
    /// Exit code of the test binary; `None` when it did not end.
    pub(super) exit: Option<i32>,
    /// The line with which the kernel died.
    pub(super) panic: Option<String>,
    /// The kernel met a breakpoint that it had put into its own code and taken out again. Taken for the
    /// emulator's, which may go on with what it had translated before; seen once, and not proven. Processors do not do that (`text_poke_sync` of
    /// arch/x86/kernel/alternative.c waits for all of them), emulators with a thread for each may.
    pub(super) ran_old_code: bool,
}

impl Report {
    /// Reads what the guest wrote to its serial line.
    pub(super) fn parse(log: &str) -> Self {
        let mut report = Self {
            kernel: None,
            counts: Counts::default(),
            exit: None,
            panic: None,
            ran_old_code: false,
        };
        for line in log.lines().map(str::trim) {
            // Behind the name of a test, as a rule.
            report.ran_old_code |= line.contains("Oops: int3: ");
            if let Some(own) = line.strip_prefix(MARK) {
                match own.trim().split_once(' ') {
                    Some(("kernel", release)) => report.kernel = Some(release.to_owned()),
                    Some(("exit", code)) => report.exit = code.parse().ok(),
                    _ => {}
                }
            } else if line.contains("Kernel panic") && report.panic.is_none() {
                report.panic = Some(line.to_owned());
            } else if let Some(counts) = Counts::parse(line) {
                report.counts += counts;
            }
        }
        report
    }

    /// Why this is not a pass, if it is not.
    pub(super) fn failure(&self) -> Option<String> {
        if let Some(panic) = &self.panic {
            return Some(panic.clone());
        }
        match (&self.kernel, self.exit) {
            (None, _) => Some("did not boot".to_owned()),
            (_, None) => Some("the tests did not end".to_owned()),
            _ if self.counts.failed > 0 => Some(format!("{} failed", self.counts.failed)),
            (_, Some(code)) if code != 0 => Some(format!("the tests exited with {code}")),
            _ => None,
        }
    }
}

/// Boots and waits for the guest to power off, at most until the deadline; then it is killed, and the
/// report says what it had said until then.
///
/// # Errors
/// QEMU is missing or fails.
pub(super) fn boot(kernel: &Path, initrd: &Path, log: &Path, deadline: Duration) -> Result<Report> {
    let Some(qemu) = program::find(QEMU) else {
        bail!("{QEMU} is missing: apt-get install qemu-system-x86");
    };
    let serial = File::create(log).with_context(|| format!("writing {}", log.display()))?;
    let mut command = Command::new(qemu);
    command
        .args([
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            CPU,
            "-m",
            "1500",
            "-smp",
            "2",
        ])
        .args([
            "-nodefaults",
            "-display",
            "none",
            "-serial",
            "stdio",
            "-no-reboot",
        ])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initrd)
        // At level 5 a hung guest shows its stacks. Emulated page tables make isolation dear, and there is
        // nobody to be isolated from.
        .args([
            "-append",
            "console=ttyS0 loglevel=5 panic=-1 mitigations=off",
        ])
        .stdin(Stdio::null())
        .stdout(serial)
        .stderr(Stdio::piped());
    let line = program::line(&command);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start `{line}`"))?;
    let ended = program::wait_until(&mut child, Instant::now() + deadline)
        .with_context(|| format!("waiting for `{line}`"))?;
    match ended {
        Some(status) if !status.success() => {
            let said = child.stderr.take().map(io::read_to_string);
            let said = said.and_then(Result::ok).unwrap_or_default();
            bail!("`{line}`: {status}: {}", said.trim());
        }
        Some(_) => {}
        None => {
            child.kill().context("killing the guest")?;
            child.wait().context("waiting for the killed guest")?;
        }
    }
    let said = fs::read(log).with_context(|| format!("reading {}", log.display()))?;
    Ok(Report::parse(&String::from_utf8_lossy(&said)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[  1.0] noise\r\n@@xtask kernel 5.10.0-32-cloud-amd64\r\ntest core_a ... ok\r\n\
        test result: ok. 7 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 2s\r\n\
        @@xtask exit 0\r\n";

    #[test]
    fn a_good_run_says_kernel_counts_and_exit() {
        let report = Report::parse(GOOD);
        assert_eq!(report.kernel.as_deref(), Some("5.10.0-32-cloud-amd64"));
        assert_eq!(report.counts.passed, 7);
        assert_eq!(report.failure(), None);
    }

    #[test]
    fn nothing_short_of_that_passes() {
        let failure = |log: &str| Report::parse(log).failure().unwrap_or_default();
        assert_eq!(failure(""), "did not boot");
        assert_eq!(
            failure(&GOOD.replace("@@xtask exit 0", "")),
            "the tests did not end"
        );
        assert_eq!(
            failure(&GOOD.replace("exit 0", "exit 139")),
            "the tests exited with 139"
        );
        assert_eq!(failure(&GOOD.replace("0 failed", "2 failed")), "2 failed");
        let panic = GOOD.replace("[  1.0] noise", "[  1.0] Kernel panic - not syncing: oops");
        assert_eq!(failure(&panic), "[  1.0] Kernel panic - not syncing: oops");
        assert!(!Report::parse(&panic).ran_old_code);
        let old = panic.replace("7 passed", "[  0.9] Oops: int3: 0000 [#1] SMP");
        assert!(Report::parse(&old).ran_old_code, "{old}");
    }
}
