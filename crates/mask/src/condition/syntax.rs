//! What a condition says, before types are known.
//!
//! Precedence as in PostgreSQL's grammar (src/backend/parser/gram.y): or, and, not, is,
//! comparisons, between/in/like, other operators; is, comparisons and between/in/like do not
//! associate.

use super::Fault;
use super::token::{Token, What, tokens};

/// Deeper nesting is refused: each level is a call in the steps that follow.
const MOST_DEEP: usize = 64;

/// A part of a condition, and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Syntax {
    pub at: usize,
    pub what: Form,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Form {
    /// A column; whether its fiction is meant, and whether it was in quotes.
    Column {
        name: String,
        masked: bool,
        quoted: bool,
    },
    Number(String),
    Text(String),
    /// `date '2020-01-01'`.
    Typed(String, String),
    Flag(bool),
    Null,
    Call(String, Vec<Syntax>),
    Not(Box<Syntax>),
    And(Vec<Syntax>),
    Or(Vec<Syntax>),
    Compare(Operator, Box<Syntax>, Box<Syntax>),
    /// `is [not] null`.
    IsNull(Box<Syntax>, bool),
    /// `is [not] true`, `false`, `unknown` (None).
    Is(Box<Syntax>, Option<bool>, bool),
    In(Box<Syntax>, Vec<Syntax>, bool),
    Between(Box<Syntax>, Box<Syntax>, Box<Syntax>, bool),
    Like(Box<Syntax>, Box<Syntax>, bool),
    Matches(Box<Syntax>, Box<Syntax>, bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    Differs,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Operator {
    pub(super) const ALL: [(&'static str, Operator); 7] = [
        ("=", Operator::Equal),
        ("<>", Operator::Differs),
        ("!=", Operator::Differs),
        ("<", Operator::Less),
        ("<=", Operator::LessOrEqual),
        (">", Operator::Greater),
        (">=", Operator::GreaterOrEqual),
    ];

    fn named(sign: &str) -> Option<Operator> {
        Operator::ALL.iter().find(|(text, _)| *text == sign).map(|(_, operator)| *operator)
    }
}

/// Words that are no columns unless they are in quotes.
const KEYWORDS: &[&str] =
    &["and", "or", "not", "is", "null", "true", "false", "unknown", "in", "between", "like"];

const TYPES: &[&str] = &["date", "timestamp", "timestamptz", "time", "interval"];

const OR: u8 = 1;
const AND: u8 = 2;
const NOT: u8 = 3;
const IS: u8 = 4;
const COMPARE: u8 = 5;
const IN: u8 = 6;
const MATCH: u8 = 7;

/// Reads a condition.
pub(super) fn parse(text: &str) -> Result<Syntax, Fault> {
    let end = text.chars().count();
    let mut parser = Parser { tokens: tokens(text)?, next: 0, depth: 0, end };
    let syntax = parser.expression(OR)?;
    match parser.peek() {
        None => Ok(syntax),
        Some(_) => Err(parser.unexpected("the end, and, or")),
    }
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
    end: usize,
}

impl Parser {
    fn peek(&self) -> Option<&What> {
        self.tokens.get(self.next).map(|token| &token.what)
    }

    fn after(&self, ahead: usize) -> Option<&What> {
        self.tokens.get(self.next + ahead).map(|token| &token.what)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |token| token.at)
    }

    fn is_word(what: Option<&What>, word: &str) -> bool {
        matches!(what, Some(What::Word(found)) if found == word)
    }

    fn is_sign(what: Option<&What>, sign: &str) -> bool {
        matches!(what, Some(What::Sign(found)) if *found == sign)
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = Parser::is_word(self.peek(), word);
        self.next += usize::from(found);
        found
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let found = Parser::is_sign(self.peek(), sign);
        self.next += usize::from(found);
        found
    }

    fn unexpected(&self, expected: &str) -> Fault {
        let found = match self.peek() {
            None => "the condition ends".to_string(),
            Some(What::Word(word)) => format!("{word} is"),
            Some(What::Sign(sign)) => format!("{sign} is"),
            Some(What::Number(number)) => format!("{number} is"),
            Some(What::Quoted(name)) => format!("\"{name}\" is"),
            Some(What::Text(_)) => "a text is there".to_string(),
        };
        Fault::new(self.at(), format!("{found} where this was expected: {expected}"))
    }

    fn expect_sign(&mut self, sign: &'static str) -> Result<(), Fault> {
        if self.take_sign(sign) { Ok(()) } else { Err(self.unexpected(sign)) }
    }

    /// An expression of operators that bind at least so tightly.
    fn expression(&mut self, least: u8) -> Result<Syntax, Fault> {
        self.depth += 1;
        if self.depth > MOST_DEEP {
            return Err(Fault::new(self.at(), "the condition is nested too deep"));
        }
        let mut left = self.prefix(least)?;
        // Of operators that do not associate, another one of the same rank needs parentheses.
        let mut most = MATCH;
        while let Some(rank) = self.rank().filter(|rank| *rank >= least) {
            if rank > most {
                return Err(Fault::new(self.at(), "this needs parentheses: the operators do not associate"));
            }
            left = self.infix(left, rank)?;
            if matches!(rank, IS | COMPARE | IN) {
                most = rank - 1;
            }
        }
        self.depth -= 1;
        Ok(left)
    }

    /// How tightly the operator that comes next binds.
    fn rank(&self) -> Option<u8> {
        Some(match self.peek()? {
            What::Word(word) => match word.as_str() {
                "or" => OR,
                "and" => AND,
                "is" => IS,
                "in" | "between" | "like" => IN,
                "not"
                    if ["in", "between", "like"].iter().any(|word| Parser::is_word(self.after(1), word)) =>
                {
                    IN
                }
                _ => return None,
            },
            What::Sign("~" | "!~") => MATCH,
            What::Sign(sign) if Operator::named(sign).is_some() => COMPARE,
            _ => return None,
        })
    }

    fn prefix(&mut self, least: u8) -> Result<Syntax, Fault> {
        let at = self.at();
        if !self.take_word("not") {
            return self.primary();
        }
        if least > NOT {
            return Err(Fault::new(at, "not needs parentheses here"));
        }
        let what = Form::Not(Box::new(self.expression(NOT)?));
        Ok(Syntax { at, what })
    }

    fn infix(&mut self, left: Syntax, rank: u8) -> Result<Syntax, Fault> {
        let at = self.at();
        let negated = rank == IN && self.take_word("not");
        let token = self.tokens.get(self.next).map(|token| token.what.clone());
        self.next += 1;
        let operand = Box::new(left);
        let what = match token {
            Some(What::Word(word)) => match word.as_str() {
                "or" => Form::Or(self.chain(*operand, "or", AND)?),
                "and" => Form::And(self.chain(*operand, "and", NOT)?),
                "is" => return self.is(*operand, at),
                "in" => Form::In(operand, self.list()?, negated),
                "like" => Form::Like(operand, Box::new(self.expression(MATCH)?), negated),
                _ => {
                    let from = Box::new(self.expression(MATCH)?);
                    if !self.take_word("and") {
                        return Err(self.unexpected("and"));
                    }
                    Form::Between(operand, from, Box::new(self.expression(MATCH)?), negated)
                }
            },
            Some(What::Sign(sign)) => match Operator::named(sign) {
                Some(operator) => Form::Compare(operator, operand, Box::new(self.expression(IN)?)),
                None => Form::Matches(operand, Box::new(self.expression(MATCH + 1)?), sign == "!~"),
            },
            _ => return Err(self.unexpected("an operator")),
        };
        Ok(Syntax { at, what })
    }

    /// `a or b or …`: a list, so that many of them do not nest.
    fn chain(&mut self, first: Syntax, word: &str, rank: u8) -> Result<Vec<Syntax>, Fault> {
        let mut parts = vec![first, self.expression(rank)?];
        while self.take_word(word) {
            parts.push(self.expression(rank)?);
        }
        Ok(parts)
    }

    fn is(&mut self, left: Syntax, at: usize) -> Result<Syntax, Fault> {
        let negated = self.take_word("not");
        let operand = Box::new(left);
        let what = if self.take_word("null") {
            Form::IsNull(operand, negated)
        } else if self.take_word("true") {
            Form::Is(operand, Some(true), negated)
        } else if self.take_word("false") {
            Form::Is(operand, Some(false), negated)
        } else if self.take_word("unknown") {
            Form::Is(operand, None, negated)
        } else {
            return Err(self.unexpected("null, true, false or unknown"));
        };
        Ok(Syntax { at, what })
    }

    fn list(&mut self) -> Result<Vec<Syntax>, Fault> {
        self.expect_sign("(")?;
        let mut items = vec![self.expression(OR)?];
        while self.take_sign(",") {
            items.push(self.expression(OR)?);
        }
        self.expect_sign(")")?;
        Ok(items)
    }

    fn primary(&mut self) -> Result<Syntax, Fault> {
        let at = self.at();
        let Some(what) = self.peek().cloned() else { return Err(self.unexpected("a column or a value")) };
        let what = match what {
            What::Sign("(") => {
                self.next += 1;
                let inner = self.expression(OR)?;
                self.expect_sign(")")?;
                return Ok(inner);
            }
            What::Sign(sign @ ("-" | "+")) => {
                self.next += 1;
                let Some(What::Number(number)) = self.peek().cloned() else {
                    return Err(self.unexpected("a number").hint("a condition does not compute"));
                };
                Form::Number(if sign == "-" { format!("-{number}") } else { number })
            }
            What::Sign(_) => return Err(self.unexpected("a column or a value")),
            What::Number(number) => Form::Number(number),
            What::Text(text) => Form::Text(text),
            What::Quoted(name) => Form::Column { name, masked: false, quoted: true },
            What::Word(word) => return self.word(word, at),
        };
        self.next += 1;
        Ok(Syntax { at, what })
    }

    fn word(&mut self, word: String, at: usize) -> Result<Syntax, Fault> {
        let constant = match word.as_str() {
            "null" => Some(Form::Null),
            "true" => Some(Form::Flag(true)),
            "false" => Some(Form::Flag(false)),
            _ => None,
        };
        if constant.is_none() && KEYWORDS.contains(&word.as_str()) {
            return Err(self.unexpected("a column or a value"));
        }
        self.next += 1;
        if let Some(what) = constant {
            return Ok(Syntax { at, what });
        }
        let what = match self.peek().cloned() {
            Some(What::Text(text)) if TYPES.contains(&word.as_str()) => {
                self.next += 1;
                Form::Typed(word, text)
            }
            Some(What::Sign("(")) => Form::Call(word, self.list()?),
            Some(What::Sign(".")) if word == "masked" => {
                self.next += 1;
                let (name, quoted) = match self.peek().cloned() {
                    Some(What::Word(name)) => (name, false),
                    Some(What::Quoted(name)) => (name, true),
                    _ => return Err(self.unexpected("a column")),
                };
                self.next += 1;
                Form::Column { name, masked: true, quoted }
            }
            Some(What::Sign(".")) => {
                let fault = Fault::new(at, "a column is named without its table");
                return Err(fault.hint("masked.NAME is the fiction of a column"));
            }
            _ => Form::Column { name: word, masked: false, quoted: false },
        };
        Ok(Syntax { at, what })
    }
}
