//! `company.*`: names of companies that do not exist.

use crate::definition::{Definition, Parameter, Takes};
use crate::draw::Draw;
use crate::making::{Making, Unfit};
use crate::transformer::{Answer, Draws, Plain, Refusal, Transformer};
use crate::transformers::wording::{Format, Piece, Room, Share, other_than_plain, texts, varied, vocabulary};
use crate::vocabulary::{List, Locale, Vocabulary};

/// This family.
pub const ALL: &[Definition] = &[
    texts(
        "company.name",
        "A company's name: last names, and what the locale adds to them.",
        &[Parameter::new(
            "format",
            Takes::Text,
            "one of the locale's",
            "How it is written, of {last} {prefix} {suffix} {word}; each {last} is another name.",
        )],
        &["RandomCompany"],
        |making| Companies::build(making, None),
    ),
    texts(
        "company.suffix",
        "The form of a company: GmbH, Inc; the one that the same subject's company.name has.",
        &[],
        &["RandomCompany"],
        |making| Companies::build(making, Some("{suffix}")),
    ),
];

/// What sets the bits of companies apart from others of the same subject.
const LABEL: u32 = 0x436f_6d70;

const PARTS: &[(&str, Part)] =
    &[("last", Part::Last), ("prefix", Part::Prefix), ("suffix", Part::Suffix), ("word", Part::Word)];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Last,
    Prefix,
    Suffix,
    Word,
}

#[derive(Debug)]
struct Companies {
    /// One of these is drawn; never empty.
    formats: Vec<Format<Part>>,
    last: &'static [&'static str],
    prefix: &'static [&'static str],
    suffix: &'static [&'static str],
    word: &'static [&'static str],
    room: Room,
}

impl Companies {
    /// `only`: the one format; None: what the rule says, else those of the locale.
    fn build(making: &mut Making<'_>, only: Option<&str>) -> Result<Box<dyn Transformer>, Unfit> {
        let vocabulary = vocabulary(making)?;
        let locale = making.around.locale;
        let formats = match only {
            Some(only) => vec![Format::of(making, only, PARTS)?],
            None if making.setting("format").is_some() => vec![Format::of(making, "", PARTS)?],
            None => of_locale(locale, vocabulary),
        };
        let list = |list| vocabulary.list(locale, list);
        let last = list(List::Last);
        let companies = Companies {
            formats,
            last: if last.is_empty() { list(List::LastMale) } else { last },
            prefix: list(List::CompanyPrefix),
            suffix: list(List::CompanySuffix),
            word: list(List::CompanyWord),
            room: Room::at_least(making, 2)?,
        };
        varied(making, companies)
    }

    fn write(&self, draw: &Draw, attempt: u32, out: &mut String) {
        let bits = draw.again(LABEL).seed();
        // The suffix has bits of its own, so that it is the same whatever else is asked for.
        let mut suffix = Share((bits as u64) & !0xffff_ffff);
        let mut format = Share((bits as u64) << 32);
        let mut names = Share((bits >> 64) as u64);
        // Where words in front fill a short column, only another format is another name.
        let format = self.formats.get(format.place(self.formats.len(), attempt));
        for piece in format.into_iter().flat_map(Format::pieces) {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Part(Part::Last) => out.push_str(names.one_of(self.last, attempt)),
                Piece::Part(Part::Prefix) => out.push_str(names.one_of(self.prefix, attempt)),
                Piece::Part(Part::Suffix) => out.push_str(suffix.one_of(self.suffix, attempt)),
                Piece::Part(Part::Word) => out.push_str(names.one_of(self.word, attempt)),
            }
        }
        // A locale without such a word leaves a blank at an end.
        let end = out.trim_end().len();
        out.truncate(end);
        self.room.cut(out);
    }
}

/// The locale's formats.
fn of_locale(locale: Locale, vocabulary: Vocabulary) -> Vec<Format<Part>> {
    let formats = vocabulary.list(locale, List::Company).iter();
    formats.filter_map(|text| Format::parse(text, PARTS).ok()).collect()
}

impl Transformer for Companies {
    fn draws(&self) -> Draws {
        Draws::Subject
    }

    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        let draw = plain.of_person();
        other_than_plain(plain, out, |attempt, out| {
            self.write(&draw, attempt, out);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::finding::Code;
    use crate::transformers::trial::{Trial, sweep, text};

    #[test]
    fn companies_hold_what_all_do() {
        sweep("company.name", 2);
        sweep("company.suffix", 2);
    }

    #[test]
    fn the_suffix_is_the_one_of_the_name() {
        let name = Trial::of("company.name").with("format", text("{last}, {last}, {suffix}"));
        let (name, suffix) = (name.build().unwrap(), Trial::of("company.suffix").build().unwrap());
        for number in 0..40 {
            let whole = name.of_subject(number, "");
            let parts: Vec<&str> = whole.split(", ").collect();
            assert_eq!(parts.last().copied(), Some(suffix.of_subject(number, "").as_str()));
        }
        // Two last names of one company are drawn apart.
        let apart = (0..40).filter(|number| {
            let whole = name.of_subject(*number, "");
            let mut parts = whole.split(", ");
            parts.next() != parts.next()
        });
        assert!(apart.count() > 30);
    }

    /// What an upgrade must not change.
    #[test]
    fn fictions_stay_as_they_are() {
        let of = |locale: &str| Trial::of("company.name").locale(locale).build().unwrap().of_subject(7, "");
        assert_eq!(["en_US", "de_DE", "ru_RU", "zh_CN"].map(of), GOLDEN);
    }

    const GOLDEN: [&str; 4] = ["Zamora PLC", "Zänker OHG mbH", "РАО «Шестаков Мишин»", "龙储科技有限公司"];

    #[test]
    fn wrong_parameters_are_findings() {
        let name = |format: &str| Trial::of("company.name").with("format", text(format)).faults();
        assert_eq!(name("{first}"), [Code::WrongValue]);
        assert_eq!(name("ACME"), [Code::ChangesNothing]);
    }
}
