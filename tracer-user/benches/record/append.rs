//! What a producer pays for an event, beside writing the line itself.
//!
//! Its cost is that of [`Recorder::accept`](tracer::session::recorder::Recorder::accept): numbering,
//! encoding and writing are the recorder's thread's. Beside it the same lines are written by the caller,
//! one `write(2)` each, which is what a recorder without a thread does at least.

use std::{
    fs::File,
    io::Write as _,
    time::{Duration, Instant},
};

use tracer::session::journal::Encoder;

use crate::{
    Plan,
    clock::percentile,
    figure, soon, store,
    story::{self, Live, Story},
};

/// Events of a burst, which fits into the queue.
const BURST: u64 = 10_000;
/// Between two events at 20,000 a second.
const PACE: Duration = Duration::from_micros(50);

pub(crate) fn measure(plan: &Plan) {
    let (room, store) = store(plan);
    let proc = tracer::procfs::ProcRoot::open("/proc").expect("procfs is mounted");
    let info = story::info(&store, &proc);
    let (recorder, mut story) = story::begin(&store, &info);
    // The first ones find empty allocators and cold caches.
    story::fill(&recorder, &mut story, 20_000);

    tell("append.clock", &mut clock());
    tell("append.burst", &mut burst(&recorder, &mut story));
    let mut file = File::create(room.path().join("lines")).expect("made");
    tell("append.write", &mut written(&mut file, &mut story));
    tell("append.paced", &mut paced(&recorder, &mut story));
    tell("append.woken", &mut woken(&recorder, &mut story));
    tell("append.batch", &mut batches(&recorder, &mut story));
    tell("append.synced", &mut synced(&mut file, &mut story));
}

fn tell(name: &str, costs: &mut [Duration]) {
    figure(&format!("{name}.p50"), percentile(costs, 0.5));
    figure(&format!("{name}.p99"), percentile(costs, 0.99));
}

/// What looking at the clock costs, which all of the others contain.
fn clock() -> Vec<Duration> {
    let look = |_| {
        let before = Instant::now();
        before.elapsed()
    };
    (0..BURST).map(look).collect()
}

fn accept(recorder: &Live, story: &mut Story) -> Duration {
    let record = story.record();
    let before = Instant::now();
    recorder.accept(record);
    before.elapsed()
}

/// One after the other without a pause.
fn burst(recorder: &Live, story: &mut Story) -> Vec<Duration> {
    let records = story.records(BURST);
    let each = |record| {
        let before = Instant::now();
        recorder.accept(record);
        before.elapsed()
    };
    let costs = records.into_iter().map(each).collect();
    assert!(recorder.flush(soon()).complete);
    costs
}

/// At an even pace that leaves the recorder's thread its time.
fn paced(recorder: &Live, story: &mut Story) -> Vec<Duration> {
    let mut next = Instant::now();
    let each = |_| {
        while Instant::now() < next {
            std::hint::spin_loop();
        }
        next += PACE;
        accept(recorder, story)
    };
    (0..BURST).map(each).collect()
}

/// Each after a pause in which the recorder's thread went to sleep: it has to be woken.
fn woken(recorder: &Live, story: &mut Story) -> Vec<Duration> {
    let each = |_| {
        std::thread::sleep(Duration::from_millis(4));
        accept(recorder, story)
    };
    (0..200).map(each).collect()
}

/// Events as the observer has them from the kernel's ring: many at once. Per event.
fn batches(recorder: &Live, story: &mut Story) -> Vec<Duration> {
    let each = |_| {
        while !recorder.has_room() {
            std::thread::yield_now();
        }
        let mut records = story.records(64);
        let before = Instant::now();
        recorder.accept_all(&mut records);
        before.elapsed() / 64
    };
    (0..400).map(each).collect()
}

fn lines(story: &mut Story, count: u64) -> Vec<Vec<u8>> {
    let encoder = Encoder::default();
    let line = |(seq, record): (u64, tracer::session::journal::Record)| {
        let mut line = Vec::new();
        encoder.line(&mut line, seq, record.t, &record.body);
        line
    };
    (0..).zip(story.records(count)).map(line).collect()
}

/// The caller writes each line itself.
fn written(file: &mut File, story: &mut Story) -> Vec<Duration> {
    let mut write = |line: &Vec<u8>| {
        let before = Instant::now();
        file.write_all(line).expect("room");
        before.elapsed()
    };
    lines(story, BURST).iter().map(&mut write).collect()
}

/// The same, and each survives a power failure.
fn synced(file: &mut File, story: &mut Story) -> Vec<Duration> {
    let mut write = |line: &Vec<u8>| {
        let before = Instant::now();
        file.write_all(line).expect("room");
        file.sync_data().expect("a disk that answers");
        before.elapsed()
    };
    lines(story, 50).iter().map(&mut write).collect()
}
