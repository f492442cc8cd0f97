//! An observation that panics, at each of its moments: the record says so, and the command goes on as if
//! nothing had been.
//!
//! This program is also the observer it tests (`--observe MOMENT …`): `tracer run` with an audience that
//! panics when it is told something. It needs root and a kernel with BTF, as every live test.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what must hold, helpers included"
)]

mod harness;

use std::{
    ffi::OsString,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, ExitCode, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use harness::tests;
use tracer::{
    event::{Event, EventKind},
    observe::{self, Audience},
    session::{
        StateDir, Store,
        crash::words::LastWords,
        journal::{JournalReader, reader::Entry, record::Body},
        status::{Status, examine},
        summary::Summary,
    },
};

const TESTS: &[(&str, fn())] = tests![
    a_panic_while_the_command_runs_ends_the_record_and_not_the_command,
    a_panic_before_the_command_begins_lets_it_run_all_the_same,
    a_panic_before_the_command_begins_keeps_it_from_running_untraced_where_that_was_asked_for,
    a_panic_after_the_end_leaves_the_end_as_it_is,
    signals_reach_a_command_whose_observation_has_panicked,
];

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "--observe") {
        return as_observer(&args[1], &args[2..]);
    }
    harness::run_tests(TESTS, &args)
}

fn as_observer(moment: &OsString, args: &[OsString]) -> ExitCode {
    let words = [OsString::from("tracer"), "run".into()];
    let config = tracer::cli::run_config(words.into_iter().chain(args.iter().cloned())).unwrap();
    let mut audience = Clumsy {
        moment: moment.to_str().unwrap().to_owned(),
    };
    match observe::run(&config, &mut audience) {
        Ok(ending) => ExitCode::from(ending.exit_code),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

struct Clumsy {
    moment: String,
}

impl Clumsy {
    fn at(&self, moment: &str) {
        assert!(self.moment != moment, "clumsy when told: {moment}");
    }
}

impl Audience for Clumsy {
    fn raw_terminal(&mut self, _: bool) {}

    fn began(&mut self, _: &Path) {
        self.at("began");
    }

    fn notice(&mut self, text: &str) {
        eprintln!("notice: {text}");
    }

    fn event(&mut self, event: &Event) {
        if matches!(event.kind, EventKind::Exec(_)) {
            self.at("exec");
        }
    }

    fn finished(&mut self, _: &Summary, _: &Path) {
        self.at("finished");
    }
}

struct Run {
    room: tempfile::TempDir,
    status: ExitStatus,
    stderr: String,
}

/// The observer on a shell text, and how it ended.
fn run(moment: &str, options: &[&str], text: &str) -> Run {
    let (room, mut observer) = start(moment, options, text);
    let mut stderr = String::new();
    let mut pipe = observer.stderr.take().unwrap();
    pipe.read_to_string(&mut stderr).unwrap();
    Run {
        room,
        status: observer.wait().unwrap(),
        stderr,
    }
}

fn start(moment: &str, options: &[&str], text: &str) -> (tempfile::TempDir, std::process::Child) {
    let room = tempfile::tempdir().unwrap();
    let observer = Command::new(std::env::current_exe().unwrap())
        .args(["--observe", moment, "--state-dir"])
        .arg(room.path().join("state"))
        .args(options)
        .args(["--", "sh", "-c", text])
        .current_dir(room.path())
        // No state and no pins but the room's own.
        .env(tracer::session::store::REFUSE_DEFAULT, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    (room, observer.unwrap())
}

impl Run {
    fn folder(&self) -> PathBuf {
        let sessions = self.room.path().join("state/sessions");
        let mut found = std::fs::read_dir(sessions).unwrap();
        found.next().unwrap().unwrap().path()
    }

    fn journal(&self) -> Vec<Entry> {
        let file = std::fs::File::open(self.folder().join("journal.0.jsonl")).unwrap();
        let mut reader = JournalReader::new(file).starting_at(0);
        let mut entries = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            entries.push(entry);
        }
        assert!(reader.stats().is_clean(), "{:?}", reader.stats());
        entries
    }

    fn summary(&self) -> serde_json::Value {
        let bytes = std::fs::read(self.folder().join("summary.json")).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    fn status_of_session(&self) -> Status {
        let state = self.room.path().join("state");
        let state = StateDir::resolve(Some(state), |_| None, 0).unwrap();
        let store = Store::open(&state).unwrap();
        let id = store.session_ids().unwrap()[0];
        examine(&store.existing_session(&id).unwrap()).status
    }

    /// The one terminal record is a crash that tells of the panic.
    fn expect_crash(&self, words: &str) {
        let journal = self.journal();
        let terminal: Vec<_> = journal
            .iter()
            .filter(|entry| entry.body.is_terminal())
            .collect();
        assert_eq!(terminal.len(), 1, "{terminal:?}");
        let Body::Crash(crash) = &terminal[0].body else {
            panic!("{terminal:?}")
        };
        assert_eq!(crash.cause, "panic");
        let expected = format!("{words}, in main at ");
        assert!(crash.detail.starts_with(&expected), "{crash:?}");
        assert!(matches!(self.status_of_session(), Status::Ended(_)));
        let summary = self.summary();
        assert_eq!(summary["observer"]["ending"], "crashed", "{summary:#}");
        assert_eq!(summary["completeness"]["status"], "incomplete");
        assert!(
            self.stderr.contains("the command goes on"),
            "{}",
            self.stderr
        );
    }
}

fn a_panic_while_the_command_runs_ends_the_record_and_not_the_command() {
    let run = run("exec", &[], "sleep 0.3; echo done > done; exit 7");
    assert_eq!(run.status.code(), Some(7), "{}", run.stderr);
    assert!(run.room.path().join("done").exists());
    run.expect_crash("clumsy when told: exec");
    // Everything before is there: the command was tracked and has executed.
    let journal = run.journal();
    assert!(
        journal.iter().any(|entry| entry.body.kind() == "fork"),
        "{journal:?}"
    );
    let terminal = &journal[journal.len() - 1];
    assert_eq!(terminal.body.kind(), "crash");
}

fn a_panic_before_the_command_begins_lets_it_run_all_the_same() {
    let run = run("began", &[], "echo done > done; exit 7");
    assert_eq!(run.status.code(), Some(7), "{}", run.stderr);
    assert!(run.room.path().join("done").exists());
    run.expect_crash("clumsy when told: began");
}

fn a_panic_before_the_command_begins_keeps_it_from_running_untraced_where_that_was_asked_for() {
    let run = run("began", &["--require-trace"], "echo done > done; exit 7");
    assert_eq!(run.status.code(), Some(125), "{}", run.stderr);
    assert!(!run.room.path().join("done").exists());
    assert!(run.stderr.contains("a mistake in tracer"), "{}", run.stderr);
}

fn a_panic_after_the_end_leaves_the_end_as_it_is() {
    let run = run("finished", &[], "exit 7");
    assert_eq!(run.status.code(), Some(7), "{}", run.stderr);
    let journal = run.journal();
    let last = &journal[journal.len() - 1];
    assert_eq!(last.body.kind(), "end");
    assert_eq!(run.summary()["observer"]["ending"], "completed");
    let lease = std::fs::read(run.folder().join("lease")).unwrap();
    let lines = lease.split(|&byte| byte == b'\n');
    let words: Vec<_> = lines.filter_map(LastWords::parse).collect();
    assert_eq!(words.len(), 1);
    assert!(
        words[0].crash.detail.contains("clumsy when told: finished"),
        "{words:?}"
    );
}

fn signals_reach_a_command_whose_observation_has_panicked() {
    let text = "trap 'echo got > got; exit 9' TERM; echo > ready; while :; do sleep 0.02; done";
    let (room, mut observer) = start("exec", &[], text);
    wait_for("the command", || room.path().join("ready").exists());
    let pid = rustix::process::Pid::from_child(&observer);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = observer.wait().unwrap();
    assert_eq!(status.code(), Some(9));
    assert!(room.path().join("got").exists());
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(2));
    }
}
