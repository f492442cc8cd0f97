//! A session's row in `sessions.jsonl`.

use serde_json::{Value, json};

use super::Summary;

/// The session's row in `sessions.jsonl`: the summary without its long parts.
pub(super) fn index_row(summary: &Summary) -> Value {
    json!({
        "session_id": summary.session_id,
        "dir_name": summary.dir_name,
        "pid": summary.pid,
        "command": summary.command,
        "tracked_comm": summary.tracked_comm,
        "success": summary.success,
        "subtype": summary.subtype,
        "exit_code": summary.exit_code,
        "cause": summary.verdict.cause,
        "start_ts": summary.start_ts,
        "end_ts": summary.end_ts,
        "duration_seconds": summary.duration_seconds,
        "peak_rss_kb": summary.peak_rss_kb,
        "processes": summary.totals.processes,
        "anomaly_count": summary.anomaly_count,
        "completeness": summary.completeness.status,
        "termination_reason": summary.termination_reason,
        "labels": summary.labels,
        "derived_version": summary.derived_version,
    })
}
