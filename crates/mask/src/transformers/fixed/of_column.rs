//! `default`: the column's own default.

use super::{sql_literal, written};
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::types::check_text;

pub(super) fn build(making: &mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit> {
    let constant = match making.around.default {
        None => None,
        Some(sql) => match sql_literal::parse(sql) {
            Some(constant) => constant,
            None => {
                let message = "the column's default is an expression, which only the server can evaluate";
                let hint = "use = \"fixed\" with a value";
                return Err(making.fault(Code::ValueOutside, "use", message, hint));
            }
        },
    };
    let Some(text) = constant else {
        if making.target().not_null {
            let message = "the column's default is NULL, which the column does not take";
            return Err(making.fault(Code::NullRefused, "use", message, "use = \"fixed\" with a value"));
        }
        return Ok(Box::new(OfColumn(None)));
    };
    // A default may be cast when it is used: '5'::text of an integer is refused here.
    if let Err(why) = check_text(making.target(), &text) {
        let message = format!("the column's default {why}");
        return Err(making.fault(Code::ValueOutside, "use", message, "use = \"fixed\" with a value"));
    }
    Ok(Box::new(OfColumn(Some(written(making.kind(), &text)))))
}

/// The constant; None: NULL.
#[derive(Debug)]
struct OfColumn(Option<String>);

impl Transformer for OfColumn {
    fn fiction(&self, _: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        let Some(text) = &self.0 else { return Ok(Answer::Null) };
        out.push_str(text);
        Ok(Answer::Text)
    }
}
