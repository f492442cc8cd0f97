//! Where verdicts are told: the same words everywhere, and every cause in the documentation.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tracer_tests::place;
use tracer_tests::room::Room;
use tracer_tests::verdict::again_and_again;
use tracer_tests::wait::PATIENCE;

/// What a sessions subcommand prints about the one session of a room.
fn told(room: &Room, words: &[&str], id: &str) -> Result<String> {
    let end = room.tracer("sessions")?.args(words).arg(id);
    let end = end.finish(PATIENCE)?.expect_code(0)?;
    Ok(String::from_utf8(end.stdout.clone())?)
}

#[test]
fn a_verdict_is_the_same_wherever_it_is_told() -> Result<()> {
    for (text, code) in [
        ("kill -9 $$", 137),
        ("exit 137", 137),
        ("\"$0\" nowhere; exit $?", 139),
        ("exit 0", 0),
    ] {
        again_and_again(text, || {
            let room = Room::new()?;
            let launch = room.run()?.arg("--require-trace");
            let launch = launch.command(["bash", "-c", text]);
            let end = launch.arg(place::fixture("mortal")?).finish(PATIENCE)?;
            let end = end.expect_code(code)?;
            let session = room.session()?;
            let verdict = &session.summary["verdict"];
            let sentence = verdict["sentence"].as_str().context("no sentence")?;
            let id = session.summary["session_id"].as_str().context("no id")?;
            end.expect_words(&[&format!("tracer: {sentence}")])?;
            for words in [["show"].as_slice(), &["why"], &["show", "--json"]] {
                let told = told(&room, words, id)?;
                // In JSON a quotation mark is escaped.
                let plain = told.replace("\\\"", "\"");
                ensure!(
                    plain.contains(sentence),
                    "{sentence}\nnot in {words:?}: {told}"
                );
            }
            let all = tracer_tests::verdict::on_all(&room, &session)?;
            let same = |told: &Value| &told["verdict"] == verdict;
            ensure!(all.iter().any(same), "{verdict:#}\nnot among {all:#?}");
            // Told again from the record alone.
            let id = session.summary["session_id"].as_str().context("no id")?;
            room.tracer("sessions")?
                .args(["rebuild", id])
                .finish(PATIENCE)?
                .expect_code(0)?;
            let again = room.session()?;
            ensure!(
                &again.summary["verdict"] == verdict,
                "{:#}",
                again.summary["verdict"]
            );
            Ok(())
        })?;
    }
    Ok(())
}
