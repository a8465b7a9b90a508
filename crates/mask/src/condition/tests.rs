#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::*;
use crate::types::Kind;

/// A row whose fictions are its plain values in brackets.
struct Values<'v>(&'v [Option<&'v str>], Vec<Option<String>>);

impl<'v> Values<'v> {
    fn of(values: &'v [Option<&'v str>]) -> Values<'v> {
        Values(values, values.iter().map(|value| value.map(|value| format!("[{value}]"))).collect())
    }
}

impl Row for Values<'_> {
    fn plain(&self, column: usize) -> Option<&str> {
        self.0[column]
    }

    fn masked(&self, column: usize) -> Option<&str> {
        self.1[column].as_deref()
    }
}

fn column(name: &str, kind: Kind) -> (String, Target) {
    let target = Target { kind, sql_type: name.to_string(), not_null: false, domain_checks: Vec::new() };
    (name.to_string(), target)
}

/// One column of each type that compares, and one that does not.
fn columns() -> Vec<(String, Target)> {
    let labels = ["small", "Medium", "large"].map(str::to_string).to_vec();
    vec![
        column("b", Kind::Bool),
        column("i", Kind::Int(4)),
        column("n", Kind::Numeric(None)),
        column("f", Kind::Float(8)),
        column("g", Kind::Float(4)),
        column("t", Kind::Text(None)),
        column("c", Kind::Char(5)),
        column("ci", Kind::Citext),
        column("d", Kind::Date),
        column("ts", Kind::Timestamp),
        column("tz", Kind::TimestampTz),
        column("tm", Kind::Time),
        column("u", Kind::Uuid),
        column("e", Kind::Enum(labels)),
        column("j", Kind::Json),
        column("Upper", Kind::Int(8)),
    ]
}

const ROW: [Option<&str>; 16] = [
    Some("t"),
    Some("-7"),
    Some("12.50"),
    Some("0.1"),
    Some("0.1"),
    Some("Straße 1"),
    Some("ab   "),
    Some("AbC"),
    Some("2020-02-29"),
    Some("2020-02-29 12:00:00.5"),
    Some("2020-02-29 12:00:00+01"),
    Some("12:30:00"),
    Some("00000000-0000-0000-0000-0000000000ff"),
    Some("Medium"),
    Some("{}"),
    Some("9007199254740993"),
];

fn holds_for(text: &str, row: &[Option<&str>]) -> Option<bool> {
    let (mut findings, mut reads) = (Vec::new(), BTreeSet::new());
    let place = Place { line: 1, column: 1 };
    let condition = Condition::compile(text, place, &columns(), &mut findings, &mut reads);
    assert_eq!(findings, vec![], "{text}");
    condition.unwrap().holds(&Values::of(row)).unwrap()
}

#[test]
fn conditions_hold_as_in_sql() {
    for (text, holds) in [
        ("b", "t"),
        ("not b", "f"),
        ("b = true and b is true and b is not false and b is not unknown", "t"),
        ("b = 't'", "t"),
        ("i = -7", "t"),
        ("i < -6.5", "t"),
        ("i between -8 and -7", "t"),
        ("i not between -8 and -7", "f"),
        ("i in (1, -7)", "t"),
        ("i not in (1, 2)", "t"),
        ("i not in (1, null)", "u"),
        ("i in (-7, null)", "t"),
        ("i = '-7'", "t"),
        ("n = 12.5", "t"),
        ("n = 1.25e1", "t"),
        ("n > 12.499999999999999999999", "t"),
        ("n >= i", "t"),
        // An f64 cannot tell these apart.
        ("\"Upper\" = 9007199254740993", "t"),
        ("\"Upper\" > 9007199254740992", "t"),
        // A float4's 0.1 is another number than a float8's, as in PostgreSQL.
        ("f = 0.1", "t"),
        ("g = 0.1", "f"),
        ("g = '0.1'", "t"),
        ("f < n", "t"),
        // Found by comparing with PostgreSQL 15: several constants in a list become float4.
        ("g in (0.1)", "f"),
        ("g in (0.1, 7)", "t"),
        ("g in (0.1, null)", "t"),
        ("coalesce(g, 0.1) = g", "t"),
        ("coalesce(null, 0.1, g) = g", "t"),
        ("coalesce(0.1, f) = f", "t"),
        ("t = 'Straße 1'", "t"),
        ("t <> 'x'", "t"),
        ("t in ('a', 'Straße 1')", "t"),
        ("t like 'Stra_e%'", "t"),
        ("t like '%1'", "t"),
        ("t like '%\\_%'", "f"),
        ("t not like '%e 1'", "f"),
        ("t ~ '^Str'", "t"),
        ("t !~ '\\d$'", "f"),
        ("lower(t) = 'straße 1'", "t"),
        ("upper(t) = 'STRAßE 1'", "t"),
        ("lower('İX') = 'ix'", "t"),
        ("length(t) = 8", "t"),
        ("length(t) > 7.5", "t"),
        // char(n): blanks at the end count for `like` only.
        ("c = 'ab'", "t"),
        ("c = 'ab '", "t"),
        ("length(c) = 2", "t"),
        ("c like 'ab'", "f"),
        ("c like 'ab%'", "t"),
        ("c = t", "f"),
        ("ci = 'aBc'", "t"),
        ("ci in ('x', 'ABC')", "t"),
        ("ci like 'aB_'", "t"),
        ("ci ~ '^ab'", "t"),
        // Beside text, citext is a text.
        ("ci = coalesce(t, 'x')", "f"),
        ("d = '2020-02-29'", "t"),
        ("d < ts", "t"),
        ("d = date '2020-02-29'", "t"),
        ("d > date '0044-03-15 BC'", "t"),
        ("d < date 'infinity'", "t"),
        ("d > timestamp '-infinity'", "t"),
        ("ts > timestamp '2020-02-29 12:00:00.499999'", "t"),
        ("ts between '2020-01-01' and '2021-01-01'", "t"),
        ("tz = timestamptz '2020-02-29 11:00:00+00'", "t"),
        ("tz = '2020-02-29 06:30:00-04:30'", "t"),
        ("tm < time '12:30:00.000001'", "t"),
        ("u = '{00000000000000000000-0000000000FF}'", "t"),
        ("u < '10000000-0000-0000-0000-000000000000'", "t"),
        ("e = 'Medium'", "t"),
        ("e > 'small' and e < 'large'", "t"),
        ("j is null", "f"),
        ("j is not null", "t"),
        ("masked.t = '[Straße 1]'", "t"),
        ("masked.\"t\" like '[%]'", "t"),
        ("coalesce(null, i, 1) = -7", "t"),
        ("coalesce(b, false)", "t"),
        ("null", "u"),
        ("null and false", "f"),
        ("null or true", "t"),
        ("not null", "u"),
        ("(i = 1) is null", "f"),
        // Precedence: `is` is weaker than `=`, `not` than `is`, `and` binds more than `or`.
        ("i = 1 is not null", "t"),
        ("not b is null", "t"),
        ("b or b and not b", "t"),
        ("(b or b) and not b", "f"),
        ("not i = 1", "t"),
        ("i = 1 = false or true", "x"),
    ] {
        let wanted = match holds {
            "t" => Some(true),
            "f" => Some(false),
            "u" => None,
            _ => {
                assert!(faults(text)[0].contains("parentheses"), "{text}");
                continue;
            }
        };
        assert_eq!(holds_for(text, &ROW), wanted, "{text}");
    }
}

#[test]
fn null_is_unknown() {
    let row = [None; 16];
    for text in [
        "i = 1",
        "i <> 1",
        "n < 1",
        "f > i",
        "t = 'x'",
        "t like '%'",
        "t ~ ''",
        "ci = 'a'",
        "d < '2020-01-01'",
        "e = 'small'",
        "b",
        "not b",
        "b = b",
        "i in (1, 2)",
        "i between 1 and 2",
        "length(t) = 0",
        "lower(t) = ''",
    ] {
        assert_eq!(holds_for(text, &row), None, "{text}");
    }
    assert_eq!(holds_for("b is unknown and coalesce(i, 3) = 3 and t is null", &row), Some(true));
}

fn faults(text: &str) -> Vec<String> {
    let (mut findings, mut reads) = (Vec::new(), BTreeSet::new());
    let place = Place { line: 5, column: 8 };
    let condition = Condition::compile(text, place, &columns(), &mut findings, &mut reads);
    assert!(condition.is_none() && reads.is_empty(), "{text}");
    let shown = |finding: &Finding| {
        let column = finding.place.unwrap().column;
        format!("{} {column} {} [{}]", finding.code, finding.message, finding.hint)
    };
    findings.iter().map(shown).collect()
}

#[test]
fn what_does_not_compile_is_found_with_its_place() {
    for (text, found) in [
        ("", "M007 9 at character 1 of the condition: the condition ends where"),
        ("uper = 1", "M102 9 at character 1 of the condition: there is no column uper [did you mean Upper?]"),
        (
            "upper = 1",
            "M102 9 at character 1 of the condition: there is no column upper [a name in upper case is written \"Upper\"]",
        ),
        ("zzz = 1", "M102 9 at character 1 of the condition: there is no column zzz []"),
        ("b and x.i = 1", "M007 15 at character 7 of the condition: a column is named without its table"),
        ("t < 'a'", "M007 11 at character 3 of the condition: which text is less"),
        ("t between 'a' and 'b'", "M007 11 at character 3 of the condition: which text is less"),
        ("t = 1", "M007 11 at character 3 of the condition: a text and a number do not compare"),
        ("i = 'x'", "M007 11 at character 3 of the condition: 'x' is not a number"),
        (
            "i = null",
            "M007 11 at character 3 of the condition: a comparison with null is never true [is null",
        ),
        ("d = '2020-02-30'", "M007 11 at character 3 of the condition: '2020-02-30' is not a date"),
        (
            "tz > '2020-01-01'",
            "M007 12 at character 4 of the condition: '2020-01-01' is not a timestamp with",
        ),
        ("tz > d", "M007 12 at character 4 of the condition: a timestamp with time zone and a date"),
        (
            "e = 'Small'",
            "M007 11 at character 3 of the condition: 'Small' is not a label of the enum [its labels: small, Medium",
        ),
        ("j = '{}'", "M007 11 at character 3 of the condition: values of j do not compare here"),
        ("u = 'x'", "M007 11 at character 3 of the condition: 'x' is not a uuid"),
        ("i", "M007 9 at character 1 of the condition: a number is where a condition"),
        ("'t'", "M007 9 at character 1"),
        ("t like t", "M007 16 at character 8 of the condition: the pattern must be a text"),
        ("t like 'a\\'", "M007 16 at character 8 of the condition: the pattern ends"),
        ("t ~ '('", "M007 13 at character 5 of the condition: the pattern does not compile: unclosed group"),
        ("i like 'a'", "M007 9 at character 1 of the condition: a number is where a text"),
        ("abs(i) = 1", "M007 9 at character 1 of the condition: there is no function abs here"),
        ("lower(t, t) = 'x'", "M007 9 at character 1 of the condition: lower takes one argument"),
        ("coalesce(i, t) = 1", "M007 21 at character 13 of the condition: coalesce takes values of one type"),
        (
            "coalesce(c, ci) = 'x'",
            "M007 21 at character 13 of the condition: coalesce takes values of one type",
        ),
        ("i + 1 = 2", "M007 11 at character 3 of the condition: + is where"),
        ("i = -t", "M007 14 at character 6"),
        ("i = 1e9999", "M007 13 at character 5 of the condition: the number's exponent"),
        ("i = 1x", "M007 13 at character 5 of the condition: letters follow a number"),
        ("t = 'x", "M007 13 at character 5 of the condition: the quote ' is not closed"),
        ("i = 1 ; drop", "M007 15 at character 7 of the condition: ; is not a part of a condition"),
        ("i is 1", "M007 14 at character 6"),
        ("b = not b", "M007 13 at character 5 of the condition: not needs parentheses here"),
        ("i < 1 < 2", "M007 15 at character 7 of the condition: this needs parentheses"),
        ("interval '1 day' is null", "M007 9 at character 1 of the condition: values of interval"),
        // After a quote, a backslash or a newline the column of the file is not known.
        ("\"Upper\" = 'x'", "M007 8 at character 9 of the condition"),
    ] {
        let faults = faults(text);
        assert!(faults[0].starts_with(found), "{text}: {faults:?}");
        assert_eq!(faults.len(), 1, "{text}: {faults:?}");
    }
    // Everything at once.
    assert_eq!(faults("x = 1 and y = 2 or t < 'z'").len(), 3);
    assert!(faults(&"(".repeat(500))[0].contains("nested too deep"));
}

#[test]
fn the_columns_that_it_reads_are_told() {
    let (mut findings, mut reads) = (Vec::new(), BTreeSet::new());
    let text = "i = 1 or (masked.t is null and coalesce(n, 1) in (1, f))";
    Condition::compile(text, Place::default(), &columns(), &mut findings, &mut reads).unwrap();
    let found: Vec<(usize, bool)> = reads.iter().map(|read| (read.column, read.masked)).collect();
    assert_eq!(found, [(1, false), (2, false), (3, false), (5, true)]);
}

#[test]
fn a_value_in_another_form_is_refused_without_being_shown() {
    let mut row = ROW;
    row[8] = Some("29.02.2020");
    let condition = Condition::compile(
        "d > '2000-01-01'",
        Place::default(),
        &columns(),
        &mut Vec::new(),
        &mut BTreeSet::new(),
    );
    let refusal = condition.unwrap().holds(&Values::of(&row)).unwrap_err();
    assert!(refusal.why.contains("column d") && !refusal.why.contains("2020"), "{refusal}");
}

/// Many `and`s and `or`s do not nest.
#[test]
fn long_conditions_are_no_deep_ones() {
    let text = vec!["i = 1"; 20_000].join(" or ");
    assert_eq!(holds_for(&text, &ROW), Some(false));
}

#[test]
fn like_finds_what_it_means() {
    for (text, pattern, fits) in [
        ("", "", true),
        ("", "%", true),
        ("", "_", false),
        ("abc", "a%c", true),
        ("abc", "a%b", false),
        ("aXbXc", "%X%", true),
        ("aaab", "%aab", true),
        ("ä", "_", true),
        ("100%", "100\\%", true),
        ("100x", "100\\%", false),
        ("a\\b", "a\\\\b", true),
        ("mississippi", "m%iss%ip%", true),
        ("mississippi", "m%iss%ipx%", false),
    ] {
        assert_eq!(like::Like::read(pattern).unwrap().fits(text), fits, "{text} {pattern}");
    }
    // Many stars take no time that grows without bound.
    let pattern = like::Like::read(&"%a".repeat(200)).unwrap();
    assert!(!pattern.fits(&"b".repeat(20_000)));
}

/// A condition over small domains, and its value by the plainest reading of SQL.
#[derive(Clone, Debug)]
enum Model {
    Flag(usize),
    Constant(Option<bool>),
    Compare(&'static str, Number, Number),
    In(Number, Vec<Number>, bool),
    Between(Number, Number, Number, bool),
    IsNull(Number, bool),
    Is(Box<Model>, Option<bool>, bool),
    Not(Box<Model>),
    And(Box<Model>, Box<Model>),
    Or(Box<Model>, Box<Model>),
}

#[derive(Clone, Debug)]
enum Number {
    Column(usize),
    Constant(i32),
    Coalesce(usize, i32),
}

type Data = ([Option<bool>; 2], [Option<i32>; 3]);

impl Number {
    fn sql(&self) -> String {
        match self {
            Number::Column(column) => format!("n{column}"),
            Number::Constant(number) => number.to_string(),
            Number::Coalesce(column, number) => format!("coalesce(n{column}, {number})"),
        }
    }

    fn value(&self, data: &Data) -> Option<i32> {
        match self {
            Number::Column(column) => data.1[*column],
            Number::Constant(number) => Some(*number),
            Number::Coalesce(column, number) => data.1[*column].or(Some(*number)),
        }
    }
}

fn less(left: Option<i32>, right: Option<i32>) -> Option<bool> {
    Some(left? < right?)
}

fn not(value: Option<bool>) -> Option<bool> {
    value.map(|value| !value)
}

fn or(left: Option<bool>, right: Option<bool>) -> Option<bool> {
    match (left, right) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        _ => None,
    }
}

impl Model {
    fn sql(&self) -> String {
        let not = |negated: &bool| if *negated { "not " } else { "" };
        match self {
            Model::Flag(column) => format!("b{column}"),
            Model::Constant(value) => value.map_or("null".to_string(), |value| value.to_string()),
            Model::Compare(operator, left, right) => format!("{} {operator} {}", left.sql(), right.sql()),
            Model::In(left, items, negated) => {
                let items: Vec<String> = items.iter().map(Number::sql).collect();
                format!("{} {}in ({})", left.sql(), not(negated), items.join(", "))
            }
            Model::Between(left, from, to, negated) => {
                format!("{} {}between {} and {}", left.sql(), not(negated), from.sql(), to.sql())
            }
            Model::IsNull(number, negated) => format!("{} is {}null", number.sql(), not(negated)),
            Model::Is(inner, value, negated) => {
                let value = value.map_or("unknown".to_string(), |value| value.to_string());
                format!("({}) is {}{value}", inner.sql(), not(negated))
            }
            Model::Not(inner) => format!("not ({})", inner.sql()),
            Model::And(left, right) => format!("({}) and ({})", left.sql(), right.sql()),
            Model::Or(left, right) => format!("({}) or ({})", left.sql(), right.sql()),
        }
    }

    fn value(&self, data: &Data) -> Option<bool> {
        let negated_if = |negated: &bool, value: Option<bool>| if *negated { not(value) } else { value };
        match self {
            Model::Flag(column) => data.0[*column],
            Model::Constant(value) => *value,
            Model::Compare(operator, left, right) => {
                let (left, right) = (left.value(data)?, right.value(data)?);
                Some(match *operator {
                    "=" => left == right,
                    "<>" | "!=" => left != right,
                    "<" => left < right,
                    "<=" => left <= right,
                    ">" => left > right,
                    _ => left >= right,
                })
            }
            Model::In(left, items, negated) => {
                let equal = |item: &Number| Some(left.value(data)? == item.value(data)?);
                let any = items.iter().map(equal).fold(Some(false), or);
                negated_if(negated, any)
            }
            Model::Between(left, from, to, negated) => {
                let (left, from, to) = (left.value(data), from.value(data), to.value(data));
                negated_if(negated, not(or(less(left, from), less(to, left))))
            }
            Model::IsNull(number, negated) => Some(number.value(data).is_none() != *negated),
            Model::Is(inner, value, negated) => Some((inner.value(data) == *value) != *negated),
            Model::Not(inner) => not(inner.value(data)),
            Model::And(left, right) => not(or(not(left.value(data)), not(right.value(data)))),
            Model::Or(left, right) => or(left.value(data), right.value(data)),
        }
    }
}

fn models() -> impl Strategy<Value = Model> {
    let number = || {
        prop_oneof![
            (0..3usize).prop_map(Number::Column),
            (-2..3i32).prop_map(Number::Constant),
            (0..3usize, -2..3i32).prop_map(|(column, number)| Number::Coalesce(column, number)),
        ]
    };
    let truth = || prop_oneof![Just(None), Just(Some(false)), Just(Some(true))];
    let operator =
        prop_oneof![Just("="), Just("<>"), Just("!="), Just("<"), Just("<="), Just(">"), Just(">=")];
    let leaf = prop_oneof![
        (0..2usize).prop_map(Model::Flag),
        truth().prop_map(Model::Constant),
        (operator, number(), number())
            .prop_map(|(operator, left, right)| Model::Compare(operator, left, right)),
        (number(), proptest::collection::vec(number(), 1..4), any::<bool>())
            .prop_map(|(left, items, negated)| Model::In(left, items, negated)),
        (number(), number(), number(), any::<bool>())
            .prop_map(|(left, from, to, negated)| Model::Between(left, from, to, negated)),
        (number(), any::<bool>()).prop_map(|(number, negated)| Model::IsNull(number, negated)),
    ];
    leaf.prop_recursive(4, 24, 2, move |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| Model::Not(Box::new(inner))),
            (inner.clone(), truth(), any::<bool>()).prop_map(|(inner, value, negated)| Model::Is(
                Box::new(inner),
                value,
                negated
            )),
            (inner.clone(), inner.clone())
                .prop_map(|(left, right)| Model::And(Box::new(left), Box::new(right))),
            (inner.clone(), inner).prop_map(|(left, right)| Model::Or(Box::new(left), Box::new(right))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn three_valued_logic_is_that_of_sql(
        model in models(),
        flags in [proptest::option::of(any::<bool>()), proptest::option::of(any::<bool>())],
        numbers in [proptest::option::of(-2..3i32), proptest::option::of(-2..3i32), proptest::option::of(-2..3i32)],
    ) {
        let columns = vec![
            column("b0", Kind::Bool),
            column("b1", Kind::Bool),
            column("n0", Kind::Int(4)),
            column("n1", Kind::Numeric(None)),
            column("n2", Kind::Float(8)),
        ];
        let texts: Vec<Option<String>> = flags
            .iter()
            .map(|flag| flag.map(|flag| if flag { "t" } else { "f" }.to_string()))
            .chain(numbers.iter().map(|number| number.map(|number| number.to_string())))
            .collect();
        let row: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
        let (mut findings, mut reads) = (Vec::new(), BTreeSet::new());
        let sql = model.sql();
        let condition = Condition::compile(&sql, Place::default(), &columns, &mut findings, &mut reads);
        prop_assert!(condition.is_some(), "{sql}: {findings:?}");
        let holds = condition.unwrap().holds(&Values::of(&row)).unwrap();
        prop_assert_eq!(holds, model.value(&(flags, numbers)), "{}", sql);
    }

    #[test]
    fn any_text_compiles_or_is_refused(text in "\\PC{0,60}|[a-z0-9 ()'=<>~.,!\"\\\\%_-]{0,60}") {
        let (mut findings, mut reads) = (Vec::new(), BTreeSet::new());
        if let Some(condition) = Condition::compile(&text, Place::default(), &columns(), &mut findings, &mut reads) {
            let _ = condition.holds(&Values::of(&ROW));
        }
    }

    #[test]
    fn numbers_are_ordered_by_value(left in -100_000..100_000i64, right in -100_000..100_000i64, scale in 0..4usize) {
        let text = |number: i64| {
            let (sign, digits) = (if number < 0 { "-" } else { "" }, format!("{:06}", number.abs()));
            let (whole, fraction) = digits.split_at(6 - scale);
            if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
        };
        let (left_text, right_text) = (text(left), text(right));
        let read = |text| decimal::Decimal::read(text).unwrap();
        prop_assert_eq!(read(&left_text).order(&read(&right_text)), left.cmp(&right));
    }
}
