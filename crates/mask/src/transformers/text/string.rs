//! `string`.

use super::characters::Characters;
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::transformers::fitting::{
    another, cut, integer_within, is_lower_case, not_injective, room, too_short,
};
use crate::types::Kind;

/// A random string.
#[derive(Debug)]
pub(in crate::transformers) struct RandomString {
    kind: Kind,
    characters: Characters,
    /// The fewest and the most characters; None: as many as the plain value has.
    lengths: Option<(usize, usize)>,
    room: Option<usize>,
}

/// The most characters of a random string.
const MOST_LENGTH: i64 = 1_000_000;

pub(super) fn build(making: &mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit> {
    Ok(Box::new(random_string(making, "a-zA-Z0-9", None)?))
}

/// A random string of the parameters `symbols`, `min_length` and `max_length`, or of these
/// defaults.
pub(in crate::transformers) fn random_string(
    making: &mut Making<'_>,
    symbols: &str,
    lengths: Option<(usize, usize)>,
) -> Result<RandomString, Unfit> {
    let symbols = making.text("symbols").unwrap_or(symbols);
    let characters = match Characters::read(symbols, is_lower_case(making)) {
        Ok(characters) => characters,
        Err(why) => {
            return Err(making.fault(Code::WrongValue, "symbols", format!("symbols: {why}"), "a-zA-Z0-9"));
        }
    };
    let mut room = room(making);
    if let (Kind::Name, Some(bytes)) = (making.kind(), room) {
        room = Some(bytes / characters.most_bytes());
    }
    let least = integer_within(making, "min_length", 1, MOST_LENGTH)?;
    let most = integer_within(making, "max_length", 1, MOST_LENGTH)?;
    let stated = match (least, most) {
        (None, None) => None,
        (Some(least), None) => Some((least, least.max(lengths.map_or(0, |(_, most)| most)))),
        (None, Some(most)) => Some((most.min(lengths.map_or(most, |(least, _)| least)), most)),
        (Some(least), Some(most)) => Some((least, most)),
    };
    if let Some((least, most)) = stated {
        if least > most {
            let message = format!("min_length is {least}, and max_length is {most}");
            return Err(making.fault(Code::ValueOutside, "min_length", message, ""));
        }
        if room.is_some_and(|room| most > room) {
            return Err(too_short(making, most));
        }
    }
    let fitted = |(least, most): (usize, usize)| match room {
        Some(room) => (least.min(room), most.min(room)),
        None => (least, most),
    };
    let mut lengths = stated.or(lengths.map(fitted));
    if making.is_unique() {
        let Some(wide) = characters.wide() else {
            return Err(not_injective(making, "symbols", "there is only one character", ""));
        };
        if matches!(making.kind(), Kind::Char(_)) && characters.has(' ') {
            let why = "blanks at the end of char(n) do not count";
            return Err(not_injective(making, "symbols", why, "leave the blank out of symbols"));
        }
        if room.is_some_and(|room| room < wide) {
            let why = format!("96 random bits need {wide} of these characters");
            let hint = format!("the column is {}", making.target().sql_type);
            return Err(not_injective(making, "use", why, &hint));
        }
        match (stated, lengths) {
            (Some((least, _)), _) if least < wide => {
                let parameter =
                    if making.setting("min_length").is_some() { "min_length" } else { "max_length" };
                let why = format!("96 random bits need {wide} of these characters");
                return Err(not_injective(making, parameter, why, &format!("min_length = {wide}")));
            }
            (None, lengths_by_default) => {
                let (least, most) = lengths_by_default.unwrap_or((wide, wide));
                lengths = Some((least.max(wide), most.max(wide)));
            }
            _ => {}
        }
    }
    Ok(RandomString { kind: making.kind().clone(), characters, lengths, room })
}

impl Transformer for RandomString {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        let (least, most) = self.lengths.unwrap_or_else(|| {
            // An empty text has no other one of its length.
            let length = plain.text.chars().count().max(1);
            (length, length)
        });
        another(&self.kind, plain, out, |draw, out| {
            let number = draw.between(least as i64, most as i64);
            self.characters.draw(draw, usize::try_from(number).unwrap_or(least), out);
            cut(out, self.room);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transformers::fitting::tests::case;

    const PLAINS: &[&str] = &["", "a", "Anna Schmidt", "0", "Ünïcode", "Zzz"];

    #[test]
    fn lengths_and_symbols() {
        case("string")
            .with("min_length", 3)
            .with("max_length", 5)
            .with("symbols", "xyzä")
            .holds(PLAINS, |_, f| {
                (3..=5).contains(&f.chars().count()) && f.chars().all(|c| "xyzä".contains(c))
            });
        case("string").with("max_length", 4).holds(PLAINS, |_, f| f.len() == 4);
        case("string")
            .holds(&["abc", "Anna Schmidt", "Ünïcode", "xy"], |p, f| f.len() == p.chars().count().max(1));
        case("string").of(Kind::Text(Some(3))).holds(&["abc", "xyz"], |_, f| f.len() <= 3);
        case("string").of(Kind::Citext).holds(PLAINS, |_, f| f == f.to_lowercase());
    }

    #[test]
    fn two_values_never_keep_their_own() {
        let rule = case("string").with("max_length", 1).with("symbols", "ab").of(Kind::Char(1));
        assert_eq!((rule.fiction("a").as_str(), rule.fiction("b").as_str()), ("b", "a"));
    }

    #[test]
    fn unique_strings_hold_96_bits() {
        let plains = || (0..2000).map(|n| n.to_string());
        case("string").unique().keeps_apart(plains());
        case("string").unique().lower_case().keeps_apart(plains());
        assert_eq!(case("string").unique().fiction("a").len(), 17);
        assert_eq!(case("string").unique().of(Kind::Citext).fiction("a").len(), 19);
        assert_eq!(case("string").unique().with("max_length", 16).code(), "M120");
        assert_eq!(case("string").unique().with("min_length", 3).with("max_length", 40).code(), "M120");
        assert_eq!(case("string").unique().with("min_length", 17).with("max_length", 40).code(), "");
        assert_eq!(case("string").unique().of(Kind::Text(Some(16))).code(), "M120");
        assert_eq!(case("string").unique().with("symbols", "x").code(), "M120");
        assert_eq!(case("string").unique().with("symbols", "a-z ").of(Kind::Char(40)).code(), "M120");
    }

    #[test]
    fn wrong_parameters() {
        assert_eq!(case("string").with("min_length", 5).with("max_length", 4).code(), "M111");
        assert_eq!(case("string").with("min_length", 0).code(), "M111");
        assert_eq!(case("string").with("max_length", 9).of(Kind::Text(Some(8))).code(), "M111");
        assert_eq!(case("string").with("max_length", 40).with("symbols", "ä").of(Kind::Name).code(), "M111");
        assert_eq!(case("string").with("symbols", "z-a").code(), "M006");
        assert_eq!(case("string").with("symbols", "").code(), "M006");
        assert_eq!(case("string").with("length", 3).code(), "M005");
        assert_eq!(case("string").of(Kind::Int(4)).code(), "M110");
    }
}
