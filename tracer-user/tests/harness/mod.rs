//! A test harness of one thread, for programs that must not have others.
#![expect(clippy::print_stdout, reason = "this is a test harness")]

use std::ffi::OsString;
use std::process::ExitCode;

/// The tests by name, as `#[test]` would list them.
macro_rules! tests {
    ($($name:ident,)*) => {
        &[$((stringify!($name), $name as fn())),*]
    };
}
pub(crate) use tests;

/// Runs those tests that `args` name, or all.
pub(crate) fn run_tests(tests: &[(&str, fn())], args: &[OsString]) -> ExitCode {
    // A command that is not told its input's end waits for ever, and so would these tests.
    // SAFETY: only sets a timer, whose signal ends this process; children do not inherit it.
    unsafe { libc::alarm(120) };
    let filters: Vec<String> = args
        .iter()
        .filter_map(|arg| arg.to_str())
        .filter(|arg| !arg.starts_with('-'))
        .map(Into::into)
        .collect();
    let chosen: Vec<_> = tests
        .iter()
        .filter(|(name, _)| {
            filters.is_empty() || filters.iter().any(|filter| name.contains(filter))
        })
        .collect();
    // The lines are those of libtest, so that whoever counts tests counts these.
    println!("\nrunning {} tests", chosen.len());
    let mut failed = 0;
    for (name, test) in &chosen {
        let ok = std::panic::catch_unwind(test).is_ok();
        println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
        failed += usize::from(!ok);
    }
    let (word, passed) = (
        if failed == 0 { "ok" } else { "FAILED" },
        chosen.len() - failed,
    );
    let filtered = tests.len() - chosen.len();
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; {filtered} filtered out\n"
    );
    ExitCode::from(u8::from(failed > 0))
}
