//! docs/anomalies.md has every kind and every threshold, as they are.

use super::*;
use crate::anomaly::thresholds::TABLE;

const TEXT: &str = include_str!("../../../../docs/anomalies.md");

#[test]
fn every_kind_is_documented_with_its_severity() {
    for kind in Kind::ALL {
        let row = format!("| `{}` | {} |", kind.name(), kind.severity().name());
        assert!(TEXT.contains(&row), "no {row:?}");
        assert_eq!(Kind::from_name(kind.name()), Some(kind));
    }
}

#[test]
fn every_threshold_is_documented_with_its_default_and_range() {
    for row in &TABLE {
        let text = format!(
            "| `{}` | {} | {} to {} |",
            row.name, row.default, row.min, row.max
        );
        assert!(TEXT.contains(&text), "no {text:?}");
    }
}
