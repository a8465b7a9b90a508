//! The local part of a person's address: `anna.schmidt42`.

use super::ascii::push_ascii;
use crate::draw::Draw;
use crate::making::{Making, Unfit};
use crate::operand::Operand;
use crate::transformer::{Plain, Refusal};
use crate::transformers::fitting::{cut, random_digits, syllables};
use crate::transformers::person::{People, Wanted};
use crate::transformers::wording::vocabulary;

/// Whose names.
#[derive(Clone, Debug)]
pub(super) struct Names {
    people: People,
    wanted: Operand<Wanted>,
    language: &'static str,
}

impl Names {
    /// Those of the rule's locale.
    pub fn of(making: &mut Making<'_>) -> Result<Names, Unfit> {
        let vocabulary = vocabulary(making)?;
        let locale = making.around.locale;
        let wanted = making.operand("gender", Wanted::parse)?.unwrap_or(Operand::Fixed(Wanted::Any));
        Ok(Names { people: People::of(locale, vocabulary), wanted, language: locale.language() })
    }

    /// Writes at most so many characters: the name of the row's person, cut where it is too long,
    /// and two digits.
    pub fn write(
        &self,
        plain: &Plain<'_>,
        draw: &mut Draw,
        most: usize,
        out: &mut String,
    ) -> Result<(), Refusal> {
        let person = plain.of_person();
        let name = self.people.person(&person, self.wanted.get(plain.row)?, 0);
        // Where a name is in a script that has no letters of mail addresses, syllables mean it.
        let mut other = person;
        for (number, (part, syllables_of)) in [(name.first, 2), (name.last, 3)].into_iter().enumerate() {
            if number > 0 {
                out.push('.');
            }
            let before = out.len();
            push_ascii(part, self.language, out);
            if out.len() == before {
                syllables(&mut other, syllables_of, out);
            }
        }
        cut(out, Some(most.saturating_sub(2)));
        // An address has no point at the end of its local part (RFC 5321, section 4.1.2).
        out.truncate(out.trim_end_matches(['.', '-']).len());
        random_digits(draw, 2.min(most), out);
        Ok(())
    }
}
