//! The kernel side on the running kernel, against what `wait4` says. Needs root.

use tracer::probe::loader::{Loader, Settings};

#[test]
fn loads() {
    let loaded = Loader::new(Settings::default())
        .load()
        .map_err(|e| eprintln!("{e}"))
        .unwrap();
    eprintln!("{:?}", loaded.degraded());
    let attached = loaded.attach().unwrap();
    eprintln!("{:?} {:?}", attached.observer(), attached.start_times());
    eprintln!("{:?}", attached.losses().unwrap());
}
