//! `card`, `iban`, `bic`: numbers of payments.

mod bic;
mod card;
mod iban;
mod national_checks;
mod registry;

use super::fitting::{TEXTS, takes_long_number, takes_text};
use crate::definition::{Definition, Injective, Parameter, Takes};

/// This family.
pub const ALL: &[Definition] = &[
    Definition {
        name: "card",
        summary: "Makes a card number with a right check digit, under prefixes that payment processors \
                  publish test numbers of. Unique ones have the plain number's length and begin with \
                  a digit that no payment card begins with.",
        parameters: &[Parameter::new(
            "brand",
            Takes::Word(card::BRANDS),
            "same",
            "Whose card; `same` is the plain number's brand, and visa where that is not known.",
        )],
        takes: takes_long_number,
        types: "texts, bigint and numeric",
        injective: Injective::Bijection,
        greenmask: &["RandomCCNumber"],
        build: card::build,
    },
    Definition {
        name: "iban",
        summary: "Makes an account number with right check digits at a bank that does not exist. \
                  Unique ones keep the country, and any other digit or letter is permuted.",
        parameters: &[
            Parameter::new(
                "keep",
                Takes::Word(&["country", "nothing"]),
                "country",
                "`country`: the plain number's country; `nothing`: the locale's.",
            ),
            Parameter::new("country", Takes::Text, "", "Two letters of ISO 3166: all are of this country."),
        ],
        takes: takes_text,
        types: TEXTS,
        injective: Injective::Bijection,
        greenmask: &[],
        build: iban::build,
    },
    Definition {
        name: "bic",
        summary: "Makes a bank's code whose eighth character is 0: test codes are so marked.",
        parameters: &[Parameter::new(
            "country",
            Takes::Text,
            "same",
            "Two letters of ISO 3166, or `same`: the plain code's, else the locale's.",
        )],
        takes: takes_text,
        types: TEXTS,
        injective: Injective::No,
        greenmask: &[],
        build: bic::build,
    },
];
