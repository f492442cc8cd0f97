//! The closed account of each process, against what `wait4(2)` told its parent.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use tracer_tests::journal::Record;
use tracer_tests::place::{fixture, fixture_text};
use tracer_tests::room::Room;
use tracer_tests::session::Session;
use tracer_tests::truth::notes;
use tracer_tests::wait::PATIENCE;

/// A complete record of `payer`, and what that wrote down.
struct Run {
    session: Session,
    noted: BTreeMap<String, String>,
}

impl Run {
    fn of(act: &[&str]) -> Result<Self> {
        Self::in_room(&Room::new()?, act)
    }

    fn in_room(room: &Room, act: &[&str]) -> Result<Self> {
        let payer = fixture_text("payer")?;
        let command: Vec<&str> = [payer.as_str()]
            .into_iter()
            .chain(act.iter().copied())
            .collect();
        let launch = room.run()?.args(["-q", "--require-trace"]);
        launch.command(&command).finish(PATIENCE)?.expect_code(0)?;
        let session = room.session()?;
        session.expect_complete()?;
        let truth = room.truth()?;
        let noted = notes(&truth).into_iter();
        let noted = noted.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Ok(Self {
            session,
            noted: noted.collect(),
        })
    }

    /// The numbers of notes of this kind, by pid.
    fn numbers(&self, kind: &str) -> Result<BTreeMap<i32, Vec<u64>>> {
        let mut found = BTreeMap::new();
        for (key, value) in &self.noted {
            if let Some(pid) = key.strip_prefix(kind) {
                let numbers = value.split(' ').map(str::parse).collect::<Result<_, _>>();
                found.insert(pid.parse()?, numbers.with_context(|| value.clone())?);
            }
        }
        Ok(found)
    }

    /// The accounts that there are, by pid. None is there twice, and each stands behind its exit.
    fn accounts(&self) -> Result<BTreeMap<i32, &Record>> {
        let mut found = BTreeMap::new();
        for record in self.session.of_kind("account") {
            let pid = record.small("pid")?;
            ensure!(found.insert(pid, record).is_none(), "two accounts of {pid}");
            let exit = self.session.exit_of(pid)?;
            ensure!(
                exit.int("seq")? < record.int("seq")?,
                "{pid} before its exit"
            );
            for key in ["starttime_ticks", "start_boottime_ns"] {
                ensure!(exit.int(key)? == record.int(key)?, "{pid}: {key}");
            }
        }
        Ok(found)
    }
}

/// A count of an account; what is 0 may be left out.
fn counted(account: &Record, key: &str) -> i64 {
    account.value[key].as_i64().unwrap_or(0)
}

fn cpu(record: &Record) -> Result<i64> {
    Ok(record.int("cpu_user_us")? + record.int("cpu_system_us")?)
}

/// What a process may run on after its parent has been told what it used, µs, but for a few.
const AFTER: i64 = 50;

/// Accounts of at least nine in ten have come, and say what `wait4` said.
fn expect_told(run: &Run, count: usize) -> Result<()> {
    let (used, accounts) = (run.numbers("used_")?, run.accounts()?);
    ensure!(used.len() == count, "{} were waited for", used.len());
    let (mut came, mut far, mut lacking) = (0, 0, 0);
    for (pid, used) in &used {
        let used: Vec<i64> = used.iter().map(|n| n.cast_signed()).collect();
        let [told_us, minor, major, voluntary, involuntary] = used[..] else {
            anyhow::bail!("{used:?}")
        };
        let exit = cpu(run.session.exit_of(*pid)?)?;
        // Each time that wait4 says is rounded down.
        ensure!(exit <= told_us + AFTER, "exit {exit}, wait4 {told_us}");
        let Some(account) = accounts.get(pid) else {
            continue;
        };
        came += 1;
        let more = cpu(account)? - told_us;
        ensure!((-1..2_000).contains(&more), "{} {told_us}", account.value);
        far += usize::from(more > AFTER);
        lacking += usize::from(told_us - exit > AFTER);
        ensure!(
            counted(account, "faults_minor") == minor,
            "{} {minor}",
            account.value
        );
        ensure!(
            counted(account, "faults_major") == major,
            "{} {major}",
            account.value
        );
        // The last switch of all may be counted before or after the parent is told.
        for (key, told) in [
            ("ctx_switches_voluntary", voluntary),
            ("ctx_switches_involuntary", involuntary),
        ] {
            let more = counted(account, key) - told;
            ensure!((0..=1).contains(&more), "{key} {told}: {}", account.value);
        }
    }
    ensure!(came * 10 >= count * 9, "{came} accounts of {count}");
    ensure!(
        far * 20 <= count,
        "{far} are further than {AFTER} µs from wait4"
    );
    // Or there would be nothing to prove.
    ensure!(lacking * 2 > came, "only {lacking} exits lack something");
    Ok(())
}

#[test]
fn an_account_says_what_wait4_said() -> Result<()> {
    let run = Run::of(&["each", "300", "1000"])?;
    expect_told(&run, 300)?;
    let commands = &run.session.summary["costs"]["commands"];
    let payer = commands.as_array().into_iter().flatten();
    let payer = payer
        .into_iter()
        .find(|command| command["command"] == "payer");
    let payer = payer.context("no command payer")?;
    ensure!(payer["validity"]["cpu"] == "exact", "{payer}");
    ensure!(payer["validity"]["faults"] == "exact", "{payer}");
    Ok(())
}

#[test]
fn threads_are_in_the_account_of_their_process() -> Result<()> {
    expect_told(&Run::of(&["threads", "60"])?, 60)
}

#[test]
fn a_process_whose_leader_was_replaced_has_one_account() -> Result<()> {
    expect_told(&Run::of(&["replaced", "60"])?, 60)
}

#[test]
fn who_is_waited_for_by_nobody_has_all_it_used_in_its_account() -> Result<()> {
    let run = Run::of(&["ignored", "200", "1000"])?;
    let (own, accounts) = (run.numbers("own_")?, run.accounts()?);
    ensure!(own.len() == 200, "{} said", own.len());
    let mut came = 0;
    for (pid, own) in &own {
        let Some(account) = accounts.get(pid) else {
            continue;
        };
        came += 1;
        // What it does behind that, dying included, is not much, and not nothing.
        let more = cpu(account)? - own[0].cast_signed();
        ensure!((0..4_000).contains(&more), "{} {own:?}", account.value);
    }
    ensure!(came >= 180, "{came} accounts");
    Ok(())
}

#[test]
fn a_zombie_has_no_account_while_nobody_waits_for_it() -> Result<()> {
    let run = Run::of(&["zombie", "1000"])?;
    let zombie: i32 = run.noted.get("zombie").context("no zombie")?.parse()?;
    let root = run.session.root()?;
    let ended = run.session.exit_of(root)?.int("seq")?;
    ensure!(run.session.exit_of(zombie)?.int("seq")? < ended);
    for record in run.session.of_kind("account") {
        let early = record.small("pid")? == zombie && record.int("seq")? < ended;
        ensure!(!early, "{}", record.value);
    }
    Ok(())
}

#[test]
fn commands_of_different_length_below_one_parent_have_what_they_used() -> Result<()> {
    let room = Room::new()?;
    for name in ["long", "short"] {
        std::os::unix::fs::symlink(fixture("payer")?, room.path(name))?;
    }
    let folder = room.path("long");
    let folder = folder
        .parent()
        .and_then(|path| path.to_str())
        .context("UTF-8")?;
    let run = Run::in_room(&room, &["kinds", "300", folder])?;
    let used = run.numbers("used_")?;
    let kind_of = |pid: i32| run.noted.get(&format!("kind_{pid}")).map(String::as_str);
    for kind in ["long", "short"] {
        let pids = used.iter().filter(|(pid, _)| kind_of(**pid) == Some(kind));
        let truth: u64 = pids.map(|(_, used)| used[0]).sum();
        let commands = run.session.summary["costs"]["commands"].as_array();
        let mut commands = commands.into_iter().flatten();
        let found = commands.find(|command| command["command"] == kind);
        let found = found.with_context(|| format!("no command {kind}"))?;
        ensure!(found["processes"] == 150, "{found}");
        let cpu = found["cpu_us"].as_u64().context("no cpu_us")?;
        ensure!(cpu.abs_diff(truth) <= truth / 100, "{found}, truth {truth}");
        ensure!(found["validity"]["cpu"] == "exact", "{found}");
    }
    Ok(())
}
