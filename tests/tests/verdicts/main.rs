//! How endings are told, on the running kernel: each case for real, each time the same verdict.

#![expect(
    clippy::similar_names,
    reason = "a room and the root in it are what these tests are about"
)]

mod codes;
mod doubt;
mod handled;
mod kernel;
mod memory;
mod queue;
mod sent;
mod terminal;
mod told;

use anyhow::Result;
use tracer_tests::check::until_noted;
use tracer_tests::launch::{Launch, Running};
use tracer_tests::place;
use tracer_tests::room::Room;
use tracer_tests::session::Session;
use tracer_tests::wait::PATIENCE;

/// `tracer run`, quiet, and only if it can trace.
fn run(room: &Room) -> Result<Launch> {
    Ok(room.run()?.args(["-q", "--require-trace"]))
}

/// Runs the fixture `mortal` under tracer to its end.
fn mortal(room: &Room, args: &[&str], code: i32) -> Result<Session> {
    let launch = run(room)?.observe("mortal", args)?;
    launch.finish(PATIENCE)?.expect_code(code)?;
    room.session()
}

/// Starts `mortal` under tracer; gives tracer and the pid of `mortal` once it is ready.
fn waiting(room: &Room, args: &[&str]) -> Result<(Running, i32)> {
    let tracer = run(room)?.observe("mortal", args)?.spawn()?;
    let pid = until_noted(room, "ready")?.parse()?;
    Ok((tracer, pid))
}

/// Runs a shell text under tracer. `$0` is the fixture `mortal`.
fn shell(room: &Room, options: &[&str], text: &str, code: i32) -> Result<Session> {
    let launch = run(room)?.args(options).command(["bash", "-c", text]);
    let launch = launch.arg(place::fixture("mortal")?);
    launch.finish(PATIENCE)?.expect_code(code)?;
    room.session()
}
