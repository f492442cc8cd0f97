//! Names and arguments that a process chooses to be confusing.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tracer_tests::check::{Recorded, recorded, recorded_with};
use tracer_tests::journal::Record;
use tracer_tests::proc;
use tracer_tests::room::Room;
use tracer_tests::truth::Fact;
use tracer_tests::wait::{PATIENCE, wait_for};

/// What `renamer` calls its processes, from the root down; the last one becomes `tiny`.
const NAMES: [&[u8]; 6] = [
    b"a b",
    b"x) R 1 (y",
    b"line\nbreak",
    b"\xff\xfe",
    b"fifteen bytes!!",
    b"",
];

/// A text of a record as bytes: the `_hex` key beside it where it is not UTF-8.
fn bytes(value: &Value, key: &str) -> Vec<u8> {
    match value[format!("{key}_hex")].as_str() {
        Some(hex) => unhex(hex),
        None => value[key].as_str().unwrap_or_default().as_bytes().to_vec(),
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.filter_map(byte).collect()
}

/// Arguments of an exec record as bytes.
fn arguments(exec: &Record) -> Vec<Vec<u8>> {
    let texts = exec.value["argv"].as_array().into_iter().flatten();
    let one = |(index, text): (usize, &Value)| match exec.value["argv_hex"][index].as_str() {
        Some(hex) => unhex(hex),
        None => text.as_str().unwrap_or_default().as_bytes().to_vec(),
    };
    texts.enumerate().map(one).collect()
}

fn exec_of<'a>(run: &'a Recorded, act: &str) -> Result<&'a Record> {
    let pid = run.noted(act)?;
    let exec = run
        .session
        .of_kind("exec")
        .find(|exec| exec.small("pid").ok() == Some(pid));
    exec.with_context(|| format!("{act}: no exec of {pid}"))
}

#[test]
fn ancestors_with_spaces_parentheses_newlines_and_no_utf8_in_their_names_confuse_nothing()
-> Result<()> {
    let run = recorded("renamer", &[])?;
    let mut pid = run.session.root()?;
    for name in NAMES {
        assert_eq!(
            bytes(&run.session.exit_of(pid)?.value, "comm"),
            name,
            "pid {pid}"
        );
        let child = run.truth.iter().find_map(|(_, fact)| match fact {
            Fact::Fork { creator, child, .. } if *creator == pid => Some(*child),
            _ => None,
        });
        pid = child.with_context(|| format!("{pid} has no child"))?;
    }
    assert_eq!(run.session.exit_of(pid)?.text("comm"), "tiny");
    Ok(())
}

#[test]
fn rows_of_processes_with_confusing_names_have_the_right_parents() -> Result<()> {
    let room = Room::new()?;
    let go = room.path("go");
    let tracer = room
        .run()?
        .args(["-q", "--require-trace", "--interval", "50ms"])
        .observe("renamer", &["linger", &go.to_string_lossy()])?
        .spawn()?;
    let chain = wait_for("the chain of seven", PATIENCE, || {
        let chain = proc::descendants(tracer.pid());
        Ok((chain.len() == NAMES.len() + 1).then_some(chain))
    })?;
    let folder = room.session_folder()?;
    wait_for("rows of the whole chain", PATIENCE, || {
        let journal = tracer_tests::journal::read_growing(&folder.join("journal.0.jsonl"))?;
        let has_row = |pid: &i32| {
            journal
                .iter()
                .any(|record| record.kind == "snapshot" && record.small("pid").ok() == Some(*pid))
        };
        Ok(chain.iter().all(has_row).then_some(()))
    })?;
    std::fs::write(&go, "")?;
    tracer.finish(PATIENCE)?.expect_code(0)?;
    let session = room.session()?;
    for (pair, name) in chain.windows(2).zip(NAMES) {
        let [parent, child] = pair else { continue };
        let mut rows = session.rows_of(*parent);
        let shown = String::from_utf8_lossy(name);
        ensure!(
            rows.any(|row| row["comm"].as_str() == Some(&*shown)),
            "no row of {parent} as {shown:?}"
        );
        for row in session.rows_of(*child) {
            ensure!(
                row["ppid"].as_i64() == Some((*parent).into()),
                "parent {parent}: {row}"
            );
            ensure!(row["state"].is_string(), "{row}");
        }
    }
    Ok(())
}

#[test]
fn arguments_that_are_not_utf8_arrive_byte_for_byte() -> Result<()> {
    let run = recorded("execs", &["bytes"])?;
    let expected: [&[u8]; 7] = [
        b"tiny",
        b"9",
        b"\xff\xfe\x80",
        b"a\nb",
        b"\x1b[31m",
        b"\"},{",
        b"",
    ];
    let exec = exec_of(&run, "bytes")?;
    assert_eq!(arguments(exec), expected);
    assert_eq!(exec.value["argv_truncated"], false);
    let raw = std::fs::read(run.session.folder.join("journal.0.jsonl"))?;
    assert!(
        !raw.contains(&0x1b),
        "an escape sequence reached the file as it is"
    );
    Ok(())
}

#[test]
fn a_hundred_kilobytes_of_arguments_are_cut_and_say_so() -> Result<()> {
    let run = recorded("execs", &["huge"])?;
    let exec = exec_of(&run, "huge")?;
    assert_eq!(exec.value["argv_truncated"], true);
    assert_eq!(exec.int("argc")?, 802);
    assert_eq!(exec.int("argv_bytes")?, 5 + 2 + 800 * 128);
    let kept = arguments(exec);
    assert_eq!(kept[..2], [b"tiny".to_vec(), b"9".to_vec()]);
    let whole = &kept[2..kept.len() - 1];
    assert!(
        whole.iter().all(|arg| *arg == [b'x'; 127]),
        "only the last one may be cut"
    );
    Ok(())
}

#[test]
fn empty_arguments_and_an_empty_argv_are_what_they_are() -> Result<()> {
    let run = recorded("execs", &["empty", "no-argv"])?;
    let expected: [&[u8]; 4] = [b"tiny", b"9", b"", b""];
    assert_eq!(arguments(exec_of(&run, "empty")?), expected);
    // Since Linux 5.18 execve puts one empty argument where there is none.
    let none = exec_of(&run, "no-argv")?;
    assert!(arguments(none).iter().all(Vec::is_empty), "{}", none.value);
    assert!(none.int("argc")? <= 1, "{}", none.value);
    Ok(())
}

#[test]
fn an_exec_by_descriptor_has_the_name_the_kernel_gives_it_and_a_failed_exec_is_none() -> Result<()>
{
    let run = recorded("execs", &["by-fd", "missing"])?;
    let exec = exec_of(&run, "by-fd")?;
    assert!(
        exec.text("filename").starts_with("/dev/fd/"),
        "{}",
        exec.value
    );
    assert!(
        exec_of(&run, "missing").is_err(),
        "an exec that failed is no exec"
    );
    Ok(())
}

#[test]
fn a_label_and_a_program_path_with_spaces_and_quotes_are_data() -> Result<()> {
    let room = Room::new()?;
    let folder = room.path("a \"b\" \n c");
    std::fs::create_dir(&folder)?;
    let program = folder.join("ti ny");
    std::fs::copy(tracer_tests::place::fixture("tiny")?, &program)?;
    let launch = room
        .run()?
        .args(["-q", "--require-trace", "--label", "who=../../x/\"y\""]);
    launch
        .arg("--")
        .arg(&program)
        .arg("5")
        .finish(PATIENCE)?
        .expect_code(5)?;
    let session = room.session()?;
    let exec = session.of_kind("exec").next().context("no exec")?;
    assert_eq!(exec.text("filename"), program.to_string_lossy());
    assert_eq!(session.summary["labels"]["who"], "../../x/\"y\"");
    assert_eq!(session.enrollment()?["labels"]["who"], "../../x/\"y\"");
    Ok(())
}

#[test]
fn comms_of_a_storm_are_those_of_the_image_that_ended() -> Result<()> {
    let run = recorded_with("storm", &["vfork", "2", "50"], &[], Duration::from_secs(60))?;
    let root = run.session.root()?;
    for exit in run.session.of_kind("exit") {
        let parent_is_worker = exit.int("ppid")? != i64::from(root) && exit.small("pid")? != root;
        let expected = if parent_is_worker { "tiny" } else { "storm" };
        assert_eq!(exit.text("comm"), expected, "{}", exit.value);
    }
    Ok(())
}
