//! Names of columns that usually hold personal data.

/// Words in the names of columns, and what they say. A word counts where it is a part of the name
/// between underscores, or, from five letters on, anywhere.
const WORDS: &[(&str, &str)] = &[
    ("email", "a mail address"),
    ("mail", "a mail address"),
    ("phone", "a phone number"),
    ("mobile", "a phone number"),
    ("fax", "a phone number"),
    ("firstname", "a person's name"),
    ("first_name", "a person's name"),
    ("lastname", "a person's name"),
    ("last_name", "a person's name"),
    ("surname", "a person's name"),
    ("full_name", "a person's name"),
    ("username", "a person's name"),
    ("login", "a person's name"),
    ("birth", "a date of birth"),
    ("dob", "a date of birth"),
    ("gender", "a gender"),
    ("street", "an address"),
    ("address", "an address"),
    ("zip", "an address"),
    ("postcode", "an address"),
    ("ssn", "a number of a person"),
    ("passport", "a number of a person"),
    ("tax_id", "a number of a person"),
    ("iban", "a bank account"),
    ("card_number", "a card's number"),
    ("credit_card", "a card's number"),
    ("salary", "an income"),
    ("password", "a password"),
    ("secret", "a secret"),
    ("token", "a secret"),
    ("ip_address", "an address of a machine"),
    ("diagnosis", "an illness"),
];

/// What the name says; None: nothing.
pub(super) fn looks_like(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let has = |word: &str| word.len() >= 5 && name.contains(word) || name.split('_').any(|part| part == word);
    WORDS.iter().find(|(word, _)| has(word)).map(|(_, what)| *what)
}

#[cfg(test)]
mod tests {
    use super::looks_like;

    #[test]
    fn words_and_parts_of_names() {
        for (name, says) in [
            ("email", Some("a mail address")),
            ("Email_verified", Some("a mail address")),
            ("contact_mail", Some("a mail address")),
            ("mailbox_size", None),
            ("billing_address_2", Some("an address")),
            ("zip", Some("an address")),
            ("zipped", None),
            ("id", None),
            ("dob", Some("a date of birth")),
        ] {
            assert_eq!(looks_like(name), says, "{name}");
        }
    }
}
