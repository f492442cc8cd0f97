//! The journal: one record a line, appended, never changed.
//!
//! A line is `{"seq":N,"t_boot_ns":N,"kind":"…",…,"crc":"8 hex"}` and a newline. The first three keys
//! and the last one always stand in this order without spaces between them: a reader can judge and
//! sort a line before it parses it. `crc` is the CRC-32 (IEEE) of the line's bytes before `,"crc":`.

pub mod anomaly;
pub mod decode;
pub mod encode;
mod end_line;
pub mod escape;
pub mod info;
pub mod notes;
pub mod reader;
pub mod record;
pub mod spans;
pub mod text;
pub mod writer;

pub use encode::Encoder;
pub(crate) use end_line::END_LINE_BYTES;
pub use reader::JournalReader;
pub use record::{Body, Record};
