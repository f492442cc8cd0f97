//! Snapshot rows: every key, its form, and a reason where there is no value.

use anyhow::{Result, ensure};
use tracer_tests::check::{expect_keys, half_a_second, recorded_with};
use tracer_tests::wait::PATIENCE;

#[test]
fn every_row_has_every_key_and_a_reason_where_it_has_no_value() -> Result<()> {
    let (_room, session) = half_a_second()?;
    let keys: Vec<_> = "captured_at pid ppid starttime_ticks role comm state vm_rss_kb vm_hwm_kb threads \
                        fd_count fd_soft_limit ctx_switches_voluntary ctx_switches_involuntary sig_pnd \
                        sig_blk sig_cgt oom_score oom_score_adj wchan cpu_percent io_read_bytes \
                        io_write_bytes net_established threads_disk_sleep threads_disk_sleep_wchan cgroup \
                        cgroup_memory_kb cgroup_memory_limit_kb t_boot_ns ts seq event"
        .split_whitespace()
        .collect();
    ensure!(
        session.rows.len() > 5,
        "{} rows in half a second at 50 ms",
        session.rows.len()
    );
    let mut first_of = std::collections::HashSet::new();
    for row in &session.rows {
        expect_keys("row", row, &keys)?;
        let first = first_of.insert((row["pid"].as_i64(), row["starttime_ticks"].as_i64()));
        for key in &keys {
            let excused = row["unread"].get(key).is_some() || (*key == "cpu_percent" && first);
            ensure!(
                !row[key].is_null() || excused,
                "{key} is null without a reason: {row}"
            );
        }
        ensure!(
            ["workload", "wrapper", "descendant"].contains(&row["role"].as_str().unwrap_or("")),
            "{row}"
        );
        for mask in ["sig_pnd", "sig_blk", "sig_cgt"] {
            let text = row[mask].as_str().unwrap_or("0000000000000000");
            ensure!(
                text.len() == 16 && u64::from_str_radix(text, 16).is_ok(),
                "{mask}: {row}"
            );
        }
    }
    let times: Vec<_> = session
        .rows
        .iter()
        .filter_map(|row| row["captured_at"].as_str())
        .collect();
    ensure!(
        times.windows(2).all(|pair| pair[0] < pair[1]),
        "captured_at is not strictly increasing"
    );
    let micros =
        |time: &&str| time.len() == "2024-01-01T00:00:00.000000Z".len() && time.ends_with('Z');
    ensure!(times.iter().all(micros), "{:?}", times.first());
    Ok(())
}

#[test]
fn rows_of_a_storm_are_of_processes_of_the_storm() -> Result<()> {
    let run = recorded_with(
        "storm",
        &["vfork", "4", "500"],
        &["--interval", "20ms"],
        PATIENCE,
    )?;
    let mut known = std::collections::HashSet::new();
    for fork in run.session.of_kind("fork") {
        known.insert((fork.int("pid")?, fork.int("starttime_ticks")?));
    }
    for row in &run.session.rows {
        let key = (
            row["pid"].as_i64().unwrap_or(0),
            row["starttime_ticks"].as_i64().unwrap_or(0),
        );
        ensure!(known.contains(&key), "a row of nobody: {row}");
    }
    Ok(())
}
