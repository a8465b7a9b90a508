//! `bic`: codes of banks (ISO 9362): four characters of the bank, two of the country, two of the
//! place, and three of the branch that may be left out. A 0 as the eighth character marks a code
//! for tests.

use super::iban::is_country;
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::transformers::fitting::{another, country_of, is_lower_case, pattern, room, too_short, value};
use crate::types::Kind;

#[derive(Debug)]
struct Bic {
    kind: Kind,
    /// None: the plain code's.
    country: Option<String>,
    local: &'static str,
    lower_case: bool,
    room: Option<usize>,
}

pub(super) fn build(making: &mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit> {
    let country = match making.text("country").unwrap_or("same") {
        "same" => None,
        code if is_country(code) => Some(code.to_string()),
        code => {
            let message = format!("{code} is not two capital letters");
            return Err(making.fault(Code::WrongValue, "country", message, "two letters, as \"DE\""));
        }
    };
    let room = room(making);
    if room.is_some_and(|room| room < 8) {
        return Err(too_short(making, 8));
    }
    let local = country_of(making.around.locale).unwrap_or("DE");
    let (kind, lower_case) = (making.kind().clone(), is_lower_case(making));
    Ok(Box::new(Bic { kind, country, local, lower_case, room }))
}

impl Transformer for Bic {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        let text = value(&self.kind, plain.text);
        let of_plain = text.get(4..6).map(str::to_ascii_uppercase).filter(|code| is_country(code));
        let country = self.country.clone().or(of_plain).unwrap_or_else(|| self.local.to_string());
        let has_branch = text.len() == 11 && self.room.is_none_or(|room| room >= 11);
        another(&self.kind, plain, out, |draw, out| {
            pattern(draw, "@@@@", out);
            out.push_str(&country);
            pattern(draw, "@0", out);
            if has_branch {
                out.push_str("XXX");
            }
            if self.lower_case {
                out.make_ascii_lowercase();
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
    fn codes() {
        let plains = &["DEUTDEFF", "DEUTDEFF500", "BNPAFRPP", "", "x", "äöüäöü"];
        let is_test = |fiction: &str| fiction.as_bytes().get(7) == Some(&b'0');
        case("bic").holds(plains, |plain, fiction| {
            is_test(fiction) && fiction.len() == if plain.len() == 11 { 11 } else { 8 }
        });
        assert_eq!(case("bic").fiction("BNPAFRPP").get(4..6), Some("FR"));
        case("bic").with("country", "AT").holds(plains, |_, f| is_test(f) && f.get(4..6) == Some("AT"));
        case("bic").lower_case().holds(plains, |_, f| f == f.to_lowercase());
        case("bic").of(Kind::Text(Some(8))).holds(plains, |_, f| f.len() == 8);
        assert_eq!(case("bic").of(Kind::Char(12)).fiction("DEUTDEFF500 ").len(), 11);
        assert_eq!(case("bic").of(Kind::Text(Some(7))).code(), "M111");
        assert_eq!(case("bic").with("country", "Austria").code(), "M006");
    }
}
