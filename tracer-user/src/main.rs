//! The `tracer` program: hands its arguments to [`tracer::cli`] and exits with what that returns.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(tracer::cli::main(std::env::args_os()))
}
