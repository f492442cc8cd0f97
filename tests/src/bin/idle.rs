//! Waits, with every signal's default action: `idle [MIB]` holds MIB MiB, starts one more thread,
//! says both ids in the truth log, and stays until a signal ends it.

use anyhow::Result;
use tracer_tests::sys;
use tracer_tests::truth::Truth;

fn main() -> Result<()> {
    let mib: usize = std::env::args().nth(1).map_or(Ok(0), |arg| arg.parse())?;
    let held = vec![1_u8; mib << 20];
    let thread = std::thread::spawn(|| {
        let said = Truth::from_env().and_then(|mut truth| {
            truth.note("thread", &sys::gettid().to_string());
            truth.note("ready", &sys::getpid().to_string());
            Ok(truth.flush()?)
        });
        loop {
            std::thread::park();
            if said.is_err() {
                return;
            }
        }
    });
    let joined = thread.join().is_ok();
    drop((held, joined));
    Ok(())
}
