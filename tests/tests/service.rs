//! The unit for systemd: what it allows is enough for all that a watch does, by systemd's own lists.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tracer_tests::need;
use tracer_tests::place;
use tracer_tests::receiver::{Manner, Receiver};
use tracer_tests::room::Room;
use tracer_tests::wait::{PATIENCE, wait_for};

fn unit_file() -> PathBuf {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    own.join("../contrib/systemd/tracer-watch.service")
}

/// The values of a setting, one string for each of its lines.
fn setting(name: &str) -> Result<Vec<String>> {
    let unit = fs::read_to_string(unit_file())?;
    let lines = unit
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let values: Vec<String> = lines.map(str::to_owned).collect();
    ensure!(!values.is_empty(), "the unit does not say {name}");
    Ok(values)
}

/// The system calls of a set, with those of the sets in it.
fn set(room: &Room, name: &str) -> Result<BTreeSet<String>> {
    let analyze = need::program("systemd-analyze", "systemd")?;
    let said = room
        .program(analyze)
        .args(["--no-pager", "syscall-filter", name]);
    let said = said.finish(PATIENCE)?.expect_code(0)?;
    let mut calls = BTreeSet::new();
    for word in String::from_utf8(said.stdout)?
        .lines()
        .skip(1)
        .map(str::trim)
    {
        match word {
            word if word.starts_with('#') || word.is_empty() => {}
            word if word.starts_with('@') => calls.extend(set(room, word)?),
            word => {
                calls.insert(word.to_owned());
            }
        }
    }
    ensure!(!calls.is_empty(), "{name} has no system calls");
    Ok(calls)
}

/// What `SystemCallFilter=` comes to, line by line (systemd.exec(5)): the first line says that only what is
/// listed is allowed, `~` takes away, what follows adds again.
fn allowed(room: &Room) -> Result<BTreeSet<String>> {
    // systemd allows these to every service, so that it can be started at all.
    let mut allowed = set(room, "@default")?;
    for line in setting("SystemCallFilter")? {
        let (takes, words) = match line.strip_prefix('~') {
            Some(words) => (true, words),
            None => (false, &*line),
        };
        for word in words.split_whitespace() {
            let calls = if word.starts_with('@') {
                set(room, word)?
            } else {
                BTreeSet::from([word.to_owned()])
            };
            for call in calls {
                if takes {
                    allowed.remove(&call);
                } else {
                    allowed.insert(call);
                }
            }
        }
    }
    Ok(allowed)
}

/// A watch with everything: notifiers of all kinds, metrics, a reload; an orphan of another user that holds
/// something. Around it `wrapper`, which ends with it. What it has told.
fn watched(room: &Room, wrapper: &[&str]) -> Result<Vec<Value>> {
    let mark = format!("pytest-mark-service-{}", std::process::id());
    let (read, write) = std::io::pipe()?;
    let orphan = room
        .program("setpriv")
        .args(["--reuid", "65534", "--clear-groups", "bash", "-c"]);
    let orphan = orphan.args(["exec -a \"$0\" sleep 360", &mark]);
    let orphan = orphan
        .stdio(1, std::os::fd::OwnedFd::from(write).into())
        .spawn()?;
    let receiver = Receiver::start(&[Manner::Status(200)])?;
    let config = room.path("config.toml");
    let heard = place::text(&room.path("heard"))?;
    let url = receiver.url();
    let text = format!(
        "[watch]\nenabled = true\nage_min = 0\ninterval_s = 1\npatterns = [{mark:?}]\nmetrics = \"127.0.0.1:0\"\n\
         [[notify.webhook]]\nname = \"hook\"\nurl = {url:?}\n\
         [[notify.webhook]]\nname = \"tls\"\nurl = \"https://127.0.0.1:1/\"\n\
         [[notify.alertmanager]]\nname = \"manager\"\nurl = {url:?}\n\
         [[notify.command]]\nname = \"cat\"\ncommand = [\"/bin/sh\", \"-c\", \"cat >> $0\", {heard:?}]\n"
    );
    fs::write(&config, text)?;
    let (program, args) = wrapper.split_first().context("a wrapper")?;
    let watching = room
        .program(program)
        .args(args)
        .arg(place::tracer()?)
        .arg("watch");
    let watching = watching.arg("--config").arg(&config).arg("--state-dir");
    let watching = watching
        .arg(room.state())
        .arg("--bpffs")
        .arg(room.path("none"));
    let watching = watching.spawn()?;
    let line = wait_for("the alert, by every way", PATIENCE, || {
        let heard = fs::read_to_string(&heard).unwrap_or_default();
        let by_http = receiver.received().len() >= 2;
        Ok((by_http && heard.ends_with('\n')).then(|| watching.stdout()))
    })
    .with_context(|| watching.stderr())?;
    let addr = watching.stderr();
    let addr = addr.lines().find_map(|line| line.split_once("http://"));
    let addr = addr
        .and_then(|(_, rest)| rest.strip_suffix("/metrics"))
        .context("an address")?;
    let (status, _) = tracer_tests::http::get(addr.parse()?, "/metrics")?;
    ensure!(status == 200);
    let tracer = itself(watching.pid())?;
    rustix::process::kill_process(tracer, Signal::HUP)?;
    wait_for("the reload", PATIENCE, || {
        Ok(watching
            .stderr()
            .contains("settings were read again")
            .then_some(()))
    })
    .with_context(|| watching.stderr())?;
    rustix::process::kill_process(tracer, Signal::TERM)?;
    watching.finish(PATIENCE)?.expect_code(0)?;
    drop((orphan, read));
    line.lines()
        .map(|line| Ok(serde_json::from_str(line)?))
        .collect()
}

/// The watch itself, which its wrapper has become or has for a child.
fn itself(wrapper: i32) -> Result<rustix::process::Pid> {
    let mut all = tracer_tests::proc::descendants(wrapper);
    all.push(wrapper);
    let is_tracer = |pid: &i32| tracer_tests::proc::comm(*pid).is_ok_and(|comm| comm == "tracer");
    let pid = all.into_iter().find(is_tracer).context("no tracer runs")?;
    rustix::process::Pid::from_raw(pid).context("pid 0")
}

#[test]
fn its_capabilities_show_what_another_users_process_holds() -> Result<()> {
    let room = Room::without_kernel()?;
    let capabilities: Vec<String> = setting("CapabilityBoundingSet")?
        .iter()
        .flat_map(|line| line.split_whitespace())
        .map(|name| format!("+{}", name.trim_start_matches("CAP_").to_lowercase()))
        .collect();
    let bounding = format!("-all,{}", capabilities.join(","));
    let wrapper = ["setpriv", "--no-new-privs", "--bounding-set", &bounding];
    let told = watched(&room, &wrapper)?;
    let held = told.first().context("no alert")?["details"]["holds"].to_string();
    ensure!(held.contains("the write end of pipe:["), "{held}");
    Ok(())
}

#[test]
fn what_it_does_is_what_its_filters_allow() -> Result<()> {
    let room = Room::without_kernel()?;
    let log = room.path("strace").display().to_string();
    watched(&room, &["strace", "-f", "-qq", "-o", &log])?;
    let (allowed, mut refused) = (allowed(&room)?, BTreeSet::new());
    let families = setting("RestrictAddressFamilies")?.join(" ");
    let families: BTreeSet<&str> = families.split_whitespace().collect();
    let text = fs::read_to_string(&log)?;
    let mut calls = 0;
    for line in text.lines() {
        let Some((_, call)) = line.split_once(' ') else {
            continue;
        };
        let Some((name, rest)) = call.trim_start().split_once('(') else {
            continue;
        };
        if !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            continue;
        }
        calls += 1;
        if !allowed.contains(name) {
            refused.insert(name.to_owned());
        }
        if matches!(name, "socket" | "socketpair") {
            let family = rest.split(',').next().unwrap_or_default();
            ensure!(families.contains(family), "RestrictAddressFamilies: {line}");
        }
        let maps = matches!(name, "mmap" | "mprotect" | "pkey_mprotect");
        let both = rest.contains("PROT_WRITE") && rest.contains("PROT_EXEC");
        ensure!(!(maps && both), "MemoryDenyWriteExecute: {line}");
        ensure!(!rest.contains("CLONE_NEW"), "RestrictNamespaces: {line}");
    }
    ensure!(calls > 1000, "strace saw {calls} calls only");
    ensure!(refused.is_empty(), "SystemCallFilter allows no {refused:?}");
    Ok(())
}

#[test]
fn systemd_has_nothing_to_say_about_it() -> Result<()> {
    let room = Room::without_kernel()?;
    let analyze = need::program("systemd-analyze", "systemd")?;
    // It asks for the program as well, wherever that will be installed.
    let unit = fs::read_to_string(unit_file())?;
    let program = place::text(&place::tracer()?)?;
    let unit = unit.replace("/usr/bin/tracer", &program);
    let file = room.path("tracer-watch.service");
    fs::write(&file, unit)?;
    let said = room
        .program(&analyze)
        .args(["--no-pager", "verify"])
        .arg(&file);
    let said = said.finish(PATIENCE)?.expect_code(0)?;
    ensure!(said.stderr.is_empty() && said.stdout.is_empty(), "{said:?}");
    // 0 is closed, 10 is open; 30 stands for 3.0.
    let limit = ["--no-pager", "security", "--offline=true", "--threshold=30"];
    let said = room
        .program(&analyze)
        .args(limit)
        .arg(&file)
        .finish(PATIENCE)?;
    said.expect_code(0)?;
    Ok(())
}
