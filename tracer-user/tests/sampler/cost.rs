//! What a row costs. Run on its own: `cargo test --release -p tracer --test sampler -- --ignored
//! --nocapture cost`.

use rustix::time::{ClockId, clock_gettime};

use crate::fixture::{Fixture, now, sampler, subject};

/// CPU time of this thread: what other processes do meanwhile does not count.
fn cpu_micros() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    std::time::Duration::try_from(time).unwrap().as_secs_f64() * 1e6
}

#[test]
#[ignore = "a measurement, for a machine that does nothing else"]
fn microseconds_a_row() {
    for count in [1_u32, 100, 1000] {
        let crowd = Fixture::start(&format!("crowd:{count}"));
        let subjects: Vec<_> = crowd
            .ready
            .split(' ')
            .map(|pid| subject(pid.parse().unwrap()))
            .collect();
        let mut sampler = sampler();
        let rounds = (3000 / count as usize).clamp(15, 500);
        let mut micros: Vec<f64> = (0..rounds)
            .map(|_| {
                let begin = cpu_micros();
                let tick = sampler.tick(now(&sampler), subjects.iter().copied());
                assert_eq!(tick.rows.len(), count as usize);
                (cpu_micros() - begin) / f64::from(count)
            })
            .collect();
        micros.sort_by(f64::total_cmp);
        println!(
            "{count:5} processes: {:6.1} µs of CPU time a row (median of {rounds} ticks; best {:.1}, p90 {:.1})",
            micros[rounds / 2],
            micros[0],
            micros[rounds * 9 / 10],
        );
    }
}
