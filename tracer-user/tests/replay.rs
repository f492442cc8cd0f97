//! A recorded session, folded again from its journal: the same summary, to the byte.

#![expect(clippy::unwrap_used, reason = "a test that cannot get on fails")]

use std::fs::File;
use std::process::{Command, Stdio};

use tracer::session::derive::{Fold as _, replay};
use tracer::session::journal::reader::JournalReader;
use tracer::session::journal::record::Body;
use tracer::session::summary::Summarizer;

/// Records `sh -c text` and returns `summary.json` as it was written and as it is rebuilt.
fn recorded_and_rebuilt(text: &str) -> (String, String) {
    let state = tempfile::tempdir().unwrap();
    let ended = Command::new(env!("CARGO_BIN_EXE_tracer"))
        .args(["run", "-q", "--require-trace", "--interval", "20ms"])
        .arg("--state-dir")
        .arg(state.path())
        .args(["--label", "case=replay", "--", "sh", "-c", text])
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert_ne!(ended.code(), Some(125), "no trace: root and BTF are needed");
    let mut sessions = std::fs::read_dir(state.path().join("sessions")).unwrap();
    let session = sessions.next().unwrap().unwrap().path();
    let journal = || File::open(session.join("journal.0.jsonl")).unwrap();
    let first = JournalReader::new(journal()).next_entry().unwrap().unwrap();
    let Body::Session(info) = first.body else {
        panic!("the first record is a {}", first.body.kind());
    };
    let mut fold = Summarizer::new(*info);
    let read = replay(journal(), &mut fold).unwrap();
    assert!(read.records > 5, "{read:?}");
    let rebuilt = serde_json::to_string_pretty(&fold.finish()).unwrap() + "\n";
    let recorded = std::fs::read_to_string(session.join("summary.json")).unwrap();
    (recorded, rebuilt)
}

#[test]
fn a_summary_rebuilt_from_the_journal_is_the_same_to_the_byte() {
    for text in [
        // Forks, execs, rows, another's kill, a name that is no UTF-8, and a code of its own.
        "sleep 0.2 & sleep 5 & kill -KILL $!; printf '\\303' | cat; wait %1; exit 9",
        "kill -SEGV $$",
        "exec timeout 0.1 sleep 5",
    ] {
        let (recorded, rebuilt) = recorded_and_rebuilt(text);
        assert!(recorded.contains("\"status\": \"complete\""), "{recorded}");
        assert_eq!(recorded, rebuilt, "{text}");
    }
}
