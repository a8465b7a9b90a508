//! `string`, `hash`, `replace`, `redact`: texts.

mod characters;
mod hash;
mod redact;
mod replace;
mod string;

pub(super) use string::random_string;

use super::fitting::{TEXTS, takes_text};
use crate::definition::{Definition, Injective, Parameter, Takes};

/// This family.
pub const ALL: &[Definition] = &[
    Definition {
        name: "string",
        summary: "Makes a random string. Without a length it is as long as the plain value; where \
                  values must differ, as long as 96 random bits need.",
        parameters: &[
            Parameter::new("min_length", Takes::Integer, "max_length", "The fewest characters."),
            Parameter::new(
                "max_length",
                Takes::Integer,
                "min_length, else the plain value's length",
                "The most characters.",
            ),
            Parameter::new(
                "symbols",
                Takes::Text,
                "a-zA-Z0-9",
                "The characters: single ones, and ranges as a-z. A backslash makes the next \
                 character mean itself.",
            ),
        ],
        takes: takes_text,
        types: TEXTS,
        injective: Injective::Width,
        greenmask: &["RandomString"],
        build: string::build,
    },
    Definition {
        name: "hash",
        summary: "Makes a hexadecimal digest. Without `salt` it depends on the mask key; with `salt`, \
                  anybody who knows the salt can guess plain values and compare.",
        parameters: &[
            Parameter::new(
                "function",
                Takes::Word(hash::FUNCTIONS),
                "keyed",
                "The hash function; `keyed` makes 32 digits. sha3-254 is Greenmask's name of sha3-256.",
            ),
            Parameter::new(
                "salt",
                Takes::Text,
                "",
                "Makes the digest of these bytes and the value, as other programs do; it needs a \
                 `function`.",
            ),
            Parameter::new(
                "max_length",
                Takes::Integer,
                "the column's length",
                "The most digits; 0 means all.",
            ),
        ],
        takes: takes_text,
        types: TEXTS,
        injective: Injective::Width,
        greenmask: &["Hash"],
        build: hash::build,
    },
    Definition {
        name: "replace",
        summary: "Replaces what a regular expression finds. What is not found stays plain within the \
                  value.",
        parameters: &[
            Parameter::new("regexp", Takes::Text, "", "What is searched for.").required(),
            Parameter::new(
                "replace",
                Takes::Text,
                "",
                "What comes in its place; $1 or ${name} is a group, $$ a dollar sign.",
            )
            .required(),
            Parameter::new(
                "unchanged",
                Takes::Word(&["refuse", "redact", "keep"]),
                "refuse",
                "A value that the replacement does not change: the backup fails, it becomes \
                 asterisks, or it stays plain (as in Greenmask).",
            ),
        ],
        takes: takes_text,
        types: TEXTS,
        injective: Injective::No,
        greenmask: &["RegexpReplace"],
        build: replace::build,
    },
    Definition {
        name: "redact",
        summary: "Makes characters unreadable. All types but `password` show parts of the plain value \
                  or its length.",
        parameters: &[
            Parameter::new(
                "type",
                Takes::Word(redact::TYPES),
                "default",
                "What the value is, which decides what stays readable. `default`: every character \
                 is replaced.",
            ),
            Parameter::new(
                "keep_first",
                Takes::Integer,
                "0",
                "With type `default`: so many characters at the start stay readable. A value that \
                 is not longer than what stays is replaced as a whole.",
            ),
            Parameter::new("keep_last", Takes::Integer, "0", "The same at the end."),
            Parameter::new("character", Takes::Text, "*", "What comes in place of a character."),
        ],
        takes: takes_text,
        types: TEXTS,
        injective: Injective::No,
        greenmask: &["Masking"],
        build: redact::build,
    },
];
