//! Programs of the kernel side that are not attached but run, in the thread that asks.

use aya::{
    Ebpf,
    programs::{Program, ProgramError, RawTracePoint, RawTracePointRunOptions, TestRun as _},
};
use tracer_common::{
    control::Observer,
    names::{PROG_ADOPT_HELD, PROG_WHO_AM_I},
};

use super::{control::SharedControl, support::ProbeError};

const WHO: &str = "asking the kernel who we are";

/// Asks the kernel who this thread is.
pub(super) fn who_am_i(
    program: &RawTracePoint,
    control: &SharedControl,
) -> Result<Observer, ProbeError> {
    match run(program) {
        Ok(true) => Ok(control.answer()),
        Ok(false) => Err(ProbeError::step(WHO, "it did not answer")),
        Err(source) => Err(ProbeError::step(WHO, source)),
    }
}

/// The program that answers this.
pub(super) fn program_who_am_i(ebpf: &mut Ebpf) -> Result<&mut RawTracePoint, ProbeError> {
    program(ebpf, PROG_WHO_AM_I).ok_or_else(|| ProbeError::step(WHO, "there is no program for it"))
}

/// Tracks the process that is to be adopted, if this thread made it. `None` where the program is not loaded.
pub(super) fn adopt_held(ebpf: &mut Ebpf) -> Option<Result<bool, ProbeError>> {
    match run(program(ebpf, PROG_ADOPT_HELD)?) {
        Err(ProgramError::NotLoaded) => None,
        Err(source) => Some(Err(ProbeError::step("tracking the held process", source))),
        Ok(is_tracked) => Some(Ok(is_tracked)),
    }
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Option<&'a mut RawTracePoint> {
    match ebpf.program_mut(name) {
        Some(Program::RawTracePoint(program)) => Some(program),
        _ => None,
    }
}

/// Whether the program has done its work.
fn run(program: &RawTracePoint) -> Result<bool, ProgramError> {
    let result = program.test_run(RawTracePointRunOptions::new())?;
    Ok(result.return_value == 1)
}
