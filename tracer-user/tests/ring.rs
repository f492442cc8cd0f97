//! The ring reader on the running kernel: nothing waits, nothing is lost, few are woken. Needs root.

use std::{
    io::Write,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};
use tokio::time::timeout;
use tracer::{
    event::{Event, EventKind},
    probe::{
        attached::Attached,
        control::SharedControl,
        decode::{DecodeUnits, decode},
        loader::{Loader, Settings},
        ring::{KernelRing, POLL_EVERY, RingReader, RingStats, SAFETY_NET},
    },
    units::Tgid,
};

const UNITS: DecodeUnits = DecodeUnits { page_kb: 4 };
const DEADLINE: Duration = Duration::from_secs(60);

/// A tracked shell that waits for a line before it runs its script.
struct Observed {
    child: Child,
    attached: Attached,
    reader: RingReader<KernelRing, SharedControl>,
}

/// An event and how long it waited from its hook to this process.
type Seen = (Event, Duration);

impl Observed {
    fn start(script: &str, settings: Settings) -> Self {
        let loaded = Loader::new(settings).load();
        let mut attached = loaded
            .and_then(|loaded| loaded.attach())
            .unwrap_or_else(|error| panic!("these tests need root and eBPF: {error}"));
        let child = Command::new("sh")
            .args(["-c", &format!("read go; {script}")])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let adoption = attached.adopt(Tgid(child.id())).unwrap();
        assert!(adoption.converged && adoption.adopted == 1, "{adoption:?}");
        let ring = attached.take_ring().unwrap().unwrap();
        let reader = RingReader::new(ring, attached.control()).unwrap();
        Self {
            child,
            attached,
            reader,
        }
    }

    fn go(&mut self) {
        let mut stdin = self.child.stdin.take().unwrap();
        stdin.write_all(b"\n").unwrap();
    }

    /// Reads until the shell's own exit event, which is the last.
    async fn read_to_end(&mut self, on_event: &mut impl FnMut(Seen)) {
        let root = Tgid(self.child.id());
        let mut ended = false;
        while !ended {
            self.reader.wait().await.unwrap();
            self.reader.drain(10_000, |record| {
                let event = decode(record, UNITS).unwrap();
                let waited = Duration::from_nanos(now().saturating_sub(event.t.0));
                ended |= matches!(&event.kind, EventKind::Exit(exit) if exit.process.tgid == root);
                on_event((event, waited));
            });
        }
    }

    async fn run(mut self) -> (Vec<Seen>, RingStats) {
        let mut seen = Vec::new();
        // Let the reader come to rest, so that what follows begins with an idle one.
        let quiet = Duration::from_millis(100);
        let settled = timeout(quiet, self.read_to_end(&mut |event| seen.push(event))).await;
        assert!(settled.is_err(), "the shell waits for its line");
        seen.clear();
        let before = self.reader.stats();
        self.go();
        timeout(DEADLINE, self.read_to_end(&mut |event| seen.push(event)))
            .await
            .expect("the shell's exit event");
        assert!(self.child.wait().unwrap().success());
        assert_eq!(self.attached.losses().unwrap().lost(), 0);
        let stats = minus(self.reader.stats(), before);
        assert_eq!(stats.rescues, 0, "a wake-up was lost: {stats:?}");
        (seen, stats)
    }
}

fn minus(after: RingStats, before: RingStats) -> RingStats {
    RingStats {
        records: after.records - before.records,
        rounds: after.rounds - before.rounds,
        wakeups: after.wakeups - before.wakeups,
        polls: after.polls - before.polls,
        idles: after.idles - before.idles,
        idle_races: after.idle_races - before.idle_races,
        timeouts: after.timeouts - before.timeouts,
        rescues: after.rescues - before.rescues,
        flag_errors: after.flag_errors - before.flag_errors,
    }
}

fn now() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}

/// The waits, sorted.
fn waits<'a>(seen: impl Iterator<Item = &'a Seen>) -> Vec<Duration> {
    let mut waits: Vec<Duration> = seen.map(|(_, waited)| *waited).collect();
    waits.sort_unstable();
    waits
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

fn count(seen: &[Seen], wanted: fn(&EventKind) -> bool) -> usize {
    seen.iter().filter(|(event, _)| wanted(&event.kind)).count()
}

#[tokio::test]
async fn a_trickle_is_seen_at_once() {
    let script = "i=0; while [ $i -lt 40 ]; do sleep 0.05; i=$((i+1)); done";
    let (seen, stats) = Observed::start(script, Settings::default()).run().await;
    let waits = waits(seen.iter());
    println!(
        "trickle: {stats:?}; waited p50 {:?} p99 {:?} max {:?}",
        percentile(&waits, 50),
        percentile(&waits, 99),
        waits[waits.len() - 1]
    );
    assert_eq!(count(&seen, |kind| matches!(kind, EventKind::Exec(_))), 40);
    assert_eq!(count(&seen, |kind| matches!(kind, EventKind::Exit(_))), 41);
    assert!(
        percentile(&waits, 90) < POLL_EVERY * 3,
        "events wait for a poll at most, and a scheduler"
    );
    assert!(waits[waits.len() - 1] < SAFETY_NET);
    // Each burst wakes once, a process that starts and one that ends.
    assert!(stats.wakeups <= 41 * 3, "{stats:?}");
}

#[tokio::test]
async fn a_storm_wakes_rarely_and_loses_nothing() {
    let script = "i=0; while [ $i -lt 3000 ]; do (exit 0); i=$((i+1)); done";
    let (seen, stats) = Observed::start(script, Settings::default()).run().await;
    let waits = waits(seen.iter());
    println!(
        "storm: {stats:?}; waited p50 {:?} p99 {:?} max {:?}",
        percentile(&waits, 50),
        percentile(&waits, 99),
        waits[waits.len() - 1]
    );
    assert_eq!(
        count(&seen, |kind| matches!(kind, EventKind::Fork(_))),
        3000
    );
    assert_eq!(
        count(&seen, |kind| matches!(kind, EventKind::Exit(_))),
        3001
    );
    assert!(
        stats.wakeups * 100 < stats.records,
        "a wake-up serves a hundred events: {stats:?}"
    );
    assert!(waits[waits.len() - 1] < SAFETY_NET);
}

#[tokio::test]
async fn a_small_ring_wakes_before_it_is_full() {
    let settings = Settings {
        ring_bytes: 64 << 10,
        ..Settings::default()
    };
    let script = "i=0; while [ $i -lt 2000 ]; do (exit 0); i=$((i+1)); done";
    let (seen, stats) = Observed::start(script, settings).run().await;
    println!("small ring: {stats:?}");
    assert_eq!(
        count(&seen, |kind| matches!(kind, EventKind::Exit(_))),
        2001
    );
}

#[tokio::test]
async fn while_execs_are_urgent_they_do_not_wait_for_the_poll() {
    let script = "i=0; while [ $i -lt 300 ]; do /bin/true; i=$((i+1)); done";
    let observed = Observed::start(script, Settings::default());
    observed.attached.control().set_urgent_exec(true);
    let (seen, stats) = observed.run().await;
    let execs = waits(
        seen.iter()
            .filter(|(event, _)| matches!(event.kind, EventKind::Exec(_))),
    );
    println!(
        "urgent execs: {stats:?}; waited p50 {:?} p99 {:?} max {:?}",
        percentile(&execs, 50),
        percentile(&execs, 99),
        execs[execs.len() - 1]
    );
    assert_eq!(execs.len(), 300);
    assert!(percentile(&execs, 50) < POLL_EVERY / 4);
}
