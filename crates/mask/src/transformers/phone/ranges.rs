//! Numbers that reach nobody, by country, and the country codes of all.
//!
//! | Country | Source |
//! |---|---|
//! | US, CA | NANPA, 555 Line Number Reference: 555-0100 to 555-0199 are not assigned, in any area code; of 800, 555-0199 alone |
//! | GB | Ofcom, Telephone numbers for use in TV and radio drama programmes |
//! | DE | Bundesnetzagentur, Mitteilung 148/2021, Amtsblatt 7/2021: numbers for media |
//! | FR | ARCEP, décision 2018-0881, annex 2.5.12: numbers for audiovisual works |
//! | AU | ACMA, Phone numbers for use in TV shows, films and creative works |
//! | IE | ComReg, National Numbering Conventions: 020 91x xxxx for drama |
//! | SE | PTS, Telefonnummer till användning i böcker och filmer m.m. |

/// A country's numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Country {
    /// Two letters of ISO 3166.
    pub code: &'static str,
    /// Its country code.
    pub calling: &'static str,
    /// What comes in front of a national number at home.
    pub trunk: &'static str,
    /// National numbers that reach nobody, in groups: `#` is any digit, `~` one of the areas.
    pub ranges: &'static [&'static str],
    /// The same, free for the caller.
    pub toll_free: &'static [&'static str],
    /// Area codes.
    pub areas: &'static [&'static str],
}

impl Country {
    pub const UNITED_STATES: Country = Country {
        code: "US",
        calling: "1",
        trunk: "",
        ranges: &["~ 555 01##"],
        toll_free: &[
            "800 555 0199",
            "844 555 01##",
            "855 555 01##",
            "866 555 01##",
            "877 555 01##",
            "888 555 01##",
        ],
        areas: AREAS_OF_US,
    };

    /// A country by its two letters.
    pub fn named(code: &str) -> Option<Country> {
        let with_ranges = WITH_RANGES.iter().find(|country| country.code == code).copied();
        with_ranges.or_else(|| {
            let (code, calling) = CALLING.iter().find(|(known, _)| *known == code)?;
            Some(Country::without_ranges(code, calling))
        })
    }

    /// A country by its country code; where several have it, the largest.
    pub fn called(calling: &str) -> Option<Country> {
        let with_ranges = WITH_RANGES.iter().find(|country| country.calling == calling).copied();
        with_ranges.or_else(|| {
            let (code, calling) = CALLING.iter().find(|(_, known)| *known == calling)?;
            Some(Country::without_ranges(code, calling))
        })
    }

    const fn without_ranges(code: &'static str, calling: &'static str) -> Country {
        Country { code, calling, trunk: "0", ranges: &[], toll_free: &[], areas: &[] }
    }

    /// Whether it has numbers that are free for the caller and reach nobody.
    pub fn has_toll_free(self) -> bool {
        !self.toll_free.is_empty()
    }

    /// The most digits of its numbers, with the country code.
    pub fn most_digits(self) -> usize {
        let national = |range: &&str| {
            let area = if range.contains('~') { 2 } else { 0 };
            range.chars().filter(|place| *place != ' ').count() + area
        };
        let most = self.ranges.iter().chain(self.toll_free).map(national).max();
        self.calling.len() + most.unwrap_or(10)
    }
}

/// The country code that a number begins with (ITU-T E.164.1): one digit, two of the list, else
/// three.
pub(super) fn calling_code(number: &str) -> &str {
    let length = match number.as_bytes() {
        [b'1' | b'7', ..] => 1,
        [b'2', b'0' | b'7', ..]
        | [b'3', b'0'..=b'4' | b'6' | b'9', ..]
        | [b'4', b'0' | b'1' | b'3'..=b'9', ..]
        | [b'5', b'1'..=b'8', ..]
        | [b'6', b'0'..=b'6', ..]
        | [b'8', b'1' | b'2' | b'4' | b'6', ..]
        | [b'9', b'0'..=b'5' | b'8', ..] => 2,
        _ => 3,
    };
    number.get(..length).unwrap_or(number)
}

/// For people: the countries with toll-free numbers.
pub(super) fn toll_free_countries() -> String {
    let with = WITH_RANGES.iter().filter(|country| country.has_toll_free());
    with.map(|country| country.code).collect::<Vec<_>>().join(", ")
}

#[rustfmt::skip]
const WITH_RANGES: &[Country] = &[
    Country::UNITED_STATES,
    Country { code: "CA", areas: AREAS_OF_CA, ..Country::UNITED_STATES },
    Country {
        code: "GB",
        calling: "44",
        trunk: "0",
        ranges: &[
            "113 496 0###", "114 496 0###", "115 496 0###", "116 496 0###", "117 496 0###",
            "118 496 0###", "121 496 0###", "131 496 0###", "141 496 0###", "151 496 0###",
            "161 496 0###", "20 7946 0###", "191 498 0###", "28 9649 6###", "29 2018 0###",
            "1632 960###", "7700 900###", "3069 990###",
        ],
        toll_free: &["808 157 0###"],
        areas: &[],
    },
    Country {
        code: "DE",
        calling: "49",
        trunk: "0",
        ranges: &[
            "30 23125###", "69 90009###", "40 66969###", "221 4710###", "89 99998###", "171 39200##",
            "176 040690##",
        ],
        toll_free: &[],
        areas: &[],
    },
    Country {
        code: "FR",
        calling: "33",
        trunk: "0",
        ranges: &[
            "1 99 00 ## ##", "2 61 91 ## ##", "3 53 01 ## ##", "4 65 71 ## ##", "5 36 49 ## ##",
            "6 39 98 ## ##",
        ],
        toll_free: &[],
        areas: &[],
    },
    Country {
        code: "AU",
        calling: "61",
        trunk: "0",
        ranges: &[
            "2 5550 ####", "2 7010 ####", "3 5550 ####", "3 7010 ####", "7 5550 ####",
            "7 7010 ####", "8 5550 ####", "8 7010 ####", "491 570 006", "491 570 156",
            "491 570 157", "491 570 158", "491 570 159", "491 570 110", "491 570 313",
            "491 570 737", "491 571 266", "491 571 491", "491 571 804", "491 572 549",
            "491 572 665", "491 572 983", "491 573 770", "491 573 087", "491 574 118",
            "491 574 632", "491 575 254", "491 575 789", "491 576 398", "491 576 801",
            "491 577 426", "491 577 644", "491 578 957", "491 578 148", "491 578 888",
            "491 579 212", "491 579 760", "491 579 455",
        ],
        toll_free: &[],
        areas: &[],
    },
    Country { code: "IE", calling: "353", trunk: "0", ranges: &["20 91# ####"], toll_free: &[], areas: &[] },
    Country {
        code: "SE",
        calling: "46",
        trunk: "0",
        ranges: &[
            "31 390 06 ##", "40 628 04 ##", "8 465 004 ##", "980 319 2##", "70 174 06 1#", "70 174 06 2#",
            "70 174 06 3#", "70 174 06 4#", "70 174 06 5#", "70 174 06 6#", "70 174 06 7#", "70 174 06 8#",
        ],
        toll_free: &[],
        areas: &[],
    },
];

/// Area codes of the United States.
#[rustfmt::skip]
const AREAS_OF_US: &[&str] = &[
    "201", "202", "203", "205", "206", "207", "208", "209", "210", "212", "213", "214", "215",
    "216", "217", "218", "219", "224", "225", "228", "229", "231", "234", "239", "240", "248",
    "251", "252", "253", "254", "256", "260", "262", "267", "269", "270", "276", "281", "301",
    "302", "303", "304", "305", "307", "308", "309", "310", "312", "313", "314", "315", "316",
    "317", "318", "319", "320", "321", "323", "325", "330", "334", "336", "337", "347", "352",
    "360", "361", "386", "401", "402", "404", "405", "406", "407", "408", "409", "410", "412",
    "413", "414", "415", "417", "419", "423", "425", "432", "434", "435", "440", "443", "469",
    "478", "479", "480", "484", "501", "502", "503", "504", "505", "507", "508", "509", "510",
    "512", "513", "515", "516", "517", "518", "520", "530", "540", "541", "551", "559", "561",
    "562", "563", "567", "570", "571", "573", "574", "580", "585", "586", "601", "602", "603",
    "605", "606", "607", "608", "609", "610", "612", "614", "615", "616", "617", "618", "619",
    "620", "623", "626", "630", "631", "636", "641", "646", "650", "651", "660", "661", "662",
    "678", "682", "701", "702", "703", "704", "706", "707", "708", "712", "713", "714", "715",
    "716", "717", "718", "719", "720", "724", "727", "731", "732", "734", "740", "754", "757",
    "760", "763", "765", "770", "772", "773", "774", "775", "781", "785", "786", "801", "802",
    "803", "804", "805", "806", "808", "810", "812", "813", "814", "815", "816", "817", "818",
    "828", "830", "831", "832", "843", "845", "847", "848", "850", "856", "857", "858", "859",
    "860", "862", "863", "864", "865", "870", "901", "903", "904", "906", "907", "908", "909",
    "910", "912", "913", "914", "915", "916", "917", "918", "919", "920", "925", "928", "931",
    "936", "937", "940", "941", "947", "949", "951", "952", "954", "956", "970", "971", "972",
    "973", "978", "979", "980", "985", "989",
];

/// Area codes of Canada.
#[rustfmt::skip]
const AREAS_OF_CA: &[&str] = &[
    "204", "236", "250", "289", "306", "403", "416", "418", "438", "450", "506", "514", "519",
    "587", "604", "613", "647", "705", "709", "778", "780", "807", "819", "902", "905",
];

/// Country codes (ITU, List of Recommendation ITU-T E.164 assigned country codes).
#[rustfmt::skip]
const CALLING: &[(&str, &str)] = &[
    ("AD", "376"), ("AE", "971"), ("AF", "93"), ("AG", "1"), ("AI", "1"), ("AL", "355"),
    ("AM", "374"), ("AO", "244"), ("AR", "54"), ("AS", "1"), ("AT", "43"), ("AU", "61"),
    ("AW", "297"), ("AX", "358"), ("AZ", "994"), ("BA", "387"), ("BB", "1"), ("BD", "880"),
    ("BE", "32"), ("BF", "226"), ("BG", "359"), ("BH", "973"), ("BI", "257"), ("BJ", "229"),
    ("BL", "590"), ("BM", "1"), ("BN", "673"), ("BO", "591"), ("BQ", "599"), ("BR", "55"),
    ("BS", "1"), ("BT", "975"), ("BW", "267"), ("BY", "375"), ("BZ", "501"), ("CA", "1"),
    ("CC", "61"), ("CD", "243"), ("CF", "236"), ("CG", "242"), ("CH", "41"), ("CI", "225"),
    ("CK", "682"), ("CL", "56"), ("CM", "237"), ("CN", "86"), ("CO", "57"), ("CR", "506"),
    ("CU", "53"), ("CV", "238"), ("CW", "599"), ("CX", "61"), ("CY", "357"), ("CZ", "420"),
    ("DE", "49"), ("DJ", "253"), ("DK", "45"), ("DM", "1"), ("DO", "1"), ("DZ", "213"),
    ("EC", "593"), ("EE", "372"), ("EG", "20"), ("ER", "291"), ("ES", "34"), ("ET", "251"),
    ("FI", "358"), ("FJ", "679"), ("FK", "500"), ("FM", "691"), ("FO", "298"), ("FR", "33"),
    ("GA", "241"), ("GB", "44"), ("GD", "1"), ("GE", "995"), ("GF", "594"), ("GG", "44"),
    ("GH", "233"), ("GI", "350"), ("GL", "299"), ("GM", "220"), ("GN", "224"), ("GP", "590"),
    ("GQ", "240"), ("GR", "30"), ("GT", "502"), ("GU", "1"), ("GW", "245"), ("GY", "592"),
    ("HK", "852"), ("HN", "504"), ("HR", "385"), ("HT", "509"), ("HU", "36"), ("ID", "62"),
    ("IE", "353"), ("IL", "972"), ("IM", "44"), ("IN", "91"), ("IO", "246"), ("IQ", "964"),
    ("IR", "98"), ("IS", "354"), ("IT", "39"), ("JE", "44"), ("JM", "1"), ("JO", "962"),
    ("JP", "81"), ("KE", "254"), ("KG", "996"), ("KH", "855"), ("KI", "686"), ("KM", "269"),
    ("KN", "1"), ("KP", "850"), ("KR", "82"), ("KW", "965"), ("KY", "1"), ("KZ", "7"),
    ("LA", "856"), ("LB", "961"), ("LC", "1"), ("LI", "423"), ("LK", "94"), ("LR", "231"),
    ("LS", "266"), ("LT", "370"), ("LU", "352"), ("LV", "371"), ("LY", "218"), ("MA", "212"),
    ("MC", "377"), ("MD", "373"), ("ME", "382"), ("MF", "590"), ("MG", "261"), ("MH", "692"),
    ("MK", "389"), ("ML", "223"), ("MM", "95"), ("MN", "976"), ("MO", "853"), ("MP", "1"),
    ("MQ", "596"), ("MR", "222"), ("MS", "1"), ("MT", "356"), ("MU", "230"), ("MV", "960"),
    ("MW", "265"), ("MX", "52"), ("MY", "60"), ("MZ", "258"), ("NA", "264"), ("NC", "687"),
    ("NE", "227"), ("NF", "672"), ("NG", "234"), ("NI", "505"), ("NL", "31"), ("NO", "47"),
    ("NP", "977"), ("NR", "674"), ("NU", "683"), ("NZ", "64"), ("OM", "968"), ("PA", "507"),
    ("PE", "51"), ("PF", "689"), ("PG", "675"), ("PH", "63"), ("PK", "92"), ("PL", "48"),
    ("PM", "508"), ("PR", "1"), ("PS", "970"), ("PT", "351"), ("PW", "680"), ("PY", "595"),
    ("QA", "974"), ("RE", "262"), ("RO", "40"), ("RS", "381"), ("RU", "7"), ("RW", "250"),
    ("SA", "966"), ("SB", "677"), ("SC", "248"), ("SD", "249"), ("SE", "46"), ("SG", "65"),
    ("SH", "290"), ("SI", "386"), ("SJ", "47"), ("SK", "421"), ("SL", "232"), ("SM", "378"),
    ("SN", "221"), ("SO", "252"), ("SR", "597"), ("SS", "211"), ("ST", "239"), ("SV", "503"),
    ("SX", "1"), ("SY", "963"), ("SZ", "268"), ("TC", "1"), ("TD", "235"), ("TG", "228"),
    ("TH", "66"), ("TJ", "992"), ("TK", "690"), ("TL", "670"), ("TM", "993"), ("TN", "216"),
    ("TO", "676"), ("TR", "90"), ("TT", "1"), ("TV", "688"), ("TW", "886"), ("TZ", "255"),
    ("UA", "380"), ("UG", "256"), ("US", "1"), ("UY", "598"), ("UZ", "998"), ("VA", "39"),
    ("VC", "1"), ("VE", "58"), ("VG", "1"), ("VI", "1"), ("VN", "84"), ("VU", "678"),
    ("WF", "681"), ("WS", "685"), ("XK", "383"), ("YE", "967"), ("YT", "262"), ("ZA", "27"),
    ("ZM", "260"), ("ZW", "263"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn country_codes_are_cut_where_they_end() {
        for (_, calling) in CALLING {
            assert_eq!(calling_code(&format!("{calling}1234567")), *calling);
        }
        assert_eq!(calling_code("4"), "4");
    }

    #[test]
    fn no_number_is_longer_than_the_rule_says() {
        for (code, _) in CALLING {
            assert!(
                Country::named(code).is_some_and(|country| country.most_digits() < super::super::MOST_CHARS)
            );
        }
        assert_eq!(Country::UNITED_STATES.most_digits(), 11);
    }
}
