//! `username`.

use crate::making::{Making, Unfit};
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::transformers::fitting::{
    WIDE_BASE32, another, cut, integer_within, not_injective, random_base32, random_digits, room, syllables,
    too_short,
};
use crate::types::Kind;

#[derive(Debug)]
struct Username {
    kind: Kind,
    is_random: bool,
    length: usize,
}

/// Shorter ones are the same for too many.
const LEAST_LENGTH: usize = 4;

pub(super) fn build(making: &mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit> {
    let style = making.text("style").unwrap_or(if making.is_unique() { "random" } else { "word" });
    let is_random = style == "random";
    let stated = integer_within(making, "max_length", LEAST_LENGTH as i64, 200)?;
    let room = room(making);
    if room.is_some_and(|room| room < stated.unwrap_or(LEAST_LENGTH)) {
        return Err(too_short(making, stated.unwrap_or(LEAST_LENGTH)));
    }
    let length = stated.unwrap_or(WIDE_BASE32).min(room.unwrap_or(usize::MAX));
    if making.is_unique() {
        if !is_random {
            let why = "a few syllables are the same for many";
            return Err(not_injective(making, "style", why, "style = \"random\""));
        }
        if length < WIDE_BASE32 {
            let parameter = if stated.is_some() { "max_length" } else { "use" };
            let why = format!("96 random bits need {WIDE_BASE32} characters");
            return Err(not_injective(making, parameter, why, ""));
        }
    }
    Ok(Box::new(Username { kind: making.kind().clone(), is_random, length }))
}

impl Transformer for Username {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        another(&self.kind, plain, out, |draw, out| {
            if self.is_random {
                random_base32(draw, self.length, out);
            } else {
                syllables(draw, 4, out);
                cut(out, Some(self.length.saturating_sub(2)));
                random_digits(draw, 2, out);
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transformers::fitting::tests::case;

    #[test]
    fn names() {
        let plains = &["anna", "", "Bob.Müller", "bodale42"];
        let is_name = |f: &str| f.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        case("username").holds(plains, |_, f| is_name(f) && f.len() == 10);
        case("username").with("max_length", 5).holds(plains, |_, f| is_name(f) && f.len() == 5);
        case("username").with("style", "random").holds(plains, |_, f| is_name(f) && f.len() == 20);
        case("username").of(Kind::Text(Some(6))).holds(plains, |_, f| f.len() == 6);
        case("username").unique().of(Kind::Citext).keeps_apart((0..2000).map(|n| n.to_string()));
        assert_eq!(case("username").unique().with("style", "word").code(), "M120");
        assert_eq!(case("username").unique().with("max_length", 19).code(), "M120");
        assert_eq!(case("username").unique().of(Kind::Text(Some(19))).code(), "M120");
        assert_eq!(case("username").of(Kind::Text(Some(3))).code(), "M111");
        assert_eq!(case("username").of(Kind::Text(Some(8))).with("max_length", 9).code(), "M111");
        assert_eq!(case("username").with("max_length", 3).code(), "M111");
        assert_eq!(case("username").with("style", "x").code(), "M006");
    }
}
