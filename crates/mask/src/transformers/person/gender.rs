//! `person.gender`: the subject's gender, in the form that the column has.

use super::{GENDER, Gender, People, Wanted, wanted};
use crate::definition::{Definition, Injective, Parameter, Takes};
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::operand::Operand;
use crate::rules::Literal;
use crate::transformer::{Answer, Draws, Plain, Refusal, Transformer};
use crate::transformers::wording::{Room, are_alike, is_text, vocabulary};
use crate::types::Kind;

pub(super) const DEFINITION: Definition = Definition {
    name: "person.gender",
    summary: "The gender that the names of the same subject have, so that it may also be the plain \
              one; without a subject, the other one of the two.",
    parameters: &[
        GENDER,
        Parameter::new(
            "values",
            Takes::Map,
            "as the plain value is written: m and f, Male and Female, 1 and 2 (ISO 5218), …",
            "How the column writes them: { Male = \"m\", Female = \"f\", Neutral = \"x\" }.",
        ),
    ],
    takes: |kind| is_text(kind) || matches!(kind, Kind::Enum(_) | Kind::Int(_) | Kind::Bool),
    types: "text, varchar, char, citext, name, enum, int2, int4, int8, bool",
    injective: Injective::No,
    greenmask: &["RandomPerson"],
    build: |making| Ok(Box::new(Genders::build(making)?)),
};

/// How genders are written: male and female, the language that it is of (empty: any). The first
/// that fits counts; those of the locale's language come before the others.
const FORMS: &[(&str, &str, &str)] = &[
    ("de", "m", "w"),
    ("de", "M", "W"),
    ("de", "männlich", "weiblich"),
    ("de", "Männlich", "Weiblich"),
    ("de", "Mann", "Frau"),
    ("de", "Herr", "Frau"),
    ("fr", "homme", "femme"),
    ("fr", "Homme", "Femme"),
    ("es", "hombre", "mujer"),
    ("es", "Hombre", "Mujer"),
    ("it", "uomo", "donna"),
    ("nl", "m", "v"),
    ("nl", "M", "V"),
    ("nl", "man", "vrouw"),
    ("pl", "m", "k"),
    ("pl", "M", "K"),
    ("ru", "м", "ж"),
    ("ru", "М", "Ж"),
    ("ru", "мужской", "женский"),
    ("ja", "男", "女"),
    ("ja", "男性", "女性"),
    ("zh", "男", "女"),
    ("ko", "남", "여"),
    ("", "M", "F"),
    ("", "m", "f"),
    ("", "Male", "Female"),
    ("", "male", "female"),
    ("", "MALE", "FEMALE"),
    ("", "Man", "Woman"),
    ("", "man", "woman"),
    ("", "Mr", "Ms"),
    ("", "1", "2"),
];

/// Texts of one gender.
#[derive(Clone, Debug)]
struct Form {
    male: String,
    female: String,
    neutral: Option<String>,
}

impl Form {
    fn write(&self, gender: Gender) -> Option<&str> {
        match gender {
            Gender::Male => Some(&self.male),
            Gender::Female => Some(&self.female),
            Gender::Neutral => self.neutral.as_deref(),
        }
    }

    /// The gender that a text is in this form.
    fn read(&self, text: &str) -> Option<Gender> {
        [Gender::Male, Gender::Female, Gender::Neutral]
            .into_iter()
            .find(|gender| self.write(*gender).is_some_and(|form| form == text))
    }
}

#[derive(Debug)]
struct Genders {
    people: People,
    wanted: Operand<Wanted>,
    /// The forms that fit the column, the best first; never empty.
    forms: Vec<Form>,
    /// What an unknown plain value becomes.
    first: Form,
}

impl Genders {
    fn build(making: &mut Making<'_>) -> Result<Genders, Unfit> {
        let vocabulary = vocabulary(making)?;
        let wanted = wanted(making)?;
        let own = making.around.columns.iter().position(|(name, _)| name == making.around.column);
        if matches!(&wanted, Operand::From(from) if Some(from.column) == own) {
            let message = "the gender comes from the column itself, and so would stay";
            return Err(making.fault(Code::ChangesNothing, "gender", message, "use `keep`"));
        }
        let forms = match values(making)? {
            Some(form) => vec![form],
            None => known(making),
        };
        let Some(first) = forms.first().cloned() else {
            let message = format!("no form of genders that we know fits {}", making.target().sql_type);
            return Err(making.fault(Code::ValueOutside, "values", message, VALUES));
        };
        let is_neutral = matches!(wanted, Operand::Fixed(Wanted::Only(Gender::Neutral)));
        if is_neutral && first.neutral.is_none() {
            let message = "`values` does not say how Neutral is written";
            return Err(making.fault(Code::ParameterMissing, "gender", message, VALUES));
        }
        let people = People::of(making.around.locale, vocabulary);
        Ok(Genders { people, wanted, forms, first })
    }

    /// The form that a plain value is in, and its gender there.
    fn form_of(&self, plain: &str) -> (&Form, Option<Gender>) {
        let known = self.forms.iter().find_map(|form| Some((form, Some(form.read(plain)?))));
        known.unwrap_or((&self.first, None))
    }
}

const VALUES: &str = "values = { Male = \"m\", Female = \"f\", Neutral = \"x\" }";

/// The parameter `values`.
fn values(making: &mut Making<'_>) -> Result<Option<Form>, Unfit> {
    let Some(setting) = making.setting("values") else { return Ok(None) };
    let Literal::Table(members) = &setting.value else { return Ok(None) };
    let mut texts: [Option<String>; 3] = [None, None, None];
    for (name, value) in members {
        let [male, female, neutral] = &mut texts;
        let slot = match name.as_str() {
            "Male" => male,
            "Female" => female,
            "Neutral" => neutral,
            _ => {
                let message = format!("values has no {name}");
                return Err(making.fault_at(Code::WrongValue, value.place, message, VALUES));
            }
        };
        let text = value.value.scalar().and_then(|text| fitting(making, &text));
        let Some(text) = text else {
            let message = format!(
                "the text of {name} is not a value of the column, which is {}",
                making.target().sql_type
            );
            return Err(making.fault_at(Code::ValueOutside, value.place, message, ""));
        };
        *slot = Some(text);
    }
    let [Some(male), Some(female), neutral] = texts else {
        return Err(making.fault(Code::ParameterMissing, "values", "values needs Male and Female", VALUES));
    };
    let differ = !are_alike(&male, &female)
        && neutral.as_ref().is_none_or(|neutral| !are_alike(neutral, &male) && !are_alike(neutral, &female));
    if !differ {
        let message = "values writes two genders alike";
        return Err(making.fault(Code::ChangesNothing, "values", message, VALUES));
    }
    Ok(Some(Form { male, female, neutral }))
}

/// A text as COPY writes it, if the column takes it.
fn fitting(making: &Making<'_>, text: &str) -> Option<String> {
    match making.kind() {
        Kind::Enum(labels) => labels.iter().find(|label| *label == text).cloned(),
        Kind::Int(bytes) => {
            let number: i64 = text.parse().ok()?;
            let most = i64::MAX >> (64 - 8 * u32::from(*bytes).clamp(1, 8));
            (-most - 1 <= number && number <= most).then(|| number.to_string())
        }
        Kind::Bool => match text {
            "true" | "t" => Some("t".to_string()),
            "false" | "f" => Some("f".to_string()),
            _ => None,
        },
        _ => Room::of(making.target()).holds(text).then(|| text.to_string()),
    }
}

/// The known forms that the column takes; none of them says which gender a `bool` is of.
fn known(making: &Making<'_>) -> Vec<Form> {
    if *making.kind() == Kind::Bool {
        return Vec::new();
    }
    let language = making.around.locale.language();
    let of_language = FORMS.iter().filter(|(of, ..)| *of == language);
    let of_all = FORMS.iter().filter(|(of, ..)| of.is_empty());
    // A long enough column that says nothing of its form is likelier to hold words.
    let mut forms: Vec<Form> = of_language
        .chain(of_all)
        .filter_map(|(_, male, female)| {
            Some(Form { male: fitting(making, male)?, female: fitting(making, female)?, neutral: None })
        })
        .collect();
    if Room::of(making.target()).holds("Female") {
        let word = forms.iter().position(|form| form.male == "Male").map(|at| forms.remove(at));
        forms.splice(0..0, word);
    }
    forms
}

impl Transformer for Genders {
    fn draws(&self) -> Draws {
        Draws::Person
    }

    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        let wanted = self.wanted.get(plain.row)?;
        let text = plain.text.trim_end_matches(' ');
        let (form, was) = if plain.is_null { (&self.first, None) } else { self.form_of(text) };
        let drawn = self.people.person(&plain.of_person(), wanted, 0).gender;
        // A subject's gender is that of its names, in every table. Without one, nothing has to
        // agree, and one fiction means all rows of a gender: it must not be the plain one.
        let gender = match (wanted, plain.subject.is_some(), was) {
            (Wanted::Any, false, Some(Gender::Male)) => Gender::Female,
            (Wanted::Any, false, Some(Gender::Female)) => Gender::Male,
            _ => drawn,
        };
        let text = form.write(gender).ok_or_else(|| {
            Refusal::new(format!("`values` does not say how {} is written", gender.as_str()))
        })?;
        out.push_str(text);
        Ok(Answer::Text)
    }
}
