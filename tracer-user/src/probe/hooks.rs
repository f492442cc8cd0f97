//! The hooks as one table, and their programs: each verified in a thread of its own.

use std::thread;

use aya::{
    Btf as AyaBtf, Ebpf,
    programs::{Program, ProgramError},
};
use tracer_common::names::{
    PROG_EXEC, PROG_EXEC_AGAIN, PROG_EXIT, PROG_EXIT_AGAIN, PROG_FORK, PROG_FORK_AGAIN, PROG_OOM,
    PROG_SIGNAL,
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
    /// It does what this other program was skipped for.
    Again(&'static str),
}

/// In the order in which they are attached: the end first, so that no process is taken in whose end
/// would be missed; what goes behind another program after it.
pub(super) const HOOKS: [Hook; 8] = [
    hook(PROG_EXIT, "sched_process_exit", Need::Required),
    hook(
        PROG_EXIT_AGAIN,
        "sched_process_exit",
        Need::Again(PROG_EXIT),
    ),
    hook(PROG_EXEC, "sched_process_exec", Need::Required),
    hook(
        PROG_EXEC_AGAIN,
        "sched_process_exec",
        Need::Again(PROG_EXEC),
    ),
    hook(PROG_FORK, "sched_process_fork", Need::Required),
    hook(
        PROG_FORK_AGAIN,
        "sched_process_fork",
        Need::Again(PROG_FORK),
    ),
    hook(PROG_SIGNAL, "signal_generate", Need::Optional),
    hook(PROG_OOM, "mark_victim", Need::Optional),
];

const fn hook(program: &'static str, tracepoint: &'static str, need: Need) -> Hook {
    Hook {
        program,
        tracepoint,
        need,
    }
}

impl Hook {
    fn of(program: &str) -> Option<&'static Self> {
        HOOKS.iter().find(|hook| hook.program == program)
    }
}

/// Events that no program of their hook saw, at most: `misses` says how often a program was skipped.
/// An event is lost only when every program of its hook was skipped for it.
pub(super) fn missed(
    present: &[&'static str],
    mut misses: impl FnMut(&'static str) -> Result<u64, ProbeError>,
) -> Result<u64, ProbeError> {
    let mut sum = 0;
    for hook in &HOOKS {
        if !present.contains(&hook.program) || matches!(hook.need, Need::Again(_)) {
            continue;
        }
        let mut least = misses(hook.program)?;
        for again in HOOKS
            .iter()
            .filter(|other| other.need == Need::Again(hook.program))
        {
            if present.contains(&again.program) {
                least = least.min(misses(again.program)?);
            }
        }
        sum += least;
    }
    Ok(sum)
}

/// Verifies all programs side by side and returns the hooks' programs that are there. `may_be_skipped`:
/// this kernel may skip a program, so those that stand in are wanted.
pub(super) fn load_programs(
    ebpf: &mut Ebpf,
    types: &AyaBtf,
    may_be_skipped: bool,
    degraded: &mut Vec<Degraded>,
) -> Result<Vec<&'static str>, ProbeError> {
    let results: Vec<(String, Result<(), ProgramError>)> = thread::scope(|scope| {
        let threads: Vec<_> = ebpf
            .programs_mut()
            .filter(|(name, _)| may_be_skipped || !is_again(name))
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
                name: hook.tracepoint.to_owned(),
                why: ProbeError::from_program(&name, error, Situation::read).to_string(),
            });
        }
    }
    Ok(present)
}

fn is_again(program: &str) -> bool {
    Hook::of(program).is_some_and(|hook| matches!(hook.need, Need::Again(_)))
}

fn load_program(name: &str, program: &mut Program, types: &AyaBtf) -> Result<(), ProgramError> {
    match program {
        Program::BtfTracePoint(program) => {
            let tracepoint = Hook::of(name).map_or(name, |hook| hook.tracepoint);
            program.load(tracepoint, types)
        }
        Program::Iter(program) => program.load("task", types),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

/// The result of a thread, or its panic.
pub(super) fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_missed_only_when_all_its_programs_were_skipped() {
        let misses = |program| {
            Ok(match program {
                PROG_EXIT => 5,
                PROG_EXIT_AGAIN => 2,
                PROG_FORK => 3,
                PROG_SIGNAL => 1,
                _ => 0,
            })
        };
        let all = HOOKS.map(|hook| hook.program);
        assert_eq!(missed(&all, misses).unwrap(), 2 + 1);
        assert_eq!(
            missed(&[PROG_EXIT, PROG_FORK, PROG_EXEC], misses).unwrap(),
            5 + 3
        );
    }
}
