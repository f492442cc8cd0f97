//! Sessions on a file system in user space, whose server has its own ideas of links, may stop to answer,
//! and may die.

use std::os::unix::fs::MetadataExt as _;

use anyhow::{Result, ensure};
use rustix::process::Signal;
use tracer_tests::check::until_armed;
use tracer_tests::launch::Running;
use tracer_tests::need;
use tracer_tests::room::Room;
use tracer_tests::wait::{PATIENCE, wait_for};

/// Serves the room's state directory out of another one.
fn serve(room: &Room) -> Result<Running> {
    let bindfs = need::program("bindfs", "bindfs")?;
    let (real, state) = (room.path("real"), room.state());
    std::fs::create_dir(&real)?;
    std::fs::create_dir_all(&state)?;
    let device = std::fs::metadata(&state)?.dev();
    let server = room.program(bindfs).arg("-f").args([real, state]).spawn()?;
    wait_for("the mount", PATIENCE, || {
        ensure!(!server.has_ended()?, "{}", server.stderr());
        let is_mounted = std::fs::metadata(room.state()).is_ok_and(|now| now.dev() != device);
        Ok(is_mounted.then_some(()))
    })?;
    Ok(server)
}

/// Takes the mount away, and its server with it.
fn stop_serving(room: &Room, server: Running) -> Result<()> {
    server.signal(Signal::TERM)?;
    server.finish(PATIENCE)?;
    ensure!(room.state().exists());
    Ok(())
}

/// A command that goes on when it is told to, makes processes, and says when it is through.
fn command(room: &Room) -> [String; 3] {
    let (go, done) = (room.path("go"), room.path("done"));
    let script = format!(
        "while [ ! -e {go} ]; do /bin/true; done; i=0; while [ $i -lt 500 ]; do /bin/true; i=$((i+1)); done; \
         echo through; : > {done}; exit 7",
        go = go.display(),
        done = done.display()
    );
    ["sh".to_owned(), "-c".to_owned(), script]
}

fn go_on(room: &Room) -> Result<()> {
    std::fs::write(room.path("go"), "")?;
    wait_for("the command to get through", PATIENCE, || {
        Ok(room.path("done").exists().then_some(()))
    })
}

#[test]
fn a_session_there_is_running_to_everybody_and_then_whole() -> Result<()> {
    let room = Room::new()?;
    let server = serve(&room)?;
    let tracer = room.run()?.command(command(&room)).spawn()?;
    until_armed(&room, &tracer)?;
    let listed = room.tracer("sessions")?.arg("list").arg("--json").spawn()?;
    let listed = listed.finish(PATIENCE)?.expect_code(0)?;
    let listed = String::from_utf8(listed.stdout)?;
    ensure!(listed.contains("running"), "{listed}");
    // Whoever looks for crashed sessions leaves it to its observer.
    let recovery = room.tracer("recover")?.spawn()?.finish(PATIENCE)?;
    let found = String::from_utf8(recovery.expect_code(0)?.stdout)?;
    ensure!(found.contains("1 running"), "{found}");
    go_on(&room)?;
    tracer.finish(PATIENCE)?.expect_code(7)?;
    let session = room.session()?;
    session.expect_complete()?;
    let id = session.summary["session_id"].to_string();
    let id = id.trim_matches('"');
    let verify = room.tracer("sessions")?.args(["verify", id]).spawn()?;
    verify.finish(PATIENCE)?.expect_code(0)?;
    let removal = room.tracer("sessions")?.args(["rm", id]).spawn()?;
    removal.finish(PATIENCE)?.expect_code(0)?;
    ensure!(room.session_folders()?.is_empty());
    stop_serving(&room, server)
}

#[test]
fn a_server_that_does_not_answer_for_a_while_holds_up_nothing_but_the_record() -> Result<()> {
    let room = Room::new()?;
    let server = serve(&room)?;
    let tracer = room.run()?.command(command(&room)).spawn()?;
    until_armed(&room, &tracer)?;
    server.signal(Signal::STOP)?;
    go_on(&room)?;
    wait_for("a word about the disk", PATIENCE, || {
        Ok(tracer.stderr().contains("does not answer").then_some(()))
    })?;
    let stdout = tracer.stdout();
    ensure!(stdout == "through\n", "{stdout}");
    server.signal(Signal::CONT)?;
    let ended = tracer.finish(PATIENCE)?.expect_code(7)?;
    let words = ended.stderr.matches("the command goes on").count();
    ensure!(words == 1, "{}", ended.stderr);
    // Ended late, or found without an end and given one.
    let recovery = room.tracer("recover")?.spawn()?;
    recovery.finish(PATIENCE)?.expect_code(0)?;
    let session = room.session()?;
    let ended = session.exit_of(session.root()?)?;
    ensure!(ended.int("exit_code")? == 7, "{}", ended.value);
    stop_serving(&room, server)
}

#[test]
fn a_server_that_dies_costs_the_record_and_not_the_command() -> Result<()> {
    let room = Room::new()?;
    let server = serve(&room)?;
    let tracer = room.run()?.command(command(&room)).spawn()?;
    until_armed(&room, &tracer)?;
    server.signal(Signal::KILL)?;
    server.finish(PATIENCE)?;
    go_on(&room)?;
    let ended = tracer.finish(PATIENCE)?.expect_code(7)?;
    ensure!(ended.stdout == b"through\n", "{ended:?}");
    let words = ended.stderr.matches("the command goes on").count();
    ensure!(words == 1, "{}", ended.stderr);
    Ok(())
}
