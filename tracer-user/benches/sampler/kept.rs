//! The way not taken: descriptors kept open, read again from their beginning.
//!
//! It saves the opening, which is half of the cost, for the files that allow it; sockets and descriptors
//! have to be listed again. Seven descriptors a process are more than most limits allow for thousands.

use std::{fs::File, os::unix::fs::FileExt as _};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::crowd::Crowd;

const FILES: [&str; 7] = [
    "stat",
    "status",
    "io",
    "limits",
    "oom_score",
    "oom_score_adj",
    "wchan",
];

/// The files of all processes.
pub(crate) struct Kept {
    files: Vec<[File; FILES.len()]>,
    descriptors: Vec<String>,
}

impl Kept {
    /// `None` when so many descriptors are more than this process may have.
    pub(crate) fn open(crowd: &Crowd) -> Option<Self> {
        let most = getrlimit(Resource::Nofile);
        let wanted = (FILES.len() * crowd.pids.len() + 64) as u64;
        if most.maximum.is_some_and(|most| wanted > most) {
            return None;
        }
        let limit = Rlimit {
            current: most.maximum,
            ..most
        };
        setrlimit(Resource::Nofile, limit).expect("up to the hard limit");
        let open = |pid, file| File::open(format!("/proc/{pid}/{file}")).expect("it lives");
        Some(Self {
            files: crowd
                .pids
                .iter()
                .map(|pid| FILES.map(|file| open(pid, file)))
                .collect(),
            descriptors: crowd
                .pids
                .iter()
                .map(|pid| format!("/proc/{pid}/fd"))
                .collect(),
        })
    }

    /// Reads them all; what is in them is parsed by nobody here, so this is the least it can cost.
    pub(crate) fn read(&mut self) {
        let mut buffer = [0; 4096];
        let mut bytes = 0;
        for file in self.files.iter().flatten() {
            bytes += file.read_at(&mut buffer, 0).expect("it lives");
        }
        assert!(bytes > 0);
        for folder in &self.descriptors {
            for entry in std::fs::read_dir(folder).expect("it lives") {
                let _ = std::fs::read_link(entry.expect("a descriptor").path());
            }
        }
    }
}
