//! Rules and the facts of a catalog become a plan, or findings: everything that is wrong at once.
//!
//! 1. [`links`]: which column refers to which.
//! 2. [`decide`]: which rule each column has, and why.
//! 3. `records`: the programs that set several columns; `build`: the transformer of each other
//!    column, for its type and the key that it is a part of.
//! 4. `prove`: which unique keys only a proof shows to be unique, made while rows are masked.
//! 5. `ends`: whether both ends of a reference get the same fictions.
//! 6. `check`: what constraints, policies and kept columns make worth knowing.
//!
//! A plan exists only where no finding is an error. `apply` uses it.

mod apply;
mod auto;
mod build;
mod check;
pub mod decide;
mod definitions;
mod ends;
mod keys;
pub mod links;
mod lock;
mod partitions;
mod personal;
mod predicate;
mod prove;
mod records;
mod unique;

use std::collections::HashMap;
use std::fmt;

pub use apply::{Counts, MaskError, Masker};
pub use keys::UniqueKey;
pub use lock::{Lock, LockError};

use pgark_bytes::copy_text;

use self::records::Record;
use self::unique::Apart;
use crate::canonical::Form;
use crate::catalog::Catalog;
use crate::charset::Charset;
use crate::condition::Condition;
use crate::finding::{Code, Finding, Severity};
use crate::key::{MaskKey, RuleKey};
use crate::rules::{Engine, Otherwise, Rules};
use crate::transformer::Transformer;
use crate::vocabulary::Locale;

/// How every table of a database is masked.
#[derive(Debug)]
pub struct Plan {
    tables: HashMap<u32, TablePlan>,
    /// What tells the mask key apart; see [`MaskKey::fingerprint`].
    pub key: String,
}

/// The keys of a run.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'k> {
    /// The mask key.
    pub mask: &'k MaskKey,
    /// A new one for each run: what `engine = "run"` and `"random"` use.
    pub run: &'k MaskKey,
}

/// What every step of a plan is made from.
#[derive(Clone, Copy)]
struct Ground<'g> {
    rules: &'g Rules,
    catalog: &'g Catalog,
    keys: Keys<'g>,
    /// Per table: the section of the file that holds for it.
    sections: &'g decide::Sections<'g>,
    /// Whose names and addresses, where a rule says nothing else.
    locale: Locale,
}

/// What rules and a catalog gave.
#[derive(Debug)]
pub struct Outcome {
    /// The plan; None: a finding is an error.
    pub plan: Option<Plan>,
    /// Errors first, then by their places and names.
    pub findings: Vec<Finding>,
    /// Every column with its decision, for `mask.lock` and for people.
    pub columns: Vec<Decided>,
}

/// One column and what was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// `schema.table`.
    pub table: String,
    /// The column.
    pub column: String,
    /// Its type, as SQL writes it, with `not null` where it is so.
    pub sql_type: String,
    /// The rule's transformer; None: nothing was decided, or the server computes the column.
    pub rule: Option<String>,
    /// Where the rule is in the file.
    pub line: Option<u32>,
}

/// How one table is masked.
pub struct TablePlan {
    /// `schema.table`.
    pub table: String,
    /// The columns, in the order of COPY.
    columns: Vec<ColumnPlan>,
    /// The columns that have a fiction, in the order in which these are made.
    order: Vec<usize>,
    /// Per column: its plain text is read.
    needed: Vec<bool>,
    /// The rows that the rules hold for.
    when: Option<(Condition, Otherwise)>,
    subject: Option<Subject>,
    /// What sets several columns at once.
    record: Option<Record>,
    /// Of a partition whose key is masked: the oid of the topmost table, through which its rows are
    /// loaded. A fiction may belong into another partition.
    pub loaded_through: Option<u32>,
    /// No row of it is wanted.
    rows_none: bool,
    /// The unique keys that are proved while rows are masked.
    keys: Vec<UniqueKey>,
    charset: Charset,
    /// What decides the fictions: rules, types, key, vocabulary. Equal plain rows have equal masked
    /// rows under equal identities.
    pub identity: [u8; 16],
}

struct ColumnPlan {
    name: String,
    /// None: it stays as it is.
    fiction: Option<Fiction>,
}

struct Fiction {
    transformer: Box<dyn Transformer>,
    form: Form,
    key: RuleKey,
    engine: Engine,
    replaces_null: bool,
    when: Option<(Condition, Otherwise)>,
    most_chars: Option<u32>,
    not_null: bool,
    apart: Apart,
}

/// The column that says whom a row is about.
struct Subject {
    column: usize,
    /// For fictions of the engine `keyed`.
    keyed: RuleKey,
    /// For those of the engine `run`, where there are any: else a person would be the same in the
    /// next backup.
    run: Option<RuleKey>,
    form: Form,
    /// Some column tells of a person.
    has_persons: bool,
}

impl Plan {
    /// Makes a plan of rules for a database.
    pub fn make(rules: &Rules, catalog: &Catalog, keys: Keys<'_>) -> Outcome {
        let mut findings = Vec::new();
        let links = links::Links::of(catalog, rules, &mut findings);
        let mut decisions = decide::Decisions::new(catalog, rules, &links, &mut findings);
        let mut decided = decisions.all();
        decisions.check_names();
        let sections = decisions.sections();
        let mut found = Vec::new();
        let named = rules.locale.as_ref().map(|(name, place)| (name.as_str(), *place));
        let locale = build::locale(named, &mut found);
        let ground = Ground { rules, catalog, keys, sections: &sections, locale };
        let records = records::build(ground, &mut decided, &mut found);
        ends::check(catalog, &links, &decided, &sections, &mut found);
        let (mut tables, built) = build::tables(ground, &links, &decided, records);
        findings.extend(found.into_iter().chain(built));
        check::constraints(catalog, &links, &decided, &mut findings);
        let routes = partitions::routes(catalog, &decided, &mut findings);
        for (oid, plan) in &mut tables {
            plan.loaded_through = routes.get(oid).copied();
        }
        definitions::check(catalog, &decided, rules.policy.definitions, &mut findings);
        accept(rules, &mut findings);
        findings.sort_by(|a, b| order(a).cmp(&order(b)));
        findings.dedup();
        let is_right = findings.iter().all(|finding| finding.severity != Severity::Error);
        let plan = is_right.then(|| Plan { tables, key: keys.mask.fingerprint() });
        Outcome { plan, findings, columns: decided.list(catalog) }
    }

    /// How a table is masked, by its oid in the catalog. None: the catalog has no such table.
    pub fn table(&self, oid: u32) -> Option<&TablePlan> {
        self.tables.get(&oid)
    }
}

impl TablePlan {
    /// The names of all columns, in the order of COPY.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    /// A row of COPY text with these values; None is NULL.
    ///
    /// # Errors
    /// A value that the database's encoding does not have.
    pub fn row<'v>(&self, value: impl Fn(&str) -> Option<&'v str>) -> Result<Vec<u8>, MaskError> {
        let mut row = Vec::new();
        for (at, column) in self.columns.iter().enumerate() {
            if at > 0 {
                row.push(b'\t');
            }
            let bytes = value(&column.name).map(|text| self.charset.encode(text)).transpose();
            let bytes =
                bytes.map_err(|refusal| MaskError::Column { column: column.name.clone(), refusal })?;
            copy_text::escape_into(bytes.as_deref(), &mut row);
        }
        row.push(b'\n');
        Ok(row)
    }

    /// The values of a row of COPY text; None is NULL.
    ///
    /// # Errors
    /// A value that is none in the database's encoding.
    pub fn texts(&self, row: &[u8]) -> Result<Vec<Option<String>>, MaskError> {
        let fields = copy_text::fields(row.strip_suffix(b"\n").unwrap_or(row));
        let text = |(raw, column): (&[u8], &ColumnPlan)| match copy_text::value(raw) {
            None => Ok(None),
            Some(value) => {
                let mut text = String::new();
                let decoded = self.charset.decode(&value, &mut text);
                decoded.map_err(|refusal| MaskError::Column { column: column.name.clone(), refusal })?;
                Ok(Some(text))
            }
        };
        fields.zip(&self.columns).map(text).collect()
    }

    /// The plain value of a fiction, where the column's transformer is a bijection.
    ///
    /// # Errors
    /// It is none, or made nothing like this; a column that stays plain is its own plain value.
    pub fn plain_of(&self, column: &str, fiction: &str) -> Result<String, MaskError> {
        let found = self.columns.iter().find(|known| known.name == column);
        let mut plain = String::new();
        match found.and_then(|found| found.fiction.as_ref()) {
            None => plain.push_str(fiction),
            Some(rule) => {
                let turned = rule.transformer.plain_of(fiction, &mut plain);
                turned.map_err(|refusal| MaskError::Column { column: column.to_string(), refusal })?;
            }
        }
        Ok(plain)
    }

    /// The names of the columns that have a fiction.
    pub fn masked_columns(&self) -> impl Iterator<Item = &str> {
        let recorded = self.record.iter().flat_map(|record| record.program.columns());
        recorded.chain(self.order.iter().copied()).map(|at| self.name_of(at))
    }

    /// The unique keys that masked rows could break, by what rules and schema say: while rows are
    /// masked, [`Masker::key_hashes`] has a number of each row for each of these, in this order.
    /// Keys of which M121 says that nothing is known are not among them.
    pub fn keys_to_prove(&self) -> &[UniqueKey] {
        &self.keys
    }

    fn name_of(&self, column: usize) -> &str {
        self.columns.get(column).map(|column| column.name.as_str()).unwrap_or_default()
    }
}

impl fmt::Debug for TablePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TablePlan({}, {} columns)", self.table, self.columns.len())
    }
}

fn order(finding: &Finding) -> (Severity, Option<crate::finding::Place>, Code, Option<&str>, Option<&str>) {
    (finding.severity, finding.place, finding.code, finding.table.as_deref(), finding.column.as_deref())
}

/// `[[accept]]`: warnings that a person has looked at.
fn accept(rules: &Rules, findings: &mut [Finding]) {
    let fits = |wanted: &Option<crate::rules::Setting>, found: &Option<String>| {
        wanted.as_ref().is_none_or(|wanted| wanted.value.scalar() == *found)
    };
    for finding in findings.iter_mut().filter(|finding| finding.severity != Severity::Error) {
        let accepted = rules.accepted.iter().find(|accepted| {
            accepted.code.value.scalar().as_deref() == Some(finding.code.as_str())
                && fits(&accepted.table, &finding.table)
                && fits(&accepted.column, &finding.column)
        });
        finding.accepted = accepted.map(|accepted| accepted.because.clone());
    }
}
