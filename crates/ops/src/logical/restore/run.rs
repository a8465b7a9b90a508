//! Carries the plan out: definitions by one connection, then everything else by many, as the
//! schedule allows.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use pgark_bytes::archive::order::{Schedule, Selection, postponed, serial_order};
use pgark_bytes::archive::statements::{self, Purpose, SessionState};
use pgark_bytes::archive::{Archive, Section, TocEntry};
use pgark_pg::Connection;
use pgark_repo::DataReader;

use super::costs::costs;
use super::data::Loader;
use super::hooks::{self, Moment, Surroundings};
use super::place::DatabaseRestore;
use super::plan::Plan;
use super::report::{ObjectError, Outcome, SkippedRows};
use super::request::{Request, Target};
use super::steps::Steps;
use super::together::{Helpers, Shared};
use super::trail::Stage;
use super::{clean, marks, refresh, target};
use crate::error::{Doing, with_causes};
use crate::lock::lock;
use crate::session::keep_role;
use crate::shortage::is_shortage;
use crate::watch::Watch;
use crate::{Job, OpsError};

/// Definitions restored in one transaction: what they create is locked until its end, and locks are
/// few.
const GROUP: usize = 100;

/// How often a statement is tried that the server ended to resolve a deadlock.
const DEADLOCKS: u32 = 10;

/// Everything that the restore of one database needs.
pub(super) struct OneDatabase<'a> {
    pub place: &'a DatabaseRestore<'a>,
    pub reader: &'a DataReader<'a>,
    /// How long each entry takes about, by dump id.
    pub costs: HashMap<i32, u64>,
    /// What materialised views are filled under.
    pub refresh: refresh::Settings,
    pub job: &'a Job,
    pub watch: &'a Watch,
    /// The backup's id, for hooks.
    pub backup: String,
}

impl<'a> OneDatabase<'a> {
    pub(super) fn new(
        plan: &'a Plan<'a>,
        place: &'a DatabaseRestore<'a>,
        job: &'a Job,
        watch: &'a Watch,
    ) -> Result<OneDatabase<'a>, OpsError> {
        let refresh = refresh::Settings::of(plan.backup, plan.reader, place)?;
        let costs = costs(&place.contents);
        let backup = plan.backup.head.id.to_string();
        Ok(OneDatabase { place, reader: plan.reader, costs, refresh, job, watch, backup })
    }
}

/// What the workers share.
struct RunState {
    schedule: Schedule,
    outcome: Outcome,
    busy: usize,
    /// Tables that idle workers may help with.
    shared: Vec<Arc<Shared>>,
    /// Workers that are there; one that gets no connection leaves its task to the others.
    workers: usize,
    left: Vec<Task>,
    /// The error that ends the restore.
    fatal: Option<OpsError>,
    steps: Steps,
}

impl RunState {
    fn new(schedule: Schedule, outcome: Outcome, workers: usize) -> RunState {
        let (shared, left, steps) = (Vec::new(), Vec::new(), Steps::default());
        RunState { schedule, outcome, busy: 0, shared, workers, left, fatal: None, steps }
    }
}

/// Workers that may help with a table, while they have nothing else to do.
struct Idle<'b> {
    board: &'b Mutex<RunState>,
    changed: &'b Condvar,
}

impl Helpers for Idle<'_> {
    fn offer(&self, table: &Arc<Shared>) {
        lock(self.board).shared.push(Arc::clone(table));
        self.changed.notify_all();
    }

    fn take_back(&self, table: &Arc<Shared>) {
        let mut held = lock(self.board);
        held.shared.retain(|other| !Arc::ptr_eq(other, table));
        while table.is_helped() {
            held = self.changed.wait(held).unwrap_or_else(|poison| poison.into_inner());
        }
    }
}

/// What a worker does next.
enum Task {
    /// An entry of the archive.
    Entry(usize),
    /// Rows of a table that another worker loads.
    Help(Arc<Shared>),
}

/// One connection, and the settings that it has now.
struct Hand {
    connection: Connection,
    state: SessionState,
    /// Helpers that the server grants an index build, and what this connection asks for now.
    helpers: usize,
    helpers_now: usize,
}

impl Hand {
    /// Index builds may take helper processes only in place of workers that have nothing to do: all
    /// together are then about as many as the jobs that were asked for. With more of them than
    /// cores, every build costs more and none is faster.
    fn ask_for_helpers(&mut self, free_jobs: usize) -> Result<(), OpsError> {
        let wanted = self.helpers.min(free_jobs);
        if wanted != self.helpers_now {
            let sql = format!("SET max_parallel_maintenance_workers = {wanted}");
            self.connection.execute(&sql).doing("prepare an index build")?;
            self.helpers_now = wanted;
        }
        Ok(())
    }
}

impl OneDatabase<'_> {
    /// Restores every selected entry. Objects that fail are in the outcome; only what ends the
    /// restore is an error.
    pub(super) fn carry_out(&self) -> Result<Outcome, OpsError> {
        self.hooks(Moment::BeforePreData)?;
        let between = |moment: Moment| matches!(moment, Moment::AfterData | Moment::BeforePostData);
        let mut outcome = if self.request().hooks.iter().any(|hook| between(hook.moment)) {
            // Indexes otherwise begin as soon as their table is loaded; what runs between needs the
            // two apart.
            let postponed = postponed(self.archive());
            let is_early = |entry: &TocEntry| {
                matches!(entry.section, Section::PreData | Section::Data)
                    && !postponed.contains(&entry.dump_id)
            };
            let (mut early, mut late) =
                (self.place.picked.selection.clone(), self.place.picked.selection.clone());
            early.retain(self.archive(), |entry| is_early(entry) && !entry.is_acl());
            late.retain(self.archive(), |entry| !is_early(entry) || entry.is_acl());
            let mut outcome = self.schedule(&early, Outcome::default(), true)?;
            self.hooks(Moment::AfterData)?;
            self.hooks(Moment::BeforePostData)?;
            outcome = self.schedule(&late, outcome, false)?;
            outcome
        } else {
            self.schedule(&self.place.picked.selection, Outcome::default(), true)?
        };
        // Everything is there by now: what fails here is reported, not undone.
        if let Err(error) = self.hooks(Moment::AfterPostData) {
            if self.job.cancel.is_cancelled() {
                return Err(error);
            }
            outcome.errors.push(ObjectError::new("HOOK after-post-data", with_causes(&error)));
        }
        Ok(outcome)
    }

    fn schedule(&self, selection: &Selection, outcome: Outcome, is_first: bool) -> Result<Outcome, OpsError> {
        let triggers_fire = !self.request().load.disable_triggers;
        let schedule = Schedule::with_triggers(self.archive(), selection, triggers_fire, &|dump_id| {
            self.costs.get(&dump_id).copied().unwrap_or(0)
        });
        let mut board = RunState::new(schedule, outcome, self.request().jobs.max(1));
        board.steps = Steps::of(self.archive(), selection);
        let board = Mutex::new(board);
        if !self.place.several {
            self.job.progress.phase("restoring definitions");
        }
        self.definitions(&board)?;
        if is_first {
            self.hooks(Moment::AfterPreData)?;
            self.hooks(Moment::BeforeData)?;
        }
        if !self.place.several {
            self.job.progress.phase("restoring rows and indexes");
        }
        self.job.progress.total_bytes(self.bytes_selected());
        lock(&board).steps.tell(&*self.job.progress);
        let changed = Condvar::new();
        thread::scope(|scope| {
            for _ in 0..self.request().jobs.max(1) {
                scope.spawn(|| self.work(&board, &changed));
            }
        });
        let board = board.into_inner().unwrap_or_else(|poison| poison.into_inner());
        match board.fatal {
            Some(error) => Err(error),
            None => Ok(board.outcome),
        }
    }

    /// Everything over one connection, in one transaction: what fails undoes it all.
    pub(super) fn in_one_transaction(&self, notes: &mut Vec<String>) -> Result<Outcome, OpsError> {
        self.hooks(Moment::BeforePreData)?;
        self.job.progress.phase("restoring in one transaction");
        self.job.progress.total_bytes(self.bytes_selected());
        let mut hand = self.connect()?;
        hand.connection.execute("BEGIN").doing("start the restore's transaction")?;
        if self.place.target == Target::Clean {
            clean::drop_all(self.place, &mut hand.connection, notes)?;
        }
        let schedule = Schedule::new(self.archive(), &self.place.picked.selection, &|_| 0);
        let mut board = RunState::new(schedule, Outcome::default(), 1);
        for index in serial_order(self.archive(), &self.place.picked.selection) {
            self.job.cancel.check().map_err(|_| OpsError::Cancelled)?;
            let Some(toc) = self.archive().entries.get(index) else { continue };
            let name = toc.describe();
            self.job.progress.object_started(&name);
            let fresh = board.schedule.created_here(index);
            let result =
                self.statements(&mut hand, toc).and_then(|()| self.data(&mut hand, toc, fresh, None));
            self.job.progress.object_done(&name);
            board.book(index, result?);
        }
        self.place.trail.set(Stage::Committing);
        hand.connection.execute("COMMIT").doing("commit the restore")?;
        self.place.trail.set(Stage::Done);
        self.hooks(Moment::AfterPostData)?;
        Ok(board.outcome)
    }

    pub(super) fn request(&self) -> &Request {
        self.place.request
    }

    fn archive(&self) -> &Archive {
        &self.place.contents.archive
    }

    fn hooks(&self, moment: Moment) -> Result<(), OpsError> {
        let around = Surroundings {
            conninfo: &self.place.conninfo,
            backup: &self.backup,
            job: self.job,
            watch: self.watch,
        };
        hooks::run(&self.request().hooks, moment, &around)
    }

    /// Bytes of the rows and large objects that are restored.
    fn bytes_selected(&self) -> u64 {
        let contents = &self.place.contents;
        let is_selected = |id: i32| self.place.picked.selection.contains(id);
        let tables =
            contents.tables.iter().filter(|(id, _)| is_selected(**id)).map(|(_, (entry, _))| entry.bytes_raw);
        let blobs =
            self.archive().entries.iter().any(|toc| toc.kind() == "BLOBS" && is_selected(toc.dump_id));
        let objects = contents.large_objects.as_ref().filter(|_| blobs).map_or(0, |entry| entry.bytes_raw);
        tables.sum::<u64>() + objects
    }

    /// The restore's transactions did not wait for the disk ([`pgark_pg::SETTINGS`]); this last one
    /// does, by the server's own setting or, where that is not to wait, for this server's disk.
    /// What was written before it is then safe too.
    pub(super) fn make_durable(&self) -> Result<(), OpsError> {
        let mut hand = self.connect()?;
        let sql = "SELECT pg_catalog.set_config(name, CASE reset_val WHEN 'off' THEN 'local' ELSE reset_val END, false) \
                   FROM pg_catalog.pg_settings WHERE name = 'synchronous_commit'; \
                   SELECT pg_catalog.pg_logical_emit_message(true, 'pgark', 'restored')";
        for statement in pgark_bytes::sql::split(sql.as_bytes()) {
            hand.connection.simple_bytes(statement).doing("wait until everything is on disk")?;
        }
        Ok(())
    }

    fn connect(&self) -> Result<Hand, OpsError> {
        self.hand(target::connect(self.place, self.watch)?)
    }

    fn hand(&self, mut connection: Connection) -> Result<Hand, OpsError> {
        let doing = "prepare a connection to the target";
        let rows = connection.query("SHOW max_parallel_maintenance_workers", &[]).doing(doing)?;
        let helpers = rows.first().map(|row| row.parse(0)).transpose().doing(doing)?.unwrap_or(0);
        Ok(Hand { connection, state: SessionState::default(), helpers, helpers_now: helpers })
    }

    /// What must come before the first row, in pg_dump's order, on one connection.
    fn definitions(&self, board: &Mutex<RunState>) -> Result<(), OpsError> {
        let mut hand = self.connect()?;
        let order: Vec<usize> = lock(board).schedule.pre_data().to_vec();
        let entries = &self.place.contents.archive.entries;
        let alone = |index: &usize| entries.get(*index).is_some_and(TocEntry::is_about_database);
        for group in order.chunk_by(|a, b| !alone(a) && !alone(b)).flat_map(|group| group.chunks(GROUP)) {
            self.job.cancel.check().map_err(|_| OpsError::Cancelled)?;
            if group.len() > 1 && self.restore_group(&mut hand, group)? {
                let mut board = lock(board);
                group.iter().for_each(|index| board.schedule.done(*index));
                continue;
            }
            for index in group {
                let Some(toc) = entries.get(*index) else { continue };
                let result = self.restore_one(&mut hand, toc, false, None);
                self.note(&mut lock(board), *index, toc, result)?;
            }
            if group.iter().any(alone) {
                // The database's own settings hold from the next connection on.
                drop(hand);
                hand = self.connect()?;
            }
        }
        Ok(())
    }

    /// Restores several definitions in one round trip and one transaction. False: one of them
    /// failed, so none is there; who calls goes through them one by one and learns which.
    fn restore_group(&self, hand: &mut Hand, group: &[usize]) -> Result<bool, OpsError> {
        let mut state = hand.state.clone();
        let mut sql = Vec::new();
        for toc in group.iter().filter_map(|index| self.place.contents.archive.entries.get(*index)) {
            for statement in
                statements::statements(&self.place.contents.archive, toc, &self.place.options, &mut state)
            {
                if self.is_made_already(toc, statement.purpose) {
                    continue;
                }
                sql.extend(keep_role(statement.sql, &hand.connection));
                // A statement may end with a comment.
                sql.extend_from_slice(b"\n;\n");
            }
        }
        if sql.is_empty() {
            hand.state = state;
            return Ok(true);
        }
        match hand.connection.simple_bytes(&sql).doing("restore definitions") {
            Ok(_) => {
                hand.state = state;
                Ok(true)
            }
            Err(error) if error.is_refusal() && !self.job.cancel.is_cancelled() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn work(&self, board: &Mutex<RunState>, changed: &Condvar) {
        let mut hand = None;
        while let Some(task) = self.next(board, changed) {
            let connected = match &hand {
                Some(_) => Ok(()),
                None => self.connect_worker(board).map(|own| hand = own),
            };
            if connected.is_ok() && hand.is_none() {
                return self.leave(board, changed, task);
            }
            let result = connected.and_then(|()| match &task {
                Task::Entry(index) => self.work_one(&mut hand, board, changed, *index),
                Task::Help(shared) => self.help(&mut hand, shared),
            });
            let mut held = lock(board);
            held.busy -= 1;
            if let Task::Help(shared) = task {
                shared.leave();
            }
            if let Err(error) = result {
                held.fatal.get_or_insert(error);
            }
            changed.notify_all();
        }
        changed.notify_all();
    }

    /// None: the server gives no more connections, and other workers are there. The last one waits
    /// for its connection.
    fn connect_worker(&self, board: &Mutex<RunState>) -> Result<Option<Hand>, OpsError> {
        match target::connect_beside(self.place, self.watch) {
            Err(error) if is_shortage(&error) => {
                let mut held = lock(board);
                if held.workers > 1 {
                    held.workers -= 1;
                    drop(held);
                    self.job.progress.warn(&format!(
                        "the server allows no more connections, the restore continues with fewer: {}",
                        with_causes(&error)
                    ));
                    return Ok(None);
                }
                drop(held);
                self.connect().map(Some)
            }
            other => self.hand(other?).map(Some),
        }
    }

    fn leave(&self, board: &Mutex<RunState>, changed: &Condvar, task: Task) {
        let mut held = lock(board);
        held.busy -= 1;
        match task {
            Task::Help(shared) => shared.leave(),
            entry @ Task::Entry(_) => held.left.push(entry),
        }
        changed.notify_all();
    }

    /// The next entry for this worker; waits while others may still make one ready.
    fn next(&self, board: &Mutex<RunState>, changed: &Condvar) -> Option<Task> {
        let mut held = lock(board);
        loop {
            if self.job.cancel.is_cancelled() {
                held.fatal.get_or_insert(OpsError::Cancelled);
            }
            if held.fatal.is_some() {
                return None;
            }
            let left = held.left.pop();
            if let Some(task) = left.or_else(|| held.schedule.next_ready().map(Task::Entry)) {
                held.busy += 1;
                return Some(task);
            }
            if let Some(shared) = held.shared.iter().find(|shared| shared.has_more()).map(Arc::clone) {
                shared.join();
                held.busy += 1;
                return Some(Task::Help(shared));
            }
            if held.busy == 0 {
                return None;
            }
            held = changed.wait(held).unwrap_or_else(|poison| poison.into_inner());
        }
    }

    /// Helps with a table that another worker answers for: an error is its error.
    fn help(&self, hand: &mut Option<Hand>, shared: &Shared) -> Result<(), OpsError> {
        let own = match hand {
            Some(own) => own,
            None => hand.insert(self.connect()?),
        };
        if !shared.help(&self.loader(), &mut own.connection) {
            *hand = None;
        }
        Ok(())
    }

    fn work_one(
        &self,
        hand: &mut Option<Hand>,
        board: &Mutex<RunState>,
        changed: &Condvar,
        index: usize,
    ) -> Result<(), OpsError> {
        let Some(toc) = self.place.contents.archive.entries.get(index) else { return Ok(()) };
        let hand = match hand {
            Some(hand) => hand,
            None => hand.insert(self.connect()?),
        };
        let (created_here, busy) = {
            let held = lock(board);
            (held.schedule.created_here(index), held.busy)
        };
        if matches!(toc.kind(), "INDEX" | "CONSTRAINT") {
            hand.ask_for_helpers(self.request().jobs.saturating_sub(busy))?;
        }
        let name = toc.describe();
        self.job.progress.object_started(&name);
        let result = self.restore_one(hand, toc, created_here, Some(&Idle { board, changed }));
        self.job.progress.object_done(&name);
        let mut held = lock(board);
        held.steps.done(toc, &*self.job.progress);
        self.note(&mut held, index, toc, result)
    }

    /// Books the end of one entry. An error of the server on one object is recorded and the restore
    /// goes on; anything else (a lost connection, an unreadable backup, a cancel) ends it.
    fn note(
        &self,
        board: &mut RunState,
        index: usize,
        toc: &TocEntry,
        result: Result<Done, OpsError>,
    ) -> Result<(), OpsError> {
        let error = match result {
            Ok(done) => {
                board.book(index, done);
                return Ok(());
            }
            // What is there only because a chosen object needs it may have been there before.
            Err(error) if self.place.picked.is_helper(toc.dump_id) && is_duplicate(&error) => {
                self.job.progress.info(&format!("{} already exists and is kept", toc.describe()));
                board.book(index, Done::default());
                return Ok(());
            }
            Err(error) if self.is_of_others(toc, &error) => {
                let message = with_causes(&error);
                self.job.progress.warn(&format!("{} is not changed: {message}", toc.describe()));
                board.book(index, Done::default());
                return Ok(());
            }
            Err(error)
                if self.place.picked.keys_to_extensions.contains(&toc.dump_id) && is_undefined(&error) =>
            {
                board.outcome.notes.push(format!(
                    "foreign key {} is left out: its parent table is neither restored nor created by an extension",
                    toc.tag_str()
                ));
                board.book(index, Done::default());
                return Ok(());
            }
            Err(error) => error,
        };
        if needs_other_rows(&error) && !self.job.cancel.is_cancelled() && board.schedule.try_again(index) {
            let message = with_causes(&error);
            self.job
                .progress
                .info(&format!("{}: {message}; will be retried after the other rows", toc.describe()));
            return Ok(());
        }
        let skipped = board.schedule.failed(index);
        if error.sqlstate().is_none() || self.job.cancel.is_cancelled() {
            return Err(error);
        }
        let message = with_causes(&error);
        self.job.progress.warn(&format!("{}: {message}", toc.describe()));
        let statement = statement_of(&error);
        board.outcome.errors.push(ObjectError { statement, ..ObjectError::new(toc.describe(), message) });
        if let Some(data) = skipped.and_then(|data| self.place.contents.archive.entries.get(data)) {
            let message = "not loaded, because its table could not be created".to_string();
            board.outcome.errors.push(ObjectError::new(data.describe(), message));
        }
        if self.request().exit_on_error { Err(error) } else { Ok(()) }
    }

    /// Restores one entry: its statements, then its data. After an error the connection is out of
    /// its transaction.
    fn restore_one(
        &self,
        hand: &mut Hand,
        toc: &TocEntry,
        created_here: bool,
        helpers: Option<&dyn Helpers>,
    ) -> Result<Done, OpsError> {
        let result = self.statements(hand, toc).and_then(|()| self.data(hand, toc, created_here, helpers));
        match result {
            Err(error) if error.sqlstate().is_some() => match hand.connection.execute("ROLLBACK") {
                Ok(()) => Err(error),
                Err(_) => Err(OpsError::Lost { source: Box::new(error) }),
            },
            other => other,
        }
    }

    fn statements(&self, hand: &mut Hand, toc: &TocEntry) -> Result<(), OpsError> {
        for statement in
            statements::statements(&self.place.contents.archive, toc, &self.place.options, &mut hand.state)
        {
            if self.is_made_already(toc, statement.purpose) {
                continue;
            }
            let sql = if toc.is_about_database() {
                let to = self.place.conninfo.dbname().as_bytes();
                statements::rename_database(&statement.sql, self.place.contents.database.as_bytes(), to)
            } else {
                keep_role(statement.sql, &hand.connection)
            };
            // Several statements in one query share a transaction; those of the database's
            // properties may not.
            let pieces = if toc.kind() == "DATABASE PROPERTIES" {
                pgark_bytes::sql::split(&sql).into_iter().map(<[u8]>::to_vec).collect()
            } else {
                vec![sql]
            };
            for piece in pieces {
                let piece = match toc.kind() {
                    "MATERIALIZED VIEW DATA" => {
                        self.refresh.around(piece, self.job, || target::connect(self.place, self.watch))?
                    }
                    _ => piece,
                };
                self.run_piece(hand, toc, &piece)?;
            }
        }
        Ok(())
    }

    /// The database itself was made before anything else, and schemas may have come with it.
    fn is_made_already(&self, toc: &TocEntry, purpose: Purpose) -> bool {
        // A mark has its place until the run is over.
        if self.place.is_marked() && marks::is_comment(toc) {
            return true;
        }
        let is_there = toc.kind() == "DATABASE" || self.place.standing.contains(&toc.dump_id);
        is_there && purpose == Purpose::Definition
    }

    /// What came with the database belongs to whoever made that: its owner and its comment may not
    /// be ours to change.
    fn is_of_others(&self, toc: &TocEntry, error: &OpsError) -> bool {
        const INSUFFICIENT_PRIVILEGE: &str = "42501";
        let on_extension = toc.kind() == "COMMENT" && toc.tag_bytes().starts_with(b"EXTENSION ");
        error.sqlstate() == Some(INSUFFICIENT_PRIVILEGE)
            && (on_extension || self.place.standing.contains(&toc.dump_id))
    }

    /// One query, again if the server ended it to resolve a deadlock: the archive's dependencies do
    /// not tell which entries lock parts of the same partition tree
    /// (`ALTER INDEX … ATTACH PARTITION` during an index build). Nothing of it is left then.
    fn run_piece(&self, hand: &mut Hand, toc: &TocEntry, piece: &[u8]) -> Result<(), OpsError> {
        const DEADLOCK: &str = "40P01";
        let mut attempt = 1;
        loop {
            let result = hand.connection.simple_bytes(piece).map_err(|source| OpsError::Statement {
                doing: format!("restore {}", toc.describe()),
                statement: String::from_utf8_lossy(piece).trim().to_string(),
                source,
            });
            let may_retry = !self.request().single_transaction && attempt < DEADLOCKS;
            match result {
                Err(error) if error.sqlstate() == Some(DEADLOCK) && may_retry => {
                    self.job.progress.info(&format!("{}: deadlock; retrying", toc.describe()));
                    attempt += 1;
                }
                other => return other.map(|_| ()),
            }
        }
    }

    fn loader(&self) -> Loader<'_> {
        Loader {
            reader: self.reader,
            job: self.job,
            load: &self.request().load,
            in_transaction: self.request().single_transaction,
        }
    }

    /// `helpers`: idle workers, who may load a part of it.
    fn data(
        &self,
        hand: &mut Hand,
        toc: &TocEntry,
        created_here: bool,
        helpers: Option<&dyn Helpers>,
    ) -> Result<Done, OpsError> {
        let loader = self.loader();
        match toc.kind() {
            "TABLE DATA" => {
                // What an incomplete backup does not have is reported at the end.
                let Some((entry, rows)) = self.place.contents.tables.get(&toc.dump_id) else {
                    return Ok(Done::default());
                };
                let fresh = created_here && !toc.loads_via_partition_root();
                let shared = Shared::pays(entry, self.request().jobs, self.bytes_selected());
                let (loaded, skipped) = match helpers.filter(|_| fresh && shared) {
                    Some(helpers) => {
                        let shared = Shared::new(toc, entry);
                        (shared.load(&loader, &mut hand.connection, toc, helpers)?, None)
                    }
                    None => loader.table(&mut hand.connection, toc, entry, fresh)?,
                };
                let left_out = skipped.as_ref().map_or(0, |skipped| skipped.rows);
                if loaded + left_out != *rows {
                    return Err(OpsError::refused(
                        format!(
                            "{}: the backup contains {rows} rows, the target accepted {loaded} and {left_out} were skipped",
                            toc.describe()
                        ),
                        "this is a defect of pgark; please report it",
                    ));
                }
                Ok(Done { tables: 1, rows: loaded, bytes: entry.bytes_raw, skipped })
            }
            // All objects are in one entry of the backup; the first BLOBS entry of the archive
            // brings them all.
            "BLOBS" if self.is_first_of_its_kind(toc) => {
                let Some(entry) = &self.place.contents.large_objects else { return Ok(Done::default()) };
                loader.large_objects(&mut hand.connection, entry)?;
                Ok(Done { bytes: entry.bytes_raw, ..Done::default() })
            }
            _ => Ok(Done::default()),
        }
    }

    fn is_first_of_its_kind(&self, toc: &TocEntry) -> bool {
        let first = self.place.contents.archive.entries.iter().find(|other| other.kind() == toc.kind());
        first.is_some_and(|first| first.dump_id == toc.dump_id)
    }
}

/// What one entry brought.
#[derive(Default)]
struct Done {
    tables: u64,
    rows: u64,
    bytes: u64,
    skipped: Option<SkippedRows>,
}

impl RunState {
    fn book(&mut self, index: usize, done: Done) {
        self.outcome.tables += done.tables;
        self.outcome.rows += done.rows;
        self.outcome.bytes += done.bytes;
        self.outcome.skipped.extend(done.skipped);
        self.schedule.done(index);
    }
}

/// Duplicate schema, table or type, function, object.
fn is_duplicate(error: &OpsError) -> bool {
    matches!(error.sqlstate(), Some("42P06" | "42P07" | "42723" | "42710"))
}

/// No such table or schema.
fn is_undefined(error: &OpsError) -> bool {
    matches!(error.sqlstate(), Some("42P01" | "3F000"))
}

/// A check, a foreign key or a function refused a row: it may be that it looked for rows of a table
/// that was not loaded yet.
fn needs_other_rows(error: &OpsError) -> bool {
    let codes =
        ["23514", "23503", "23502", "P0001", "P0002", "P0003", "P0004", "21000", "22004", "22012", "39004"];
    error.sqlstate().is_some_and(|code| codes.contains(&code))
}

/// The statement that the server refused, at most so much of it.
fn statement_of(error: &OpsError) -> Option<String> {
    const MOST: usize = 2000;
    match error {
        OpsError::Statement { statement, .. } if statement.chars().count() > MOST => {
            Some(format!("{} …", statement.chars().take(MOST).collect::<String>()))
        }
        OpsError::Statement { statement, .. } => Some(statement.clone()),
        _ => None,
    }
}
