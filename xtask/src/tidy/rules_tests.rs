//! Each rule with a file that keeps it and one that breaks it.

use super::*;

fn file(path: &str, text: &str) -> File {
    File {
        path: path.to_owned(),
        text: format!("//! A file.\n{text}"),
    }
}

/// What is said of a file, joined.
fn said(path: &str, text: &str) -> String {
    let found = check_file(&file(path, text));
    let what: Vec<_> = found.into_iter().map(|violation| violation.what).collect();
    what.join("; ")
}

const SESSION: &str = "tracer-user/src/session/finish.rs";

#[test]
fn imports_go_down() {
    assert_eq!(
        said(
            SESSION,
            "use crate::{tree::Tree, verdict, units::{Tgid, BootNs}};"
        ),
        ""
    );
    assert_eq!(
        said("tracer-user/src/cli/run.rs", "use crate::observe::Plan;"),
        ""
    );
    assert_eq!(
        said("tracer-user/src/verdict/mod.rs", "use crate::tree::Tree;"),
        ""
    );
    assert_eq!(
        said(
            "tracer-user/src/main.rs",
            "fn main() { tracer::cli::main() }"
        ),
        ""
    );
}

#[test]
fn imports_never_go_up_or_sideways() {
    let up = said(
        "tracer-user/src/tree/mod.rs",
        "use crate::{\n    units::Tgid,\n    session::Id,\n};",
    );
    assert!(up.contains("`tree` imports upwards from `session`"), "{up}");
    let sideways = said(SESSION, "fn f() { crate::probe::go() }");
    assert!(
        sideways.contains("`session` imports sideways from `probe`"),
        "{sideways}"
    );
    let past = said("tracer-user/src/main.rs", "use tracer::observe;");
    assert!(past.contains("only hands over to cli"), "{past}");
    let unknown = said("tracer-user/src/cellar/mod.rs", "use crate::units::Tgid;");
    assert!(unknown.contains("no floor"), "{unknown}");
}

#[test]
fn integration_tests_stand_outside_the_house() {
    let text = "use tracer::probe::ring; use tracer::session;";
    assert_eq!(said("tracer-user/tests/ring.rs", text), "");
}

#[test]
fn super_is_followed_to_the_room_it_reaches() {
    assert_eq!(said(SESSION, "use super::id::Id;"), "");
    assert!(said(SESSION, "use super::super::probe;").contains("sideways from `probe`"));
    assert!(said("tracer-user/src/tree/mod.rs", "use super::session::Id;").contains("upwards"));
    assert_eq!(
        said(
            "tracer-user/src/tree/mod.rs",
            "mod a { use super::session::Id; }"
        ),
        ""
    );
}

#[test]
fn members_import_only_what_they_may() {
    assert_eq!(
        said("tracer-ebpf/src/fork.rs", "use tracer_common::ForkEvent;"),
        ""
    );
    assert_eq!(
        said("tests/tests/core.rs", "use tracer_tests::wait_for;"),
        ""
    );
    assert!(said("tracer-user/src/tree/mod.rs", "use tracer_tests::x;").contains("does not use"));
    assert!(said("xtask/src/vm.rs", "use tracer_common::x;").contains("does not use"));
}

#[test]
fn a_foreign_crate_has_one_owner() {
    assert_eq!(
        said(
            "tracer-user/src/cli/run.rs",
            "#[derive(clap::Args)] struct A;"
        ),
        ""
    );
    assert_eq!(said("xtask/src/run.rs", "use anyhow::Result;"), "");
    let clap = said(SESSION, "#[derive(clap::Args)] struct A;");
    assert_eq!(clap, "clap belongs to cli, xtask");
    let tokio = said(SESSION, "#[tokio::main] async fn f() {}");
    assert_eq!(tokio, "tokio belongs to observe, probe, sampler, watch");
    assert!(said("tracer-user/src/cli/run.rs", "use aya::Ebpf;").contains("aya belongs to probe"));
    assert_eq!(
        said(
            "tracer-user/src/tree/mod.rs",
            "#[cfg(test)] mod tests { use serde_json::Value; }"
        ),
        ""
    );
}

#[test]
fn pure_modules_touch_nothing() {
    let path = "tracer-user/src/verdict/mod.rs";
    assert_eq!(
        said(path, "use std::time::Duration; use std::io::Read;"),
        ""
    );
    for bad in [
        "use std::{fmt, fs};",
        "fn f() { std::process::exit(1) }",
        "use std::time::{Duration, Instant};",
        "fn f() { jiff::Timestamp::now(); }",
        "use rustix::process;",
        "use std::net::TcpStream;",
    ] {
        assert!(said(path, bad).contains("in a pure module"), "{bad}");
        assert_eq!(said("tracer-user/src/cli/mod.rs", bad), "", "{bad}");
    }
    assert_eq!(said(path, "#[cfg(test)] mod tests { use std::fs; }"), "");
    assert_eq!(said("tracer-user/src/procfs/iota.rs", "use std::fs;"), "");
    assert!(said("tracer-user/src/procfs/io.rs", "use std::fs;").contains("pure"));
}

#[test]
fn globs_of_our_own_modules_are_for_tests() {
    assert!(said(SESSION, "use super::*;").contains("`use super::*` outside tests"));
    assert!(said(SESSION, "use crate::units::*;").contains("outside tests"));
    assert_eq!(
        said(SESSION, "#[cfg(test)] mod tests { use super::*; }"),
        ""
    );
}

#[test]
fn files_are_short_named_well_and_say_what_they_are() {
    let long = "//x\n".repeat(400);
    assert_eq!(
        said(SESSION, &long),
        "401 lines, the limit is 400: split it by idea"
    );
    assert!(said("tracer-user/src/lib.rs", &"//x\n".repeat(150)).contains("the limit is 150"));
    assert_eq!(said(SESSION, &"//x\n".repeat(399)), "");
    assert!(said("xtask/src/utils.rs", "").contains("`utils` says nothing"));
    assert!(said("tracer-user/src/procfs/types/mod.rs", "").contains("`types` says nothing"));
    let mute = File {
        path: SESSION.to_owned(),
        text: "use std::fs;\n".to_owned(),
    };
    assert_eq!(check_file(&mute).len(), 1);
}

#[test]
fn lints_are_silenced_with_a_reason() {
    assert!(said(SESSION, "#[allow(dead_code)] fn f() {}").contains("expect"));
    assert_eq!(
        said(SESSION, "#[expect(dead_code, reason = \"x\")] fn f() {}"),
        ""
    );
}

#[test]
fn a_pure_module_that_was_renamed_is_missed() {
    let have = |path: &str| file(path, "");
    let renamed = [
        have("tracer-user/src/sampler/mod.rs"),
        have("tracer-user/src/sampler/speed.rs"),
    ];
    let found = check_tables(&renamed);
    assert_eq!(found.len(), 1);
    assert!(found[0].what.contains("tracer-user/src/sampler/rate"));
    let kept = [
        have("tracer-user/src/sampler/mod.rs"),
        have("tracer-user/src/sampler/rate/mod.rs"),
    ];
    assert_eq!(check_tables(&kept), []);
}
