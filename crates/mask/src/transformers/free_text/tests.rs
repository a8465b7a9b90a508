#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;

use super::super::attempt::{Built, Values, row, trial};
use super::find::{Scanners, What, without_overlaps};
use crate::types::Kind;

fn text() -> Kind {
    Kind::Text(None)
}

fn fixed(all: &[&str]) -> Built {
    let names = all.join("', '");
    let rules: Vec<String> =
        all.iter().map(|name| format!("{name} = {{ use = 'fixed', value = '<{name}>' }}")).collect();
    let rule = format!("{{ use = 'free_text', find = ['{names}'], rules = {{ {} }} }}", rules.join(", "));
    trial(text(), &rule).built()
}

#[test]
fn each_form_is_found() {
    let built = fixed(What::NAMES);
    for (plain, fiction) in [
        ("Write to anna.o'hara+x@mail.example.co.uk, please.", "Write to <email>, please."),
        ("(see https://example.com/a?b=c&d#e).", "(see <url>)."),
        ("at www.example.com/x!", "at <url>!"),
        ("id A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11 ok", "id <uuid> ok"),
        ("pay DE89 3704 0044 0532 0130 00 now", "pay <iban> now"),
        ("pay de89370400440532013000.", "pay <iban>."),
        ("IBAN DE89 3704 0044 0532 0130 00 oder bar", "IBAN <iban> oder bar"),
        ("card 4111 1111 1111 1111, thanks", "card <card>, thanks"),
        ("card 4111-1111-1111-1111", "card <card>"),
        ("card 4111 1111 1111 1111 12/27", "card <card> <number>/<number>"),
        ("no. 12 4111 1111 1111 1111", "no. <number> <card>"),
        ("at 2024-02-29 10:30:00", "at <number>-<number>-<number> <number>:<number>:<number>"),
        ("030 1234567 030 7654321", "<phone> <phone>"),
        ("from 10.0.0.1.", "from <ip>."),
        ("from 2001:db8::1 or fe80::", "from <ip> or <ip>"),
        ("call +49 (30) 1234-567!", "call <phone>!"),
        ("call 030/1234567 or 030.123.4567", "call <phone> or <phone>"),
        ("order 42", "order <number>"),
        ("on 2024-02-29 at 10:30", "on <number>-<number>-<number> at <number>:<number>"),
        ("nothing here: a@b, www, dead:beef", "nothing here: a@b, www, dead:beef"),
        ("müller@exämple.de", "<email>"),
        ("", ""),
    ] {
        assert_eq!(built.text(plain), fiction, "{plain}");
    }
    assert_eq!(
        fixed(&["phone"]).text("on 29.02.2024, 41111111111111111111"),
        "on 29.02.2024, 41111111111111111111"
    );
    assert_eq!(fixed(&["card"]).text("4111 1111 1111 1112"), "4111 1111 1111 1112");
    assert_eq!(fixed(&["iban"]).text("DE88 3704 0044 0532 0130 00"), "DE88 3704 0044 0532 0130 00");
}

#[test]
fn only_what_is_asked_for_is_found() {
    assert_eq!(fixed(&["email"]).text("a@b.de 10.0.0.1 42"), "<email> 10.0.0.1 42");
    assert_eq!(fixed(&["number"]).text("a1@b2.de"), "a<number>@b<number>.de");
}

#[test]
fn known_values_are_replaced_by_their_fictions() {
    let columns = [("first", text()), ("last", text()), ("mail", text()), ("c", text())];
    let rule = "{ use = 'free_text', known = ['first', 't.last', 'public.t.mail'], find = ['email'], rules = { email = { use = 'fixed', value = '<email>' } } }";
    let built = trial(text(), rule).columns(&columns).built();
    assert_eq!(built.reads.len(), 6);
    let of = |plain: &str, values: [Option<&str>; 3], masked: [Option<&str>; 3]| {
        let mut row: Values = row(&values);
        row.masked = masked.iter().map(|value| value.map(str::to_string)).collect();
        built.in_row(Some(plain), &row).unwrap().unwrap()
    };
    let anna = [Some("Anna"), Some("Groß-Öl"), Some("anna@b.de")];
    let bea = [Some("Bea"), Some("Lee"), Some("bea@example.com")];
    assert_eq!(of("ANNA GROß-ÖL, Annas anna_x", anna, bea), "Bea Lee, Annas anna_x");
    assert_eq!(of("anna@b.de or Anna@C.de", anna, bea), "bea@example.com or <email>");
    assert_eq!(of("Anna (anna)", anna, [None, None, None]), "**** (****)");
    assert_eq!(of("Anna x", [None, Some("x"), Some("")], bea), "Anna x");
    assert_eq!(of("İstanbul i̇stanbul", [Some("İstanbul"), None, None], bea), "Bea Bea");
    let code = |rule: &str| trial(text(), rule).columns(&columns).code();
    assert_eq!(code("{ use = 'free_text', known = ['customers.first'] }"), "M006");
    assert_eq!(code("{ use = 'free_text', known = ['nobody'] }"), "M102");
    assert_eq!(code("{ use = 'free_text', known = ['c'] }"), "M006");
}

#[test]
fn the_rest_may_be_redacted_and_length_holds() {
    let rule = "{ use = 'free_text', rest = 'redact', find = ['number'], rules = { number = { use = 'fixed', value = '12345' } } }";
    assert_eq!(trial(text(), rule).built().text("Zoë, 7!"), "***, 12345!");
    assert_eq!(trial(Kind::Text(Some(6)), rule).built().text("Zoë, 7"), "***, 1");
    assert_eq!(trial(text(), "{ use = 'free_text', rest = 'redact' }").built().text("a b"), "* *");
}

#[test]
fn what_a_rule_refuses_is_redacted() {
    let rule = "{ use = 'free_text', find = ['number'], rules = { number = { use = 'map', values = { '1' = '2' } } } }";
    let built = trial(text(), rule).built();
    assert_eq!(built.text("1 and 34"), "2 and **");
    let null = "{ use = 'free_text', find = ['number'], rules = { number = 'null' } }";
    assert_eq!(trial(text(), null).built().text("1 and 34"), "* and **");
}

#[test]
fn wrong_rules_are_found() {
    let code = |rule: &str| trial(text(), rule).code();
    assert_eq!(code("{ use = 'free_text' }"), "M155");
    assert_eq!(code("{ use = 'free_text', find = ['names'] }"), "M006");
    assert_eq!(
        code("{ use = 'free_text', find = ['number', 'number'], rules = { number = 'null' } }"),
        "M006"
    );
    assert_eq!(code("{ use = 'free_text', find = ['number'], rules = { phone = 'null' } }"), "M006");
    assert_eq!(code("{ use = 'free_text', find = ['number'], rules = { number = 'nil' } }"), "M003");
    assert_eq!(code("{ use = 'free_text', rest = 'drop' }"), "M006");
    assert_eq!(trial(Kind::Int(4), "{ use = 'free_text', rest = 'redact' }").code(), "M110");
}

proptest! {
    #[test]
    fn what_is_found_never_overlaps(text in "\\PC{0,40}|[0-9a-f@.:/+() -]{0,60}") {
        let scanners = Scanners::new(What::NAMES.iter().map(|name| What::named(name).unwrap())).unwrap();
        let mut all = Vec::new();
        scanners.find(&text, &mut all);
        let chosen = without_overlaps(all);
        prop_assert!(chosen.iter().all(|found| text.get(found.range.clone()).is_some()));
        prop_assert!(chosen.windows(2).all(|pair| pair[0].range.end <= pair[1].range.start));
    }

    #[test]
    fn no_number_stays(text in "\\PC{0,30}") {
        let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).count();
        let built = trial(Kind::Text(None), "{ use = 'free_text', find = ['number'], rules = { number = { use = 'fixed', value = '#' } } }").built();
        prop_assert_eq!(digits(&built.text(&text)), 0);
    }
}
