//! That no bytes can hurt the reader, and that real kernels are read right.

use std::hint::black_box;

use proptest::{prelude::*, sample::Index};

use super::{build::cut, *};

/// What the kernel side needs to know, more or less; enough to walk every way the reader has.
const ROOTS: [&str; 14] = [
    "task_struct",
    "signal_struct",
    "mm_struct",
    "kernel_siginfo",
    "linux_binprm",
    "pid",
    "upid",
    "pid_namespace",
    "bpf_func_id",
    "btf_trace_sched_process_fork",
    "btf_trace_sched_process_exec",
    "btf_trace_sched_process_exit",
    "btf_trace_signal_generate",
    "btf_trace_mark_victim",
];

/// Cut from `/sys/kernel/btf/vmlinux` of the kernel in its name, by `a_cut_answers_like_the_whole`.
const CUT_6_18: &[u8] = include_bytes!("../../../../tests/data/6.18/btf.cut");

const QUESTIONS: [(&str, &str); 14] = [
    ("task_struct", "comm"),
    ("task_struct", "__state"),
    ("task_struct", "start_boottime"),
    ("task_struct", "se.sum_exec_runtime"),
    ("task_struct", "in_execve"),
    ("signal_struct", "maxrss"),
    ("signal_struct", "live.counter"),
    ("mm_struct", "hiwater_rss"),
    ("mm_struct", "rss_stat"),
    ("kernel_siginfo", "si_code"),
    ("linux_binprm", "filename"),
    ("pid", "numbers"),
    ("upid", "ns"),
    ("pid_namespace", "ns.inum"),
];

const TRACEPOINTS: [&str; 5] = [
    "sched_process_fork",
    "sched_process_exec",
    "sched_process_exit",
    "signal_generate",
    "mark_victim",
];

fn live() -> Vec<u8> {
    std::fs::read("/sys/kernel/btf/vmlinux").expect("this kernel shows its BTF")
}

fn ask_everything(bytes: &[u8]) {
    let Ok(btf) = Btf::parse(bytes) else {
        return;
    };
    for (name, path) in QUESTIONS {
        if let Some(member) = btf.member(name, path) {
            black_box((btf.array(member.type_id), btf.name_of(member.type_id)));
        }
        black_box(btf.struct_size(name));
    }
    for name in TRACEPOINTS {
        black_box(btf.tracepoint(name));
    }
    black_box(btf.enum_value("bpf_func_id", "BPF_FUNC_get_current_task_btf"));
    black_box(btf.func_exists("do_exit"));
    for id in 0..=u32::try_from(btf.type_count()).unwrap() {
        black_box(btf.size_of(TypeId(id)));
    }
}

#[test]
fn a_cut_of_this_kernel_answers_like_the_whole() {
    let bytes = live();
    let whole = Btf::parse(&bytes).unwrap();
    assert_eq!(whole.stopped_at(), None);
    let cut = cut(&whole, &ROOTS);
    assert!(cut.len() < 64 << 10, "{} bytes", cut.len());
    if let Some(path) = std::env::var_os("TRACER_BTF_CUT_TO") {
        std::fs::write(path, &cut).unwrap();
    }
    let small = Btf::parse(&cut).unwrap();
    for (name, path) in QUESTIONS {
        let strip = |member: Option<Member>| member.map(|m| (m.offset, m.size, m.bits));
        let expected = strip(whole.member(name, path));
        assert_eq!(strip(small.member(name, path)), expected, "{name}.{path}");
        assert_eq!(small.struct_size(name), whole.struct_size(name), "{name}");
    }
    for name in TRACEPOINTS {
        assert_eq!(small.tracepoint(name), whole.tracepoint(name), "{name}");
    }
}

#[test]
fn a_captured_kernel_gives_the_offsets_it_was_captured_with() {
    let btf = Btf::parse(CUT_6_18).unwrap();
    // As `bpftool btf dump` shows them for the same kernel.
    for (name, path, offset, size) in [
        ("task_struct", "comm", 1752, 16),
        ("task_struct", "__state", 24, 4),
        ("task_struct", "se.sum_exec_runtime", 232, 8),
        ("mm_struct", "hiwater_rss", 344, 8),
        ("kernel_siginfo", "si_code", 8, 4),
    ] {
        let member = btf.member(name, path).unwrap();
        assert_eq!(
            (member.offset, member.size),
            (offset, size),
            "{name}.{path}"
        );
    }
    let rss = btf.member("mm_struct", "rss_stat").unwrap();
    let rss = btf.array(rss.type_id).unwrap();
    assert_eq!((rss.elem_size, rss.count), (40, 4));
    assert_eq!(
        btf.enum_value("bpf_func_id", "BPF_FUNC_get_current_task_btf"),
        Some(158)
    );
    let args = |name| btf.tracepoint(name).unwrap();
    assert_eq!(
        args("sched_process_exit").len(),
        2,
        "group_dead came with 6.16"
    );
    assert_eq!(
        args("mark_victim")[0].kind,
        ArgKind::PointerTo("task_struct")
    );
    let exec: Vec<ArgKind<'_>> = args("sched_process_exec")
        .iter()
        .map(|arg| arg.kind)
        .collect();
    let expected = [
        ArgKind::PointerTo("task_struct"),
        ArgKind::Int,
        ArgKind::PointerTo("linux_binprm"),
    ];
    assert_eq!(exec, expected);
}

/// Structs of the system call ABI: the C library declares them too, and they can never change.
#[test]
fn the_running_kernel_agrees_with_the_c_library() {
    let bytes = live();
    let btf = Btf::parse(&bytes).unwrap();
    macro_rules! same {
        ($kernel:literal, $libc:ident: $($field:ident $(= $named:literal)?),+) => {
            $({
                let path = [$($named,)? stringify!($field)][0];
                let found = btf.member($kernel, path).map(|member| member.offset as usize);
                assert_eq!(found, Some(std::mem::offset_of!(libc::$libc, $field)), "{}.{path}", $kernel);
            })+
        };
    }
    same!("rusage", rusage: ru_utime, ru_maxrss, ru_minflt, ru_majflt, ru_inblock, ru_nvcsw, ru_nivcsw);
    same!("statx", statx: stx_mask, stx_ino, stx_btime, stx_dev_major, stx_mnt_id);
    same!("clone_args", clone_args: flags, pidfd, exit_signal, set_tid, cgroup);
    same!("epoll_event", epoll_event: events, u64 = "data");
    #[cfg(target_arch = "x86_64")]
    same!("user_regs_struct", user_regs_struct: r15, orig_rax = "orig_ax", rip = "ip", rsp = "sp", gs);
    // The others can grow at their end.
    let size = |name| btf.struct_size(name).map(|size| size as usize);
    assert_eq!(size("rusage"), Some(size_of::<libc::rusage>()));
    assert_eq!(size("epoll_event"), Some(size_of::<libc::epoll_event>()));
    // Bit fields of headers on the wire: their place is fixed by the protocols.
    for (name, path, first, width) in [
        ("iphdr", "ihl", 0, 4),
        ("iphdr", "version", 4, 4),
        ("tcphdr", "syn", 105, 1),
    ] {
        let member = btf.member(name, path).unwrap();
        assert_eq!(
            member.bits,
            Some(BitField { first, width }),
            "{name}.{path}"
        );
    }
    // Helper numbers are ABI of eBPF programs.
    assert_eq!(
        btf.enum_value("bpf_func_id", "BPF_FUNC_get_current_task"),
        Some(35)
    );
    assert!(btf.func_exists("do_exit") && !btf.func_exists("do_exit_at_once"));
}

#[test]
fn a_real_blob_cut_off_anywhere_is_refused() {
    for len in 0..CUT_6_18.len() {
        assert!(Btf::parse(&CUT_6_18[..len]).is_err(), "cut at {len}");
    }
}

#[test]
fn types_that_end_anywhere_give_the_right_offset_or_none() {
    // Only the type section is shortened: the header says so, and the strings stay.
    let whole = Btf::parse(CUT_6_18).unwrap();
    let answers: Vec<_> = QUESTIONS
        .iter()
        .map(|(name, path)| whole.member(name, path))
        .collect();
    let mut bytes = CUT_6_18.to_vec();
    let full = raw::u32_at(&bytes, 12).unwrap();
    for len in (0..full).step_by(61) {
        bytes[12..16].copy_from_slice(&len.to_le_bytes());
        let btf = Btf::parse(&bytes).unwrap();
        for ((name, path), right) in QUESTIONS.iter().zip(&answers) {
            let found = btf.member(name, path).map(|member| member.offset);
            assert!(
                found.is_none() || found == right.map(|member| member.offset),
                "{name}.{path} at {len}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        ask_everything(&bytes);
    }

    #[test]
    fn any_bytes_behind_a_good_header_are_read_or_refused(
        types in prop::collection::vec(any::<u8>(), 0..600),
        hdr_len in 24_u32..40,
    ) {
        let len = u32::try_from(types.len()).unwrap();
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        for word in [hdr_len, 0, len, 0, len, 0, len] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.resize(hdr_len as usize, 0);
        bytes.extend_from_slice(&types);
        ask_everything(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_real_blob_with_some_bytes_wrong_never_panics(
        hits in prop::collection::vec((any::<Index>(), any::<u8>()), 1..40),
    ) {
        let mut bytes = CUT_6_18.to_vec();
        for (at, byte) in hits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        ask_everything(&bytes);
    }
}
