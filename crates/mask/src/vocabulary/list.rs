//! Which lists a vocabulary has.

macro_rules! lists {
    ($($name:ident $text:literal $meaning:literal;)+) => {
        /// One list of words of a locale.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum List { $(#[doc = $meaning] $name,)+ }

        impl List {
            /// Every list.
            pub const ALL: &[List] = &[$(List::$name,)+];

            /// As the files write it: `first_male`.
            pub const fn as_str(self) -> &'static str {
                match self { $(List::$name => $text,)+ }
            }

            /// A list by its name in the files.
            pub fn named(name: &str) -> Option<List> {
                match name { $($text => Some(List::$name),)+ _ => None }
            }
        }
    };
}

lists! {
    FirstMale "first_male" "First names of men.";
    FirstFemale "first_female" "First names of women.";
    FirstNeutral "first_neutral" "First names of anybody; most locales have none.";
    MiddleMale "middle_male" "Middle names or patronymics of men; most locales have none.";
    MiddleFemale "middle_female" "Middle names or patronymics of women; most locales have none.";
    Last "last" "Last names that are the same for all; else the locale has the two that follow.";
    LastMale "last_male" "Last names in the form for men.";
    LastFemale "last_female" "Last names in the form for women.";
    Name "name" "How a whole name is written: `{first} {last}`.";
    TitleMale "title_male" "Titles of men.";
    TitleFemale "title_female" "Titles of women.";
    TitleNeutral "title_neutral" "Titles of anybody; some locales have none.";
    Street "street" "Streets without a number.";
    Number "number" "Forms of house numbers: `#` is a digit, `%` one of 1 to 9.";
    Line "line" "How a street and a number are written: `{street} {number}`.";
    City "city" "Cities.";
    State "state" "States, provinces or regions.";
    Postcode "postcode" "Forms of postcodes: `#` is a digit, `%` one of 1 to 9, `?` one of A to Z.";
    Country "country" "Countries, in the locale's language where Faker has them.";
    Company "company" "How companies are called: `{last} {suffix}`, with `{prefix}` and `{word}` too.";
    CompanySuffix "company_suffix" "Forms of companies: `GmbH`.";
    CompanyPrefix "company_prefix" "What comes before a name; few locales have it.";
    CompanyWord "company_word" "What a company does; few locales have it.";
    Job "job" "Jobs.";
    Word "word" "Words of sentences; Latin where Faker has none.";
    Sentence "sentence" "How words are joined and a sentence ends: `{word} {word}.`.";
    Month "month" "The months, from January on.";
    Weekday "weekday" "The days of the week, from Sunday on.";
    Box "box" "A rectangle on the map: south, north, west, east, in degrees.";
    Timezone "timezone" "Time zones of the IANA database; the same for all locales.";
    Currency "currency" "Codes of ISO 4217, each with its English name; the same for all locales.";
}
