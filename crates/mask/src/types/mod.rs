//! The types that transformers know, resolved from the catalog: domains become what they are over,
//! with their limits.

mod check;
mod decimal;
mod order;

pub use check::check_text;
pub(crate) use check::network;
pub use decimal::Decimal;
pub(crate) use order::order;

use crate::catalog::{Catalog, ColumnFacts};

/// What a value is, whatever names its type has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `bool`.
    Bool,
    /// `int2`, `int4` or `int8`, by its bytes.
    Int(u8),
    /// `float4` or `float8`, by its bytes.
    Float(u8),
    /// `numeric`; precision and scale where the column states them. The scale may be negative.
    Numeric(Option<(u16, i16)>),
    /// `text` and `varchar`; most characters where the column states them.
    Text(Option<u32>),
    /// `char(n)`: padded with blanks.
    Char(u32),
    /// `citext`: texts that differ in case only are equal.
    Citext,
    /// `name`: at most 63 bytes.
    Name,
    /// `date`.
    Date,
    /// `time`.
    Time,
    /// `timetz`.
    TimeTz,
    /// `timestamp`.
    Timestamp,
    /// `timestamptz`.
    TimestampTz,
    /// `interval`.
    Interval,
    /// `uuid`.
    Uuid,
    /// `inet`.
    Inet,
    /// `cidr`.
    Cidr,
    /// `macaddr`.
    Mac,
    /// `macaddr8`.
    Mac8,
    /// `json`.
    Json,
    /// `jsonb`.
    Jsonb,
    /// `bytea`.
    Bytea,
    /// `xml`.
    Xml,
    /// An enum with its labels.
    Enum(Vec<String>),
    /// An array of one type.
    Array(Box<Kind>),
    /// A range over one type.
    Range(Box<Kind>),
    /// A multirange over one type.
    Multirange(Box<Kind>),
    /// A composite type: attributes with their names.
    Composite(Vec<(String, Kind)>),
    /// `hstore`.
    Hstore,
    /// Any other type, by its name.
    Other(String),
}

/// What a column takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What its values are.
    pub kind: Kind,
    /// As SQL writes it, for people.
    pub sql_type: String,
    /// NULL is refused, by the column or by its domain.
    pub not_null: bool,
    /// The domains that it goes through have checks: the names of these.
    pub domain_checks: Vec<String>,
}

impl Target {
    /// What a value inside of another one takes: an element, an attribute, a value of a document.
    pub fn inner(kind: Kind) -> Target {
        Target { sql_type: kind.shown(), kind, not_null: false, domain_checks: Vec::new() }
    }

    /// The most characters that a text of this target may have.
    pub fn most_chars(&self) -> Option<u32> {
        match &self.kind {
            Kind::Text(most) => *most,
            Kind::Char(most) => Some(*most),
            Kind::Name => Some(63),
            _ => None,
        }
    }

    /// What a column of the catalog takes.
    pub fn of(catalog: &Catalog, column: &ColumnFacts) -> Target {
        let mut target = Target {
            kind: Kind::Other(column.sql_type.clone()),
            sql_type: column.sql_type.clone(),
            not_null: column.not_null,
            domain_checks: Vec::new(),
        };
        let (mut oid, mut modifier) = (column.r#type, column.modifier);
        // A domain over itself is impossible; a damaged file must not make this endless.
        for _ in 0..MOST_NESTED {
            let Some(facts) = catalog.type_of(oid) else { return target };
            let Some(base) = facts.base.filter(|_| facts.kind == 'd') else { break };
            target.not_null |= facts.not_null;
            target.domain_checks.extend(facts.checks.iter().map(|check| check.name.clone()));
            oid = base;
            if facts.modifier >= 0 {
                modifier = facts.modifier;
            }
        }
        target.kind = kind(catalog, oid, modifier, 0);
        target
    }
}

impl Kind {
    /// As SQL writes it, for people: `numeric(10,2)`.
    pub fn shown(&self) -> String {
        match self {
            Kind::Bool => "boolean".to_string(),
            Kind::Int(2) => "smallint".to_string(),
            Kind::Int(4) => "integer".to_string(),
            Kind::Int(_) => "bigint".to_string(),
            Kind::Float(4) => "real".to_string(),
            Kind::Float(_) => "double precision".to_string(),
            Kind::Numeric(None) => "numeric".to_string(),
            Kind::Numeric(Some((precision, scale))) => format!("numeric({precision},{scale})"),
            Kind::Text(None) => "text".to_string(),
            Kind::Text(Some(most)) => format!("character varying({most})"),
            Kind::Char(most) => format!("character({most})"),
            Kind::Citext => "citext".to_string(),
            Kind::Name => "name".to_string(),
            Kind::Date => "date".to_string(),
            Kind::Time => "time".to_string(),
            Kind::TimeTz => "time with time zone".to_string(),
            Kind::Timestamp => "timestamp".to_string(),
            Kind::TimestampTz => "timestamp with time zone".to_string(),
            Kind::Interval => "interval".to_string(),
            Kind::Uuid => "uuid".to_string(),
            Kind::Inet => "inet".to_string(),
            Kind::Cidr => "cidr".to_string(),
            Kind::Mac => "macaddr".to_string(),
            Kind::Mac8 => "macaddr8".to_string(),
            Kind::Json => "json".to_string(),
            Kind::Jsonb => "jsonb".to_string(),
            Kind::Bytea => "bytea".to_string(),
            Kind::Xml => "xml".to_string(),
            Kind::Enum(_) => "an enum".to_string(),
            Kind::Array(of) => format!("{}[]", of.shown()),
            Kind::Range(of) => format!("a range of {}", of.shown()),
            Kind::Multirange(of) => format!("a multirange of {}", of.shown()),
            Kind::Composite(_) => "a composite type".to_string(),
            Kind::Hstore => "hstore".to_string(),
            Kind::Other(name) => name.clone(),
        }
    }
}

const MOST_NESTED: usize = 32;

/// The kind of a type with its modifier (`pg_attribute.atttypmod`).
fn kind(catalog: &Catalog, oid: u32, modifier: i32, depth: usize) -> Kind {
    let Some(facts) = catalog.type_of(oid) else { return Kind::Other(oid.to_string()) };
    if depth > MOST_NESTED {
        return Kind::Other(facts.name.clone());
    }
    let inner = |oid: u32, modifier: i32| kind(catalog, oid, modifier, depth + 1);
    if let Some(element) = facts.element.filter(|_| facts.kind == 'b') {
        return Kind::Array(Box::new(inner(element, modifier)));
    }
    match facts.kind {
        'd' => {
            return facts
                .base
                .map_or_else(|| Kind::Other(facts.name.clone()), |base| inner(base, facts.modifier));
        }
        'e' => return Kind::Enum(facts.labels.clone()),
        'c' => {
            let attributes = facts.attributes.iter();
            return Kind::Composite(
                attributes.map(|a| (a.name.clone(), inner(a.r#type, a.modifier))).collect(),
            );
        }
        'r' | 'm' => {
            let Some(subtype) = facts.subtype else { return Kind::Other(facts.name.clone()) };
            let of = Box::new(inner(subtype, -1));
            return if facts.kind == 'r' { Kind::Range(of) } else { Kind::Multirange(of) };
        }
        _ => {}
    }
    if facts.schema != "pg_catalog" {
        return match (facts.extension.as_deref(), facts.name.as_str()) {
            (Some("citext"), "citext") => Kind::Citext,
            (Some("hstore"), "hstore") => Kind::Hstore,
            _ => Kind::Other(facts.name.clone()),
        };
    }
    // varchar(n) and char(n) have n + 4; numeric(p,s) has ((p << 16) | s) + 4, its scale in 11 bits
    // with a sign (src/backend/utils/adt/numeric.c, make_numeric_typmod).
    let stated = (modifier >= 4).then(|| (modifier - 4) as u32);
    match facts.name.as_str() {
        "numeric" => Kind::Numeric(stated.map(|stated| {
            let scale = (stated & 0x7ff) as i16;
            ((stated >> 16) as u16, (scale ^ 0x400) - 0x400)
        })),
        "varchar" => Kind::Text(stated),
        // Without a length, bpchar keeps what it is given.
        "bpchar" => stated.map_or(Kind::Text(None), Kind::Char),
        "name" => Kind::Name,
        other => Kind::named(other).unwrap_or_else(|| Kind::Other(other.to_string())),
    }
}

impl Kind {
    /// Whether values are compared as citext does.
    pub fn has_citext(&self) -> bool {
        match self {
            Kind::Citext => true,
            Kind::Array(inner) | Kind::Range(inner) | Kind::Multirange(inner) => inner.has_citext(),
            _ => false,
        }
    }

    /// A type of the server's own, by the name that rules use: `int4`, `timestamptz`.
    pub fn named(name: &str) -> Option<Kind> {
        Some(match name {
            "bool" | "boolean" => Kind::Bool,
            "int2" | "smallint" => Kind::Int(2),
            "int4" | "int" | "integer" => Kind::Int(4),
            "int8" | "bigint" => Kind::Int(8),
            "float4" | "real" => Kind::Float(4),
            "float8" | "double precision" => Kind::Float(8),
            "numeric" | "decimal" => Kind::Numeric(None),
            "text" | "varchar" => Kind::Text(None),
            "date" => Kind::Date,
            "time" => Kind::Time,
            "timetz" => Kind::TimeTz,
            "timestamp" => Kind::Timestamp,
            "timestamptz" => Kind::TimestampTz,
            "interval" => Kind::Interval,
            "uuid" => Kind::Uuid,
            "inet" => Kind::Inet,
            "cidr" => Kind::Cidr,
            "macaddr" => Kind::Mac,
            "macaddr8" => Kind::Mac8,
            "json" => Kind::Json,
            "jsonb" => Kind::Jsonb,
            "bytea" => Kind::Bytea,
            "xml" => Kind::Xml,
            _ => return None,
        })
    }
}
