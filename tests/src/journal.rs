//! An independent reader of the journal: it shares no code with the product, so the two can only
//! agree on what is written down.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// One record of the journal.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its number in the session.
    pub seq: u64,
    /// Its time, `CLOCK_BOOTTIME` ns.
    pub t: u64,
    /// Its kind.
    pub kind: String,
    /// All of it.
    pub value: Value,
}

impl Record {
    /// A whole number of the record.
    ///
    /// # Errors
    /// The key is missing or something else.
    pub fn int(&self, key: &str) -> Result<i64> {
        self.value[key].as_i64().with_context(|| {
            format!(
                "{} record {} has no number {key}: {}",
                self.kind, self.seq, self.value
            )
        })
    }

    /// A pid, signal or status of the record.
    ///
    /// # Errors
    /// The key is missing or something else.
    pub fn small(&self, key: &str) -> Result<i32> {
        Ok(i32::try_from(self.int(key)?)?)
    }

    /// A text of the record; "" when it is missing.
    #[must_use]
    pub fn text(&self, key: &str) -> &str {
        self.value[key].as_str().unwrap_or_default()
    }
}

/// CRC-32 of every byte, for [`crc32`].
const BYTES: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0_u32;
    while byte < 256 {
        let mut crc = byte;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
            bit += 1;
        }
        table[byte as usize] = crc;
        byte += 1;
    }
    table
};

/// CRC-32 (IEEE 802.3, reflected, as in gzip).
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (crc >> 8) ^ BYTES[usize::from(crc.to_le_bytes()[0] ^ byte)]
    })
}

/// Reads a journal that is complete: every line whole, every CRC right, `seq` without a gap.
///
/// # Errors
/// The first line that breaks one of these rules.
pub fn read_journal(path: &Path) -> Result<Vec<Record>> {
    let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    ensure!(
        bytes.is_empty() || bytes.ends_with(b"\n"),
        "{}: the last line is torn",
        path.display()
    );
    let records = parse_lines(&bytes, path)?;
    for pair in records.windows(2) {
        ensure!(
            pair[1].seq == pair[0].seq + 1,
            "{}: seq goes from {} to {}",
            path.display(),
            pair[0].seq,
            pair[1].seq
        );
    }
    Ok(records)
}

/// Reads all journals of a session, one an epoch: only an earlier one may have a torn tail, and `seq`
/// goes on from one to the next.
///
/// # Errors
/// There is none, or as [`read_journal`].
pub fn read_epochs(folder: &Path) -> Result<Vec<Record>> {
    let path = |epoch: u32| folder.join(format!("journal.{epoch}.jsonl"));
    let mut last = 0;
    while path(last).exists() {
        last += 1;
    }
    ensure!(last > 0, "no journal in {}", folder.display());
    let mut records = Vec::new();
    for epoch in 0..last {
        let more = if epoch + 1 == last {
            read_journal(&path(epoch))?
        } else {
            read_growing(&path(epoch))?
        };
        records.extend(more);
    }
    for (seq, record) in (0..).zip(&records) {
        ensure!(record.seq == seq, "seq {seq} is {}", record.value);
    }
    Ok(records)
}

/// Reads the whole lines that the journals of a session have so far, whoever was killed over them.
///
/// # Errors
/// A whole line is broken.
pub fn read_so_far(folder: &Path) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for epoch in 0_u32.. {
        let path = folder.join(format!("journal.{epoch}.jsonl"));
        if !path.exists() {
            break;
        }
        records.extend(read_growing(&path)?);
    }
    Ok(records)
}

/// Reads what a journal that is still being written has so far: whole lines only.
///
/// # Errors
/// A whole line is broken.
pub fn read_growing(path: &Path) -> Result<Vec<Record>> {
    let Ok(bytes) = std::fs::read(path) else {
        return Ok(Vec::new());
    };
    let whole = bytes
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |end| end + 1);
    parse_lines(&bytes[..whole], path)
}

fn parse_lines(bytes: &[u8], path: &Path) -> Result<Vec<Record>> {
    let lines = bytes
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty());
    let numbered = lines.enumerate().map(|(index, line)| {
        parse_line(line).with_context(|| format!("{}: line {}", path.display(), index + 1))
    });
    numbered.collect()
}

fn parse_line(line: &[u8]) -> Result<Record> {
    let shown = || String::from_utf8_lossy(line).into_owned();
    let value: Value = serde_json::from_slice(line).with_context(shown)?;
    let mark = b",\"crc\":";
    let end = line
        .windows(mark.len())
        .rposition(|part| part == mark)
        .with_context(shown)?;
    let written = match &value["crc"] {
        Value::String(hex) => u32::from_str_radix(hex, 16).ok(),
        number => number
            .as_u64()
            .and_then(|number| u32::try_from(number).ok()),
    };
    let right = crc32(&line[..end]);
    ensure!(
        written == Some(right),
        "crc {:?} written, {right:08x} right: {}",
        value["crc"],
        shown()
    );
    Ok(Record {
        seq: value["seq"]
            .as_u64()
            .with_context(|| format!("no seq: {}", shown()))?,
        t: value["t_boot_ns"]
            .as_u64()
            .with_context(|| format!("no t_boot_ns: {}", shown()))?,
        kind: value["kind"]
            .as_str()
            .with_context(|| format!("no kind: {}", shown()))?
            .to_owned(),
        value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_has_its_published_check_value() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn a_changed_byte_is_noticed() {
        let body = br#"{"seq":0,"t_boot_ns":5,"kind":"note""#;
        let mut line = body.to_vec();
        line.extend_from_slice(format!(",\"crc\":{}}}", crc32(body)).as_bytes());
        assert_eq!(parse_line(&line).unwrap().kind, "note");
        line[7] = b'1';
        assert!(parse_line(&line).is_err());
    }
}
