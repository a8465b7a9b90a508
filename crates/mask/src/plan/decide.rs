//! Which rule each column has, and why: its table's, that of the key that it refers to, the first
//! pattern that fits, its parent's, the policy's.

use std::collections::HashMap;

use pgark_bytes::nearest::nearest;
use pgark_bytes::pattern::Pattern;

use super::links::{At, Links, table_named};
use crate::catalog::{Catalog, ColumnFacts, TableFacts};
use crate::finding::{Code, Finding, Place};
use crate::rules::{
    Common, Literal, MOST_KINDS, NamedRule, PatternRule, Rule, Rules, Setting, TableRules, Unspoken,
};
use crate::types::Kind;

/// What becomes of one column.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The rule; a kind's name is replaced by what the kind is.
    pub rule: Rule,
    /// Rules of one domain give one value one fiction.
    pub domain: String,
    /// Who decided.
    pub by: By,
}

/// Who decided.
#[derive(Clone, Debug, PartialEq)]
pub enum By {
    /// The rule of its own table.
    Table,
    /// The key that it refers to.
    Key(At),
    /// A pattern.
    Pattern,
    /// The table that it inherits from.
    Parent(At),
    /// `[policy] columns`.
    Policy,
}

/// The decision of every column.
#[derive(Debug, Default)]
pub struct Decided(HashMap<At, Decision>);

/// Per table of the catalog: the section of the file that holds for it.
pub type Sections<'p> = Vec<Option<&'p TableRules>>;

impl Decided {
    /// What was decided for a column; None: nothing.
    pub fn of(&self, at: At) -> Option<&Decision> {
        self.0.get(&at)
    }

    /// Decides a column in another way.
    pub fn set(&mut self, at: At, decision: Decision) {
        self.0.insert(at, decision);
    }

    /// Every column in the catalog's order, for people.
    pub fn list(&self, catalog: &Catalog) -> Vec<super::Decided> {
        let mut list = Vec::new();
        for (number, table) in catalog.tables.iter().enumerate() {
            for (column, facts) in table.columns.iter().enumerate() {
                let decision = self.of(At { table: number, column });
                let rule = match decision {
                    Some(decision) => Some(decision.rule.name.clone()),
                    None => facts.generated.then(|| "generated".to_string()),
                };
                list.push(super::Decided {
                    table: table.shown(),
                    column: facts.name.clone(),
                    sql_type: format!("{}{}", facts.sql_type, if facts.not_null { " not null" } else { "" }),
                    rule,
                    line: decision.map(|decision| decision.rule.place.line).filter(|line| *line > 0),
                });
            }
        }
        list
    }
}

/// What is known of every column before anything is built.
pub struct Decisions<'p> {
    catalog: &'p Catalog,
    rules: &'p Rules,
    links: &'p Links,
    /// Tables by oid.
    places: HashMap<u32, usize>,
    /// Per table of the catalog: its section.
    sections: Vec<Option<&'p TableRules>>,
    patterns: Vec<Fitting<'p>>,
    memo: HashMap<At, Memo>,
    /// A circle of references came back to a column that is being decided.
    met_itself: bool,
    findings: &'p mut Vec<Finding>,
}

enum Memo {
    Open,
    Done(Option<Box<Decision>>),
}

/// A `[[column]]`, compiled.
struct Fitting<'p> {
    rule: &'p PatternRule,
    matches: Vec<(Option<Pattern>, Pattern, Place)>,
    has_fit: Vec<bool>,
    /// A column is of one of its types, and it has no pattern.
    has_fit_by_type: bool,
}

impl Decision {
    /// The plain value stays.
    pub fn keeps(&self) -> bool {
        self.rule.name == "keep"
    }

    /// The transformer and the parameters that shape what it makes.
    pub fn shape(&self) -> String {
        domain(&self.rule)
    }

    /// All of the rule that decides what its fictions are.
    pub fn identity(&self) -> String {
        let common = &self.rule.common;
        let when = common.when.as_ref().and_then(|when| when.value.scalar());
        let otherwise = common.otherwise.map(|(otherwise, _)| otherwise);
        format!(
            "{} / {} / {:?} {} {:?} {:?} {when:?} {otherwise:?}",
            self.domain,
            domain(&self.rule),
            common.unique,
            common.replaces_null == Some(true),
            common.engine,
            common.seed
        )
    }
}

impl<'p> Decisions<'p> {
    /// Compiles patterns and finds the tables that the file names.
    pub fn new(
        catalog: &'p Catalog,
        rules: &'p Rules,
        links: &'p Links,
        findings: &'p mut Vec<Finding>,
    ) -> Decisions<'p> {
        let mut sections: Vec<Option<&TableRules>> = vec![None; catalog.tables.len()];
        for section in &rules.tables {
            let place = table_named(catalog, &section.table).and_then(|at| sections.get_mut(at));
            match place {
                Some(place) => *place = Some(section),
                None => {
                    let message = format!("the database has no table {}", section.table);
                    let hint = nearest_table(catalog, &section.table);
                    findings.push(Finding::new(Code::UnknownTable, message).at(section.place).hint(hint));
                }
            }
        }
        let patterns = rules.patterns.iter().map(|rule| Fitting::compile(rule, catalog, findings)).collect();
        Decisions {
            catalog,
            rules,
            links,
            places: catalog.places(),
            sections,
            patterns,
            memo: HashMap::new(),
            met_itself: false,
            findings,
        }
    }

    /// Decides every column.
    pub fn all(&mut self) -> Decided {
        let catalog = self.catalog;
        let mut decided = Decided::default();
        for (table, facts) in catalog.tables.iter().enumerate() {
            for column in 0..facts.columns.len() {
                let at = At { table, column };
                if let Some(decision) = self.decide(at) {
                    decided.0.insert(at, decision);
                }
            }
        }
        decided
    }

    /// The section of each table.
    pub fn sections(&self) -> Sections<'p> {
        (0..self.catalog.tables.len()).map(|table| self.section(table)).collect()
    }

    /// The section of a table, or of the nearest table that it inherits from.
    pub fn section(&self, table: usize) -> Option<&'p TableRules> {
        let own = self.sections.get(table).copied().flatten();
        if own.is_some() {
            return own;
        }
        let section = self.parents(table).find_map(|parent| self.section(parent))?;
        (section.children != Some(false)).then_some(section)
    }

    fn parents(&self, table: usize) -> impl Iterator<Item = usize> + '_ {
        let parents =
            self.catalog.tables.get(table).map(|table| table.parents.as_slice()).unwrap_or_default();
        parents.iter().filter_map(|oid| self.places.get(oid).copied())
    }

    /// Names of the file that the catalog does not have: columns, and patterns that fit nothing.
    /// After all columns were decided.
    pub fn check_names(&mut self) {
        for (section, table) in self.sections.iter().zip(&self.catalog.tables) {
            let Some(section) = section else { continue };
            let named = section.columns.iter().map(|(name, rule)| (name.as_str(), rule.place));
            let kept = section.keep.iter().filter_map(|one| Some((text(one)?, one.place)));
            let typed = section.types.iter().map(|(name, setting)| (name.as_str(), setting.place));
            let subject = section.subject.iter().filter_map(|one| Some((text(one)?, one.place)));
            for (name, place) in named.chain(kept).chain(typed).chain(subject) {
                if name == "*" {
                    continue;
                }
                let Some(column) = table.column(name) else {
                    let message = format!("{} has no column {name}", table.shown());
                    let finding = Finding::new(Code::UnknownColumn, message).at(place);
                    self.findings.push(finding.hint(nearest_column(table, name)));
                    continue;
                };
                if column.generated && section.columns.iter().any(|(ruled, _)| ruled == name) {
                    let message = "the server computes it from other columns, so it can have no rule";
                    self.findings
                        .push(Finding::new(Code::GeneratedNamed, message).at(place).on(&table.shown(), name));
                }
            }
        }
        for fitting in &self.patterns {
            if fitting.rule.matches.is_empty() && !fitting.has_fit_by_type {
                let types: Vec<&str> = fitting.rule.types.iter().filter_map(text).collect();
                let message = format!("no column is of type {}", types.join(" or "));
                let place = fitting.rule.types.first().map(|setting| setting.place).unwrap_or_default();
                self.findings.push(Finding::new(Code::PatternFitsNothing, message).at(place));
            }
            for ((_, pattern, place), has_fit) in fitting.matches.iter().zip(&fitting.has_fit) {
                if !has_fit {
                    let message = format!("no column fits {}", pattern.text());
                    self.findings.push(Finding::new(Code::PatternFitsNothing, message).at(*place));
                }
            }
        }
    }

    /// What becomes of a column; None: no rule speaks of it, and the policy refuses that. A
    /// generated column has no decision.
    pub fn decide(&mut self, at: At) -> Option<Decision> {
        match self.memo.get(&at) {
            Some(Memo::Done(decision)) => return decision.as_deref().cloned(),
            // A circle of references: another column of it decides.
            Some(Memo::Open) => {
                self.met_itself = true;
                return None;
            }
            None => {}
        }
        self.memo.insert(at, Memo::Open);
        let outside = std::mem::take(&mut self.met_itself);
        let decision = self.decide_anew(at);
        if decision.is_none() && self.met_itself {
            // The circle has no decision from here; it may have one from where it was entered.
            self.memo.remove(&at);
        } else {
            self.memo.insert(at, Memo::Done(decision.clone().map(Box::new)));
        }
        self.met_itself |= outside;
        decision
    }

    fn decide_anew(&mut self, at: At) -> Option<Decision> {
        let table = self.catalog.tables.get(at.table)?;
        let column = table.columns.get(at.column)?;
        if column.generated {
            return None;
        }
        // A pattern counts as fitting also where something else decides.
        let pattern = self.pattern(table, column);
        self.of_section(at, column)
            .or_else(|| self.of_parent(at, column))
            .or_else(|| self.of_key(at))
            .or(pattern)
            .or_else(|| self.of_policy())
    }

    fn of_section(&self, at: At, column: &ColumnFacts) -> Option<Decision> {
        let section = self.sections.get(at.table).copied().flatten()?;
        if let Some((_, rule)) = section.columns.iter().find(|(name, _)| *name == column.name) {
            return Some(self.resolved(rule, By::Table));
        }
        let kept = section
            .keep
            .iter()
            .find(|one| matches!(text(one), Some(name) if name == "*" || name == column.name))?;
        let rule = Rule { name: "keep".into(), place: kept.place, ..Rule::default() };
        Some(self.resolved(&rule, By::Table))
    }

    /// Partitions of one table are masked alike: their parent's rule counts, unless the parent has
    /// none of its own either.
    fn of_parent(&mut self, at: At, column: &ColumnFacts) -> Option<Decision> {
        let parents: Vec<usize> = self.parents(at.table).collect();
        for parent in parents {
            if self
                .sections
                .get(parent)
                .copied()
                .flatten()
                .is_some_and(|section| section.children == Some(false))
            {
                continue;
            }
            let facts = self.catalog.tables.get(parent)?;
            let Some(number) = facts.columns.iter().position(|known| known.name == column.name) else {
                continue;
            };
            let parent = At { table: parent, column: number };
            let decision = self.decide(parent).filter(|decision| decision.by != By::Policy);
            if let Some(decision) = decision.filter(|decision| decision.rule.common.children != Some(false)) {
                return Some(Decision { by: By::Parent(parent), ..decision });
            }
        }
        None
    }

    fn of_key(&mut self, at: At) -> Option<Decision> {
        let links: Vec<_> = self.links.from(at).cloned().collect();
        let mut found: Option<Decision> = None;
        for link in links {
            let decision = self.decide(link.to).filter(|decision| decision.by != By::Policy);
            let Some(mut decision) = decision.filter(|decision| decision.rule.common.follow != Some(false))
            else {
                continue;
            };
            // A condition is about the rows of its own table, and a NULL that refers to nothing
            // must not become a fiction that refers to something.
            let common = &mut decision.rule.common;
            (common.when, common.otherwise, common.replaces_null) = (None, None, None);
            match &found {
                None => found = Some(Decision { by: By::Key(link.to), ..decision }),
                Some(first) if first.domain == decision.domain && first.rule.name == decision.rule.name => {}
                Some(_) => {
                    let (table, column) = self.shown(at);
                    let message = "its references lead to keys of different rules";
                    let hint = "give these keys one [kind]";
                    self.findings
                        .push(Finding::new(Code::ReferenceDiffers, message).on(&table, &column).hint(hint));
                }
            }
        }
        found
    }

    fn pattern(&mut self, table: &TableFacts, column: &ColumnFacts) -> Option<Decision> {
        let mut found = None;
        for fitting in &mut self.patterns {
            if fitting.fits(self.catalog, table, column) && found.is_none() {
                found = Some(&fitting.rule.rule);
            }
        }
        found.map(|rule| self.resolved(rule, By::Pattern))
    }

    fn of_policy(&self) -> Option<Decision> {
        let name = match self.rules.policy.columns {
            Unspoken::Refuse => return None,
            Unspoken::Auto => "auto",
            Unspoken::Keep => "keep",
        };
        let rule = Rule { name: name.into(), ..Rule::default() };
        Some(self.resolved(&rule, By::Policy))
    }

    /// A kind's name becomes what the kind is; what the use itself says beats that.
    fn resolved(&self, rule: &Rule, by: By) -> Decision {
        let mut whole = rule.clone();
        let mut named = None;
        for _ in 0..MOST_KINDS {
            let Some(kind) = self.rules.kinds.iter().find(|kind| kind.name == whole.name) else { break };
            named.get_or_insert(&kind.name);
            let mut parameters = kind.rule.parameters.clone();
            parameters.retain(|(known, _)| whole.parameters.iter().all(|(name, _)| name != known));
            parameters.append(&mut whole.parameters);
            let common = both(&whole.common, &kind.rule.common);
            whole = Rule { name: kind.rule.name.clone(), place: rule.place, parameters, common };
        }
        let of_kind = || named.map_or_else(|| domain(rule), |name| format!("kind {name}"));
        let domain = whole.common.domain.clone().unwrap_or_else(of_kind);
        Decision { rule: whole, domain, by }
    }

    fn shown(&self, at: At) -> (String, String) {
        let table = self.catalog.tables.get(at.table);
        let column = table.and_then(|table| table.columns.get(at.column));
        (
            table.map(TableFacts::shown).unwrap_or_default(),
            column.map(|column| column.name.clone()).unwrap_or_default(),
        )
    }
}

/// What the use says, and else what the kind says.
fn both(own: &Common, kind: &Common) -> Common {
    Common {
        unique: own.unique.or(kind.unique),
        replaces_null: own.replaces_null.or(kind.replaces_null),
        engine: own.engine.or(kind.engine),
        seed: own.seed.or(kind.seed),
        domain: own.domain.clone().or_else(|| kind.domain.clone()),
        when: own.when.clone().or_else(|| kind.when.clone()),
        otherwise: own.otherwise.or(kind.otherwise),
        follow: own.follow.or(kind.follow),
        children: own.children.or(kind.children),
        locale: own.locale.clone().or_else(|| kind.locale.clone()),
        reads: own.reads.iter().chain(&kind.reads).cloned().collect(),
    }
}

/// All of a kind that decides what fictions are, for rules that name it inside of them.
pub(super) fn identity_of(kind: &NamedRule) -> String {
    format!("{} {} {:?}", kind.name, domain(&kind.rule), kind.rule.common.replaces_null)
}

/// What ties rules together that nobody named: the transformer and the parameters that shape what
/// it makes.
fn domain(rule: &Rule) -> String {
    let mut text = rule.name.clone();
    let mut parameters: Vec<_> = rule.parameters.iter().collect();
    parameters.sort_by(|a, b| a.0.cmp(&b.0));
    for (name, setting) in parameters {
        text.push_str(&format!(" {name}="));
        write_literal(&setting.value, &mut text);
    }
    if let Some(locale) = &rule.common.locale {
        text.push_str(" locale=");
        write_literal(&locale.value, &mut text);
    }
    text
}

fn write_literal(value: &Literal, out: &mut String) {
    match value {
        Literal::List(list) => {
            out.push('[');
            list.iter().for_each(|one| {
                write_literal(&one.value, out);
                out.push(',');
            });
            out.push(']');
        }
        Literal::Table(members) => {
            out.push('{');
            members.iter().for_each(|(name, one)| {
                out.push_str(&format!("{name:?}="));
                write_literal(&one.value, out);
                out.push(',');
            });
            out.push('}');
        }
        scalar => out.push_str(&format!("{:?}", scalar.scalar().unwrap_or_default())),
    }
}

impl<'p> Fitting<'p> {
    fn compile(rule: &'p PatternRule, catalog: &Catalog, findings: &mut Vec<Finding>) -> Fitting<'p> {
        for setting in &rule.types {
            let name = text(setting).unwrap_or_default();
            if !is_type(catalog, name) {
                let message = format!("the database has no type {name}");
                let hint = type_hint(catalog, name);
                findings.push(Finding::new(Code::UnknownType, message).at(setting.place).hint(hint));
            }
        }
        let mut matches = Vec::new();
        for setting in &rule.matches {
            let text = text(setting).unwrap_or_default();
            let compiled = match last_dot(text) {
                Some((table, column)) => {
                    Pattern::relation(table).and_then(|table| Ok((Some(table), Pattern::plain(column)?)))
                }
                None => Pattern::plain(text).map(|column| (None, column)),
            };
            match compiled {
                Ok((table, column)) => matches.push((table, column, setting.place)),
                Err(error) => {
                    findings.push(Finding::new(Code::DoesNotCompile, error.to_string()).at(setting.place))
                }
            }
        }
        let has_fit = vec![false; matches.len()];
        Fitting { rule, matches, has_fit, has_fit_by_type: false }
    }

    fn fits(&mut self, catalog: &Catalog, table: &TableFacts, column: &ColumnFacts) -> bool {
        let types = &self.rule.types;
        if !types.is_empty() && !types.iter().filter_map(text).any(|name| is_of_type(catalog, column, name)) {
            return false;
        }
        if self.rule.matches.is_empty() {
            self.has_fit_by_type = true;
            return true;
        }
        let mut fits = false;
        for ((in_table, pattern, _), has_fit) in self.matches.iter().zip(&mut self.has_fit) {
            let here = in_table
                .as_ref()
                .is_none_or(|in_table| in_table.matches_in(table.schema.as_bytes(), table.name.as_bytes()));
            if here && pattern.matches(column.name.as_bytes()) {
                *has_fit = true;
                fits = true;
            }
        }
        fits
    }
}

/// The column's part of `schema.table.column`, and what is before it.
fn last_dot(text: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let mut last = None;
    for (at, byte) in text.bytes().enumerate() {
        quoted ^= byte == b'"';
        if byte == b'.' && !quoted {
            last = Some(at);
        }
    }
    last.and_then(|at| Some((text.get(..at)?, text.get(at + 1..)?)))
}

/// What the server calls a type that SQL has another name for.
fn server_name(name: &str) -> &str {
    match name {
        "integer" | "int" => "int4",
        "bigint" => "int8",
        "smallint" => "int2",
        "boolean" => "bool",
        "real" => "float4",
        "double precision" => "float8",
        "decimal" => "numeric",
        "character varying" => "varchar",
        "character" | "char" => "bpchar",
        "timestamp with time zone" => "timestamptz",
        "timestamp without time zone" => "timestamp",
        "time with time zone" => "timetz",
        "time without time zone" => "time",
        other => other,
    }
}

/// Whether there can be such a type. The catalog has only the types of columns: a type of the
/// server's own, or of a common extension, may be in the rules of many databases.
fn is_type(catalog: &Catalog, name: &str) -> bool {
    const OTHERS: &[&str] = &["char", "bpchar", "name", "citext", "hstore", "money", "oid", "bit", "varbit"];
    let alias = server_name(name);
    let bare = alias.strip_prefix("pg_catalog.").unwrap_or(alias);
    catalog
        .types
        .iter()
        .any(|facts| facts.name == alias || format!("{}.{}", facts.schema, facts.name) == name)
        || Kind::named(bare).is_some()
        || OTHERS.contains(&bare)
}

fn type_hint(catalog: &Catalog, name: &str) -> String {
    let near = nearest(name, catalog.types.iter().map(|facts| facts.name.as_str()));
    near.map(|near| format!("did you mean {near}?")).unwrap_or_default()
}

/// Whether a column is of a type, by the type's own name, a domain's, or SQL's.
fn is_of_type(catalog: &Catalog, column: &ColumnFacts, name: &str) -> bool {
    let alias = server_name(name);
    let mut oid = Some(column.r#type);
    for _ in 0..32 {
        let Some(facts) = oid.and_then(|oid| catalog.type_of(oid)) else { return false };
        if facts.name == alias || format!("{}.{}", facts.schema, facts.name) == name {
            return true;
        }
        oid = facts.base;
    }
    false
}

fn text(setting: &Setting) -> Option<&str> {
    match &setting.value {
        Literal::Text(text) => Some(text),
        _ => None,
    }
}

fn nearest_table(catalog: &Catalog, name: &str) -> String {
    let bare = name.rsplit('.').next().unwrap_or(name);
    let found = catalog.tables.iter().find(|table| table.name == bare);
    found.map(|table| format!("there is {}", table.shown())).unwrap_or_default()
}

fn nearest_column(table: &TableFacts, name: &str) -> String {
    let found = table.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name));
    found.map(|column| format!("there is {}", column.name)).unwrap_or_default()
}
