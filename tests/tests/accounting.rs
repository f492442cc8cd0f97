//! What a tree cost, against what the kernel charged: `getrusage(2)`, cgroups, and time(1).

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tracer_tests::place::fixture_text;
use tracer_tests::room::Room;
use tracer_tests::session::Session;
use tracer_tests::truth::notes;
use tracer_tests::wait::PATIENCE;

/// A run whose record is complete.
struct Run {
    room: Room,
    session: Session,
}

impl Run {
    fn of(command: &[&str]) -> Result<Self> {
        Self::in_room(Room::new()?, &[], command)
    }

    fn in_room(room: Room, options: &[&str], command: &[&str]) -> Result<Self> {
        let launch = room.run()?.args(["-q", "--require-trace"]).args(options);
        launch.command(command).finish(PATIENCE)?.expect_code(0)?;
        let session = room.session()?;
        Ok(Self { room, session })
    }

    fn complete(self) -> Result<Self> {
        self.session.expect_complete()?;
        Ok(self)
    }

    fn number(&self, pointer: &str) -> Result<u64> {
        self.session.number(pointer)
    }

    fn cpu_us(&self) -> Result<u64> {
        Ok(self.number("/totals/cpu_user_us")? + self.number("/totals/cpu_system_us")?)
    }

    fn noted(&self, key: &str) -> Result<u64> {
        let truth = self.room.truth()?;
        let notes = notes(&truth);
        Ok(notes
            .get(key)
            .with_context(|| format!("no {key}"))?
            .parse()?)
    }

    fn list(&self, pointer: &str) -> Result<&Vec<Value>> {
        let found = self.session.summary.pointer(pointer);
        found
            .and_then(Value::as_array)
            .with_context(|| format!("no list {pointer}"))
    }

    fn command(&self, name: &str) -> Result<&Value> {
        let mut commands = self.list("/costs/commands")?.iter();
        commands
            .find(|command| command["command"] == name)
            .with_context(|| format!("no command {name} in {}", self.session.summary["costs"]))
    }
}

/// What a process does before it joins a cgroup and after it has said what it used, µs.
const BEGIN_AND_END: u64 = 5_000;

/// Two amounts that differ by no more than a hundredth.
fn expect_same(what: &str, recorded: u64, truth: u64) -> Result<()> {
    ensure!(
        recorded.abs_diff(truth) <= truth / 100 + BEGIN_AND_END,
        "{what}: {recorded} recorded, {truth} is true"
    );
    Ok(())
}

/// What the summary and the exits say of how many there were, and that sums are sums.
fn expect_each_counted_once(run: &Run) -> Result<()> {
    let processes = run.number("/totals/processes")?;
    ensure!(processes == run.session.count("exit"), "{processes}");
    let attributed = run.cpu_us()? - run.number("/costs/cpu_unattributed_us")?;
    let rest = &run.session.summary["costs"]["rest"];
    for (key, whole) in [("processes", processes), ("cpu_us", attributed)] {
        let commands = run.list("/costs/commands")?.iter();
        let sum: u64 = commands.filter_map(|command| command[key].as_u64()).sum();
        let sum = sum + rest[key].as_u64().unwrap_or(0);
        ensure!(sum == whole, "{key}: commands {sum}, all {whole}");
        let root = run.list("/costs/subtrees")?.first();
        let root = root.context("no subtree of the root")?;
        ensure!(root["depth"] == 0 && root[key] == whole, "{root}");
    }
    Ok(())
}

#[test]
fn a_tree_of_short_processes_costs_what_the_kernel_charged_for_it() -> Result<()> {
    let spender = fixture_text("spender")?;
    let run = Run::of(&[&spender, "forks", "1000", "2"])?.complete()?;
    let truth = run.noted("self_us")? + run.noted("children_us")?;
    expect_same("CPU time", run.cpu_us()?, truth)?;
    ensure!(run.number("/totals/processes")? == run.noted("children")? + 1);
    let validity = &run.session.summary["totals"]["validity"];
    ensure!(validity["cpu_user_us"] == "exact", "{validity}");
    expect_each_counted_once(&run)?;
    // A parent is charged for each child to the ns; microseconds are rounded down.
    let left = run.number("/costs/cpu_unattributed_us")?;
    ensure!(left <= run.number("/totals/processes")?, "{left} µs");
    ensure!(run.command("spender")?["validity"]["cpu"] == "exact");
    Ok(())
}

#[test]
fn orphans_execs_and_reused_pids_are_counted_once() -> Result<()> {
    let spender = fixture_text("spender")?;
    let run = Run::of(&[&spender, "mixed"])?.complete()?;
    let truth = run.noted("self_us")? + run.noted("children_us")?;
    expect_same("CPU time", run.cpu_us()?, truth)?;
    ensure!(run.number("/totals/processes")? == run.noted("children")? + 1);
    expect_each_counted_once(&run)?;
    // Each of the twenty executed itself thrice.
    ensure!(run.command("spender")?["after_others"] == 20);
    ensure!(run.command("spender")?["execs"] == 81);
    Ok(())
}

#[test]
fn a_large_process_between_two_ticks_is_the_peak() -> Result<()> {
    let run = Run::of(&[&fixture_text("spender")?, "hog", "300"])?.complete()?;
    let peak = run.number("/totals/peak_process_rss_kb")?;
    ensure!((300 << 10..320 << 10).contains(&peak), "{peak} KiB");
    let seen = run
        .session
        .rows
        .iter()
        .filter_map(|row| row["vm_hwm_kb"].as_u64());
    ensure!(seen.max().unwrap_or(0) < 300 << 10, "a row has seen it");
    ensure!(run.command("spender")?["peak_rss_kb"] == peak);
    let validity = &run.session.summary["totals"]["validity"];
    ensure!(validity["peak_process_rss_kb"] == "exact", "{validity}");
    Ok(())
}

#[test]
fn time_says_the_same_of_one_command() -> Result<()> {
    let room = Room::new()?;
    let told = room.path("told");
    let path = told.to_str().context("UTF-8")?;
    let time = "/usr/bin/time";
    ensure!(
        Path::new(time).exists(),
        "no {time}: install the package time"
    );
    let spender = fixture_text("spender")?;
    let format = "%M %F %R %U %S";
    let command = [time, "-f", format, "-o", path, &spender, "hog", "200"];
    let run = Run::in_room(room, &[], &command)?.complete()?;
    let told = std::fs::read_to_string(&told)?;
    let words: Vec<&str> = told.split_whitespace().collect();
    let [peak, major, minor, user, system] = words[..] else {
        anyhow::bail!("time says {told:?}")
    };
    let spender = run.command("spender")?;
    let peak: u64 = peak.parse()?;
    ensure!(spender["peak_rss_kb"] == peak, "{spender} {told}");
    // What dying touches comes after the exit event.
    for (key, told) in [("faults_major", major), ("faults_minor", minor)] {
        let (found, told): (u64, u64) = (spender[key].as_u64().unwrap_or(0), told.parse()?);
        ensure!(
            found <= told && told - found <= told / 100 + 5,
            "{key} {found} {told}"
        );
    }
    // It tells hundredths of a second, of both the command and its child.
    let seconds = user.parse::<f64>()? + system.parse::<f64>()?;
    #[expect(clippy::cast_precision_loss, reason = "below a minute")]
    let found = run.cpu_us()? as f64 / 1e6;
    ensure!(
        (found - seconds).abs() <= 0.02 + found / 100.0,
        "{found} {seconds}"
    );
    Ok(())
}

/// A cgroup, gone at the end.
struct Cgroup(PathBuf);

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Where each hierarchy that counts CPU time is mounted, with the file that has it and its unit in ns.
fn hierarchies() -> Result<Vec<(PathBuf, &'static str, u64)>> {
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    let found = mounts.lines().filter_map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let [_, place, kind, options, ..] = words[..] else {
            return None;
        };
        let place = PathBuf::from(place);
        match kind {
            "cgroup2" => Some((place, "cpu.stat", 1000)),
            "cgroup" if options.split(',').any(|option| option == "cpuacct") => {
                Some((place, "cpuacct.usage", 1))
            }
            _ => None,
        }
    });
    Ok(found.collect())
}

#[test]
fn a_cgroup_was_charged_the_same() -> Result<()> {
    let hierarchies = hierarchies()?;
    ensure!(
        !hierarchies.is_empty(),
        "no cgroup hierarchy counts CPU time here"
    );
    let spender = fixture_text("spender")?;
    for (mount, file, ns) in hierarchies {
        let room = Room::new()?;
        let name = format!("tracer-test-{}", std::process::id());
        let cgroup = Cgroup(mount.join(name));
        std::fs::create_dir(&cgroup.0).with_context(|| format!("{}", cgroup.0.display()))?;
        let folder = cgroup.0.to_str().context("UTF-8")?;
        let run = Run::in_room(room, &[], &[&spender, "in", folder, "forks", "1000", "1"])?;
        let run = run.complete()?;
        let text = std::fs::read_to_string(cgroup.0.join(file))?;
        let usage = text.lines().next().unwrap_or_default();
        let usage: u64 = usage.trim_start_matches("usage_usec ").trim().parse()?;
        expect_same(file, run.cpu_us()?, usage * ns / 1000)?;
    }
    Ok(())
}

/// Names of the chain's links.
fn chain(run: &Run) -> Result<Vec<&str>> {
    let links = run.list("/critical_chain/links")?;
    let names = links.iter().map(|link| link["command"].as_str());
    names
        .collect::<Option<_>>()
        .context("a link without a name")
}

/// Wall time by program, as in the chain; all of it is there.
fn by_program(run: &Run) -> Result<Vec<(String, u64)>> {
    let list = run.list("/critical_chain/by_command")?;
    let shares: Vec<_> = list
        .iter()
        .filter_map(|share| {
            Some((
                share["command"].as_str()?.to_owned(),
                share["wall_us"].as_u64()?,
            ))
        })
        .collect();
    let sum: u64 = shares.iter().map(|(_, us)| us).sum();
    let sum = sum + run.number("/critical_chain/other_us")?;
    let wall = run.number("/critical_chain/wall_us")?;
    // Each is rounded down.
    ensure!(sum <= wall && wall - sum <= 20, "{sum} of {wall}");
    expect_same("wall time", wall, run.number("/totals/wall_us")?)?;
    Ok(shares)
}

#[test]
fn a_script_waits_for_the_slowest_of_those_it_started_together() -> Result<()> {
    let script = "sleep 0.1 & sh -c 'sleep 0.6; :' & sleep 0.2 & wait";
    let run = Run::of(&["sh", "-c", script])?.complete()?;
    ensure!(chain(&run)? == ["sh", "sh", "sleep"], "{:?}", chain(&run)?);
    let shares = by_program(&run)?;
    ensure!(
        shares[0].0 == "sleep" && shares[0].1 >= 590_000,
        "{shares:?}"
    );
    Ok(())
}

#[test]
fn make_waits_for_what_its_last_target_waited_for() -> Result<()> {
    let room = Room::new()?;
    let file = room.path("makefile");
    // `all` needs both; the slow one decides when `last` begins.
    let rules = "all: fast slow\n\t@sleep 0.1; true\nfast:\n\t@sleep 0.3; true\nslow:\n\t@sleep 0.5; true\n";
    std::fs::write(&file, rules)?;
    let file = file.to_str().context("UTF-8")?.to_owned();
    let run = Run::in_room(room, &[], &["make", "-j2", "-f", &file])?.complete()?;
    ensure!(chain(&run)?.first() == Some(&"make"), "{:?}", chain(&run)?);
    let shares = by_program(&run)?;
    ensure!(shares[0].0 == "sleep", "{shares:?}");
    // One behind the other, and never the two that ran beside each other.
    ensure!((590_000..850_000).contains(&shares[0].1), "{shares:?}");
    Ok(())
}

#[test]
fn who_is_left_at_the_end_costs_what_its_last_row_said() -> Result<()> {
    let script = "timeout 3 sh -c 'while :; do :; done' & sleep 1";
    let run = Run::in_room(Room::new()?, &["--interval", "50ms"], &["sh", "-c", script])?;
    let alive = &run.session.summary["totals"]["alive"];
    ensure!(
        alive["processes"] == 2 && alive["validity"] == "sampled",
        "{alive}"
    );
    ensure!(alive["sampled"] == 2, "{alive}");
    let row = run
        .session
        .rows
        .iter()
        .rev()
        .find_map(|row| row["cpu_us"].as_u64());
    ensure!(row.is_some(), "rows have no cpu_us");
    ensure!(alive["cpu_us"].as_u64() > Some(0), "{alive}");
    let timeout = run.command("timeout")?;
    ensure!(
        timeout["processes"] == 1 && timeout["validity"]["peak_rss"] == "sampled",
        "{timeout}"
    );
    Ok(())
}

#[test]
fn a_session_says_what_observing_it_took() -> Result<()> {
    let script = "for i in 1 2 3 4 5 6 7 8; do /bin/true | /bin/true; done; sleep 0.3";
    let run = Run::in_room(Room::new()?, &["--interval", "20ms"], &["sh", "-c", script])?;
    let run = run.complete()?;
    let observer = &run.session.summary["observer"];
    let number = |pointer: &str| run.number(&format!("/observer/{pointer}"));
    let events = ["fork", "exec", "exit", "signal", "oom"].map(|kind| run.session.count(kind));
    ensure!(
        number("events")? == events.iter().sum::<u64>(),
        "{observer}"
    );
    ensure!(number("lost")? == 0, "{observer}");
    ensure!(
        number("cpu_us")? > 0 && number("peak_rss_kb")? > 0,
        "{observer}"
    );
    ensure!(number("ticks")? == run.session.count("tick"), "{observer}");
    let missed: u64 = run
        .session
        .of_kind("tick")
        .filter_map(|tick| tick.value["missed_ticks"].as_u64())
        .sum();
    ensure!(number("missed_ticks")? == missed, "{observer}");
    let (p50, p99, max) = (
        number("tick_us/p50")?,
        number("tick_us/p99")?,
        number("tick_us/max")?,
    );
    ensure!(0 < p50 && p50 <= p99 && p99 <= max, "{observer}");
    ensure!(number("bpf_measured_us")? >= 100_000, "{observer}");
    for name in ["on_fork", "on_exec", "on_exit"] {
        let programs = run.list("/observer/bpf")?.iter();
        let program = programs.clone().find(|program| program["name"] == name);
        let program = program.with_context(|| format!("no {name}: {observer}"))?;
        // At first it is measured all the time; others of the machine make the hooks run as well.
        ensure!(program["runs"].as_u64() >= Some(4), "{program}");
        ensure!(program["run_ns"].as_u64() > Some(0), "{program}");
    }
    Ok(())
}
