//! What it takes to end a session, short or long: bytes written before it counts as ended, and time.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use tracer::{
    procfs::ProcRoot,
    session::{
        journal::writer::JournalFile,
        recorder::{EndOutcome, Options, Recorder},
        summary::Summarizer,
    },
};

use crate::{
    Plan,
    clock::float,
    figure, soon, store,
    story::{self, RECORD_BYTES, Story},
};

pub(crate) fn measure(plan: &Plan) {
    end("end.short", plan, 1);
    end("end.long", plan, plan.end_mb);
}

/// Counts what goes into the journal, and when it was last made durable.
#[derive(Default)]
struct Counted {
    bytes: AtomicU64,
    synced: Mutex<Option<Instant>>,
}

struct Counting {
    file: Box<dyn JournalFile>,
    counted: Arc<Counted>,
}

impl JournalFile for Counting {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.file.append(bytes)?;
        self.counted
            .bytes
            .fetch_add(taken as u64, Ordering::Relaxed);
        Ok(taken)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()?;
        *self.counted.synced.lock().expect("no panic") = Some(Instant::now());
        Ok(())
    }
}

fn end(name: &str, plan: &Plan, mb: u64) {
    let (_room, store) = store(plan);
    let proc = ProcRoot::open("/proc").expect("procfs is mounted");
    let info = story::info(&store, &proc);
    let counted = Arc::new(Counted::default());
    let options = Options {
        file_layer: Some(Box::new({
            let counted = Arc::clone(&counted);
            move |file| Box::new(Counting { file, counted })
        })),
        ..Options::default()
    };
    let fold = Summarizer::new(info.clone());
    let recorder = Recorder::create_with(&store, info.clone(), fold, options).expect("made");
    let mut story = Story::of(&info);
    recorder.accept_all(&mut story.beginning());
    story::fill(&recorder, &mut story, mb * 1_000_000 / RECORD_BYTES);

    let before = counted.bytes.load(Ordering::Relaxed);
    let begun = Instant::now();
    let report = recorder.finish(story::end(), soon());
    let took = begun.elapsed();
    assert_eq!(report.end, EndOutcome::Durable);
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    let synced = counted
        .synced
        .lock()
        .expect("no panic")
        .expect("it is durable");
    let ended = synced.saturating_duration_since(begun);
    let written = counted.bytes.load(Ordering::Relaxed) - before;
    figure(&format!("{name}.mb"), float(before) / 1e6);
    figure(&format!("{name}.bytes"), float(written));
    figure(&format!("{name}.ended"), ended.as_secs_f64() * 1e3);
    figure(&format!("{name}.derived"), took.as_secs_f64() * 1e3);
}
