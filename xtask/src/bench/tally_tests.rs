//! Each observer's output of a storm of one worker and three children, as it was seen.

use super::*;

fn lines(text: &str) -> impl Iterator<Item = String> {
    text.lines().map(str::to_owned)
}

fn complete() -> Tally {
    Tally::truth(1, 3)
}

#[test]
fn the_truth_is_every_child_once_and_every_code_in_turn() {
    let truth = Tally::truth(2, 257);
    assert_eq!((truth.forks, truth.execs, truth.exits), (516, 514, 514));
    let codes = truth.codes.unwrap();
    assert_eq!((codes[0], codes[1], codes[255]), (4, 2, 2));
    assert_eq!(codes.iter().sum::<usize>(), 514);
}

#[test]
fn what_is_missing_or_wrong_is_counted() {
    let mut seen = complete();
    assert_eq!(
        (seen.lost(&complete()), seen.right_codes(&complete())),
        (0, Some(3))
    );
    seen.forks -= 1;
    seen.exits -= 1;
    seen.codes = Some([vec![3], vec![0; 255]].concat());
    assert_eq!(
        (seen.lost(&complete()), seen.right_codes(&complete())),
        (2, Some(1))
    );
}

#[test]
fn a_journal_tells_the_storm_from_its_wrappers() {
    let text = r#"{"seq":0,"kind":"session"}
{"kind":"fork","pid":10,"creator_pid":9}
{"kind":"exec","pid":10,"comm":"bench_storm"}
{"kind":"fork","pid":11,"creator_pid":10}
{"kind":"fork","pid":12,"creator_pid":11}
{"kind":"exec","pid":12,"comm":"bench_tiny"}
{"kind":"exit","pid":12,"comm":"bench_tiny","exit_code":0}
{"kind":"fork","pid":13,"creator_pid":11}
{"kind":"exec","pid":13,"comm":"bench_tiny"}
{"kind":"exit","pid":13,"comm":"bench_tiny","exit_code":1}
{"kind":"fork","pid":14,"creator_pid":11}
{"kind":"exec","pid":14,"comm":"bench_tiny"}
{"kind":"exit","pid":14,"comm":"bench_tiny","exit_code":2}
{"kind":"exit","pid":11,"comm":"bench_storm","exit_code":0}
not a record"#;
    assert_eq!(tracer(lines(text), 1), complete());
}

#[test]
fn strace_is_read_through_interrupted_calls() {
    let text = r#"2784  execve("/t/bench_storm", ["/t"...], 0x7f /* 35 vars */) = 0
2784  clone(child_stack=NULL, flags=SIGCHLD, child_tidptr=0x7f) = 2785
2784  wait4(-1,  <unfinished ...>
2785  clone(child_stack=NULL, flags=SIGCHLD <unfinished ...>
2786  execve("./bench_tiny", ["bench_tiny"], 0x7f /* 35 vars */ <unfinished ...>
2785  <... clone resumed>, child_tidptr=0x7f) = 2786
2786  <... execve resumed>)             = 0
2786  exit_group(0)                     = ?
2786  +++ exited with 0 +++
2785  <... wait4 resumed>[{WIFEXITED(s) && WEXITSTATUS(s) == 0}], 0, {ru_utime=...}) = 2786
2785  --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=2786, si_status=0} ---
2785  clone(child_stack=NULL, flags=SIGCHLD, child_tidptr=0x7f) = 2787
2787  execve("./bench_tiny", ["bench_tiny", "\1"], 0x7f /* 35 vars */) = 0
2787  +++ exited with 1 +++
2785  vfork()                           = 2788
2788  execve("./bench_tiny", ["bench_tiny", "\2"], 0x7f /* 35 vars */) = 0
2788  +++ exited with 2 +++
2785  +++ exited with 0 +++
2784  +++ exited with 0 +++"#;
    assert_eq!(strace(lines(text), 1), complete());
}

#[test]
fn bpftrace_lines_of_others_do_not_count() {
    let text = "Attaching 3 probes...\nE bench_storm 1\nF bench_storm 1 2\nF bench_storm 2 3\n\
                E bench_tiny 3\nX bench_tiny 3 0\nF bench_storm 2 4\nF cargo 8 9\nE bench_tiny 4\n\
                X bench_tiny 4 256\nF bench_storm 2 5\nE bench_tiny 5\nX bench_tiny 5 512\n\
                X rustc 28622 0\nX bench_storm 2 0";
    assert_eq!(bpftrace(lines(text), 1), complete());
}

#[test]
fn perf_shows_no_codes() {
    let fork =
        "0.5 bench_storm/1 sched:sched_process_fork(parent_comm: \"bench_storm\", parent_pid: 1)";
    let exec = "0.7 bench_tiny/3 sched:sched_process_exec(filename: \"/t/bench_tiny\", pid: 3)";
    let exit = "0.7 bench_tiny/3 sched:sched_process_exit(comm: \"bench_tiny\", pid: 3, prio: 120)";
    let other =
        "1.2 bench_storm/2 sched:sched_process_exit(comm: \"bench_storm\", pid: 2, prio: 120)";
    let text = [
        fork, fork, exec, exit, fork, exec, exit, fork, exec, exit, other,
    ]
    .join("\n");
    let expected = Tally {
        codes: None,
        ..complete()
    };
    assert_eq!(perf(lines(&text), 1), expected);
    assert_eq!(expected.right_codes(&complete()), None);
}

#[test]
fn forkstat_is_read_by_pid_where_its_names_are_late() {
    let text = "\
Time     Event   PID Info   Duration Process
06:00:18 fork   9 parent          bash
06:00:18 fork   10 child           bash
06:00:18 exec   10                 bench_storm
06:00:18 fork   10 parent          bench_storm
06:00:18 fork   11 child           bench_storm
06:00:18 fork   11 parent          bench_storm
06:00:18 fork   12 child           bench_storm
06:00:18 exec   12                 bench_tiny
06:00:18 exit   12      0   0.004s bench_tiny
06:00:18 fork   11 parent          bench_storm
06:00:18 fork   13 child           bench_storm
06:00:18 exec   13                 bench_storm
06:00:18 exit   13    256   0.004s bench_storm
Time     Event   PID Info   Duration Process
06:00:18 fork   0 parent          [swapper]
06:00:18 fork   14 child           <unknown>
06:00:18 exec   14                 bench_tiny
06:00:18 exit   14    512   0.004s bench_tiny
06:00:18 exit   11      0   0.015s bench_storm
06:00:18 exit   10      0   0.020s bench_storm";
    assert_eq!(forkstat(lines(text), 1), complete());
}
