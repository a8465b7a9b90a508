//! `email`, `username`, `domain`, `url`, `password`.

mod ascii;
mod email;
mod local;
mod sites;
mod username;

use super::fitting::{TEXTS, takes_text};
use super::text;
use crate::definition::{Definition, Injective, Parameter, Takes};
use crate::finding::Code;
use crate::making::{Making, Unfit};

/// Domains that are reserved for documentation (RFC 2606, section 3): no mail reaches anybody.
const RESERVED: &[&str] = &["example.com", "example.net", "example.org"];

/// For people: [`RESERVED`].
const RESERVED_SHOWN: &str = "example.com, example.net, example.org";

/// This family.
pub const ALL: &[Definition] = &[
    Definition {
        name: "email",
        summary: "Makes a mail address under a domain that is reserved for examples.",
        parameters: &[
            Parameter::new(
                "domain",
                Takes::Texts,
                RESERVED_SHOWN,
                "The domains, as a list. Those that are not reserved (RFC 2606, RFC 6761) may reach someone.",
            ),
            Parameter::new(
                "keep_original_domain",
                Takes::Flag,
                "false",
                "The plain address's domain stays readable. Where it has none, or it is too long, it \
                 is one of `domain`.",
            ),
            Parameter::new(
                "local",
                Takes::Word(&["random", "person"]),
                "random",
                "What comes in front of the @: random letters and digits, or the name of the row's \
                 subject.",
            ),
            Parameter::new(
                "gender",
                Takes::Word(&["Male", "Female", "Neutral", "Any"]),
                "Any",
                "With local = \"person\": whose names, as the row's `person.first` has it.",
            )
            .dynamic(),
            Parameter::new(
                "max_random_length",
                Takes::Integer,
                "20",
                "The most characters in front of the @; 20 random ones hold 99 bits.",
            ),
        ],
        takes: takes_text,
        types: TEXTS,
        injective: Injective::Width,
        greenmask: &["RandomEmail"],
        build: email::build,
    },
    Definition {
        name: "username",
        summary: "Makes a name to log in with: letters and digits in lower case.",
        parameters: &[
            Parameter::new(
                "style",
                Takes::Word(&["word", "random"]),
                "word; where values must differ: random",
                "Syllables and two digits, or random letters and digits.",
            ),
            Parameter::new("max_length", Takes::Integer, "20", "The most characters."),
        ],
        takes: takes_text,
        types: TEXTS,
        injective: Injective::Width,
        greenmask: &["RandomUsername"],
        build: username::build,
    },
    Definition {
        name: "domain",
        summary: "Makes a name of a site under a domain that is reserved for examples.",
        parameters: &[SUFFIX],
        takes: takes_text,
        types: TEXTS,
        injective: Injective::Width,
        greenmask: &["RandomDomainName"],
        build: |making| sites::build(making, false),
    },
    Definition {
        name: "url",
        summary: "Makes an address of a page under a domain that is reserved for examples.",
        parameters: &[
            SUFFIX,
            Parameter::new("scheme", Takes::Texts, "https", "What comes in front of ://."),
            Parameter::new("path", Takes::Flag, "true", "A path comes behind the domain."),
        ],
        takes: takes_text,
        types: TEXTS,
        injective: Injective::Width,
        greenmask: &["RandomURL"],
        build: |making| sites::build(making, true),
    },
    Definition {
        name: "password",
        summary: "Makes a random password in clear. Columns that hold digests of passwords want `fixed`.",
        parameters: &[
            Parameter::new("min_length", Takes::Integer, "16", "The fewest characters."),
            Parameter::new("max_length", Takes::Integer, "16", "The most characters."),
            Parameter::new(
                "symbols",
                Takes::Text,
                PASSWORD_SYMBOLS,
                "The characters: single ones, and ranges as a-z.",
            ),
        ],
        takes: takes_text,
        types: TEXTS,
        injective: Injective::Width,
        greenmask: &["RandomPassword"],
        build: |making| Ok(Box::new(text::random_string(making, PASSWORD_SYMBOLS, Some((16, 16)))?)),
    },
];

/// No quotes, blanks or backslashes, which get lost on the way into a form.
const PASSWORD_SYMBOLS: &str = "a-zA-Z0-9!#%+.:=@_-";

const SUFFIX: Parameter = Parameter::new(
    "suffix",
    Takes::Texts,
    RESERVED_SHOWN,
    "What the name ends in. Domains that are not reserved (RFC 2606, RFC 6761) may belong to someone.",
);

/// The domains of a parameter.
fn domains(making: &mut Making<'_>, parameter: &str) -> Result<Vec<String>, Unfit> {
    let Some(stated) = making.texts(parameter) else {
        return Ok(RESERVED.iter().map(|domain| (*domain).to_string()).collect());
    };
    let domains: Vec<String> = stated.iter().map(|domain| domain.to_ascii_lowercase()).collect();
    match domains.iter().find(|domain| !is_domain(domain)) {
        None if domains.is_empty() => {
            let message = format!("{parameter} names no domain");
            Err(making.fault(Code::WrongValue, parameter, message, "example.com"))
        }
        None => Ok(domains),
        Some(wrong) => {
            let message = format!("\"{wrong}\" is not a domain");
            Err(making.fault(Code::WrongValue, parameter, message, "as \"example.com\""))
        }
    }
}

/// Whether a text is written as a domain: labels of letters, digits and hyphens (RFC 1123, section
/// 2.1).
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transformers::fitting::tests::case;
    use crate::types::Kind;

    #[test]
    fn passwords() {
        case("password").holds(&["", "secret", "hunter2"], |_, f| f.len() == 16 && !f.contains([' ', '"']));
        case("password")
            .with("min_length", 8)
            .with("max_length", 9)
            .holds(&["", "secret"], |_, f| (8..=9).contains(&f.len()));
        assert_eq!(case("password").of(Kind::Text(Some(8))).fiction("a").len(), 8);
        case("password").unique().keeps_apart((0..1000).map(|n| n.to_string()));
        assert_eq!(case("password").unique().with("max_length", 15).code(), "M120");
        assert_eq!(case("password").with("symbols", "").code(), "M006");
    }

    #[test]
    fn what_is_a_domain() {
        for domain in RESERVED.iter().chain(&["localhost", "a-b.c1"]) {
            assert!(is_domain(domain), "{domain}");
        }
        for wrong in ["", "a..b", "-a.com", "a b.com", "é.com", "a.com.", "x@y.z"] {
            assert!(!is_domain(wrong), "{wrong}");
        }
    }
}
