//! The hooks as one table, and their programs: each verified in a thread of its own.

use std::thread;

use aya::{
    Btf as AyaBtf, Ebpf,
    programs::{Program, ProgramError, links::FdLink},
};
use tracer_common::names::{
    PROG_ADOPT, PROG_ADOPT_BORN, PROG_ADOPT_HELD, PROG_ADOPT_ORPHANS, PROG_EXEC, PROG_EXIT,
    PROG_EXIT_AGAIN, PROG_FOLLOW_BORN, PROG_FOLLOW_EXEC, PROG_FOLLOW_LOOK, PROG_FOLLOW_MADE,
    PROG_FOLLOW_MOVED, PROG_FORK, PROG_FREE, PROG_OOM, PROG_SIGNAL, PROG_SNAPSHOT, PROG_WAKEUP_NEW,
    PROGS_EXEC_AGAIN,
};

use super::{
    offsets::Degraded,
    support::{ProbeError, Situation},
};

/// A hook: the program, the tracepoint, and what follows when there is none.
#[derive(Clone, Copy)]
pub(super) struct Hook {
    pub(super) program: &'static str,
    pub(super) tracepoint: &'static str,
    need: Need,
}

/// What a hook's program is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Nothing works without it.
    Required,
    /// The record lacks something without it.
    Optional,
    /// It stands in where another program was skipped.
    StandIn,
    /// It reports accounts, where they are wanted, and stands in for another program.
    Account,
    /// It begins trees by itself, where that is wanted.
    Following,
}

/// In the order in which they are attached: the end first, so that no process is taken in whose end
/// would be missed; what stands in for another program after it; what begins a tree with an exec before
/// what reports that exec.
pub(super) const HOOKS: [Hook; 19] = [
    hook(PROG_EXIT, "sched_process_exit", Need::Required),
    hook(PROG_EXIT_AGAIN, "sched_process_exit", Need::StandIn),
    hook(PROG_FREE, "sched_process_free", Need::Account),
    hook(PROG_FOLLOW_EXEC, "sched_process_exec", Need::Following),
    hook(PROG_EXEC, "sched_process_exec", Need::Required),
    exec_again(0),
    exec_again(1),
    exec_again(2),
    exec_again(3),
    exec_again(4),
    exec_again(5),
    exec_again(6),
    hook(PROG_FORK, "sched_process_fork", Need::Required),
    hook(PROG_WAKEUP_NEW, "sched_wakeup_new", Need::StandIn),
    hook(PROG_SIGNAL, "signal_generate", Need::Optional),
    hook(PROG_OOM, "mark_victim", Need::Optional),
    hook(PROG_FOLLOW_BORN, "sched_wakeup_new", Need::Following),
    hook(PROG_FOLLOW_MOVED, "cgroup_attach_task", Need::Following),
    hook(PROG_FOLLOW_MADE, "cgroup_mkdir", Need::Following),
];

/// Attached at the first adoption of a process that may have others below it.
pub(super) const ADOPTING: [Hook; 2] = [
    hook(PROG_ADOPT_BORN, "sched_wakeup_new", Need::Optional),
    hook(PROG_ADOPT_ORPHANS, "sched_process_exit", Need::Optional),
];

/// Programs without a stand-in: what they are skipped for is lost. Signals are generated under a lock
/// that cannot be preempted on any but a real-time kernel, and victims are chosen one at a time.
const ALONE: [&str; 2] = [PROG_SIGNAL, PROG_OOM];
/// Programs with stand-ins, where those are wanted.
const STOOD_IN_FOR: [&str; 3] = [PROG_FORK, PROG_EXEC, PROG_EXIT];

/// The programs whose skips are losses. `present`: those that are attached.
pub(super) fn alone(present: &[&'static str]) -> Vec<&'static str> {
    let has_stand_ins = present.contains(&PROG_WAKEUP_NEW);
    let others = STOOD_IN_FOR.iter().filter(|_| !has_stand_ins);
    let following = [PROG_FOLLOW_EXEC];
    let following = following.iter().filter(|one| present.contains(one));
    ALONE
        .iter()
        .chain(others)
        .chain(following)
        .copied()
        .collect()
}

const fn hook(program: &'static str, tracepoint: &'static str, need: Need) -> Hook {
    Hook {
        program,
        tracepoint,
        need,
    }
}

const fn exec_again(index: usize) -> Hook {
    let program = PROGS_EXEC_AGAIN[index];
    hook(program, "sched_process_exec", Need::StandIn)
}

impl Hook {
    fn of(program: &str) -> Option<&'static Self> {
        let mut all = HOOKS.iter().chain(&ADOPTING);
        all.find(|hook| hook.program == program)
    }
}

/// Which programs are wanted beside those that always are.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is wanted for a reason of its own, and any of them may come together"
)]
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    /// Those that stand in for others: this kernel may skip a program.
    pub(super) stand_ins: bool,
    /// The one that reports accounts.
    pub(super) accounts: bool,
    /// The one that adopts a child that is held; where it cannot, the iterator that adopts anybody.
    pub(super) held: bool,
    /// Those that watch an adoption.
    pub(super) adopting: bool,
    /// Those that begin trees by themselves.
    pub(super) following: bool,
}

impl Wanted {
    fn has(self, program: &str) -> bool {
        if ADOPTING.iter().any(|hook| hook.program == program) {
            return self.adopting;
        }
        if [PROG_ADOPT, PROG_ADOPT_HELD].contains(&program) {
            return self.held == (program == PROG_ADOPT_HELD);
        }
        if program == PROG_FOLLOW_LOOK || needs(program, Need::Following) {
            return self.following;
        }
        if needs(program, Need::Account) {
            return self.accounts || self.stand_ins;
        }
        (self.stand_ins || !needs(program, Need::StandIn)) && program != PROG_SNAPSHOT
    }
}

/// Verifies the wanted programs side by side and returns the hooks' programs that are there.
pub(super) fn load_programs(
    ebpf: &mut Ebpf,
    types: &AyaBtf,
    wanted: Wanted,
    degraded: &mut Vec<Degraded>,
) -> Result<Vec<&'static str>, ProbeError> {
    let results: Vec<(String, Result<(), ProgramError>)> = thread::scope(|scope| {
        let threads: Vec<_> = ebpf
            .programs_mut()
            .filter(|(name, _)| wanted.has(name))
            .map(|(name, program)| {
                let name = name.to_owned();
                scope.spawn(move || {
                    let result = load_program(&name, program, types);
                    (name, result)
                })
            })
            .collect();
        threads.into_iter().map(join).collect()
    });
    let mut present = Vec::new();
    for (name, result) in results {
        let hook = Hook::of(&name);
        let Err(error) = result else {
            present.extend(hook.map(|hook| hook.program));
            continue;
        };
        let Some(hook) = hook.filter(|hook| hook.need != Need::Required) else {
            return Err(ProbeError::from_program(&name, error, Situation::read));
        };
        // A kernel without this tracepoint has been named already, with what follows from it.
        if !matches!(error, ProgramError::Btf(_)) {
            degraded.push(Degraded {
                name: match hook.need {
                    Need::Following => hook.program.to_owned(),
                    _ => hook.tracepoint.to_owned(),
                },
                why: ProbeError::from_program(&name, error, Situation::read).to_string(),
            });
        }
    }
    Ok(present)
}

/// Attaches a hook's program; it stays attached as long as the link, or a pin of it, is there.
pub(super) fn attach(ebpf: &mut Ebpf, program: &str) -> Result<FdLink, ProbeError> {
    let Some(Program::BtfTracePoint(found)) = ebpf.program_mut(program) else {
        return Err(ProbeError::step("finding a program", program));
    };
    let link = found.attach().and_then(|id| found.take_link(id));
    let tracepoint = Hook::of(program).map_or(program, |hook| hook.tracepoint);
    link.map(FdLink::from)
        .map_err(|source| ProbeError::step(format!("attaching {tracepoint}"), source))
}

fn needs(program: &str, need: Need) -> bool {
    Hook::of(program).is_some_and(|hook| hook.need == need)
}

fn load_program(name: &str, program: &mut Program, types: &AyaBtf) -> Result<(), ProgramError> {
    match program {
        Program::BtfTracePoint(program) => {
            let tracepoint = Hook::of(name).map_or(name, |hook| hook.tracepoint);
            program.load(tracepoint, types)
        }
        Program::Iter(program) => program.load("task", types),
        Program::RawTracePoint(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

/// The result of a thread, or its panic.
pub(super) fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
