//! Files, environments and flags, and what becomes of them.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::notify::{Address, Auth, Channel, Secret};

fn nothing(_: &str) -> Option<String> {
    None
}

fn loaded(text: &str) -> Loaded {
    load(text, &nothing, &Flags::default()).expect("a file that can be used")
}

fn refused(text: &str) -> String {
    let refused = load(text, &nothing, &Flags::default());
    refused.expect_err("refused").to_string()
}

/// The example with everything in it switched on.
fn everything_on() -> String {
    let on = |line: &str| {
        let setting = line.strip_prefix("# ").filter(|rest| {
            let name = rest.split(" = ").next().unwrap_or_default();
            rest.starts_with("[[")
                || (rest.contains(" = ")
                    && name
                        .bytes()
                        .all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
        });
        setting.unwrap_or(line).to_owned() + "\n"
    };
    EXAMPLE.lines().map(on).collect()
}

#[test]
fn the_example_that_is_shipped_says_the_defaults() {
    let example = loaded(EXAMPLE);
    assert_eq!(example.warnings, [""; 0]);
    assert_eq!(example.settings, WatchSettings::default());
    assert_eq!(loaded("").settings, WatchSettings::default());
}

#[test]
fn everything_in_the_example_can_be_switched_on_and_every_setting_is_in_it() {
    let text = everything_on();
    let all = loaded(&text);
    assert_eq!(all.warnings, [""; 0]);
    let names: Vec<_> = all
        .settings
        .notify
        .notifiers
        .iter()
        .map(|one| &*one.name)
        .collect();
    assert_eq!(names, ["alertmanager", "page", "ops", "slack", "telegram"]);
    // What the example gives these is what they are when nothing is said.
    let ops = &all.settings.notify.notifiers[2];
    let short = loaded("[[notify.webhook]]\nname = \"ops\"\nurl = \"http://a\"\n");
    let short = &short.settings.notify.notifiers[0];
    assert_eq!(
        (ops.timeout, ops.queue, ops.keep, ops.retry_max),
        (short.timeout, short.queue, short.keep, short.retry_max)
    );
    for name in keys::names().chain(channel::names()) {
        assert!(
            text.lines()
                .any(|line| line.starts_with(&format!("{name} = ")))
                || ["url_env", "bearer_env", "password_env"].contains(&name),
            "{name}"
        );
    }
}

#[test]
fn flags_outweigh_the_environment_and_that_the_file() {
    let file = "[watch]\nage_min = 1\ncooldown_s = 1\ninterval_s = 1\nenabled = true\n";
    let environment = |name: &str| match name {
        "TRACER_WATCH_AGE_MIN" | "TRACER_WATCH_COOLDOWN_S" => Some("2".to_owned()),
        "TRACER_WATCH_PATTERNS" => Some("a, b+".to_owned()),
        "TRACER_WATCH_METRICS" => Some(String::new()),
        _ => None,
    };
    let flags = Flags {
        age_min: Some(3),
        ..Flags::default()
    };
    let settings = load(file, &environment, &flags).expect("good").settings;
    assert_eq!(
        (settings.age_min, settings.cooldown_s, settings.interval_s),
        (3, 2, 1)
    );
    assert!(settings.enabled);
    assert_eq!(settings.patterns, ["a", "b+"]);
    assert_eq!(settings.metrics, None);
}

#[test]
fn a_malformed_value_is_the_default_with_one_warning_that_names_all_three() {
    for (name, value, default) in [
        ("TRACER_WATCH_AGE_MIN", "soon", "60"),
        ("TRACER_WATCH_AGE_MIN", "-1", "60"),
        ("TRACER_WATCH_COOLDOWN_S", "1.5", "1800"),
        ("TRACER_WATCH_INTERVAL_S", "0", "30"),
        ("TRACER_WATCH_ENABLED", "perhaps", "false"),
        ("TRACER_WATCH_PATTERNS", "a,,b", "[\"pytest\"]"),
        ("TRACER_WATCH_METRICS", "here", "off"),
        ("TRACER_WATCH_FOLLOW_CONTAINER", "web", "none"),
        ("TRACER_WATCH_FOLLOW_CGROUP", "agents", "none"),
        ("TRACER_WATCH_FOLLOW_COMM", "claude,/bin/sh", "none"),
    ] {
        let environment = |asked: &str| (asked == name).then(|| value.to_owned());
        let file = "[watch]\nage_min = 5\ncooldown_s = 5\ninterval_s = 5\n";
        let loaded = load(file, &environment, &Flags::default()).expect("usable");
        let [warning] = &loaded.warnings[..] else {
            panic!("{name}: {:?}", loaded.warnings);
        };
        for part in [name, value, default] {
            assert!(warning.contains(part), "{warning}");
        }
        let default = WatchSettings::default();
        let now = loaded.settings;
        match name {
            "TRACER_WATCH_AGE_MIN" => assert_eq!(now.age_min, default.age_min),
            "TRACER_WATCH_COOLDOWN_S" => assert_eq!(now.cooldown_s, default.cooldown_s),
            "TRACER_WATCH_INTERVAL_S" => assert_eq!(now.interval_s, default.interval_s),
            _ => assert_eq!((now.enabled, now.metrics), (false, None)),
        }
    }
}

#[test]
fn patterns_in_the_environment_may_have_commas_in_an_array() {
    let with = |value: &'static str| {
        let environment =
            move |name: &str| (name == "TRACER_WATCH_PATTERNS").then(|| value.to_owned());
        load("", &environment, &Flags::default()).expect("usable")
    };
    assert_eq!(
        with(r#"["a{1,2}", 'b\d']"#).settings.patterns,
        ["a{1,2}", r"b\d"]
    );
    for bad in ["[", "[1]", "[\"a\"]\nb = 1", ","] {
        let loaded = with(bad);
        assert_eq!(loaded.warnings.len(), 1, "{bad}");
        assert_eq!(loaded.settings.patterns, ["pytest"], "{bad}");
    }
}

#[test]
fn trees_to_follow_may_be_none_one_or_more_and_those_of_the_flags_replace_the_others() {
    let file = "[watch]\nfollow_comm = [\"a\"]\nfollow_cgroup = [\"/b\"]\nfollow_container = []\n";
    let environment = |name: &str| match name {
        "TRACER_WATCH_FOLLOW_COMM" => Some("c, d".to_owned()),
        "TRACER_WATCH_FOLLOW_CONTAINER" => Some("[]".to_owned()),
        _ => None,
    };
    let flags = Flags {
        follow_cgroups: Some(vec!["/e".into()]),
        ..Flags::default()
    };
    let follow = load(file, &environment, &flags).expect("good");
    assert_eq!(follow.warnings, [""; 0]);
    let follow = follow.settings.follow;
    assert_eq!(follow.comms, ["c", "d"]);
    assert_eq!(follow.cgroups, [PathBuf::from("/e")]);
    assert!(follow.containers.is_empty());
}

#[test]
fn what_the_file_has_too_much_is_told() {
    let loaded = loaded("cooldown_s = 5\n[watch]\nage = 5\n[notify]\nwebhok = 1\nstdout = 7\n");
    assert_eq!(loaded.warnings.len(), 4, "{:?}", loaded.warnings);
    assert_eq!(loaded.settings, WatchSettings::default());
}

#[test]
fn metrics_are_for_this_machine_unless_it_is_asked_for() {
    let open = "[watch]\nmetrics = \"0.0.0.0:9469\"\n";
    assert!(refused(open).contains("metrics_any"));
    assert!(
        loaded(&format!("{open}metrics_any = true\n"))
            .settings
            .metrics
            .is_some()
    );
    for near in ["127.0.0.1:1", "[::1]:9469"] {
        let settings = loaded(&format!("[watch]\nmetrics = \"{near}\"\n")).settings;
        assert_eq!(settings.metrics, near.parse().ok());
    }
}

#[test]
fn a_notifier_that_could_tell_nobody_is_refused_and_no_secret_is_repeated() {
    let webhook = "[[notify.webhook]]\nname = \"a\"\n";
    for (rest, told) in [
        ("", "one of url"),
        ("url = \"ftp://a\"", "http://"),
        ("url = \"https://u:hunter2@a/\"", "url_file"),
        (
            "url = \"https://hooks.slack.com/services/hunter2\"",
            "secrets",
        ),
        ("url = \"http://a\"\nurl_env = \"hunter2\"", "one of url"),
        ("url = \"http://a\"\nformat = \"x\"", "slack"),
        ("url = \"http://a\"\nformat = \"telegram\"", "chat_id"),
        (
            "url = \"http://a\"\nheaders = { Authorization = \"hunter2\" }",
            "bearer_file",
        ),
        ("url = \"http://a\"\npassword = \"hunter2\"", "no setting"),
        ("url = \"http://a\"\nuser = \"hunter2\"", "password_file"),
        (
            "url = \"http://a\"\npassword_env = \"hunter2\"",
            "need user",
        ),
        (
            "url = \"http://a\"\nuser = \"hunter2:\"\npassword_env = \"P\"",
            "colon",
        ),
        (
            "url = \"http://a\"\nuser = \"u\"\npassword_env = \"hunter2\"\nbearer_env = \"T\"",
            "too many",
        ),
        (
            "url = \"http://a\"\nuser = \"u\"\npassword_env = \"hunter2\"\npassword_file = \"/x\"",
            "is enough",
        ),
        ("url = \"http://a\"\nca_file = \"/x\"", "https://"),
        ("url = \"https://a\"\nca_file = \"x\"", "absolute"),
        ("url = \"http://a\"\ntimeout_s = 0", "timeout_s"),
        ("url = \"http://a\"\nqueue = 0", "queue"),
        ("url = \"http://a\"\nresend_s = 9", "no setting"),
    ] {
        let why = refused(&format!("{webhook}{rest}\n"));
        assert!(why.contains(told), "{rest}: {why}");
        assert!(!why.contains("hunter2"), "{why}");
    }
    assert!(refused("[[notify.webhook]]\nurl = \"http://a\"\n").contains("name"));
    assert!(
        refused("[[notify.command]]\nname = \"a\"\ncommand = [\"mail\"]\n").contains("absolute")
    );
    assert!(refused("[notify]\nwebhook = 5\n").contains("[[notify.webhook]]"));
    let twice = "[[notify.command]]\nname = \"a\"\ncommand = [\"/a\"]\n".repeat(2);
    assert!(refused(&twice).contains("taken"));
    assert!(refused(&webhook.replace("\"a\"", "\"../a\"")).contains("a-z"));
    let syntax = refused("[watch]\n\nage_min = \"hunter2\n");
    assert!(
        syntax.contains("line 3") && !syntax.contains("hunter2"),
        "{syntax}"
    );
}

#[test]
fn secrets_stay_where_they_are() {
    let text = "[[notify.webhook]]\nname = \"a\"\nurl_file = \"/x\"\nbearer_env = \"T\"\n";
    let settings = loaded(text).settings;
    let notifier = &settings.notify.notifiers[0];
    assert_eq!(notifier.timeout, Duration::from_secs(10));
    let Channel::Webhook(webhook) = &notifier.channel else {
        panic!("{notifier:?}");
    };
    assert_eq!(webhook.to.url, Address::Secret(Secret::File("/x".into())));
    let token = Secret::Environment("T".to_owned());
    assert_eq!(webhook.to.auth, Some(Auth::Bearer(token.clone())));
    assert_eq!(webhook.to.secrets().nth(1), Some(&token));
    let text = "[[notify.alertmanager]]\nname = \"a\"\nurl = \"https://a\"\nca_file = \"/ca\"\n\
                user = \"u\"\npassword_env = \"P\"\n";
    let settings = loaded(text).settings;
    let Channel::Alertmanager(manager) = &settings.notify.notifiers[0].channel else {
        panic!("{settings:?}");
    };
    let password = Secret::Environment("P".to_owned());
    assert_eq!(manager.to.secrets().collect::<Vec<_>>(), [&password]);
    let user = "u".to_owned();
    assert_eq!(manager.to.auth, Some(Auth::Basic { user, password }));
    assert_eq!(manager.to.ca_file, Some("/ca".into()));
}

#[test]
fn a_bad_file_leaves_a_running_watch_as_it_is() {
    let old = loaded("[watch]\nage_min = 5\nmetrics = \"127.0.0.1:1\"\n").settings;
    let again = |text: &str| reload(&old, text, &nothing, &Flags::default());
    let new = again("[watch]\nage_min = 7\nmetrics = \"127.0.0.1:2\"\n").expect("good");
    assert_eq!((new.age_min, new.metrics), (7, old.metrics));
    for bad in [
        "[watch]\nage_min = \"x\"\n",
        "[watch\n",
        "[watch]\nagemin = 1\n",
    ] {
        assert!(again(bad).is_err(), "{bad}");
    }
    // What the environment has wrong was told at the start, and is no fault of the file.
    let environment = |name: &str| (name == "TRACER_WATCH_COOLDOWN_S").then(|| "x".to_owned());
    let kept = reload(&old, "", &environment, &Flags::default()).expect("good");
    assert_eq!(kept.cooldown_s, 1800);
}

proptest! {
    #[test]
    fn any_file_and_any_value_is_survived(text in ".{0,200}", value in ".{0,40}") {
        let environment = |_: &str| Some(value.clone());
        let _any = load(&text, &environment, &Flags::default());
        let _more = problems(&format!("[watch]\nage_min = {value}\n"));
    }
}
