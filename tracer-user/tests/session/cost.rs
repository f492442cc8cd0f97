//! What recording costs. Prints figures; asserts nothing a busy machine could break.
//!
//! `cargo test --release -p tracer --test session cost -- --ignored --nocapture --test-threads=1`

use std::time::{Duration, Instant};

use crate::support::*;
use tracer::session::{
    derive::write_proc_trace,
    journal::{Encoder, JournalReader, Record},
    recorder::Recorder,
};

type Make = fn(u64) -> Record;

fn per(elapsed: Duration, count: u64) -> f64 {
    elapsed.as_secs_f64() * 1e9 / f64::from(u32::try_from(count).expect("small"))
}

fn mb_per_s(bytes: usize, elapsed: Duration) -> f64 {
    f64::from(u32::try_from(bytes >> 10).expect("small")) / 1024.0 / elapsed.as_secs_f64()
}

#[test]
#[ignore = "measures"]
fn encoding_and_reading() {
    let kinds: [(&str, Make); 4] = [
        ("fork", fork),
        ("exec", exec),
        ("exit", exit),
        ("snapshot", row),
    ];
    let encoder = Encoder::default();
    for (name, make) in kinds {
        let record = make(7);
        let mut out = Vec::with_capacity(1 << 20);
        let begun = Instant::now();
        let mut bytes = 0;
        for seq in 0..200_000 {
            encoder.line(&mut out, seq, record.t, &record.body);
            if out.len() > 256 << 10 {
                bytes += out.len();
                out.clear();
            }
        }
        bytes += out.len();
        println!(
            "encode {name}: {:.0} ns, {} bytes",
            per(begun.elapsed(), 200_000),
            bytes / 200_000
        );
    }

    let mut journal = Vec::new();
    let mut seq = 0;
    while journal.len() < 100 << 20 {
        let record = match seq % 16 {
            0 => row(seq),
            n => [fork, exec, exit][usize::try_from(n % 3).expect("small")](seq),
        };
        encoder.line(&mut journal, seq, record.t, &record.body);
        seq += 1;
    }
    let begun = Instant::now();
    let mut reader = JournalReader::new(journal.as_slice());
    while reader.next_line().expect("memory").is_some() {}
    println!(
        "verify: {:.0} MB/s",
        mb_per_s(journal.len(), begun.elapsed())
    );
    let begun = Instant::now();
    let mut reader = JournalReader::new(journal.as_slice());
    while reader.next_entry().expect("memory").is_some() {}
    println!(
        "decode: {:.0} MB/s",
        mb_per_s(journal.len(), begun.elapsed())
    );
    let begun = Instant::now();
    let mut out = Vec::new();
    write_proc_trace(journal.as_slice(), &mut out).expect("memory");
    println!(
        "proc_trace of 100 MB: {:?}, {} MB of rows",
        begun.elapsed(),
        out.len() >> 20
    );
}

#[test]
#[ignore = "measures"]
fn a_short_session() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let mut costs = Vec::new();
    for _ in 0..20 {
        let begun = Instant::now();
        let recorder = Recorder::create(&store, info(&store), Seen::default()).expect("made");
        let created = begun.elapsed();
        for n in 0..3 {
            recorder.accept(fork(n));
        }
        assert!(recorder.enroll(enrollment("x")));
        recorder.accept(row(4));
        let begun = Instant::now();
        let report = recorder.finish(end("done"), soon());
        costs.push((created, begun.elapsed()));
        assert!(report.failures.is_empty());
    }
    costs.sort_unstable();
    println!("create, finish of a short session: median {:?}", costs[10]);
}

#[test]
#[ignore = "measures"]
fn accepting_and_writing() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let begun = Instant::now();
    let recorder = Recorder::create(&store, info(&store), Seen::default()).expect("made");
    println!("create: {:?}", begun.elapsed());

    let mut costs = Vec::with_capacity(20_000);
    for n in 0..20_000 {
        let record = exit(n);
        let before = Instant::now();
        recorder.accept(record);
        costs.push(before.elapsed());
        if n % 50 == 0 {
            std::thread::sleep(Duration::from_micros(300));
        }
    }
    costs.sort_unstable();
    println!(
        "accept one: median {:?}, p99 {:?}, max {:?}",
        costs[10_000], costs[19_800], costs[19_999]
    );

    for (name, pause) in [("idle 5 ms before each", 5_000)] {
        let mut costs = Vec::new();
        for n in 0..300 {
            std::thread::sleep(Duration::from_micros(pause));
            let record = exit(n);
            let before = Instant::now();
            recorder.accept(record);
            costs.push(before.elapsed());
        }
        costs.sort_unstable();
        println!(
            "accept one, {name}: median {:?}, p99 {:?}",
            costs[150], costs[297]
        );
    }

    for total in [100_000_u64, 1_000_000] {
        let _ready = recorder.flush(soon());
        let mut batch = Vec::with_capacity(64);
        let (mut accept, mut n) = (Duration::ZERO, 0);
        let begun = Instant::now();
        while n < total {
            if !recorder.has_room() {
                std::thread::yield_now();
                continue;
            }
            for _ in 0..64 {
                batch.push(match n % 3 {
                    0 => fork(n),
                    1 => exec(n),
                    _ => exit(n),
                });
                n += 1;
            }
            let before = Instant::now();
            recorder.accept_all(&mut batch);
            accept += before.elapsed();
        }
        wait_for("the rest", || {
            recorder.progress().written >= recorder.progress().accepted
        });
        let written = begun.elapsed();
        println!(
            "{total} records in batches of 64: accept {:.0} ns each, written at {:.0} ns each ({:.2} M/s)",
            per(accept, n),
            per(written, n),
            1e3 / per(written, n)
        );
    }
    let begun = Instant::now();
    let report = recorder.finish(end("done"), soon());
    println!("finish: {:?} {:?}", begun.elapsed(), report.failures);
}
