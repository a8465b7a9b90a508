//! The order of values, as ranges need it.

use std::cmp::Ordering;

use super::{Decimal, Kind};
use crate::dates;

/// How two values compare; None: their type's order is not known here.
pub(crate) fn order(kind: &Kind, left: &str, right: &str) -> Option<Ordering> {
    match kind {
        Kind::Int(_) | Kind::Numeric(_) => Some(Decimal::parse(left)?.compare(Decimal::parse(right)?)),
        Kind::Float(_) => left.parse::<f64>().ok()?.partial_cmp(&right.parse().ok()?),
        Kind::Date | Kind::Timestamp | Kind::TimestampTz => {
            Some(dates::parse(left)?.time.cmp(&dates::parse(right)?.time))
        }
        _ => (left == right).then_some(Ordering::Equal),
    }
}
