//! The transformers, one file per family.

mod address;
#[cfg(test)]
mod attempt;
mod bank;
mod company;
mod dates;
mod degrees;
mod documents;
mod fitting;
mod fixed;
mod free_text;
mod inner;
mod keep;
mod lists;
mod mail;
mod national;
mod network;
mod noise;
mod numbers;
mod permute;
mod person;
mod phone;
mod pick;
mod shape;
mod template;
mod text;
#[cfg(test)]
mod trial;
mod whole;
mod wording;
mod words;

use crate::definition::Definition;

pub(crate) use person::PERSON;

/// Every transformer, by family.
pub const FAMILIES: &[&[Definition]] = &[
    keep::ALL,
    fixed::ALL,
    text::ALL,
    permute::ALL,
    numbers::ALL,
    dates::ALL,
    network::ALL,
    mail::ALL,
    person::ALL,
    company::ALL,
    address::ALL,
    phone::ALL,
    bank::ALL,
    national::ALL,
    words::ALL,
    lists::ALL,
    noise::ALL,
    documents::ALL,
    free_text::ALL,
    template::ALL,
];

/// Every transformer.
pub fn all() -> impl Iterator<Item = &'static Definition> {
    FAMILIES.iter().flat_map(|family| family.iter())
}

/// A transformer by its name.
pub fn named(name: &str) -> Option<&'static Definition> {
    all().find(|definition| definition.name == name)
}

/// Where to find the right name.
pub fn hint(name: &str) -> String {
    let of_greenmask = all().find(|definition| definition.greenmask.contains(&name));
    match of_greenmask {
        Some(definition) => format!("what Greenmask calls {name} is {} here", definition.name),
        None => "`pgark mask list` shows all".to_string(),
    }
}
