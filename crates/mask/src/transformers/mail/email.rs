//! `email`.

use super::local::Names;
use super::{domains, is_domain};
use crate::draw::Draw;
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::transformers::fitting::{
    WIDE_BASE32, another, integer_within, is_lower_case, not_injective, random_base32, room, too_short, value,
};
use crate::types::Kind;

#[derive(Debug)]
struct Email {
    kind: Kind,
    domains: Vec<String>,
    keeps_domain: bool,
    lower_case: bool,
    /// Whose names; None: the local part is random.
    names: Option<Names>,
    /// Characters of the local part: the fewest, and the most.
    local: (usize, usize),
    room: Option<usize>,
}

/// A local part has at most 64 octets (RFC 5321, section 4.5.3.1.1).
const MOST_LOCAL: i64 = 64;

/// Of a column that is not unique: fewer characters are the same for too many.
const LEAST_LOCAL: usize = 4;

pub(super) fn build(making: &mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit> {
    let domains = domains(making, "domain")?;
    let keeps_domain = making.flag("keep_original_domain", false);
    let of_person = making.text("local") == Some("person");
    let stated = integer_within(making, "max_random_length", 1, MOST_LOCAL)?;
    if !of_person && making.setting("gender").is_some() {
        let message = "gender is for local = \"person\" alone";
        return Err(making.fault(Code::WrongValue, "gender", message, "local = \"person\""));
    }
    if of_person && keeps_domain {
        let message = "a name under a real domain may be someone's address";
        return Err(making.fault(Code::WrongValue, "local", message, "local = \"random\""));
    }
    if making.is_unique() {
        if of_person {
            return Err(not_injective(making, "local", "people may have one name", "local = \"random\""));
        }
        if stated.is_some_and(|stated| stated < WIDE_BASE32) {
            let why = format!("96 random bits need {WIDE_BASE32} characters");
            return Err(not_injective(making, "max_random_length", why, ""));
        }
    }
    let most = stated.unwrap_or(if of_person { 64 } else { WIDE_BASE32 });
    let least = if making.is_unique() { WIDE_BASE32 } else { most.min(LEAST_LOCAL) };
    let room = room(making);
    let needed = least + 1 + domains.iter().map(String::len).max().unwrap_or(0);
    if room.is_some_and(|room| room < needed) {
        return Err(too_short(making, needed));
    }
    Ok(Box::new(Email {
        kind: making.kind().clone(),
        domains,
        keeps_domain,
        lower_case: is_lower_case(making),
        names: if of_person { Some(Names::of(making)?) } else { None },
        local: (least, most),
        room,
    }))
}

impl Email {
    fn fits(&self, domain: &str) -> bool {
        self.room.is_none_or(|room| self.local.0 + 1 + domain.len() <= room)
    }

    fn domain<'a>(&'a self, plain: &'a str, draw: &mut Draw) -> Result<&'a str, Refusal> {
        let of_plain = plain.rsplit_once('@').map(|(_, domain)| domain);
        match of_plain.filter(|domain| self.keeps_domain && is_domain(domain) && self.fits(domain)) {
            Some(domain) => Ok(domain),
            None => {
                draw.one_of(&self.domains).map(String::as_str).ok_or_else(|| Refusal::new("no domain fits"))
            }
        }
    }
}

impl Transformer for Email {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        another(&self.kind, plain, out, |draw, out| {
            let domain = self.domain(value(&self.kind, plain.text), draw)?;
            let most = self
                .room
                .map_or(self.local.1, |room| self.local.1.min(room.saturating_sub(1 + domain.len())));
            match &self.names {
                Some(names) => names.write(plain, draw, most, out)?,
                None => random_base32(draw, most, out),
            }
            out.push('@');
            out.push_str(domain);
            if self.lower_case {
                out.make_ascii_lowercase();
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::transformers::fitting::tests::case;

    const PLAINS: &[&str] =
        &["anna@firma.de", "ANNA@Firma.de", "x", "", "a@b@example.com", "ä@ö.de", "q@example.com"];

    fn parts(address: &str) -> (&str, &str) {
        address.rsplit_once('@').unwrap_or_default()
    }

    #[test]
    fn addresses() {
        case("email").holds(PLAINS, |_, f| {
            let (local, domain) = parts(f);
            local.len() == 20 && super::super::RESERVED.contains(&domain)
        });
        let domains: &[&str] = &["a.test", "B.test"];
        case("email")
            .with("domain", domains)
            .holds(PLAINS, |_, f| ["a.test", "b.test"].contains(&parts(f).1));
        case("email")
            .with("domain", "a.test")
            .with("max_random_length", 8)
            .holds(PLAINS, |_, f| parts(f).0.len() == 8);
        let kept = case("email").with("keep_original_domain", true);
        assert_eq!(parts(&kept.fiction("ANNA@Firma.de")).1, "Firma.de");
        assert_eq!(parts(&kept.fiction("a@b@example.com")).1, "example.com");
        assert!(super::super::RESERVED.contains(&parts(&kept.fiction("x")).1));
        let padded = case("email").with("keep_original_domain", true).of(Kind::Char(40));
        assert_eq!(parts(&padded.fiction("anna@firma.de       ")).1, "firma.de");
        assert_eq!(parts(&kept.lower_case().fiction("ANNA@Firma.de")).1, "firma.de");
        case("email").of(Kind::Text(Some(20))).holds(PLAINS, |_, f| f.len() <= 20);
        let narrow = case("email").of(Kind::Text(Some(20))).with("keep_original_domain", true);
        assert!(
            narrow.fiction("a@a-very-long-domain.de").ends_with(".example.com")
                || narrow.fiction("a@a-very-long-domain.de").len() <= 20
        );
    }

    #[test]
    fn addresses_of_people() {
        case("email").with("local", "person").holds(PLAINS, |_, f| {
            let (local, domain) = parts(f);
            let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-';
            local.contains('.') && local.chars().all(is_name) && domain.starts_with("example.")
        });
        case("email").with("local", "person").of(Kind::Text(Some(18))).holds(PLAINS, |_, f| f.len() <= 18);
    }

    #[test]
    fn people_of_every_locale() {
        for locale in crate::vocabulary::Locale::all() {
            let rule = case("email").with("local", "person").locale(locale.name()).built();
            for plain in PLAINS {
                let fiction = rule.fiction(plain);
                let (local, _) = parts(&fiction);
                let is_word = |part: &str| {
                    part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                        && part.starts_with(|first: char| first.is_ascii_lowercase())
                };
                assert!(local.len() <= 64 && local.split('.').all(is_word), "{}: {fiction}", locale.name());
            }
        }
        assert_eq!(case("email").with("gender", "Male").code(), "M006");
        let by_gender = |gender: &str| {
            let rule = case("email").with("local", "person").with("gender", gender).built();
            (0..50).map(|n| rule.fiction(&n.to_string())).collect::<Vec<_>>()
        };
        assert_ne!(by_gender("Male"), by_gender("Female"));
        let german = case("email").with("local", "person").locale("de_DE").fiction("x");
        let draw = Draw::of(crate::key::MaskKey::new(vec![7; 16]).unwrap().rule(1, "email"), b"x");
        let vocabulary = crate::vocabulary::Vocabulary::of(1).unwrap();
        let person =
            crate::transformers::person::Person::of(draw, crate::vocabulary::Locale("de_DE"), vocabulary);
        let mut name = String::new();
        super::super::ascii::push_ascii(person.first, "de", &mut name);
        assert!(german.starts_with(&format!("{name}.")), "{german}");
    }

    #[test]
    fn unique_addresses() {
        let plains = || (0..2000).map(|n| format!("{n}@firma.de"));
        case("email").unique().keeps_apart(plains());
        case("email").unique().of(Kind::Citext).keeps_apart(plains());
        case("email")
            .unique()
            .with("keep_original_domain", true)
            .of(Kind::Text(Some(32)))
            .keeps_apart(plains());
        assert_eq!(case("email").unique().of(Kind::Text(Some(32))).code(), "");
        assert_eq!(case("email").unique().of(Kind::Text(Some(31))).code(), "M111");
        assert_eq!(case("email").unique().with("max_random_length", 19).code(), "M120");
        assert_eq!(case("email").unique().with("local", "person").code(), "M120");
        // A kept domain that is too long would leave too few random characters.
        let kept = case("email").unique().with("keep_original_domain", true).of(Kind::Text(Some(32)));
        assert!(parts(&kept.fiction("a@a-very-long-domain.de")).1.starts_with("example."));
    }

    #[test]
    fn wrong_parameters() {
        let none: &[&str] = &[];
        assert_eq!(case("email").with("domain", none).code(), "M006");
        assert_eq!(case("email").with("domain", "a b").code(), "M006");
        assert_eq!(case("email").with("local", "person").with("keep_original_domain", true).code(), "M006");
        assert_eq!(case("email").with("max_random_length", 65).code(), "M111");
        assert_eq!(case("email").with("max_random_length", 0).code(), "M111");
        assert_eq!(case("email").of(Kind::Text(Some(15))).code(), "M111");
        assert_eq!(case("email").of(Kind::Uuid).code(), "M110");
    }
}
