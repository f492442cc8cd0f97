//! The hooks as one table, and their programs: each verified in a thread of its own.

use std::thread;

use aya::{
    Btf as AyaBtf, Ebpf,
    programs::{Program, ProgramError},
};
use tracer_common::names::{PROG_EXEC, PROG_EXIT, PROG_FORK, PROG_OOM, PROG_SIGNAL};

use super::{
    offsets::Degraded,
    support::{ProbeError, Situation},
};

/// A hook: the program, the type aya looks up, and whether anything works without it.
#[derive(Clone, Copy)]
pub(super) struct Hook {
    pub(super) program: &'static str,
    pub(super) tracepoint: &'static str,
    is_required: bool,
}

pub(super) const HOOKS: [Hook; 5] = [
    Hook {
        program: PROG_EXIT,
        tracepoint: "sched_process_exit",
        is_required: true,
    },
    Hook {
        program: PROG_FORK,
        tracepoint: "sched_process_fork",
        is_required: true,
    },
    Hook {
        program: PROG_EXEC,
        tracepoint: "sched_process_exec",
        is_required: true,
    },
    Hook {
        program: PROG_SIGNAL,
        tracepoint: "signal_generate",
        is_required: false,
    },
    Hook {
        program: PROG_OOM,
        tracepoint: "mark_victim",
        is_required: false,
    },
];

/// Verifies all programs side by side; the hooks that are there.
pub(super) fn load_programs(
    ebpf: &mut Ebpf,
    types: &AyaBtf,
    degraded: &mut Vec<Degraded>,
) -> Result<Vec<&'static str>, ProbeError> {
    let results: Vec<(String, Result<(), ProgramError>)> = thread::scope(|scope| {
        let threads: Vec<_> = ebpf
            .programs_mut()
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
        let hook = HOOKS.iter().find(|hook| hook.program == name);
        let Err(error) = result else {
            present.extend(hook.map(|hook| hook.program));
            continue;
        };
        let Some(hook) = hook.filter(|hook| !hook.is_required) else {
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

fn load_program(name: &str, program: &mut Program, types: &AyaBtf) -> Result<(), ProgramError> {
    match program {
        Program::BtfTracePoint(program) => {
            let tracepoint = HOOKS
                .iter()
                .find(|hook| hook.program == name)
                .map_or(name, |hook| hook.tracepoint);
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
