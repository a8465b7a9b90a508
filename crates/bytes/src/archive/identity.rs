//! What an entry makes, under the name that a server's catalog gives it.
//!
//! `pg_identify_object` names every object in one way (`main_u on s.main`, `s.oc USING btree`), and
//! the drop statements of an archive name theirs in nearly the same way. Both are brought to one
//! form here, so that the objects of a target can be compared with those of an archive, byte by
//! byte and in the archive's own encoding.

use super::model::TocEntry;
use crate::sql::{self, Token};

/// An object: the catalog that holds it, and its name in the form of [`normal`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Name of the catalog: `pg_class`.
    pub catalog: &'static str,
    /// Its name, as [`normal`] writes it.
    pub name: Vec<u8>,
}

/// Catalogs whose names end before the arguments: how these are written differs between archive and
/// catalog (names and modes of arguments), so all that share a name count as one.
pub fn has_arguments(catalog: &str) -> bool {
    matches!(catalog, "pg_proc" | "pg_operator")
}

/// A name without blanks and quotes; words in lower case.
pub fn normal(text: &[u8]) -> Vec<u8> {
    join(sql::tokenize(text).filter(|token| !token.is_blank()))
}

/// As [`normal`], up to the first parenthesis.
pub fn normal_before_arguments(text: &[u8]) -> Vec<u8> {
    let tokens = sql::tokenize(text).filter(|token| !token.is_blank());
    join(tokens.take_while(|token| !token.is_symbol(b'(')))
}

/// As [`normal`], of `s.t in publication p`: the publication's name is written there as it is,
/// never quoted.
pub fn normal_of_member(text: &[u8]) -> Vec<u8> {
    const BETWEEN: &[u8] = b" in publication ";
    match memchr::memmem::find(text, BETWEEN) {
        Some(at) => {
            let (member, rest) = text.split_at(at);
            let publication = rest.get(BETWEEN.len()..).unwrap_or_default();
            let member = match member.contains(&b'.') {
                true => normal(member),
                // A schema, which is not quoted either.
                false => member.to_vec(),
            };
            [&member, b"in".as_slice(), b"publication", publication].join(&SEPARATOR)
        }
        None => normal(text),
    }
}

/// `schema.name` as [`normal`] writes it, of bare names.
pub fn qualified(schema: &[u8], name: &[u8]) -> Vec<u8> {
    [schema, b".".as_slice(), name].join(&SEPARATOR)
}

/// Between two tokens: no name of PostgreSQL holds it.
const SEPARATOR: u8 = 0;

fn join<'a>(tokens: impl Iterator<Item = Token<'a>>) -> Vec<u8> {
    let words: Vec<Vec<u8>> =
        tokens.map(|token| token.ident().unwrap_or_else(|| token.text.to_vec())).collect();
    words.join(&SEPARATOR)
}

/// What the entry makes. `None` for what has no name of its own (rows, defaults, privileges,
/// comments) and for what the archive does not name.
pub fn made(entry: &TocEntry) -> Option<Identity> {
    let (catalog, name) = match entry.kind() {
        "TABLE" | "VIEW" | "MATERIALIZED VIEW" | "SEQUENCE" | "FOREIGN TABLE" | "INDEX" => {
            ("pg_class", in_schema(entry))
        }
        "TYPE" | "DOMAIN" | "SHELL TYPE" => ("pg_type", in_schema(entry)),
        "COLLATION" => ("pg_collation", in_schema(entry)),
        "CONVERSION" => ("pg_conversion", in_schema(entry)),
        "STATISTICS" => ("pg_statistic_ext", in_schema(entry)),
        "TEXT SEARCH PARSER" => ("pg_ts_parser", in_schema(entry)),
        "TEXT SEARCH DICTIONARY" => ("pg_ts_dict", in_schema(entry)),
        "TEXT SEARCH TEMPLATE" => ("pg_ts_template", in_schema(entry)),
        "TEXT SEARCH CONFIGURATION" => ("pg_ts_config", in_schema(entry)),
        "SCHEMA" => ("pg_namespace", entry.tag_bytes().to_vec()),
        "EXTENSION" => ("pg_extension", entry.tag_bytes().to_vec()),
        "PROCEDURAL LANGUAGE" => ("pg_language", entry.tag_bytes().to_vec()),
        "ACCESS METHOD" => ("pg_am", entry.tag_bytes().to_vec()),
        "FOREIGN DATA WRAPPER" => ("pg_foreign_data_wrapper", entry.tag_bytes().to_vec()),
        "SERVER" => ("pg_foreign_server", entry.tag_bytes().to_vec()),
        "EVENT TRIGGER" => ("pg_event_trigger", entry.tag_bytes().to_vec()),
        "PUBLICATION" => ("pg_publication", entry.tag_bytes().to_vec()),
        "FUNCTION" | "PROCEDURE" | "AGGREGATE" => ("pg_proc", of_drop(entry)?),
        "OPERATOR" => ("pg_operator", of_drop(entry)?),
        "OPERATOR CLASS" => ("pg_opclass", of_drop(entry)?),
        "OPERATOR FAMILY" => ("pg_opfamily", of_drop(entry)?),
        "CAST" => ("pg_cast", of_drop(entry)?),
        "TRANSFORM" => ("pg_transform", of_drop(entry)?),
        "TRIGGER" => ("pg_trigger", of_drop(entry)?),
        "POLICY" => ("pg_policy", of_drop(entry)?),
        "RULE" => ("pg_rewrite", of_drop(entry)?),
        "CONSTRAINT" | "CHECK CONSTRAINT" | "FK CONSTRAINT" => ("pg_constraint", constraint(entry)?),
        "PUBLICATION TABLE" => ("pg_publication_rel", member(entry, "table")?),
        "PUBLICATION TABLES IN SCHEMA" => ("pg_publication_namespace", member(entry, "schema")?),
        _ => return None,
    };
    Some(Identity { catalog, name })
}

fn in_schema(entry: &TocEntry) -> Vec<u8> {
    qualified(entry.namespace.as_deref().unwrap_or_default(), entry.tag_bytes())
}

fn tokens(text: &[u8]) -> Vec<Token<'_>> {
    let meaning = |token: &Token<'_>| !token.is_blank() && !token.is_symbol(b';');
    sql::tokenize(text).filter(meaning).collect()
}

/// What comes after `DROP` and the kind.
fn of_drop(entry: &TocEntry) -> Option<Vec<u8>> {
    if entry.kind() == "TRIGGER" && entry.drop_stmt.as_deref().unwrap_or_default().is_empty() {
        return made_trigger(entry);
    }
    let tokens = tokens(entry.drop_stmt.as_deref()?);
    let words = entry.kind().split(' ').count();
    let kind: Vec<&Token<'_>> = tokens.get(1..=words)?.iter().collect();
    let is_it = kind.iter().zip(entry.kind().split(' ')).all(|(token, word)| token.is_word(word));
    if !tokens.first()?.is_word("drop") || !is_it {
        return None;
    }
    let rest = tokens.get(words + 1..)?.iter().copied();
    Some(match entry.kind() {
        "FUNCTION" | "PROCEDURE" | "AGGREGATE" | "OPERATOR" => {
            join(rest.take_while(|token| !token.is_symbol(b'(')))
        }
        // `for t on language l` in the catalog's words.
        "TRANSFORM" => {
            let on = Token { kind: sql::Kind::Word, start: 0, text: b"on" };
            let words = rest.flat_map(|token| match token.is_word("language") {
                true => vec![on, token],
                false => vec![token],
            });
            join(words)
        }
        _ => join(rest),
    })
}

/// `tr on s.t` of a script's `CREATE TRIGGER tr BEFORE INSERT ON s.t …`, which comes without a
/// drop.
fn made_trigger(entry: &TocEntry) -> Option<Vec<u8>> {
    let tokens = tokens(entry.defn_bytes());
    let at = tokens.iter().position(|token| token.is_word("trigger"))? + 1;
    let on = at + tokens.get(at..)?.iter().position(|token| token.is_word("on"))?;
    Some(join([*tokens.get(at)?].into_iter().chain(tokens.get(on..on + 4)?.iter().copied())))
}

/// `c on s.t` of `ALTER TABLE ONLY s.t DROP CONSTRAINT c`.
fn constraint(entry: &TocEntry) -> Option<Vec<u8>> {
    // A script has no drops: there it is `ALTER TABLE ONLY s.t ADD CONSTRAINT c …`.
    let (tokens, drop) = match entry.drop_stmt.as_deref() {
        Some(sql) if !sql.is_empty() => {
            let tokens = tokens(sql);
            let at = tokens.iter().rposition(|token| token.is_word("constraint"))?;
            (tokens, at)
        }
        _ => {
            let tokens = tokens(entry.defn_bytes());
            let at = tokens.iter().position(|token| token.is_word("add"))? + 1;
            (tokens, at)
        }
    };
    let name = tokens.get(drop + 1)?;
    let from = tokens.iter().position(|token| token.is_word("table") || token.is_word("domain"))? + 1;
    let only = usize::from(tokens.get(from)?.is_word("only"));
    let table = tokens.get(from + only..drop.checked_sub(1)?)?;
    let on = Token { kind: sql::Kind::Word, start: 0, text: b"on" };
    Some(join([*name, on].into_iter().chain(table.iter().copied())))
}

/// `s.t in publication p` of `ALTER PUBLICATION p ADD TABLE ONLY s.t …`; `s in publication p` of a
/// schema.
fn member(entry: &TocEntry, word: &str) -> Option<Vec<u8>> {
    let tokens = tokens(entry.defn_bytes());
    let publication = tokens.get(2)?.ident()?;
    let at = 3 + tokens.get(3..)?.iter().position(|token| token.is_word(word))? + 1;
    let only = usize::from(tokens.get(at)?.is_word("only"));
    let name = match word {
        "table" => join(tokens.get(at + only..at + only + 3)?.iter().copied()),
        _ => tokens.get(at)?.ident()?,
    };
    Some([name, b"in".to_vec(), b"publication".to_vec(), publication].join(&SEPARATOR))
}

/// Of what adds something to a publication: its name.
pub fn publication(entry: &TocEntry) -> Option<Vec<u8>> {
    match entry.kind() {
        "PUBLICATION TABLE" | "PUBLICATION TABLES IN SCHEMA" => tokens(entry.defn_bytes()).get(2)?.ident(),
        _ => None,
    }
}

/// Schema and name of the table that a partition is attached to:
/// `ALTER TABLE ONLY s.p ATTACH PARTITION …`.
pub fn attached_to(entry: &TocEntry) -> Option<(Vec<u8>, Vec<u8>)> {
    if entry.kind() != "TABLE ATTACH" {
        return None;
    }
    let tokens = tokens(entry.defn_bytes());
    let at = 2 + usize::from(tokens.get(2)?.is_word("only"));
    let first = tokens.get(at)?.ident()?;
    match tokens.get(at + 1)?.is_symbol(b'.') {
        true => Some((first, tokens.get(at + 2)?.ident()?)),
        false => Some((entry.namespace.clone().unwrap_or_default(), first)),
    }
}

/// Every identifier of the entry's definition: whether a column or a constraint is part of it.
pub fn words_of_definition(entry: &TocEntry) -> std::collections::HashSet<Vec<u8>> {
    sql::tokenize(entry.defn_bytes()).filter_map(|token| token.ident()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Section;

    fn entry(kind: &str, schema: &str, tag: &str, defn: &str, drop: &str) -> TocEntry {
        TocEntry {
            tag: Some(tag.into()),
            desc: Some(kind.into()),
            defn: Some(defn.into()),
            drop_stmt: Some(drop.into()),
            namespace: Some(schema.into()),
            ..TocEntry::new(1, Section::PreData)
        }
    }

    /// The second form is what `pg_identify_object` answers.
    #[test]
    fn the_archive_and_the_catalog_name_an_object_alike() {
        let same = |kind: &str, tag: &str, drop: &str, catalog: &str, identity: &str| {
            let made = made(&entry(kind, "s", tag, "", drop)).unwrap();
            assert_eq!(made.catalog, catalog);
            let of_catalog = if has_arguments(catalog) { normal_before_arguments } else { normal };
            assert_eq!(made.name, of_catalog(identity.as_bytes()), "{kind} {identity}");
        };
        same("TABLE", "Two words", "DROP TABLE s.\"Two words\";", "pg_class", "s.\"Two words\"");
        same("INDEX", "i", "DROP INDEX s.i;", "pg_class", "s.i");
        same(
            "FUNCTION",
            "f(integer)",
            "DROP FUNCTION s.f(a integer, OUT b text);",
            "pg_proc",
            "s.f(integer)",
        );
        same(
            "OPERATOR",
            "%%%",
            "DROP OPERATOR s.%%% (integer, integer);",
            "pg_operator",
            "s.%%%(integer,integer)",
        );
        same("OPERATOR CLASS", "c", "DROP OPERATOR CLASS s.c USING btree;", "pg_opclass", "s.c USING btree");
        same("CAST", "CAST (s.a AS integer)", "DROP CAST (s.a AS integer);", "pg_cast", "(s.a AS integer)");
        let drop = "ALTER TABLE IF EXISTS ONLY s.\"constraint\" DROP CONSTRAINT \"C\";";
        let drop = drop.replace(" IF EXISTS", "");
        same("CONSTRAINT", "constraint C", &drop, "pg_constraint", "\"C\" on s.\"constraint\"");
        same("CHECK CONSTRAINT", "d k", "ALTER DOMAIN s.d DROP CONSTRAINT k;", "pg_constraint", "k on s.d");
        same("TRIGGER", "t tr", "DROP TRIGGER tr ON s.t;", "pg_trigger", "tr on s.t");
        same("EXTENSION", "uuid-ossp", "DROP EXTENSION \"uuid-ossp\";", "pg_extension", "\"uuid-ossp\"");
        let member = entry(
            "PUBLICATION TABLE",
            "s",
            "pu t",
            "ALTER PUBLICATION pu ADD TABLE ONLY s.t (a) WHERE (a > 1);",
            "",
        );
        assert_eq!(made(&member).unwrap().name, normal_of_member(b"s.t in publication pu"));
        let quoted = "ALTER PUBLICATION \"p \"\"x\" ADD TABLE ONLY s.\"T\";";
        let member = entry("PUBLICATION TABLE", "s", "x", quoted, "");
        assert_eq!(made(&member).unwrap().name, normal_of_member(b"s.\"T\" in publication p \"x"));
        let transform = "DROP TRANSFORM FOR s.t LANGUAGE plx;";
        same("TRANSFORM", "x", transform, "pg_transform", "for s.t on language plx");
        let member = entry("PUBLICATION TABLE", "s", "pu t", "ALTER PUBLICATION pu ADD TABLE ONLY s.t;", "");
        assert_eq!(publication(&member).unwrap(), b"pu");
        let rule = "CREATE OR REPLACE VIEW s.v AS\nSELECT\n    NULL::integer AS id;";
        assert_eq!(made(&entry("RULE", "s", "v _RETURN", "", rule)), None);
        let attach =
            entry("TABLE ATTACH", "s", "c", "ALTER TABLE ONLY q.p ATTACH PARTITION s.c DEFAULT;", "");
        assert_eq!(attached_to(&attach).unwrap(), (b"q".to_vec(), b"p".to_vec()));
    }
}
