//! A number that is drawn, but never the plain one.

use crate::draw::Draw;

/// A number below `size` that is not `plain`, each with the same chance. 0 if there is no other.
pub(super) fn other_than(plain: Option<u64>, size: u64, draw: &mut Draw) -> u64 {
    match plain.filter(|plain| *plain < size) {
        None => draw.below(size),
        Some(plain) => {
            let drawn = draw.below(size.saturating_sub(1));
            drawn + u64::from(drawn >= plain && size > 1)
        }
    }
}
