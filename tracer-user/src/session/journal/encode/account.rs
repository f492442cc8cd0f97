//! The closed account of a process as a line. It is one more for each process, so it is kept short: what a short
//! process has none of is left out.

use super::{Encoder, put_number};
use crate::{
    event::Account,
    session::journal::text::{key, put_opt_u64},
};

impl Encoder {
    pub(super) fn account(&self, out: &mut Vec<u8>, account: &Account) {
        self.process(out, &account.process);
        put_number(out, key!("cpu_user_us"), account.cpu_user_us);
        put_number(out, key!("cpu_system_us"), account.cpu_system_us);
        put_number(out, key!("faults_minor"), account.faults_minor);
        let voluntary = account.ctx_switches_voluntary;
        put_number(out, key!("ctx_switches_voluntary"), voluntary);
        let (read, written) = account.io_bytes.unzip();
        for (key, count) in [
            (key!("faults_major"), Some(account.faults_major)),
            (
                key!("ctx_switches_involuntary"),
                Some(account.ctx_switches_involuntary),
            ),
            (key!("io_read_bytes"), read),
            (key!("io_write_bytes"), written),
        ] {
            if count != Some(0) {
                out.extend_from_slice(key);
                put_opt_u64(out, count);
            }
        }
    }
}
