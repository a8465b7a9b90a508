//! Quoting and tokens, against the real server where it has an opinion.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::Cluster;
use pgark_bytes::sql::{Kind, quote_ident, quote_ident_bytes, quote_literal, split, tokenize};
use proptest::prelude::*;

#[test]
fn quoting_is_the_servers() {
    let cluster = Cluster::start();
    let words = cluster.sql("postgres", "SELECT word FROM pg_get_keywords()");
    let mut names: Vec<String> = words.lines().map(str::to_owned).collect();
    assert!(names.len() > 400);
    names.extend(
        ["a1", "1a", "_x", "A", "a b", "a\"b", "a'b\\c", "ünï", "a$b", "", "a\nb"].map(str::to_owned),
    );
    let mut sql = String::new();
    for n in &names {
        sql += &format!(
            "SELECT quote_ident({0}) || '|' || quote_literal({0}) || '|' || {0};\n",
            quote_literal(n)
        );
    }
    let found = cluster.sql("postgres", &sql);
    let expected: String =
        names.iter().map(|n| format!("{}|{}|{n}\n", quote_ident(n), quote_literal(n))).collect();
    for (f, e) in found.lines().zip(expected.lines()) {
        // Words that only newer majors reserve are quoted by us already.
        let newer =
            e.starts_with("\"json_") || e.starts_with("\"system_user") || e.starts_with("\"merge_action");
        assert!(f == e || newer, "{f} {e}");
    }
    assert_eq!(found.lines().count(), expected.lines().count());
    // A bare identifier of ours names what it should.
    for n in names.iter().filter(|n| !n.is_empty()) {
        let q = quote_ident(n);
        let first = tokenize(q.as_bytes()).next().unwrap();
        assert_eq!(first.ident().as_deref(), Some(n.as_bytes()), "{q}");
    }
}

#[test]
fn tokens() {
    let text =
        br#"SELECT "a""b", E'x\'y', 'it''s\', $tag$ ; $$ $tag$, $1, 1.5e-3, a$b /* n /* e */ ; */ -- ; x
 , U&'z', $q"#;
    let found: Vec<(Kind, String)> = tokenize(text)
        .filter(|t| t.kind != Kind::Space && !t.is_symbol(b','))
        .map(|t| (t.kind, String::from_utf8(t.text.to_vec()).unwrap()))
        .collect();
    let expected = [
        (Kind::Word, "SELECT"),
        (Kind::QuotedIdent, r#""a""b""#),
        (Kind::String, r"E'x\'y'"),
        (Kind::String, r"'it''s\'"),
        (Kind::DollarString, "$tag$ ; $$ $tag$"),
        (Kind::Parameter, "$1"),
        (Kind::Number, "1.5e-3"),
        (Kind::Word, "a$b"),
        (Kind::Comment, "/* n /* e */ ; */"),
        (Kind::Comment, "-- ; x"),
        (Kind::String, "U&'z'"),
        (Kind::Symbol(b'$'), "$"),
        (Kind::Word, "q"),
    ];
    let expected: Vec<(Kind, String)> = expected.iter().map(|(k, s)| (*k, (*s).to_owned())).collect();
    assert_eq!(found, expected);
}

#[test]
fn statements_are_cut_where_the_server_cuts() {
    let text = b"; -- nothing\n SELECT 1; /* ; */ CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2);\n\
        CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END;\
        BEGIN; DO $$ ; $$; SELECT ';' -- tail;\n;; select 'open";
    let found: Vec<String> = split(text).iter().map(|s| String::from_utf8(s.to_vec()).unwrap()).collect();
    assert_eq!(
        found,
        [
            "SELECT 1;",
            "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2);",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END;",
            "BEGIN;",
            "DO $$ ; $$;",
            "SELECT ';' -- tail;\n;",
            "select 'open",
        ]
    );
}

fn sqlish() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "'", "\"", "$$", "$a$", "$", "--", "/*", "*/", "\\", ";", "(", ")", "E'", "\n", " ", "begin",
            "atomic", "end", "create", "case", "1", ".", "e", "x", "\u{fc}",
        ])
        .prop_map(|s| s.as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 1..3),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|v| v.concat())
}

proptest! {
    #[test]
    fn tokens_cover_the_text(text in sqlish()) {
        let mut at = 0;
        for t in tokenize(&text) {
            prop_assert_eq!(t.start, at);
            prop_assert!(!t.text.is_empty());
            at = t.end();
            let _ = t.ident();
        }
        prop_assert_eq!(at, text.len());
        for s in split(&text) {
            prop_assert!(!s.is_empty());
        }
    }

    #[test]
    fn identifiers_survive(name in proptest::collection::vec(1u8..=255, 1..20)) {
        let quoted = quote_ident_bytes(&name);
        let tokens: Vec<_> = tokenize(&quoted).collect();
        prop_assert_eq!(tokens.len(), 1);
        prop_assert_eq!(tokens[0].ident(), Some(name));
    }

    #[test]
    fn renaming_keeps_the_rest(text in sqlish()) {
        let renamed = pgark_bytes::archive::statements::rename_database(&text, b"no such name", b"other");
        prop_assert_eq!(renamed, text);
    }
}
