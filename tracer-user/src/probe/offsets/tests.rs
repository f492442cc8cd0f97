//! The tables against captured kernels.

use super::*;

macro_rules! captured {
    ($($kernel:literal),*) => {
        [$(($kernel, include_bytes!(concat!("../../../../tests/data/", $kernel, "/btf.cut")) as &[u8])),*]
    };
}

/// Cut from real kernels; they hold the types that were asked about when they were cut.
const CAPTURED: [(&str, &[u8]); 5] = captured!("5.10", "6.1", "6.12", "6.18", "7.2");

fn facts(bytes: &[u8]) -> Result<KernelFacts, MissingField> {
    read_kernel(&Btf::parse(bytes).unwrap())
}

#[test]
fn every_supported_kernel_has_every_field() {
    for (kernel, bytes) in CAPTURED {
        let facts = facts(bytes).unwrap();
        let missing: Vec<_> = facts
            .degraded
            .iter()
            .map(|degraded| degraded.name.as_str())
            // Only a pid on 5.10. What only snapshots read was not asked about when they were cut.
            .filter(|name| !["mark_victim(task)", "snapshots"].contains(name))
            .collect();
        assert!(missing.is_empty(), "{kernel}: {missing:?}");
        let words: &[u32] = bytemuck::cast_slice(bytemuck::bytes_of(&facts.offsets));
        assert!(!words.contains(&ABSENT), "{kernel}: {:?}", facts.offsets);
    }
}

#[test]
fn what_differs_between_kernels_is_read_and_not_guessed_from_versions() {
    let of = |wanted| {
        let (_, bytes) = CAPTURED
            .into_iter()
            .find(|(kernel, _)| *kernel == wanted)
            .unwrap();
        facts(bytes).unwrap().offsets
    };
    assert_eq!(
        (
            of("5.10").mark_victim_is_task,
            of("6.1").mark_victim_is_task
        ),
        (0, 1)
    );
    assert_eq!(
        (
            of("6.12").exit_has_group_dead,
            of("6.18").exit_has_group_dead
        ),
        (0, 1)
    );
    assert_eq!((of("6.1").mm_rss_stride, of("6.12").mm_rss_stride), (8, 40));
    // Tracepoints can be preempted on the last of them alone.
    let kernels = CAPTURED.map(|(kernel, _)| of(kernel));
    assert_eq!(
        kernels.map(|known| known.programs_can_be_skipped),
        [0, 0, 0, 0, 1]
    );
    assert_eq!(of("7.2").hidden_thread_flags, 0);
    for known in kernels {
        assert_eq!(
            (
                known.names_are_close,
                known.cred_is_near_comm,
                known.ending_is_close
            ),
            (1, 1, 1)
        );
    }
    assert_eq!(of("6.1").hidden_thread_flags, PF_IO_WORKER);
    assert_eq!(
        of("6.12").hidden_thread_flags,
        PF_IO_WORKER | PF_USER_WORKER
    );
}

#[test]
fn a_missing_field_is_a_named_loss_and_a_missing_identity_an_error() {
    let without = |name: &[u8]| {
        let mut bytes = CAPTURED[3].1.to_vec();
        let at = bytes
            .windows(name.len())
            .position(|found| found == name)
            .unwrap();
        bytes[at + 1] = b'?';
        facts(&bytes)
    };
    let facts = without(b"\0maxrss\0").unwrap();
    assert_eq!(facts.offsets.signal_maxrss, ABSENT);
    let lost = facts
        .degraded
        .iter()
        .find(|lost| lost.name == "signal_struct.maxrss")
        .unwrap();
    assert_eq!(lost.why, "peak memory is missing");
    let error = without(b"\0group_leader\0").unwrap_err();
    assert_eq!(
        error.to_string(),
        "this kernel's BTF has no usable task_struct.group_leader, which names processes"
    );
}

/// Of this kernel, or with `TRACER_BTF` (a whole blob) of another one.
#[test]
fn a_kernel_has_what_snapshots_read_or_says_that_rows_are_read_from_files() {
    let path = std::env::var_os("TRACER_BTF").unwrap_or("/sys/kernel/btf/vmlinux".into());
    let mut bytes = std::fs::read(path).expect("this kernel shows its BTF");
    let whole = facts(&bytes).unwrap();
    assert!(whole.places.is_some(), "{:?}", whole.degraded);
    let name = b"\0open_fds\0";
    let at = bytes.windows(name.len()).position(|found| found == name);
    bytes[at.unwrap() + 1] = b'?';
    let facts = facts(&bytes).unwrap();
    assert_eq!(facts.places, None);
    let news: Vec<_> = facts
        .degraded
        .iter()
        .filter(|lost| !whole.degraded.contains(lost))
        .collect();
    let [lost] = news[..] else { panic!("{news:?}") };
    assert_eq!(lost.name, "snapshots");
    assert!(lost.why.starts_with("rows are read from /proc"), "{lost:?}");
}
