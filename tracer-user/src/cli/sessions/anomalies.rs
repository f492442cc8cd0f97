//! The anomalies of a session as a table.

use super::text::Columns;
use crate::{cli::escape::printable, session::anomalies::Following};

/// Anomalies shown, the worst first.
pub(super) const SHOWN: usize = 20;

/// The table; nothing where there are none.
pub(super) fn anomalies(following: &Following) -> String {
    let count = following.count();
    let worst = following.overview().worst;
    if worst.is_empty() {
        return String::new();
    }
    let headings = [
        "SEVERITY",
        "KIND",
        ">PID",
        "NAME",
        "FIRST SEEN",
        "ENDED BY",
        "WHAT",
    ];
    let mut columns = Columns::new(&headings);
    for told in &worst {
        let first = told.first.get(11..23).unwrap_or(&told.first);
        columns.row(
            [
                told.severity.as_str(),
                &told.kind,
                &told.pid.to_string(),
                told.comm.as_deref().unwrap_or("-"),
                first,
                told.ended.as_deref().unwrap_or("-"),
                &told.text,
            ]
            .map(printable)
            .into(),
        );
    }
    let title = match (count, worst.len() as u64) {
        (1, _) => "1 anomaly\n".to_owned(),
        (count, shown) if count > shown => format!("{count} anomalies, the worst {shown}\n"),
        (count, _) => format!("{count} anomalies\n"),
    };
    title + &columns.text()
}
