//! The agreement between kernel side and reader, on a model of the ring and a clock that stands still
//! unless everybody waits.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
};

use tokio::{
    sync::Notify,
    time::{sleep, sleep_until, timeout},
};

use super::*;

/// A ring with a kernel side that keeps to the agreement, unless told otherwise.
#[derive(Default)]
struct Model {
    records: RefCell<VecDeque<u8>>,
    /// Records reserved and not committed.
    uncommitted: Cell<usize>,
    idle: Cell<bool>,
    flag_broken: Cell<bool>,
    /// Sent just before the idle flag becomes visible: the race.
    before_idle: Cell<Option<u8>>,
    wake_is_lost: Cell<bool>,
    wake: Notify,
    wakes_sent: Cell<u32>,
}

impl Model {
    /// An event as the kernel side sends it: a wake-up only for an idle reader.
    fn send(&self, record: u8) {
        self.records.borrow_mut().push_back(record);
        if self.idle.replace(false) && !self.wake_is_lost.get() {
            self.force_wake();
        }
    }

    fn force_wake(&self) {
        self.wakes_sent.set(self.wakes_sent.get() + 1);
        self.wake.notify_one();
    }
}

#[derive(Clone)]
struct Handle(Rc<Model>);

impl RecordSource for Handle {
    fn next(&mut self, on_record: &mut impl FnMut(&[u8])) -> bool {
        let record = self.0.records.borrow_mut().pop_front();
        record.map(|record| on_record(&[record])).is_some()
    }

    /// The model gives room back as it shows.
    fn release(&mut self) {}

    fn is_pending(&self) -> bool {
        self.0.uncommitted.get() > 0 || !self.0.records.borrow().is_empty()
    }

    async fn woken(&mut self) -> io::Result<()> {
        self.0.wake.notified().await;
        Ok(())
    }
}

impl IdleFlag for Handle {
    fn set_idle(&self, idle: bool) -> io::Result<()> {
        if self.0.flag_broken.get() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        if let Some(record) = self.0.before_idle.take() {
            self.0.records.borrow_mut().push_back(record);
        }
        self.0.idle.set(idle);
        Ok(())
    }
}

fn model() -> (Rc<Model>, RingReader<Handle, Handle>) {
    let model = Rc::new(Model::default());
    let handle = Handle(Rc::clone(&model));
    (model, RingReader::with_source(handle.clone(), handle))
}

/// Waits and drains until `count` records have come, and says when each did.
async fn read(reader: &mut RingReader<Handle, Handle>, count: usize) -> Vec<(u8, Duration)> {
    let start = Instant::now();
    let mut seen = Vec::new();
    while seen.len() < count {
        reader.wait().await.unwrap();
        reader.drain(1000, |record| seen.push((record[0], start.elapsed())));
    }
    seen
}

/// Lets the reader come to rest.
async fn settle(reader: &mut RingReader<Handle, Handle>) {
    let _ = timeout(Duration::from_millis(50), read(reader, 1)).await;
    assert!(reader.flag.0.idle.get(), "an idle reader has said so");
}

#[tokio::test(start_paused = true)]
async fn a_trickle_is_read_at_once_with_one_wakeup_each() {
    let (model, mut reader) = model();
    settle(&mut reader).await;
    for record in 0..10 {
        let sender = async {
            sleep(Duration::from_millis(50)).await;
            model.send(record);
        };
        let (seen, ()) = tokio::join!(read(&mut reader, 1), sender);
        assert_eq!(seen, [(record, Duration::from_millis(50))]);
    }
    assert_eq!((model.wakes_sent.get(), reader.stats().wakeups), (10, 10));
    assert_eq!(reader.stats().rescues, 0);
}

#[tokio::test(start_paused = true)]
async fn a_storm_costs_one_wakeup_and_no_event_waits_longer_than_a_poll() {
    let (model, mut reader) = model();
    settle(&mut reader).await;
    let start = Instant::now();
    let sender = async {
        for record in 0..=255_u8 {
            sleep_until(start + Duration::from_millis(u64::from(record))).await;
            model.send(record);
        }
    };
    let (seen, ()) = tokio::join!(read(&mut reader, 256), sender);
    for (sent, (record, at)) in seen.into_iter().enumerate() {
        assert_eq!(usize::from(record), sent, "in order");
        assert!(at <= Duration::from_millis(sent as u64) + POLL_EVERY + Duration::from_millis(1));
    }
    assert_eq!(model.wakes_sent.get(), 1);
    assert!(reader.stats().rounds < 40, "{:?}", reader.stats());
}

#[tokio::test(start_paused = true)]
async fn an_urgent_event_does_not_wait_for_the_poll() {
    let (model, mut reader) = model();
    settle(&mut reader).await;
    model.send(1);
    read(&mut reader, 1).await;
    model.send(2);
    model.force_wake();
    assert_eq!(read(&mut reader, 1).await, [(2, Duration::ZERO)]);
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_burst_is_read_soon_after_its_first_event_and_without_a_wakeup() {
    let (model, mut reader) = model();
    settle(&mut reader).await;
    let sender = async {
        for record in 0..3 {
            model.send(record);
            sleep(Duration::from_millis(1)).await;
        }
    };
    let (seen, ()) = tokio::join!(read(&mut reader, 3), sender);
    assert!(
        seen[2].1 <= Duration::from_millis(2) + FIRST_LOOK,
        "{seen:?}"
    );
    assert_eq!(model.wakes_sent.get(), 1);
    // And what comes a little later needs none either.
    sleep(Duration::from_millis(5)).await;
    model.send(9);
    read(&mut reader, 1).await;
    assert_eq!(model.wakes_sent.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_event_between_the_last_look_and_the_idle_flag_is_found_at_once() {
    let (model, mut reader) = model();
    model.before_idle.set(Some(7));
    assert_eq!(read(&mut reader, 1).await, [(7, Duration::ZERO)]);
    assert_eq!(model.wakes_sent.get(), 0);
    assert_eq!(reader.stats().idle_races, 1);
}

#[tokio::test(start_paused = true)]
async fn a_record_committed_late_and_without_wakeup_waits_one_poll_and_nobody_spins() {
    let (model, mut reader) = model();
    model.uncommitted.set(1);
    let commit = async {
        sleep(Duration::from_millis(25)).await;
        model.uncommitted.set(0);
        model.records.borrow_mut().push_back(3);
    };
    let (seen, ()) = tokio::join!(read(&mut reader, 1), commit);
    assert!(seen[0].1 <= Duration::from_millis(25) + POLL_EVERY + Duration::from_millis(3));
    assert!(reader.stats().rounds < 12, "{:?}", reader.stats());
}

#[tokio::test(start_paused = true)]
async fn a_lost_wakeup_costs_the_safety_net_and_is_counted() {
    let (model, mut reader) = model();
    settle(&mut reader).await;
    model.wake_is_lost.set(true);
    let sender = async {
        sleep(Duration::from_millis(1)).await;
        model.send(9);
    };
    let (seen, ()) = tokio::join!(read(&mut reader, 1), sender);
    assert!(seen[0].1 <= SAFETY_NET + Duration::from_millis(1));
    assert_eq!(reader.stats().rescues, 1);
}

#[tokio::test(start_paused = true)]
async fn quiet_time_is_not_counted_as_rescue() {
    let (_model, mut reader) = model();
    let _ = timeout(Duration::from_secs(2), read(&mut reader, 1)).await;
    let stats = reader.stats();
    assert!((8..=11).contains(&stats.timeouts), "{stats:?}");
    assert_eq!(stats.rescues, 0);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_dropped_again_and_again_keeps_its_deadline_and_loses_no_wakeup() {
    let (model, mut reader) = model();
    settle(&mut reader).await;
    // A branch of the caller's select! that is ready every 7 ms.
    let start = Instant::now();
    let mut rounds = 0;
    while reader.stats().timeouts == 0 {
        let _ = timeout(Duration::from_millis(7), reader.wait()).await;
        rounds += 1;
        assert!(
            rounds < 50,
            "the safety net must open in spite of cancelled waits"
        );
    }
    assert!(start.elapsed() <= SAFETY_NET + Duration::from_millis(7));
    reader.drain(10, |_| ());
    // A wake-up that arrives while nobody waits is still there afterwards.
    let _ = timeout(Duration::from_millis(7), reader.wait()).await;
    model.send(5);
    assert_eq!(read(&mut reader, 1).await, [(5, Duration::ZERO)]);
}

#[tokio::test(start_paused = true)]
async fn a_limited_round_is_followed_by_another_at_once() {
    let (model, mut reader) = model();
    for record in 0..5 {
        model.send(record);
    }
    let mut seen = Vec::new();
    let first = reader.drain(3, |record| seen.push(record[0]));
    assert_eq!(
        first,
        Drained {
            records: 3,
            more: true
        }
    );
    timeout(Duration::ZERO, reader.wait())
        .await
        .unwrap()
        .unwrap();
    let second = reader.drain(3, |record| seen.push(record[0]));
    assert_eq!(
        second,
        Drained {
            records: 2,
            more: false
        }
    );
    assert_eq!(seen, [0, 1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn without_the_idle_flag_the_reader_polls() {
    let (model, mut reader) = model();
    model.flag_broken.set(true);
    let sender = async {
        sleep(Duration::from_millis(95)).await;
        model.send(4);
    };
    let (seen, ()) = tokio::join!(read(&mut reader, 1), sender);
    assert!(seen[0].1 <= Duration::from_millis(95) + POLL_EVERY + Duration::from_millis(1));
    let stats = reader.stats();
    assert!(stats.flag_errors > 0 && stats.rounds < 20, "{stats:?}");
}
