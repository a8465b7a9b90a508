//! One database: its snapshot, locks and table of contents, and the connection that keeps them
//! until its rows are stored.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use pgark_bytes::archive::Archive;
use pgark_bytes::archive::filter::foreign_keys;
use pgark_bytes::archive::statements::{Options, SessionState, statements};
use pgark_bytes::names::shown;
use pgark_pg::ConnInfo;
use pgark_repo::Class;

use super::catalog::Catalog;
use super::cluster::Survey;
use super::crew::Crew;
use super::definitions::{Definitions, Recall};
use super::describe::{self, DatabaseFacts, DatabaseReport, Finished};
use super::facts_for_masking::FactsForMasking;
use super::lead::{self, Lead};
use super::masking::DatabasePlan;
use super::patterns::{self, Children, Resolved};
use super::request::Request;
use super::selector::Selector;
use super::tap;
use super::work::{Copied, Copying, Orders};
use crate::cluster::Report;
use crate::facts::{DatabaseRead, Missing, Note};
use crate::logical::toc::StoredToc;
use crate::record::seconds;
use crate::watch::Watch;
use crate::{Job, OpsError, paths};

/// How often a database starts again because its schema changed before the locks were held.
const ATTEMPTS: u32 = 10;

/// A database that stands still for us: snapshot, locks, catalog and table of contents that belong
/// together.
pub(super) struct Frozen {
    lead: Lead,
    catalog: Catalog,
    tapped: tap::Tapped,
    /// Whether they are those of the last backup, if this is known.
    definitions: Option<Definitions>,
    pinned: ConnInfo,
    since: Instant,
}

/// The same, as it was read once.
type FrozenOnce = (Lead, Catalog, tap::Tapped, Option<Definitions>);

/// What the catalog says, for the manifest and for masking.
struct Described {
    facts: DatabaseFacts,
    for_masking: FactsForMasking,
}

/// What all databases of a backup share.
pub(super) struct Common<'a> {
    pub request: &'a Request,
    pub survey: &'a Survey,
    pub recall: &'a Recall<'a>,
    pub job: &'a Job,
    pub watch: &'a Watch,
    /// More than one database is backed up.
    pub several: bool,
}

impl Common<'_> {
    fn phase(&self, name: &str) {
        if !self.several {
            self.job.progress.phase(name);
        }
    }

    /// Whether a database may have nothing of what the filters choose: they are those of all
    /// databases.
    pub(super) fn may_be_without(&self, database: &str, error: &OpsError) -> bool {
        let (request, is_of_all) = (self.request, !self.request.filters_of.contains_key(database));
        self.several
            && is_of_all
            && !request.filters.strict_names
            && matches!(error, OpsError::NothingMatches { .. })
    }

    /// Freezes a database; starts again when its schema moved meanwhile.
    pub(super) fn freeze(&self, database: &str) -> Result<Frozen, OpsError> {
        let since = Instant::now();
        let pinned = self.survey.pinned.with_dbname(database);
        let mut attempt = 1;
        loop {
            self.phase("reading the catalog");
            let all = self.request.filters_for(database).take_all_objects();
            let frozen = Lead::connect(&pinned, self.request.lock_wait_timeout, all, self.watch)
                .and_then(|lead| self.freeze_once(lead, &pinned));
            match frozen {
                Ok((lead, catalog, tapped, definitions)) => {
                    return Ok(Frozen { lead, catalog, tapped, definitions, pinned, since });
                }
                Err(error)
                    if attempt < ATTEMPTS && lead::is_stale(&error) && !self.job.cancel.is_cancelled() =>
                {
                    self.job.progress.info(&format!(
                        "the schema changed while it was being read ({error}); taking a new snapshot"
                    ));
                    attempt += 1;
                }
                Err(error) => return Err(lead::name_the_holders(error, &pinned, self.watch)),
            }
        }
    }

    fn freeze_once(&self, mut lead: Lead, pinned: &ConnInfo) -> Result<FrozenOnce, OpsError> {
        let (request, watch) = (self.request, self.watch);
        let filters = request.filters_for(&lead.database);
        let mut catalog = Catalog::read(&mut lead.connection)?;
        let children = Children::read(&mut lead, filters)?;
        let resolved = patterns::resolve(filters, self.survey.tool.major, &catalog, &children, &mut lead)?;
        self.tell_children(&resolved, &lead.database);
        let run_pg_dump = |lead: &mut Lead, catalog: &Catalog, wait: tap::Wait| {
            self.phase("reading the definitions");
            tap::run(&self.survey.tool, pinned, lead, catalog, &resolved, wait, watch)
        };
        if !filters.take_all_objects() {
            Selector::of(filters)?.choose(&mut catalog, &children);
            catalog.refuse_unreadable(&lead.role, request.keep_going)?;
            // Only pg_dump knows what its patterns choose: it goes first, and what it found is
            // locked after it.
            let wait = tap::Wait::alone(request.lock_wait_timeout);
            let tapped = run_pg_dump(&mut lead, &catalog, wait)?.end();
            let found: HashSet<u32> = tapped.archive.entries.iter().map(|entry| entry.oid).collect();
            catalog.choose(|table| found.contains(&table.oid));
            lead.lock(&catalog)?;
            lead::refuse_stale(&catalog, pinned, watch)?;
            return Ok((lead, catalog, tapped, None));
        }
        catalog.refuse_unreadable(&lead.role, request.keep_going)?;
        if lead.holds(&catalog) || lead.can_lock_twice(catalog.lockable().count())? {
            if !lead.holds(&catalog) {
                lead.lock(&catalog)?;
                lead::refuse_stale(&catalog, pinned, watch)?;
            }
            // What the role has no right to read is left out of the definitions: seldom, and not
            // for long.
            let definitions = match catalog.unreadable().next() {
                None => self.recall.of(&mut lead, &resolved.arguments)?,
                Some(_) => None,
            };
            if let Some(archive) = definitions.as_ref().and_then(Definitions::recall) {
                return Ok((lead, catalog, tap::Tapped::recalled(archive), definitions));
            }
            let wait = tap::Wait::behind_the_lead(request.lock_wait_timeout);
            let mut tapped = run_pg_dump(&mut lead, &catalog, wait)?.end();
            if let (Some(definitions), Some(written)) = (&definitions, tapped.take_written()) {
                definitions.keep(&mut lead, &tapped.archive, &written)?;
            }
            Ok((lead, catalog, tapped, definitions))
        } else {
            // Two sets of locks do not fit: pg_dump, blocked on its pipe, keeps the only one (trap
            // 5).
            let wait = tap::Wait::alone(request.lock_wait_timeout);
            let mut tapped = run_pg_dump(&mut lead, &catalog, wait)?;
            if tapped.has_ended() {
                lead.lock(&catalog)?;
                tapped = tapped.end();
            }
            lead::refuse_stale(&catalog, pinned, watch)?;
            Ok((lead, catalog, tapped, None))
        }
    }

    /// Says how many tables come, or are left out, that no pattern names.
    fn tell_children(&self, resolved: &Resolved, database: &str) {
        let of_it = if self.several { format!("database {database}: ") } else { String::new() };
        for text in resolved.children.told() {
            self.job.progress.info(&format!("{of_it}{text}"));
        }
    }

    /// Lets the crew copy the database, and keeps its snapshot and locks until that is done.
    pub(super) fn copy(
        &self,
        frozen: Frozen,
        crew: &Crew<'_>,
        report: &mut Report,
    ) -> Result<Finished, OpsError> {
        let Frozen { mut lead, catalog, mut tapped, definitions, pinned, since } = frozen;
        self.phase("copying tables");
        let salted = crew.copier.destination.maps.salted(&mut lead, &catalog)?;
        let mask =
            |rules| DatabasePlan::make(rules, &mut lead, &tapped.archive, definitions.as_ref(), report);
        let masking = self.request.mask.as_ref().map(mask).transpose()?;
        if let Some(masking) = &masking {
            masking.route(&mut tapped.archive)?;
        }
        let orders = Orders { salted, several: self.several, keep_going: self.request.keep_going, masking };
        let (copying, queue) = Copying::new(&catalog, &tapped, &mut lead, &pinned, orders)?;
        let copying = Arc::new(copying);
        let turn = crew.begin(copying.clone(), queue);
        // Meanwhile, on the connection that has nothing to do.
        let described = describe(&mut lead, &tapped.archive, definitions.as_ref(), crew);
        if described.is_err() {
            crew.give_up(turn, &copying);
        }
        let kept = crew.keep(turn, &mut lead, &copying);
        let Described { facts, for_masking } = described?;
        tapped.archive.show(&|name| facts.shown(name));
        kept.map_err(|error| lead.cause_of(error))?;
        let copied = copying.collect(self.request.keep_going, report)?;
        if let Some(masking) = &copying.masking {
            masking.judge_definitions(&lead.database, report)?;
            masking.prove(&|| crew.copier.check())?;
            let of_it = if self.several { format!("{}: ", lead.database) } else { String::new() };
            for text in masking.told_exceptions() {
                self.job.progress.info(&format!("{of_it}{text}"));
            }
        }
        for setting in ["zero_damaged_pages", "ignore_checksum_failure"] {
            if lead.login.value(setting) == Some("on") {
                let what = format!(
                    "{setting} is on in database {}: rows on damaged pages may be missing from this backup or wrong",
                    lead.database
                );
                report.warn(&what);
            }
        }
        for table in catalog.unreadable() {
            report.lost(Missing::table(
                &lead.database,
                &shown(&table.name.schema),
                &shown(&table.name.name),
                "no right to read it; its definition is missing as well",
            ));
        }
        if !self.request.filters_for(&lead.database).is_default() {
            self.warn_of_cut_keys(&tapped.archive, &facts, &lead.database, report);
        }
        if tapped.lost_the_locks() {
            // No lock kept the tables as they were; that each still is what the snapshot saw proves
            // that none was emptied.
            lead::refuse_stale(&catalog, &pinned, self.watch)?;
        }
        lead.finish()?;
        if let Some(why) = for_masking.finish(&lead.database, crew.copier.destination)? {
            report.warn(&format!(
                "database {}: this backup cannot be masked later, since the server refused what masking needs: {why}",
                lead.database
            ));
        }
        self.finished(lead, &tapped, copied, facts, since, crew)
    }

    /// Filters may leave out what a foreign key refers to: said now, not when it is needed.
    fn warn_of_cut_keys(
        &self,
        archive: &Archive,
        facts: &DatabaseFacts,
        database: &str,
        report: &mut Report,
    ) {
        let of = |kind: &str| -> HashSet<(&[u8], &[u8])> {
            let entries = archive.entries.iter().filter(|entry| entry.kind() == kind);
            entries.map(|entry| (entry.namespace.as_deref().unwrap_or_default(), entry.tag_bytes())).collect()
        };
        let (tables, rows) = (of("TABLE"), of("TABLE DATA"));
        for key in foreign_keys(archive) {
            let (child, parent) = ((&*key.child.0, &*key.child.1), (&*key.parent.0, &*key.parent.1));
            let name = format!("{}.{}", facts.shown(parent.0), facts.shown(parent.1));
            let in_database = if self.several { format!(" of database {database}") } else { String::new() };
            if !tables.contains(&parent) {
                report.warn(&format!(
                    "foreign key {}{in_database} refers to {name}, which the filters exclude",
                    key.tag
                ));
            } else if rows.contains(&child)
                && !rows.contains(&parent)
                && !archive_is_partitioned(archive, parent)
            {
                report.warn(&format!(
                    "foreign key {}{in_database} refers to rows of {name}, which the filters exclude",
                    key.tag
                ));
            }
        }
    }

    fn finished(
        &self,
        lead: Lead,
        tapped: &tap::Tapped,
        copied: Copied,
        facts: DatabaseFacts,
        since: Instant,
        crew: &Crew<'_>,
    ) -> Result<Finished, OpsError> {
        let database = lead.database.clone();
        let stored = copied.store(&database, crew.copier.destination)?;
        let destination = crew.copier.destination;
        let toc = StoredToc::of(&tapped.archive);
        let note = Note::Toc { database: database.clone(), bytes: toc.bytes() };
        let toc_digest = destination.toc(&paths::toc(&database), &toc, note)?;
        let (sql, note) = (definition(&tapped.archive), Note::Definition { database: database.clone() });
        destination.whole(&paths::definition(&database), Class::Data, &sql, note)?;
        let read = DatabaseRead {
            snapshot_time: lead.snapshot_time.clone(),
            lsn: lead.lsn.clone(),
            seconds: seconds(since.elapsed()),
            filters: self.request.filters_for(&database).clone(),
        };
        let report = DatabaseReport { name: database, read };
        let described = describe::database(destination, &report, &facts, &stored, &toc_digest)?;
        Ok(Finished { report, described })
    }
}

/// Reads what the catalog says, on the connection that has nothing to do meanwhile.
fn describe(
    lead: &mut Lead,
    archive: &Archive,
    definitions: Option<&Definitions>,
    crew: &Crew<'_>,
) -> Result<Described, OpsError> {
    let facts = DatabaseFacts::read(lead, archive)?;
    let for_masking = FactsForMasking::store(lead, definitions, crew.copier.destination)?;
    Ok(Described { facts, for_masking })
}

/// A partitioned table has no rows of its own.
fn archive_is_partitioned(archive: &Archive, (schema, name): (&[u8], &[u8])) -> bool {
    archive.entries.iter().any(|entry| {
        entry.kind() == "TABLE"
            && entry.namespace.as_deref() == Some(schema)
            && entry.tag_bytes() == name
            && memchr::memmem::find(entry.defn_bytes(), b"PARTITION BY").is_some()
    })
}

/// The statements that make the database itself: creation, owner, settings, comment, privileges.
fn definition(archive: &Archive) -> Vec<u8> {
    let options = Options { create_database: true, ..Options::default() };
    let mut sql = Vec::new();
    for entry in archive.entries.iter().filter(|entry| entry.is_about_database()) {
        for statement in statements(archive, entry, &options, &mut SessionState::default()) {
            sql.extend_from_slice(statement.sql.trim_ascii());
            sql.push(b'\n');
        }
    }
    sql
}
