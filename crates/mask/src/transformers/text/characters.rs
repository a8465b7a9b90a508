//! Random strings over a set of characters.

use crate::draw::Draw;
use crate::transformers::fitting::WIDE_BITS;

/// A set of characters, each one once.
#[derive(Clone, Debug)]
pub(super) struct Characters {
    all: Vec<char>,
    /// How many of them come of 64 random bits, so that at least 24 bits are left against bias.
    by_word: usize,
}

impl Characters {
    /// Reads `a-zA-Z0-9_`; an error says what is wrong.
    pub fn read(symbols: &str, is_lower_case: bool) -> Result<Characters, String> {
        let mut all = Vec::new();
        let mut rest = symbols.chars().peekable();
        while let Some(first) = rest.next() {
            let first = escaped(first, &mut rest)?;
            let mut ahead = rest.clone();
            ahead.next();
            if rest.peek() == Some(&'-') && ahead.peek().is_some() {
                rest.next();
                let last = rest.next().ok_or("a range has no end")?;
                let last = escaped(last, &mut rest)?;
                if last < first {
                    return Err(format!("the range {first}-{last} is the wrong way around"));
                }
                all.extend(first..=last);
            } else {
                all.push(first);
            }
        }
        if is_lower_case {
            all = all.into_iter().flat_map(char::to_lowercase).collect();
        }
        all.sort_unstable();
        all.dedup();
        if all.first() == Some(&'\0') {
            return Err("PostgreSQL has no texts with the character 0".to_string());
        }
        if all.is_empty() {
            return Err("there are no characters".to_string());
        }
        let bits = (all.len() as f64).log2();
        let by_word = if bits > 0.0 { (40.0 / bits) as usize } else { 40 };
        Ok(Characters { all, by_word: by_word.max(1) })
    }

    /// How many characters hold 96 bits; None if no number does.
    pub fn wide(&self) -> Option<usize> {
        let bits = (self.all.len() as f64).log2();
        (bits > 0.0).then(|| (WIDE_BITS / bits).ceil() as usize)
    }

    /// The most bytes of one character.
    pub fn most_bytes(&self) -> usize {
        self.all.iter().map(|one| one.len_utf8()).max().unwrap_or(1)
    }

    /// Whether it holds a character.
    pub fn has(&self, one: char) -> bool {
        self.all.binary_search(&one).is_ok()
    }

    /// Writes so many random ones.
    pub fn draw(&self, draw: &mut Draw, number: usize, out: &mut String) {
        let mut word = 0;
        for place in 0..number {
            if place % self.by_word == 0 {
                word = draw.word();
            }
            let product = u128::from(word) * (self.all.len() as u128);
            word = product as u64;
            out.extend(self.all.get((product >> 64) as usize));
        }
    }
}

fn escaped(one: char, rest: &mut impl Iterator<Item = char>) -> Result<char, String> {
    match one {
        '\\' => rest.next().ok_or_else(|| "nothing comes after the last backslash".to_string()),
        other => Ok(other),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(symbols: &str) -> Result<String, String> {
        Ok(Characters::read(symbols, false)?.all.into_iter().collect())
    }

    #[test]
    fn sets_of_characters() {
        assert_eq!(read("a-e").unwrap(), "abcde");
        assert_eq!(read("c-ea-da").unwrap(), "abcde");
        assert_eq!(read("-a-c").unwrap(), "-abc");
        assert_eq!(read("a-c-").unwrap(), "-abc");
        assert_eq!(read(r"a\-c").unwrap(), "-ac");
        assert_eq!(read(r"\\").unwrap(), r"\");
        assert_eq!(read("ä-ö").unwrap().chars().count(), 19);
        assert_eq!(Characters::read("A-Ca", true).unwrap().all, ['a', 'b', 'c']);
        for wrong in ["", "z-a", "a\\", "\0"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn widths() {
        let wide = |symbols| Characters::read(symbols, false).unwrap().wide();
        assert_eq!(wide("01"), Some(96));
        assert_eq!(wide("a-zA-Z0-9"), Some(17));
        assert_eq!(wide("x"), None);
    }
}
