//! Takes signals and says which: `listener` logs a note `signal N` for each of HUP, INT, QUIT, USR1,
//! USR2, TERM and WINCH (with the terminal's size), and exits with 42 at TERM.

use anyhow::Result;
use tracer_tests::sys;
use tracer_tests::truth::Truth;

const TAKEN: [i32; 7] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGTERM,
    libc::SIGWINCH,
];

fn size() -> String {
    rustix::termios::tcgetwinsize(std::io::stdin()).map_or_else(
        |_| String::new(),
        |size| format!(" {}x{}", size.ws_row, size.ws_col),
    )
}

fn main() -> Result<std::process::ExitCode> {
    TAKEN.into_iter().for_each(sys::block);
    let mut truth = Truth::from_env()?;
    truth.note("ready", &sys::getpid().to_string());
    truth.flush()?;
    loop {
        let signal = sys::take_signal(&TAKEN)?;
        truth.note("signal", &format!("{signal}{}", size()));
        truth.flush()?;
        if signal == libc::SIGTERM {
            return Ok(std::process::ExitCode::from(42));
        }
    }
}
