//! `tracer config`, as a user meets it.

use std::fs;

use anyhow::{Result, ensure};
use tracer_tests::{place, room::Room, wait::PATIENCE};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_example_is_right_and_a_mistake_is_named_with_its_file() -> Result<()> {
    let room = Room::without_kernel()?;
    let tracer = place::tracer()?;
    let example = room
        .program(&tracer)
        .args(["config", "example"])
        .finish(PATIENCE)?;
    let example = example.expect_code(0)?;
    let file = room.path("config.toml");
    fs::write(&file, &example.stdout)?;
    let check = |file: &std::path::Path| {
        room.program(&tracer)
            .args(["config", "check"])
            .arg(file)
            .finish(PATIENCE)
    };
    let good = check(&file)?.expect_code(0)?;
    ensure!(
        text(&good.stdout).contains("nothing is wrong"),
        "{}",
        text(&good.stdout)
    );
    fs::write(&file, "[watch]\nage_min = \"soon\"\ncooldown = 5\n")?;
    let bad = check(&file)?.expect_code(1)?;
    for word in [
        "config.toml",
        "watch.age_min",
        "soon",
        "60",
        "watch.cooldown",
    ] {
        ensure!(
            text(&bad.stdout).contains(word),
            "{word}: {}",
            text(&bad.stdout)
        );
    }
    ensure!(
        text(&bad.stdout).lines().count() == 2,
        "{}",
        text(&bad.stdout)
    );
    let missing = check(&room.path("nowhere.toml"))?.expect_code(1)?;
    ensure!(
        missing.stderr.contains("nowhere.toml"),
        "{}",
        missing.stderr
    );
    Ok(())
}
