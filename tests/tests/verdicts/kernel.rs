//! Faults, limits and timers: what the kernel sends.

use anyhow::{Context as _, Result, ensure};
use tracer_tests::room::Room;
use tracer_tests::verdict::{Expected, again_and_again, by_timer};
use tracer_tests::wait::PATIENCE;

use super::{mortal, run};

#[test]
fn faults_are_its_own_and_say_what_was_wrong() -> Result<()> {
    for (act, number, signal, words) in [
        ("nowhere", 11, "SIGSEGV", "an address that is not mapped"),
        (
            "beyond",
            11,
            "SIGSEGV",
            "an address that no pointer can hold",
        ),
        ("cut", 7, "SIGBUS", "memory that nothing stands behind"),
        (
            "instruction",
            4,
            "SIGILL",
            "an instruction that the processor refuses",
        ),
        ("divide", 8, "SIGFPE", "an integer divided by zero"),
        ("trap", 5, "SIGTRAP", "a breakpoint"),
        ("abort", 6, "SIGABRT", "it gave up"),
        ("forbidden", 31, "SIGSYS", "seccomp filter"),
    ] {
        again_and_again(act, || {
            let room = Room::new()?;
            let session = mortal(&room, &[act], 128 + number)?;
            let said = format!("{signal} in mortal");
            Expected::killed(signal, "fault", "self", &[&said, words]).of(&session)
        })?;
    }
    Ok(())
}

#[test]
fn a_core_is_told_with_where_it_went_when_that_can_be_known() -> Result<()> {
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern")?;
    for (act, number, signal) in [
        ("nowhere", 11, "SIGSEGV"),
        ("cut", 7, "SIGBUS"),
        ("instruction", 4, "SIGILL"),
        ("divide", 8, "SIGFPE"),
        ("abort", 6, "SIGABRT"),
    ] {
        for (limit, dumps) in [("unlimited", true), ("0", false)] {
            again_and_again(&format!("{act}, core limit {limit}"), || {
                let room = Room::new()?;
                let folder = room.path("here");
                std::fs::create_dir(&folder)?;
                let text = format!("ulimit -c {limit}; exec \"$0\" {act}");
                let launch = run(&room)?.command(["bash", "-c", &text]);
                let mut launch = launch.arg(tracer_tests::place::fixture("mortal")?);
                launch.raw().current_dir(&folder);
                launch.finish(PATIENCE)?.expect_code(128 + number)?;
                let session = room.session()?;
                let said = format!("{signal} in mortal");
                Expected::killed(signal, "fault", "self", &[&said]).of(&session)?;
                let verdict = &session.summary["verdict"];
                ensure!(verdict["core_dumped"] == dumps, "{verdict}");
                let sentence = verdict["sentence"].as_str().context("no sentence")?;
                ensure!(sentence.contains("(core dumped)") == dumps, "{sentence}");
                if dumps && !pattern.starts_with(['/', '|']) {
                    let at = format!("; the core is in {}/", folder.display());
                    ensure!(sentence.contains(&at), "{at} in {sentence}");
                }
                Ok(())
            })?;
        }
    }
    Ok(())
}

#[test]
fn a_write_that_nobody_reads_is_told_as_such() -> Result<()> {
    again_and_again("a broken pipe", || {
        let room = Room::new()?;
        let session = mortal(&room, &["pipe"], 141)?;
        let words = ["killed by SIGPIPE: it wrote to a pipe or socket that nobody reads"];
        Expected::killed("SIGPIPE", "killed", "kernel", &words).of(&session)
    })?;
    again_and_again("kill -PIPE is no broken pipe", || {
        let room = Room::new()?;
        let session = super::shell(&room, &[], "kill -PIPE $$", 141)?;
        let words = ["killed by SIGPIPE from itself"];
        Expected::killed("SIGPIPE", "killed", "self", &words).of(&session)
    })?;
    again_and_again("a pipeline", || {
        let room = Room::new()?;
        let launch = run(&room)?.args(["--expect", "yes"]);
        let launch = launch.command(["bash", "-c", "set -o pipefail; yes | head -1"]);
        launch.finish(PATIENCE)?.expect_code(141)?;
        let words = ["killed by SIGPIPE: it wrote to a pipe"];
        Expected::killed("SIGPIPE", "killed", "kernel", &words).of(&room.session()?)
    })
}

#[test]
fn limits_and_timers_are_named() -> Result<()> {
    again_and_again("SIGXCPU", || {
        let room = Room::new()?;
        let session = mortal(&room, &["cpu-soft"], 152)?;
        Expected::killed("SIGXCPU", "killed", "kernel", &["RLIMIT_CPU"]).of(&session)
    })?;
    again_and_again("the hard limit", || {
        let room = Room::new()?;
        let session = mortal(&room, &["cpu-hard"], 137)?;
        let words = ["killed by SIGKILL: it reached its limit of 1 s of CPU time"];
        Expected::killed("SIGKILL", "killed", "kernel", &words).of(&session)
    })?;
    again_and_again("SIGXFSZ", || {
        let room = Room::new()?;
        let file = room.path("file");
        let session = mortal(&room, &["file-size", &file.to_string_lossy()], 153)?;
        Expected::killed("SIGXFSZ", "killed", "kernel", &["RLIMIT_FSIZE"]).of(&session)
    })?;
    again_and_again("RLIMIT_RTTIME, announced to deaf ears", || {
        let room = Room::new()?;
        let session = mortal(&room, &["real-time"], 137)?;
        let expected = Expected::killed("SIGKILL", "killed", "kernel", &["RLIMIT_RTTIME"]);
        expected.likely().of(&session)
    })?;
    let seen = Expected::killed("SIGALRM", "killed", "kernel", &["a timer of its own"]);
    let unseen = Expected {
        cause: "unknown",
        confidence: "unknown",
        relation: "",
        words: &["which nobody was seen to send"],
        ..seen
    };
    by_timer("SIGALRM", "SIGALRM", [seen, unseen], || {
        mortal(&Room::new()?, &["alarm"], 142)
    })
}

#[test]
fn a_program_cannot_pretend_to_be_the_kernel() -> Result<()> {
    // A kill by the kernel, a key, a hang-up, a write to a broken pipe: all by itself, as it happens.
    for (signal, code, name) in [
        (9, 0x80, "SIGKILL"),
        (2, 0x80, "SIGINT"),
        (1, 0x80, "SIGHUP"),
        (24, 0x80, "SIGXCPU"),
    ] {
        again_and_again(name, || {
            let room = Room::new()?;
            let (number, code) = (signal.to_string(), code.to_string());
            let session = mortal(&room, &["pretend", &number, &code], 128 + signal)?;
            Expected::killed(name, "killed", "self", &["from itself"]).of(&session)
        })?;
    }
    Ok(())
}
