//! Truth values.

use super::not_injective;
use crate::making::{Making, Unfit};
use crate::transformer::{Answer, Plain, Refusal, Transformer};

/// `bool`.
///
/// A keyed fiction is decided by the value, and no fiction is its own plain value: so it is the
/// other one, which hides nothing from whoever knows the rule. Row by row, it is a coin.
#[derive(Debug)]
pub(super) struct Truth {
    is_keyed: bool,
}

impl Truth {
    pub(super) fn new(making: &mut Making<'_>) -> Result<Truth, Unfit> {
        if making.is_unique() {
            return Err(not_injective(making, "keep, or null"));
        }
        Ok(Truth { is_keyed: making.is_keyed() })
    }
}

impl Transformer for Truth {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        let truth = if self.is_keyed && !plain.is_null {
            !matches!(plain.text, "t" | "true")
        } else {
            plain.draw.clone().below(2) == 1
        };
        out.push(if truth { 't' } else { 'f' });
        Ok(Answer::Text)
    }
}
