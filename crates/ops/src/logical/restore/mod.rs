//! `restore`: a backup back into databases, whole or in part.
//!
//! **Order.** Everything that can be known is looked at first, for all databases (`target`, `prepare`): a plan that is not
//! possible touches nothing. Then the globals, if asked for (`globals`). Then each database: the definitions up to the
//! data, one after the other, in pg_dump's order; then rows, indexes, constraints and the rest by many workers, each as
//! soon as what it depends on is there, largest first; access rights and what must see them (materialised views, event
//! triggers) come last. The rules are pg_restore's (`pgark_bytes::archive::order`); two entries whose locks could
//! deadlock never run at once (TRAPS 12).
//!
//! **Rows.** A table that this very run created is emptied and filled in one transaction with FREEZE; any other is only
//! added to: a restore never empties a table that it found (TRAPS 13).
//!
//! **Failure.** An object that fails is named and the rest goes on; the report lists all of them (exit code 3). With
//! `exit_on_error` the first one ends the restore; with `single_transaction` it undoes it. A cancel stops every connection;
//! what was restored stays, and the error says how far each database came (`trail`). Run again, a restore of several databases
//! passes over those that are whole and makes the unfinished one again (`marks`).

mod analyze;
mod clean;
mod conflicts;
mod data;
mod globals;
mod hooks;
mod links;
mod marks;
mod prepare;
mod refresh;
mod run;
mod target;
mod together;
mod trail;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use pgark_bytes::archive::filter::load_parents_first;
use pgark_bytes::archive::statements::Options;
use pgark_pg::ConnInfo;
use pgark_repo::{Backup, DataReader, Repository};
use serde::Serialize;

use crate::facts::{Missing, MissingKind};
use crate::logical::choose;
use crate::logical::contents::Contents;
use crate::record::{About, seconds};
use crate::select::Wanted;
use crate::watch::Watch;
use crate::{BackupName, Job, OpsError, inspect};

use self::trail::{Stage, Trail};

pub use crate::logical::choose::{Choice, Part, PlannedObject, parse_list};
pub use clean::PlannedDrop;
pub use hooks::{Action, Hook, Moment};

/// What the target is to the restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// It exists and holds no user objects.
    Existing,
    /// It is created, with its properties.
    Create,
    /// The objects that the backup holds are dropped first.
    Clean,
}

/// Which of the backup's databases, and under which names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Databases {
    /// One of them.
    One {
        /// Its name in the backup; may be left out where the backup holds only one.
        from: Option<String>,
        /// The target's name; its own by default.
        to: Option<String>,
    },
    /// Several, under their own names.
    Named(Vec<String>),
    /// All, under their own names.
    All,
    /// None: only the globals.
    None,
}

/// How rows are loaded.
#[derive(Clone, Debug, Default)]
pub struct Load {
    /// Triggers of tables that were there before do not fire.
    pub disable_triggers: bool,
    /// Rows are loaded under `session_replication_role = replica`.
    pub replica_role: bool,
    /// Rows that violate a constraint are left out and listed.
    pub skip_conflicts: bool,
    /// With `skip_conflicts`: values for columns that are always generated as identity are taken as they are.
    pub overriding_system_value: bool,
}

/// What to restore and where to.
pub struct Request {
    /// Which backup.
    pub backup: BackupName,
    /// The target's server.
    pub conninfo: ConnInfo,
    /// Where to connect while the target is not there yet, and nowhere else.
    pub maintenance_db: Option<String>,
    /// Which databases.
    pub databases: Databases,
    /// What the targets are.
    pub target: Target,
    /// Roles, memberships and tablespaces first.
    pub globals: bool,
    /// Objects belong to the connecting role.
    pub no_owner: bool,
    /// Leave out GRANT and REVOKE.
    pub no_privileges: bool,
    /// SET ROLE to this after connecting.
    pub role: Option<String>,
    /// Parallel connections.
    pub jobs: usize,
    /// Stop at the first object that fails.
    pub exit_on_error: bool,
    /// All or nothing, over one connection.
    pub single_transaction: bool,
    /// With [`Target::Clean`]: objects that are not there are no news.
    pub if_exists: bool,
    /// With [`Target::Clean`]: what this run does not bring back is dropped, too.
    pub accept_loss: bool,
    /// Gather the planner's statistics at the end.
    pub analyze: bool,
    /// What of each database.
    pub choice: Choice,
    /// How rows are loaded.
    pub load: Load,
    /// What is run before and after the parts.
    pub hooks: Vec<Hook>,
    /// Look at the target and say what would be done; touch nothing.
    pub dry_run: bool,
}

/// What was restored.
#[derive(Debug, Serialize)]
pub struct RestoreReport {
    /// The backup's id.
    pub id: String,
    /// The database that was restored into; several are joined by commas.
    pub database: String,
    /// `complete`, `incomplete` when an object failed or the backup lacked it; of a dry run `planned`, or `refused`
    /// where [`RestoreReport::refusal`] says why.
    pub status: &'static str,
    /// Tables whose rows were loaded.
    pub tables: u64,
    /// Rows loaded.
    pub rows: u64,
    /// Bytes of rows and large objects.
    pub bytes: u64,
    /// Bytes that were fetched from the repository for them.
    pub bytes_fetched: u64,
    /// How long it took.
    pub seconds: f64,
    /// What failed.
    pub errors: Vec<ObjectError>,
    /// What is other in the target than in the backup and was left as it is; what was left out on purpose;
    /// tables that could not be analyzed.
    pub notes: Vec<String>,
    /// Rows that were left out because they violate a constraint: how many, and the first of each table.
    pub skipped: Vec<SkippedRows>,
    /// What would be restored: of a dry run only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Vec<PlannedObject>>,
    /// What would be dropped before: of a dry run with [`Target::Clean`] only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drops: Option<Vec<PlannedDrop>>,
    /// Why the restore would refuse to drop that: of a dry run with [`Target::Clean`] only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
}

/// Why a planned restore would not begin.
#[derive(Clone, Debug, Serialize)]
pub struct Refusal {
    /// What is wrong.
    pub error: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// One object that could not be restored.
#[derive(Clone, Debug, Serialize)]
pub struct ObjectError {
    /// Kind and name.
    pub object: String,
    /// The server's words.
    pub message: String,
    /// The statement that failed, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
}

impl ObjectError {
    pub(crate) fn new(object: impl Into<String>, message: impl Into<String>) -> ObjectError {
        ObjectError { object: object.into(), message: message.into(), statement: None }
    }
}

/// Rows of one table that were left out.
#[derive(Clone, Debug, Serialize)]
pub struct SkippedRows {
    /// Schema and name.
    pub table: String,
    /// How many.
    pub rows: u64,
    /// The first of them: COPY text, and the reason.
    pub examples: Vec<ObjectError>,
}

/// One database on its way: what it takes, and where it goes.
struct Place<'a> {
    pub contents: Contents,
    pub picked: choose::Picked,
    pub options: Options,
    /// The target database.
    pub conninfo: ConnInfo,
    pub target: Target,
    pub request: &'a Request,
    /// Several databases are restored.
    pub several: bool,
    /// The backup does not have the contents of all of its large objects.
    pub lacks_large_objects: bool,
    /// SCHEMA entries whose schema the target has already.
    pub standing: HashSet<i32>,
    /// The backup's id.
    pub backup: String,
    /// What an earlier run of the same restore left: it is passed over, or made again.
    pub earlier: Option<marks::Mark>,
    /// This run created the database.
    pub created: AtomicBool,
    /// How far it is.
    pub trail: Trail,
}

impl Place<'_> {
    /// Whether a mark says how far the database is: one that is created with all that the backup holds of it.
    fn is_marked(&self) -> bool {
        self.target == Target::Create && self.request.choice.is_all() && !self.picked.is_some_of_it()
    }

    /// An earlier run of the same restore did all of it.
    fn is_there_already(&self) -> bool {
        matches!(self.earlier, Some(marks::Mark::Whole { .. }))
    }
}

impl Place<'_> {
    /// Says how many tables come, or are left out, that no pattern names.
    fn tell_children(&self, job: &Job) {
        let of_it =
            if self.several { format!("database {}: ", self.contents.database) } else { String::new() };
        for text in self.picked.children().told() {
            job.progress.info(&format!("{of_it}{text}"));
        }
    }
}

/// Restores what was asked for.
pub fn run(repository: &Repository, request: &Request, job: &Job) -> Result<RestoreReport, OpsError> {
    let repository = &job.on(repository);
    let watch = Watch::new(&job.cancel);
    match watch.during(|| restore(repository, request, job, &watch)) {
        Err(error @ OpsError::Interrupted { .. }) => Err(error),
        Err(_) if job.cancel.is_cancelled() => {
            Err(OpsError::Interrupted { left: "nothing was touched in the target".into() })
        }
        other => other,
    }
}

/// The entries that would be restored, as `pg_restore --list` writes them; no server is asked.
pub fn list(
    repository: &Repository,
    backup: &BackupName,
    database: Option<&str>,
    choice: &Choice,
) -> Result<String, OpsError> {
    let backup = inspect::open(repository, backup, Wanted::Logical)?;
    let contents = Contents::of(&backup, &repository.reader()?, database)?;
    let options = Options { create_database: false, ..Options::default() };
    let picked = choose::select(&contents, choice, &options)?;
    Ok(choose::listing(&contents, &picked.selection))
}

fn restore(
    repository: &Repository,
    request: &Request,
    job: &Job,
    watch: &Watch,
) -> Result<RestoreReport, OpsError> {
    let started = Instant::now();
    request.refuse_nonsense()?;
    job.progress.phase("read the backup");
    let backup = inspect::open(repository, &request.backup, Wanted::Logical)?;
    let reader = repository.reader()?;
    let about = About::of(&backup.head)?;
    for (database, read) in about.reads.iter().filter(|(_, read)| !read.filters.is_default()) {
        job.progress.info(&format!(
            "the backup does not hold all of database {database}; it was made with {}",
            serde_json::to_string(&read.filters).unwrap_or_default()
        ));
    }
    let mut places = request.places(&backup, &reader, &about)?;
    for place in &places {
        place.tell_children(job);
    }

    job.progress.phase("look at the target");
    let mut report = RestoreReport::new(&backup, &places);
    let globals = globals::Plan::make(&backup, &reader, request, watch)?;
    for place in &mut places {
        prepare::refuse_impossible(place, &about, &globals, watch, &mut report.notes)?;
    }
    report.notes.extend(globals.differences());
    if request.target == Target::Clean && !request.accept_loss {
        refuse_damaged(repository, &backup)?;
    }
    for place in places.iter().filter(|place| place.target == Target::Clean) {
        let drops = clean::plan(place, watch)?;
        match drops.refusal(place) {
            Some(refusal) if !request.dry_run => return Err(refusal),
            Some(refusal) => {
                let hint = refusal.hint();
                report.refusal.get_or_insert(Refusal { error: refusal.to_string(), hint });
            }
            None => report.notes.extend(drops.losses.iter().map(|loss| format!("dropped for good: {loss}"))),
        }
        report.drops.get_or_insert_default().extend(drops.list);
    }
    let lacking = lacking(&about, request, &places);
    if request.dry_run {
        report.status = if report.refusal.is_some() { "refused" } else { "planned" };
        report.notes.extend(lacking.into_iter().map(|error| format!("{}: {}", error.object, error.message)));
        let plans = places
            .iter()
            .filter(|place| !place.is_there_already())
            .map(|place| choose::plan(&place.contents, &place.picked.selection));
        report.plan = Some(plans.flatten().collect());
        return Ok(report.timed(started, &reader));
    }
    report.drops = None;
    match all_of_it(request, &places, &globals, (&backup, &reader), job, watch, &mut report) {
        Err(_) if job.cancel.is_cancelled() => {
            return Err(OpsError::Interrupted { left: trail::left(&places, request.globals) });
        }
        other => other?,
    }
    report.errors.extend(lacking);
    if !report.errors.is_empty() {
        report.status = "incomplete";
    }
    Ok(report.timed(started, &reader))
}

/// What is known to be damaged may not come back: nothing is dropped for it.
fn refuse_damaged(repository: &Repository, backup: &Backup) -> Result<(), OpsError> {
    let id = backup.head.id;
    if !repository.quarantined_backups()?.contains(&id) {
        return Ok(());
    }
    Err(OpsError::refused(
        format!("backup {id} is damaged: what --clean drops might not come back"),
        "restore into another database (--as NAME --create); `pgark check` names what is damaged, and `pgark repair backups` \
         replaces the backup by one without it; nothing was touched",
    ))
}

/// The globals, then every database.
fn all_of_it(
    request: &Request,
    places: &[Place<'_>],
    globals: &globals::Plan,
    (backup, reader): (&Backup, &DataReader<'_>),
    job: &Job,
    watch: &Watch,
    report: &mut RestoreReport,
) -> Result<(), OpsError> {
    globals.carry_out(request, watch, job, report)?;
    for place in places.iter().filter(|place| !place.is_there_already()) {
        one_database(place, backup, reader, job, watch, report)?;
    }
    for place in places.iter().filter(|place| place.is_marked()) {
        marks::finish(place, job, watch, &mut report.errors)?;
    }
    Ok(())
}

/// From the empty target to the last commit.
fn one_database(
    place: &Place<'_>,
    backup: &Backup,
    reader: &DataReader<'_>,
    job: &Job,
    watch: &Watch,
    report: &mut RestoreReport,
) -> Result<(), OpsError> {
    let request = place.request;
    if place.several {
        job.progress.info(&format!("restoring database {}", place.conninfo.dbname()));
    }
    prepare::make_ready(place, job, watch, &mut report.notes)?;
    place.trail.set(if request.single_transaction { Stage::Transaction } else { Stage::InPart });
    let costs = costs(&place.contents);
    let refresh = refresh::Settings::of(backup, reader, place)?;
    let plan = run::Plan { place, reader, costs, refresh, job, watch, backup: report.id.clone() };
    let mut outcome = if request.single_transaction {
        plan.in_one_transaction(&mut report.notes)?
    } else {
        plan.carry_out()?
    };
    if request.analyze && request.choice.loads_data() {
        plan.analyze(&mut outcome)?;
    }
    plan.make_durable()?;
    place.trail.set(Stage::Done);
    let missing = if request.choice.loads_data() { place.contents.missing() } else { Vec::new() };
    for (dump_id, name) in missing {
        if place.picked.selection.contains(dump_id) {
            let message = "its rows are not in this backup, which is incomplete".to_string();
            outcome.errors.push(ObjectError::new(format!("TABLE DATA {name}"), message));
        }
    }
    if place.several && place.is_marked() && outcome.errors.is_empty() {
        marks::whole(place, watch)?;
    }
    report.add(outcome, place);
    Ok(())
}

impl Request {
    /// Refuses what contradicts itself.
    fn refuse_nonsense(&self) -> Result<(), OpsError> {
        let wrong = |what: &str| Err(OpsError::Usage(what.to_string()));
        if self.accept_loss && self.target != Target::Clean {
            return wrong("--accept-loss is about what --clean drops: give it with --clean");
        }
        if self.single_transaction && self.target == Target::Create {
            return wrong(
                "a database cannot be created within a transaction: --single-transaction goes without --create",
            );
        }
        if self.single_transaction && !matches!(self.databases, Databases::One { .. }) {
            return wrong("--single-transaction restores one database");
        }
        let between = |hook: &Hook| !matches!(hook.moment, Moment::BeforePreData | Moment::AfterPostData);
        if self.single_transaction && self.hooks.iter().any(between) {
            return wrong(
                "--single-transaction has no moments between: a hook is before-pre-data or after-post-data",
            );
        }
        if self.databases == Databases::None && !self.hooks.is_empty() {
            return wrong("hooks belong to databases: --globals-only has none");
        }
        if self.load.overriding_system_value && !self.load.skip_conflicts {
            return wrong(
                "--overriding-system-value concerns inserts; COPY always does so: give it with --on-conflict skip",
            );
        }
        if self.databases == Databases::None && !self.globals {
            return wrong("nothing is left to restore");
        }
        Ok(())
    }

    /// How sessions begin: all of them become the role that was asked for.
    fn session(&self) -> ConnInfo {
        self.conninfo.with_role(self.role.as_deref().or(self.conninfo.role()))
    }

    /// Every database to restore, with what is chosen of it.
    fn places(
        &self,
        backup: &Backup,
        reader: &DataReader<'_>,
        about: &About,
    ) -> Result<Vec<Place<'_>>, OpsError> {
        let wanted: Vec<(Option<String>, Option<String>)> = match &self.databases {
            Databases::One { from, to } => vec![(from.clone(), to.clone())],
            Databases::Named(names) => names.iter().map(|name| (Some(name.clone()), None)).collect(),
            Databases::All => about.databases.iter().map(|name| (Some(name.clone()), None)).collect(),
            Databases::None => Vec::new(),
        };
        let several = !matches!(self.databases, Databases::One { .. });
        let mut places = Vec::new();
        for (from, to) in wanted {
            let mut contents = Contents::of(backup, reader, from.as_deref())?;
            if !self.choice.makes_definitions() {
                load_parents_first(&mut contents.archive);
            }
            let target =
                if several && self.target == Target::Existing { Target::Create } else { self.target };
            let options = Options {
                create_database: target == Target::Create,
                no_owner: self.no_owner,
                no_privileges: self.no_privileges,
                no_tablespaces: self.choice.no_tablespaces,
                ..Options::default()
            };
            let picked = choose::select(&contents, &self.choice, &options)?;
            let conninfo = self.session().with_dbname(to.as_deref().unwrap_or(&contents.database));
            let is_object =
                |kind: &MissingKind| matches!(kind, MissingKind::LargeObject | MissingKind::LargeObjects);
            let lacks_large_objects =
                about.missing_of(&contents.database).any(|missing| is_object(&missing.kind));
            places.push(Place {
                contents,
                picked,
                options,
                conninfo,
                target,
                request: self,
                several,
                lacks_large_objects,
                standing: HashSet::new(),
                backup: backup.head.id.to_string(),
                earlier: None,
                created: AtomicBool::new(false),
                trail: Trail::default(),
            });
        }
        Ok(places)
    }
}

impl RestoreReport {
    fn new(backup: &Backup, places: &[Place<'_>]) -> RestoreReport {
        let names: Vec<&str> = places.iter().map(|place| place.conninfo.dbname()).collect();
        RestoreReport {
            id: backup.head.id.to_string(),
            database: names.join(", "),
            status: "complete",
            tables: 0,
            rows: 0,
            bytes: 0,
            bytes_fetched: 0,
            seconds: 0.0,
            errors: Vec::new(),
            notes: Vec::new(),
            skipped: Vec::new(),
            plan: None,
            drops: None,
            refusal: None,
        }
    }

    fn timed(mut self, started: Instant, reader: &DataReader<'_>) -> RestoreReport {
        self.seconds = seconds(started.elapsed());
        self.bytes_fetched = reader.bytes_fetched();
        self
    }

    fn add(&mut self, outcome: run::Outcome, place: &Place<'_>) {
        self.tables += outcome.tables;
        self.rows += outcome.rows;
        self.bytes += outcome.bytes;
        self.skipped.extend(outcome.skipped);
        let database = place.conninfo.dbname();
        self.notes.extend(outcome.notes.into_iter().map(|note| match place.several {
            true => format!("database {database}: {note}"),
            false => note,
        }));
        self.errors.extend(outcome.errors.into_iter().map(|error| match place.several {
            true => ObjectError { object: format!("database {database}: {}", error.object), ..error },
            false => error,
        }));
    }
}

/// What is asked for as part of a whole, and the backup itself lacks. Rows of tables that it defines are told of with the tables.
fn lacking(about: &About, request: &Request, places: &[Place<'_>]) -> Vec<ObjectError> {
    let is_whole = |place: &&Place<'_>| !place.picked.is_some_of_it();
    let of_databases = places.iter().filter(is_whole).flat_map(|place| place.contents.undefined(about));
    let is_database =
        |missing: &&Missing| missing.kind == MissingKind::Database && request.databases == Databases::All;
    let databases = about.missing.iter().filter(is_database);
    databases
        .chain(of_databases)
        .map(|missing| ObjectError::new(missing.to_string(), "it is not in this backup, which is incomplete"))
        .collect()
}

/// How long each entry will take about, in nanoseconds, by dump id. Only the order of work hangs on it.
fn costs(contents: &Contents) -> HashMap<i32, u64> {
    // Measured on PostgreSQL 15: COPY of narrow and of wide rows, B-trees, foreign keys.
    const LOAD_A_ROW: u64 = 450;
    const LOAD_A_BYTE: u64 = 8;
    const INDEX_A_ROW: u64 = 400;
    const CHECK_A_ROW: u64 = 300;
    // Even an empty table or a comment takes its round trips.
    const ANY: u64 = 300_000;
    let mut costs = HashMap::new();
    let mut rows_of: HashMap<i32, u64> = HashMap::new();
    for toc in contents.archive.entries.iter().filter(|toc| toc.kind() == "TABLE DATA") {
        if let Some((entry, rows)) = contents.tables.get(&toc.dump_id) {
            costs.insert(toc.dump_id, ANY + rows * LOAD_A_ROW + entry.bytes_raw * LOAD_A_BYTE);
            rows_of.extend(toc.dependencies.first().map(|table| (*table, *rows)));
        }
    }
    for toc in &contents.archive.entries {
        let per_row = match toc.kind() {
            "TABLE DATA" => continue,
            "BLOBS" => {
                let bytes = contents.large_objects.as_ref().map_or(0, |entry| entry.bytes_raw);
                costs.insert(toc.dump_id, ANY + bytes * LOAD_A_BYTE);
                continue;
            }
            "INDEX" | "CONSTRAINT" | "MATERIALIZED VIEW DATA" => INDEX_A_ROW,
            "FK CONSTRAINT" | "CHECK CONSTRAINT" => CHECK_A_ROW,
            _ => 0,
        };
        // The referenced table of a foreign key comes among the dependencies too; the first is the one that is read.
        let rows = toc.dependencies.iter().find_map(|id| rows_of.get(id)).copied().unwrap_or(0);
        costs.insert(toc.dump_id, ANY + rows * per_row);
    }
    costs
}
