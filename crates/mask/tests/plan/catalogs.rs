//! Catalogs, built as short as SQL.

use pgark_mask::catalog::{
    Catalog, CheckFacts, CollationFacts, ColumnFacts, ConstraintFacts, IndexFacts, KeyFacts, TableFacts,
    TypeFacts,
};

/// The server's own types that tests use, with their oids.
const TYPES: [(&str, u32); 22] = [
    ("bool", 16),
    ("int8", 20),
    ("int2", 21),
    ("int4", 23),
    ("text", 25),
    ("json", 114),
    ("xml", 142),
    ("float4", 700),
    ("float8", 701),
    ("inet", 869),
    ("bpchar", 1042),
    ("varchar", 1043),
    ("date", 1082),
    ("timestamp", 1114),
    ("timestamptz", 1184),
    ("interval", 1186),
    ("numeric", 1700),
    ("uuid", 2950),
    ("jsonb", 3802),
    ("macaddr", 829),
    ("bytea", 17),
    ("_text", 1009),
];

/// A database without tables.
pub fn empty() -> Catalog {
    let types = TYPES.iter().map(|(name, oid)| TypeFacts {
        oid: *oid,
        schema: "pg_catalog".into(),
        name: (*name).into(),
        kind: 'b',
        element: (*name == "_text").then_some(25),
        modifier: -1,
        ..TypeFacts::default()
    });
    Catalog {
        format: 1,
        database: "shop".into(),
        encoding: "UTF8".into(),
        ctype: "de_DE.UTF-8".into(),
        server_version: 150_000,
        types: types.chain([citext(), domain(), mood()]).collect(),
        collations: vec![CollationFacts { oid: 9000, name: "blind".into(), ..CollationFacts::default() }],
        ..Catalog::default()
    }
}

fn citext() -> TypeFacts {
    TypeFacts {
        oid: 20001,
        schema: "public".into(),
        name: "citext".into(),
        kind: 'b',
        extension: Some("citext".into()),
        modifier: -1,
        ..TypeFacts::default()
    }
}

fn domain() -> TypeFacts {
    let check = CheckFacts { name: "has_at".into(), definition: "CHECK (VALUE ~ '@')".into() };
    TypeFacts {
        oid: 20002,
        schema: "public".into(),
        name: "mail".into(),
        kind: 'd',
        base: Some(25),
        modifier: -1,
        checks: vec![check],
        ..TypeFacts::default()
    }
}

fn mood() -> TypeFacts {
    let labels = ["sad", "ok", "happy"].map(String::from).to_vec();
    TypeFacts {
        oid: 20003,
        schema: "public".into(),
        name: "mood".into(),
        kind: 'e',
        labels,
        ..TypeFacts::default()
    }
}

/// A column as SQL has it: `id int8 not null`, `name varchar(20)`.
fn column(text: &str) -> ColumnFacts {
    let not_null = text.ends_with(" not null");
    let text = text.trim_end_matches(" not null");
    let (name, sql_type) = text.split_once(' ').unwrap();
    let (bare, modifier) = match sql_type.strip_suffix(')').and_then(|rest| rest.split_once('(')) {
        Some((bare, length)) => {
            let mut numbers = length.split(',').map(|number| number.parse::<i32>().unwrap());
            let (first, scale) = (numbers.next().unwrap(), numbers.next());
            (bare, scale.map_or(first, |scale| (first << 16) | scale) + 4)
        }
        None => (sql_type, -1),
    };
    let own = [("citext", 20001), ("mail", 20002), ("mood", 20003)];
    let oid = TYPES.iter().chain(&own).find(|(known, _)| *known == bare).unwrap().1;
    ColumnFacts {
        name: name.into(),
        r#type: oid,
        sql_type: sql_type.into(),
        modifier,
        not_null,
        ..ColumnFacts::default()
    }
}

/// A table of schema public. Its oid is the number of tables before it, from 1.
pub struct NewTable(TableFacts);

pub fn table(name: &str, columns: &[&str]) -> NewTable {
    NewTable(TableFacts {
        schema: "public".into(),
        name: name.into(),
        kind: 'r',
        columns: columns.iter().map(|text| column(text)).collect(),
        ..TableFacts::default()
    })
}

fn names(columns: &str) -> Vec<String> {
    columns.split(", ").map(String::from).collect()
}

impl NewTable {
    fn constraint(
        mut self,
        kind: char,
        columns: &str,
        definition: &str,
        references: Option<KeyFacts>,
    ) -> NewTable {
        let name = format!("{}_{}_{kind}", self.0.name, columns.replace(", ", "_"));
        let (columns, definition) = (names(columns), definition.to_string());
        self.0.constraints.push(ConstraintFacts { name, kind, columns, definition, references });
        self
    }

    pub fn primary(self, columns: &str) -> NewTable {
        self.constraint('p', columns, "", None)
    }

    pub fn unique(self, columns: &str) -> NewTable {
        self.constraint('u', columns, "", None)
    }

    pub fn check(self, columns: &str, definition: &str) -> NewTable {
        self.constraint('c', columns, definition, None)
    }

    /// `to`: the oid of the table.
    pub fn foreign(self, columns: &str, to: u32, key: &str) -> NewTable {
        self.constraint('f', columns, "", Some(KeyFacts { table: to, columns: names(key) }))
    }

    pub fn unique_lower(mut self, column: &str) -> NewTable {
        self.0.indexes.push(IndexFacts {
            name: format!("{column}_lower"),
            unique: true,
            keys: vec![None],
            expressions: vec![format!("lower(({column})::text)")],
            reads: vec![column.into()],
            ..IndexFacts::default()
        });
        self
    }

    /// A unique index: `a, lower(b)` are its keys, a column or an expression each.
    pub fn unique_index(mut self, name: &str, keys: &str, rest: &str) -> NewTable {
        let is_column = |key: &str| self.0.columns.iter().any(|column| column.name == key);
        let keys: Vec<(Option<String>, &str)> =
            keys.split(", ").map(|key| (is_column(key).then(|| key.to_string()), key)).collect();
        self.0.indexes.push(IndexFacts {
            name: name.into(),
            unique: true,
            expressions: keys
                .iter()
                .filter(|(column, _)| column.is_none())
                .map(|(_, text)| text.to_string())
                .collect(),
            keys: keys.into_iter().map(|(column, _)| column).collect(),
            predicate: rest.split_once("WHERE ").map(|(_, predicate)| predicate.into()),
            definition: format!("CREATE UNIQUE INDEX {name} ON t USING btree (…) {rest}"),
            ..IndexFacts::default()
        });
        self
    }

    /// Changes the facts of the table as a whole.
    pub fn with(mut self, change: impl Fn(&mut TableFacts)) -> NewTable {
        change(&mut self.0);
        self
    }

    pub fn child_of(mut self, oid: u32) -> NewTable {
        (self.0.parents, self.0.is_partition) = (vec![oid], true);
        self
    }

    pub fn change(mut self, column: &str, change: impl Fn(&mut ColumnFacts)) -> NewTable {
        change(self.0.columns.iter_mut().find(|known| known.name == column).unwrap());
        self
    }
}

/// A database of these tables.
pub fn of(tables: Vec<NewTable>) -> Catalog {
    let tables = tables.into_iter().zip(1..).map(|(NewTable(table), oid)| TableFacts { oid, ..table });
    Catalog { tables: tables.collect(), ..empty() }
}

/// Customers, their orders, and the lines of these.
pub fn shop() -> Catalog {
    of(vec![
        table(
            "customers",
            &["id int8 not null", "email text not null", "first_name text", "gender text", "born date"],
        )
        .primary("id")
        .unique("email"),
        table("orders", &["id int8 not null", "customer_id int8", "contact text", "total numeric"])
            .primary("id")
            .foreign("customer_id", 1, "id")
            .foreign("contact", 1, "email"),
        table("lines", &["order_id int4 not null", "line int4 not null", "note text"])
            .primary("order_id, line")
            .foreign("order_id", 2, "id"),
    ])
}
