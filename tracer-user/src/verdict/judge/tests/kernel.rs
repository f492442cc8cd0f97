//! What the kernel sends by itself or for what somebody did.

use super::*;

fn cause(signal: Signal, status: u32) -> (Cause, Confidence) {
    let verdict = after(signal, status);
    (verdict.cause, verdict.confidence)
}

#[test]
fn keys_hang_ups_faults_and_kills_are_told_apart() {
    let certain = |cause| (cause, Confidence::Certain);
    let key = by_kernel(2, 50, "kworker/u4:1", SELF);
    assert_eq!(cause(key, 2), certain(Cause::Interrupt));
    assert_eq!(cause(kill(2, 99, SELF), 2), certain(Cause::Killed));
    let hangup = by_kernel(1, 50, "tmux", SELF);
    assert_eq!(cause(hangup, 1), certain(Cause::Hangup));
    let fault = Signal {
        code: 1,
        group: false,
        ..kill(11, SELF, SELF)
    };
    assert_eq!(cause(fault, 0x8b), certain(Cause::Fault));
    assert_eq!(cause(kill(11, 99, SELF), 11), certain(Cause::Killed));
}

#[test]
fn a_fault_says_what_was_wrong_and_that_there_is_a_core() {
    let fault = Signal {
        code: 1,
        group: false,
        ..kill(11, SELF, SELF)
    };
    assert_eq!(
        after(fault, 0x8b).sentence,
        "python3 (pid 5): SIGSEGV in python3 (core dumped): an address that is not mapped"
    );
}

#[test]
fn a_terminal_and_a_session_leader_are_two_ways_to_hang_up() {
    let closed = |dying, continued: bool| {
        let mut story = Story::new();
        let mut hangup = by_kernel(1, 50, "tmux", SELF);
        hangup.scene.sender_exiting = dying;
        story.signal(hangup);
        if continued {
            story.signal(by_kernel(18, 50, "tmux", SELF));
        }
        story.ends(1).sentence
    };
    let tmux = "tmux (pid 50, uid 0, outside the tree)";
    let says = |text: &str| format!("python3 (pid 5): {}", text.replace("TMUX", tmux));
    assert_eq!(
        closed(false, true),
        says("its terminal went away: TMUX closed it")
    );
    assert_eq!(
        closed(true, true),
        says("its terminal went away: TMUX closed it by ending")
    );
    assert_eq!(closed(true, false), says("its session leader TMUX ended"));
}

#[test]
fn a_write_that_nobody_reads_is_no_kill_by_itself() {
    let verdict = after(on_behalf(13, SELF, SELF, false), 13);
    assert!(
        verdict
            .sentence
            .contains("a pipe or socket that nobody reads")
    );
    assert_eq!(verdict.killer.unwrap().relation, Relation::Kernel);
    let own = after(kill(13, SELF, SELF), 13);
    assert_eq!(
        own.sentence,
        "python3 (pid 5): killed by SIGPIPE from itself"
    );
    assert_eq!(own.killer.unwrap().relation, Relation::Itself);
}

#[test]
fn limits_and_timers_are_told() {
    let says = |signal, status, what: &str| {
        let verdict = after(signal, status);
        assert!(verdict.sentence.contains(what), "{verdict:?}");
        assert_eq!(verdict.killer.unwrap().relation, Relation::Kernel);
    };
    says(by_kernel(24, SELF, "python3", SELF), 24, "RLIMIT_RTTIME");
    says(on_behalf(25, SELF, SELF, false), 25, "RLIMIT_FSIZE");
    says(
        by_kernel(14, 0, "swapper/1", SELF),
        14,
        "a timer of its own",
    );
    says(
        Signal {
            code: -2,
            from_kernel: true,
            ..kill(34, 0, SELF)
        },
        34,
        "a timer of its own",
    );
}

#[test]
fn a_hard_limit_on_cpu_time_kills() {
    let mut story = Story::new();
    let warned = story.signal(by_kernel(24, SELF, "python3", SELF));
    let mut killed = by_kernel(9, SELF, "python3", SELF);
    killed.scene.cpu_limit_s = Some(2);
    story.signal(killed.clone());
    story.exit_after(SELF, WRAPPER, 9, 1_900_000);
    let verdict = story.verdict();
    assert!(verdict.sentence.contains("2 s of CPU time"), "{verdict:?}");
    assert_eq!(
        (verdict.cause, verdict.confidence),
        (Cause::Killed, Confidence::Certain)
    );
    assert!(verdict.evidence.contains(&warned));
    let mut story = Story::new();
    story.signal(by_kernel(24, SELF, "python3", SELF));
    story.exit_after(SELF, WRAPPER, 24, 1_900_000);
    assert!(story.verdict().sentence.contains("RLIMIT_CPU"));
    // A limit that is far away is not what killed it.
    let mut story = Story::new();
    story.signal(killed);
    story.exit_after(SELF, WRAPPER, 9, 900_000);
    assert_eq!(story.verdict().confidence, Confidence::Likely);
}

#[test]
fn a_program_may_send_itself_any_code() {
    let mut pretended = by_kernel(9, SELF, "python3", SELF);
    pretended.scene.privileged = false;
    let verdict = after(pretended, 9);
    assert!(verdict.sentence.ends_with("killed by SIGKILL from itself"));
}

#[test]
fn the_end_of_a_namespaces_first_process_is_told() {
    let mut gone = by_kernel(9, 60, "init", SELF);
    gone.sender.inner = 1;
    gone.scene.sender_exiting = true;
    let verdict = after(gone, 9);
    assert!(
        verdict
            .sentence
            .contains("the first process of its pid namespace, ended"),
        "{verdict:?}"
    );
}

#[test]
fn cgroup_kill_names_the_writer() {
    let verdict = after(on_behalf(9, 99, SELF, false), 9);
    assert!(
        verdict
            .sentence
            .contains("outside the tree) through cgroup.kill (or PTRACE_KILL,")
    );
    assert_eq!(verdict.killer.unwrap().pid, Some(99));
}

#[test]
fn want_of_memory_is_told_with_limit_and_what_was_held() {
    let mut story = Story::new();
    let sent = story.signal(by_kernel(9, SELF, "python3", SELF));
    let oom = story.oom(SELF, SELF, 498 << 10);
    let about = About {
        pid: SELF,
        start: process(SELF).key.start,
    };
    story.book.aftermath.oom(
        about,
        OomScene {
            seq: 700,
            scope: Some(Scope::Cgroup),
            cgroup: Some("/job".to_owned()),
            limit_kb: Some(512 << 10),
            ..OomScene::default()
        },
    );
    let end = story.exit(SELF, WRAPPER, 9);
    let verdict = story.verdict();
    assert_eq!(
        verdict.sentence,
        "python3 (pid 5): out of memory: the kernel killed it at 512 MiB, the limit of its cgroup \
         /job; python3 (pid 5) held 498 MiB"
    );
    assert_eq!(
        (verdict.cause, verdict.confidence),
        (Cause::KernelOom, Confidence::Certain)
    );
    assert_eq!(verdict.evidence, [sent, oom, end, 700]);
    assert_eq!(verdict.killer, None);
}

#[test]
fn a_limit_that_nobody_named_as_the_one_that_was_reached_is_told_as_no_more_than_that() {
    let mut story = Story::new();
    story.oom(SELF, SELF, 2048);
    let about = About {
        pid: SELF,
        start: process(SELF).key.start,
    };
    let scene = OomScene {
        seq: 700,
        cgroup: Some("/job".to_owned()),
        limit_kb: Some(512 << 10),
        ..OomScene::default()
    };
    story.book.aftermath.oom(about, scene);
    assert_eq!(
        story.ends(9).sentence,
        "python3 (pid 5): out of memory: the kernel killed it (its cgroup /job has a limit of 512 \
         MiB); python3 (pid 5) held 2 MiB"
    );
}

#[test]
fn whoever_goes_with_all_of_a_cgroup_is_told_with_its_limit() {
    for group in [true, false] {
        let mut story = Story::new();
        story.oom(SELF, SELF, 498 << 10);
        let about = About {
            pid: SELF,
            start: process(SELF).key.start,
        };
        let scene = OomScene {
            seq: 700,
            scope: Some(Scope::Cgroup),
            cgroup: Some("/job".to_owned()),
            limit_kb: Some(512 << 10),
            group,
            ..OomScene::default()
        };
        story.book.aftermath.oom(about, scene);
        story.signal(by_kernel(9, SELF, "python3", CHILD));
        story.oom(CHILD, SELF, 2048);
        story.exit(CHILD, SELF, 9);
        let verdict = story.verdict();
        assert_eq!(verdict.cause, Cause::KernelOom);
        let sentence = if group {
            "node (pid 6): out of memory: the kernel killed it at 512 MiB, the limit of its cgroup \
             /job; python3 (pid 6) held 2 MiB; all of its cgroup was to go with it (memory.oom.group)"
        } else {
            // Two kills one after the other have nothing to do with one another.
            "node (pid 6): out of memory: the kernel killed it; python3 (pid 6) held 2 MiB"
        };
        assert_eq!(verdict.sentence, sentence);
    }
}

#[test]
fn whoever_shares_the_victims_memory_dies_of_it_too() {
    let mut story = Story::new();
    story.signal(by_kernel(9, SELF, "python3", SELF));
    story.oom(SELF, SELF, 1);
    story.signal(by_kernel(9, SELF, "python3", CHILD));
    story.exit(CHILD, SELF, 9);
    let verdict = story.verdict();
    assert_eq!(verdict.cause, Cause::KernelOom);
    assert!(
        verdict
            .sentence
            .contains("shares its memory with python3 (pid 5)"),
        "{verdict:?}"
    );
}

#[test]
fn a_kill_by_the_kernel_without_an_oom_report_is_no_oom_kill() {
    let found = cause(by_kernel(9, SELF, "bash", SELF), 9);
    assert_eq!(found, (Cause::Killed, Confidence::Likely));
}
