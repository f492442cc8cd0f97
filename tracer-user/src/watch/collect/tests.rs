//! The collector on a `/proc` that tests make.

use std::fs;

use super::{
    super::tests_proc::{CLK, Fake, nothing},
    *,
};

fn collector() -> Collector {
    Collector::new(Patterns::new(&["pytest".to_owned()]).unwrap(), nothing)
}

/// Looks at `now` seconds after the boot.
fn look(
    collector: &mut Collector,
    proc: &ProcRoot,
    now: u64,
    left: &HashMap<Who, LeftBy>,
    open: &BTreeSet<Who>,
) -> (Look, Vec<Candidate>) {
    collector.look(Scene {
        proc,
        now: BootNs(now * 1_000_000_000),
        has_ages: proc.boot_time_s().is_some(),
        left,
        orphans: &Orphans::new(),
        open,
    })
}

fn plainly(collector: &mut Collector, proc: &ProcRoot, now: u64) -> Vec<Candidate> {
    look(collector, proc, now, &HashMap::new(), &BTreeSet::new()).1
}

#[test]
fn a_command_line_that_fits_is_a_candidate_with_its_age() {
    let fake = Fake::new();
    fake.process(
        4_000_001,
        50 * CLK,
        "py (R) 1",
        b"python3\0-m\0pytest\0--password\0x\0",
    );
    fake.process(4_000_002, 50 * CLK, "sleep", b"sleep\x001\0");
    let found = plainly(&mut collector(), &fake.root(), 3651);
    let [found] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!(found.who, who(Tgid(4_000_001), Ticks(50 * CLK)));
    assert_eq!(found.age_s, Some(3601));
    assert_eq!(found.comm, "py (R) 1");
    assert_eq!(found.uid, Some(1000));
    assert_eq!(found.pattern.as_deref(), Some("pytest"));
}

#[test]
fn nobody_hides_behind_a_command_line_without_an_end() {
    let fake = Fake::new();
    // As long as a process likes: PR_SET_MM points it at any of its memory.
    let mut line = b"python3\0-m\0pytest\0".to_vec();
    line.resize(9 << 20, b'x');
    fake.process(4_000_001, 50 * CLK, "python3", &line);
    let found = plainly(&mut collector(), &fake.root(), 3651);
    let [found] = &found[..] else {
        panic!("{} candidates", found.len())
    };
    assert!(found.cmdline.starts_with("python3 -m pytest xxx"));
    assert!(found.cmdline.len() < 300);
}

#[test]
fn what_a_session_left_is_one_whatever_it_is_called() {
    let fake = Fake::new();
    fake.process(4_000_003, 7, "sleep", b"sleep\x001\0");
    let left_by = LeftBy {
        session: "S".to_owned(),
        command: "make".to_owned(),
        labels: BTreeMap::new(),
    };
    let (proc, mut collector) = (fake.root(), collector());
    assert_eq!(plainly(&mut collector, &proc, 99), []);
    let left = |start| HashMap::from([(who(Tgid(4_000_003), Ticks(start)), left_by.clone())]);
    let open = BTreeSet::new();
    // The same pid, another process.
    assert_eq!(look(&mut collector, &proc, 99, &left(8), &open).1, []);
    let found = look(&mut collector, &proc, 99, &left(7), &open).1;
    assert_eq!(found[0].left_by.as_ref(), Some(&left_by));
}

#[test]
fn without_the_time_of_the_boot_there_is_no_age() {
    let fake = Fake::new();
    fs::write(fake.path("stat"), "cpu 1 2 3\n").unwrap();
    fake.process(4_000_004, 50, "pytest", b"pytest\0");
    let found = plainly(&mut collector(), &fake.root(), 9999);
    assert_eq!(found[0].age_s, None);
}

#[test]
fn rubbish_and_ends_stop_nobody() {
    let fake = Fake::new();
    fake.process(4_000_005, 50, "pytest", b"pytest\0");
    fake.process(4_000_006, 50, "torn", b"pytest\0");
    fs::write(fake.path("4000006/stat"), "4000006 (to").unwrap();
    fake.process(4_000_007, 50, "half", b"pytest\0");
    fs::remove_file(fake.path("4000007/cmdline")).unwrap();
    fs::create_dir(fake.path("4000008")).unwrap();
    fs::write(fake.path("4000009"), "no directory").unwrap();
    fs::create_dir(fake.path("99999999999999999999")).unwrap();
    let proc = fake.root();
    let mut collector = collector();
    let found = plainly(&mut collector, &proc, 9999);
    assert_eq!(found.len(), 1, "{found:?}");
    // One that was open and makes no sense now is neither there nor gone.
    let torn = who(Tgid(4_000_006), Ticks(50));
    let gone = who(Tgid(4_000_010), Ticks(50));
    let (look, _) = look(
        &mut collector,
        &proc,
        9999,
        &HashMap::new(),
        &[torn, gone].into(),
    );
    assert_eq!(look.unknown, [torn].into());
}

#[test]
fn a_proc_that_cannot_be_listed_is_no_proof_of_anything() {
    let fake = Fake::new();
    fake.process(4_000_011, 50, "pytest", b"pytest\0");
    let proc = fake.root();
    let mut collector = collector();
    let there = plainly(&mut collector, &proc, 9999);
    assert_eq!(there.len(), 1);
    // A directory that was removed cannot be listed, though it is held open (readdir(3), ENOENT).
    fs::remove_dir_all(fake.path("")).unwrap();
    let open = [there[0].who].into();
    let (look, found) = look(&mut collector, &proc, 9999, &HashMap::new(), &open);
    assert_eq!(found, []);
    assert!(look.blind && look.unknown.is_empty(), "{look:?}");
}

#[test]
fn what_has_no_words_fits_no_pattern_that_fits_everything() {
    let fake = Fake::new();
    fake.process(4_000_013, 50, "pytest", b"pytest\0");
    fake.process(4_000_014, 50, "kthreadd", b"");
    fake.ended(4_000_015, 50, "pytest");
    let all = Patterns::new(&[".*".to_owned()]).unwrap();
    let found = plainly(&mut Collector::new(all, nothing), &fake.root(), 9999);
    let pids: Vec<u32> = found.iter().map(|one| one.who.pid.0).collect();
    assert_eq!(pids, [4_000_013]);
}

#[test]
fn cpu_is_of_the_time_between_two_looks() {
    let fake = Fake::new();
    fake.process(4_000_012, 50, "pytest", b"pytest\0");
    let proc = fake.root();
    let mut collector = collector();
    assert_eq!(plainly(&mut collector, &proc, 100)[0].cpu_percent, None);
    fake.used(4_000_012, 50, "pytest", 30 * CLK);
    let found = plainly(&mut collector, &proc, 160);
    assert_eq!(found[0].cpu_percent, Some(50));
    assert_eq!(found[0].cpu_ms, 30_000);
}

#[test]
fn what_does_not_change_is_read_again_in_turn_and_so_is_an_exec_found() {
    let fake = Fake::new();
    for pid in 0..600 {
        fake.process(4_001_000 + pid, 50, "sleep", b"sleep\0");
    }
    let proc = fake.root();
    let mut collector = collector();
    plainly(&mut collector, &proc, 100);
    assert!(collector.extent().1 >= 600);
    for pid in 0..600 {
        let cmdline = fake.path(&format!("{}/cmdline", 4_001_000 + pid));
        fs::write(cmdline, b"pytest\0").unwrap();
    }
    let first = plainly(&mut collector, &proc, 101).len();
    assert!(collector.extent().1 <= AGAIN, "{:?}", collector.extent());
    assert!((1..600).contains(&first), "{first}");
    let second = plainly(&mut collector, &proc, 102).len();
    assert_eq!(second, 600);
    fake.remove(4_001_000);
    assert_eq!(plainly(&mut collector, &proc, 103).len(), 599);
    assert_eq!(collector.known.len(), 599, "memory is that of the living");
}

#[test]
fn who_was_seen_to_lose_its_parent_is_a_candidate_also_when_it_was_none_before() {
    let fake = Fake::new();
    fake.process(77, 1000, "sleep", b"sleep\x009\0");
    let (proc, mut collector) = (fake.root(), collector());
    assert_eq!(plainly(&mut collector, &proc, 20), []);
    let orphan = Orphan {
        parent: crate::watch::orphan::Parent {
            pid: Tgid(76),
            comm: "sh".to_owned(),
            cmdline: "sh -c x".to_owned(),
            ended: "was ended by SIGKILL".to_owned(),
            ended_at: jiff::Timestamp::UNIX_EPOCH,
        },
        tree: crate::watch::orphan::FollowedTree {
            root: Tgid(75),
            root_comm: "claude".to_owned(),
            by: "--follow-comm claude".to_owned(),
        },
        session: None,
    };
    // Another process of that pid is nobody's orphan.
    let (mine, other) = (who(Tgid(77), Ticks(1000)), who(Tgid(77), Ticks(999)));
    for (who, found) in [(other, 0), (mine, 1)] {
        let orphans = Orphans::from([(who, orphan.clone())]);
        let (_, candidates) = collector.look(Scene {
            proc: &proc,
            now: BootNs(30_000_000_000),
            has_ages: true,
            left: &HashMap::new(),
            orphans: &orphans,
            open: &BTreeSet::new(),
        });
        assert_eq!(candidates.len(), found);
        assert!(
            candidates
                .iter()
                .all(|one| one.orphan.as_ref() == Some(&orphan))
        );
    }
}
