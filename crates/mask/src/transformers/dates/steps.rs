//! Values that are steps of a range: drawn, or permuted where the column is unique.

use super::super::pick::other_than;
use crate::draw::Draw;
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::permute::Permutation;
use crate::transformer::Refusal;

/// The steps from the first to the last, both included, counted through time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Steps {
    pub first: i128,
    pub size: u64,
}

impl Steps {
    /// None: there is no step between them, or there are more than 2^64.
    pub fn between(first: i128, last: i128) -> Option<Steps> {
        let size = last.checked_sub(first)?.checked_add(1)?;
        let size = u64::try_from(size).ok().filter(|size| *size > 0)?;
        Some(Steps { first, size })
    }

    fn offset(self, step: i128) -> Option<u64> {
        let offset = step.checked_sub(self.first).and_then(|offset| u64::try_from(offset).ok());
        offset.filter(|offset| *offset < self.size)
    }

    /// A step that is not the plain one.
    pub fn draw(self, plain: Option<i128>, draw: &mut Draw) -> i128 {
        let plain = plain.and_then(|step| self.offset(step));
        self.first + i128::from(other_than(plain, self.size, draw))
    }
}

/// The step that a plain one becomes: its permuted one where the column is unique, else one that is
/// drawn. `of_row`: the steps of a range that comes from columns.
pub(super) fn pick(
    steps: Option<Steps>,
    permuted: Option<&Permuted>,
    step: Option<i128>,
    draw: &Draw,
    of_row: impl FnOnce() -> Result<Option<Steps>, Refusal>,
) -> Result<i128, Refusal> {
    if let Some(permuted) = permuted {
        return permuted.apply(step);
    }
    let steps = match steps {
        Some(steps) => steps,
        None => {
            of_row()?.ok_or_else(|| Refusal::new("min is above max, one of which comes from a column"))?
        }
    };
    Ok(steps.draw(step, &mut draw.clone()))
}

/// The steps of a unique column, permuted.
#[derive(Debug)]
pub(super) struct Permuted {
    steps: Steps,
    permutation: Permutation,
}

impl Permuted {
    /// The permutation of a unique column; None: the column is not unique. `steps` is None where
    /// the range comes from columns.
    pub fn build(making: &mut Making<'_>, steps: Option<Steps>) -> Result<Option<Permuted>, Unfit> {
        if !making.is_unique() {
            return Ok(None);
        }
        let Some(steps) = steps else {
            let message =
                "the column is unique, and a range that comes from a column cannot keep values apart";
            return Err(making.fault(Code::NotInjective, "min", message, "give min and max as values"));
        };
        if !making.is_keyed() {
            let message = "the column is unique, and what is drawn row by row may be drawn twice";
            return Err(making.fault(Code::NotInjective, "use", message, "engine = \"keyed\""));
        }
        let permutation = Permutation::new(making.key().part("steps"), u128::from(steps.size));
        Ok(Some(Permuted { steps, permutation }))
    }

    /// What a plain step becomes.
    pub fn apply(&self, plain: Option<i128>) -> Result<i128, Refusal> {
        let Some(offset) = plain.and_then(|step| self.steps.offset(step)) else {
            return Err(Refusal::new(
                "the column is unique, and has a value outside of min to max or finer than truncate",
            ));
        };
        let permuted = self.permutation.apply(u128::from(offset));
        Ok(self.steps.first + i128::try_from(permuted).unwrap_or(0))
    }

    /// The plain step of a fiction.
    pub fn invert(&self, fiction: Option<i128>) -> Result<i128, Refusal> {
        let Some(offset) = fiction.and_then(|step| self.steps.offset(step)) else {
            return Err(Refusal::new("no plain value becomes this one"));
        };
        let plain = self.permutation.invert(u128::from(offset));
        Ok(self.steps.first + i128::try_from(plain).unwrap_or(0))
    }
}
