//! Exit codes of 128 and more: chosen, or passed up from where a signal really ended something.

use anyhow::{Context as _, Result, ensure};
use tracer_tests::room::Room;
use tracer_tests::verdict::{Expected, again_and_again, on};

use super::{mortal, run, shell};
use tracer_tests::wait::PATIENCE;

#[test]
fn a_code_that_was_chosen_is_told_so() -> Result<()> {
    again_and_again("exit 137", || {
        let room = Room::new()?;
        let session = mortal(&room, &["exit", "137"], 137)?;
        let words = ["exited 137 by choice: no process of the tree was killed"];
        Expected::killed("", "error_exit", "", &words).of(&session)
    })
}

#[test]
fn a_code_that_was_passed_up_leads_to_the_place() -> Result<()> {
    for text in [
        // 128 + n by the shell itself, by a chain of them, and under set -e.
        "bash -c 'kill -9 $$'; exit $?",
        "sh -c 'bash -c \"kill -9 \\$\\$\"; exit $?'; exit $?",
        "set -e; bash -ec 'bash -c \"kill -9 \\$\\$\"; echo never'; echo never",
        "bash -c 'kill -9 $$' | cat; exit ${PIPESTATUS[0]}",
    ] {
        again_and_again(text, || {
            let room = Room::new()?;
            // The outermost one is the workload.
            let session = shell(&room, &[], text, 137)?;
            let root = session.root()?;
            let verdict = on(&room, &session, root)?;
            ensure!(verdict["outcome"] == "exited", "{verdict}");
            let killed = session
                .of_kind("exit")
                .find(|exit| exit.text("signal") == "SIGKILL")
                .context("nobody was killed")?;
            let (pid, seq) = (killed.small("pid")?, killed.seq);
            let words = format!("137 came from bash (pid {pid}), killed by SIGKILL from itself");
            let words = [words.as_str(), "only passed it on"];
            Expected::killed("", "error_exit", "self", &words)
                .likely()
                .check(&verdict, &session)?;
            ensure!(verdict["origin"]["pid"] == pid, "{verdict}");
            ensure!(verdict["origin"]["signal"] == "SIGKILL", "{verdict}");
            let evidence = verdict["evidence"].as_array().context("no evidence")?;
            ensure!(evidence.iter().any(|record| *record == seq), "{verdict}");
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn what_python_makes_of_a_childs_end_leads_there_too() -> Result<()> {
    let python = tracer_tests::need::program("python3", "python3")?;
    again_and_again("sys.exit(-9)", || {
        let room = Room::new()?;
        let text = "import subprocess, sys; \
                    sys.exit(subprocess.call(['bash', '-c', 'kill -9 $$']))";
        let launch = run(&room)?
            .args(["--expect", "bash"])
            .arg("--")
            .arg(&python);
        launch
            .args(["-c", text])
            .finish(PATIENCE)?
            .expect_code(247)?;
        let session = room.session()?;
        let words = ["247 came from bash (pid ", "killed by SIGKILL from itself"];
        let verdict = on(&room, &session, session.root()?)?;
        let expected = Expected::killed("", "error_exit", "self", &words).likely();
        expected.check(&verdict, &session)
    })
}

#[test]
fn three_wrappers_lead_to_the_one_place() -> Result<()> {
    again_and_again("env, sh and timeout around it", || {
        let room = Room::new()?;
        let inner = "sh -c 'timeout 60 \"$0\" wait & \
                     while ! grep -q ready \"$TRUTH_LOG\" 2>/dev/null; do sleep 0.01; done; \
                     pkill -KILL -P $!; wait $!; exit $?' \"$0\"; exit $?";
        let launch = run(&room)?
            .args(["--expect", "mortal"])
            .command(["env", "A=b", "bash", "-c", inner]);
        let launch = launch.arg(tracer_tests::place::fixture("mortal")?);
        launch.finish(PATIENCE)?.expect_code(137)?;
        let session = room.session()?;
        let workload = session.workload()?;
        let words = ["killed by SIGKILL from pkill (pid "];
        Expected::killed("SIGKILL", "killed", "sibling", &words).of(&session)?;
        let verdict = on(&room, &session, session.root()?)?;
        ensure!(verdict["origin"]["pid"] == workload, "{verdict:#}");
        ensure!(verdict["killer"]["comm"] == "pkill", "{verdict:#}");
        let via = verdict["origin"]["passed_on_by"]
            .as_array()
            .context("no list")?;
        ensure!(via.len() >= 2, "{verdict:#}");
        Ok(())
    })
}

#[test]
fn bash_that_kills_itself_is_its_own_killer() -> Result<()> {
    again_and_again("bash -c 'kill -9 $$'", || {
        let room = Room::new()?;
        let session = shell(&room, &[], "kill -9 $$", 137)?;
        let words = ["bash (pid ", "killed by SIGKILL from itself"];
        Expected::killed("SIGKILL", "killed", "self", &words).of(&session)
    })
}
