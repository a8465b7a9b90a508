//! `keep` and `null`: what needs no draw.

use crate::definition::{Definition, Injective};
use crate::finding::Code;
use crate::transformer::{Answer, Plain, Refusal, Transformer};

/// This family.
pub const ALL: &[Definition] = &[
    Definition {
        name: "keep",
        summary: "Leaves the value as it is.",
        parameters: &[],
        takes: |_| true,
        types: "any",
        injective: Injective::AsItIs,
        greenmask: &[],
        build: |_| Ok(Box::new(Keep)),
    },
    Definition {
        name: "null",
        summary: "Makes it NULL.",
        parameters: &[],
        takes: |_| true,
        types: "any",
        injective: Injective::OnlyNull,
        greenmask: &["SetNull"],
        build: |making| {
            if making.target().not_null {
                return Err(making.fault(Code::NullRefused, "use", "the column does not take NULL", ""));
            }
            Ok(Box::new(Null))
        },
    },
];

#[derive(Debug)]
struct Keep;

impl Transformer for Keep {
    fn fiction(&self, _: &Plain<'_>, _: &mut String) -> Result<Answer, Refusal> {
        Ok(Answer::Same)
    }
}

#[derive(Debug)]
struct Null;

impl Transformer for Null {
    fn fiction(&self, _: &Plain<'_>, _: &mut String) -> Result<Answer, Refusal> {
        Ok(Answer::Null)
    }
}
