//! The storm: where it is, what it is told, and what it says of itself.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// What it is called in records: `comm` of the storm and its workers.
pub(super) const STORM: &str = "bench_storm";
/// `comm` of the children after their exec.
pub(super) const TINY: &str = "bench_tiny";

/// A storm that can be started again and again.
#[derive(Debug, Clone)]
pub(super) struct Storm {
    /// The program.
    program: PathBuf,
    /// Its arguments.
    args: [OsString; 5],
    result: PathBuf,
    /// Workers.
    pub(super) workers: usize,
    /// Children a worker.
    pub(super) each: usize,
}

/// What one storm said at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blown {
    /// From its first fork to its last wait, ns.
    pub(super) wall_ns: u64,
    /// CPU time of it and all its children, µs.
    pub(super) cpu_us: i64,
}

impl Storm {
    /// A storm whose files are in `room`.
    ///
    /// # Errors
    /// The tiny program cannot be written, or not for this machine.
    pub(super) fn new(
        program: &Path,
        how: &str,
        workers: usize,
        each: usize,
        room: &Path,
    ) -> Result<Self> {
        let tiny = room.join(TINY);
        ensure!(
            cfg!(target_arch = "x86_64"),
            "the storm's tiny program is machine code for x86-64; this is another machine"
        );
        fs::write(&tiny, tiny_elf()).with_context(|| format!("writing {}", tiny.display()))?;
        fs::set_permissions(&tiny, PermissionsExt::from_mode(0o755))?;
        let result = room.join("storm-result");
        let args = [
            how.into(),
            workers.to_string().into(),
            each.to_string().into(),
            tiny.into(),
            result.clone().into(),
        ];
        Ok(Self {
            program: program.to_path_buf(),
            args,
            result,
            workers,
            each,
        })
    }

    /// The storm by itself.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        command
    }

    /// Program and arguments, for an observer's command line.
    pub(super) fn argv(&self) -> impl Iterator<Item = &OsStr> {
        std::iter::once(self.program.as_os_str()).chain(self.args.iter().map(OsString::as_os_str))
    }

    /// The tiny program alone.
    pub(super) fn tiny(&self) -> &OsStr {
        &self.args[3]
    }

    /// What the storm that just ended said; once.
    ///
    /// # Errors
    /// It said nothing, or that a child had a wrong status.
    pub(super) fn blown(&self) -> Result<Blown> {
        let text = fs::read_to_string(&self.result)
            .with_context(|| format!("the storm left no {}", self.result.display()))?;
        fs::remove_file(&self.result)?;
        parse_result(&text)
    }

    /// Processes that the workers make.
    pub(super) fn processes(&self) -> usize {
        self.workers * self.each
    }
}

fn parse_result(text: &str) -> Result<Blown> {
    let figure = |name: &str| -> Result<i64> {
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        let value = value.and_then(|value| value.trim().parse().ok());
        value.with_context(|| format!("the storm did not say its {name}"))
    };
    let wrong = figure("workers_with_wrong_statuses ")?;
    ensure!(
        wrong == 0,
        "{wrong} workers saw a child end with a wrong status"
    );
    Ok(Blown {
        wall_ns: u64::try_from(figure("wall_ns ")?)?,
        cpu_us: figure("cpu_us ")?,
    })
}

/// The smallest program that exits with the first byte of its argument (0 without one): no C library,
/// no start-up, one page. So the storm is fork, exec, exit and nothing else.
fn tiny_elf() -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    #[rustfmt::skip]
    let code: [u8; 22] = [
        0x31, 0xff,                   // xor edi, edi
        0x48, 0x8b, 0x44, 0x24, 0x10, // mov rax, [rsp + 16]: argv[1]
        0x48, 0x85, 0xc0,             // test rax, rax
        0x74, 0x03,                   // je +3
        0x0f, 0xb6, 0x38,             // movzx edi, byte [rax]
        0xb8, 0xe7, 0x00, 0x00, 0x00, // mov eax, 231: exit_group
        0x0f, 0x05,                   // syscall
    ];
    let size = HEADERS + code.len() as u64;
    let mut elf = Vec::new();
    // elf(5): 64 bits, little endian, version 1; ET_EXEC, EM_X86_64.
    elf.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0");
    // e_entry, e_phoff, e_shoff; then e_flags.
    for field in [BASE + HEADERS, 64, 0] {
        elf.extend(field.to_le_bytes());
    }
    elf.extend([0; 4]);
    // e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx.
    for field in [64_u16, 56, 1, 0, 0, 0] {
        elf.extend(field.to_le_bytes());
    }
    // One PT_LOAD, readable and executable: p_offset, addresses, sizes, alignment.
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for field in [0, BASE, BASE, size, size, 0x1000] {
        elf.extend(field.to_le_bytes());
    }
    elf.extend(code);
    elf
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_tiny_program_exits_with_what_it_is_told() {
        let room = tempfile::tempdir().unwrap();
        let storm = Storm::new(Path::new("storm"), "fork", 2, 3, room.path()).unwrap();
        let tiny = storm.tiny();
        assert_eq!(Command::new(tiny).status().unwrap().code(), Some(0));
        assert_eq!(
            Command::new(tiny).arg("A").status().unwrap().code(),
            Some(65)
        );
        assert_eq!(storm.processes(), 6);
    }

    #[test]
    fn a_storm_with_a_wrong_status_is_no_measurement() {
        let good = "wall_ns 12\ncpu_us 3\nworkers_with_wrong_statuses 0\n";
        assert_eq!(
            parse_result(good).unwrap(),
            Blown {
                wall_ns: 12,
                cpu_us: 3
            }
        );
        assert!(parse_result(&good.replace("statuses 0", "statuses 1")).is_err());
        assert!(parse_result("wall_ns 12\n").is_err());
    }
}
