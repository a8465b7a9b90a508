//! Types of a condition's parts: what does not compare is found before a row is read.

use std::collections::BTreeSet;

use pgark_bytes::nearest::nearest;
use regex::{Regex, RegexBuilder};

use super::class::{Class, Constant, float, uuid};
use super::decimal::{Decimal, spelled_out};
use super::like::Like;
use super::syntax::{Form, Operator, Syntax};
use super::{Fault, moment};
use crate::finding::Code;
use crate::making::Read;
use crate::types::Target;

/// A part with known types.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Column {
        column: usize,
        masked: bool,
        name: String,
        class: Class,
    },
    Constant(Constant),
    Null,
    /// `lower`, and citext in comparisons.
    Lower(Box<Node>),
    Upper(Box<Node>),
    /// char(n) as text: without blanks at its end.
    Trimmed(Box<Node>),
    Length(Box<Node>),
    /// A number as a float of so many bytes.
    Float(Box<Node>, u8),
    Coalesce(Vec<Node>),
    Not(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Compare(Operator, Box<Node>, Box<Node>),
    IsNull(Box<Node>, bool),
    Is(Box<Node>, Option<bool>, bool),
    Like(Box<Node>, Like),
    Matches(Box<Node>, Regex),
}

/// A part and what its values are.
type Part = (Node, Class);

/// The condition with its types, or everything that is wrong.
pub(super) fn check(
    syntax: &Syntax,
    columns: &[(String, Target)],
    reads: &mut BTreeSet<Read>,
) -> Result<Node, Vec<Fault>> {
    let mut checker = Checker { columns, reads: BTreeSet::new(), faults: Vec::new() };
    let node = checker.truth(syntax);
    match node {
        Some(node) if checker.faults.is_empty() => {
            reads.append(&mut checker.reads);
            Ok(node)
        }
        _ => Err(checker.faults),
    }
}

struct Checker<'c> {
    columns: &'c [(String, Target)],
    reads: BTreeSet<Read>,
    faults: Vec<Fault>,
}

impl Checker<'_> {
    /// Records what is wrong.
    fn fault<T>(&mut self, fault: Fault) -> Option<T> {
        self.faults.push(fault);
        None
    }

    /// A part that is true, false or unknown.
    fn truth(&mut self, syntax: &Syntax) -> Option<Node> {
        let (node, class) = self.part(syntax)?;
        if matches!(class, Class::Flag | Class::Null) {
            return Some(node);
        }
        let message = format!("{} is where a condition was expected", class.shown());
        self.fault(Fault::new(syntax.at, message))
    }

    fn truths(&mut self, parts: &[Syntax]) -> Option<Vec<Node>> {
        let nodes: Vec<Option<Node>> = parts.iter().map(|part| self.truth(part)).collect();
        nodes.into_iter().collect()
    }

    fn text(&mut self, syntax: &Syntax) -> Option<Part> {
        let (node, class) = self.part(syntax)?;
        if class.is_text() || class == Class::Null {
            return Some((node, class));
        }
        self.fault(Fault::new(syntax.at, format!("{} is where a text was expected", class.shown())))
    }

    fn part(&mut self, syntax: &Syntax) -> Option<Part> {
        let flag = |node: Node| Some((node, Class::Flag));
        match &syntax.what {
            Form::Column { name, masked, quoted } => self.column(syntax.at, name, *masked, *quoted),
            Form::Number(number) => match spelled_out(number) {
                Some(number) => Some((Node::Constant(Constant::Number(number)), Class::Number)),
                None => self.fault(Fault::new(syntax.at, "the number's exponent is too large")),
            },
            Form::Text(text) => Some((Node::Constant(Constant::Text(text.clone())), Class::Literal)),
            Form::Typed(name, text) => self.typed(syntax.at, name, text),
            Form::Flag(value) => flag(Node::Constant(Constant::Flag(*value))),
            Form::Null => Some((Node::Null, Class::Null)),
            Form::Call(name, arguments) => self.call(syntax.at, name, arguments),
            Form::Not(inner) => flag(Node::Not(Box::new(self.truth(inner)?))),
            Form::And(parts) => flag(Node::And(self.truths(parts)?)),
            Form::Or(parts) => flag(Node::Or(self.truths(parts)?)),
            Form::Compare(operator, left, right) => {
                let (left_part, right_part) = (self.part(left), self.part(right));
                flag(self.compared(syntax.at, *operator, left_part?, right_part?)?)
            }
            Form::IsNull(inner, negated) => {
                let (node, _) = self.part(inner)?;
                flag(Node::IsNull(Box::new(node), *negated))
            }
            Form::Is(inner, value, negated) => flag(Node::Is(Box::new(self.truth(inner)?), *value, *negated)),
            Form::In(left, items, negated) => {
                let found = self.part(left);
                let items: Vec<(usize, Option<Part>)> =
                    items.iter().map(|item| (item.at, self.part(item))).collect();
                flag(negated_if(*negated, self.within(found?, items)?))
            }
            Form::Between(left, from, to, negated) => {
                let (left, from, to) = (self.part(left), self.part(from), self.part(to));
                let (left, from, to) = (left?, from?, to?);
                let from = self.compared(syntax.at, Operator::GreaterOrEqual, left.clone(), from)?;
                let to = self.compared(syntax.at, Operator::LessOrEqual, left, to)?;
                flag(negated_if(*negated, Node::And(vec![from, to])))
            }
            Form::Like(left, pattern, negated) => flag(self.like(left, pattern, *negated)?),
            Form::Matches(left, pattern, negated) => flag(self.matches(left, pattern, *negated)?),
        }
    }

    fn column(&mut self, at: usize, name: &str, masked: bool, quoted: bool) -> Option<Part> {
        let found = self.columns.iter().position(|(known, _)| known == name);
        let Some((column, (_, target))) = found.and_then(|at| Some((at, self.columns.get(at)?))) else {
            let mut fault =
                Fault { code: Code::UnknownColumn, ..Fault::new(at, format!("there is no column {name}")) };
            let in_other_case =
                self.columns.iter().find(|(known, _)| !quoted && known.to_lowercase() == name);
            if let Some((known, _)) = in_other_case {
                fault = fault.hint(format!("a name in upper case is written \"{known}\""));
            } else if let Some(near) = nearest(name, self.columns.iter().map(|(known, _)| known.as_str())) {
                fault = fault.hint(format!("did you mean {near}?"));
            }
            return self.fault(fault);
        };
        let class = Class::of(target);
        self.reads.insert(Read { column, masked });
        let name = name.to_string();
        Some((Node::Column { column, masked, name, class: class.clone() }, class))
    }

    fn typed(&mut self, at: usize, name: &str, text: &str) -> Option<Part> {
        let class = match name {
            "date" => Class::Date,
            "timestamp" => Class::Timestamp,
            "timestamptz" => Class::TimestampTz,
            "time" => Class::Time,
            _ => return self.fault(Fault::new(at, format!("values of {name} do not compare here"))),
        };
        let constant = self.literal(at, text, &class)?;
        Some((Node::Constant(constant), class))
    }

    /// A text in quotes as a value of a type.
    fn literal(&mut self, at: usize, text: &str, class: &Class) -> Option<Constant> {
        let constant = match class {
            Class::Flag => match text {
                "t" | "true" => Some(Constant::Flag(true)),
                "f" | "false" => Some(Constant::Flag(false)),
                _ => None,
            },
            Class::Number => Decimal::read(text).map(|_| Constant::Number(text.to_string())),
            Class::Float(bytes) => float(text, *bytes).map(Constant::Float),
            Class::Text | Class::Citext | Class::Literal => Some(Constant::Text(text.to_string())),
            Class::Padded => Some(Constant::Text(text.trim_end_matches(' ').to_string())),
            Class::Date => moment::date(text).map(Constant::Moment),
            Class::Timestamp => moment::timestamp(text).map(Constant::Moment),
            Class::TimestampTz => moment::timestamptz(text).map(Constant::Moment),
            Class::Time => moment::time(text).map(Constant::Moment),
            Class::Uuid => uuid(text).map(Constant::Uuid),
            Class::Enum(labels) => labels.iter().position(|label| label == text).map(Constant::Label),
            Class::Null | Class::Other(_) => None,
        };
        if constant.is_some() {
            return constant;
        }
        let hint = match class {
            Class::Enum(labels) => format!("its labels: {}", labels.join(", ")),
            Class::Date => "date '2020-01-31'".to_string(),
            Class::Timestamp => "timestamp '2020-01-31 12:00:00'".to_string(),
            Class::TimestampTz => {
                "timestamptz '2020-01-31 12:00:00+00': the offset must be there".to_string()
            }
            Class::Time => "time '12:00:00'".to_string(),
            _ => String::new(),
        };
        let what = if let Class::Enum(_) = class { "a label of the enum" } else { class.shown() };
        self.fault(Fault::new(at, format!("'{text}' is not {what}")).hint(hint))
    }

    /// Makes a text in quotes what the other side is.
    fn settled(&mut self, at: usize, part: Part, other: &Class) -> Option<Part> {
        match part {
            (Node::Constant(Constant::Text(text)), Class::Literal)
                if !other.is_text() && *other != Class::Null =>
            {
                if let Class::Other(name) = other {
                    return self.fault(Fault::new(at, format!("values of {name} do not compare here")));
                }
                Some((Node::Constant(self.literal(at, &text, other)?), other.clone()))
            }
            part => Some(part),
        }
    }

    fn compared(&mut self, at: usize, operator: Operator, left: Part, right: Part) -> Option<Node> {
        if left.1 == Class::Null || right.1 == Class::Null {
            let fault = Fault::new(at, "a comparison with null is never true");
            return self.fault(fault.hint("is null, is not null"));
        }
        let (left, right) = self.comparable(at, left, right)?;
        let is_equality = matches!(operator, Operator::Equal | Operator::Differs);
        if left.1.is_text() && !is_equality {
            let fault =
                Fault::new(at, "which text is less depends on the collation, which only the server knows");
            return self.fault(fault.hint("texts take = <> in like ~"));
        }
        Some(Node::Compare(operator, Box::new(left.0), Box::new(right.0)))
    }

    /// Both sides in a form in which they compare. What of NULL is left as it is.
    fn comparable(&mut self, at: usize, left: Part, right: Part) -> Option<(Part, Part)> {
        let (left_class, right_class) = (left.1.clone(), right.1.clone());
        let (left, left_class) = self.settled(at, (left.0, left_class), &right_class)?;
        let (right, right_class) = self.settled(at, (right.0, right_class), &left_class)?;
        if left_class == Class::Null || right_class == Class::Null {
            return Some(((left, left_class), (right, right_class)));
        }
        let fits = match (&left_class, &right_class) {
            (Class::Number | Class::Float(_), Class::Float(_)) | (Class::Float(_), Class::Number) => {
                let float = Class::Float(8);
                return Some(((floated(left, 8), float.clone()), (floated(right, 8), float)));
            }
            (Class::Date | Class::Timestamp, Class::Date | Class::Timestamp) => true,
            (one, other) if one.is_text() && other.is_text() => {
                return Some(same_text((left, left_class), (right, right_class)));
            }
            (Class::Other(_), _) => false,
            (one, other) => one == other,
        };
        if fits {
            return Some(((left, left_class), (right, right_class)));
        }
        let message = format!("{} and {} do not compare", left_class.shown(), right_class.shown());
        let zoned = matches!(
            (&left_class, &right_class),
            (Class::TimestampTz, Class::Date | Class::Timestamp)
                | (Class::Date | Class::Timestamp, Class::TimestampTz)
        );
        let hint = if zoned {
            "without an offset it would depend on the session's time zone: timestamptz '2020-01-31 00:00:00+00'"
        } else {
            ""
        };
        self.fault(Fault::new(at, message).hint(hint))
    }

    fn within(&mut self, left: Part, items: Vec<(usize, Option<Part>)>) -> Option<Node> {
        // Several constants in a list become float4 next to a float4, where one alone is compared
        // as float8 (transformAExprIn in src/backend/parser/parse_expr.c).
        let is_constant = |part: &Part| matches!(part.0, Node::Constant(_) | Node::Null);
        let constants = items.iter().filter_map(|(_, item)| item.as_ref()).filter(|item| is_constant(item));
        let rounds = left.1 == Class::Float(4) && constants.count() > 1;
        let mut tests = Vec::new();
        let mut failed = false;
        for (at, item) in items {
            let compared = item.and_then(|item| match (&left.1, &item.1) {
                (Class::Null, _) => self.fault(Fault::new(at, "null is in no list")),
                (_, Class::Null) => Some(Node::Null),
                _ => {
                    let item = match item {
                        (node @ Node::Constant(_), Class::Number) if rounds => {
                            (floated(node, 4), Class::Float(4))
                        }
                        item => item,
                    };
                    let (left, item) = self.comparable(at, left.clone(), item)?;
                    Some(Node::Compare(Operator::Equal, Box::new(left.0), Box::new(item.0)))
                }
            });
            failed |= compared.is_none();
            tests.extend(compared);
        }
        (!failed).then_some(Node::Or(tests))
    }

    fn call(&mut self, at: usize, name: &str, arguments: &[Syntax]) -> Option<Part> {
        match (name, arguments) {
            ("lower" | "upper" | "length", [argument]) => {
                let (node, class) = self.text(argument)?;
                let node = if class == Class::Padded { Node::Trimmed(Box::new(node)) } else { node };
                Some(match name {
                    "lower" => (Node::Lower(Box::new(node)), Class::Text),
                    "upper" => (Node::Upper(Box::new(node)), Class::Text),
                    _ => (Node::Length(Box::new(node)), Class::Number),
                })
            }
            ("lower" | "upper" | "length", _) => {
                self.fault(Fault::new(at, format!("{name} takes one argument")))
            }
            ("coalesce", arguments) => self.coalesce(at, arguments),
            _ => {
                let fault = Fault::new(at, format!("there is no function {name} here"));
                self.fault(fault.hint("lower, upper, length, coalesce"))
            }
        }
    }

    fn coalesce(&mut self, at: usize, arguments: &[Syntax]) -> Option<Part> {
        let parts: Vec<(usize, Option<Part>)> =
            arguments.iter().map(|argument| (argument.at, self.part(argument))).collect();
        let parts: Vec<(usize, Part)> =
            parts.into_iter().map(|(at, part)| Some((at, part?))).collect::<Option<_>>()?;
        let mut common = Class::Null;
        for (at, (_, class)) in &parts {
            common = match (common, class) {
                (common, Class::Null) => common,
                (Class::Null | Class::Literal, class) => class.clone(),
                (common, Class::Literal) => common,
                (Class::Float(one), Class::Float(other)) => Class::Float(one.max(*other)),
                (Class::Number, Class::Float(bytes)) => Class::Float(*bytes),
                (Class::Float(bytes), Class::Number) => Class::Float(bytes),
                (Class::Date | Class::Timestamp, Class::Timestamp) | (Class::Timestamp, Class::Date) => {
                    Class::Timestamp
                }
                (common, class) if common == *class => common,
                (Class::Text, class) if class.is_text() => Class::Text,
                (common, Class::Text) if common.is_text() => Class::Text,
                (common, class) => {
                    let message = format!(
                        "coalesce takes values of one type, not {} and {}",
                        common.shown(),
                        class.shown()
                    );
                    return self.fault(Fault::new(*at, message));
                }
            };
        }
        let mut nodes = Vec::new();
        for (at, part) in parts {
            let (node, class) = self.settled(at, part, &common)?;
            nodes.push(match (&common, class) {
                (Class::Float(bytes), Class::Number) => floated(node, *bytes),
                (Class::Text, Class::Padded) => Node::Trimmed(Box::new(node)),
                _ => node,
            });
        }
        if nodes.is_empty() {
            return self.fault(Fault::new(at, "coalesce takes at least one argument"));
        }
        Some((Node::Coalesce(nodes), common))
    }

    /// The pattern of `like` and `~`, which must be a literal: it is compiled once.
    fn pattern(&mut self, syntax: &Syntax) -> Option<String> {
        match &syntax.what {
            Form::Text(text) => Some(text.clone()),
            _ => self.fault(Fault::new(syntax.at, "the pattern must be a text")),
        }
    }

    fn like(&mut self, left: &Syntax, pattern: &Syntax, negated: bool) -> Option<Node> {
        let (text, found) = (self.text(left), self.pattern(pattern));
        let ((node, class), mut found) = (text?, found?);
        let folds = class == Class::Citext;
        if folds {
            found = super::eval::lower(&found);
        }
        let Some(like) = Like::read(&found) else {
            return self.fault(Fault::new(pattern.at, "the pattern ends with a \\ that takes nothing"));
        };
        let node = if folds { Node::Lower(Box::new(node)) } else { node };
        Some(negated_if(negated, Node::Like(Box::new(node), like)))
    }

    fn matches(&mut self, left: &Syntax, pattern: &Syntax, negated: bool) -> Option<Node> {
        let (text, found) = (self.text(left), self.pattern(pattern));
        let ((node, class), found) = (text?, found?);
        let built = RegexBuilder::new(&found)
            .case_insensitive(class == Class::Citext)
            .dot_matches_new_line(true)
            .build();
        match built {
            Ok(regex) => Some(negated_if(negated, Node::Matches(Box::new(node), regex))),
            Err(error) => {
                let error = error.to_string();
                let why = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
                self.fault(Fault::new(pattern.at, format!("the pattern does not compile: {why}")))
            }
        }
    }
}

fn negated_if(negated: bool, node: Node) -> Node {
    if negated { Node::Not(Box::new(node)) } else { node }
}

fn floated(node: Node, bytes: u8) -> Node {
    match node {
        Node::Constant(Constant::Number(text)) => {
            let number = Decimal::read(&text).map_or(f64::NAN, |number| number.float(bytes));
            Node::Constant(Constant::Float(number))
        }
        Node::Constant(Constant::Float(_)) => node,
        node => Node::Float(Box::new(node), bytes),
    }
}

/// Texts in a form in which equal ones have equal bytes. Only citext next to citext is folded:
/// next to text, PostgreSQL compares as text.
fn same_text(left: Part, right: Part) -> (Part, Part) {
    let folds =
        |one: &Class, other: &Class| *one == Class::Citext && matches!(other, Class::Citext | Class::Literal);
    let folds = folds(&left.1, &right.1) || folds(&right.1, &left.1);
    let pads = left.1 == Class::Padded || right.1 == Class::Padded;
    let form = |(node, class): Part| match (node, class) {
        (node, Class::Padded) => (Node::Trimmed(Box::new(node)), Class::Text),
        (node, Class::Literal) if pads => (Node::Trimmed(Box::new(node)), Class::Text),
        (node, class) if folds => (Node::Lower(Box::new(node)), class),
        part => part,
    };
    (form(left), form(right))
}
