//! `tracer holders`: why something does not end.

use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use serde_json::Value;
use tracer_tests::place;
use tracer_tests::pty::Pty;
use tracer_tests::room::Room;
use tracer_tests::wait::{PATIENCE, wait_for};

fn holders(room: &Room, what: &str) -> Result<Value> {
    let launch = room
        .program(place::tracer()?)
        .args(["holders", "--json", what]);
    Ok(serde_json::from_slice(
        &launch.finish(PATIENCE)?.expect_code(0)?.stdout,
    )?)
}

/// What `tracer holders PID` says of the process's pipes.
fn pipes(room: &Room, pid: u32) -> Result<String> {
    let answer = holders(room, &pid.to_string())?;
    let held = answer["holds"].as_array().cloned().unwrap_or_default();
    let texts = held.iter().filter(|held| held["what"] == "pipe");
    let texts: Vec<&str> = texts.filter_map(|held| held["text"].as_str()).collect();
    Ok(texts.join("\n"))
}

#[test]
fn a_reader_that_holds_its_own_write_end_waits_for_itself() -> Result<()> {
    let room = Room::without_kernel()?;
    let fifo = room.path("fifo");
    let fifo = fifo.to_string_lossy();
    let text = format!("mkfifo '{fifo}'; exec 7<>'{fifo}'; exec cat <&7 >/dev/null");
    let mut cat = Command::new("sh")
        .args(["-c", &text])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let said = wait_for("that it waits for itself", PATIENCE, || {
        let said = pipes(&room, cat.id()).unwrap_or_default();
        Ok(said.contains("only it could bring about").then_some(said))
    });
    cat.kill()?;
    cat.wait()?;
    said.map(drop)
}

#[test]
fn who_waits_at_the_other_end_is_named() -> Result<()> {
    let room = Room::without_kernel()?;
    let (read, write) = std::io::pipe()?;
    let mut cat = Command::new("cat")
        .stdin(read)
        .stdout(Stdio::null())
        .spawn()?;
    let mut sleep = Command::new("sleep")
        .arg("330")
        .stdout(write)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let waits = format!("cat (pid {}) waits for its end", cat.id());
    let said = wait_for("who waits", PATIENCE, || {
        Ok(pipes(&room, sleep.id())?.contains(&waits).then_some(()))
    });
    for child in [&mut sleep, &mut cat] {
        child.kill()?;
        child.wait()?;
    }
    said
}

#[test]
fn a_terminal_is_known_by_its_short_name_and_by_its_path() -> Result<()> {
    let room = Room::without_kernel()?;
    let pty = Pty::new(24, 80)?;
    let path = pty.slave_name()?;
    let sleep = pty.spawn(room.program("sleep").arg("331"))?;
    for name in [path.as_str(), path.trim_start_matches("/dev/")] {
        wait_for("the holder", PATIENCE, || {
            let answer = holders(&room, name)?;
            let all = answer["holders"].as_array().cloned().unwrap_or_default();
            let found = all.iter().find(|one| one["process"]["pid"] == sleep.pid());
            Ok(found
                .filter(|one| one["uses"].to_string().contains("controlling terminal"))
                .map(drop))
        })?;
    }
    sleep.signal(rustix::process::Signal::KILL)?;
    sleep.finish(PATIENCE)?;
    Ok(())
}

#[test]
fn a_file_that_nobody_holds_and_one_that_is_not_there() -> Result<()> {
    let room = Room::without_kernel()?;
    let file = room.path("file");
    std::fs::write(&file, "")?;
    let ask = |what: &std::ffi::OsStr| -> Result<tracer_tests::launch::Finished> {
        room.program(place::tracer()?)
            .arg("holders")
            .arg(what)
            .finish(PATIENCE)
    };
    let nobody = ask(file.as_os_str())?.expect_code(1)?;
    ensure!(String::from_utf8_lossy(&nobody.stdout).contains("nobody that can be seen holds"));
    ask(room.path("none").as_os_str())?
        .expect_code(125)?
        .expect_words(&["no file the path"])?;
    let here = Command::new("sleep")
        .arg("332")
        .current_dir(room.path(""))
        .spawn();
    let mut here = here?;
    let said = wait_for("who is there", PATIENCE, || {
        let answer = holders(&room, &room.path("").to_string_lossy())?;
        Ok(answer
            .to_string()
            .contains("its working directory")
            .then_some(()))
    });
    here.kill()?;
    here.wait()?;
    said
}
