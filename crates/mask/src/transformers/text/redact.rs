//! `redact`: characters become asterisks. The types are those of Greenmask's `Masking`.

use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::transformers::fitting::{cut, integer_within, is_same, room};
use crate::types::Kind;

/// What a value is.
pub(super) const TYPES: &[&str] = &[
    "default",
    "password",
    "name",
    "addr",
    "email",
    "mobile",
    "tel",
    "id",
    "credit_card",
    "url",
    "postcode",
];

#[derive(Debug)]
struct Redact {
    kind: Kind,
    what: What,
    character: char,
    room: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// All but some at the start and at the end.
    AllBut { first: usize, last: usize },
    /// Twelve asterisks.
    Password,
    /// The second and third character of each word.
    Name,
    /// The first six characters stay, and six asterisks follow.
    Addr,
    /// The first three characters and the domain stay.
    Email,
    /// `(02)2345-****`.
    Tel,
    /// So many characters from a position on.
    Within { start: usize, number: usize },
    /// The user's name and password.
    Url,
}

pub(super) fn build(making: &mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit> {
    let first = integer_within(making, "keep_first", 0, 1_000_000)?;
    let last = integer_within(making, "keep_last", 0, 1_000_000)?;
    let room = room(making);
    let what = match making.text("type").unwrap_or("default") {
        "password" => What::Password,
        "name" => What::Name,
        "addr" => What::Addr,
        "email" => What::Email,
        "mobile" => What::Within { start: 4, number: 3 },
        "tel" => What::Tel,
        "id" => What::Within { start: 6, number: 4 },
        "credit_card" => What::Within { start: 6, number: 6 },
        "url" => What::Url,
        "postcode" => What::Within { start: 2, number: usize::MAX },
        _ => What::AllBut { first: first.unwrap_or(0), last: last.unwrap_or(0) },
    };
    match what {
        What::AllBut { first, last } => {
            if let Some(room) = room.filter(|room| first.saturating_add(last) >= *room) {
                let parameter = if first > 0 { "keep_first" } else { "keep_last" };
                let message = format!("it keeps {} of at most {room} characters", first + last);
                return Err(making.fault(Code::ChangesNothing, parameter, message, ""));
            }
        }
        _ => {
            for parameter in ["keep_first", "keep_last"] {
                if making.setting(parameter).is_some() {
                    let message = format!("{parameter} is for the type `default` alone");
                    return Err(making.fault(Code::WrongValue, parameter, message, "leave `type` out"));
                }
            }
        }
    }
    let mut characters = making.text("character").unwrap_or("*").chars();
    let (Some(character), None) = (characters.next(), characters.next()) else {
        return Err(making.fault(Code::WrongValue, "character", "character takes one character", ""));
    };
    if character == '\0' || (character == ' ' && matches!(making.kind(), Kind::Char(_))) {
        let message = "character takes none that the column does not hold";
        return Err(making.fault(Code::WrongValue, "character", message, ""));
    }
    Ok(Box::new(Redact { kind: making.kind().clone(), what, character, room }))
}

impl Redact {
    fn redact(&self, text: &str, out: &mut String) {
        let length = text.chars().count();
        match self.what {
            What::AllBut { first, last } => {
                if first.saturating_add(last) < length {
                    self.cover(text, first, length - first - last, out);
                } else {
                    self.cover(text, 0, length, out);
                }
            }
            What::Password => self.put(12, out),
            What::Name => {
                for (number, word) in text.split(' ').enumerate() {
                    if number > 0 {
                        out.push(' ');
                    }
                    match word.chars().count() {
                        0 => {}
                        1 => self.put(2, out),
                        _ => self.cover(word, 1, 2, out),
                    }
                }
            }
            What::Addr => {
                if length > 6 {
                    out.extend(text.chars().take(6));
                }
                self.put(6, out);
            }
            What::Email => {
                let (local, domain) = text.rsplit_once('@').unwrap_or((text, ""));
                // Of a short local part less stays, so that something is covered.
                let stay = local.chars().count().saturating_sub(1).min(3);
                out.extend(local.chars().take(stay));
                self.put(4, out);
                if !domain.is_empty() {
                    out.push('@');
                    out.push_str(domain);
                }
            }
            What::Tel => self.tel(text, out),
            What::Within { start, number } => self.cover(text, start, number, out),
            What::Url => {
                let user = text.split_once("://").and_then(|(scheme, rest)| {
                    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                    let at = rest.get(..authority)?.rfind('@')?;
                    Some((scheme, rest.get(at..)?))
                });
                if let Some((scheme, host)) = user {
                    out.push_str(scheme);
                    out.push_str("://");
                    self.put(4, out);
                    out.push_str(host);
                }
            }
        }
    }

    /// A telephone number of 8 or 10 digits: the last four are covered.
    fn tel(&self, text: &str, out: &mut String) {
        let digits: String = text.chars().filter(|c| !" ()-".contains(*c)).collect();
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return;
        }
        let subscriber = match digits.len() {
            8 => digits.get(..4),
            10 => {
                out.push('(');
                out.extend(digits.get(..2));
                out.push(')');
                digits.get(2..6)
            }
            _ => None,
        };
        if let Some(subscriber) = subscriber {
            out.push_str(subscriber);
            out.push('-');
            self.put(4, out);
        }
    }

    fn put(&self, number: usize, out: &mut String) {
        out.extend(std::iter::repeat_n(self.character, number));
    }

    /// The text with some characters covered.
    fn cover(&self, text: &str, start: usize, number: usize, out: &mut String) {
        let covered = start..start.saturating_add(number);
        out.extend(text.chars().enumerate().map(
            |(place, c)| {
                if covered.contains(&place) { self.character } else { c }
            },
        ));
    }
}

impl Transformer for Redact {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        self.redact(plain.text, out);
        cut(out, self.room);
        // What a type does not cover, as a telephone number of seven digits, is covered as a whole.
        if out.is_empty() || is_same(&self.kind, plain.text, out) {
            out.clear();
            self.cover(plain.text, 0, usize::MAX, out);
        }
        Ok(Answer::Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transformers::fitting::tests::{Case, case};

    fn rule(what: &str) -> Case {
        case("redact").with("type", what)
    }

    #[test]
    fn types() {
        for (what, plain, fiction) in [
            ("default", "Änna", "****"),
            ("default", "", ""),
            ("password", "x", "************"),
            ("name", "Anna Schmidt", "A**a S**midt"),
            ("name", "A Li", "** L*"),
            ("addr", "12 Main Street", "12 Mai******"),
            ("addr", "Ulm", "******"),
            ("email", "anna.schmidt@firma.de", "ann****@firma.de"),
            ("email", "ab@firma.de", "a****@firma.de"),
            ("email", "annas", "ann****"),
            ("mobile", "0987654321", "0987***321"),
            ("tel", "0227993078", "(02)2799-****"),
            ("tel", "2799-3078", "2799-****"),
            ("tel", "279-307", "*******"),
            ("tel", "+49 30 123", "**********"),
            ("id", "A123456789", "A12345****"),
            ("credit_card", "1234567890123456", "123456******3456"),
            ("url", "https://u:p@host.de/a@b", "https://****@host.de/a@b"),
            ("url", "https://host.de/a@b", "*******************"),
            ("postcode", "04109", "04***"),
            ("postcode", "04", "**"),
            ("mobile", "0987", "****"),
        ] {
            assert_eq!(rule(what).fiction(plain), fiction, "{what}");
        }
    }

    #[test]
    fn what_stays_and_what_covers() {
        let rule = || case("redact").with("keep_first", 2).with("keep_last", 1);
        assert_eq!(rule().fiction("abcdef"), "ab***f");
        assert_eq!(rule().fiction("abc"), "***");
        assert_eq!(rule().with("character", "•").fiction("abcd"), "ab•d");
        assert_eq!(case("redact").with("type", "password").of(Kind::Text(Some(5))).fiction("x"), "*****");
        assert_eq!(rule().of(Kind::Text(Some(4))).code(), "");
        assert_eq!(rule().of(Kind::Text(Some(3))).code(), "M155");
    }

    #[test]
    fn wrong_parameters() {
        assert_eq!(rule("iban").code(), "M006");
        assert_eq!(rule("name").with("keep_first", 1).code(), "M006");
        assert_eq!(case("redact").with("keep_first", -1).code(), "M111");
        assert_eq!(case("redact").with("character", "**").code(), "M006");
        assert_eq!(case("redact").with("character", " ").of(Kind::Char(3)).code(), "M006");
        assert_eq!(case("redact").of(Kind::Bool).code(), "M110");
    }
}
