//! Builds what [`super::decide`] decided: the transformer of each column, for its type and for the
//! key that it is a part of.
//!
//! Columns that references tie together are built for one target, the narrowest of them, and hash
//! one canonical form: else the two ends of a reference would get different fictions.

use std::collections::{BTreeSet, HashMap};

use super::decide::{self, Decided, Decision};
use super::links::{At, Links};
use super::prove::Prover;
use super::records::Record;
use super::unique::Apart;
use super::{ColumnPlan, Fiction, Ground, Keys, Subject, TablePlan, auto, ends, unique};
use crate::canonical::{Comparison, Form};
use crate::catalog::{Catalog, ColumnFacts, TableFacts};
use crate::charset::Charset;
use crate::condition::Condition;
use crate::finding::{Code, Finding, Place};
use crate::key::{MaskKey, RuleKey};
use crate::making::{Around, Read, make};
use crate::rules::{Engine, Literal, Otherwise, Rule, Rules, Setting, TableRules};
use crate::transformer::Draws;
use crate::transformers;
use crate::types::{Kind, Target};
use crate::vocabulary::Locale;

struct Builder<'b> {
    rules: &'b Rules,
    catalog: &'b Catalog,
    keys: Keys<'b>,
    links: &'b Links,
    decided: &'b Decided,
    locale: Locale,
    findings: Vec<Finding>,
}

/// Builds every table. Of what is wrong nothing is built, and the findings say it.
pub(super) fn tables(
    ground: Ground<'_>,
    links: &Links,
    decided: &Decided,
    mut records: HashMap<usize, Record>,
) -> (HashMap<u32, TablePlan>, Vec<Finding>) {
    let Ground { rules, catalog, keys, sections, locale } = ground;
    let mut builder = Builder { rules, catalog, keys, links, decided, locale, findings: Vec::new() };
    let mut prover = Prover::new(ground, decided);
    let mut plans = HashMap::new();
    for (number, table) in catalog.tables.iter().enumerate() {
        let section = sections.get(number).copied().flatten();
        let before = builder.findings.len();
        let Some(mut plan) = builder.table(number, table, section, records.remove(&number)) else { continue };
        let found = prover.table(number, &plan, builder.findings.get(before..).unwrap_or_default());
        plan.keys = found.keys;
        plan.need(found.reads);
        builder.findings.extend(found.findings);
        plans.insert(table.oid, plan);
    }
    (plans, builder.findings)
}

/// The locale of a name; where there is none, what counts without one.
pub(super) fn locale(named: Option<(&str, Place)>, findings: &mut Vec<Finding>) -> Locale {
    let Some((name, place)) = named else { return Locale::DEFAULT };
    Locale::named(name).unwrap_or_else(|| {
        let message = format!("there are no word lists of the locale {name}");
        let hint = Locale::hint(name);
        findings.push(Finding::new(Code::WrongValue, message).at(place).hint(hint));
        Locale::DEFAULT
    })
}

impl Builder<'_> {
    fn table(
        &mut self,
        number: usize,
        table: &TableFacts,
        section: Option<&TableRules>,
        record: Option<Record>,
    ) -> Option<TablePlan> {
        let shown = table.shown();
        // COPY leaves out what the server computes.
        let copied: Vec<(usize, &ColumnFacts)> =
            table.columns.iter().enumerate().filter(|(_, column)| !column.generated).collect();
        let columns: Vec<(String, Target)> = copied
            .iter()
            .map(|(_, column)| (column.name.clone(), self.target_in_section(section, column)))
            .collect();
        let mut plan = TablePlan {
            table: shown.clone(),
            columns: Vec::new(),
            order: Vec::new(),
            needed: vec![false; columns.len()],
            when: None,
            subject: None,
            record,
            loaded_through: None,
            rows_none: section.is_some_and(|section| section.rows_none),
            keys: Vec::new(),
            charset: Charset::of_server(&self.catalog.encoding),
            identity: [0; 16],
        };
        let mut identity = blake3::Hasher::new_derive_key("pgark 2026 mask table identity v1");
        let mut note = |text: &str| {
            identity.update(&(text.len() as u64).to_le_bytes());
            identity.update(text.as_bytes());
        };
        note(&self.keys.mask.fingerprint());
        note(&self.rules.vocabulary.to_string());
        note(self.locale.name());
        let mut all_reads: Vec<BTreeSet<Read>> = Vec::new();
        for (at, (column_number, column)) in copied.iter().enumerate() {
            let place = At { table: number, column: *column_number };
            let own = columns.get(at).map(|(_, target)| target);
            let decision = self.decision(place, &shown, column, own);
            let mut reads = BTreeSet::new();
            let fiction = match &decision {
                None if plan.rows_none => None,
                Some(_) if plan.record.as_ref().is_some_and(|record| record.sets(at)) => None,
                None => {
                    let message = "no rule speaks of it";
                    let hint = auto::proposal(&column.name, columns.get(at).map(|(_, target)| target));
                    self.findings
                        .push(Finding::new(Code::Undecided, message).on(&shown, &column.name).hint(hint));
                    None
                }
                Some(decision) if decision.keeps() => None,
                Some(decision) => self.fiction(place, &shown, column, &columns, decision, &mut reads),
            };
            if let Some(decision) = &decision {
                note(&column.name);
                note(&column.sql_type);
                note(&decision.identity());
                let definition = transformers::named(&decision.rule.name);
                if definition.is_some_and(|definition| definition.has_inner_rules()) {
                    // Rules inside of it name kinds.
                    self.rules.kinds.iter().for_each(|kind| note(&decide::identity_of(kind)));
                }
            }
            if let (Some(fiction), Some((_, target))) = (&fiction, columns.get(at)) {
                // Other tables' columns that references tie to it, and its keys, decide with it.
                let (kind, form) = (self.target(place, target).kind, &fiction.form);
                let is_unique =
                    decision.as_ref().is_some_and(|made| self.unique(place, &made.rule).is_some());
                note(&format!("{kind:?} {form:?} {is_unique} {:?}", fiction.most_chars));
            }
            // Plain values of all masked columns are compared with what definitions hold.
            let is_masked = fiction.is_some() || plan.record.as_ref().is_some_and(|record| record.sets(at));
            if let (Some(needed), true) = (plan.needed.get_mut(at), is_masked) {
                *needed = true;
            }
            all_reads.push(reads);
            plan.columns.push(ColumnPlan { name: column.name.clone(), fiction });
        }
        self.section(&mut plan, number, section, &columns, &mut note);
        plan.need(all_reads.iter().flatten().map(|read| read.column));
        let recorded: Vec<usize> =
            plan.record.iter().flat_map(|record| record.reads.iter().map(|read| read.column)).collect();
        plan.need(recorded);
        plan.order = self.order(&plan, &all_reads);
        let is_of_the_run = |engine: Engine| engine != Engine::Keyed;
        let of_this_run = plan.columns.iter().filter_map(|column| column.fiction.as_ref());
        if of_this_run.map(|fiction| fiction.engine).any(is_of_the_run)
            || plan.record.as_ref().is_some_and(|record| is_of_the_run(record.engine))
        {
            note(&self.keys.run.fingerprint());
        }
        identity.finalize_xof().fill(&mut plan.identity);
        Some(plan)
    }

    /// What was decided for a column, with what `auto` means for it.
    ///
    /// Columns that references tie together get one meaning, that of the key: else one of them
    /// would be NULL or its own default, and refer to nothing.
    fn decision(
        &mut self,
        at: At,
        table: &str,
        column: &ColumnFacts,
        own: Option<&Target>,
    ) -> Option<Decision> {
        let is_auto = |decision: &&Decision| decision.rule.name == "auto";
        let mut decision = self.decided.of(at)?.clone();
        let Some(own) = own.filter(|_| is_auto(&&decision)) else { return Some(decision) };
        let root = self.links.root_of(at);
        let group = self.links.group_of(at);
        let facts = |at: At| self.catalog.tables.get(at.table)?.columns.get(at.column);
        let tied = self.decided.of(root).filter(is_auto).and_then(|_| facts(root));
        let (target, default) = match tied.filter(|_| group.len() > 1) {
            None => (own.clone(), column.default.as_deref()),
            Some(key) => {
                let alike = group.iter().filter(|at| self.decided.of(**at).as_ref().is_some_and(is_auto));
                let mut targets = alike.filter_map(|at| Some(Target::of(self.catalog, facts(*at)?)));
                let not_null = targets.any(|target| target.not_null);
                (Target { not_null, ..self.target(root, &Target::of(self.catalog, key)) }, None)
            }
        };
        decision.rule = auto::resolve(&target, default, table, &column.name, &mut self.findings);
        Some(decision)
    }

    /// What the table's section says of whole rows.
    fn section(
        &mut self,
        plan: &mut TablePlan,
        number: usize,
        section: Option<&TableRules>,
        columns: &[(String, Target)],
        note: &mut impl FnMut(&str),
    ) {
        let Some(section) = section else { return };
        if let Some(query) = &section.query {
            let message = "this version takes a table's own rows, and those of no query";
            self.findings.push(Finding::new(Code::UnknownTransformer, message).at(query.place));
        }
        let mut reads = BTreeSet::new();
        if let Some(setting) = &section.when {
            plan.when = self.condition(setting, section.otherwise, &plan.table, None, columns, &mut reads);
            if let (Some((_, Otherwise::Null)), Some((_, place))) = (&plan.when, section.otherwise) {
                self.check_nulls(plan, columns, place);
            }
            note(&setting.value.scalar().unwrap_or_default());
            note(&format!("{:?}", section.otherwise.map(|(otherwise, _)| otherwise)));
        }
        let subject = section.subject.as_ref().and_then(|setting| setting.value.scalar());
        if let Some(name) = subject
            && let Some(column) = columns.iter().position(|(known, _)| *known == name)
            && let Some(table) = self.catalog.tables.get(number)
            && let Some(at) = table.columns.iter().position(|known| known.name == name)
        {
            let root = self.links.root_of(At { table: number, column: at });
            let label = self.name_of(root);
            let key = |secret: &MaskKey| secret.rule(self.rules.vocabulary, &format!("subject {label}"));
            let recorded = plan.record.iter().map(|record| record.engine);
            let fictions = plan.columns.iter().filter_map(|column| column.fiction.as_ref());
            let mut engines = recorded.chain(fictions.map(|fiction| fiction.engine));
            let run = engines.any(|engine| engine == Engine::Run).then(|| key(self.keys.run));
            let keyed = key(self.keys.mask);
            let mut fictions = plan.columns.iter().filter_map(|column| column.fiction.as_ref());
            let has_persons = fictions.any(|fiction| fiction.transformer.draws() == Draws::Person);
            note(&label);
            if let Some(form) = self.form(At { table: number, column: at }, &plan.table, &name, section.place)
            {
                plan.subject = Some(Subject { column, keyed, run, form, has_persons });
                reads.insert(Read { column, masked: false });
            }
        }
        plan.need(reads.into_iter().map(|read| read.column));
    }

    /// Code M112: `otherwise` makes each column with a fiction NULL.
    fn check_nulls(&mut self, plan: &TablePlan, columns: &[(String, Target)], place: Place) {
        let is_set = |at: usize| plan.record.as_ref().is_some_and(|record| record.sets(at));
        for (at, ((name, target), column)) in columns.iter().zip(&plan.columns).enumerate() {
            if target.not_null && (column.fiction.is_some() || is_set(at)) {
                let message = "`otherwise` of its table makes it NULL, which the column does not take";
                let finding = Finding::new(Code::NullRefused, message).at(place).on(&plan.table, name);
                self.findings.push(finding.hint("otherwise = \"drop\" leaves out these rows"));
            }
        }
    }

    fn name_of(&self, at: At) -> String {
        let table = self.catalog.tables.get(at.table);
        let column = table.and_then(|table| table.columns.get(at.column));
        let column = column.map(|column| column.name.as_str()).unwrap_or_default();
        format!("{}.{column}", table.map(TableFacts::shown).unwrap_or_default())
    }

    /// What a column takes; `[table] type` says that its text is of another type.
    fn target_in_section(&mut self, section: Option<&TableRules>, column: &ColumnFacts) -> Target {
        let target = Target::of(self.catalog, column);
        let said = section.and_then(|section| section.types.iter().find(|(name, _)| *name == column.name));
        let Some((_, setting)) = said else { return target };
        let name = setting.value.scalar().unwrap_or_default();
        let Some(kind) = Kind::named(&name) else {
            let message = format!("there is no type {name}");
            self.findings.push(Finding::new(Code::UnknownType, message).at(setting.place));
            return target;
        };
        Target { kind, sql_type: format!("{} that holds {name}", target.sql_type), ..target }
    }

    /// The narrowest target of the columns that references tie together.
    fn target(&self, at: At, own: &Target) -> Target {
        let mut narrowest = own.clone();
        for member in self.links.group_of(at).into_iter().filter(|member| *member != at) {
            let table = self.catalog.tables.get(member.table);
            let Some(column) = table.and_then(|table| table.columns.get(member.column)) else { continue };
            let other = Target::of(self.catalog, column).kind;
            narrowest.kind = match (narrowest.kind, other) {
                (Kind::Int(one), Kind::Int(other)) => Kind::Int(one.min(other)),
                (Kind::Numeric(_), Kind::Int(bytes)) => Kind::Int(bytes),
                (Kind::Text(one), Kind::Text(other)) => Kind::Text(least(one, other)),
                (Kind::Text(one), Kind::Char(other)) => Kind::Text(least(one, Some(other))),
                (Kind::Char(one), Kind::Text(other)) => Kind::Char(other.map_or(one, |other| one.min(other))),
                (Kind::Char(one), Kind::Char(other)) => Kind::Char(one.min(other)),
                (Kind::Timestamp, Kind::Date) => Kind::Date,
                (kind, _) => kind,
            };
        }
        narrowest
    }

    /// The canonical form of a column and of all that references tie to it.
    fn form(&mut self, at: At, table: &str, column: &str, place: Place) -> Option<Form> {
        // The key's own type decides what is equal: it comes first.
        let root = self.links.root_of(at);
        let group = self.links.group_of(at);
        let members: Vec<At> =
            std::iter::once(root).chain(group.into_iter().filter(|member| *member != root)).collect();
        let mut kinds = Vec::new();
        let mut comparison = None;
        for member in &members {
            let facts = self.catalog.tables.get(member.table)?;
            let member = facts.columns.get(member.column)?;
            let own = Comparison::of(self.catalog, member);
            kinds.push(Target::of(self.catalog, member).kind);
            if !own.is_deterministic {
                let message = format!(
                    "the collation of {}.{} takes texts of other letters for equal",
                    facts.shown(),
                    member.name
                );
                let hint = "the server alone knows which; keep the column, or make it NULL";
                let finding = Finding::new(Code::NoCommonForm, message).at(place);
                self.findings.push(finding.on(table, column).hint(hint));
                return None;
            }
            if own.fold.is_none() && kinds.last().is_some_and(Kind::has_citext) {
                let message = format!(
                    "{}.{} is citext, which folds by the database's own collation",
                    facts.shown(),
                    member.name
                );
                let hint =
                    "the server alone knows how ICU and this locale fold; keep the column, or make it NULL";
                let finding = Finding::new(Code::NoCommonForm, message).at(place);
                self.findings.push(finding.on(table, column).hint(hint));
                return None;
            }
            comparison.get_or_insert(own);
        }
        let forms = Form::common(&kinds, comparison?);
        let number = members.iter().position(|member| *member == at)?;
        let form = forms.and_then(|forms| forms.into_iter().nth(number));
        if form.is_none() {
            let message =
                "the types of the columns that references tie together have no common form of their values";
            let hint = "keep them, or cut the tie with follow = false";
            self.findings
                .push(Finding::new(Code::NoCommonForm, message).at(place).on(table, column).hint(hint));
        }
        form
    }

    fn condition(
        &mut self,
        setting: &Setting,
        otherwise: Option<(Otherwise, Place)>,
        table: &str,
        column: Option<&str>,
        columns: &[(String, Target)],
        reads: &mut BTreeSet<Read>,
    ) -> Option<(Condition, Otherwise)> {
        let Some((otherwise, place)) = otherwise else {
            let message = "`when` leaves rows that it does not hold for, and nothing says what these are";
            let hint = "otherwise = \"null\", \"keep\" or, for a table, \"drop\"";
            self.findings.push(Finding::new(Code::ParameterMissing, message).at(setting.place).hint(hint));
            return None;
        };
        if otherwise == Otherwise::Keep {
            let mut finding =
                Finding::new(Code::PlainRows, "rows stay plain where the condition does not hold").at(place);
            finding.table = Some(table.to_string());
            finding.column = column.map(str::to_string);
            self.findings.push(finding);
        }
        if otherwise == Otherwise::Drop && column.is_some() {
            let message = "a column's condition cannot leave out the whole row";
            self.findings
                .push(Finding::new(Code::WrongValue, message).at(place).hint("give it to the table"));
            return None;
        }
        let Literal::Text(text) = &setting.value else { return None };
        let mut read = BTreeSet::new();
        let condition = Condition::compile(text, setting.place, columns, &mut self.findings, &mut read)?;
        // A table's condition decides whether there are fictions at all. Without this, it would
        // read the plain value.
        if column.is_none() && read.iter().any(|read| read.masked) {
            let message = "a table's condition is decided before there are fictions, and it reads one";
            let hint = "leave out `masked.`, or give `when` to the rules of columns";
            let mut finding = Finding::new(Code::DoesNotCompile, message).at(setting.place).hint(hint);
            finding.table = Some(table.to_string());
            self.findings.push(finding);
            return None;
        }
        reads.append(&mut read);
        Some((condition, otherwise))
    }

    fn fiction(
        &mut self,
        at: At,
        table: &str,
        column: &ColumnFacts,
        columns: &[(String, Target)],
        decision: &Decision,
        reads: &mut BTreeSet<Read>,
    ) -> Option<Fiction> {
        let own = columns.iter().find(|(name, _)| *name == column.name).map(|(_, target)| target.clone())?;
        let rule = &decision.rule;
        let target = self.target(at, &own);
        let form = match ends::is_constant(rule) {
            // What is equal does not matter.
            true => Form::Text,
            false => self.form(at, table, &column.name, rule.place)?,
        };
        let unique = self.unique(at, rule);
        let engine = rule.common.engine.unwrap_or_default();
        let key = self.key(engine, &decision.domain, table, &column.name, rule.common.seed);
        let name =
            rule.common.locale.as_ref().and_then(|setting| Some((setting.value.scalar()?, setting.place)));
        let locale = match name {
            Some((name, place)) => locale(Some((&name, place)), &mut self.findings),
            None => self.locale,
        };
        let when = match &rule.common.when {
            Some(setting) => Some(self.condition(
                setting,
                rule.common.otherwise,
                table,
                Some(&column.name),
                columns,
                reads,
            )?),
            None => None,
        };
        if when.as_ref().is_some_and(|(_, otherwise)| *otherwise == Otherwise::Null) && own.not_null {
            let message = "`otherwise` makes it NULL, which the column does not take";
            self.findings
                .push(Finding::new(Code::NullRefused, message).at(rule.place).on(table, &column.name));
        }
        for setting in &rule.common.reads {
            let Some(name) = setting.value.scalar() else { continue };
            match columns.iter().position(|(known, _)| *known == name) {
                Some(number) => _ = reads.insert(Read { column: number, masked: false }),
                None => {
                    let message = format!("{table} has no column {name}");
                    self.findings.push(Finding::new(Code::UnknownColumn, message).at(setting.place));
                }
            }
        }
        let around = Around {
            table,
            column: &column.name,
            columns,
            target: &target,
            default: column.default.as_deref(),
            key,
            engine,
            unique: unique.as_ref().map(|unique| unique.constraint.as_str()),
            lower_case: unique.as_ref().is_some_and(|unique| unique.lower_case)
                || target.kind == Kind::Citext,
            vocabulary: self.rules.vocabulary,
            locale,
            kinds: &self.rules.kinds,
        };
        let lower_case = around.lower_case;
        let transformer = make(rule, around, &mut self.findings, reads).ok()?;
        if !reads.is_empty() {
            self.findings.extend(ends::reads_other_row(decision, table, &column.name));
        }
        let injective = transformers::named(&rule.name).map(|definition| definition.injective);
        let apart =
            injective.map_or(Apart::No, |found| Apart::of(found, engine, unique.is_some(), lower_case));
        self.check_unique(at, table, column, rule, engine, unique.as_ref());
        Some(Fiction {
            transformer,
            form,
            key,
            engine,
            replaces_null: rule.common.replaces_null == Some(true),
            when,
            most_chars: own.most_chars(),
            not_null: own.not_null,
            apart,
        })
    }

    /// What wants different fictions for different values: a key of the column itself, one of those
    /// that references tie to it, or the rule.
    fn unique(&self, at: At, rule: &Rule) -> Option<unique::Unique> {
        let members = std::iter::once(at).chain(self.links.group_of(at));
        let of_index = members.filter_map(|member| {
            let table = self.catalog.tables.get(member.table)?;
            unique::alone(table, table.columns.get(member.column)?)
        });
        let said = (rule.common.unique == Some(true)).then(|| unique::Unique {
            constraint: "unique = true".into(),
            lower_case: false,
            many_nulls: None,
        });
        let mut all: Vec<unique::Unique> = of_index.chain(said).collect();
        let lower_case = all.iter().any(|unique| unique.lower_case);
        (!all.is_empty()).then(|| unique::Unique { lower_case, ..all.swap_remove(0) })
    }

    fn check_unique(
        &mut self,
        at: At,
        table: &str,
        column: &ColumnFacts,
        rule: &Rule,
        engine: Engine,
        unique: Option<&unique::Unique>,
    ) {
        let (name, place, is_said) = (rule.name.as_str(), rule.place, rule.common.unique == Some(true));
        let injective = transformers::named(name).map(|definition| definition.injective);
        let Some(facts) = self.catalog.tables.get(at.table) else { return };
        // What a column refers to says so by itself.
        let own = unique::alone(facts, column);
        let is_own = is_said || own.is_some();
        let replaces_null = rule.common.replaces_null == Some(true) && engine != Engine::Random;
        let takes_null = !Target::of(self.catalog, column).not_null;
        if let Some(constraint) =
            own.and_then(|own| own.many_nulls).filter(|_| replaces_null && takes_null && name != "null")
        {
            let message = format!("each NULL gets the same fiction, and {constraint} refuses equal ones");
            let finding = Finding::new(Code::NotInjective, message).at(place).on(table, &column.name);
            let constraint = Some(constraint);
            self.findings.push(Finding { constraint, ..finding.hint("null = \"keep\"") });
            return;
        }
        if let Some(unique) = unique.filter(|_| is_own)
            && injective.is_some_and(|found| !unique::may_be_unique(found, engine))
        {
            let message = format!(
                "{name} may make equal values of different ones, and {} refuses these",
                unique.constraint
            );
            let hint = if engine == Engine::Random {
                "leave out engine = \"random\""
            } else {
                "permute, email, uuid, int and others are unique: `pgark mask list`"
            };
            let mut finding =
                Finding::new(Code::NotInjective, message).at(place).on(table, &column.name).hint(hint);
            finding.constraint = Some(unique.constraint.clone());
            self.findings.push(finding);
        }
    }

    fn key(&self, engine: Engine, domain: &str, table: &str, column: &str, seed: Option<i64>) -> RuleKey {
        let vocabulary = self.rules.vocabulary;
        match engine {
            Engine::Keyed => self.keys.mask.rule(vocabulary, domain),
            Engine::Run => self.keys.run.rule(vocabulary, domain),
            Engine::Random => {
                // Two columns of one row draw apart.
                let label = format!("random {table}.{column} {domain}");
                match seed {
                    Some(seed) => RuleKey::of_bytes(u128::from(seed as u64).to_le_bytes()).part(&label),
                    None => self.keys.run.rule(vocabulary, &label),
                }
            }
        }
    }

    /// The columns with fictions, those first whose fictions others read.
    fn order(&mut self, plan: &TablePlan, reads: &[BTreeSet<Read>]) -> Vec<usize> {
        let mut order = Vec::new();
        let mut left: Vec<usize> = plan
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| column.fiction.is_some())
            .map(|(at, _)| at)
            .collect();
        while !left.is_empty() {
            let is_ready = |at: &usize| {
                let masked = reads.get(*at).into_iter().flatten().filter(|read| read.masked);
                masked.map(|read| read.column).all(|column| !left.contains(&column))
            };
            let ready: Vec<usize> = left.iter().copied().filter(is_ready).collect();
            if ready.is_empty() {
                let names: Vec<&str> = left.iter().map(|at| plan.name_of(*at)).collect();
                let message = format!("the fictions of {} read each other in a circle", names.join(", "));
                let mut finding = Finding::new(Code::DoesNotCompile, message);
                finding.table = Some(plan.table.clone());
                self.findings.push(finding);
                return order;
            }
            left.retain(|at| !ready.contains(at));
            order.extend(ready);
        }
        order
    }
}

impl TablePlan {
    /// The texts of these columns are read.
    fn need(&mut self, columns: impl IntoIterator<Item = usize>) {
        for column in columns {
            if let Some(needed) = self.needed.get_mut(column) {
                *needed = true;
            }
        }
    }
}

fn least(one: Option<u32>, other: Option<u32>) -> Option<u32> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
