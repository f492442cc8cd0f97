//! Processes that sleep, below one that made them.

use std::{
    io::{Read as _, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

/// They live until this goes.
pub(crate) struct Crowd {
    maker: Child,
    stdin: Option<ChildStdin>,
    pub(crate) pids: Vec<u32>,
}

/// Makes so many and waits for its input to end; a shell, so that they are small and ordinary.
const MAKER: &str = "i=0; while [ $i -lt $1 ]; do sleep infinity </dev/null >/dev/null & echo $!; \
                     i=$((i+1)); done; echo end; read -r _; kill $(jobs -p) 2>/dev/null; \
                     trap '' TERM; kill -TERM 0; exit 0";

impl Crowd {
    pub(crate) fn gather(size: usize) -> Self {
        use std::os::unix::process::CommandExt as _;
        let mut maker = Command::new("/bin/sh")
            .args(["-c", MAKER, "maker", &size.to_string()])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let stdin = maker.stdin.take();
        let mut stdout = maker.stdout.take().expect("piped");
        let mut text = String::new();
        let mut bytes = [0; 4096];
        while !text.ends_with("end\n") {
            let len = stdout.read(&mut bytes).expect("what it says");
            assert!(len > 0, "the maker of processes has ended: {text}");
            text.push_str(std::str::from_utf8(&bytes[..len]).expect("numbers"));
        }
        let pids: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
        assert_eq!(pids.len(), size);
        let crowd = Self { maker, stdin, pids };
        crowd.settle();
        crowd
    }

    /// The process that all are below.
    pub(crate) fn root(&self) -> u32 {
        self.maker.id()
    }

    /// Waits until each has become what it is going to be, and sleeps.
    fn settle(&self) {
        let deadline = Instant::now() + Duration::from_secs(120);
        for pid in &self.pids {
            while !std::fs::read_to_string(format!("/proc/{pid}/wchan"))
                .expect("it lives")
                .contains("pause")
            {
                assert!(Instant::now() < deadline, "{pid} does not come to rest");
                std::thread::yield_now();
            }
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        if let Some(mut stdin) = self.stdin.take() {
            let _ = stdin.write_all(b"\n");
        }
        let _ = self.maker.wait();
    }
}
