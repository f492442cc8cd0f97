//! Five kinds of ending, of which no two look alike.

use anyhow::{Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tracer_tests::crash::{end, quiet, recover, waiting};
use tracer_tests::room::Room;
use tracer_tests::wait::PATIENCE;

/// How each of the five is to be told: by the observer's ending and cause, the verdict's outcome and
/// cause, subtype, and completeness. The kernel goes on recording for an observer that is gone, so that the
/// end of its target is known and nothing is missing.
const ENDINGS: [(&str, [&str; 6]); 5] = [
    (
        "clean",
        [
            "completed",
            "the root ended",
            "exited",
            "success",
            "success",
            "complete",
        ],
    ),
    (
        "error",
        [
            "failed",
            "no workload",
            "still_running",
            "unknown",
            "detached",
            "complete",
        ],
    ),
    (
        "target",
        [
            "completed",
            "the root ended",
            "signaled",
            "fault",
            "killed",
            "complete",
        ],
    ),
    (
        "crash",
        [
            "crashed", "SIGSEGV", "signaled", "killed", "crashed", "complete",
        ],
    ),
    (
        "kill",
        [
            "crashed",
            "the observer was killed, or crashed without a word",
            "signaled",
            "killed",
            "crashed",
            "complete",
        ],
    ),
];

/// The same of a summary.
fn seen(summary: &Value) -> [String; 6] {
    let text = |pointer: &str| {
        let value = summary.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or("-").to_owned()
    };
    let cause = text("/observer/cause");
    let cause = cause.split(':').next().unwrap_or_default().to_owned();
    [
        text("/observer/ending"),
        cause,
        text("/verdict/outcome"),
        text("/verdict/cause"),
        text("/subtype"),
        text("/completeness/status"),
    ]
}

#[test]
fn c26_a_clean_end_an_error_a_crash_of_either_and_a_kill_look_different() -> Result<()> {
    let mut endings = Vec::new();

    let room = Room::new()?;
    quiet(room.run()?)
        .command(["true"])
        .finish(PATIENCE)?
        .expect_code(0)?;
    endings.push(("clean", seen(&room.session()?.summary)));

    let room = Room::new()?;
    let idle = tracer_tests::check::started(&room, "idle", &[])?;
    let attach = quiet(room.attach(idle.pid())?);
    let options = ["--expect", "nobody-of-that-name", "--timeout", "100ms"];
    attach.args(options).finish(PATIENCE)?.expect_code(3)?;
    endings.push(("error", seen(&room.session()?.summary)));
    drop(idle);

    let room = Room::new()?;
    let text = "kill -SEGV $$";
    let end_of = quiet(room.run()?)
        .command(["sh", "-c", text])
        .finish(PATIENCE)?;
    end_of.expect_code(139)?;
    endings.push(("target", seen(&room.session()?.summary)));

    for (kind, signal) in [("crash", Signal::SEGV), ("kill", Signal::KILL)] {
        let room = Room::new()?;
        let (tracer, target) = waiting(&room)?;
        tracer.signal(signal)?;
        tracer.finish(PATIENCE)?;
        end(target)?;
        endings.push((kind, seen(&recover(&room)?)));
    }

    for ((kind, found), (_, wanted)) in endings.iter().zip(&ENDINGS) {
        ensure!(found == wanted, "{kind}: {found:?}, {wanted:?} expected");
    }
    for (at, (kind, ending)) in endings.iter().enumerate() {
        let twin = endings[..at].iter().find(|(_, other)| other == ending);
        ensure!(twin.is_none(), "{kind} looks like {twin:?}");
    }
    Ok(())
}
