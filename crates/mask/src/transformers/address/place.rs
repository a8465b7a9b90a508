//! A place as one draw decides it. Each part is drawn by itself: a street of one town with a number
//! and the postcode of others is nobody's address.

use crate::draw::Draw;
use crate::transformers::wording::{GOLDEN, Share};
use crate::vocabulary::{List, Locale, Vocabulary};

/// What sets the bits of places apart from others of the same subject; the parts follow it.
const LABEL: u32 = 0x506c_6100;

/// The lists that places of a locale are drawn from; a transformer looks them up once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    streets: &'static [&'static str],
    numbers: &'static [&'static str],
    cities: &'static [&'static str],
    postcodes: &'static [&'static str],
    states: &'static [&'static str],
    countries: &'static [&'static str],
    pub(super) map: Map,
}

/// A part of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Street,
    Number,
    City,
    Postcode,
    State,
    Country,
}

impl Places {
    pub(super) fn of(locale: Locale, vocabulary: Vocabulary) -> Places {
        let list = |list| vocabulary.list(locale, list);
        Places {
            streets: list(List::Street),
            numbers: list(List::Number),
            cities: list(List::City),
            postcodes: list(List::Postcode),
            states: list(List::State),
            countries: list(List::Country),
            map: Map::of(locale, vocabulary),
        }
    }

    /// Writes a part of the place of a draw; another attempt is another place. A part does not
    /// depend on which others are asked for.
    pub(super) fn write(&self, draw: &Draw, part: Part, attempt: u32, out: &mut String) {
        let bits = draw.again(LABEL + part as u32).seed();
        let (mut one, mut digits) = (Share(bits as u64), Share((bits >> 64) as u64));
        let list = match part {
            Part::Street => self.streets,
            Part::City => self.cities,
            Part::State => self.states,
            Part::Country => self.countries,
            Part::Number | Part::Postcode => {
                let forms = if part == Part::Number { self.numbers } else { self.postcodes };
                // Odd steps through all words of 64 bits: other digits from the first one on.
                digits.0 = digits.0.wrapping_add(u64::from(attempt).wrapping_mul(GOLDEN));
                digits.fill(one.one_of(forms, attempt), out);
                return;
            }
        };
        out.push_str(one.one_of(list, attempt));
    }
}

/// A rectangle on the map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Map {
    south: f64,
    north: f64,
    west: f64,
    east: f64,
}

impl Map {
    fn of(locale: Locale, vocabulary: Vocabulary) -> Map {
        let degrees = vocabulary.list(locale, List::Box);
        let at = |index: usize, otherwise: f64| {
            degrees.get(index).and_then(|text| text.parse().ok()).unwrap_or(otherwise)
        };
        Map { south: at(0, -60.0), north: at(1, 70.0), west: at(2, -180.0), east: at(3, 180.0) }
    }

    /// The latitude of a draw's place, in degrees.
    pub(super) fn latitude(self, draw: &Draw, attempt: u32) -> f64 {
        between(self.south, self.north, draw, 0x40, attempt)
    }

    /// The longitude of a draw's place, in degrees.
    pub(super) fn longitude(self, draw: &Draw, attempt: u32) -> f64 {
        between(self.west, self.east, draw, 0x41, attempt)
    }
}

fn between(least: f64, most: f64, draw: &Draw, part: u32, attempt: u32) -> f64 {
    let mut fraction = draw.again(LABEL + part);
    // Each step of the golden ratio goes on to another place of the range, never back to an old
    // one.
    let step = (fraction.fraction() + f64::from(attempt) * 0.618_033_988_749_894_9).fract();
    least + step * (most - least)
}
