//! Reading back: the lines alone, recovery and verification of one long session, and of many short ones.

use std::{fs, path::Path};

use tracer::{
    procfs::ProcRoot,
    session::{
        Store, derive,
        journal::{JournalReader, info::SessionInfo},
        recover::{Options, Outcome, Recovery},
        summary::Summarizer,
        verify::verify,
    },
};

use crate::{
    Plan,
    clock::{Took, Watch, float},
    figure, store,
    story::{self, RECORD_BYTES},
};

/// Records of a short session.
const SHORT: u64 = 50;

pub(crate) fn measure(plan: &Plan) {
    let proc = ProcRoot::open("/proc").expect("procfs is mounted");
    long(plan, &proc);
    short(plan, &proc);
}

/// A session whose observer is gone without a word.
fn interrupted(store: &Store, proc: &ProcRoot, records: u64) -> SessionInfo {
    let info = story::info(store, proc);
    let (recorder, mut story) = story::begin(store, &info);
    story::fill(&recorder, &mut story, records);
    info
}

fn recover(store: &Store, proc: &ProcRoot, sessions: u64) -> Took {
    let (options, mut nothing) = (Options::default(), ());
    let watch = Watch::start();
    let report = Recovery::new(store, proc, story::observer(proc), &options, &mut nothing)
        .run()
        .expect("listed");
    let took = watch.stop();
    assert_eq!(
        report.count(Outcome::Recovered),
        sessions,
        "{:?}",
        report.found
    );
    took
}

fn check(store: &Store, sessions: &[SessionInfo]) -> Took {
    let watch = Watch::start();
    for info in sessions {
        let verified = verify(store, &info.session_id);
        assert!(verified.holds(), "{:?}", verified.findings);
    }
    watch.stop()
}

fn long(plan: &Plan, proc: &ProcRoot) {
    let (_room, store) = store(plan);
    let info = interrupted(&store, proc, plan.journal_mb * 1_000_000 / RECORD_BYTES);
    let journal = store.session_path(&info.session_id).join("journal.0.jsonl");
    lines(&journal, &info);
    let mb = float(journal.metadata().expect("there").len()) / 1e6;
    let tell = |name: &str, took: Took| {
        figure(&format!("{name}.mb-wall"), mb / took.wall);
        figure(&format!("{name}.mb-cpu"), mb / took.cpu);
    };
    tell("recover", recover(&store, proc, 1));
    tell("verify", check(&store, &[info]));
}

fn short(plan: &Plan, proc: &ProcRoot) {
    let (_room, store) = store(plan);
    let sessions: Vec<_> = (0..plan.short)
        .map(|_| interrupted(&store, proc, SHORT))
        .collect();
    let tell = |name: &str, took: Took| {
        let count = float(plan.short);
        figure(&format!("{name}.sessions-wall"), count / took.wall);
        figure(&format!("{name}.sessions-cpu"), count / took.cpu);
    };
    tell("recover", recover(&store, proc, plan.short));
    tell("verify", check(&store, &sessions));
}

/// The same bytes in memory, read more and more closely; by CPU time of one thread.
fn lines(journal: &Path, info: &SessionInfo) {
    let bytes = fs::read(journal).expect("there");
    let mb = float(bytes.len() as u64) / 1e6;
    let tell = |name: &str, read: &mut dyn FnMut()| {
        let watch = Watch::start();
        read();
        figure(name, mb / watch.stop().cpu);
    };
    tell("read.checksum", &mut || {
        let sum = |sum: u32, line: &[u8]| sum ^ crc32fast::hash(line);
        let lines = bytes.split(|&byte| byte == b'\n');
        std::hint::black_box(lines.fold(0, sum));
    });
    tell("read.lines", &mut || {
        let mut reader = JournalReader::new(bytes.as_slice());
        while reader.next_line().expect("memory").is_some() {}
    });
    tell("read.records", &mut || {
        let mut reader = JournalReader::new(bytes.as_slice());
        while reader.next_entry().expect("memory").is_some() {}
    });
    tell("read.fold", &mut || {
        let mut fold = Summarizer::new(info.clone());
        derive::replay(bytes.as_slice(), &mut fold).expect("memory");
    });
}
