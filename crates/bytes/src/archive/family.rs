//! Who inherits from whom: partitions and their tables, and tables that inherit, as the archive's
//! definitions say it.
//!
//! Since 14 `pg_dump` attaches a partition in an entry of its own (`TABLE ATTACH`), before that
//! behind the partition's definition, in 10 within it (`PARTITION OF`); inheritance is a clause of
//! the child's definition.

use super::model::{Archive, TocEntry};
use crate::sql::{self, Token};

/// Schema and name, in the archive's encoding.
pub type QualifiedName = (Vec<u8>, Vec<u8>);

/// A relation and one that it is a partition of or inherits from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inheritance {
    /// The partition, or the table that inherits.
    pub child: QualifiedName,
    /// What it is part of, or inherits from.
    pub parent: QualifiedName,
}

/// All that the archive's definitions say.
pub fn inheritance(archive: &Archive) -> Vec<Inheritance> {
    archive
        .entries
        .iter()
        .filter(|entry| matches!(entry.kind(), "TABLE" | "FOREIGN TABLE" | "TABLE ATTACH"))
        .flat_map(of_definition)
        .collect()
}

fn of_definition(entry: &TocEntry) -> Vec<Inheritance> {
    let tokens: Vec<Token<'_>> = sql::tokenize(entry.defn_bytes()).filter(|t| !t.is_blank()).collect();
    let own = || (entry.namespace.clone().unwrap_or_default(), entry.tag_bytes().to_vec());
    let is = |at: usize, word: &str| tokens.get(at).is_some_and(|token| token.is_word(word));
    let mut found = Vec::new();
    let mut link = |child: Option<QualifiedName>, parent: Option<QualifiedName>| {
        found.extend(child.zip(parent).map(|(child, parent)| Inheritance { child, parent }));
    };
    let mut depth = 0_usize;
    // Where the last ALTER TABLE names its table.
    let mut altered = None;
    for (at, token) in tokens.iter().enumerate() {
        match () {
            () if token.is_symbol(b'(') => depth += 1,
            () if token.is_symbol(b')') => depth = depth.saturating_sub(1),
            () if depth > 0 => {}
            () if token.is_word("alter") && is(at + 1, "table") => {
                altered = Some(at + 2 + usize::from(is(at + 2, "only")));
            }
            () if token.is_word("attach") && is(at + 1, "partition") => {
                let parent = altered.and_then(|at| qualified(&tokens, at, entry));
                link(qualified(&tokens, at + 2, entry), parent);
            }
            () if token.is_word("partition") && is(at + 1, "of") => {
                link(Some(own()), qualified(&tokens, at + 2, entry));
            }
            () if token.is_word("inherits") && tokens.get(at + 1).is_some_and(|t| t.is_symbol(b'(')) => {
                let list = tokens.iter().enumerate().skip(at + 1).take_while(|(_, t)| !t.is_symbol(b')'));
                for (at, _) in list.filter(|(_, t)| t.is_symbol(b'(') || t.is_symbol(b',')) {
                    link(Some(own()), qualified(&tokens, at + 1, entry));
                }
            }
            () => {}
        }
    }
    found
}

/// `schema.name` at a place; a bare name is in the entry's schema.
pub(super) fn qualified(tokens: &[Token<'_>], at: usize, entry: &TocEntry) -> Option<QualifiedName> {
    let first = tokens.get(at)?.ident()?;
    match (tokens.get(at + 1), tokens.get(at + 2)) {
        (Some(dot), Some(name)) if dot.is_symbol(b'.') => Some((first, name.ident()?)),
        _ => Some((entry.namespace.clone().unwrap_or_default(), first)),
    }
}

#[cfg(test)]
mod tests {
    use super::of_definition;
    use crate::archive::{Section, TocEntry};

    fn links(kind: &str, tag: &str, defn: &str) -> Vec<String> {
        let entry = TocEntry {
            desc: Some(kind.into()),
            tag: Some(tag.into()),
            defn: Some(defn.into()),
            namespace: Some("public".into()),
            ..TocEntry::new(1, Section::PreData)
        };
        let name = |(schema, name): (Vec<u8>, Vec<u8>)| {
            format!("{}.{}", String::from_utf8(schema).unwrap(), String::from_utf8(name).unwrap())
        };
        of_definition(&entry).into_iter().map(|l| format!("{} < {}", name(l.child), name(l.parent))).collect()
    }

    #[test]
    fn every_way_to_say_it_is_understood() {
        let attach =
            "ALTER TABLE ONLY public.parent ATTACH PARTITION parts.\"P 1\" FOR VALUES IN ('inherits (x)');\n";
        assert_eq!(links("TABLE ATTACH", "P 1", attach), ["parts.P 1 < public.parent"]);
        let old = format!("CREATE TABLE parts.\"P 1\" (\n    id integer\n);\n{attach}");
        assert_eq!(links("TABLE", "P 1", &old), ["parts.P 1 < public.parent"]);
        assert_eq!(
            links(
                "TABLE",
                "p",
                "CREATE TABLE public.p PARTITION OF other.t (\n id WITH OPTIONS NOT NULL\n)\nFOR VALUES IN (1);"
            ),
            ["public.p < other.t"]
        );
        assert_eq!(
            links(
                "TABLE",
                "c",
                "CREATE TABLE public.c (\n    inherits integer DEFAULT f('PARTITION OF x'),\n    CHECK ((a > 0))\n)\nINHERITS (public.a, \"X.y\".\"b,\"\"(\");\n"
            ),
            ["public.c < public.a", "public.c < X.y.b,\"("]
        );
        assert!(
            links("TABLE", "t", "CREATE TABLE public.t (a integer)\nPARTITION BY RANGE (a);\n").is_empty()
        );
    }
}
