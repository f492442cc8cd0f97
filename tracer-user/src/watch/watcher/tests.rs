//! The watcher on a `/proc` that tests make: what is told across restarts, crashes, reboots and blindness.

use std::fs;

use super::{
    super::tests_proc::{CLK, Fake, nothing},
    *,
};
use crate::units::{Tgid, Ticks};

const PID: u32 = 4_100_001;
/// Older than this is told of, in seconds.
const LIMIT: u64 = 60;

fn fresh_rules() -> Rules {
    Rules {
        older_than_s: LIMIT,
        cooldown_s: 100,
        cooldown_of_s: BTreeMap::new(),
    }
}

fn patterns(text: &str) -> Patterns {
    Patterns::new(&[text.to_owned()]).unwrap()
}

/// A watcher that goes on from `state`.
fn watcher(proc: &ProcRoot, state: State) -> Watcher {
    let collector = Collector::new(patterns("pytest"), nothing);
    Watcher::new(proc, fresh_rules(), collector, nothing, state, wall(0))
}

fn wall(s: u64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + i64::try_from(s).unwrap()).unwrap()
}

/// Looks `s` seconds after the boot.
fn tick(watcher: &mut Watcher, proc: &ProcRoot, s: u64) -> Tick {
    let (left, orphans) = (HashMap::new(), Orphans::new());
    watcher.tick(proc, BootNs(s * 1_000_000_000), wall(s), &left, &orphans)
}

/// What is news, in words.
fn told(tick: &Tick) -> Vec<Decision> {
    tick.news.iter().map(|alert| alert.decision).collect()
}

/// A machine with one orphan that began at boot.
fn machine() -> (Fake, ProcRoot) {
    let fake = Fake::new();
    fake.process(PID, 0, "pytest", b"python3\0-m\0pytest\0");
    let proc = fake.root();
    (fake, proc)
}

/// What is on disk when a watcher is gone that has told of the orphan.
fn after_an_alert(proc: &ProcRoot) -> (Alert, State) {
    let mut first = watcher(proc, State::default());
    let mut news = tick(&mut first, proc, LIMIT + 1).news;
    assert_eq!(news.len(), 1);
    first.delivered();
    (news.remove(0), through_disk(&first.state()))
}

fn through_disk(state: &State) -> State {
    State::parse(&state.to_text().unwrap()).unwrap()
}

#[test]
fn the_threshold_is_strict_and_the_cooldown_exact_to_the_second() {
    let (_fake, proc) = machine();
    let mut watcher = watcher(&proc, State::default());
    let mut at = |s| told(&tick(&mut watcher, &proc, s));
    assert_eq!(at(LIMIT - 1), []);
    assert_eq!(at(LIMIT), []);
    assert_eq!(at(LIMIT + 1), [Decision::Alert]);
    assert_eq!(at(LIMIT + 100), []);
    assert_eq!(at(LIMIT + 101), [Decision::Realert]);
}

#[test]
fn the_next_watcher_tells_nothing_again_and_goes_on_with_cooldown_and_count() {
    let (fake, proc) = machine();
    let (alert, state) = after_an_alert(&proc);
    let mut second = watcher(&proc, state);
    assert!(second.pending().is_empty());
    assert_eq!(told(&tick(&mut second, &proc, LIMIT + 2)), []);
    // Since when it is wrong is what was said first, also by other rules.
    let sooner = Rules {
        older_than_s: 10,
        ..fresh_rules()
    };
    second.follow(sooner, patterns("pytest"));
    let again = tick(&mut second, &proc, LIMIT + 101).news;
    let [again] = &again[..] else {
        panic!("{again:?}");
    };
    assert_eq!(again.decision, Decision::Realert);
    assert_eq!((&again.key, again.since), (&alert.key, alert.since));
    assert_eq!(again.details["times_told"], Detail::Number(2));
    second.delivered();
    let mut third = watcher(&proc, through_disk(&second.state()));
    fake.remove(PID);
    let end = tick(&mut third, &proc, LIMIT + 102).news;
    let [end] = &end[..] else { panic!("{end:?}") };
    assert_eq!((end.decision, &end.key), (Decision::Recovery, &alert.key));
    assert_eq!(third.open().count(), 0);
}

#[test]
fn what_was_open_before_the_machine_was_started_anew_is_over_once() {
    let (fake, proc) = machine();
    let (alert, state) = after_an_alert(&proc);
    // The same pid and start on another boot are another process.
    fs::write(fake.path("sys/kernel/random/boot_id"), "another-id\n").unwrap();
    let proc = fake.root();
    let mut next = watcher(&proc, state);
    let [end] = next.pending() else {
        panic!("{:?}", next.pending());
    };
    assert_eq!((end.decision, &end.key), (Decision::Recovery, &alert.key));
    assert!(end.text.contains("started anew"), "{}", end.text);
    assert_eq!(next.open().count(), 0);
    next.delivered();
    let mut later = watcher(&proc, through_disk(&next.state()));
    assert!(later.pending().is_empty());
    let news = tick(&mut later, &proc, LIMIT + 1).news;
    assert_eq!(news.len(), 1);
    assert_eq!(news[0].decision, Decision::Alert);
    assert_ne!(news[0].key, alert.key);
}

#[test]
fn news_that_nobody_may_have_got_are_told_again_as_they_were() {
    let (fake, proc) = machine();
    let mut first = watcher(&proc, State::default());
    let news = tick(&mut first, &proc, LIMIT + 1).news;
    // Killed before the notifiers had them: what is on disk says so.
    let mut second = watcher(&proc, through_disk(&first.state()));
    assert_eq!(second.pending(), news);
    assert_eq!(told(&tick(&mut second, &proc, LIMIT + 2)), []);
    fake.remove(PID);
    // Killed again, with the end of it decided as well: both are told, in order.
    assert_eq!(
        told(&tick(&mut second, &proc, LIMIT + 3)),
        [Decision::Recovery]
    );
    let third = watcher(&proc, through_disk(&second.state()));
    let decisions: Vec<_> = third.pending().iter().map(|one| one.decision).collect();
    assert_eq!(decisions, [Decision::Alert, Decision::Recovery]);
    assert_eq!(third.open().count(), 0);
}

#[test]
fn without_the_time_of_the_boot_there_is_one_warning_and_no_alert() {
    let (fake, proc) = machine();
    fs::write(fake.path("stat"), "cpu 1 2 3\n").unwrap();
    let mut watcher = watcher(&proc, State::default());
    let first = tick(&mut watcher, &proc, LIMIT + 1);
    assert_eq!((told(&first), first.candidates), (vec![], 1));
    assert!(first.warning.is_some_and(|text| text.contains("btime")));
    let second = tick(&mut watcher, &proc, LIMIT + 2);
    assert_eq!((told(&second), second.warning), (vec![], None));
    // It is there again: so are ages.
    fs::write(fake.path("stat"), "btime 1700000000\n").unwrap();
    assert_eq!(
        told(&tick(&mut watcher, &proc, LIMIT + 3)),
        [Decision::Alert]
    );
    // And gone again: what was too old has not become younger.
    fs::write(fake.path("stat"), "cpu 1 2 3\n").unwrap();
    assert_eq!(told(&tick(&mut watcher, &proc, LIMIT + 4)), []);
}

#[test]
fn a_look_that_sees_nothing_ends_nothing() {
    let (fake, proc) = machine();
    let (_, state) = after_an_alert(&proc);
    let mut watcher = watcher(&proc, state);
    fs::remove_dir_all(fake.path("")).unwrap();
    assert_eq!(told(&tick(&mut watcher, &proc, LIMIT + 2)), []);
    assert_eq!(watcher.open().count(), 1);
}

#[test]
fn the_end_says_which_end_it_is() {
    type Case = (fn(&Fake), &'static str);
    let cases: [Case; 4] = [
        (|fake| fake.remove(PID), "it is gone"),
        (
            |fake| fake.process(PID, 7 * CLK, "other", b"other\0"),
            "it is gone",
        ),
        (
            |fake| fake.process(PID, 0, "cat", b"cat\0"),
            "it lives, and is none of those that are looked for",
        ),
        (
            |fake| fake.ended(PID, 0, "pytest"),
            "it has ended, and its parent has not taken note of it",
        ),
    ];
    for (change, why) in cases {
        let (fake, proc) = machine();
        let (_, state) = after_an_alert(&proc);
        let mut watcher = watcher(&proc, state);
        tick(&mut watcher, &proc, LIMIT + 2);
        change(&fake);
        let news = tick(&mut watcher, &proc, LIMIT + 3).news;
        let [end] = &news[..] else {
            panic!("{why}: {news:?}")
        };
        assert!(end.text.ends_with(why), "{why}: {}", end.text);
    }
}

#[test]
fn other_settings_end_what_is_fine_by_them_and_keep_the_rest() {
    let (_fake, proc) = machine();
    let (_, state) = after_an_alert(&proc);
    let mut watcher = watcher(&proc, state);
    watcher.follow(fresh_rules(), patterns("python3"));
    assert_eq!(told(&tick(&mut watcher, &proc, LIMIT + 2)), []);
    let patient = Rules {
        older_than_s: 10 * LIMIT,
        ..fresh_rules()
    };
    watcher.follow(patient, patterns("python3"));
    let news = tick(&mut watcher, &proc, LIMIT + 3).news;
    assert_eq!(news[0].decision, Decision::Recovery);
    assert!(news[0].text.ends_with("it is fine"), "{}", news[0].text);
}

#[test]
fn who_cannot_be_read_is_neither_told_of_nor_over() {
    let (fake, proc) = machine();
    let (_, state) = after_an_alert(&proc);
    let mut watcher = watcher(&proc, state);
    fs::write(fake.path(&format!("{PID}/stat")), "4100001 (to").unwrap();
    assert_eq!(told(&tick(&mut watcher, &proc, LIMIT + 200)), []);
    assert_eq!(watcher.open().count(), 1);
    assert_eq!(
        watcher.ledger.open().next().map(|(key, _)| key.who),
        Some(Who {
            pid: Tgid(PID),
            start: Ticks(0)
        })
    );
}

thread_local! {
    /// The `/proc` in which a process ends as soon as it has been read, and its number is used again.
    static REUSED: std::cell::RefCell<Option<std::path::PathBuf>> =
        const { std::cell::RefCell::new(None) };
}

/// Makes nothing unreadable; but by then the process has ended, and so has its parent.
fn and_it_is_another(_: &mut [Vec<u8>]) -> u32 {
    REUSED.with_borrow_mut(|at| {
        if let Some(proc) = at.take() {
            for (pid, ppid) in [(PID, 1), (PARENT, 1)] {
                let line = format!(
                    "{pid} (other) S {ppid} {pid} {pid} 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 99999 0 0 0\n"
                );
                fs::write(proc.join(format!("{pid}/stat")), line).unwrap();
            }
            fs::write(proc.join(format!("{PID}/wchan")), "another_place").unwrap();
        }
    });
    0
}

/// Its parent.
const PARENT: u32 = 4_100_002;

#[test]
fn what_another_does_that_has_its_number_by_now_is_not_told_of_it() {
    let (fake, proc) = machine();
    fake.process(PARENT, 0, "make", b"make\0");
    let stat = fake.path(&format!("{PID}/stat"));
    let line = fs::read_to_string(&stat).unwrap();
    fs::write(&stat, line.replacen(" S 1 ", &format!(" S {PARENT} "), 1)).unwrap();
    fs::write(fake.path(&format!("{PID}/wchan")), "do_wait").unwrap();
    let told = |redact: Redact| {
        let collector = Collector::new(patterns("pytest"), redact);
        let mut watcher = Watcher::new(
            &proc,
            fresh_rules(),
            collector,
            redact,
            State::default(),
            wall(0),
        );
        tick(&mut watcher, &proc, LIMIT + 1).news.remove(0)
    };
    let alert = told(nothing);
    assert_eq!(alert.details["waits_in"], Detail::Text("do_wait".into()));
    assert!(alert.text.contains("its parent is make"), "{}", alert.text);

    REUSED.set(Some(fake.path("")));
    let alert = told(and_it_is_another);
    assert_eq!(alert.details.get("waits_in"), None, "{alert:?}");
    assert!(!alert.text.contains("other"), "{}", alert.text);
}

#[test]
fn a_process_that_holds_things_without_end_is_told_of_in_a_few_words() {
    let (fake, proc) = machine();
    let fds = fake.path(&format!("{PID}/fd"));
    fs::create_dir(&fds).unwrap();
    fs::create_dir(fake.path("pipes")).unwrap();
    for n in 0..500 {
        // Names without end, too, each letter of which takes six in JSON.
        let pipe = fake.path(&format!("pipes/{n}{}", "\u{1b}".repeat(240)));
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
        std::os::unix::fs::symlink(&pipe, fds.join(n.to_string())).unwrap();
    }
    let alert = tick(&mut watcher(&proc, State::default()), &proc, LIMIT + 1);
    let alert = &alert.news[0];
    let Detail::List(held) = &alert.details["holds"] else {
        panic!("{alert:?}")
    };
    assert_eq!(held.len(), 25);
    assert_eq!(held[24], "at least 476 more");
    let bytes = serde_json::to_vec(alert).unwrap().len();
    assert!(bytes < 128 << 10, "{bytes} bytes");
}
