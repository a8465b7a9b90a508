//! What makes a fiction of a plain value.

use std::fmt::Debug;

use crate::draw::Draw;

/// Makes fictions of one column's values. It is built once for a column and then used by several
/// threads at a time.
pub trait Transformer: Debug + Send + Sync {
    /// Writes the fiction of one value, in the text form of the column's type and in UTF-8.
    ///
    /// It is called for NULL only if the rule says `null = "replace"`; then [`Plain::text`] is
    /// empty. `out` is empty when it is called.
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal>;

    /// What its fictions are drawn from, where the row has a subject.
    fn draws(&self) -> Draws {
        Draws::Value
    }

    /// Where the transformer is a bijection: the plain value of a fiction.
    fn plain_of(&self, _fiction: &str, _out: &mut String) -> Result<Answer, Refusal> {
        Err(Refusal::new("this transformer cannot be turned around"))
    }
}

/// What fictions are drawn from, where the row has a subject: bits that nothing is drawn from need
/// not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draws {
    /// From the value's own bits, and perhaps the subject's, too.
    Value,
    /// From [`Plain::of_person`] alone.
    Subject,
    /// From the person that it draws alone.
    Person,
}

/// A plain value, as transformers see it.
pub struct Plain<'a> {
    /// The value in the text form of its type, in UTF-8.
    pub text: &'a str,
    /// What all equal values have in common; it is what the draw was made of.
    pub canonical: &'a [u8],
    /// The value is NULL.
    pub is_null: bool,
    /// Random bits that the key and the value decide.
    pub draw: Draw,
    /// Random bits that the row's subject decides, where the table has one: what tells of a person
    /// (name, gender, address, mail, how far dates are shifted) is drawn from these, so that it
    /// agrees in all columns and tables. With the engine `run` they are of this run alone; with
    /// `random` there are none, since the row itself decides.
    pub subject: Option<Draw>,
    /// The whole row.
    pub row: &'a dyn Row,
}

impl Plain<'_> {
    /// What a person's attributes are drawn from: the subject's bits, else the value's own.
    pub fn of_person(&self) -> Draw {
        self.subject.clone().unwrap_or_else(|| self.draw.clone())
    }
}

/// A row, as parameters and templates see it. Columns have the numbers that they have in COPY.
pub trait Row {
    /// The plain value of a column; None if it is NULL.
    fn plain(&self, column: usize) -> Option<&str>;

    /// The fiction of a column; None if it is NULL. The plan orders the columns so that it is made
    /// already.
    fn masked(&self, column: usize) -> Option<&str>;
}

/// What came of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The text that was written.
    Text,
    /// NULL.
    Null,
    /// The plain value itself: only `keep` and its like may say so.
    Same,
}

/// A value that no fiction can be made of: the row, and with it the backup, fails. The text names
/// no plain value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Refusal {
    /// Why, as a sentence.
    pub why: String,
}

impl Refusal {
    /// A refusal for a reason.
    pub fn new(why: impl Into<String>) -> Refusal {
        Refusal { why: why.into() }
    }
}
