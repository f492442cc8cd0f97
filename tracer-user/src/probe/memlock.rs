//! Before Linux 5.11 maps and programs count against the limit of locked memory, 64 KiB by default.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// `RLIMIT_MEMLOCK` raised while this lives.
pub(super) struct RaisedMemlock(Rlimit);

impl RaisedMemlock {
    pub(super) fn new() -> Self {
        let before = getrlimit(Resource::Memlock);
        // Without the privilege for it, making the maps fails and says so.
        let _ = setrlimit(
            Resource::Memlock,
            Rlimit {
                current: None,
                maximum: None,
            },
        );
        Self(before)
    }
}

impl Drop for RaisedMemlock {
    fn drop(&mut self) {
        let _ = setrlimit(Resource::Memlock, self.0);
    }
}
