//! The ring reader on the running kernel: nothing waits, nothing is lost, few are woken. Needs root.

#![expect(clippy::unwrap_used, reason = "in a test, what must hold")]

use std::{
    cell::{Cell, RefCell},
    io::{self, Read, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
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
        loader::{Loaded, Loader, Settings},
        ring::{IdleFlag, KernelRing, POLL_EVERY, RingReader, RingStats},
    },
    units::Tgid,
};

const UNITS: DecodeUnits = DecodeUnits { page_kb: 4 };
const DEADLINE: Duration = Duration::from_secs(60);

fn attach(settings: Settings) -> Attached {
    Loader::new(settings)
        .load()
        .and_then(Loaded::attach)
        .unwrap_or_else(|error| panic!("these tests need root and eBPF: {error}"))
}

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
        let mut attached = attach(settings);
        let child = Command::new("sh")
            .args(["-c", &format!("read go; {script}")])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let adoption = attached.adopt(Tgid(child.id())).unwrap();
        assert!(
            adoption.converged() && adoption.adopted == 1,
            "{adoption:?}"
        );
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
                let waited = waited(&event);
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
            .unwrap_or_else(|_| panic!("no exit event of the shell in {DEADLINE:?}"));
        assert!(self.child.wait().unwrap().success());
        assert_eq!(self.attached.losses().unwrap().lost(), 0);
        let stats = minus(self.reader.stats(), before);
        // How long an event waited is the machine's affair; that it was woken for is ours.
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

/// Time since the hook.
fn waited(event: &Event) -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    let now = Duration::new(
        now.tv_sec.cast_unsigned(),
        u32::try_from(now.tv_nsec).unwrap(),
    );
    now.saturating_sub(Duration::from_nanos(event.t.0))
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
    // Each burst wakes once, a process that starts and one that ends.
    assert!(stats.wakeups <= 41 * 3, "{stats:?}");
}

#[tokio::test]
async fn an_event_at_the_moment_of_going_idle_is_not_missed() {
    // The reader goes idle one to two pauses after the last record, the account of whoever ended last, which
    // comes within 30 ms of the end; each sleep ends somewhere in there. In tenths of a millisecond.
    let pause = POLL_EVERY.as_micros() / 100;
    let over = pause + 300;
    assert!(pause >= 100 && pause + over < 1000, "three digits");
    let script = format!(
        "i=0; while [ $i -lt 150 ]; do sleep 0.0$(({pause} + i * 37 % {over})); i=$((i+1)); done"
    );
    let (seen, stats) = Observed::start(&script, Settings::default()).run().await;
    let waits = waits(seen.iter());
    let longest = waits[waits.len() - 1];
    println!("edge of idleness: {stats:?}; waited at most {longest:?}");
    assert_eq!(count(&seen, |kind| matches!(kind, EventKind::Exit(_))), 151);
    assert!(
        stats.idles > 30,
        "the script keeps missing the edge: {stats:?}"
    );
}

/// Lets an event happen after the reader's last look and before its flag is set, or just after.
struct Racing {
    control: SharedControl,
    shell: RefCell<(ChildStdin, ChildStdout)>,
    races: Cell<u32>,
}

impl Racing {
    /// Has the shell fork, and returns when it has.
    fn cause_event(&self) -> io::Result<()> {
        let (stdin, stdout) = &mut *self.shell.borrow_mut();
        stdin.write_all(b"\n")?;
        // Written by the forked process: its fork event is in the ring by then.
        stdout.read_exact(&mut [0; 2])
    }
}

impl IdleFlag for &Racing {
    fn set_idle(&self, idle: bool) -> io::Result<()> {
        let races = self.races.replace(self.races.get() + 1);
        if races.is_multiple_of(2) {
            self.cause_event()?;
            self.control.set_idle(idle)
        } else {
            self.control.set_idle(idle)?;
            self.cause_event()
        }
    }
}

#[tokio::test]
async fn an_event_between_the_last_look_and_the_rest_does_not_wait() {
    let mut attached = attach(Settings::default());
    let mut child = Command::new("sh")
        .args(["-c", "while read line; do (echo x); done"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    attached.adopt(Tgid(child.id())).unwrap();
    let shell = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let racing = Racing {
        control: attached.control(),
        shell: RefCell::new(shell),
        races: Cell::new(0),
    };
    let ring = attached.take_ring().unwrap().unwrap();
    let mut reader = RingReader::new(ring, &racing).unwrap();
    let mut longest = Duration::ZERO;
    let races = async {
        while racing.races.get() < 100 {
            reader.wait().await.unwrap();
            reader.drain(1000, |record| {
                longest = longest.max(waited(&decode(record, UNITS).unwrap()));
            });
        }
    };
    timeout(DEADLINE, races).await.unwrap();
    let stats = reader.stats();
    println!("races: {stats:?}; waited at most {longest:?}");
    assert_eq!(stats.rescues, 0, "{stats:?}");
    assert!(stats.idle_races >= 50, "both sides are tried: {stats:?}");
    drop(racing);
    assert!(child.wait().unwrap().success());
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
    // Quiet ones would be polled for, and a wake-up serve a hundred.
    assert!(stats.wakeups > 100, "{stats:?}");
}
