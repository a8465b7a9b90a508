//! Word lists: names, addresses, companies, words by locale.
//!
//! They are made by scripts/vocabulary.py from a pinned release of Faker (see
//! vocabulary/LICENSE-Faker) and are part of the program. An edition never changes once it is
//! released: an upgrade changes no fiction of a file that says `vocabulary = 1`.

mod edition;
mod list;
#[cfg(test)]
mod tests;

pub use list::List;

use edition::{COMMON, File, V1};

/// The newest edition: what a new rules file says.
pub const NEWEST: u32 = 1;

/// A locale that the word lists know: `de_DE`. A name that they do not know has the lists of
/// [`Locale::DEFAULT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Locale(pub &'static str);

/// The locale that a language alone means, where it has several.
const MAIN: &[&str] = &["ar_SA", "de_DE", "en_US", "es_ES", "fr_FR", "nl_NL", "pt_PT", "zh_CN"];

impl Locale {
    /// The locale of rules that name none.
    pub const DEFAULT: Locale = Locale("en_US");

    /// A locale by its name: `de_DE`, `de-de`, `de_DE.UTF-8`, or `de` for the main one of a
    /// language.
    pub fn named(name: &str) -> Option<Locale> {
        let name = name.split(['.', '@']).next().unwrap_or_default().replace('-', "_");
        let exact = Locale::all().find(|locale| locale.0.eq_ignore_ascii_case(&name));
        if exact.is_some() || name.contains('_') {
            return exact;
        }
        Locale::of_language(&name)
    }

    /// The main locale of a language.
    fn of_language(language: &str) -> Option<Locale> {
        let is_its = |locale: &Locale| locale.language().eq_ignore_ascii_case(language);
        MAIN.iter().copied().map(Locale).find(is_its).or_else(|| Locale::all().find(is_its))
    }

    /// Every locale of the newest edition, by name.
    pub fn all() -> impl Iterator<Item = Locale> {
        V1.iter().filter(|file| file.name != COMMON).map(|file| Locale(file.name))
    }

    /// For an error: which locales are like an unknown name, or all of them.
    pub fn hint(name: &str) -> String {
        let language = name.split(['_', '-', '.']).next().unwrap_or_default();
        let near: Vec<&str> = Locale::all()
            .filter(|locale| locale.language().eq_ignore_ascii_case(language))
            .map(Locale::name)
            .collect();
        if near.is_empty() {
            let all: Vec<&str> = Locale::all().map(Locale::name).collect();
            format!("locales: {}", all.join(", "))
        } else {
            format!("locales of this language: {}", near.join(", "))
        }
    }

    /// `de_DE`.
    pub fn name(self) -> &'static str {
        self.0
    }

    /// `de`.
    pub fn language(self) -> &'static str {
        self.0.split('_').next().unwrap_or_default()
    }

    /// `DE`: a code of ISO 3166-1.
    pub fn country(self) -> &'static str {
        self.0.split('_').nth(1).unwrap_or_default()
    }
}

/// One edition of the word lists.
#[derive(Clone, Copy)]
pub struct Vocabulary {
    edition: u32,
    files: &'static [File],
}

impl Vocabulary {
    /// An edition by its number; None if this program does not have it.
    pub fn of(edition: u32) -> Option<Vocabulary> {
        match edition {
            1 => Some(Vocabulary { edition, files: &V1 }),
            _ => None,
        }
    }

    /// A list of a locale: its own, or the one that the edition takes for it. It is empty for those
    /// lists only that a locale can do without ([`List`] says which).
    pub fn list(self, locale: Locale, list: List) -> &'static [&'static str] {
        let known = edition::file(self.files, locale.name()).map_or(Locale::DEFAULT.name(), |file| file.name);
        edition::list(self.files, known, list)
    }
}

impl std::fmt::Debug for Vocabulary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vocabulary({})", self.edition)
    }
}
