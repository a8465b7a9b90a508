//! `job`, `word`, `sentence`, `paragraph`: texts of listed words.

use crate::definition::{Definition, Parameter, Takes};
use crate::draw::Draw;
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::transformer::{Answer, Draws, Plain, Refusal, Transformer};
use crate::transformers::wording::{Room, Share, other_than_plain, texts, varied, vocabulary};
use crate::vocabulary::List;

/// This family.
pub const ALL: &[Definition] = &[
    texts("job", "A job, the same for one subject.", &[], &[], |making| {
        let vocabulary = vocabulary(making)?;
        let jobs = vocabulary.list(making.around.locale, List::Job);
        let room = Room::at_least(making, 3)?;
        varied(making, Job { jobs, room })
    }),
    texts(
        "word",
        "Words, without a sentence.",
        &[words_from("1"), words_to("1")],
        &["RandomWord"],
        |making| {
            let prose = Prose::build(making, Count { least: 1, most: 1 }, None)?;
            varied(making, prose)
        },
    ),
    texts("sentence", "A sentence.", &[words_from("4"), words_to("10")], &["RandomSentence"], |making| {
        let one = Count { least: 1, most: 1 };
        let prose = Prose::build(making, Count { least: 4, most: 10 }, Some(one))?;
        varied(making, prose)
    }),
    texts(
        "paragraph",
        "Sentences.",
        &[
            Parameter::new("min_sentences", Takes::Integer, "3", "The fewest sentences."),
            Parameter::new("max_sentences", Takes::Integer, "6", "The most sentences, up to 1000."),
            words_from("4"),
            words_to("10"),
        ],
        &["RandomParagraph"],
        |making| {
            let sentences = Count { least: 3, most: 6 }.given(making, "min_sentences", "max_sentences")?;
            let prose = Prose::build(making, Count { least: 4, most: 10 }, Some(sentences))?;
            varied(making, prose)
        },
    ),
];

const fn words_from(default: &'static str) -> Parameter {
    Parameter::new("min_words", Takes::Integer, default, "The fewest words (of a sentence).")
}

const fn words_to(default: &'static str) -> Parameter {
    Parameter::new("max_words", Takes::Integer, default, "The most words (of a sentence), up to 1000.")
}

#[derive(Debug)]
struct Job {
    jobs: &'static [&'static str],
    room: Room,
}

/// What sets the bits of jobs apart from others of the same subject.
const LABEL: u32 = 0x4a6f_6200;

impl Transformer for Job {
    fn draws(&self) -> Draws {
        Draws::Subject
    }

    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        let word = plain.of_person().again(LABEL).word();
        other_than_plain(plain, out, |attempt, out| {
            out.push_str(Share(word).one_of(self.jobs, attempt));
            self.room.cut(out);
            Ok(())
        })
    }
}

/// From how many to how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Count {
    least: i64,
    most: i64,
}

/// More words or sentences are no text for tests but a mistake.
const MOST: i64 = 1000;

impl Count {
    /// What the rule says; one end alone moves the other one along.
    fn given(self, making: &mut Making<'_>, least: &str, most: &str) -> Result<Count, Unfit> {
        let (from, to) = (making.integer(least), making.integer(most));
        let count = Count {
            least: from.unwrap_or_else(|| self.least.min(to.unwrap_or(MOST))),
            most: to.unwrap_or_else(|| self.most.max(from.unwrap_or(1))),
        };
        for (name, number) in [(least, count.least), (most, count.most)] {
            if !(1..=MOST).contains(&number) {
                let message = format!("{name} is {number}; it is 1 to {MOST}");
                return Err(making.fault(Code::ValueOutside, name, message, ""));
            }
        }
        if count.least > count.most {
            let message = format!("{least} is more than {most}");
            return Err(making.fault(Code::ValueOutside, least, message, ""));
        }
        Ok(count)
    }

    fn draw(self, draw: &mut Draw) -> i64 {
        draw.between(self.least, self.most)
    }
}

/// Words, or sentences of words.
#[derive(Debug)]
struct Prose {
    list: &'static [&'static str],
    /// Between two words.
    joint: &'static str,
    /// After the last word of a sentence.
    end: &'static str,
    words: Count,
    /// None: words without a sentence.
    sentences: Option<Count>,
    room: Room,
}

impl Prose {
    fn build(making: &mut Making<'_>, words: Count, sentences: Option<Count>) -> Result<Prose, Unfit> {
        let vocabulary = vocabulary(making)?;
        let locale = making.around.locale;
        let sentence = vocabulary.list(locale, List::Sentence).first().copied().unwrap_or_default();
        let mut parts = sentence.splitn(3, "{word}").skip(1);
        let (joint, end) = (parts.next().unwrap_or(" "), parts.next().unwrap_or("."));
        Ok(Prose {
            list: vocabulary.list(locale, List::Word),
            joint,
            end,
            words: words.given(making, "min_words", "max_words")?,
            sentences,
            room: Room::at_least(making, if sentences.is_some() { 5 } else { 2 })?,
        })
    }

    fn write(&self, draw: &mut Draw, out: &mut String) {
        let Some(sentences) = self.sentences else {
            self.write_words(draw, out);
            return self.room.cut(out);
        };
        for number in 0..sentences.draw(draw) {
            if number > 0 {
                out.push_str(self.joint);
            }
            let start = out.len();
            self.write_words(draw, out);
            begin_upper(out, start);
            out.push_str(self.end);
        }
        if !self.room.holds(out) {
            // The last sentence ends earlier, but it ends.
            self.room.without(self.end).cut(out);
            let end = out.trim_end_matches(self.end).len();
            out.truncate(end);
            out.push_str(self.end);
        }
    }

    fn write_words(&self, draw: &mut Draw, out: &mut String) {
        for number in 0..self.words.draw(draw) {
            if number > 0 {
                out.push_str(self.joint);
            }
            out.push_str(draw.one_of(self.list).copied().unwrap_or_default());
        }
    }
}

/// Makes the first letter from `start` on upper case.
fn begin_upper(text: &mut String, start: usize) {
    let Some(first) = text.get(start..).and_then(|rest| rest.chars().next()) else { return };
    let mut upper = first.to_uppercase();
    // A letter that becomes several, as ß does, stays.
    if let (Some(upper), None) = (upper.next(), upper.next()) {
        let mut buffer = [0; 4];
        text.replace_range(start..start + first.len_utf8(), upper.encode_utf8(&mut buffer));
    }
}

impl Transformer for Prose {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        other_than_plain(plain, out, |attempt, out| {
            let mut draw = if attempt == 0 { plain.draw.clone() } else { plain.draw.again(attempt) };
            self.write(&mut draw, out);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::rules::Literal;
    use crate::transformers::trial::{Trial, sweep};
    use crate::types::Kind;
    use crate::vocabulary::Locale;

    #[test]
    fn texts_hold_what_all_do() {
        sweep("job", 3);
        sweep("word", 2);
        sweep("sentence", 5);
        sweep("paragraph", 5);
    }

    #[test]
    fn the_numbers_of_words_and_sentences_are_those_of_the_rule() {
        let integer = Literal::Integer;
        let count = |text: &str| text.split(' ').count();
        let word = Trial::of("word").with("min_words", integer(3)).build().unwrap();
        let sentence = Trial::of("sentence").with("max_words", integer(2)).build().unwrap();
        let paragraph = Trial::of("paragraph")
            .with("min_sentences", integer(2))
            .with("max_sentences", integer(4))
            .with("min_words", integer(5))
            .with("max_words", integer(6))
            .build()
            .unwrap();
        for number in 0..60 {
            let plain = number.to_string();
            assert_eq!(count(&word.of(&plain)), 3);
            let one = sentence.of(&plain);
            assert!(count(&one) <= 2 && one.ends_with('.'), "{one}");
            assert!(one.chars().next().is_some_and(char::is_uppercase), "{one}");
            let whole = paragraph.of(&plain);
            let sentences: Vec<&str> = whole.split_terminator('.').map(str::trim).collect();
            assert!((2..=4).contains(&sentences.len()), "{whole}");
            assert!(sentences.iter().all(|one| (5..=6).contains(&count(one))), "{whole}");
        }
    }

    #[test]
    fn a_sentence_that_is_cut_still_ends() {
        for locale in Locale::all() {
            let trial = Trial::of("paragraph").on(Kind::Text(Some(30))).locale(locale.name());
            let built = trial.build().unwrap();
            let end = if locale.name() == "en_US" { "." } else { "" };
            for number in 0..20 {
                let text = built.of(&number.to_string());
                assert!(text.ends_with(end) && !text.ends_with(".."), "{locale:?} {text}");
            }
        }
    }

    #[test]
    fn wrong_counts_are_findings() {
        let integer = Literal::Integer;
        for (name, parameter, value) in [
            ("word", "min_words", integer(0)),
            ("word", "max_words", integer(1001)),
            ("sentence", "min_words", integer(-1)),
            ("paragraph", "min_sentences", integer(0)),
            ("paragraph", "max_sentences", integer(1_000_000)),
        ] {
            assert_eq!(Trial::of(name).with(parameter, value).faults(), [Code::ValueOutside], "{name}");
        }
        let crossed = Trial::of("sentence").with("min_words", integer(5)).with("max_words", integer(4));
        assert_eq!(crossed.faults(), [Code::ValueOutside]);
        assert_eq!(Trial::of("word").with("min_words", Literal::Flag(true)).faults(), [Code::WrongValue]);
    }
}
