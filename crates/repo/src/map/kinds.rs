//! The kinds of items, by number.

#[cfg(any(test, feature = "fuzzing"))]
use super::cards::Cards;
use super::kind::AnyKind;
use super::pages::Pages;
use super::rows::Rows;
use crate::RepoError;

/// All kinds that this program reads.
const KINDS: &[&dyn AnyKind] = &[
    &Rows,
    &Pages,
    #[cfg(any(test, feature = "fuzzing"))]
    &Cards,
];

/// The kind of this number.
///
/// # Errors
/// [`RepoError::NewerFormat`] if this program does not know it.
pub(crate) fn kind(number: u8) -> Result<&'static dyn AnyKind, RepoError> {
    let known = KINDS.iter().find(|kind| kind.number() == number);
    known.copied().ok_or_else(|| RepoError::NewerFormat {
        what: format!("a map was made by a newer pgark: its items are of kind {number}"),
    })
}

#[cfg(test)]
mod tests {
    use super::{KINDS, kind};
    use crate::RepoError;

    #[test]
    fn every_kind_is_found_by_its_number_and_others_are_newer() {
        for known in KINDS {
            assert_eq!(kind(known.number()).unwrap().word(), known.word());
            assert!(known.listed() > 0);
            // The list of a copy is made from whole chunks.
            assert!(!(known.has_long_items() && known.keeps_lists()), "{}", known.word());
        }
        let Err(RepoError::NewerFormat { what }) = kind(3) else { panic!("kind 3 is known") };
        assert!(what.contains("newer pgark") && what.contains("kind 3"), "{what}");
    }
}
