//! `domain` and `url`.

use super::domains;
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::transformers::fitting::{
    WIDE_BASE32, another, cut, not_injective, random_base32, room, syllables, too_short,
};
use crate::types::Kind;

#[derive(Debug)]
struct Site {
    kind: Kind,
    /// With `://`; of a domain alone: one that is empty.
    schemes: Vec<String>,
    suffixes: Vec<String>,
    has_path: bool,
    /// Characters of the random label.
    label: usize,
    unique: bool,
    room: Option<usize>,
}

/// Characters of a label of syllables: the fewest and the most.
const LABEL: (usize, usize) = (4, 8);

pub(super) fn build(making: &mut Making<'_>, is_url: bool) -> Result<Box<dyn Transformer>, Unfit> {
    let suffixes = domains(making, "suffix")?;
    let schemes = making.texts("scheme").unwrap_or_else(|| vec!["https".to_string()]);
    let is_scheme = |scheme: &String| {
        scheme.starts_with(|first: char| first.is_ascii_lowercase())
            && scheme.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b))
    };
    if schemes.is_empty() || !schemes.iter().all(is_scheme) {
        let message = "scheme takes schemes in lower case (RFC 3986, section 3.1)";
        return Err(making.fault(Code::WrongValue, "scheme", message, "as \"https\""));
    }
    let schemes = match is_url {
        true => schemes.iter().map(|scheme| format!("{scheme}://")).collect(),
        false => vec![String::new()],
    };
    let longest = |texts: &[String]| texts.iter().map(String::len).max().unwrap_or(0);
    let around = longest(&schemes) + 1 + longest(&suffixes);
    let room = room(making);
    let left = room.map_or(usize::MAX, |room| room.saturating_sub(around));
    let unique = making.is_unique();
    if unique && left < WIDE_BASE32 {
        let why = format!("96 random bits need {} characters", around + WIDE_BASE32);
        let hint = format!("the column is {}", making.target().sql_type);
        return Err(not_injective(making, "use", why, &hint));
    }
    if left < LABEL.0 {
        return Err(too_short(making, around + LABEL.0));
    }
    let label = if unique { WIDE_BASE32 } else { LABEL.1.min(left) };
    let has_path = is_url && making.flag("path", true);
    let kind = making.kind().clone();
    Ok(Box::new(Site { kind, schemes, suffixes, has_path, label, unique, room }))
}

impl Transformer for Site {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        let mut label = String::with_capacity(self.label);
        another(&self.kind, plain, out, |draw, out| {
            label.clear();
            if self.unique {
                random_base32(draw, self.label, &mut label);
            } else {
                syllables(draw, LABEL.1 / 2, &mut label);
                cut(&mut label, Some(self.label));
            }
            let no_domain = || Refusal::new("no domain fits");
            out.push_str(draw.one_of(&self.schemes).ok_or_else(no_domain)?);
            out.push_str(&label);
            out.push('.');
            out.push_str(draw.one_of(&self.suffixes).ok_or_else(no_domain)?);
            if self.has_path {
                out.push('/');
                syllables(draw, 4, out);
                // Where there is no room for it, the path is shorter, or not there.
                cut(out, self.room);
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transformers::fitting::tests::case;

    const PLAINS: &[&str] = &["www.firma.de", "", "https://firma.de/anna?x=1", "x"];

    #[test]
    fn domains_and_addresses() {
        case("domain").holds(PLAINS, |_, f| f.contains(".example.") && f.len() == 8 + 12);
        case("domain").with("suffix", "firma.test").holds(PLAINS, |_, f| f.ends_with(".firma.test"));
        case("url").holds(PLAINS, |_, f| {
            f.strip_prefix("https://")
                .and_then(|rest| rest.split_once('/'))
                .is_some_and(|(host, path)| host.contains(".example.") && path.len() == 8)
        });
        let schemes: &[&str] = &["ftp", "sftp"];
        case("url")
            .with("scheme", schemes)
            .with("path", false)
            .holds(PLAINS, |_, f| f.contains("ftp://") && f.matches('/').count() == 2);
        case("url").of(Kind::Text(Some(28))).holds(PLAINS, |_, f| f.len() <= 28);
    }

    #[test]
    fn unique_ones() {
        for name in ["domain", "url"] {
            case(name).unique().keeps_apart((0..2000).map(|n| format!("{n}.de")));
        }
        assert_eq!(case("domain").unique().of(Kind::Text(Some(32))).code(), "");
        assert_eq!(case("domain").unique().of(Kind::Text(Some(31))).code(), "M120");
        assert_eq!(case("url").unique().of(Kind::Text(Some(39))).code(), "M120");
        assert_eq!(case("url").unique().of(Kind::Text(Some(40))).code(), "");
    }

    #[test]
    fn wrong_parameters() {
        assert_eq!(case("domain").of(Kind::Text(Some(15))).code(), "M111");
        assert_eq!(case("domain").with("suffix", "").code(), "M006");
        assert_eq!(case("domain").with("scheme", "http").code(), "M005");
        assert_eq!(case("url").with("scheme", "ht tp").code(), "M006");
        assert_eq!(case("url").with("path", 1).code(), "M006");
    }
}
