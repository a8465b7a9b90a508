//! Masking while rows are copied: rules become a plan in the snapshot of each database, before its
//! first row, and every row goes through it on its way into the repository.
//!
//! **It fails closed.** A finding that is an error, a column that no rule speaks of, a table that
//! the facts do not describe, a definition that holds a secret: the database is not backed up.
//! [`super::destination`] takes plain rows for plain backups alone, and for masked ones nothing but
//! [`MaskedRow`], which only the plan makes.
//!
//! **What is left out.** Settings and access files of the server, passwords of roles, the content
//! of large objects (unless the rules keep it).
//!
//! **Definitions** stay as they are. Those that hold passwords are refused, or told, as the rules
//! say, and so is every definition in which a plain value of a masked column is met.
//!
//! **Unique keys.** Those that the rules alone do not keep unique are proved by numbers of all rows
//! ([`super::proof`]) before the database's entries are written.
//!
//! **Errors.** The server's words about a row may hold its values: in masked backups they are left
//! out ([`OpsError::without_values`]).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;

use pgark_bytes::archive::{Archive, TocEntry};
use pgark_bytes::copy_text::row_hash;
use pgark_bytes::names::shown;
use pgark_bytes::sql::tokenize;
use pgark_mask::catalog::Catalog;
use pgark_mask::charset::Charset;
use pgark_mask::finding::Code;
use pgark_mask::literals::Literals;
use pgark_mask::plan::{Counts, Masker, Plan, TablePlan};
use pgark_mask::row::{MaskedRow, RawRow};
use pgark_mask::rules::{OnDefinition, OnLargeObjects};

use super::definitions::Definitions;
use super::large_objects::Listed;
use super::lead::Lead;
use super::proof::KeyProofs;
use super::toc_entry::{columns, relation};
use crate::OpsError;
use crate::advice::advice;
use crate::cluster::Report;
use crate::facts::Masked;
use crate::hex;
use crate::lock::lock;
use crate::logical::mask_facts;
use crate::masking::{Loaded, check, session};

/// A row is held in memory while it is masked; a longer one is refused. PostgreSQL's own rows have
/// at most 1 GiB.
const LONGEST_ROW: usize = 256 << 20;
/// Numbers of a key that are collected before the proof gets them.
const HELD_NUMBERS: usize = 64 << 10;

/// How the rows of one database are masked.
pub(super) struct DatabasePlan {
    plan: Plan,
    large_objects: OnLargeObjects,
    /// The numbers of the keys to prove, by what tells them apart.
    keys: HashMap<[u8; 16], usize>,
    /// Table and key, by number.
    names: Vec<String>,
    proofs: KeyProofs,
    /// What definitions hold; nothing, if the rules keep it.
    definitions: Literals,
    policy: OnDefinition,
    /// The objects whose definitions hold plain values, with the columns.
    met: Mutex<BTreeMap<String, BTreeSet<String>>>,
    /// By table: rows that conditions left plain, in whole or in part, and rows that they left out.
    excepted: Mutex<BTreeMap<String, (u64, u64)>>,
}

/// What a backup says of the rules that mask it.
///
/// # Errors
/// Rules that are wrong by themselves, or whose key cannot be had.
pub(super) fn masked_by(loaded: &Loaded) -> Result<(Masked, [u8; 16]), OpsError> {
    let key = loaded.usable_key()?;
    let domain = key.domain();
    let masked = Masked {
        rules: loaded.name(),
        rules_hash: loaded.rules.hash.clone(),
        key: key.fingerprint(),
        vocabulary: loaded.rules.vocabulary,
        domain: hex::encode(&domain),
    };
    Ok((masked, domain))
}

impl DatabasePlan {
    /// Makes the plan of a database in its lead's snapshot.
    ///
    /// # Errors
    /// Rules that do not fit it, and definitions that the rules refuse.
    pub(super) fn make(
        loaded: &Loaded,
        lead: &mut Lead,
        archive: &Archive,
        definitions: Option<&Definitions>,
        report: &mut Report,
    ) -> Result<DatabasePlan, OpsError> {
        let kept = definitions.and_then(Definitions::recall_facts);
        let kept = kept.and_then(|lines| serde_json::from_str(&lines).ok());
        let catalog: Catalog = match kept {
            Some(catalog) => catalog,
            None => mask_facts::catalog(&mut lead.connection)?,
        };
        let plan = plan(loaded, &catalog, report)?;
        for finding in session::findings(&mut lead.connection)? {
            report.warn(&format!("database {}: {} ({})", lead.database, finding.message, finding.code));
        }
        definitions_with_secrets(loaded, archive, &lead.database, report)?;
        let (mut keys, mut names) = (HashMap::new(), Vec::new());
        let with_rows = archive.entries.iter().filter(|entry| entry.kind() == "TABLE DATA");
        for table in with_rows.filter_map(|entry| plan.table(entry.oid)) {
            for key in table.keys_to_prove() {
                keys.entry(key.domain()).or_insert_with(|| {
                    names.push(format!("{} of {}", key.name(), table.table));
                    names.len() - 1
                });
            }
        }
        let proofs = KeyProofs::new(names.len());
        let policy = loaded.rules.policy;
        let definitions = match policy.definitions {
            OnDefinition::Keep => Literals::default(),
            OnDefinition::Refuse | OnDefinition::Warn => literals(archive, &lead.encoding),
        };
        Ok(DatabasePlan {
            plan,
            large_objects: policy.large_objects,
            keys,
            names,
            proofs,
            definitions,
            policy: policy.definitions,
            met: Mutex::default(),
            excepted: Mutex::default(),
        })
    }

    /// Partitions whose key is masked are loaded through their topmost table: the archive says so
    /// as `pg_dump --load-via-partition-root` does (pg_dump.c, `dumpTableData`).
    ///
    /// # Errors
    /// A topmost table whose definition the backup does not have.
    pub(super) fn route(&self, archive: &mut Archive) -> Result<(), OpsError> {
        let tables = archive.entries.iter().filter(|entry| entry.kind() == "TABLE");
        let names: HashMap<u32, Vec<u8>> = tables.map(|table| (table.oid, relation(table))).collect();
        for entry in archive.entries.iter_mut().filter(|entry| entry.kind() == "TABLE DATA") {
            let Some(root) = self.plan.table(entry.oid).and_then(|plan| plan.loaded_through) else {
                continue;
            };
            let Some(name) = names.get(&root) else {
                return Err(OpsError::refused(
                    format!(
                        "the partition key of {} is masked, so its rows are loaded through its topmost table, whose definition \
                         the filters leave out",
                        entry.tag_str()
                    ),
                    "choose that table too, or keep the columns of its partition key",
                ));
            };
            let columns = columns(entry);
            let listed =
                if columns.is_empty() { Vec::new() } else { [b"(", columns.as_slice(), b") "].concat() };
            entry.copy_stmt = Some([b"COPY ", name.as_slice(), b" ", &listed, b"FROM stdin;\n"].concat());
            entry.defn = Some([b"-- load via partition root ".as_slice(), name].concat());
        }
        Ok(())
    }

    /// What masks the rows of a table.
    ///
    /// # Errors
    /// A table without a plan; [`DatabasePlan::table`] has found one for each.
    pub(super) fn masker(&self, oid: u32) -> Result<RowMasker<'_>, OpsError> {
        let plan = self.plan.table(oid).ok_or_else(|| {
            OpsError::refused(
                format!("table {oid} has no mask plan"),
                "this is a defect of pgark; please report it",
            )
        })?;
        let keys = plan.keys_to_prove().iter().filter_map(|key| self.keys.get(&key.domain()));
        let numbers = keys.map(|number| KeyNumbers { key: *number, numbers: Vec::new() }).collect();
        let mut masker = Masker::new(plan);
        masker.watch(&self.definitions);
        Ok(RowMasker { database: self, masker, table: &plan.table, begun: Vec::new(), numbers })
    }

    /// The tables whose rows were not all masked, for people.
    pub(super) fn told_exceptions(&self) -> Vec<String> {
        let told = |(table, (plain, dropped)): (&String, &(u64, u64))| {
            let counts = [(*plain, "stay plain"), (*dropped, "are left out")].into_iter();
            let counts = counts.filter(|(count, _)| *count > 0);
            let counts: Vec<String> = counts.map(|(count, what)| format!("{count} rows {what}")).collect();
            format!("{table}: {}, by the mask rules", counts.join(", "))
        };
        lock(&self.excepted).iter().map(told).collect()
    }

    /// Whether definitions hold plain values; called once, when all rows are stored.
    ///
    /// # Errors
    /// They do, and the rules refuse that.
    pub(super) fn judge_definitions(&self, database: &str, report: &mut Report) -> Result<(), OpsError> {
        const SHOWN: usize = 10;
        let met = lock(&self.met);
        if met.is_empty() {
            return Ok(());
        }
        let columns = |columns: &BTreeSet<String>| columns.iter().cloned().collect::<Vec<_>>().join(", ");
        let shown = met.iter().take(SHOWN).map(|(object, of)| format!("{object} (of {})", columns(of)));
        let mut shown: Vec<String> = shown.collect();
        if met.len() > SHOWN {
            shown.push(format!("and {} more", met.len() - SHOWN));
        }
        let what = format!(
            "database {database}: definitions hold plain values of masked columns ({}): {}",
            Code::PlainDefinition,
            shown.join("; ")
        );
        if self.policy == OnDefinition::Refuse {
            let hint = "change the definitions, or [policy] definitions = \"warn\" in the mask rules";
            return Err(OpsError::refused(what, hint));
        }
        report.warn(&what);
        Ok(())
    }

    /// Takes what is to be proved of rows that are stored.
    pub(super) fn add_to_proofs(&self, numbers: &mut [KeyNumbers]) -> Result<(), OpsError> {
        for KeyNumbers { key, numbers } in numbers {
            self.proofs.add(*key, numbers)?;
            numbers.clear();
        }
        Ok(())
    }

    /// Whether masked rows keep every unique key; called once, when all rows are stored.
    ///
    /// # Errors
    /// Keys that they do not keep; what `check` says.
    pub(super) fn prove(&self, check: &dyn Fn() -> Result<(), OpsError>) -> Result<(), OpsError> {
        let found = self.proofs.finish(check)?;
        let broken = self.names.iter().zip(found).filter(|(_, duplicates)| *duplicates > 0);
        let broken: Vec<String> = broken
            .map(|(name, duplicates)| format!("{name}: {duplicates} keys occur more than once"))
            .collect();
        if broken.is_empty() {
            return Ok(());
        }
        Err(OpsError::refused(
            format!("masked rows do not keep unique keys ({}): {}", Code::UniqueAtRun, broken.join("; ")),
            "give a column of the key a rule that keeps values apart, as permute, int or email with unique = true",
        ))
    }

    /// Refuses large objects, if the rules do.
    pub(super) fn refuse_large_objects(&self, listed: &Listed) -> Result<(), OpsError> {
        let count = listed.readable.len() + listed.closed.len();
        if self.large_objects != OnLargeObjects::Refuse || count == 0 {
            return Ok(());
        }
        Err(OpsError::refused(
            format!(
                "the database has {count} large objects, which the mask rules refuse ({})",
                Code::PlainObject
            ),
            "[policy] large_objects = \"empty\" keeps them without their content",
        ))
    }

    /// Whether large objects come without their content.
    pub(super) fn empties_large_objects(&self) -> bool {
        self.large_objects != OnLargeObjects::Keep
    }

    /// How the rows of a table of the archive are masked.
    ///
    /// # Errors
    /// A table that the facts do not describe, or that has other columns there.
    pub(super) fn table(
        &self,
        oid: u32,
        name: &str,
        columns: &[u8],
        encoding: &str,
    ) -> Result<&TablePlan, OpsError> {
        let unlike = |what: &str| {
            OpsError::refused(format!("table {name} {what}"), "this is a defect of pgark; please report it")
        };
        let plan = self.plan.table(oid).ok_or_else(|| unlike("is not in the facts that masking needs"))?;
        let charset = Charset::of_server(encoding);
        let copied: Vec<Vec<u8>> = tokenize(columns).filter_map(|token| token.ident()).collect();
        let is_same = |(copied, known): (&Vec<u8>, &str)| {
            let mut text = String::new();
            let is_text = charset.decode(copied, &mut text).is_ok();
            (is_text && text == known) || shown(copied) == known
        };
        if copied.len() != plan.columns().count() || !copied.iter().zip(plan.columns()).all(is_same) {
            return Err(unlike("has other columns than the facts that masking needs"));
        }
        Ok(plan)
    }
}

/// The plan of a database; the report hears of warnings.
fn plan(loaded: &Loaded, catalog: &Catalog, report: &mut Report) -> Result<Plan, OpsError> {
    let (plan, open) = check::plan(loaded, catalog)?;
    if open > 0 {
        report.warn(&format!(
            "database {}: the mask rules have {open} warnings that nobody accepted; `pgark mask check {}` shows them",
            catalog.database,
            loaded.path.display()
        ));
    }
    Ok(plan)
}

/// Whether rules fit a database, for a run that copies nothing.
///
/// # Errors
/// Rules that do not.
pub(super) fn check_rules(loaded: &Loaded, lead: &mut Lead, report: &mut Report) -> Result<(), OpsError> {
    let catalog = mask_facts::catalog(&mut lead.connection)?;
    plan(loaded, &catalog, report).map(drop)
}

/// What fixes the text of masked rows: what fixes that of the plain ones, and the table's plan, in
/// the half of the columns.
pub(super) fn identity(plain: [u8; 16], plan: &TablePlan) -> [u8; 16] {
    let mut identity = plain;
    let (_, columns) = identity.split_at_mut(8);
    let both = row_hash(&[columns, plan.identity.as_slice()].concat());
    columns.copy_from_slice(&both.to_le_bytes());
    identity
}

/// The texts of all definitions. Labels of an enum are left out: they are what its columns have.
fn literals(archive: &Archive, encoding: &str) -> Literals {
    let mut literals = Literals::default();
    let charset = Charset::of_server(encoding);
    let is_enum = |entry: &TocEntry| {
        entry.kind() == "TYPE" && memchr::memmem::find(entry.defn_bytes(), b" AS ENUM (").is_some()
    };
    const SETTINGS: [&str; 4] = ["ENCODING", "STDSTRINGS", "SEARCHPATH", "DATABASE"];
    for entry in archive.entries.iter().filter(|entry| !SETTINGS.contains(&entry.kind()) && !is_enum(entry)) {
        let object = match entry.namespace.as_deref() {
            Some(schema) if !schema.is_empty() => {
                format!("{} {}.{}", entry.kind().to_lowercase(), shown(schema), entry.tag_str())
            }
            _ => format!("{} {}", entry.kind().to_lowercase(), entry.tag_str()),
        };
        let mut sql = String::new();
        if charset.decode(entry.defn_bytes(), &mut sql).is_err() {
            sql = String::from_utf8_lossy(entry.defn_bytes()).into_owned();
        }
        match entry.kind() {
            "COMMENT" => literals.add_comment(&object, &sql),
            // The values of a sequence and the name of the table that rows are loaded into.
            "SEQUENCE SET" | "TABLE DATA" => {}
            _ => literals.add(&object, &sql),
        }
    }
    literals
}

/// Definitions that hold passwords or values of rows, whatever the columns' rules are.
fn definitions_with_secrets(
    loaded: &Loaded,
    archive: &Archive,
    database: &str,
    report: &mut Report,
) -> Result<(), OpsError> {
    let holds_secret = |entry: &&TocEntry| match entry.kind() {
        "USER MAPPING" => memchr::memmem::find(entry.defn_bytes(), b"OPTIONS").is_some(),
        "SUBSCRIPTION" | "STATISTICS DATA" => true,
        _ => false,
    };
    let found: Vec<String> = archive
        .entries
        .iter()
        .filter(holds_secret)
        .map(|entry| format!("{} {}", entry.kind().to_lowercase(), entry.tag_str()))
        .collect();
    if found.is_empty() {
        return Ok(());
    }
    let what = format!(
        "database {database}: {} hold passwords or values, and stay as they are ({})",
        found.join(", "),
        Code::PlainDefinition
    );
    match loaded.rules.policy.definitions {
        OnDefinition::Refuse => Err(OpsError::refused(
            what,
            advice!["drop them, or [policy] definitions = \"warn\" in the mask rules"],
        )),
        OnDefinition::Warn => {
            report.warn(&what);
            Ok(())
        }
        OnDefinition::Keep => Ok(()),
    }
}

/// Masks the rows of one COPY.
pub(super) struct RowMasker<'p> {
    database: &'p DatabasePlan,
    masker: Masker<'p>,
    table: &'p str,
    /// What came of a row whose end has not come yet.
    begun: Vec<u8>,
    /// By key: numbers that the proofs do not have yet.
    numbers: Vec<KeyNumbers>,
}

/// Numbers of rows for one key to prove.
pub(super) struct KeyNumbers {
    key: usize,
    numbers: Vec<u64>,
}

impl RowMasker<'_> {
    /// Takes a row, or a piece of one; `ends`: the last. `take` gets the masked row once it is
    /// whole, unless a condition leaves it out.
    pub(super) fn row(
        &mut self,
        piece: &[u8],
        ends: bool,
        take: &mut dyn FnMut(MaskedRow<'_>) -> Result<(), OpsError>,
    ) -> Result<(), OpsError> {
        if ends && self.begun.is_empty() {
            mask(&mut self.masker, piece, take)?;
            return self.note_keys();
        }
        if self.begun.len() + piece.len() > LONGEST_ROW {
            return Err(OpsError::refused(
                format!("a row is longer than {} MiB, which masking does not take", LONGEST_ROW >> 20),
                "leave out the table's rows, with rows = \"none\" in the mask rules",
            ));
        }
        self.begun.extend_from_slice(piece);
        if ends {
            mask(&mut self.masker, &self.begun, take)?;
            self.begun = Vec::new();
            self.note_keys()?;
        }
        Ok(())
    }

    /// Takes up what the last row is to the keys to prove. Tables of a batch are tiny: what they
    /// hold waits for its end.
    #[inline]
    fn note_keys(&mut self) -> Result<(), OpsError> {
        let mut is_full = false;
        for (key, number) in self.numbers.iter_mut().zip(self.masker.key_hashes()) {
            key.numbers.extend(number);
            is_full |= key.numbers.len() >= HELD_NUMBERS;
        }
        if is_full { self.database.add_to_proofs(&mut self.numbers) } else { Ok(()) }
    }

    /// Returns how many rows were left out, and the numbers that the proofs do not have yet.
    pub(super) fn finish(self) -> (u64, Vec<KeyNumbers>) {
        let RowMasker { database, masker, table, numbers, .. } = self;
        for (object, column) in masker.met() {
            let mut met = lock(&database.met);
            met.entry(object.to_string()).or_default().insert(format!("{table}.{column}"));
        }
        let Counts { plain, dropped, .. } = masker.counts();
        if plain + dropped > 0 {
            let mut excepted = lock(&database.excepted);
            let (all_plain, all_dropped) = excepted.entry(table.to_string()).or_default();
            *all_plain += plain;
            *all_dropped += dropped;
        }
        (dropped, numbers)
    }
}

fn mask(
    masker: &mut Masker<'_>,
    row: &[u8],
    take: &mut dyn FnMut(MaskedRow<'_>) -> Result<(), OpsError>,
) -> Result<(), OpsError> {
    let masked = masker.mask(RawRow::new(row)).map_err(|error| {
        OpsError::refused(format!("mask a row: {error}"), "`pgark mask preview` shows rows as they would be")
    })?;
    masked.map_or(Ok(()), take)
}
