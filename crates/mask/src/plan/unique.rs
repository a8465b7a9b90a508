//! Which columns must stay unique, and what says so.

use pgark_bytes::sql::tokenize;

use crate::catalog::{ColumnFacts, IndexFacts, TableFacts};
use crate::definition::Injective;
use crate::rules::Engine;

/// Why different values of a column must get different fictions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unique {
    /// The constraint or index.
    pub constraint: String,
    /// One is over `lower(column)`: fictions that differ in case only are equal.
    pub lower_case: bool,
    /// The one that takes many NULLs, but not many equal fictions of these. None: at most one NULL
    /// exists.
    pub many_nulls: Option<String>,
}

/// The indexes and constraints that a column alone is the key of, also partial ones. None: none.
pub fn alone(table: &TableFacts, column: &ColumnFacts) -> Option<Unique> {
    let constraints = table
        .constraints
        .iter()
        .filter(|constraint| {
            matches!(constraint.kind, 'p' | 'u') && constraint.columns.as_slice() == [column.name.clone()]
        })
        .map(|constraint| (&constraint.name, &constraint.definition, false));
    let of_index = |index: &IndexFacts| match index.keys.as_slice() {
        [Some(name)] => (*name == column.name).then_some(false),
        [None] => index.expressions.iter().any(|text| is_lower_of(text, &column.name)).then_some(true),
        _ => None,
    };
    let indexes = table
        .indexes
        .iter()
        .filter(|index| index.unique)
        .filter_map(|index| Some((&index.name, &index.definition, of_index(index)?)));
    // A constraint, then a plain index, then one in lower case: the first is what findings name.
    let mut all: Vec<_> = constraints.chain(indexes).collect();
    all.sort_by_key(|(.., lower_case)| *lower_case);
    let (name, ..) = all.first()?;
    let many_nulls = all.iter().find(|(_, definition, _)| !says(definition, NULLS_EQUAL));
    Some(Unique {
        constraint: name.to_string(),
        lower_case: all.iter().any(|(.., lower_case)| *lower_case),
        many_nulls: many_nulls.map(|(name, ..)| name.to_string()),
    })
}

/// NULLs are equal to a key.
pub const NULLS_EQUAL: [&str; 3] = ["nulls", "not", "distinct"];

/// Whether a definition has these words, one behind the other.
pub fn says<const N: usize>(definition: &str, words: [&str; N]) -> bool {
    let tokens: Vec<_> = tokenize(definition.as_bytes()).filter(|token| !token.is_blank()).collect();
    tokens.windows(N).any(|found| found.iter().zip(words).all(|(token, word)| token.is_word(word)))
}

/// What an index's expression makes of a column's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// `lower(column)`.
    Lower,
    /// `upper(column)`.
    Upper,
}

/// `lower(email)`, `upper((email)::text)`, as the server writes it, and the column's name.
pub fn case_of(expression: &str) -> Option<(Case, String)> {
    let (case, rest) = match expression.strip_prefix("lower(") {
        Some(rest) => (Case::Lower, rest),
        None => (Case::Upper, expression.strip_prefix("upper(")?),
    };
    let inner = rest.strip_suffix(')')?;
    let inner = match inner.strip_suffix("::text") {
        Some(cast) => cast.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'))?,
        None => inner,
    };
    let mut tokens = tokenize(inner.as_bytes());
    let column = String::from_utf8(tokens.next()?.ident()?).ok()?;
    tokens.next().is_none().then_some((case, column))
}

fn is_lower_of(expression: &str, column: &str) -> bool {
    case_of(expression).is_some_and(|(case, name)| case == Case::Lower && name == column)
}

/// Whether a rule makes different fictions of different values, whatever the other columns hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apart {
    /// It may make equal ones.
    No,
    /// It does.
    Yes,
    /// It does, and they differ in lower case as well.
    InLowerCase,
    /// Each fiction is NULL, which a key may hold many times.
    Null,
}

impl Apart {
    /// Of a rule that was built to keep values apart (`unique`), or was not.
    pub fn of(injective: Injective, engine: Engine, unique: bool, lower_case: bool) -> Apart {
        match injective {
            Injective::OnlyNull => Apart::Null,
            _ if !unique || !may_be_unique(injective, engine) => Apart::No,
            _ if lower_case => Apart::InLowerCase,
            _ => Apart::Yes,
        }
    }
}

/// Whether a rule is not refused on a unique column (M120).
pub fn may_be_unique(injective: Injective, engine: Engine) -> bool {
    match injective {
        Injective::No => false,
        Injective::Width | Injective::OnlyNull => true,
        Injective::Bijection | Injective::AsItIs | Injective::Depends => engine != Engine::Random,
    }
}

#[cfg(test)]
mod tests {
    use super::{Case, case_of};

    #[test]
    fn expressions_of_one_column() {
        let lower = |name: &str| Some((Case::Lower, name.to_string()));
        for (expression, found) in [
            ("lower(a)", lower("a")),
            ("lower((a)::text)", lower("a")),
            ("lower(\"A b\")", lower("A b")),
            ("lower((\"a\"\"b\")::text)", lower("a\"b")),
            ("upper((a)::text)", Some((Case::Upper, "a".to_string()))),
            ("lower((a || b))", None),
            ("lower(a) || b", None),
            ("lower(('x'::text))", None),
            ("lower((a)::bpchar)", None),
            ("initcap(a)", None),
        ] {
            assert_eq!(case_of(expression), found, "{expression}");
        }
    }
}
