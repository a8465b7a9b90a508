//! A permutation of all strings of one shape.
//!
//! The shape of a string is what is where: a digit, a letter in upper or lower case, a letter of a
//! script, or a character that stays as it is. The characters that may change are the digits of one
//! number in a mixed radix, the most significant first; that number is permuted, so that each
//! character depends on all of them.
//!
//! **Long strings.** A number ends before it reaches 2^64 ([`MOST_SLOTS`] characters at most); the
//! next characters begin another one. With x for the numbers of the plain string, y for those of
//! the fiction, and P(context) for the permutation of a context:
//!
//! - y1 = P(H(x2, …, xm))(x1)
//! - yi = P(H(y1, …, yi-1))(xi) for i > 1
//!
//! H is the keyed hash, taken number by number. y1 depends on the whole string, and each later
//! number on y1. From y alone, all contexts but the first are known, hence x2 to xm, hence the
//! first: it is a bijection of the strings of a shape. P(context) keeps no number, so y1 is never
//! x1: no string of at least one character that may change keeps itself.

use crate::draw::Draw;
use crate::key::RuleKey;

use super::classes::{Class, DIGITS, Group, class_of};
use super::feistel::Schedule;

/// The most characters that make one number.
pub const MOST_SLOTS: usize = 64;

/// A character that may change.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    class: &'static Class,
    /// The first character of the class that may be here.
    least: u32,
    /// How many may be here.
    radix: u32,
    /// Which of these is here.
    place: u32,
}

impl Slot {
    /// The slot of a character among all of its class; None if it stays as it is.
    pub fn of(character: char) -> Option<Slot> {
        let (class, place) = class_of(character)?;
        Some(Slot { class, least: 0, radix: class.size(), place })
    }

    /// The slot of an ASCII digit that must not be 0; None of any other character.
    pub fn not_zero(character: char) -> Option<Slot> {
        let place = character.to_digit(10)?.checked_sub(1)?;
        Some(Slot { class: DIGITS, least: 1, radix: 9, place })
    }

    /// The slot of an ASCII digit; None of any other character.
    pub fn digit(character: char) -> Option<Slot> {
        let place = character.to_digit(10)?;
        Some(Slot { class: DIGITS, least: 0, radix: 10, place })
    }

    /// What its class holds.
    pub fn group(&self) -> Group {
        self.class.group
    }

    /// How many characters may be here.
    pub fn radix(&self) -> u32 {
        self.radix
    }
}

/// Which way a string goes.
pub enum Way<'d> {
    /// From the plain string to its fiction.
    Forth,
    /// From the fiction to the plain string.
    Back,
    /// To any other string of its shape.
    Random(&'d mut Draw),
}

/// The permutations of all shapes under one key.
#[derive(Clone, Debug)]
pub struct Texts {
    schedule: Schedule,
    key: RuleKey,
}

/// One number of a string, with the characters up to the next one.
struct Block<'t> {
    text: &'t str,
    /// The number of its first character in the string.
    start: usize,
    slots: [Option<Slot>; MOST_SLOTS],
    /// The number, and how many there are of its shape.
    number: u64,
    size: u64,
}

impl Texts {
    /// The permutations that the key decides.
    pub fn new(key: RuleKey) -> Texts {
        Texts { schedule: Schedule::new(key.part("text")), key: key.part("chain") }
    }

    /// Appends what a string becomes. `slots` says of a character by its number, from 0, whether it
    /// may change; it must depend on the shape alone, so that it says the same of the fiction.
    ///
    /// `count`, where the whole string is one number, is how many numbers are permuted among
    /// themselves: those below it. The string's own must be one of them.
    pub fn write(
        &self,
        text: &str,
        slots: &dyn Fn(usize, char) -> Option<Slot>,
        count: Option<u64>,
        mut way: Way<'_>,
        out: &mut String,
    ) {
        let blocks = || Blocks { rest: text, start: 0, slots, count };
        let mut context = match way {
            Way::Random(_) => 0,
            Way::Forth => blocks().skip(1).fold(0, |digest, block| self.chained(digest, block.number)),
            Way::Back => self.context_of_first(blocks()),
        };
        let mut chain = u128::MAX;
        for block in blocks() {
            let number = match &mut way {
                Way::Forth => self.forth(&block, context),
                Way::Back => self.back(&block, context),
                Way::Random(draw) => random(&block, draw),
            };
            let fiction = if matches!(way, Way::Back) { block.number } else { number };
            chain = self.chained(chain, fiction);
            context = chain;
            block.write(number, slots, out);
        }
    }

    /// Of a fiction: the context of its first number, which is the hash of the other plain ones.
    fn context_of_first(&self, mut blocks: Blocks<'_, '_>) -> u128 {
        let Some(first) = blocks.next() else { return 0 };
        let mut chain = self.chained(u128::MAX, first.number);
        let mut digest = 0;
        for block in blocks {
            digest = self.chained(digest, self.back(&block, chain));
            chain = self.chained(chain, block.number);
        }
        digest
    }

    fn forth(&self, block: &Block<'_>, context: u128) -> u64 {
        let network = self.schedule.network(u128::from(block.size), context);
        network.apply(&self.schedule, u128::from(block.number)) as u64
    }

    fn back(&self, block: &Block<'_>, context: u128) -> u64 {
        let network = self.schedule.network(u128::from(block.size), context);
        network.invert(&self.schedule, u128::from(block.number)) as u64
    }

    /// H with one more number.
    fn chained(&self, before: u128, number: u64) -> u128 {
        let mut bytes = [0; 24];
        let (befores, numbers) = bytes.split_at_mut(16);
        befores.copy_from_slice(&before.to_le_bytes());
        numbers.copy_from_slice(&number.to_le_bytes());
        self.key.hash(&bytes)
    }
}

/// Another number of the same shape.
fn random(block: &Block<'_>, draw: &mut Draw) -> u64 {
    let Some(others) = block.size.checked_sub(1).filter(|others| *others > 0) else { return block.number };
    let number = draw.below(others);
    if number >= block.number { number + 1 } else { number }
}

/// The numbers of a string, from its start.
struct Blocks<'t, 's> {
    rest: &'t str,
    start: usize,
    slots: &'s dyn Fn(usize, char) -> Option<Slot>,
    count: Option<u64>,
}

impl<'t> Iterator for Blocks<'t, '_> {
    type Item = Block<'t>;

    fn next(&mut self) -> Option<Block<'t>> {
        if self.rest.is_empty() {
            return None;
        }
        let mut block = Block { text: "", start: self.start, slots: [None; MOST_SLOTS], number: 0, size: 1 };
        let mut bytes = 0;
        let mut free = block.slots.iter_mut();
        for character in self.rest.chars() {
            if let Some(slot) = (self.slots)(self.start, character) {
                let Some(size) = block.size.checked_mul(u64::from(slot.radix)) else { break };
                let Some(place) = free.next() else { break };
                *place = Some(slot);
                block.number = block.number * u64::from(slot.radix) + u64::from(slot.place);
                block.size = size;
            }
            self.start += 1;
            bytes += character.len_utf8();
        }
        (block.text, self.rest) = self.rest.split_at(bytes);
        block.size = self.count.map_or(block.size, |count| count.min(block.size));
        Some(block)
    }
}

impl Block<'_> {
    /// Appends the block's characters, with another number in its slots.
    fn write(&self, mut number: u64, slots: &dyn Fn(usize, char) -> Option<Slot>, out: &mut String) {
        let mut characters = ['\0'; MOST_SLOTS];
        for (character, slot) in characters.iter_mut().zip(&self.slots).rev() {
            let Some(slot) = slot else { continue };
            let place = (number % u64::from(slot.radix)) as u32;
            number /= u64::from(slot.radix);
            *character = slot.class.at(slot.least + place).unwrap_or_default();
        }
        let mut written = characters.iter();
        for (index, character) in self.text.chars().enumerate() {
            let changed = slots(self.start + index, character).and_then(|_| written.next());
            out.push(*changed.unwrap_or(&character));
        }
    }
}

#[cfg(test)]
mod tests;
