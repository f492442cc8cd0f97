use super::*;

fn live() -> Vec<u8> {
    std::fs::read("/sys/kernel/btf/vmlinux").expect("this kernel exposes its BTF")
}

#[test]
fn the_running_kernel_is_read_to_its_end() {
    let bytes = live();
    let start = std::time::Instant::now();
    let btf = Btf::parse(&bytes).unwrap();
    println!(
        "{:?} types {} index {}",
        start.elapsed(),
        btf.type_count(),
        btf.index.len()
    );
    assert_eq!(btf.stopped_at(), None);
    let start = std::time::Instant::now();
    println!("{:?}", btf.member("task_struct", "comm"));
    println!("{:?}", btf.member("task_struct", "se.sum_exec_runtime"));
    println!("{:?}", btf.member("mm_struct", "hiwater_rss"));
    println!("{:?}", btf.member("kernel_siginfo", "si_code"));
    println!(
        "{:?}",
        btf.member("mm_struct", "rss_stat")
            .and_then(|m| btf.array(m.type_id))
    );
    println!("{:?}", btf.member_any("task_struct", &["state", "__state"]));
    println!("{:?}", btf.member("task_struct", "in_execve"));
    println!(
        "{:?}",
        btf.enum_value("bpf_func_id", "BPF_FUNC_get_current_task_btf")
    );
    println!("{:?}", start.elapsed());
    for tp in [
        "sched_process_fork",
        "sched_process_exec",
        "sched_process_exit",
        "signal_generate",
        "mark_victim",
    ] {
        println!("{tp} {:?}", btf.tracepoint(tp));
    }
    println!("{:?}", btf.func_exists("do_exit"));
    println!("{:?}", start.elapsed());
}
