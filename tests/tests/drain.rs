//! The end of a terminal of tracer's: all output is shown, and who holds the terminal is named.

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tracer_tests::ended::expect_nobody_left;
use tracer_tests::launch::Launch;
use tracer_tests::pty::Pty;
use tracer_tests::room::Room;
use tracer_tests::wait::PATIENCE;

fn with_pty(room: &Room) -> Result<Launch> {
    Ok(room.run()?.args(["--require-trace", "--pty"]))
}

/// Starts a `sleep` that outlives its shell and holds the terminal.
fn held(sleep: &str) -> Result<()> {
    let text = format!(
        "trap '' HUP; {sleep} & while [ \"$(cat /proc/$!/comm)\" != sleep ]; do sleep 0.01; done; \
         echo last words"
    );
    let room = Room::new()?;
    let mut pty = Pty::new(24, 200)?;
    let tracer = pty.spawn(with_pty(&room)?.command(["bash", "-c", &text]))?;
    let shown = pty.watch_to_end(&tracer, PATIENCE)?;
    tracer.finish(PATIENCE)?.expect_code(0)?;
    let session = room.session()?;
    let left = session.summary["leftovers"]
        .as_array()
        .context("no leftovers")?;
    ensure!(left.len() == 1, "{left:#?}");
    let pid = left[0]["pid"].as_i64().context("no pid")?;
    let pid = Pid::from_raw(i32::try_from(pid)?).context("pid 0")?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty());
    if let Ok(pidfd) = pidfd {
        let _ = pidfd_send_signal(pidfd, Signal::KILL);
    }
    ensure!(
        left[0]["holds"] == serde_json::json!(["terminal"]),
        "{left:#?}"
    );
    ensure!(shown.contains("last words"), "{shown}");
    ensure!(shown.contains("still holds the terminal"), "{shown}");
    Ok(())
}

#[test]
fn whoever_keeps_the_terminal_open_is_named_and_not_waited_for() -> Result<()> {
    held("sleep 307")
}

#[test]
fn a_terminal_opened_by_its_other_name_is_held_just_the_same() -> Result<()> {
    held("sleep 308 </dev/null 3</dev/tty >/dev/null 2>&1")
}

#[test]
fn a_leftover_that_never_stops_talking_does_not_hold_up_the_run() -> Result<()> {
    let room = Room::new()?;
    let mut pty = Pty::new(24, 80)?;
    let text = "trap '' HUP; yes & echo begun; exit 4";
    let launch = with_pty(&room)?.args(["-q", "--end-leftovers"]);
    let tracer = pty.spawn(launch.command(["bash", "-c", text]))?;
    pty.watch_to_end(&tracer, PATIENCE)?;
    tracer.finish(PATIENCE)?.expect_code(4)?;
    expect_nobody_left(&room.session()?)
}

#[test]
fn what_a_leftover_says_while_it_is_ended_is_shown() -> Result<()> {
    let room = Room::new()?;
    let mut pty = Pty::new(24, 80)?;
    let ready = room.path("ready");
    let text = "trap '' HUP; (trap 'echo and so goodbye; exit' TERM; : > \"$0\"; while :; do sleep 0.05; done) &
                while ! [ -e \"$0\" ]; do sleep 0.01; done; exit 4";
    let launch = with_pty(&room)?.args(["-q", "--end-leftovers", "--kill-after", "1h"]);
    let tracer = pty.spawn(launch.command(["bash", "-c", text]).arg(&ready))?;
    let shown = pty.watch_to_end(&tracer, PATIENCE)?;
    tracer.finish(PATIENCE)?.expect_code(4)?;
    ensure!(shown.contains("and so goodbye"), "{shown}");
    expect_nobody_left(&room.session()?)
}
