//! Real processes of the kinds that are left behind, and what is told of each.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tracer_tests::launch::Running;
use tracer_tests::place;
use tracer_tests::room::Room;
use tracer_tests::wait::{PATIENCE, wait_for};
use tracer_tests::{proc, pypi, sys};

use crate::scene::{Sleeper, alert_of, mark, plain, told, watch};

/// Waits for what a process writes into a file of the room: its pid.
fn pid_in(room: &Room, name: &str) -> Result<i32> {
    let file = room.path(name);
    wait_for(name, PATIENCE, || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let pid = text.strip_suffix('\n').map(str::parse);
        Ok(pid.transpose()?)
    })
}

fn end(watching: Running) -> Result<()> {
    watching.signal(Signal::TERM)?;
    watching.finish(PATIENCE)?.expect_code(0)?;
    Ok(())
}

fn says(text: &str, words: &[&str]) -> Result<()> {
    for word in words {
        ensure!(text.contains(word), "{word:?} is not in: {text}");
    }
    Ok(())
}

fn kill(pid: i32) -> Result<()> {
    let pid = rustix::process::Pid::from_raw(pid).context("pid 0")?;
    Ok(rustix::process::kill_process(pid, Signal::KILL)?)
}

#[test]
fn pytest_itself_under_an_agent_that_was_killed() -> Result<()> {
    let pytest = pypi::pytest()?;
    let room = Room::new()?;
    let (list, file) = (room.path("pid"), room.path("test_forever.py"));
    let source = format!(
        "import os, time\ndef test_forever():\n    with open({list:?}, 'w') as file:\n        \
         file.write(f'{{os.getpid()}}\\n')\n    while True:\n        time.sleep(1)\n"
    );
    std::fs::write(&file, source)?;
    // A tool call of the agent; the agent is killed while it runs.
    let agent = "(\"$0\" -q -p no:cacheprovider \"$1\" >/dev/null 2>&1; true) & \
                 while [ ! -s \"$2\" ]; do sleep 0.01; done; kill -KILL $$";
    let launch = room.run()?.args(["--require-trace", "-q"]);
    let launch = launch.args(["--label", "agent=a7"]);
    let launch = launch.command(["bash", "-c", agent]).arg(&pytest);
    launch
        .arg(&file)
        .arg(&list)
        .finish(PATIENCE)?
        .expect_code(137)?;
    let pid = pid_in(&room, "pid")?;
    // As it comes: the pattern of who says nothing.
    let watching = plain(&room)?.args(["--age-min", "0"]).spawn()?;
    let news = told(&watching, pid, &["alert"])?;
    ensure!(news[0]["labels"]["pattern"] == "pytest", "{news:#?}");
    ensure!(news[0]["labels"]["session_agent"] == "a7", "{news:#?}");
    let session = news[0]["labels"]["session"].as_str().context("a session")?;
    let text = news[0]["text"].as_str().context("a text")?;
    let by = format!("session {session} left it behind");
    says(
        text,
        &[
            "test_forever.py",
            &by,
            &format!("tracer reap --session {session} --yes"),
        ],
    )?;
    // As the text says, word for word.
    let reap = room.tracer("reap")?.args(["--session", session, "--yes"]);
    reap.stdio(0, Stdio::null())
        .finish(PATIENCE)?
        .expect_code(0)?;
    told(&watching, pid, &["alert", "recovery"])?;
    ensure!(proc::state(pid).is_none_or(|state| state == 'Z'));
    end(watching)
}

#[test]
fn a_daemon_that_forked_twice_with_its_port() -> Result<()> {
    let room = Room::without_kernel()?;
    let socket = TcpListener::bind("127.0.0.1:0")?;
    let port = socket.local_addr()?.port().to_string();
    let name = mark("daemon");
    // What a shell starts behind itself has no standard input of the shell's any more.
    let text = format!(
        "exec 5<&0; (setsid bash -c 'echo $$ > \"$0\"; exec -a \"$1\" sleep 340' \"$0\" '{name}' \
         >/dev/null 2>&1 &)"
    );
    let mut shell = room.program("bash").args(["-c", &text]);
    shell.raw().arg(room.path("pid"));
    let shell = shell.stdio(0, OwnedFd::from(socket).into());
    shell.finish(PATIENCE)?.expect_code(0)?;
    let pid = pid_in(&room, "pid")?;
    let watching = watch(&room, "daemon")?.spawn()?;
    let text = alert_of(&watching, pid);
    kill(pid)?;
    says(
        &text?,
        &[
            &format!("port {port}"),
            &name,
            "whoever started it has ended",
        ],
    )?;
    told(&watching, pid, &["alert", "recovery"])?;
    end(watching)
}

#[test]
fn a_shell_that_holds_the_pipe_somebody_reads() -> Result<()> {
    let room = Room::without_kernel()?;
    let (read, write) = std::io::pipe()?;
    let mut reader = Command::new("cat")
        .stdin(read)
        .stdout(Stdio::null())
        .spawn()?;
    let (asks, _nobody_answers) = std::io::pipe()?;
    let script = format!("read -r line; : {}", mark("shell"));
    let shell = room.program("sh").args(["-c", &script]);
    let shell = shell.stdio(0, OwnedFd::from(asks).into());
    let shell = shell.stdio(1, OwnedFd::from(write).into()).spawn()?;
    wait_for("the reader to wait", PATIENCE, || {
        let at = std::fs::read_to_string(format!("/proc/{}/wchan", reader.id()))?;
        Ok(at.contains("pipe").then_some(()))
    })?;
    let watching = watch(&room, "shell")?.spawn()?;
    let text = alert_of(&watching, shell.pid());
    shell.signal(Signal::KILL)?;
    drop(shell);
    reader.wait()?;
    let waits = format!("cat (pid {}) waits for its end", reader.id());
    says(&text?, &["the write end of pipe:[", &waits])?;
    end(watching)
}

#[test]
fn a_reader_that_waits_for_itself() -> Result<()> {
    let room = Room::without_kernel()?;
    let fifo = room.path("fifo");
    let text = format!(
        "mkfifo '{fifo}'; exec 7<>'{fifo}'; exec -a '{name}' cat <&7 >/dev/null",
        fifo = fifo.display(),
        name = mark("itself")
    );
    let cat = room.program("bash").args(["-c", &text]).spawn()?;
    wait_for("it to wait", PATIENCE, || {
        let at = std::fs::read_to_string(format!("/proc/{}/wchan", cat.pid()))?;
        Ok(at.contains("pipe").then_some(()))
    })?;
    let watching = watch(&room, "itself")?.spawn()?;
    let text = alert_of(&watching, cat.pid())?;
    says(
        &text,
        &[
            "both ends of",
            "waits for an end that only it could bring about",
        ],
    )?;
    end(watching)
}

#[test]
fn one_that_the_kernel_holds_is_told_with_where() -> Result<()> {
    let room = Room::without_kernel()?;
    let fixture = place::fixture_text("dstate")?;
    let list = room.path("pid");
    std::fs::write(&list, "")?;
    let name = mark("dstate");
    let text = "exec -a \"$1\" \"$2\" \"$0\"";
    let launch = room.program("bash").args(["-c", text]).arg(&list);
    let held = launch.args([&name, &fixture]).spawn()?;
    wait_for("D-state", PATIENCE, || {
        Ok((proc::state(held.pid()) == Some('D')).then_some(()))
    })?;
    let watching = watch(&room, "dstate")?.spawn()?;
    let news = told(&watching, held.pid(), &["alert"])?;
    let at = news[0]["details"]["waits_in"].as_str().context("where")?;
    ensure!(!at.is_empty() && news[0]["details"]["state"] == "disk-sleep");
    let text = news[0]["text"].as_str().context("a text")?;
    says(
        text,
        &["disk-sleep", &format!("it waits in the kernel ({at})")],
    )?;
    end(watching)
}

#[test]
fn one_whose_parent_is_a_zombie_with_a_living_thread() -> Result<()> {
    let room = Room::without_kernel()?;
    let name = mark("leaderless");
    let text = "echo $$ > \"$0\"; exec -a \"$1\" sleep 342";
    let launch = room.fixture("mortal")?;
    let launch = launch.args(["leaderless", "bash", "-c", text]);
    let parent = launch.arg(room.path("pid")).arg(&name).spawn()?;
    let pid = pid_in(&room, "pid")?;
    wait_for("its parent's leader to end", PATIENCE, || {
        Ok((proc::thread_state(parent.pid(), parent.pid()) == Some('Z')).then_some(()))
    })?;
    let watching = watch(&room, "leaderless")?.spawn()?;
    let text = alert_of(&watching, pid);
    kill(pid)?;
    says(
        &text?,
        &[&format!("its parent is mortal (pid {})", parent.pid())],
    )?;
    told(&watching, pid, &["alert", "recovery"])?;
    end(watching)
}

#[test]
fn one_that_has_ended_and_that_its_parent_takes_no_note_of() -> Result<()> {
    let room = Room::without_kernel()?;
    let mut sleeper = Sleeper::called("unreaped")?;
    let pid = sleeper.pid()?;
    let watching = watch(&room, "unreaped")?.spawn()?;
    told(&watching, pid, &["alert"])?;
    kill(pid)?;
    let news = told(&watching, pid, &["alert", "recovery"])?;
    // The parent is this test, which does not wait for it yet.
    let own = sys::getpid();
    let text = news[1]["text"].as_str().context("a text")?;
    says(
        text,
        &[
            "it has ended, and ",
            &format!("(pid {own}) has not taken note of it"),
        ],
    )?;
    ensure!(proc::state(pid) == Some('Z'));
    sleeper.end()?;
    end(watching)
}
