//! The closed account of a process as a line. It is one more for each process, so it is kept short: what a short
//! process has none of is left out.

use super::{Encoder, put_count, put_number};
use crate::{event::Account, session::journal::text::key};

impl Encoder {
    pub(super) fn account(&self, out: &mut Vec<u8>, account: &Account) {
        self.process(out, &account.process);
        put_number(out, key!("cpu_user_us"), account.cpu_user_us);
        put_number(out, key!("cpu_system_us"), account.cpu_system_us);
        put_number(out, key!("faults_minor"), account.faults_minor);
        let voluntary = account.ctx_switches_voluntary;
        put_number(out, key!("ctx_switches_voluntary"), voluntary);
        put_count(out, key!("faults_major"), account.faults_major);
        let involuntary = account.ctx_switches_involuntary;
        put_count(out, key!("ctx_switches_involuntary"), involuntary);
        match account.io_bytes {
            Some((0, 0)) => {}
            Some((read, written)) => {
                put_number(out, key!("io_read_bytes"), read);
                put_number(out, key!("io_write_bytes"), written);
            }
            None => {
                out.extend_from_slice(b",\"io_read_bytes\":null,\"io_write_bytes\":null");
            }
        }
    }
}
