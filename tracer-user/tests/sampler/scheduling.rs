//! Priorities and scheduling classes: no field tells them, and none is told otherwise because of them.

use crate::{fixture::Fixture, kinds::both_ways, oracle::settle, roles::ready_then_rest};

/// Parts that differ in how they are scheduled.
pub(crate) fn play(name: &str, argument: &str) -> bool {
    match name {
        "nice" => {
            // SAFETY: takes no pointers.
            let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) };
            assert_eq!(result, 0);
        }
        "policy" => {
            let policy: i32 = argument.parse().unwrap();
            let parameters = libc::sched_param {
                sched_priority: i32::from(policy == libc::SCHED_FIFO || policy == libc::SCHED_RR),
            };
            // SAFETY: `parameters` is readable.
            let result = unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
            assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
        }
        _ => return false,
    }
    ready_then_rest("");
    true
}

fn scheduled(role: &str, policy: i32, nice: i64) {
    let fixture = Fixture::start(role);
    let process = settle(fixture.pid(), 'S');
    let stat = process.stat().unwrap();
    let truly = (stat.policy, stat.nice);
    assert_eq!(truly, (Some(policy.cast_unsigned()), nice));
    both_ways(&process);
    fixture.finish();
}

#[test]
fn a_process_of_the_lowest_priority() {
    scheduled("nice", libc::SCHED_OTHER, 19);
}

#[test]
fn a_process_of_the_batch_class() {
    scheduled(
        &format!("policy:{}", libc::SCHED_BATCH),
        libc::SCHED_BATCH,
        0,
    );
}

#[test]
fn a_process_of_the_idle_class() {
    scheduled(&format!("policy:{}", libc::SCHED_IDLE), libc::SCHED_IDLE, 0);
}

#[test]
fn a_process_of_the_real_time_class() {
    scheduled(&format!("policy:{}", libc::SCHED_FIFO), libc::SCHED_FIFO, 0);
}
