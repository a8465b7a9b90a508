//! The planner's statistics, at the end.
//!
//! The rows are there by then: a table that the server does not analyze is reported, and the
//! restore is as good as without. Statistics on expressions call functions, which may find others
//! only by a search path; a partition may be a foreign table whose server is not reachable.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use pgark_bytes::archive::order::serial_order;
use pgark_bytes::archive::{Section, TocEntry};
use pgark_bytes::sql::quote_ident_bytes;
use pgark_pg::Connection;

use super::report::Outcome;
use super::run::OneDatabase;
use super::target;
use crate::OpsError;
use crate::error::{Doing, with_causes};
use crate::lock::lock;
use crate::shortage::is_shortage;

impl OneDatabase<'_> {
    /// Planner statistics of every table that holds rows, and of partitioned tables, by many
    /// connections.
    pub(super) fn analyze(&self, outcome: &mut Outcome) -> Result<(), OpsError> {
        self.job.progress.phase("analyzing tables");
        let archive = &self.place.contents.archive;
        // A table that could not be made is in the report already.
        let failed: HashSet<&str> = outcome.errors.iter().map(|error| error.object.as_str()).collect();
        let tables: Vec<&TocEntry> = serial_order(archive, &self.place.picked.selection)
            .into_iter()
            .filter_map(|index| archive.entries.get(index))
            .filter(|toc| match toc.kind() {
                "TABLE" | "MATERIALIZED VIEW" => matches!(toc.section, Section::PreData | Section::PostData),
                // Rows into a table that was there. What else they wait for comes after their
                // table.
                "TABLE DATA" | "MATERIALIZED VIEW DATA" => {
                    !toc.dependencies.first().is_some_and(|id| self.place.picked.selection.contains(*id))
                }
                _ => false,
            })
            .filter(|toc| !failed.contains(toc.describe().as_str()))
            .collect();
        let (all, done) = (tables.len() as u64, AtomicU64::new(0));
        let counted = tables.into_iter().inspect(|_| {
            self.job.progress.counted("tables", done.fetch_add(1, Ordering::Relaxed), all);
        });
        let next = Mutex::new(counted.peekable());
        let notes: Mutex<Vec<String>> = Mutex::new(Vec::new());
        let results: Vec<Result<(), OpsError>> = thread::scope(|scope| {
            let workers: Vec<_> = (0..self.request().jobs.max(1))
                .map(|_| {
                    scope.spawn(|| match target::connect_beside(self.place, self.watch) {
                        // Others do it, or it is done below.
                        Err(error) if is_shortage(&error) => Ok(()),
                        connection => self.analyze_some(connection?, &next, &notes),
                    })
                })
                .collect();
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        results.into_iter().collect::<Result<(), OpsError>>()?;
        if lock(&next).peek().is_some() {
            self.analyze_some(target::connect(self.place, self.watch)?, &next, &notes)?;
        }
        outcome.notes.extend(notes.into_inner().unwrap_or_else(|poison| poison.into_inner()));
        Ok(())
    }

    fn analyze_some<'t>(
        &self,
        mut connection: Connection,
        next: &Mutex<impl Iterator<Item = &'t TocEntry>>,
        notes: &Mutex<Vec<String>>,
    ) -> Result<(), OpsError> {
        loop {
            self.job.cancel.check().map_err(|_| OpsError::Cancelled)?;
            let Some(toc) = lock(next).next() else { return Ok(()) };
            let mut sql = b"ANALYZE ".to_vec();
            sql.extend(quote_ident_bytes(toc.namespace.as_deref().unwrap_or_default()));
            sql.push(b'.');
            sql.extend(quote_ident_bytes(toc.tag_bytes()));
            if let Err(error) = one(&mut connection, &sql) {
                if !error.is_refusal() || self.job.cancel.is_cancelled() {
                    return Err(error);
                }
                lock(notes).push(format!(
                    "{} has no planner statistics, because ANALYZE failed; its rows are complete: {}",
                    toc.describe(),
                    with_causes(&error)
                ));
            }
        }
    }
}

/// Analyzes one table: under the path that a restore uses, which is empty, and if that does not
/// work under the database's own, as autovacuum does.
fn one(connection: &mut Connection, sql: &[u8]) -> Result<(), OpsError> {
    let doing = "analyze a table";
    match connection.simple_bytes(sql).doing(doing) {
        Err(error) if error.is_refusal() && error.sqlstate() != Some("57014") => {}
        other => return other.map(|_| ()),
    }
    connection.execute("RESET search_path").doing(doing)?;
    let result = connection.simple_bytes(sql).doing(doing).map(|_| ());
    if result.as_ref().err().is_none_or(OpsError::is_refusal) {
        connection.execute("SET search_path = ''").doing(doing)?;
    }
    result
}
