//! Names in the letters of mail addresses.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Appends a name in `a` to `z`: accents go, and letters of Latin, Cyrillic and Greek are written
/// as passports have them (ICAO Doc 9303, part 3, section 6; ELOT 743 for Greek). Blanks and
/// hyphens become one hyphen each. Letters of other scripts are left out.
pub(super) fn push_ascii(name: &str, language: &str, out: &mut String) {
    let start = out.len();
    for letter in name.chars().flat_map(char::to_lowercase) {
        if language == "de"
            && let Some(two) = german(letter)
        {
            out.push_str(two);
            continue;
        }
        for part in std::iter::once(letter).nfkd() {
            match part {
                'a'..='z' => out.push(part),
                ' ' | '-' if out.len() > start && !out.ends_with('-') => out.push('-'),
                _ if is_combining_mark(part) => {}
                _ => out.push_str(transliterated(part)),
            }
        }
    }
    while out.len() > start && out.ends_with('-') {
        out.pop();
    }
}

fn german(letter: char) -> Option<&'static str> {
    Some(match letter {
        'ä' => "ae",
        'ö' => "oe",
        'ü' => "ue",
        _ => return None,
    })
}

/// A letter that has no decomposition.
fn transliterated(letter: char) -> &'static str {
    match letter {
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'ø' => "o",
        'đ' | 'ð' => "d",
        'þ' => "th",
        'ł' => "l",
        'ı' => "i",
        'ə' => "e",
        'ħ' => "h",
        'ŋ' => "n",
        'ŧ' => "t",
        // Cyrillic.
        'а' => "a",
        'б' => "b",
        'в' => "v",
        'г' | 'ґ' => "g",
        'д' | 'ђ' => "d",
        'е' | 'э' => "e",
        'є' => "ie",
        'ж' => "zh",
        'з' => "z",
        'ѕ' | 'џ' => "dz",
        'и' | 'і' => "i",
        'ј' => "j",
        'к' => "k",
        'л' => "l",
        'љ' => "lj",
        'м' => "m",
        'н' => "n",
        'њ' => "nj",
        'о' => "o",
        'п' => "p",
        'р' => "r",
        'с' => "s",
        'т' => "t",
        'ћ' => "c",
        'у' => "u",
        'ф' => "f",
        'х' => "kh",
        'ц' => "ts",
        'ч' => "ch",
        'ш' => "sh",
        'щ' => "shch",
        'ы' => "y",
        'ю' => "iu",
        'я' => "ia",
        // Greek.
        'α' => "a",
        'β' => "v",
        'γ' => "g",
        'δ' => "d",
        'ε' => "e",
        'ζ' => "z",
        'η' | 'ι' => "i",
        'θ' => "th",
        'κ' => "k",
        'λ' => "l",
        'μ' => "m",
        'ν' => "n",
        'ξ' => "x",
        'ο' | 'ω' => "o",
        'π' => "p",
        'ρ' => "r",
        'σ' | 'ς' => "s",
        'τ' => "t",
        'υ' => "y",
        'φ' => "f",
        'χ' => "ch",
        'ψ' => "ps",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, language, written) in [
            ("Anna", "de", "anna"),
            ("Müller", "de", "mueller"),
            ("Müller", "sv", "muller"),
            ("Groß", "de", "gross"),
            ("García López", "es", "garcia-lopez"),
            ("O'Brien", "en", "obrien"),
            ("Anne-Marie", "fr", "anne-marie"),
            ("Łukasz", "pl", "lukasz"),
            ("Søren", "da", "soren"),
            ("İpek", "tr", "ipek"),
            ("Алексей", "ru", "aleksei"),
            ("Щукина", "ru", "shchukina"),
            ("Παπαδόπουλος", "el", "papadopoylos"),
            ("- x -", "en", "x"),
            ("山田", "ja", ""),
        ] {
            let mut out = String::from("a.");
            push_ascii(name, language, &mut out);
            assert_eq!(out.strip_prefix("a."), Some(written), "{name}");
        }
    }
}
