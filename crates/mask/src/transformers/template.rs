//! `template` and `record`: fictions that a rule writes itself.

use crate::definition::{Definition, Injective, Parameter, Takes};
use crate::finding::Code;
use crate::making::Unfit;
use crate::template::{Program, settled};
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::types::Target;

const VALUE: Parameter =
    Parameter::new("value", Takes::Text, "", "The template, in minijinja: \"{{ fake('job') }}\".").required();

/// This family.
pub const ALL: &[Definition] = &[
    Definition {
        name: "template",
        summary: "What a template prints: other columns, functions and other transformers' fictions.",
        parameters: &[VALUE],
        takes: |_| true,
        types: "any",
        injective: Injective::No,
        greenmask: &["Template"],
        build: |making| {
            let Some(setting) = making.setting("value") else { return Err(Unfit) };
            let program = Program::compile(making, setting, &[])?;
            Ok(Box::new(Template { program, target: making.target().clone() }))
        },
    },
    Definition {
        name: "record",
        summary: "A template of a whole table (record = …), which sets several columns of a row.",
        parameters: &[
            VALUE,
            Parameter::new(
                "columns",
                Takes::Texts,
                "those that it sets",
                "The columns that the program sets, for each row.",
            ),
        ],
        takes: |_| true,
        types: "any",
        injective: Injective::No,
        greenmask: &["TemplateRecord"],
        build: |making| {
            let message = "record is a table's, not a column's";
            Err(making.fault(Code::WrongValue, "use", message, "[table.\"…\"] record = { value = \"…\", … }"))
        },
    },
];

#[derive(Debug)]
struct Template {
    program: Program,
    target: Target,
}

impl Transformer for Template {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        if self.program.render(plain, out)? {
            settled(&self.target, out)?;
            return Ok(Answer::Text);
        }
        if self.target.not_null {
            return Err(Refusal::new("a template made NULL, which its column does not take"));
        }
        Ok(Answer::Null)
    }
}
