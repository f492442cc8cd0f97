//! One session of many events, as fast as they are taken: events and bytes a second, and whether the
//! last ones cost what the first ones did.

use crate::{
    Plan,
    clock::{Watch, float},
    figure, store, story,
};

/// Events of a stretch that is measured for itself.
const STRETCH: u64 = 100_000;

pub(crate) fn measure(plan: &Plan) {
    let (_room, store) = store(plan);
    let proc = tracer::procfs::ProcRoot::open("/proc").expect("procfs is mounted");
    let info = story::info(&store, &proc);
    let (recorder, mut story) = story::begin(&store, &info);
    let mut costs = Vec::new();
    let all = Watch::start();
    for _ in 0..plan.events.div_ceil(STRETCH) {
        let watch = Watch::start();
        story::fill(&recorder, &mut story, STRETCH);
        costs.push(watch.stop());
    }
    let took = all.stop();
    let watch = Watch::start();
    std::hint::black_box(story.records(STRETCH));
    figure("flow.making", watch.stop().cpu / float(STRETCH) * 1e9);
    let journal = recorder.path().join("journal.0.jsonl");
    let bytes = journal.metadata().expect("there").len();
    drop(recorder);
    let events = float(STRETCH) * float(costs.len() as u64);
    figure("flow.events", events / took.wall);
    figure("flow.mb", float(bytes) / 1e6 / took.wall);
    figure("flow.cpu", took.cpu / events * 1e9);
    figure("flow.bytes", float(bytes) / events);
    if let [first, .., last] = costs.as_slice() {
        let each = |seconds: f64| seconds / float(STRETCH) * 1e9;
        figure("flow.first", each(first.cpu));
        figure("flow.last", each(last.cpu));
        figure("flow.ratio", last.cpu / first.cpu);
        figure("flow.wall-ratio", last.wall / first.wall);
    }
}
