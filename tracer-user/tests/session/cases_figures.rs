//! What the record costs those who hand it events, and that it stays right and flat however absurd or
//! many they are.

use std::time::{Duration, Instant};

use proptest::{collection::vec, prelude::*};
use rustix::time::{ClockId, clock_gettime};
use tracer::session::{
    derive::Fold,
    index,
    journal::{
        Encoder, JournalReader,
        record::{Body, Note, Record},
    },
    processes::Processes,
    recorder::{EndOutcome, Recorder},
    summary::Summarizer,
    verify::rules::Rules,
};
use tracer::units::BootNs;

use crate::{arbitrary::body, faulty::Disk, made::*, support::*};

/// CPU time of this thread.
fn cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("positive")
}

#[test]
fn r11_a_producer_pays_microseconds_whatever_it_hands_over_and_whatever_the_disk_does() {
    let (_dir, store) = made();
    let disk = Disk::default();
    let recorder = Recorder::create_with(&store, info(&store), Seen::default(), disk.options());
    let recorder = recorder.expect("made");
    let mut large = exec(1);
    if let Body::Event(tracer::event::EventKind::Exec(exec)) = &mut large.body {
        exec.argv = vec![vec![b'x'; 1 << 20]];
    }
    // With the disk at work, and with one that hangs.
    for hold in [false, true] {
        disk.set(|fault| fault.hold = hold);
        if hold {
            recorder.accept(fork(0));
            wait_for("the hang", || disk.is_waiting());
        }
        let mut costs: Vec<Duration> = (0..5_000)
            .map(|n| {
                // Made before the clock is looked at: making it is not recording it.
                let record = if n % 1_000 == 7 {
                    large.clone()
                } else {
                    exit(n)
                };
                let before = cpu();
                recorder.accept(record);
                cpu().saturating_sub(before)
            })
            .collect();
        // CPU time: what others do on this machine is not the producer's cost.
        costs.sort_unstable();
        assert!(
            costs[2_500] <= Duration::from_micros(5),
            "{:?}",
            costs[2_500]
        );
        assert!(
            costs[4_950] <= Duration::from_micros(200),
            "{:?}",
            costs[4_950]
        );
    }
    assert!(disk.is_waiting(), "the disk has answered nothing meanwhile");
    disk.set(|fault| fault.hold = false);
    assert_eq!(
        recorder.finish(end("done"), soon()).end,
        EndOutcome::Durable
    );
}

#[test]
fn r18_a_derived_file_that_cannot_be_written_keeps_none_of_the_others_from_being_written() {
    let (_dir, store) = made();
    let info = info_at(&store, at("2026-11-21T00:00:00Z"));
    let recorder = going_on(&store, &info);
    let path = recorder.path().to_owned();
    std::fs::create_dir(path.join("proc_trace.jsonl")).expect("ours");
    std::fs::write(path.join("proc_trace.jsonl/in the way"), "").expect("ours");
    let report = recorder.finish(end("done"), soon());
    assert_eq!(report.end, EndOutcome::Durable);
    let failed: Vec<_> = report.failures.iter().map(|failure| failure.file).collect();
    assert_eq!(failed, ["proc_trace.jsonl"]);
    assert!(path.join("summary.json").exists());
    let (rows, _) = index::read(&store).expect("readable");
    assert_eq!(rows.len(), 1);

    // All of them: told in the order in which they are written.
    let (_dir, store) = made();
    let recorder = going_on(&store, &info_at(&store, at("2026-11-21T00:00:00Z")));
    let path = recorder.path().to_owned();
    let index = store.dir().path().join("sessions.jsonl");
    for name in [
        path.join("proc_trace.jsonl"),
        path.join("summary.json"),
        index,
    ] {
        std::fs::create_dir(&name).expect("ours");
        std::fs::write(name.join("in the way"), "").expect("ours");
    }
    let report = recorder.finish(end("done"), soon());
    assert_eq!(report.end, EndOutcome::Durable);
    let failed: Vec<_> = report.failures.iter().map(|failure| failure.file).collect();
    assert_eq!(
        failed,
        ["proc_trace.jsonl", "sessions.jsonl", "summary.json"]
    );
}

/// What a fold makes of records, as the file has it.
fn folded(records: &[(u64, BootNs, Body)]) -> String {
    let (_dir, store) = made();
    let mut fold = Summarizer::new(info_at(&store, at("2026-11-21T00:00:00Z")));
    for (seq, t, body) in records {
        fold.apply(*seq, *t, body);
    }
    let mut summary = fold.finish();
    // The only thing in it that is not the records'.
    summary.session_id.clear();
    summary.dir_name.clear();
    serde_json::to_string_pretty(&summary).expect("JSON")
}

#[test]
fn what_is_lost_later_is_listed_behind_what_was_lost_from_the_beginning_and_each_once() {
    let lost = "snapshots: rows are read from /proc: refused";
    let note = |text| Body::Note(Box::new(Note::degraded(text)));
    let at = BootNs(6_000_000_000);
    let told = [lost, "io accounting", "pins: none", lost].map(note);
    let records: Vec<_> = (1..).zip(told).map(|(seq, body)| (seq, at, body)).collect();
    let summary: serde_json::Value = serde_json::from_str(&folded(&records)).expect("JSON");
    let listed = &summary["observer"]["degraded"];
    assert_eq!(
        *listed,
        serde_json::json!(["io accounting", lost, "pins: none"])
    );
    let Body::Note(note) = &records[0].2 else {
        panic!("no note")
    };
    assert_eq!(
        (&note.data["lost"], &note.data["why"]),
        (
            &"snapshots".into(),
            &"rows are read from /proc: refused".into()
        )
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn r21_r23_absurd_records_in_any_order_are_summed_without_panic_and_the_same_when_read_back(
        bodies in vec((any::<u64>(), body()), 0..30),
    ) {
        let records: Vec<_> = (0..)
            .zip(bodies)
            .map(|(seq, (t, body))| (seq, BootNs(t), body))
            .collect();
        let mut text = Vec::new();
        for (seq, t, body) in &records {
            Encoder::default().line(&mut text, *seq, *t, body);
        }
        let mut reader = JournalReader::new(text.as_slice());
        let mut back = Vec::new();
        let mut view = Processes::new(4, 1);
        while let Some(entry) = reader.next_entry().expect("memory") {
            view.apply(entry.t, &entry.body);
            back.push((entry.seq, entry.t, entry.body));
        }
        prop_assert_eq!(back.len(), records.len());
        prop_assert_eq!(folded(&back), folded(&records));
        let view = view.finish();
        let shown = (view.head.len() + view.tail.len()) as u64;
        prop_assert_eq!(shown + view.left_out, view.total);
    }
}

#[test]
fn n15_the_last_of_many_events_costs_what_the_first_did() {
    const STRETCH: u64 = 12_000;
    let (_dir, store) = made();
    let info = info_at(&store, at("2026-11-21T00:00:00Z"));
    let mut fold = Summarizer::new(info.clone());
    let mut rules = Rules::new(info.session_id);
    let encoder = Encoder::default();
    let mut line = Vec::new();
    // Everything that is done with an event on its way to the file and back, on one thread.
    let mut stretch = |from: u64| {
        let before = cpu();
        for seq in from..from + STRETCH {
            let pid = u32::try_from(seq / 3).expect("small") + 200;
            let Record { t, mut body } = match seq % 3 {
                0 => fork(seq / 3),
                1 => exec(seq),
                _ => exit(seq),
            };
            if let Body::Event(event) = &mut body {
                rename(event, pid);
            }
            line.clear();
            encoder.line(&mut line, seq, t, &body);
            fold.apply(seq, t, &body);
            let mut reader = JournalReader::new(line.as_slice());
            let entry = reader.next_entry().expect("memory").expect("a record");
            rules.entry(&entry);
        }
        cpu().saturating_sub(before)
    };
    let costs: Vec<Duration> = (0..10).map(|n| stretch(n * STRETCH)).collect();
    let (first, last) = (costs[0].max(costs[1]), costs[9].min(costs[8]));
    assert!(last < first * 2, "{costs:?}");
    assert_eq!(fold.finish().completeness.alive, 0);
}

/// Makes an event one of this process.
fn rename(event: &mut tracer::event::EventKind, pid: u32) {
    use tracer::event::EventKind::{Exec, Exit, Fork};
    match event {
        Fork(fork) => fork.child = process(pid),
        Exec(exec) => exec.process = process(pid),
        Exit(exit) => exit.process = process(pid),
        _ => {}
    }
}

#[test]
fn l11_a_long_wait_without_events_ends_no_session() {
    let (_dir, store) = made();
    let recorder = going_on(&store, &info_at(&store, at("2026-11-21T00:00:00Z")));
    let written = recorder.progress().written;
    // Long enough for the recorder's thread to have gone to sleep for good.
    let quiet = Instant::now();
    wait_for("some quiet", || {
        quiet.elapsed() > Duration::from_millis(300)
    });
    recorder.accept(fork(9));
    wait_for("the event", || recorder.progress().written == written + 1);
    finish(&recorder, 1);
}
