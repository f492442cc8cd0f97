//! Ring bytes → [`Event`].
//!
//! Source of the layout: `tracer_common::event`. Pure, and safe on any bytes: a record comes from the
//! kernel side of some version of this program, so its lengths are checked and its kind may be new.
//! What is not understood is an error for the caller to count; nothing is repaired or guessed.

#[cfg(test)]
mod tests;

use bytemuck::Pod;
use thiserror::Error;
use tracer_common::{
    event::{
        AccountEvent, EventHeader, ExecEvent, ExitEvent, FLAG_ADOPTED, FLAG_ARGV_TRUNCATED,
        FLAG_ARGV_UNREADABLE, FLAG_FILENAME_TRUNCATED, FLAG_FOLLOWED, FLAG_MAXRSS_UPPER_BOUND,
        FLAG_OOM_FIGURES, FLAG_SENDER_EXITING, FLAG_SENDER_KERNEL, FLAG_SIGNAL_BLOCKED,
        FLAG_SIGNAL_GROUP, FLAG_SIGNAL_HANDLED, FLAG_SIGNAL_NO_INFO, FLAG_SIGNAL_PRIVILEGED,
        FLAG_TOTALS_PARTIAL, Followed, ForkEvent, KIND_ACCOUNT, KIND_EXEC, KIND_EXIT, KIND_FORK,
        KIND_OOM, KIND_SIGNAL, OomEvent, SignalEvent, SignalSender,
    },
    ids::ProcRef,
    limits::SENDER_CMDLINE_MAX,
};

use crate::{
    event::{
        Account, Event, EventKind, Exec, Exit, ExitTotals, Fork, Oom, OomFigures, Scene, Signal,
        Spare,
    },
    units::{BootNs, Comm, ProcKey, Process, Tgid},
};

/// What the numbers in a record are counted in, on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeUnits {
    /// KiB in one page of memory: `sysconf(_SC_PAGESIZE)` / 1024.
    pub page_kb: u64,
}

/// Why a record is not an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Ends before the fields that its kind has.
    #[error("record of kind {kind} has {len} bytes, {need} expected")]
    TooShort {
        /// Its kind, 0 when not even that is there.
        kind: u16,
        /// Bytes there are.
        len: usize,
        /// Bytes there must be.
        need: usize,
    },
    /// A kind that this program does not know; the object in the kernel is newer.
    #[error("record of unknown kind {0}")]
    UnknownKind(u16),
    /// The lengths inside an exec name more bytes than follow it.
    #[error("exec record announces {filename} + {argv} bytes behind it, {have} are there")]
    BadLengths {
        /// Bytes of filename announced.
        filename: u16,
        /// Bytes of arguments announced.
        argv: u16,
        /// Bytes there are.
        have: usize,
    },
}

/// Decodes one record. It may be longer than its kind needs: later versions append fields.
///
/// # Errors
/// [`DecodeError`] when it is shorter, of unknown kind, or contradicts itself.
pub fn decode(record: &[u8], units: DecodeUnits) -> Result<Event, DecodeError> {
    decode_into(&mut Spare::default(), record, units)
}

/// [`decode`] into the room of events that are done with.
///
/// # Errors
/// As those of [`decode`].
pub fn decode_into(
    spare: &mut Spare,
    record: &[u8],
    units: DecodeUnits,
) -> Result<Event, DecodeError> {
    let (header, _) = split::<EventHeader>(record, 0)?;
    let kind = match header.kind {
        KIND_FORK => EventKind::Fork(fork(&split(record, KIND_FORK)?.0)),
        KIND_EXEC => {
            let (exec_event, rest) = split(record, KIND_EXEC)?;
            EventKind::Exec(spare.exec(|into| exec(into, &exec_event, rest))?)
        }
        KIND_EXIT => EventKind::Exit(spare.exit(exit(&split(record, KIND_EXIT)?.0, units))),
        KIND_SIGNAL => {
            let (signal_event, rest) = split(record, KIND_SIGNAL)?;
            EventKind::Signal(Box::new(signal(&signal_event, rest)))
        }
        KIND_OOM => EventKind::Oom(Box::new(oom(&split(record, KIND_OOM)?.0, units))),
        KIND_ACCOUNT => EventKind::Account(account(&split(record, KIND_ACCOUNT)?.0)),
        unknown => return Err(DecodeError::UnknownKind(unknown)),
    };
    Ok(Event {
        t: BootNs(header.t_boot_ns),
        kind,
    })
}

/// Why the kernel side began a tree with the process of this record; `None` for any other record.
#[must_use]
pub fn followed(record: &[u8]) -> Option<Followed> {
    let (event, rest): (ForkEvent, _) = split(record, KIND_FORK).ok()?;
    let is_root = event.header.kind == KIND_FORK && has(&event.header, FLAG_FOLLOWED);
    let (followed, _) = split(rest, KIND_FORK).ok().filter(|_| is_root)?;
    Some(followed)
}

/// The struct at the beginning of the record, and what follows it.
fn split<T: Pod>(record: &[u8], kind: u16) -> Result<(T, &[u8]), DecodeError> {
    let need = size_of::<T>();
    let (head, rest) = record.split_at_checked(need).ok_or(DecodeError::TooShort {
        kind,
        len: record.len(),
        need,
    })?;
    Ok((bytemuck::pod_read_unaligned(head), rest))
}

fn fork(event: &ForkEvent) -> Fork {
    Fork {
        child: process(&event.child),
        creator: process(&event.creator),
        parent: process(&event.parent),
        comm: Comm::from_bytes(&event.comm),
        depth: event.depth,
        uid: event.uid,
        adopted: has(&event.header, FLAG_ADOPTED),
    }
}

fn exec(into: &mut Exec, event: &ExecEvent, rest: &[u8]) -> Result<(), DecodeError> {
    let bad = DecodeError::BadLengths {
        filename: event.filename_len,
        argv: event.argv_len,
        have: rest.len(),
    };
    let (filename, rest) = rest
        .split_at_checked(usize::from(event.filename_len))
        .ok_or(bad)?;
    let argv = rest.get(..usize::from(event.argv_len)).ok_or(bad)?;
    let unreadable = has(&event.header, FLAG_ARGV_UNREADABLE);
    let cut = has(&event.header, FLAG_ARGV_TRUNCATED)
        || (!unreadable && event.argv_total > u64::from(event.argv_len));
    fill(&mut into.filename, filename);
    arguments(&mut into.argv, argv);
    *into = Exec {
        process: process(&event.process),
        comm: Comm::from_bytes(&event.comm),
        filename: std::mem::take(&mut into.filename),
        filename_truncated: has(&event.header, FLAG_FILENAME_TRUNCATED),
        argv: std::mem::take(&mut into.argv),
        argc: event.argc,
        argv_bytes: event.argv_total,
        argv_truncated: cut,
        argv_unreadable: unreadable,
        exec_no: event.exec_no,
        euid: event.euid,
        redacted: 0,
        caller_tid: event.old_tid_init,
    };
    Ok(())
}

fn fill(room: &mut Vec<u8>, bytes: &[u8]) {
    room.clear();
    room.extend_from_slice(bytes);
}

/// Splits the argument area: each argument ends with its NUL, so an empty one is a NUL alone, and only
/// a last one that was cut has none.
fn arguments(into: &mut Vec<Vec<u8>>, area: &[u8]) {
    let mut words = 0;
    for piece in area.split_inclusive(|&byte| byte == 0) {
        let word = piece.strip_suffix(&[0]).unwrap_or(piece);
        match into.get_mut(words) {
            Some(room) => fill(room, word),
            None => into.push(word.to_vec()),
        }
        words += 1;
    }
    into.truncate(words);
}

fn exit(event: &ExitEvent, units: DecodeUnits) -> Exit {
    Exit {
        process: process(&event.process),
        parent: process(&event.parent),
        comm: Comm::from_bytes(&event.comm),
        status: event.status,
        totals: totals(event, units),
        execs: event.execs,
        threads: event.threads,
    }
}

fn totals(event: &ExitEvent, units: DecodeUnits) -> ExitTotals {
    let (cpu_user_us, cpu_system_us) = cpu_split_us(event.cpu_ns, event.utime_ns, event.stime_ns);
    let inherited = has(&event.header, FLAG_MAXRSS_UPPER_BOUND);
    let (peak_pages, peak_rss_upper_bound) = match (inherited, event.image_rss_pages) {
        (false, _) => (event.maxrss_pages, false),
        (true, 0) => (event.maxrss_pages, true),
        (true, image) => (image, false),
    };
    ExitTotals {
        wall_ns: BootNs(event.header.t_boot_ns).since(BootNs(event.process.start_boottime_ns)),
        cpu_user_us,
        cpu_system_us,
        children_cpu_us: Some((
            event.children_utime_ns / 1000,
            event.children_stime_ns / 1000,
        )),
        peak_rss_kb: peak_pages.saturating_mul(units.page_kb),
        peak_rss_upper_bound,
        faults_minor: event.min_flt,
        faults_major: event.maj_flt,
        ctx_switches_voluntary: event.nvcsw,
        ctx_switches_involuntary: event.nivcsw,
        io_read_bytes: accounted(event.read_bytes),
        io_write_bytes: accounted(event.write_bytes),
        partial: has(&event.header, FLAG_TOTALS_PARTIAL),
    }
}

/// Splits the exact CPU time in the ratio of the tick samples, as `cputime_adjust()` in
/// kernel/sched/cputime.c does for wait4; no samples at all count as user time there too. The two
/// parts add up to the whole microseconds of `cpu_ns`.
fn cpu_split_us(cpu_ns: u64, utime_ns: u64, stime_ns: u64) -> (u64, u64) {
    let in_kernel_ns = if stime_ns == 0 {
        0
    } else {
        // A product of two u64 and a sum of two u64 both fit; the quotient is at most cpu_ns.
        let samples = u128::from(utime_ns) + u128::from(stime_ns);
        let share = u128::from(stime_ns) * u128::from(cpu_ns) / samples;
        u64::try_from(share).unwrap_or(cpu_ns)
    };
    let system_us = in_kernel_ns / 1000;
    (cpu_ns / 1000 - system_us, system_us)
}

/// `u64::MAX` stands for "this kernel does not count it".
fn accounted(bytes: u64) -> Option<u64> {
    (bytes != u64::MAX).then_some(bytes)
}

fn signal(event: &SignalEvent, rest: &[u8]) -> Signal {
    let sender = split::<SignalSender>(rest, KIND_SIGNAL).ok();
    let sender = sender.as_ref().map(|(sender, _)| sender);
    Signal {
        target: process(&event.target),
        signal: event.signal,
        code: event.code,
        result: event.result,
        group: has(&event.header, FLAG_SIGNAL_GROUP),
        from_kernel: has(&event.header, FLAG_SENDER_KERNEL),
        sender: process(&event.sender),
        sender_comm: Comm::from_bytes(&event.sender_comm),
        sender_uid: event.sender_uid,
        sender_redacted: 0,
        sender_cmdline: sender.map(cmdline).unwrap_or_default(),
        scene: Scene {
            no_info: has(&event.header, FLAG_SIGNAL_NO_INFO),
            privileged: has(&event.header, FLAG_SIGNAL_PRIVILEGED),
            sender_exiting: has(&event.header, FLAG_SENDER_EXITING),
            blocked: has(&event.header, FLAG_SIGNAL_BLOCKED),
            handled: has(&event.header, FLAG_SIGNAL_HANDLED),
            cpu_limit_s: (event.cpu_limit_s != u64::MAX).then_some(event.cpu_limit_s),
            sender_parent: sender.map(|sender| {
                (
                    process(&sender.parent),
                    Comm::from_bytes(&sender.parent_comm),
                )
            }),
        },
    }
}

/// The sender's command line, NUL-separated; one that was cut ends without its NUL.
fn cmdline(sender: &SignalSender) -> Vec<u8> {
    let len = usize::try_from(sender.cmdline_len).unwrap_or(usize::MAX);
    let known = &sender.cmdline[..len.min(SENDER_CMDLINE_MAX)];
    known.to_vec()
}

fn oom(event: &OomEvent, units: DecodeUnits) -> Oom {
    let kb = |pages: u64| pages.saturating_mul(units.page_kb);
    Oom {
        victim: process(&event.victim),
        comm: Comm::from_bytes(&event.comm),
        trigger: process(&event.trigger),
        figures: has(&event.header, FLAG_OOM_FIGURES).then(|| OomFigures {
            total_vm_kb: kb(event.total_vm_pages),
            anon_rss_kb: kb(event.anon_rss_pages),
            file_rss_kb: kb(event.file_rss_pages),
            shmem_rss_kb: kb(event.shmem_rss_pages),
        }),
        oom_score_adj: event.oom_score_adj,
    }
}

fn account(event: &AccountEvent) -> Account {
    let usage = &event.usage;
    let (cpu_user_us, cpu_system_us) = cpu_split_us(usage.cpu_ns, usage.utime_ns, usage.stime_ns);
    Account {
        process: process(&event.process),
        cpu_user_us,
        cpu_system_us,
        faults_minor: usage.min_flt,
        faults_major: usage.maj_flt,
        ctx_switches_voluntary: usage.nvcsw,
        ctx_switches_involuntary: usage.nivcsw,
        io_bytes: accounted(usage.read_bytes).zip(accounted(usage.write_bytes)),
    }
}

fn process(wire: &ProcRef) -> Process {
    Process {
        key: ProcKey {
            init: wire.tgid_init,
            start: BootNs(wire.start_boottime_ns),
        },
        tgid: Tgid(wire.tgid),
        inner: wire.tgid_inner,
    }
}

fn has(header: &EventHeader, flag: u16) -> bool {
    header.flags & flag != 0
}
