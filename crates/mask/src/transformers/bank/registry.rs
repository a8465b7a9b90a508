//! The structures of national account numbers (SWIFT, IBAN Registry, release 99: "BBAN structure"
//! and "Bank identifier position within the BBAN").

/// A country's national account number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Structure {
    /// Two letters of ISO 3166.
    pub code: &'static str,
    /// Segments: a number of characters, and n for digits, a for letters, c for either.
    segments: &'static str,
    /// Where the bank's part begins, and how many characters it has.
    bank: (usize, usize),
}

const fn of(code: &'static str, segments: &'static str, start: usize, length: usize) -> Structure {
    Structure { code, segments, bank: (start, length) }
}

/// Where nothing says which country.
pub(super) const GERMANY: &Structure = &of("DE", "8n10n", 0, 8);

/// A country's structure by its two letters.
pub(super) fn named(code: &str) -> Option<&'static Structure> {
    ALL.binary_search_by(|structure| structure.code.cmp(code)).ok().and_then(|place| ALL.get(place))
}

impl Structure {
    /// The class of each character: n, a or c.
    fn classes(&self) -> impl Iterator<Item = char> {
        let mut number = 0;
        self.segments.chars().flat_map(move |character| {
            let repeat = match character.to_digit(10) {
                Some(digit) => {
                    number = number * 10 + digit as usize;
                    0
                }
                None => std::mem::take(&mut number),
            };
            std::iter::repeat_n(character, repeat)
        })
    }

    /// Characters of the whole IBAN.
    pub fn length(&self) -> usize {
        4 + self.classes().count()
    }

    /// Whether a national number, in upper case, has this structure.
    pub fn fits(&self, bban: &str) -> bool {
        bban.len() + 4 == self.length()
            && bban.chars().zip(self.classes()).all(|(character, class)| match class {
                'n' => character.is_ascii_digit(),
                'a' => character.is_ascii_uppercase(),
                _ => character.is_ascii_digit() || character.is_ascii_uppercase(),
            })
    }

    /// A pattern of numbers at a bank that does not exist: # is any digit, @ any letter.
    pub fn fiction(&self) -> String {
        let (start, length) = self.bank;
        let character = |(place, class): (usize, char)| match class {
            'a' if (start..start + length).contains(&place) => 'X',
            _ if (start..start + length).contains(&place) => {
                if self.code == "BE" {
                    '9'
                } else {
                    '0'
                }
            }
            'a' => '@',
            _ => '#',
        };
        self.classes().enumerate().map(character).collect()
    }
}

/// All countries, by their code.
#[rustfmt::skip]
pub(super) const ALL: &[Structure] = &[
    of("AD", "4n4n12c", 0, 4), of("AE", "3n16n", 0, 3), of("AL", "8n16c", 0, 3),
    of("AT", "5n11n", 0, 5), of("AZ", "4a20c", 0, 4), of("BA", "3n3n8n2n", 0, 3),
    of("BE", "3n7n2n", 0, 3), of("BG", "4a4n2n8c", 0, 4), of("BH", "4a14c", 0, 4),
    of("BI", "5n5n11n2n", 0, 5), of("BR", "8n5n10n1a1c", 0, 8), of("BY", "4c4n16c", 0, 4),
    of("CH", "5n12c", 0, 5), of("CR", "4n14n", 0, 4), of("CY", "3n5n16c", 0, 3),
    of("CZ", "4n6n10n", 0, 4), of("DE", "8n10n", 0, 8), of("DJ", "5n5n11n2n", 0, 5),
    of("DK", "4n9n1n", 0, 4), of("DO", "4c20n", 0, 4), of("EE", "2n14n", 0, 2),
    of("EG", "4n4n17n", 0, 4), of("ES", "4n4n1n1n10n", 0, 4), of("FI", "3n11n", 0, 3),
    of("FK", "2a12n", 0, 2), of("FO", "4n9n1n", 0, 4), of("FR", "5n5n11c2n", 0, 5),
    of("GB", "4a6n8n", 0, 4), of("GE", "2a16n", 0, 2), of("GI", "4a15c", 0, 4),
    of("GL", "4n9n1n", 0, 4), of("GR", "3n4n16c", 0, 3), of("GT", "4c20c", 0, 4),
    of("HN", "4a20n", 0, 4), of("HR", "7n10n", 0, 7), of("HU", "3n4n1n15n1n", 0, 3),
    of("IE", "4a6n8n", 0, 4), of("IL", "3n3n13n", 0, 3), of("IQ", "4a3n12n", 0, 4),
    of("IS", "4n2n6n10n", 0, 4), of("IT", "1a5n5n12c", 1, 5), of("JO", "4a4n18c", 0, 4),
    of("KW", "4a22c", 0, 4), of("KZ", "3n13c", 0, 3), of("LB", "4n20c", 0, 4),
    of("LC", "4a24c", 0, 4), of("LI", "5n12c", 0, 5), of("LT", "5n11n", 0, 5),
    of("LU", "3n13c", 0, 3), of("LV", "4a13c", 0, 4), of("LY", "3n3n15n", 0, 3),
    of("MC", "5n5n11c2n", 0, 5), of("MD", "2c18c", 0, 2), of("ME", "3n13n2n", 0, 3),
    of("MK", "3n10c2n", 0, 3), of("MN", "4n12n", 0, 4), of("MR", "5n5n11n2n", 0, 5),
    of("MT", "4a5n18c", 0, 4), of("MU", "4a2n2n12n3n3a", 0, 6), of("NI", "4a20n", 0, 4),
    of("NL", "4a10n", 0, 4), of("NO", "4n6n1n", 0, 4), of("OM", "3n16c", 0, 3),
    of("PK", "4a16c", 0, 4), of("PL", "8n16n", 0, 8), of("PS", "4a21c", 0, 4),
    of("PT", "4n4n11n2n", 0, 4), of("QA", "4a21c", 0, 4), of("RO", "4a16c", 0, 4),
    of("RS", "3n13n2n", 0, 3), of("RU", "9n5n15c", 0, 9), of("SA", "2n18c", 0, 2),
    of("SC", "4a2n2n16n3a", 0, 6), of("SD", "2n12n", 0, 2), of("SE", "3n16n1n", 0, 3),
    of("SI", "5n8n2n", 0, 5), of("SK", "4n6n10n", 0, 4), of("SM", "1a5n5n12c", 1, 5),
    of("SO", "4n3n12n", 0, 4), of("ST", "4n4n11n2n", 0, 4), of("SV", "4a20n", 0, 4),
    of("TL", "3n14n2n", 0, 3), of("TN", "2n3n13n2n", 0, 2), of("TR", "5n1n16c", 0, 5),
    of("UA", "6n19c", 0, 6), of("VA", "3n15n", 0, 3), of("VG", "4a16n", 0, 4),
    of("XK", "4n10n2n", 0, 4), of("YE", "4a4n18c", 0, 4),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_the_registry() {
        for (code, length) in [
            ("AD", 24),
            ("BE", 16),
            ("BR", 29),
            ("DE", 22),
            ("FR", 27),
            ("GB", 22),
            ("IT", 27),
            ("LC", 32),
            ("MT", 31),
            ("NO", 15),
            ("PL", 28),
            ("RU", 33),
            ("SE", 24),
            ("TR", 26),
            ("UA", 29),
            ("VA", 22),
        ] {
            assert_eq!(named(code).map(Structure::length), Some(length), "{code}");
        }
        assert!(ALL.is_sorted_by(|one, other| one.code < other.code));
        assert!(ALL.iter().all(|structure| (15..=34).contains(&structure.length())));
        assert_eq!(GERMANY.fiction(), "00000000##########");
        assert_eq!(named("IT").map(Structure::fiction).as_deref(), Some("@00000#################"));
        assert_eq!(named("US"), None);
    }
}
