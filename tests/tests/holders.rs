//! `tracer holders`: why something does not end.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tracer_tests::pty::Pty;
use tracer_tests::room::Room;
use tracer_tests::wait::{PATIENCE, wait_for};
use tracer_tests::{need, place, sys};

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
    sleep.signal(Signal::KILL)?;
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

/// What a tracer says of a file or a process, as a person reads it.
fn said(room: &Room, what: &str) -> Result<String> {
    let launch = room.program(place::tracer()?).args(["holders", what]);
    Ok(String::from_utf8(launch.finish(PATIENCE)?.stdout)?)
}

/// Waits until it says all of these, each in one line.
fn says(room: &Room, what: &str, words: &[&str]) -> Result<()> {
    let mut last = String::new();
    let found = wait_for(&format!("{words:?}"), PATIENCE, || {
        last = said(room, what)?;
        Ok(words.iter().all(|word| last.contains(word)).then_some(()))
    });
    found.with_context(|| last)
}

#[test]
fn whoever_has_a_lock_by_now_is_named_and_whoever_waits_for_it() -> Result<()> {
    let room = Room::without_kernel()?;
    let file = room.path("locked");
    std::fs::write(&file, "")?;
    let path = place::text(&file)?;
    // Who took it is killed; what it ran has the description, and so the lock.
    let took = room.program("flock").arg(&file).args(["sh", "-c"]);
    let took = took.args(["echo $$; exec sleep 350"]).spawn()?;
    let third = wait_for("the lock", PATIENCE, || {
        Ok(took.stdout().strip_suffix('\n').map(str::to_owned))
    })?;
    let ends = Ends(third.parse()?);
    took.signal(Signal::KILL)?;
    took.finish(PATIENCE)?;
    let second = room.program("flock").arg(&file).arg("true").spawn()?;
    let (has, wants) = (
        format!("sleep (pid {third})"),
        format!("flock (pid {})", second.pid()),
    );
    says(
        &room,
        &path,
        &[
            &has,
            "exclusive flock lock",
            &wants,
            "waiting for a flock lock",
        ],
    )?;
    let wish = format!("waits for the flock lock on {path}, which {has} has");
    says(&room, &second.pid().to_string(), &[&wish])?;
    let holds = format!("holds lock: exclusive flock on {path} ({wants} waits for it)");
    says(&room, &third, &[&holds])?;
    drop(ends);
    second.finish(PATIENCE)?.expect_code(0)?;
    Ok(())
}

#[test]
fn locks_of_processes_and_of_descriptions_are_told_apart() -> Result<()> {
    let room = Room::without_kernel()?;
    let file = room.path("locked");
    std::fs::write(&file, "")?;
    let path = place::text(&file)?;
    let script = "import fcntl, struct, sys, time\n\
        posix, description = open(sys.argv[1], 'r+'), open(sys.argv[1], 'r+')\n\
        lock = lambda start: struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, start, 1, 0)\n\
        fcntl.fcntl(posix, fcntl.F_SETLK, lock(0))\n\
        fcntl.fcntl(description, 37, lock(10))\n\
        time.sleep(351)\n";
    let python = room
        .program("python3")
        .args(["-c", script])
        .arg(&file)
        .spawn()?;
    let name = format!("python3 (pid {})", python.pid());
    let both = ["exclusive POSIX lock", "exclusive OFD lock"];
    says(&room, &path, &[&name, both[0], both[1]])?;
    for kind in ["POSIX", "OFD"] {
        let holds = format!("holds lock: exclusive {kind} on {path}");
        says(&room, &python.pid().to_string(), &[&holds])?;
    }
    Ok(())
}

/// A process of the test's that nobody else waits for; killed when dropped.
struct Ends(i32);

impl Drop for Ends {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.0) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// A file system in memory, until dropped.
struct Mounted(CString);

impl Mounted {
    fn at(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path)?;
        let at = CString::new(place::text(path)?)?;
        sys::mount(c"tmpfs", &at, c"tmpfs", 0)?;
        Ok(Self(at))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = sys::unmount(&self.0);
    }
}

/// A program that anybody can load: the C library of this test.
fn library() -> Result<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let mut paths = maps
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5));
    let path = paths.find(|path| path.contains("libgcc_s") || path.contains("libm.so"));
    Ok(path.context("a library to load")?.into())
}

#[test]
fn who_keeps_a_mount_from_being_unmounted_is_named_and_nobody_else() -> Result<()> {
    let room = Room::without_kernel()?;
    let busybox = need::program("busybox", "busybox-static")?;
    let at = room.path("mnt");
    let mounted = Mounted::at(&at)?;
    let copy = room.path("copy");
    std::fs::create_dir(&copy)?;
    std::fs::create_dir(at.join("sub"))?;
    std::fs::copy(busybox, at.join("busybox"))?;
    std::fs::copy(library()?, at.join("library"))?;
    std::fs::write(at.join("file"), "")?;
    // The same file system, another mount: whoever is there is in nobody's way here.
    let bound = room.program("mount").arg("--bind").args([&at, &copy]);
    bound.finish(PATIENCE)?.expect_code(0)?;
    let bound = Mounted(CString::new(place::text(&copy)?)?);

    let sleep = || room.program("sleep").arg("352");
    let mut there = sleep();
    there.raw().current_dir(at.join("sub"));
    let mut elsewhere = sleep();
    elsewhere.raw().current_dir(copy.join("sub"));
    let elsewhere = elsewhere.spawn()?;
    let open = std::fs::OpenOptions::new()
        .write(true)
        .open(at.join("file"))?;
    let enclosed = room.program("chroot").arg(&at);
    let top = place::text(&at)?;
    let kept = [
        (there, format!("its working directory {top}/sub")),
        (
            room.program(at.join("busybox")).args(["sleep", "352"]),
            format!("its program {top}/busybox"),
        ),
        (
            sleep().stdio(1, open.into()),
            format!("descriptor 1 (writing) {top}/file"),
        ),
        (
            sleep().env("LD_PRELOAD", at.join("library")),
            format!("{top}/library in its memory"),
        ),
        (
            enclosed.args(["/busybox", "sleep", "352"]),
            format!("its root directory {top}"),
        ),
    ];
    let mut running = Vec::new();
    for (launch, how) in kept {
        let one = launch.spawn()?;
        says(&room, &top, &[&format!("(pid {})", one.pid()), &how])?;
        running.push(one);
    }
    let below = Mounted::at(&at.join("below"))?;
    says(&room, &top, &[&format!("{top}/below is mounted on it")])?;
    drop(below);
    let told = holders(&room, &top)?;
    let told: BTreeSet<i64> = told["holders"]
        .as_array()
        .context("holders")?
        .iter()
        .filter_map(|one| one["process"]["pid"].as_i64())
        .collect();
    let wanted: BTreeSet<i64> = running.iter().map(|one| one.pid().into()).collect();
    ensure!(told == wanted, "{told:?} {wanted:?} {}", elsewhere.pid());
    // The kernel's own opinion, until the last of them is gone.
    for one in running {
        let busy = room.program("umount").arg(&at).finish(PATIENCE)?;
        busy.expect_code(32)?.expect_words(&["target is busy"])?;
        one.signal(Signal::KILL)?;
        one.finish(PATIENCE)?;
    }
    ensure!(said(&room, &top)?.contains("nobody that can be seen keeps"));
    room.program("umount")
        .arg(&at)
        .finish(PATIENCE)?
        .expect_code(0)?;
    drop((bound, mounted));
    Ok(())
}

#[test]
fn a_working_directory_on_a_mount_is_something_a_process_holds() -> Result<()> {
    let room = Room::without_kernel()?;
    let at = room.path("a mount");
    let mounted = Mounted::at(&at)?;
    let mut sleep = room.program("sleep").arg("353");
    sleep.raw().current_dir(&at);
    let sleep = sleep.spawn()?;
    let holds = format!("holds mount {} (it is there)", at.display());
    says(&room, &sleep.pid().to_string(), &[&holds])?;
    drop(sleep);
    drop(mounted);
    Ok(())
}
