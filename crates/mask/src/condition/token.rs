//! The words and signs of a condition.

use super::Fault;

/// A word or sign, and where it begins: in characters, from 0.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub at: usize,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    /// A name or keyword, in lower case.
    Word(String),
    /// `"Name"`.
    Quoted(String),
    /// Digits, perhaps with a point and an exponent.
    Number(String),
    /// `'text'`.
    Text(String),
    /// An operator, parenthesis, point or comma.
    Sign(&'static str),
}

const SIGNS: &[&str] = &["<>", "!=", "<=", ">=", "!~", "=", "<", ">", "~", "(", ")", ",", ".", "-", "+"];

/// The tokens of a text.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Fault> {
    let mut tokens = Vec::new();
    let (mut rest, mut at) = (text, 0);
    loop {
        let trimmed = rest.trim_start();
        at += rest.chars().count() - trimmed.chars().count();
        rest = trimmed;
        let Some(first) = rest.chars().next() else { return Ok(tokens) };
        let (what, length) = token(rest, first, at)?;
        tokens.push(Token { at, what });
        let (taken, left) = rest.split_at(length);
        at += taken.chars().count();
        rest = left;
    }
}

fn token(rest: &str, first: char, at: usize) -> Result<(What, usize), Fault> {
    let is_name = |sign: char| sign.is_alphanumeric() || sign == '_' || sign == '$';
    let second_is_digit = rest.chars().nth(1).is_some_and(|sign| sign.is_ascii_digit());
    match first {
        '\'' => quoted(rest, '\'', at).map(|(text, length)| (What::Text(text), length)),
        '"' => quoted(rest, '"', at).map(|(text, length)| (What::Quoted(text), length)),
        '0'..='9' => number(rest, at),
        '.' if second_is_digit => number(rest, at),
        _ if first.is_alphabetic() || first == '_' => {
            let length = rest.find(|sign| !is_name(sign)).unwrap_or(rest.len());
            let word = rest.get(..length).unwrap_or_default();
            Ok((What::Word(word.to_lowercase()), length))
        }
        _ => {
            match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                Some(sign) => Ok((What::Sign(sign), sign.len())),
                None => {
                    let fault = Fault::new(at, format!("{first} is not a part of a condition"));
                    Err(fault.hint("a condition compares columns: = <> < <= > >= ~, and or not, is null, in, between, like"))
                }
            }
        }
    }
}

/// What is in quotes, a doubled quote being one, and how many bytes it takes.
fn quoted(rest: &str, quote: char, at: usize) -> Result<(String, usize), Fault> {
    let mut text = String::new();
    let mut signs = rest.char_indices().skip(1).peekable();
    while let Some((place, sign)) = signs.next() {
        if sign != quote {
            text.push(sign);
        } else if signs.next_if(|(_, next)| *next == quote).is_some() {
            text.push(quote);
        } else {
            return Ok((text, place + quote.len_utf8()));
        }
    }
    Err(Fault::new(at, format!("the quote {quote} is not closed")))
}

fn number(rest: &str, at: usize) -> Result<(What, usize), Fault> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let from = |place: usize| rest.get(place..).unwrap_or_default();
    let mut length = digits(rest);
    if from(length).starts_with('.') {
        length += 1 + digits(from(length + 1));
    }
    if from(length).starts_with(['e', 'E']) {
        let signed = usize::from(from(length + 1).starts_with(['+', '-']));
        let exponent = digits(from(length + 1 + signed));
        if exponent > 0 {
            length += 1 + signed + exponent;
        }
    }
    if from(length).starts_with(|sign: char| sign.is_alphanumeric() || sign == '_') {
        return Err(Fault::new(at, "letters follow a number"));
    }
    Ok((What::Number(rest.get(..length).unwrap_or_default().to_string()), length))
}
