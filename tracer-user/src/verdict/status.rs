//! The raw wait status of `waitpid(2)`, as the kernel stores it (kernel/exit.c, `wait_task_zombie`).

/// A wait status: `signal | core << 7 | code << 8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitStatus(pub u32);

impl WaitStatus {
    /// The signal that ended it, `None` when it exited.
    #[must_use]
    pub fn signal(self) -> Option<i32> {
        match self.0 & 0x7f {
            0 => None,
            #[expect(clippy::cast_possible_wrap, reason = "seven bits")]
            signal => Some(signal as i32),
        }
    }

    /// Whether the kernel dumped core.
    #[must_use]
    pub fn core_dumped(self) -> bool {
        self.signal().is_some() && self.0 & 0x80 != 0
    }

    /// The exit code, `None` when a signal ended it.
    #[must_use]
    pub fn exit_code(self) -> Option<i32> {
        #[expect(clippy::cast_possible_wrap, reason = "eight bits")]
        self.signal()
            .is_none()
            .then_some((self.0 >> 8 & 0xff) as i32)
    }

    /// What a shell would report: the code, or 128 + n for signal n.
    #[must_use]
    pub fn shell_code(self) -> u8 {
        let code = self
            .exit_code()
            .or(self.signal().map(|signal| 128 + signal));
        code.and_then(|code| u8::try_from(code).ok())
            .unwrap_or(u8::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_code_or_a_signal_never_both() {
        assert_eq!(WaitStatus(0x700).exit_code(), Some(7));
        assert_eq!(WaitStatus(0x700).signal(), None);
        assert_eq!(WaitStatus(0x9).signal(), Some(9));
        assert_eq!(WaitStatus(0x9).exit_code(), None);
        assert!(WaitStatus(0x8b).core_dumped());
        assert!(!WaitStatus(0x8000).core_dumped());
    }

    #[test]
    fn a_shell_sees_128_and_the_signal() {
        assert_eq!(WaitStatus(0x9).shell_code(), 137);
        assert_eq!(WaitStatus(0xff00).shell_code(), 255);
    }
}
