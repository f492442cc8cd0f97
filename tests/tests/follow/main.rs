//! `tracer watch --follow-…`: trees are picked up inside the kernel, and an orphan is told of with the parent
//! whose death was seen.

mod storm;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tracer_tests::{
    cgroup::Cgroup,
    follow::{
        DAEMON, Daemon, decisions, end, following, metric, news, number_in, port, watcher,
        watcher_every,
    },
    http::get,
    place,
    room::Room,
    wait::{PATIENCE, wait_for},
};

/// A shell under a name that no other process of the machine has; longer than a task's name.
fn shell_called(room: &Room, name: &str) -> Result<PathBuf> {
    let path = room.path(&format!("f{}-{name}-of-a-long-name", std::process::id()));
    fs::copy("/bin/sh", &path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

fn name_of(path: &Path) -> Result<&str> {
    path.file_name()
        .and_then(|name| name.to_str())
        .context("a name")
}

#[test]
fn a_daemon_is_told_with_its_parents_death_once_also_by_the_next_watcher() -> Result<()> {
    let room = Room::new()?;
    let agent = shell_called(&room, "daemon")?;
    let watch =
        || Ok::<_, anyhow::Error>(watcher(&room)?.args(["--follow-comm", name_of(&agent)?]));
    let first = following(watch()?)?;
    let list = room.path("list");
    let text = format!("{DAEMON}; exit 7");
    let launch = room.program(&agent).env("LIST", &list).arg("-c").arg(text);
    let running = launch.spawn()?;
    let begun_by = running.pid();
    running.finish(PATIENCE)?.expect_code(7)?;
    let daemon = Daemon(number_in(&list)?);
    let alert = news(&first, daemon.0, "alert")?;
    let details = &alert["details"];
    ensure!(details["tree_root_pid"] == begun_by, "{alert:#}");
    let flag = format!("--follow-comm {}", name_of(&agent)?);
    ensure!(details["followed_by"] == flag && alert["labels"]["followed_by"] == flag);
    // The subshell that made it ended by itself, or its parent's SIGKILL came first: both are sh.
    ensure!(details["parent_comm"] == "sh", "{alert:#}");
    let ended = details["parent_ended"].as_str().context("how")?;
    ensure!(
        ["exited with code 0", "was ended by SIGKILL"].contains(&ended),
        "{ended}"
    );
    let line = details["parent_command"].as_str().context("a line")?;
    ensure!(line.contains("setsid sleep 300"), "{line}");
    let text = alert["text"].as_str().context("a text")?;
    for word in [
        "it was started by sh (pid ",
        "below ",
        "followed by --follow-comm",
        "to end it",
    ] {
        ensure!(text.contains(word), "{text}");
    }
    ensure!(decisions(&end(first)?, daemon.0) == ["alert"]);

    // The next one has not seen that death, and knows of it.
    let looked = room.state().join("watch.json");
    let before = fs::metadata(&looked)?.modified()?;
    let second = following(watch()?)?;
    ensure!(decisions(&end(second)?, daemon.0).is_empty());
    ensure!(
        fs::metadata(&looked)?.modified()? > before,
        "it has not begun"
    );
    let third = following(watch()?)?;
    let pid = daemon.0;
    drop(daemon);
    let recovery = news(&third, pid, "recovery")?;
    ensure!(recovery["labels"] == alert["labels"] && recovery["key"] == alert["key"]);
    ensure!(decisions(&end(third)?, pid) == ["recovery"]);
    Ok(())
}

#[test]
fn a_script_is_followed_by_its_own_name_and_a_stranger_is_not() -> Result<()> {
    let room = Room::new()?;
    let script = room.path(&format!("s{}-script-of-a-long-name", std::process::id()));
    let (list, other) = (room.path("list"), room.path("other"));
    fs::write(&script, format!("#!/bin/sh\n{DAEMON}\nexit 0\n"))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let watch = watcher(&room)?.args(["--follow-comm", name_of(&script)?]);
    let running = following(watch)?;
    let stranger = room.program("/bin/sh").env("LIST", &other);
    stranger.arg("-c").arg(DAEMON).finish(PATIENCE)?;
    room.program(&script)
        .env("LIST", &list)
        .finish(PATIENCE)?
        .expect_code(0)?;
    let (mine, stranger) = (Daemon(number_in(&list)?), Daemon(number_in(&other)?));
    let alert = news(&running, mine.0, "alert")?;
    ensure!(
        alert["details"]["tree_root_comm"] == name_of(&script)?[..15],
        "{alert:#}"
    );
    let alerts = end(running)?;
    ensure!(decisions(&alerts, stranger.0).is_empty(), "{alerts:#?}");
    Ok(())
}

#[test]
fn a_cgroup_and_a_container_are_followed_by_who_is_moved_in_or_was_there() -> Result<()> {
    let room = Room::new()?;
    let cgroup = Cgroup::unified(&room)?;
    let id = format!(
        "{:064x}",
        0xc0_ffee_0000_0000_u64 + u64::from(std::process::id())
    );
    let id = id.chars().rev().collect::<String>();
    let container = cgroup.path().join(format!("docker-{id}.scope"));
    // Moved in, and from then on a container's init with a daemon.
    let text = format!("echo $$ > \"$CGROUP/cgroup.procs\"; {DAEMON}; while :; do sleep 0.1; done");
    let member = |place: &Path, list: &Path| {
        let shell = room
            .program("/bin/sh")
            .env("LIST", list)
            .env("CGROUP", place);
        shell.arg("-c").arg(&text).spawn()
    };
    let flags = ["--follow-cgroup".into(), cgroup.path().to_owned()];
    let (early, late, there) = (room.path("early"), room.path("late"), room.path("there"));
    let was_there = member(cgroup.path(), &there)?;
    let orphaned_before = Daemon(number_in(&there)?);
    let running = following(watcher(&room)?.args(flags))?;
    let first = member(cgroup.path(), &early)?;
    let moved = Daemon(number_in(&early)?);
    let alert = news(&running, moved.0, "alert")?;
    ensure!(
        alert["details"]["tree_root_pid"] == first.pid(),
        "{alert:#}"
    );
    // Whose parent ended before anybody looked is none that was seen to lose it.
    let alerts = end(running)?;
    ensure!(
        decisions(&alerts, orphaned_before.0).is_empty(),
        "{alerts:#?}"
    );

    // A container, by the beginning of its id, that is made while the watcher runs.
    let watch = watcher_every(&room, "600")?.args(["--follow-container", &id[..12]]);
    let running = following(watch)?;
    ensure!(
        running.stderr().contains("is not there"),
        "{}",
        running.stderr()
    );
    fs::create_dir(&container)?;
    wait_for("the container", PATIENCE, || {
        Ok(running
            .stderr()
            .contains("is there: following")
            .then_some(()))
    })?;
    let second = member(&container, &late)?;
    let inside = Daemon(number_in(&late)?);
    // There is no look for ten minutes but those of reloads.
    wait_for("the news", PATIENCE, || {
        running.signal(Signal::HUP)?;
        Ok(running.stdout().contains("\"alert\"").then_some(()))
    })?;
    let alert = news(&running, inside.0, "alert")?;
    let flag = format!("--follow-container {}", &id[..12]);
    ensure!(alert["details"]["followed_by"] == flag, "{alert:#}");
    end(running)?;
    let daemons = [moved, orphaned_before, inside];
    drop((was_there, first, second, daemons));
    wait_for("an empty container", PATIENCE, || {
        Ok(fs::remove_dir(&container).is_ok().then_some(()))
    })
}

#[test]
fn an_orphan_in_a_session_that_goes_on_is_told_with_that_session() -> Result<()> {
    let room = Room::new()?;
    let agent = shell_called(&room, "session")?;
    let list = room.path("list");
    let running = following(watcher(&room)?.args(["--follow-comm", name_of(&agent)?]))?;
    let text = format!("{DAEMON}; while :; do sleep 0.1; done");
    let run = room
        .run()?
        .args(["--require-trace", "-q"])
        .env("LIST", &list);
    let run = run
        .command([agent.as_os_str(), "-c".as_ref(), text.as_ref()])
        .spawn()?;
    let daemon = Daemon(number_in(&list)?);
    let alert = news(&running, daemon.0, "alert")?;
    let sessions = fs::read_dir(room.state().join("sessions"))?;
    let names: Vec<String> = sessions
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    let session = alert["labels"]["session"].as_str().context("no session")?;
    ensure!(
        names.iter().any(|name| name.contains(session)),
        "{names:?} {alert:#}"
    );
    end(running)?;
    run.signal(Signal::TERM)?;
    run.finish(PATIENCE)?;
    Ok(())
}

#[test]
fn without_the_means_it_says_so_once_and_looks_through_proc_all_the_same() -> Result<()> {
    let room = Room::new()?;
    let addr = port()?;
    let mark = format!("follow-means-{}", std::process::id());
    let sleeper = room
        .program("/bin/sh")
        .arg("-c")
        .arg(format!(": {mark}; sleep 300; :"))
        .spawn()?;
    let launch = room
        .program("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    let launch = launch
        .arg(place::tracer()?)
        .args(["watch", "--enable", "--age-min", "0"]);
    let launch = launch.args([
        "--interval-s",
        "1",
        "--pattern",
        &format!("^/bin/sh .*{mark}"),
    ]);
    let launch = launch
        .arg("--state-dir")
        .arg(room.path("nobody"))
        .arg("--bpffs")
        .arg(room.path("x"));
    let running = launch
        .args(["--follow-comm", &mark, "--metrics", &addr.to_string()])
        .spawn()?;
    let alert = news(&running, sleeper.pid(), "alert")?;
    ensure!(
        alert["labels"]["pattern"]
            .as_str()
            .is_some_and(|text| text.contains(&mark))
    );
    let (status, why) = get(addr, "/healthz")?;
    ensure!(
        status == 503 && why.contains("CAP_BPF") | why.contains("cap_bpf"),
        "{why}"
    );
    ensure!(metric(addr, "tracer_watch_degraded{part=\"kernel\"}")? == Some(1));
    wait_for("another look", PATIENCE, || {
        Ok((metric(addr, "tracer_watch_tick_duration_seconds_count")? >= Some(3)).then_some(()))
    })?;
    let said = running.stderr();
    ensure!(
        said.matches("not following any tree").count() == 1,
        "{said}"
    );
    ensure!(!said.contains("following trees:"), "{said}");
    end(running)?;
    Ok(())
}

#[test]
fn what_can_never_be_followed_is_refused_and_a_reload_follows_what_is_new() -> Result<()> {
    let room = Room::new()?;
    let old = Cgroup::of(&room, "pids")?;
    let watch = watcher(&room)?.arg("--follow-cgroup").arg(old.path());
    watch
        .finish(PATIENCE)?
        .expect_code(125)?
        .expect_words(&["version 1", "--follow-comm"])?;
    let cgroup = Cgroup::unified(&room)?;
    let id = format!(
        "{:012x}",
        0xabcd_0000_0000_u64 + u64::from(std::process::id())
    );
    let both = ["aa", "bb"].map(|end| cgroup.path().join(format!("docker-{id}{end}.scope")));
    for path in &both {
        fs::create_dir(path)?;
    }
    let watch = watcher(&room)?.args(["--follow-container", &id]);
    let refused = watch.finish(PATIENCE)?.expect_code(125)?;
    refused.expect_words(&["more than one", &format!("{id}aa"), &format!("{id}bb")])?;
    for path in &both {
        fs::remove_dir(path)?;
    }
    let watch = watcher(&room)?.args(["--follow-container", "web"]);
    watch
        .finish(PATIENCE)?
        .expect_code(2)?
        .expect_words(&["12 to 64 digits"])?;

    let agent = shell_called(&room, "reload")?;
    let (file, list) = (room.path("config.toml"), room.path("list"));
    fs::write(&file, "[watch]\n")?;
    let running = watcher(&room)?.arg("--config").arg(&file).spawn()?;
    wait_for("its looks", PATIENCE, || {
        Ok(room.state().join("watch.json").exists().then_some(()))
    })?;
    fs::write(
        &file,
        format!("[watch]\nfollow_comm = [\"{}\"]\n", name_of(&agent)?),
    )?;
    running.signal(Signal::HUP)?;
    wait_for("a watcher that follows", PATIENCE, || {
        Ok(running.stderr().contains("following ").then_some(()))
    })?;
    let launch = room.program(&agent).env("LIST", &list);
    launch
        .arg("-c")
        .arg(format!("{DAEMON}; :"))
        .finish(PATIENCE)?;
    let daemon = Daemon(number_in(&list)?);
    news(&running, daemon.0, "alert")?;
    // What is followed no more has no orphans.
    fs::write(&file, "[watch]\n")?;
    running.signal(Signal::HUP)?;
    news(&running, daemon.0, "recovery")?;
    end(running)?;
    Ok(())
}
