//! What hardly ends: zombies of kinds, and what the kernel does not let go.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tracer_tests::launch::Running;
use tracer_tests::room::Room;
use tracer_tests::wait::{PATIENCE, wait_for};
use tracer_tests::{need, place, proc, sys};

use crate::{fate_of, is_there, leave, reap, report};

#[test]
fn one_that_its_parent_takes_no_note_of_has_ended_all_the_same() -> Result<()> {
    let room = Room::new()?;
    // The sleeping parent waits for nobody.
    let text = r#"
        setsid bash -c 'bash -c "echo \$\$ >> \"\$0\"; exec -a unreaped-child sleep 315" "$0" &
            echo $$ >> "$0"; exec sleep 316' "$0" &"#;
    let left = leave(&room, text, 2)?;
    let child = left.iter().find(|&&pid| {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
            let parent = stat
                .rsplit_once(") ")
                .and_then(|(_, rest)| rest.split(' ').nth(1));
            left.iter().any(|other| parent == Some(&other.to_string()))
        })
    });
    let child = *child.context("none is the other's child")?;
    let done = reap(&room, &["--pattern", "^unreaped-child"])?;
    let done = report(&done.finish(PATIENCE)?.expect_code(0)?.stdout)?;
    ensure!(
        fate_of(&done, child).is_some_and(|fate| fate == "terminated"),
        "{done:#}"
    );
    ensure!(proc::state(child) == Some('Z'), "{:?}", proc::state(child));
    let rest = reap(&room, &["--all"])?.finish(PATIENCE)?.expect_code(0)?;
    let rest = report(&rest.stdout)?;
    ensure!(
        fate_of(&rest, child).is_none(),
        "it is ended twice: {rest:#}"
    );
    ensure!(left.iter().all(|&pid| !is_there(pid)));
    Ok(())
}

#[test]
fn one_whose_leader_has_ended_first_is_ended_too() -> Result<()> {
    let room = Room::new()?;
    let fixture = place::fixture_text("mortal")?;
    let text = format!("setsid sh -c 'echo $$ >> \"$0\"; exec '{fixture}' leaderless' \"$0\" &");
    let pid = leave(&room, &text, 1)?[0];
    wait_for("its leader's end", PATIENCE, || {
        Ok((proc::thread_state(pid, pid) == Some('Z')).then_some(()))
    })?;
    let threads = || std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    ensure!(threads() == 2, "nobody is left in it");
    let done = reap(&room, &["--all"])?.finish(PATIENCE)?.expect_code(0)?;
    let done = report(&done.stdout)?;
    ensure!(
        fate_of(&done, pid).is_some_and(|fate| fate == "terminated"),
        "{done:#}"
    );
    ensure!(threads() < 2, "a thread of it lives");
    Ok(())
}

/// A directory that is served by a program, which may be stopped.
struct Served {
    server: Option<Running>,
    at: PathBuf,
}

impl Served {
    fn start(room: &Room, from: &str, at: &str) -> Result<Self> {
        let bindfs = need::program("bindfs", "bindfs")?;
        let at = room.path(at);
        std::fs::create_dir_all(&at)?;
        let device = std::fs::metadata(&at)?.dev();
        let server = room
            .program(bindfs)
            .arg("-f")
            .arg(room.path(from))
            .arg(&at)
            .spawn()?;
        wait_for("the mount", PATIENCE, || {
            ensure!(!server.has_ended()?, "{}", server.stderr());
            let mounted = std::fs::metadata(&at).is_ok_and(|now| now.dev() != device);
            Ok(mounted.then_some(()))
        })?;
        Ok(Self {
            server: Some(server),
            at,
        })
    }

    fn pid(&self) -> Result<i32> {
        Ok(self.server.as_ref().context("it serves no more")?.pid())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        self.server
            .as_ref()
            .context("it serves no more")?
            .signal(signal)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.signal(Signal::CONT);
        if let Ok(at) = CString::new(self.at.as_os_str().as_bytes()) {
            let _ = sys::unmount(&at);
        }
        drop(self.server.take());
    }
}

/// What a server has taken and does not answer is waited for whatever signal comes (`request_wait_answer` in
/// fs/fuse/dev.c): the outer server waits for the inner one, which is stopped.
#[test]
fn one_that_the_kernel_does_not_let_go_lives_on_and_that_is_said() -> Result<()> {
    let room = Room::new()?;
    std::fs::create_dir(room.path("real"))?;
    std::fs::write(room.path("real/file"), "text\n")?;
    let inner = Served::start(&room, "real", "inner")?;
    let outer = Served::start(&room, "inner", "outer")?;
    inner.signal(Signal::STOP)?;
    let text = format!(
        "setsid sh -c 'echo $$ >> \"$0\"; exec cat '{}'' \"$0\" &",
        room.path("outer/file").display()
    );
    let pid = leave(&room, &text, 1)?[0];
    wait_for(
        "it to wait for the outer server, and that for the inner one",
        PATIENCE,
        || {
            let waits = |pid: i32| {
                let tasks = std::fs::read_dir(format!("/proc/{pid}/task"))
                    .into_iter()
                    .flatten();
                let mut at = tasks.filter_map(|task| {
                    std::fs::read_to_string(task.ok()?.path().join("wchan")).ok()
                });
                at.any(|at| at == "request_wait_answer")
            };
            Ok((waits(pid) && waits(outer.pid()?)).then_some(()))
        },
    )?;
    let watching = room.tracer("watch")?.arg("--bpffs").arg(room.path("none"));
    let watching = watching.args(["--enable", "--age-min", "0", "--interval-s", "1"]);
    let watching = watching.args(["--cooldown-s", "1"]).spawn()?;
    wait_for("the alert", PATIENCE, || {
        Ok(watching.stdout().contains("\"alert\"").then_some(()))
    })?;
    let done = reap(&room, &["--all", "--grace", "300ms"])?;
    let done = report(&done.finish(PATIENCE)?.expect_code(1)?.stdout)?;
    let why = fate_of(&done, pid).context("it is not told")?["survived"].clone();
    ensure!(
        why == "it is disk-sleep and SIGKILL has not ended it",
        "{done:#}"
    );
    ensure!(proc::state(pid) == Some('D'), "{:?}", proc::state(pid));
    wait_for("the alert to say where", PATIENCE, || {
        let where_it_is = "it waits in the kernel (request_wait_answer)";
        Ok(watching.stdout().contains(where_it_is).then_some(()))
    })?;
    let told = watching.stdout();
    ensure!(!told.contains("\"recovery\""), "it has not ended: {told}");
    // The signal has been there for long, and now it is taken.
    inner.signal(Signal::CONT)?;
    wait_for("the recovery", PATIENCE, || {
        Ok(watching.stdout().contains("\"recovery\"").then_some(()))
    })?;
    ensure!(!is_there(pid));
    let again = reap(&room, &["--all"])?.finish(PATIENCE)?.expect_code(0)?;
    ensure!(report(&again.stdout)?["reaped"] == Value::Array(vec![]));
    watching.signal(Signal::TERM)?;
    watching.finish(PATIENCE)?.expect_code(0)?;
    Ok(())
}
