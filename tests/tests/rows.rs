//! Snapshot rows: every key, its form, and a reason where there is no value.

use anyhow::{Result, ensure};
use tracer_tests::check::{expect_keys, half_a_second, recorded_with, while_stopped};
use tracer_tests::rows::Crowd;
use tracer_tests::sys;
use tracer_tests::wait::{PATIENCE, wait_for};

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

#[test]
fn a_tracer_that_was_held_up_counts_the_ticks_it_missed_and_takes_none_in_a_bunch() -> Result<()> {
    const INTERVAL_NS: i64 = 50_000_000;
    let crowd = Crowd::observed(10, 0)?;
    while_stopped(&crowd.tracer, || {
        let until = sys::boot_ns() + 1_000_000_000;
        wait_for("a second to pass", PATIENCE, || {
            Ok((sys::boot_ns() > until).then_some(()))
        })
    })?;
    let resumed_ns = i64::try_from(sys::boot_ns())?;
    wait_for("ticks after that", PATIENCE, || {
        let ticks = crowd.ticks()?;
        let after = |tick: &&serde_json::Value| tick["t_boot_ns"].as_i64() > Some(resumed_ns);
        Ok((ticks.iter().filter(after).count() > 3).then_some(()))
    })?;
    // The tick at the pin stands before the grid.
    let ticks = &crowd.ticks()?[1..];
    let times: Vec<i64> = ticks
        .iter()
        .filter_map(|tick| tick["t_boot_ns"].as_i64())
        .collect();
    let missed: Vec<i64> = ticks
        .iter()
        .filter_map(|tick| tick["missed_ticks"].as_i64())
        .collect();
    ensure!(missed.iter().any(|&missed| missed >= 15), "{missed:?}");
    let passed = times[times.len() - 1] - times[0];
    let places = i64::try_from(times.len())? - 1 + missed[1..].iter().sum::<i64>();
    // Each place of the grid is a tick or counted; how late the first and the last were is all that is
    // left.
    let off = passed - places * INTERVAL_NS;
    ensure!(
        off.abs() < 2 * INTERVAL_NS,
        "{places} places in {passed} ns"
    );
    let bunched = times
        .windows(2)
        .filter(|two| two[1] - two[0] < INTERVAL_NS / 4);
    ensure!(bunched.count() == 0, "{times:?}");
    crowd.end()?;
    Ok(())
}

#[test]
fn what_is_dear_is_read_at_every_nth_tick_and_the_others_say_so() -> Result<()> {
    let crowd = Crowd::observed_with(10, 0, &["--slow-every", "1000"])?;
    let tick = crowd.tick_at_rest()?;
    for row in &tick.rows {
        let why = &row["unread"]["cgroup"];
        ensure!(row["cgroup"].is_null() && why == "not this tick", "{row}");
        ensure!(
            !row["threads"].is_null() && !row["fd_count"].is_null(),
            "{row}"
        );
    }
    let session = crowd.end()?;
    let read = session.rows.iter().filter(|row| !row["cgroup"].is_null());
    ensure!(read.count() > 0, "the first tick has none either");
    Ok(())
}
