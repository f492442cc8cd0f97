//! Tables and values of sessions for people.
//!
//! Whatever comes out of a record is escaped here, once, before it is measured or cut.

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Row, Table, presets};
use jiff::Timestamp;
use rustix::termios::{isatty, tcgetwinsize};

use crate::{
    cli::{
        escape::printable,
        show::{length, size},
    },
    session::list::Listed,
};

/// What is shown where nothing is known.
const NOTHING: &str = "-";
/// Narrowest terminal that is taken at its word.
const WIDTH_MIN: u16 = 60;

/// A table without lines. On a terminal it is as wide as that, and what does not fit is cut.
pub(super) struct Columns {
    table: Table,
}

impl Columns {
    /// With these headings; those that begin with `>` stand over numbers.
    pub(super) fn new(headings: &[&str]) -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_truncation_indicator("…");
        let words = headings.iter().map(|text| text.trim_start_matches('>'));
        let mut header = Row::from(words);
        header.max_height(1);
        table.set_header(header);
        for (at, heading) in headings.iter().enumerate() {
            if let Some(column) = table.column_mut(at) {
                column.set_padding((0, 2));
                if heading.starts_with('>') {
                    column.set_cell_alignment(CellAlignment::Right);
                }
                // Only the last one gives way, and that at any place: no newline is left in it.
                if at + 1 < headings.len() {
                    column.set_constraint(ColumnConstraint::ContentWidth);
                } else {
                    column.set_delimiter('\n');
                }
            }
        }
        match terminal_width() {
            Some(width) => {
                table.set_content_arrangement(ContentArrangement::Dynamic);
                table.set_width(width.max(WIDTH_MIN));
            }
            None => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        Self { table }
    }

    /// Adds a row of texts, escaped already.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        let mut row = Row::from(cells);
        row.max_height(1);
        self.table.add_row(row);
    }

    /// The table, a newline behind each line and no blanks before it.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for line in self.table.lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Columns of the terminal that standard output is; `None` when it is none.
fn terminal_width() -> Option<u16> {
    let out = std::io::stdout();
    if !isatty(&out) {
        return None;
    }
    tcgetwinsize(&out)
        .ok()
        .map(|size| size.ws_col)
        .filter(|&columns| columns > 0)
}

/// A time in UTC, to the second.
pub(super) fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(
        || NOTHING.to_owned(),
        |at| at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
    )
}

/// A length of time.
pub(super) fn seconds(seconds: Option<f64>) -> String {
    let Some(seconds) = seconds.filter(|seconds| seconds.is_finite()) else {
        return NOTHING.to_owned();
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast saturates, and a length of time is not negative"
    )]
    let us = (seconds * 1e6) as u64;
    length(us)
}

/// An amount of memory.
pub(super) fn memory(kib: Option<u64>) -> String {
    kib.map_or_else(|| NOTHING.to_owned(), size)
}

/// A text of the record's, or nothing.
pub(super) fn word(text: Option<&str>) -> String {
    match text {
        None | Some("") => NOTHING.to_owned(),
        Some(text) => printable(text),
    }
}

/// What has become of a session, and how its workload ended where that is more to say.
pub(super) fn status(session: &Listed) -> String {
    let status = &session.status;
    let text = match (&session.signal, session.exit_code, &session.cause) {
        (Some(signal), _, Some(cause)) => format!("{status}: {signal}, {cause}"),
        (Some(signal), ..) => format!("{status}: {signal}"),
        (None, Some(code @ 1..), _) => format!("{status}: exit {code}"),
        (None, ..) => status.clone(),
    };
    printable(&text)
}
