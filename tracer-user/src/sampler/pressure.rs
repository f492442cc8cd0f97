//! Pressure stall information of the target's cgroup, or of the whole system.
//!
//! Source: Documentation/accounting/psi.rst. A cgroup of version 2 has its own figures; where the target
//! is in none but the root, those of the system are told, and `scope` says so. A kernel that does not
//! count (`psi=0`) is asked once and not again.

use std::{collections::BTreeMap, fs, path::Path};

use crate::{
    procfs::{ProcDir, ProcRoot},
    snapshot::{Pressure, TreeTotals},
};

/// Where the figures are, once they have been looked for.
#[derive(Debug, Default)]
pub(super) struct PressureReader {
    absent: Option<String>,
    /// Where version 2 is mounted, if it is and has been looked for.
    mount: Option<String>,
    is_looked_for: bool,
}

impl PressureReader {
    /// Puts the figures of now into the sums of a tick; `of` is a process of the target.
    pub(super) fn fill(&mut self, totals: &mut TreeTotals, root: &ProcRoot, of: Option<ProcDir>) {
        if self.absent.is_none() {
            match self.read(root, of) {
                Ok(pressure) => {
                    totals.pressure = Some(pressure);
                    return;
                }
                Err(why) => self.absent = Some(why),
            }
        }
        if let Some(why) = &self.absent {
            totals.unread = BTreeMap::from([("pressure".to_owned(), why.clone())]);
        }
    }

    fn read(&mut self, root: &ProcRoot, of: Option<ProcDir>) -> Result<Pressure, String> {
        if let Some(path) = of.and_then(|dir| own_cgroup(&dir.cgroup().ok()?)) {
            if !std::mem::replace(&mut self.is_looked_for, true) {
                let mounts = root.text(c"self/mountinfo");
                self.mount = mounts.and_then(|mounts| unified_mount(&mounts));
            }
            if let Some(mount) = &self.mount {
                let folder = Path::new(mount.as_str()).join(path.trim_start_matches('/'));
                let text = |file| fs::read_to_string(folder.join(file)).ok();
                let read = pressure(
                    path,
                    text("cpu.pressure").as_deref(),
                    text("memory.pressure").as_deref(),
                    text("io.pressure").as_deref(),
                );
                if let Some(pressure) = read {
                    return Ok(pressure);
                }
            }
        }
        pressure(
            "system".to_owned(),
            root.text(c"pressure/cpu").as_deref(),
            root.text(c"pressure/memory").as_deref(),
            root.text(c"pressure/io").as_deref(),
        )
        .ok_or_else(|| "read failed: this kernel does not count pressure".to_owned())
    }
}

/// The cgroup of version 2, unless it is the root.
fn own_cgroup(cgroup: &str) -> Option<String> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    (path != "/" && !path.contains("/..")).then(|| path.to_owned())
}

/// Where all of version 2 is mounted.
fn unified_mount(mountinfo: &str) -> Option<String> {
    mountinfo.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut words = mount.split(' ').skip(3);
        let (root, point) = (words.next()?, words.next()?);
        (root == "/" && kind.starts_with("cgroup2 ")).then(|| point.to_owned())
    })
}

/// `None` when nothing is told.
fn pressure(
    scope: String,
    cpu: Option<&str>,
    memory: Option<&str>,
    io: Option<&str>,
) -> Option<Pressure> {
    let pressure = Pressure {
        cpu_some_avg10: avg10(cpu, "some"),
        memory_some_avg10: avg10(memory, "some"),
        memory_full_avg10: avg10(memory, "full"),
        io_some_avg10: avg10(io, "some"),
        io_full_avg10: avg10(io, "full"),
        scope: String::new(),
    };
    (pressure != Pressure::default()).then_some(Pressure { scope, ..pressure })
}

/// `some avg10=0.12 avg60=…`.
fn avg10(file: Option<&str>, line: &str) -> Option<f64> {
    let line = file?.lines().find_map(|found| found.strip_prefix(line))?;
    let value = line
        .split(' ')
        .find_map(|word| word.strip_prefix("avg10="))?;
    value.parse::<f64>().ok().filter(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_by_their_names() {
        let file = "some avg10=1.25 avg60=0.00 avg300=0.00 total=7\n\
                    full avg10=0.50 avg60=0.00 avg300=0.00 total=3\n";
        assert_eq!(
            (avg10(Some(file), "some"), avg10(Some(file), "full")),
            (Some(1.25), Some(0.5))
        );
        assert_eq!(avg10(Some("some avg60=1\n"), "some"), None);
        assert_eq!(avg10(Some(""), "full"), None);
        let told = pressure("x".to_owned(), None, Some(file), None).unwrap();
        assert_eq!(
            (told.memory_full_avg10, told.cpu_some_avg10),
            (Some(0.5), None)
        );
        assert_eq!(pressure("x".to_owned(), None, None, None), None);
    }

    #[test]
    fn the_root_cgroup_has_no_figures_of_its_own() {
        assert_eq!(own_cgroup("4:memory:/a\n0::/\n"), None);
        assert_eq!(own_cgroup("4:memory:/a\n"), None);
        assert_eq!(own_cgroup("0::/user/x\n").as_deref(), Some("/user/x"));
        assert_eq!(own_cgroup("0::/../x\n"), None);
        let mounts = "27 26 0:23 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        assert_eq!(
            unified_mount(mounts).as_deref(),
            Some("/sys/fs/cgroup/unified")
        );
    }
}
