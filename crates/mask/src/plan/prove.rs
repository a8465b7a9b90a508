//! Which unique keys need a proof while rows are masked, and which can have none (M121).
//!
//! A key needs a proof if one of its columns is masked, or its predicate or expressions read a
//! masked column, and nothing says that masked rows are unique in any case:
//!
//! * Rules that keep values apart (`unique`, set by itself for a column that is a key alone) keep
//!   keys of such columns unique, as long as they mask each row: a condition that leaves rows plain
//!   can leave a value that is another one's fiction.
//! * A key that has a unique column in it is unique for that column's sake.
//! * A column that is always NULL makes each row different, unless NULLs are equal.
//!
//! A unique constraint and its index are one key.

use std::collections::{BTreeSet, HashMap};

use super::decide::{Decided, Decision};
use super::keys::{KeyColumn, Part, UniqueKey};
use super::links::At;
use super::unique::{Apart, Case, NULLS_EQUAL, case_of, says};
use super::{Ground, TablePlan, predicate};
use crate::canonical::{Comparison, Fold, Form, is_deterministic};
use crate::catalog::{Catalog, ColumnFacts, TableFacts};
use crate::finding::{Code, Finding};
use crate::rules::Otherwise;
use crate::types::{Kind, Target};

/// A key of a table as the catalog has it.
#[derive(Clone, Debug)]
struct Key<'t> {
    name: &'t str,
    parts: Vec<Of<'t>>,
    /// Per part the collation of its index; None: the column's own counts.
    collations: Option<&'t [Option<u32>]>,
    /// Columns that an expression or the predicate reads.
    reads: &'t [String],
    predicate: Option<&'t str>,
    nulls_are_equal: bool,
    /// `WITHOUT OVERLAPS`: ranges are compared.
    has_period: bool,
}

/// A part of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of<'t> {
    Column(&'t str),
    Expression(&'t str),
}

impl<'t> Key<'t> {
    /// The unique keys of a table, each once.
    fn all(table: &'t TableFacts) -> Vec<Key<'t>> {
        let constraints = || table.constraints.iter().filter(|found| matches!(found.kind, 'p' | 'u'));
        let of_index = table.indexes.iter().filter(|index| index.unique).map(|index| {
            // An index has the name of its constraint.
            let constraint = constraints().find(|constraint| constraint.name == index.name);
            let definition = constraint.map(|constraint| constraint.definition.as_str());
            let mut expressions = index.expressions.iter();
            let parts = index.keys.iter().map(|key| match key {
                Some(column) => Of::Column(column),
                None => Of::Expression(expressions.next().map(String::as_str).unwrap_or_default()),
            });
            Key {
                name: &index.name,
                parts: parts.collect(),
                collations: Some(&index.collations),
                reads: &index.reads,
                predicate: index.predicate.as_deref(),
                nulls_are_equal: says(&index.definition, NULLS_EQUAL),
                has_period: definition.is_some_and(|text| says(text, PERIOD)),
            }
        });
        let alone = constraints()
            .filter(|constraint| table.indexes.iter().all(|index| index.name != constraint.name))
            .map(|constraint| Key {
                name: &constraint.name,
                parts: constraint.columns.iter().map(|column| Of::Column(column)).collect(),
                collations: None,
                reads: &[],
                predicate: None,
                nulls_are_equal: says(&constraint.definition, NULLS_EQUAL),
                has_period: says(&constraint.definition, PERIOD),
            });
        let mut keys: Vec<Key<'_>> = of_index.chain(alone).collect();
        for key in &mut keys {
            key.leave_out_needless_predicate(table);
        }
        keys.sort_by_key(|key| key.name);
        keys
    }

    /// `WHERE (a IS NOT NULL)` says nothing of a key column whose NULLs are all different.
    fn leave_out_needless_predicate(&mut self, table: &TableFacts) {
        let names = self.predicate.and_then(|sql| predicate::not_null_of(sql, table));
        let is_needless =
            names.is_some_and(|names| names.iter().all(|name| self.columns().any(|c| c == *name)));
        if is_needless && !self.nulls_are_equal {
            self.predicate = None;
        }
    }

    fn columns(&self) -> impl Iterator<Item = &'t str> {
        self.parts.iter().filter_map(|part| match part {
            Of::Column(name) => Some(*name),
            Of::Expression(_) => None,
        })
    }

    fn expressions(&self) -> impl Iterator<Item = &'t str> {
        self.parts.iter().filter_map(|part| match part {
            Of::Expression(text) => Some(*text),
            Of::Column(_) => None,
        })
    }

    /// A collation of its index calls texts of different bytes equal.
    fn is_blind(&self, catalog: &Catalog) -> bool {
        let collations = self.collations.into_iter().flatten();
        collations.into_iter().any(|collation| !is_deterministic(catalog, *collation))
    }

    /// The columns that it reads, in the table's order.
    fn all_columns(&self, table: &'t TableFacts) -> Vec<&'t ColumnFacts> {
        let mut names: BTreeSet<&str> = self.columns().collect();
        names.extend(self.reads.iter().map(String::as_str));
        for sql in self.expressions().chain(self.predicate) {
            names.extend(predicate::columns_in(sql, table));
        }
        table.columns.iter().filter(|column| names.contains(column.name.as_str())).collect()
    }

    /// Another table has the same key.
    fn is_same(&self, other: &Key<'_>) -> bool {
        self.parts == other.parts
            && self.predicate == other.predicate
            && self.nulls_are_equal == other.nulls_are_equal
    }

    /// For people: what it is that makes it hard to keep.
    fn shape(&self) -> &'static str {
        if self.expressions().next().is_some() {
            "is over an expression"
        } else if self.predicate.is_some() {
            "is partial"
        } else if self.parts.len() > 1 {
            "is over several columns"
        } else if self.nulls_are_equal {
            "takes NULLs for equal"
        } else {
            "is over a column whose masked values may be equal"
        }
    }
}

const PERIOD: [&str; 2] = ["without", "overlaps"];

/// Why a key has no proof: the end of a sentence.
mod why {
    pub(super) const EXPRESSION: &str = "pgark does not compute its expression";
    pub(super) const PREDICATE: &str = "pgark does not evaluate its predicate";
    pub(super) const COLLATION: &str = "only the server knows its collation";
    pub(super) const GENERATED: &str = "the server computes one of its columns";
    pub(super) const PERIOD: &str = "it compares ranges";
    pub(super) const TEXTS: &str = "equal values of a type in it have several texts";
    pub(super) const ROUNDED: &str = "the server rounds fictions of it";
}

/// Finds the keys to prove of all tables of a database.
pub(super) struct Prover<'p> {
    ground: Ground<'p>,
    decided: &'p Decided,
    /// Tables by oid.
    places: HashMap<u32, usize>,
    /// The partitions of each partitioned table.
    partitions: HashMap<usize, Vec<usize>>,
    /// The keys of each partitioned table.
    whole: HashMap<usize, Vec<Key<'p>>>,
    /// By the top of a tree of partitions and a column: it is masked alike in the whole tree.
    alike: HashMap<(usize, String), bool>,
}

/// What there is to prove of a table.
#[derive(Default)]
pub(super) struct Found {
    /// The keys that are proved while rows are masked.
    pub keys: Vec<UniqueKey>,
    /// The columns that the proofs read, by their numbers in COPY.
    pub reads: BTreeSet<usize>,
    /// What may break a key, and what is not known of it.
    pub findings: Vec<Finding>,
}

/// A table with its plan.
#[derive(Clone, Copy)]
struct Masked<'m> {
    ground: Ground<'m>,
    catalog: &'m Catalog,
    table: &'m TableFacts,
    plan: &'m TablePlan,
}

impl<'p> Prover<'p> {
    pub(super) fn new(ground: Ground<'p>, decided: &'p Decided) -> Prover<'p> {
        let places = ground.catalog.places();
        let mut partitions: HashMap<usize, Vec<usize>> = HashMap::new();
        for (number, table) in
            ground.catalog.tables.iter().enumerate().filter(|(_, table)| table.is_partition)
        {
            for parent in table.parents.iter().filter_map(|oid| places.get(oid)) {
                partitions.entry(*parent).or_default().push(number);
            }
        }
        let tables = &ground.catalog.tables;
        let whole = partitions.keys().filter_map(|number| Some((*number, Key::all(tables.get(*number)?))));
        Prover { ground, decided, places, whole: whole.collect(), partitions, alike: HashMap::new() }
    }

    /// Looks at the keys of a table. `known` are the findings of its columns.
    pub(super) fn table(&mut self, number: usize, plan: &TablePlan, known: &[Finding]) -> Found {
        let mut found = Found::default();
        let ground = self.ground;
        let Some(table) = ground.catalog.tables.get(number).filter(|_| !plan.rows_none) else { return found };
        let masked = Masked { ground, catalog: ground.catalog, table, plan };
        let keys = Key::all(table);
        for key in &keys {
            let top = self.top_of(number, key);
            let all = key.all_columns(table);
            // Plain rows take part where another partition has fictions.
            let is_plain = all.iter().all(|column| !masked.is_masked(&column.name))
                && all.iter().all(|column| self.is_alike(top, &column.name));
            if is_plain || self.is_by_construction(number, key, &keys, masked) {
                continue;
            }
            let why = match masked.proof(key, self.domain(top, key), &mut found.reads) {
                Ok(proof) => {
                    // Two indexes over the same columns are proved by one.
                    if found.keys.iter().all(|known| known.domain != proof.domain) {
                        found.keys.push(proof);
                    }
                    None
                }
                Err(why) => Some(why),
            };
            // No plan is made after M120, which says what to do.
            let is_refused = known.iter().any(|finding| {
                finding.code == Code::NotInjective && finding.constraint.as_deref() == Some(key.name)
            });
            for column in all.into_iter().filter(|column| masked.is_masked(&column.name) && !is_refused) {
                found.findings.push(self.finding(number, table, column, key, why));
            }
        }
        found
    }

    fn finding(
        &self,
        number: usize,
        table: &TableFacts,
        column: &ColumnFacts,
        key: &Key<'_>,
        why: Option<&str>,
    ) -> Finding {
        let (name, shape) = (key.name, key.shape());
        let message = match why {
            None => format!(
                "the unique key {name} {shape}: it is proved while rows are masked, and a duplicate ends the backup"
            ),
            Some(why) => {
                format!(
                    "the unique key {name} {shape}: whether masked rows keep it is not known, because {why}"
                )
            }
        };
        let hint = match why {
            Some(_) => {
                "a duplicate shows only when a restore makes the key; look at the rule, and accept this"
            }
            None if key.predicate.is_none() && key.expressions().next().is_none() => {
                "columns whose rules have `unique = true` need no proof"
            }
            None => "",
        };
        let mut finding =
            Finding::new(Code::UniqueAtRun, message).on(&table.shown(), &column.name).hint(hint);
        finding.constraint = Some(name.to_string());
        let decision = self.decision(number, &column.name);
        finding.place = decision.map(|decision| decision.rule.place).filter(|place| place.line > 0);
        finding
    }

    fn decision(&self, number: usize, column: &str) -> Option<&'p Decision> {
        let table = self.ground.catalog.tables.get(number)?;
        let column = table.columns.iter().position(|known| known.name == column)?;
        self.decided.of(At { table: number, column })
    }

    /// The table whose rows have the key together: of a partition, the topmost table that has the
    /// same key.
    fn top_of(&self, number: usize, key: &Key<'_>) -> usize {
        let tables = &self.ground.catalog.tables;
        let mut top = number;
        // A circle of parents is impossible; a damaged file must not make this endless.
        for _ in 0..tables.len() {
            let parent = tables
                .get(top)
                .filter(|table| table.is_partition)
                .and_then(|table| self.places.get(table.parents.first()?).copied());
            let Some(parent) = parent else { break };
            if !self.whole.get(&parent).into_iter().flatten().any(|of| of.is_same(key)) {
                break;
            }
            top = parent;
        }
        top
    }

    fn domain(&self, top: usize, key: &Key<'_>) -> [u8; 16] {
        let shown = self.ground.catalog.tables.get(top).map(TableFacts::shown);
        let mut hasher = blake3::Hasher::new_derive_key("pgark 2026 mask unique key v1");
        hasher.update(
            format!("{shown:?} {:?} {} {:?}", key.parts, key.nulls_are_equal, key.predicate).as_bytes(),
        );
        let mut domain = [0; 16];
        hasher.finalize_xof().fill(&mut domain);
        domain
    }

    /// Whether a column has one rule, and no rows stay as they are, in all partitions below a
    /// table.
    fn is_alike(&mut self, top: usize, column: &str) -> bool {
        if !self.partitions.contains_key(&top) {
            return true;
        }
        let wanted = (top, column.to_string());
        if let Some(known) = self.alike.get(&wanted) {
            return *known;
        }
        let of = |number: usize| {
            let decision = self.decision(number, column);
            let section = self.ground.sections.get(number).copied().flatten();
            let has_when = section.is_some_and(|section| section.when.is_some());
            (
                decision.map(|decision| (&decision.domain, &decision.rule.name, &decision.rule.common)),
                has_when,
            )
        };
        let expected = of(top);
        let mut open = vec![top];
        let mut is_alike = true;
        while let Some(number) = open.pop().filter(|_| is_alike) {
            is_alike = of(number) == expected;
            open.extend(self.partitions.get(&number).into_iter().flatten());
        }
        self.alike.insert(wanted, is_alike);
        is_alike
    }

    /// Masked rows are unique whatever they hold.
    fn is_by_construction(
        &mut self,
        number: usize,
        key: &Key<'_>,
        keys: &[Key<'_>],
        masked: Masked<'_>,
    ) -> bool {
        if key.has_period || key.is_blind(masked.catalog) {
            return false;
        }
        let top = self.top_of(number, key);
        let mut apart = |name: &str| match () {
            // Another partition may hold what is a fiction in this one.
            () if !self.is_alike(top, name) => Apart::No,
            () if !masked.is_masked(name) => Apart::Yes,
            () => masked.apart(name, key.nulls_are_equal),
        };
        let columns: Vec<(&str, Apart)> = key.columns().map(|name| (name, apart(name))).collect();
        if columns.iter().any(|(_, apart)| *apart == Apart::Null) {
            return true;
        }
        let is_lower = match key.parts.as_slice() {
            [Of::Expression(text)] => match case_of(text) {
                Some((Case::Lower, name)) => apart(&name) == Apart::InLowerCase,
                _ => false,
            },
            _ => false,
        };
        let reads_masked = |sql: &str| {
            predicate::columns_in(sql, masked.table).into_iter().any(|name| masked.is_masked(name))
        };
        let is_apart =
            columns.iter().all(|(_, apart)| *apart != Apart::No) && !key.expressions().any(reads_masked);
        // The rows of a partial index stay the same ones only if its predicate reads kept columns.
        if (is_lower || is_apart) && !key.predicate.is_some_and(reads_masked) {
            return true;
        }
        columns.iter().filter(|(_, apart)| *apart != Apart::No).any(|(name, _)| {
            let is_alone = |other: &Key<'_>| other.parts == [Of::Column(name)] && other.predicate.is_none();
            let is_not_null = || masked.table.column(name).is_some_and(|column| column.not_null);
            (!key.nulls_are_equal || is_not_null())
                && keys.iter().any(|other| is_alone(other) && self.top_of(number, other) == top)
        })
    }
}

impl Masked<'_> {
    fn at(&self, name: &str) -> Option<usize> {
        self.plan.columns.iter().position(|column| column.name == name)
    }

    fn is_masked_at(&self, at: usize) -> bool {
        self.plan.columns.get(at).is_some_and(|column| column.fiction.is_some())
            || self.plan.record.as_ref().is_some_and(|record| record.sets(at))
    }

    /// The column has fictions, or the server computes it of such a column.
    fn is_masked(&self, name: &str) -> bool {
        match self.at(name) {
            Some(at) => self.is_masked_at(at),
            None => {
                let from = self.table.column(name).map(|column| column.generated_from.as_slice());
                from.into_iter().flatten().filter_map(|from| self.at(from)).any(|at| self.is_masked_at(at))
            }
        }
    }

    /// Whether different values of a masked column have different fictions in all rows.
    fn apart(&self, name: &str, nulls_are_equal: bool) -> Apart {
        let fiction = self.at(name).and_then(|at| self.plan.columns.get(at)?.fiction.as_ref());
        let (Some(fiction), Some(column)) = (fiction, self.table.column(name)) else { return Apart::No };
        // What a condition makes NULL equals nothing.
        let is_safe = |otherwise: Option<Otherwise>| match otherwise {
            None | Some(Otherwise::Drop | Otherwise::Null) => true,
            Some(Otherwise::Keep) => false,
        };
        let when = |when: &Option<(_, Otherwise)>| when.as_ref().map(|(_, otherwise)| *otherwise);
        let masks_all = is_safe(when(&self.plan.when)) && is_safe(when(&fiction.when));
        let keeps_null = fiction.not_null || (!fiction.replaces_null && !nulls_are_equal);
        // Values that the key calls different may be one to the key that the column refers to.
        let own = self.value(column, column.collation, false);
        let is_own = fiction.apart == Apart::Null || own == Ok(Part::Value(fiction.form.clone()));
        if masks_all && is_own && keeps_null { fiction.apart } else { Apart::No }
    }

    /// The key as rows are proved by it, and in `reads` the columns that it reads.
    fn proof(
        &self,
        key: &Key<'_>,
        domain: [u8; 16],
        reads: &mut BTreeSet<usize>,
    ) -> Result<UniqueKey, &'static str> {
        if key.has_period {
            return Err(why::PERIOD);
        }
        let mut columns = Vec::new();
        for (number, part) in key.parts.iter().enumerate() {
            let of_index = key.collations.map(|all| all.get(number).copied().flatten());
            columns.push(match part {
                Of::Column(name) => {
                    let column = self.table.column(name).ok_or(why::GENERATED)?;
                    let at = self.at(name).ok_or(why::GENERATED)?;
                    let collation = of_index.unwrap_or(column.collation);
                    KeyColumn { column: at, part: self.value(column, collation, self.is_masked_at(at))? }
                }
                Of::Expression(text) => self.cased(text, of_index.flatten())?,
            });
        }
        let copied: Vec<(String, Target)> = self
            .plan
            .columns
            .iter()
            .filter_map(|column| self.table.column(&column.name))
            .map(|column| (column.name.clone(), Target::of(self.catalog, column)))
            .collect();
        let predicate = match key.predicate {
            None => None,
            Some(sql) => {
                let is_changed = |at: usize| {
                    let column = self.plan.columns.get(at).and_then(|column| self.table.column(&column.name));
                    let part = column.map(|column| self.value(column, column.collation, true));
                    self.is_masked_at(at) && !matches!(part, Some(Ok(Part::Value(_) | Part::Day)))
                };
                let seen = predicate::Columns {
                    catalog: self.catalog,
                    table: self.table,
                    copied: &copied,
                    is_changed: &is_changed,
                };
                let (condition, read) = predicate::compile(sql, seen).ok_or(why::PREDICATE)?;
                reads.extend(read);
                Some(condition)
            }
        };
        reads.extend(columns.iter().map(|column| column.column));
        let Ground { keys, rules, .. } = self.ground;
        let label = format!("unique key {:032x}", u128::from_be_bytes(domain));
        Ok(UniqueKey {
            name: key.name.to_string(),
            domain,
            columns,
            nulls_are_equal: key.nulls_are_equal,
            predicate,
            key: keys.run.rule(rules.vocabulary, &label),
        })
    }

    /// What the equality of a column's type looks at. A rule may write a value in any way that the
    /// server reads; the server itself writes it in one.
    fn value(
        &self,
        column: &ColumnFacts,
        collation: Option<u32>,
        is_masked: bool,
    ) -> Result<Part, &'static str> {
        let kind = Target::of(self.catalog, column).kind;
        if has_many_texts(&kind, is_masked) {
            return Err(why::TEXTS);
        }
        let fold = Fold::of_collation(self.catalog, None);
        if kind.has_citext() && fold.is_none() {
            return Err(why::COLLATION);
        }
        let comparison = Comparison { fold, is_deterministic: is_deterministic(self.catalog, collation) };
        let form = Form::of(&kind, comparison).ok_or(why::COLLATION)?;
        if !is_masked {
            return Ok(Part::Value(form));
        }
        match kind {
            Kind::Date => Ok(Part::Day),
            Kind::Numeric(Some((_, scale))) => {
                u32::try_from(scale).map(Part::Rounded).map_err(|_| why::ROUNDED)
            }
            Kind::Timestamp | Kind::TimestampTz | Kind::Time | Kind::TimeTz | Kind::Interval
                if self.is_rounded(column) =>
            {
                Err(why::ROUNDED)
            }
            _ => Ok(Part::Value(form)),
        }
    }

    /// Whether a time is kept with fewer digits than microseconds, in the column or its domain.
    fn is_rounded(&self, column: &ColumnFacts) -> bool {
        let (mut oid, mut modifier) = (column.r#type, column.modifier);
        for _ in 0..32 {
            let Some(facts) = self.catalog.type_of(oid).filter(|facts| facts.kind == 'd') else { break };
            modifier = if facts.modifier >= 0 { facts.modifier } else { modifier };
            let Some(base) = facts.base else { break };
            oid = base;
        }
        (0..6).contains(&modifier) || modifier > 6
    }

    /// `lower(column)` or `upper(column)`.
    fn cased(&self, expression: &str, collation: Option<u32>) -> Result<KeyColumn, &'static str> {
        let (case, name) = case_of(expression).ok_or(why::EXPRESSION)?;
        let column = self.table.column(&name).ok_or(why::EXPRESSION)?;
        let at = self.at(&name).ok_or(why::GENERATED)?;
        let trims = match Target::of(self.catalog, column).kind {
            Kind::Text(_) | Kind::Name | Kind::Citext => false,
            // As text, `char(n)` has no blanks at its end.
            Kind::Char(_) => true,
            _ => return Err(why::EXPRESSION),
        };
        let fold = Fold::of_collation(self.catalog, column.collation);
        let fold = fold.filter(|_| is_deterministic(self.catalog, collation)).ok_or(why::COLLATION)?;
        let part = match case {
            Case::Lower => Part::Lower(fold, trims),
            Case::Upper => Part::Upper(fold, trims),
        };
        Ok(KeyColumn { column: at, part })
    }
}

/// Whether equal values of a type may have different texts that no canonical form is known for.
fn has_many_texts(kind: &Kind, is_masked: bool) -> bool {
    match kind {
        Kind::Composite(_) => true,
        Kind::Array(inner) | Kind::Range(inner) | Kind::Multirange(inner) => {
            is_masked || has_many_texts(inner, false)
        }
        Kind::Other(name) => is_masked && name != "oid",
        Kind::Jsonb | Kind::Hstore | Kind::Json | Kind::Xml => is_masked,
        _ => false,
    }
}
