//! Listings, whatever the sessions are like; and that looking changes nothing.

use std::{collections::BTreeSet, os::unix::fs::PermissionsExt};

use jiff::Timestamp;
use tracer::session::{
    SessionId, Store, fence,
    follow::{Follow, Next},
    list::{Listed, Listing, filter::Filter, list, look, page::Paging},
    verify::verify,
};

use crate::{made::*, support::*};

const ALL: Paging = Paging {
    limit: 0,
    number: 1,
};

fn now() -> Timestamp {
    at("2026-11-30T00:00:00Z")
}

fn listed(store: &Store, filter: &Filter) -> Listing {
    list(store, filter, ALL, now()).expect("listed")
}

fn ids(listing: &Listing) -> Vec<SessionId> {
    listing
        .sessions
        .iter()
        .map(|session| session.session_id)
        .collect()
}

fn one(store: &Store, id: &SessionId) -> Listed {
    look(store, id, now())
}

fn private(path: &std::path::Path) {
    std::fs::create_dir(path).expect("ours");
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o700)).expect("ours");
}

#[test]
fn v1_newest_first_and_bad_dates_disturb_nothing() {
    let (_dir, store) = made();
    let first = ended(&store, "2026-11-01T00:00:00Z", 1);
    let second = ended(&store, "2026-11-02T00:00:00Z", 1);
    let third = ended(&store, "2026-11-03T00:00:00Z", 1);
    let never: SessionId = "20269999T999999.000000Z-00000000"
        .parse()
        .expect("of the form");
    private(&store.session_path(&never));
    for (name, from, to) in [
        ("start_ts", "2026-11-02T00:00:00", "no date at all     "),
        ("end_ts", "2026-11-02T00:00:01", "9999-99-99T99:99:99"),
    ] {
        let path = store.session_path(&second).join("summary.json");
        let text = std::fs::read_to_string(&path).expect("there");
        assert!(text.contains(from), "{name} in {text}");
        std::fs::write(&path, text.replace(from, to)).expect("ours");
    }
    let listing = listed(&store, &Filter::default());
    assert_eq!(ids(&listing), [never, third, second, first]);
    assert_eq!(listing.sessions[0].started, None);
    // What the summary cannot say, the id does.
    assert_eq!(
        listing.sessions[2].started,
        Some(at("2026-11-02T00:00:00Z"))
    );
    assert_eq!(listing.sessions[2].ended, None);
}

#[test]
fn a_session_says_what_it_came_to() {
    let (_dir, store) = made();
    let done = one(&store, &ended(&store, "2026-11-01T00:00:00Z", 3));
    assert_eq!((done.status.as_str(), done.exit_code), ("error", Some(7)));
    assert_eq!(done.duration_seconds, Some(3.0));
    assert_eq!(done.ended, Some(at("2026-11-01T00:00:03Z")));
    assert_eq!(done.peak_rss_kb, Some(39_412));
    assert_eq!(done.labels["ci"], "a/b \"c\"");
    assert!(done.has_ended() && done.has_failed());

    let info = info_at(&store, at("2026-11-29T23:59:00Z"));
    let recorder = going_on(&store, &info);
    let running = one(&store, &info.session_id);
    assert_eq!(running.status, "running");
    assert_eq!(
        (running.ended, running.duration_seconds),
        (None, Some(60.0))
    );
    assert!(!running.has_ended() && running.command.starts_with("sh -c"));
    drop(recorder);
    let left = one(&store, &info.session_id);
    assert_eq!(left.status, "interrupted");
    assert!(
        !left.has_ended() && !left.has_failed(),
        "v5: it says nothing of its target"
    );
    assert_eq!(left.problem, None);
}

#[test]
fn v2_a_session_has_one_title_from_its_beginning_to_its_end() {
    let (_dir, store) = made();
    let info = info_at(&store, at("2026-11-01T00:00:00Z"));
    let recorder = going_on(&store, &info);
    let title = |store: &Store| one(store, &info.session_id).command;
    let running = title(&store);
    assert_eq!(running, "sh -c 'exit \u{fffd}'");
    finish(&recorder, 1);
    assert_eq!(title(&store), running, "from its summary");
    std::fs::remove_file(recorder.path().join("summary.json")).expect("there");
    assert_eq!(title(&store), running, "from its journal again");
    let left = interrupted(&store, "2026-11-02T00:00:00Z");
    assert_eq!(one(&store, &left).command, running);
}

#[test]
fn v7_what_is_damaged_is_listed_with_the_reason() {
    let (_dir, store) = made();
    let named = |n: u32| -> SessionId {
        format!("20261101T00000{n}.000000Z-00000000")
            .parse()
            .expect("an id")
    };
    private(&store.session_path(&named(0)));
    let open = ended(&store, "2026-11-02T00:00:00Z", 1);
    std::fs::set_permissions(store.session_path(&open), PermissionsExt::from_mode(0o777))
        .expect("ours");
    let garbage = ended(&store, "2026-11-03T00:00:00Z", 1);
    std::fs::write(
        store.session_path(&garbage).join("journal.0.jsonl"),
        "\0".repeat(5000),
    )
    .expect("ours");
    let headless = ended(&store, "2026-11-04T00:00:00Z", 1);
    std::fs::remove_file(store.session_path(&headless).join("journal.0.jsonl")).expect("ours");
    for (id, why) in [
        (named(0), "it has no journal"),
        (open, "may be written by others"),
        (garbage, "no whole record"),
        (headless, "it has no journal"),
    ] {
        let session = one(&store, &id);
        assert_eq!(session.status, "corrupt", "{why}");
        let problem = session.problem.expect("a reason");
        assert!(problem.contains(why), "{problem} is not {why}");
        assert!(!session.path.as_os_str().is_empty());
    }
    assert_eq!(listed(&store, &Filter::default()).sessions.len(), 4);
}

#[test]
fn a_summary_is_not_believed_what_the_journal_does_not_bear_out() {
    let (_dir, store) = made();
    let lying = ended(&store, "2026-11-01T00:00:00Z", 1);
    let summary = store.session_path(&lying).join("summary.json");
    let text = std::fs::read_to_string(&summary).expect("there");
    // The words for what has no end are not a file's to say.
    std::fs::write(&summary, text.replace("\"error\"", "\"running\"")).expect("ours");
    assert_eq!(one(&store, &lying).status, "ended");
    for damaged in ["", "[]", "{", "\0", &"[".repeat(100_000)] {
        std::fs::write(&summary, damaged).expect("ours");
        let session = one(&store, &lying);
        assert_eq!(session.status, "ended");
        assert!(
            session.problem.expect("told").contains("rebuild"),
            "{damaged:.20}"
        );
        assert_eq!(
            session.ended,
            Some(at("2026-11-01T00:00:01Z")),
            "from the journal"
        );
    }
    let other = ended(&store, "2026-11-02T00:00:00Z", 1);
    std::fs::copy(store.session_path(&other).join("summary.json"), &summary).expect("ours");
    assert!(
        one(&store, &lying)
            .problem
            .expect("told")
            .contains("another session's")
    );
    // An interrupted one with a summary beside it is interrupted.
    let left = interrupted(&store, "2026-11-03T00:00:00Z");
    std::fs::copy(&summary, store.session_path(&left).join("summary.json")).expect("ours");
    assert_eq!(one(&store, &left).status, "interrupted");
}

#[test]
fn filters_narrow_by_label_status_and_time() {
    let (_dir, store) = made();
    let labelled = |wall: &str, key: &str, value: &str| {
        let mut info = info_at(&store, at(wall));
        info.labels.insert(key.to_owned(), value.to_owned());
        finish(&going_on(&store, &info), 10);
        info.session_id
    };
    let a = labelled("2026-11-01T00:00:00Z", "team", "core");
    let b = labelled("2026-11-02T00:00:00Z", "team", "web");
    let c = interrupted(&store, "2026-11-03T00:00:00Z");
    let with = |filter: &dyn Fn(&mut Filter)| {
        let mut wanted = Filter::default();
        filter(&mut wanted);
        let listing = listed(&store, &wanted);
        assert_eq!(listing.left_out + listing.page.total, 3);
        ids(&listing)
    };
    let label = |key: &str, value: Option<&str>| (key.to_owned(), value.map(str::to_owned));
    assert_eq!(with(&|f| f.labels = vec![label("team", None)]), [b, a]);
    assert_eq!(with(&|f| f.labels = vec![label("team", Some("core"))]), [a]);
    assert_eq!(
        with(&|f| f.labels = vec![label("team", None), label("none", None)]),
        []
    );
    assert_eq!(with(&|f| f.statuses = vec!["interrupted".to_owned()]), [c]);
    assert_eq!(with(&|f| f.statuses = vec!["ended".to_owned()]), [b, a]);
    assert_eq!(
        with(&|f| f.since = Some(at("2026-11-02T00:00:00Z"))),
        [c, b]
    );
    assert_eq!(with(&|f| f.until = Some(at("2026-11-02T00:00:00Z"))), [a]);
}

#[test]
fn a_fence_hides_what_ended_before_it_and_nothing_else() {
    let (_dir, store) = made();
    let long = ended(&store, "2026-11-01T00:00:00Z", 5 * 24 * 3600);
    let short = ended(&store, "2026-11-02T00:00:00Z", 1);
    let left = interrupted(&store, "2026-11-03T00:00:00Z");
    let later = ended(&store, "2026-11-07T00:00:00Z", 1);
    assert_eq!(fence::read(&store).expect("readable"), None);
    fence::put(&store, at("2026-11-04T00:00:00Z"), soon()).expect("written");
    let filter = Filter {
        fence: fence::read(&store).expect("readable"),
        ..Filter::default()
    };
    let listing = listed(&store, &filter);
    assert_eq!(ids(&listing), [later, left, long]);
    assert_eq!(listing.left_out, 1);
    assert!(store.session_path(&short).exists());
    for damaged in [
        "",
        "{}",
        "[",
        "{\"format\":2,\"cleared_at\":\"2026-11-04T00:00:00Z\"}",
    ] {
        std::fs::write(store.dir().path().join("fence.json"), damaged).expect("ours");
        fence::read(&store).expect_err("it hides nothing");
    }
}

#[test]
fn v12_pages_go_through_all_sessions_once() {
    let (_dir, store) = made();
    let all: BTreeSet<_> = (0..7)
        .map(|n| ended(&store, &format!("2026-11-01T00:00:0{n}Z"), 1))
        .collect();
    let mut seen = Vec::new();
    for number in 1..=3 {
        let paging = Paging { limit: 3, number };
        let listing = list(&store, &Filter::default(), paging, now()).expect("listed");
        assert_eq!(listing.page.pages, 3);
        seen.extend(ids(&listing));
    }
    assert_eq!(seen, all.into_iter().rev().collect::<Vec<_>>());
}

#[test]
fn l4_looking_at_sessions_changes_no_byte() {
    let (_dir, store) = made();
    let done = ended(&store, "2026-11-01T00:00:00Z", 1);
    let left = interrupted(&store, "2026-11-02T00:00:00Z");
    let info = info_at(&store, at("2026-11-03T00:00:00Z"));
    let recorder = going_on(&store, &info);
    let before = contents(store.dir().path());
    for _ in 0..2 {
        listed(&store, &Filter::default());
        for id in [&done, &left, &info.session_id] {
            assert!(verify(&store, id).holds());
            let dir = store.existing_session(id).expect("there");
            let mut follow = Follow::start(&dir).expect("readable");
            while matches!(follow.advance(), Ok(Next::Record(_))) {}
        }
    }
    assert_eq!(contents(store.dir().path()), before);
    finish(&recorder, 1);
}

#[test]
fn v4_c28_who_follows_sees_each_record_without_a_flush_and_half_a_line_not_yet() {
    let (_dir, store) = made();
    let info = info_at(&store, at("2026-11-01T00:00:00Z"));
    let recorder = going_on(&store, &info);
    let dir = store.existing_session(&info.session_id).expect("there");
    let mut follow = Follow::start(&dir).expect("readable");
    let next = |follow: &mut Follow<'_>| loop {
        match follow.advance().expect("readable") {
            Next::Record(entry) => return entry,
            Next::Later => follow.wait(),
            Next::Interrupted => panic!("its observer lives"),
        }
    };
    for seq in 0..8 {
        assert_eq!(next(&mut follow).seq, seq);
    }
    assert!(matches!(follow.advance(), Ok(Next::Later)));
    for n in 8..20 {
        recorder.accept(fork(n));
        let entry = next(&mut follow);
        assert_eq!((entry.seq, entry.body), (n, fork(n).body));
    }
    finish(&recorder, 1);
    assert!(next(&mut follow).body.is_terminal());

    let left = interrupted(&store, "2026-11-02T00:00:00Z");
    let journal = store.session_path(&left).join("journal.0.jsonl");
    let mut text = std::fs::read(&journal).expect("there");
    text.truncate(text.len() - 1);
    std::fs::write(&journal, text).expect("ours");
    let dir = store.existing_session(&left).expect("there");
    let mut follow = Follow::start(&dir).expect("readable");
    let mut records = 0;
    while let Next::Record(_) = follow.advance().expect("readable") {
        records += 1;
    }
    assert_eq!(records, 7, "the eighth has no newline");
    assert!(matches!(follow.advance(), Ok(Next::Interrupted)));
}
