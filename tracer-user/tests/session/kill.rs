//! SIGKILL at random moments: what was acknowledged is in the journal, once, in order.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use crate::support::*;
use tracer::session::recorder::Recorder;

const STATE: &str = "TRACER_TEST_KILL_STATE";

/// Records as fast as it can and says after each batch how many records it knows to be written.
#[test]
#[ignore = "the process that c4_c9_a_killed_writer_loses_nothing_it_acknowledged kills"]
fn writer() {
    let Some(state) = std::env::var_os(STATE) else {
        return;
    };
    let store = store_in(Path::new(&state));
    let recorder = Recorder::create(&store, info(&store), Seen::default()).expect("made");
    let mut out = std::io::stdout();
    for n in 0_u64.. {
        if recorder.has_room() {
            let first = n * 40;
            recorder.accept_all(&mut (first..first + 40).map(fork).collect());
        }
        if n % 64 == 0 {
            assert!(recorder.flush(soon()).complete);
        }
        // Killed in the middle of this line: the parent takes whole lines only.
        let written = recorder.progress().written;
        out.write_all(format!("\nack {written}\n").as_bytes())
            .expect("the parent reads");
        out.flush().expect("the parent reads");
    }
}

/// The next acknowledgement; `None` at the end, which half a line is too.
fn next_ack(output: &mut impl BufRead) -> Option<u64> {
    loop {
        let mut line = Vec::new();
        output.read_until(b'\n', &mut line).expect("a pipe");
        let text = std::str::from_utf8(line.strip_suffix(b"\n")?).unwrap_or_default();
        if let Some(Ok(written)) = text.strip_prefix("ack ").map(str::parse) {
            return Some(written);
        }
    }
}

#[test]
fn c4_c9_a_killed_writer_loses_nothing_it_acknowledged() {
    // A fixed sequence of moments; the scheduler adds its own chance.
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut with_records = 0;
    for round in 0..50 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let dir = tempfile::tempdir().expect("a directory");
        let mut child = Command::new(std::env::current_exe().expect("known"))
            .args(["--ignored", "--exact", "kill::writer", "--nocapture"])
            .env(STATE, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let mut acks = Vec::new();
        // One in five is killed somewhere in its start, the others after some acknowledgements.
        let wait_for = if round % 5 == 0 { 0 } else { 2 + random % 200 };
        while (acks.len() as u64) < wait_for {
            acks.push(next_ack(&mut output).expect("the writer failed by itself"));
        }
        std::thread::sleep(Duration::from_micros(random % 3_000));
        child.kill().expect("ours");
        let ended = child.wait().expect("ours");
        assert_eq!(
            ended.signal(),
            Some(9),
            "round {round}: the writer failed by itself"
        );
        while let Some(ack) = next_ack(&mut output) {
            acks.push(ack);
        }
        let acknowledged = acks.last().copied().unwrap_or(0);

        let store = store_in(dir.path());
        let ids = store.session_ids().expect("listed");
        assert!(ids.len() <= 1);
        let Some(id) = ids.first() else { continue };
        let path = store.session_path(id);
        if !path.join("journal.0.jsonl").exists() {
            assert_eq!(acknowledged, 0);
            continue;
        }
        let (entries, stats) = read_journal(&path);
        assert!(
            entries.len() as u64 >= acknowledged,
            "{} < {acknowledged}",
            entries.len()
        );
        assert_eq!((stats.bad_lines, stats.missing), (0, 0), "{stats:?}");
        for (n, entry) in (0..).zip(entries.iter().skip(1)) {
            assert_eq!((entry.seq, &entry.body), (n + 1, &fork(n).body));
        }
        with_records += u32::from(acknowledged > 1);
    }
    assert!(
        with_records >= 40,
        "only {with_records} rounds got far enough to say anything"
    );
}
