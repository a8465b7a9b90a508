//! What a template's text tells before it runs: which transformers it calls, which names it sets.
//!
//! minijinja shows neither, so the code between `{{ }}` and `{% %}` is read here, as deep as is
//! needed for that.

use std::collections::{BTreeMap, BTreeSet};

use crate::rules::Literal;

/// A call of `fake` with what must be known before a row is read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FakeCall {
    /// The transformer.
    pub name: String,
    /// Its parameters, without `of`.
    pub parameters: Vec<(String, Literal)>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Scanned {
    pub fakes: Vec<FakeCall>,
    /// Names that `{% set … %}` gives a value.
    pub sets: Vec<String>,
    /// Every word that is no member of something: columns, functions, and much else.
    pub words: BTreeSet<String>,
    /// `masked.name` and `row.name`, and these two alone where no name follows.
    pub members: BTreeSet<String>,
    /// What is wrong.
    pub faults: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// The beginning of `{% … %}`.
    Block,
    /// The beginning of `{{ … }}`, and the end of both.
    Edge,
    Word(String),
    Text(String),
    Number(String),
    Sign(char),
}

/// Statements that lead to other templates: there are none.
const OTHERS: &[&str] = &["include", "import", "from", "extends"];

/// Reads a template's code.
pub(super) fn scan(template: &str) -> Scanned {
    let tokens = tokens(template);
    let mut scanned = Scanned::default();
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| tokens.get(at));
        let rest = tokens.get(at + 1..).unwrap_or_default();
        if let (Token::Word(word), true) = (token, before != Some(&Token::Sign('.'))) {
            scanned.words.insert(word.clone());
            match (word.as_str(), rest) {
                ("masked" | "row", [Token::Sign('.'), Token::Word(member), ..]) => {
                    scanned.members.insert(format!("{word}.{member}"));
                }
                ("masked" | "row", _) => {
                    scanned.members.insert(word.clone());
                }
                _ => {}
            }
        }
        match token {
            Token::Word(word) if word == "fake" && before != Some(&Token::Sign('.')) => match call(rest) {
                Ok(call) => scanned.fakes.push(call),
                Err(fault) => scanned.faults.push(fault),
            },
            Token::Word(word) if before == Some(&Token::Block) && word == "set" => {
                let is_name = |token: &&Token| matches!(token, Token::Word(_) | Token::Sign(','));
                for token in rest.iter().take_while(is_name) {
                    if let Token::Word(name) = token {
                        scanned.sets.push(name.clone());
                    }
                }
            }
            Token::Word(word) if before == Some(&Token::Block) && OTHERS.contains(&word.as_str()) => {
                scanned.faults.push(format!("there are no other templates to {word}"));
            }
            _ => {}
        }
    }
    scanned
}

/// The tokens of the code.
fn tokens(template: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        rest = rest.get(at..).unwrap_or_default();
        if let Some(after) = rest.strip_prefix("{#") {
            rest = after.split_once("#}").map_or("", |(_, after)| after);
        } else if let Some(after) = rest.strip_prefix("{{") {
            tokens.push(Token::Edge);
            rest = code(after, "}}", &mut tokens);
        } else if let Some(after) = rest.strip_prefix("{%") {
            let begin = tokens.len();
            tokens.push(Token::Block);
            rest = code(after, "%}", &mut tokens);
            if tokens.get(begin + 1) == Some(&Token::Word("raw".to_string())) {
                rest = rest.find("endraw").and_then(|at| rest.get(at..)).unwrap_or_default();
            }
        } else {
            rest = rest.get(1..).unwrap_or_default();
        }
    }
    tokens
}

/// Reads code up to its end; what comes behind it.
fn code<'t>(mut rest: &'t str, end: &str, tokens: &mut Vec<Token>) -> &'t str {
    loop {
        // `{%- -%}` and `{%+ +%}` say what becomes of blanks.
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix(end) {
            tokens.push(Token::Edge);
            return after;
        }
        let Some(first) = rest.chars().next() else { return "" };
        let length = match first {
            '\'' | '"' => {
                let (text, length) = quoted(rest, first);
                tokens.push(Token::Text(text));
                length
            }
            _ if first.is_ascii_digit() => {
                let is_number = |sign: char| sign.is_ascii_digit() || sign == '.';
                let length = rest.find(|sign| !is_number(sign)).unwrap_or(rest.len());
                tokens.push(Token::Number(rest.get(..length).unwrap_or_default().to_string()));
                length
            }
            _ if first.is_alphanumeric() || first == '_' => {
                let is_name = |sign: char| sign.is_alphanumeric() || sign == '_';
                let length = rest.find(|sign| !is_name(sign)).unwrap_or(rest.len());
                tokens.push(Token::Word(rest.get(..length).unwrap_or_default().to_string()));
                length
            }
            _ => {
                let is_trim = matches!(first, '-' | '+')
                    && (matches!(tokens.last(), Some(Token::Block | Token::Edge))
                        || rest.get(1..).is_some_and(|after| after.starts_with(end)));
                if !is_trim {
                    tokens.push(Token::Sign(first));
                }
                first.len_utf8()
            }
        };
        rest = rest.get(length..).unwrap_or_default();
    }
}

/// A string, and how many bytes it takes with its quotes.
fn quoted(rest: &str, quote: char) -> (String, usize) {
    let mut text = String::new();
    let mut signs = rest.char_indices().skip(1);
    while let Some((at, sign)) = signs.next() {
        match sign {
            '\\' => match signs.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, 't')) => text.push('\t'),
                Some((_, sign)) => text.push(sign),
                None => {}
            },
            sign if sign == quote => return (text, at + 1),
            sign => text.push(sign),
        }
    }
    (text, rest.len())
}

/// `('person.first', of=…, parameter=literal, …)` behind `fake`.
fn call(tokens: &[Token]) -> Result<FakeCall, String> {
    let mut tokens = tokens.iter().peekable();
    let (Some(Token::Sign('(')), Some(Token::Text(name))) = (tokens.next(), tokens.next()) else {
        return Err("fake takes the name of a transformer as a string: fake('person.first')".to_string());
    };
    let mut call = FakeCall { name: name.clone(), parameters: Vec::new() };
    loop {
        match (tokens.next(), tokens.peek()) {
            (Some(Token::Sign(')')), _) => return Ok(call),
            // A comma may be before the end.
            (Some(Token::Sign(',')), Some(Token::Sign(')'))) => {}
            (Some(Token::Sign(',')), Some(Token::Word(key))) => {
                let key = key.clone();
                tokens.next();
                if tokens.next() != Some(&Token::Sign('=')) {
                    return Err(format!("parameters of fake('{name}') are written as {key}=value"));
                }
                if key == "of" {
                    expression(&mut tokens);
                } else if let Some(value) = literal(&mut tokens) {
                    call.parameters.push((key, value));
                } else {
                    return Err(format!("{key} of fake('{name}') must be a value that is written there"));
                }
            }
            _ => return Err(format!("fake('{name}', …) has a form that is not read")),
        }
    }
}

type Tokens<'t> = std::iter::Peekable<std::slice::Iter<'t, Token>>;

/// Goes to the comma or parenthesis behind an expression.
fn expression(tokens: &mut Tokens<'_>) {
    let mut depth = 0;
    while let Some(token) = tokens.peek() {
        match token {
            Token::Sign('(' | '[' | '{') => depth += 1,
            Token::Sign(',' | ')') if depth == 0 => return,
            Token::Sign(')' | ']' | '}') => depth -= 1,
            Token::Edge | Token::Block => return,
            _ => {}
        }
        tokens.next();
    }
}

fn literal(tokens: &mut Tokens<'_>) -> Option<Literal> {
    let number = |text: &str, sign: &str| {
        let text = format!("{sign}{text}");
        text.parse().map(Literal::Integer).ok().or_else(|| text.parse().map(Literal::Float).ok())
    };
    match tokens.next()? {
        Token::Text(text) => Some(Literal::Text(text.clone())),
        Token::Number(text) => number(text, ""),
        Token::Sign('-') => match tokens.next()? {
            Token::Number(text) => number(text, "-"),
            _ => None,
        },
        Token::Word(word) => match word.as_str() {
            "true" | "True" => Some(Literal::Flag(true)),
            "false" | "False" => Some(Literal::Flag(false)),
            _ => None,
        },
        Token::Sign('[') => {
            let mut items = Vec::new();
            loop {
                if tokens.next_if_eq(&&Token::Sign(']')).is_some() {
                    return Some(Literal::List(items));
                }
                let value = match tokens.peek()? {
                    // Lists in lists are no parameter.
                    Token::Sign('[') => return None,
                    _ => literal(tokens)?,
                };
                items.push(crate::rules::Setting { value, ..Default::default() });
                if tokens.peek() != Some(&&Token::Sign(']')) && tokens.next() != Some(&Token::Sign(',')) {
                    return None;
                }
            }
        }
        _ => None,
    }
}

/// What calls with equal parameters have in common, whatever the order of these.
pub(super) fn identity(name: &str, parameters: &BTreeMap<String, String>) -> String {
    let mut identity = name.to_string();
    for (key, value) in parameters {
        identity.push('\u{1}');
        identity.push_str(key);
        identity.push('\u{2}');
        identity.push_str(value);
    }
    identity
}

impl FakeCall {
    /// See [`identity`].
    pub fn identity(&self) -> String {
        let text = |value: &Literal| match value {
            Literal::List(items) => {
                items.iter().filter_map(|item| item.value.scalar()).collect::<Vec<_>>().join("\u{3}")
            }
            value => value.scalar().unwrap_or_default(),
        };
        let parameters = self.parameters.iter().map(|(key, value)| (key.clone(), text(value))).collect();
        identity(&self.name, &parameters)
    }
}
