//! The order in which entries may be restored: `pg_restore`'s rules, as a schedule for many
//! workers.
//!
//! The dependencies in a TOC do not are enough by themselves. A restore also has to know:
//!
//! * **Three passes.** Privileges come after everything of the main pass, because an owner may have
//!   revoked rights from himself; event triggers and the refreshing of materialised views come last
//!   of all, because the first would fire and the second may need the privileges.
//! * **Pre-data is serial.** It runs in the archive's order on one connection; `pg_dump` sorted it
//!   so.
//! * **Post-data waits for rows.** A post-data entry that names a TABLE means that table's data,
//!   where the archive has any.
//! * **Locks.** Apart from CREATE INDEX, post-data takes exclusive locks on the tables it depends
//!   on. Two entries, of which one locks what the other uses, never run at once: two foreign keys
//!   in opposite directions would deadlock.
//! * **Partitions.** What is done to a partitioned table is done to its partitions: a trigger on
//!   the root locks every one, and fires for each row that is loaded after it. It waits for the
//!   partitions' rows, and never runs at the same time as something that uses one.
//! * **What functions read.** A check, a generated column, an index may call a function that looks
//!   into another table: `waits.rs` says what waits for that, and what an extension's own tables
//!   wait for.
//! * **Definitions behind the rows.** pg_dump puts a materialised view that needs a primary key
//!   among the post-data, and with it the views and functions that read it, though these still say
//!   that they are pre-data ([`postponed`]).
//! * **Second try.** Rows that are refused although they wait for what is known are tried once more
//!   when all other rows are there.
//! * **Cycles.** What is left after the last pass could not be ordered; it runs alone, in the
//!   archive's order.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};

pub use super::dependencies::name_all_dependencies;
use super::model::{Archive, Section, TocEntry};
use super::passes::data_of;
pub use super::passes::{Pass, pass};
pub use super::selection::Selection;
use super::unnamed::{unnamed_partitions, unnamed_triggers};
use super::waits::Waits;

/// Indexes into `archive.entries` in the order of a restore by one connection: three passes, each
/// in the archive's order, except rows, and contents of materialised views, that wait for later
/// ones.
pub fn serial_order(archive: &Archive, selection: &Selection) -> Vec<usize> {
    let mut order = Vec::new();
    let moved = Waits::of(&archive.entries, selection, true).moved(&archive.entries);
    for wanted in [Pass::Main, Pass::Acl, Pass::PostAcl] {
        order.extend((0..archive.entries.len()).filter_map(|place| {
            let index = moved.get(&place).copied().unwrap_or(place);
            let e = archive.entries.get(index)?;
            (!e.is_setting() && selection.contains(e.dump_id) && pass(e) == wanted).then_some(index)
        }));
    }
    order
}

/// For each TABLE's dump id the index of its TABLE DATA entry.
pub fn table_data(archive: &Archive) -> HashMap<i32, usize> {
    data_of(&archive.entries)
}

/// Definitions that belong behind the rows, whatever their section says: what needs something of
/// the post-data, and the rows of such tables. By dump id.
pub fn postponed(archive: &Archive) -> HashSet<i32> {
    let mut late: HashSet<i32> =
        archive.entries.iter().filter(|e| e.section == Section::PostData).map(|e| e.dump_id).collect();
    let mut postponed = HashSet::new();
    loop {
        let before = postponed.len();
        for entry in &archive.entries {
            let is_definition = entry.section == Section::PreData;
            let is_rows = entry.kind() == "TABLE DATA";
            if (is_definition || is_rows)
                && !late.contains(&entry.dump_id)
                && entry.dependencies.iter().any(|id| late.contains(id))
            {
                late.insert(entry.dump_id);
                postponed.insert(entry.dump_id);
            }
        }
        // Nearly always one round: an entry comes after what it needs.
        if postponed.len() == before {
            return postponed;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Waits for dependencies or for its pass.
    Pending,
    /// Could run now.
    Ready,
    /// Handed out.
    Running,
    /// Done, failed or never to be run.
    Over,
}

#[derive(Debug)]
struct Item {
    dump_id: i32,
    pass: Pass,
    size: u64,
    /// Size of the longest way from here to the end, itself included.
    rank: u64,
    state: State,
    selected: bool,
    /// Unfinished dependencies.
    waits_for: usize,
    /// Indexes of the entries that need this one.
    needed_by: Vec<usize>,
    /// Dump ids that it uses, after repointing.
    uses: Vec<i32>,
    /// Those of them that it locks exclusively.
    locks: Vec<i32>,
    /// TABLE: index of its data.
    data: Option<usize>,
    /// TABLE DATA: this restore created the table.
    created: bool,
    /// TABLE DATA that is selected, and not yet over.
    is_rows: bool,
    /// It began before all other rows were there, and was not tried twice.
    may_retry: bool,
}

/// Hands out entries to workers, one at a time, each as soon as it may run.
///
/// Use: first restore [`Schedule::pre_data`] in order on one connection and report each to
/// [`Schedule::done`] or [`Schedule::failed`]. Then give every idle worker what
/// [`Schedule::next_ready`] returns and report its end the same way. When it returns `None`, wait
/// until a worker ends; when no worker is busy, the restore is finished.
#[derive(Debug)]
pub struct Schedule {
    items: Vec<Item>,
    pre_data: Vec<usize>,
    /// Entries that could run now: highest rank first, then in the order of dump ids.
    ready: BTreeSet<(Reverse<u64>, i32, usize)>,
    current: Pass,
    /// Pre-data has been taken out; from now on entries become ready.
    running_phase: bool,
    /// All passes are over; what is left is in cycles.
    leftovers: bool,
    running: usize,
    /// How many running entries use, and how many lock, a dump id.
    used: HashMap<i32, usize>,
    locked: HashMap<i32, usize>,
    cyclic: Vec<usize>,
    /// Rows that were refused, and are tried again at the end of the pass.
    again: Vec<usize>,
    /// How many TABLE DATA entries are not over.
    rows_left: usize,
}

impl Item {
    /// Stands for the end of several entries; it is never handed out.
    fn knot(dump_id: i32, uses: Vec<i32>) -> Item {
        Item {
            dump_id,
            pass: Pass::Main,
            size: 0,
            rank: 0,
            state: State::Pending,
            selected: false,
            waits_for: 0,
            needed_by: Vec::new(),
            uses,
            locks: Vec::new(),
            data: None,
            created: false,
            is_rows: false,
            may_retry: false,
        }
    }

    /// The place among those that are ready: first what most work hangs on; privileges in the
    /// archive's order, because a role that grants on may need what an earlier entry grants to it.
    fn key(&self, index: usize) -> (Reverse<u64>, i32, usize) {
        match self.pass {
            Pass::Acl => (Reverse(0), i32::MIN, index),
            Pass::Main | Pass::PostAcl => (Reverse(self.rank), self.dump_id, index),
        }
    }
}

impl Schedule {
    /// A schedule for the selected entries. `size` gives, per dump id, how much work an entry is,
    /// in any unit. Of what may run, that goes first on which the longest way to the end hangs (its
    /// own work, then the work that waits for it): a small table whose key many wait for does not
    /// come last.
    pub fn new(archive: &Archive, selection: &Selection, size: &dyn Fn(i32) -> u64) -> Schedule {
        Self::with_triggers(archive, selection, true, size)
    }

    /// Like [`Self::new`]. `triggers_fire`: on tables that were there before, while their rows are
    /// loaded.
    pub fn with_triggers(
        archive: &Archive,
        selection: &Selection,
        triggers_fire: bool,
        size: &dyn Fn(i32) -> u64,
    ) -> Schedule {
        let entries = &archive.entries;
        let data_of = table_data(archive);
        let mut by_id: HashMap<i32, usize> =
            entries.iter().enumerate().map(|(i, e)| (e.dump_id, i)).collect();
        let postponed = postponed(archive);
        let mut items: Vec<Item> = entries
            .iter()
            .map(|e| Item {
                dump_id: e.dump_id,
                pass: pass(e),
                size: size(e.dump_id),
                rank: 0,
                state: State::Pending,
                selected: !e.is_setting() && selection.contains(e.dump_id),
                waits_for: 0,
                needed_by: Vec::new(),
                uses: Vec::new(),
                locks: Vec::new(),
                data: if e.kind() == "TABLE" { data_of.get(&e.dump_id).copied() } else { None },
                created: false,
                is_rows: e.kind() == "TABLE DATA" && selection.contains(e.dump_id),
                may_retry: false,
            })
            .collect();
        for (index, below) in unnamed_partitions(entries) {
            if let Some(item) = items.get_mut(index) {
                item.uses = below;
            }
        }
        for (index, entry) in entries.iter().enumerate() {
            let post_data = entry.section == Section::PostData || postponed.contains(&entry.dump_id);
            repoint(
                index,
                entry,
                post_data && entry.kind() != "TABLE DATA",
                entries,
                &by_id,
                &data_of,
                &mut items,
            );
        }
        after_their_triggers(entries, &mut items);
        heed(&Waits::of(entries, selection, triggers_fire), entries, &mut items);
        by_id.extend(items.iter().enumerate().skip(entries.len()).map(|(index, item)| (item.dump_id, index)));
        for index in 0..items.len() {
            let uses = items.get(index).map(|i| i.uses.clone()).unwrap_or_default();
            for id in uses {
                let Some(&needed) = by_id.get(&id) else { continue };
                if let Some(item) = items.get_mut(needed) {
                    item.needed_by.push(index);
                }
                if let Some(item) = items.get_mut(index) {
                    item.waits_for += 1;
                }
            }
        }
        rank(&mut items);
        let rows_left = items.iter().filter(|item| item.is_rows).count();
        let mut schedule = Schedule {
            items,
            pre_data: Vec::new(),
            ready: BTreeSet::new(),
            current: Pass::Main,
            running_phase: false,
            leftovers: false,
            running: 0,
            used: HashMap::new(),
            locked: HashMap::new(),
            cyclic: Vec::new(),
            again: Vec::new(),
            rows_left,
        };
        schedule.take_pre_data(entries, &postponed);
        schedule.running_phase = true;
        schedule.admit();
        schedule
    }

    /// Indexes of the entries to restore first, in this order, on one connection.
    pub fn pre_data(&self) -> &[usize] {
        &self.pre_data
    }

    /// The index of an entry that may run now together with those that are running, the most urgent
    /// first. It counts as running until [`Self::done`] or [`Self::failed`].
    ///
    /// `None` while entries are running means: nothing yet. `None` while nothing is running means:
    /// finished.
    pub fn next_ready(&mut self) -> Option<usize> {
        loop {
            if self.leftovers {
                return self.next_leftover();
            }
            // What is not wanted takes no locks; it only has to get out of the way of what waits
            // for it.
            let may_go = |key: &&(Reverse<u64>, i32, usize)| !self.selected(key.2) || !self.conflicts(key.2);
            let found = self.ready.iter().find(may_go).copied();
            if let Some(key) = found {
                self.ready.remove(&key);
                let index = key.2;
                if self.selected(index) {
                    self.start(index);
                    return Some(index);
                }
                self.finish(index);
            } else if self.running > 0 {
                return None;
            } else if !self.again.is_empty() {
                for index in std::mem::take(&mut self.again) {
                    if let Some(item) = self.items.get_mut(index) {
                        item.state = State::Ready;
                        self.ready.insert(item.key(index));
                    }
                }
            } else {
                match self.current {
                    Pass::Main => self.current = Pass::Acl,
                    Pass::Acl => self.current = Pass::PostAcl,
                    Pass::PostAcl => self.leftovers = true,
                }
                self.admit();
            }
        }
    }

    /// The entry was restored.
    pub fn done(&mut self, index: usize) {
        let data = self.items.get(index).and_then(|i| i.data);
        if let Some(data) = data.and_then(|d| self.items.get_mut(d)) {
            data.created = true;
        }
        self.stop(index);
    }

    /// The entry failed. What depends on it is tried all the same (it may have been there before),
    /// except a failed TABLE's data, which is skipped: the index of the TABLE DATA entry is
    /// returned for the report.
    pub fn failed(&mut self, index: usize) -> Option<usize> {
        let data = self.items.get(index).and_then(|i| i.data);
        let mut skipped = None;
        if let Some(item) = data.and_then(|d| self.items.get_mut(d))
            && item.selected
            && matches!(item.state, State::Pending | State::Ready)
        {
            item.selected = false;
            self.rows_left -= usize::from(std::mem::take(&mut item.is_rows));
            skipped = data;
        }
        self.stop(index);
        skipped
    }

    /// The server refused a TABLE DATA entry's rows, of which nothing is left. True if they are
    /// handed out once more when all other rows are there; otherwise the caller reports the entry
    /// as failed. Rows that wait for these do not wait any longer: they may be what these looked
    /// for.
    pub fn try_again(&mut self, index: usize) -> bool {
        let Some(item) = self.items.get_mut(index) else { return false };
        if !item.may_retry || item.state != State::Running {
            return false;
        }
        item.may_retry = false;
        item.is_rows = false;
        item.state = State::Pending;
        // Nothing counts this down: it is made ready when all else is over.
        item.waits_for = usize::MAX;
        self.running -= 1;
        self.rows_left -= 1;
        release(&mut self.used, &item.uses);
        release(&mut self.locked, &item.locks);
        let needed_by = std::mem::take(&mut item.needed_by);
        self.again.push(index);
        let rest = self.count_off_rows(needed_by);
        for &key in &rest {
            // Rows also wait for the keys of those that they read.
            let needed_by = self.items.get_mut(key).map(|item| std::mem::take(&mut item.needed_by));
            let rest = self.count_off_rows(needed_by.unwrap_or_default());
            if let Some(item) = self.items.get_mut(key) {
                item.needed_by = rest;
            }
        }
        if let Some(item) = self.items.get_mut(index) {
            item.needed_by = rest;
        }
        true
    }

    /// Of entries that wait, rows wait for one less. Returns the others.
    fn count_off_rows(&mut self, waiting: Vec<usize>) -> Vec<usize> {
        let (rows, rest): (Vec<usize>, Vec<usize>) =
            waiting.into_iter().partition(|&other| self.items.get(other).is_some_and(|item| item.is_rows));
        for other in rows {
            self.count_off(other);
        }
        rest
    }

    /// A TABLE DATA entry's table was created by this very restore (its TABLE entry was reported as
    /// done): only then may the table be truncated and loaded with FREEZE. Loads through a
    /// partition root never may, which [`TocEntry::loads_via_partition_root`] tells.
    pub fn created_here(&self, data_index: usize) -> bool {
        self.items.get(data_index).is_some_and(|i| i.created)
    }

    /// Entries that depend on each other in a circle and were therefore handed out alone, after the
    /// rest.
    pub fn cyclic(&self) -> &[usize] {
        &self.cyclic
    }

    /// Entries that are selected and not yet handed out.
    pub fn remaining(&self) -> usize {
        self.items.iter().filter(|i| i.selected && matches!(i.state, State::Pending | State::Ready)).count()
    }

    /// Pre-data in order, and what is among it and belongs to no section, until the first data
    /// entry.
    fn take_pre_data(&mut self, entries: &[TocEntry], postponed: &HashSet<i32>) {
        let mut skipped_some = false;
        for (index, entry) in entries.iter().enumerate() {
            let now = match entry.section {
                Section::PreData => true,
                Section::None => !skipped_some,
                Section::Data | Section::PostData => {
                    skipped_some = true;
                    false
                }
            };
            if !now || pass(entry) != Pass::Main || postponed.contains(&entry.dump_id) {
                continue;
            }
            // Its dependents never wait for it: the caller runs all of these before the first
            // worker starts.
            self.finish(index);
            if self.selected(index) {
                self.pre_data.push(index);
            }
        }
    }

    /// Moves to the ready set what has no dependency left and belongs to the current pass (or to an
    /// earlier one: an entry that waited for a later pass).
    fn admit(&mut self) {
        let current = self.current;
        for (index, item) in self.items.iter_mut().enumerate() {
            if item.state == State::Pending && item.waits_for == 0 && item.pass <= current {
                item.state = State::Ready;
                self.ready.insert(item.key(index));
            }
        }
    }

    fn selected(&self, index: usize) -> bool {
        self.items.get(index).is_some_and(|i| i.selected)
    }

    /// The entry locks what a running one uses, or the other way round.
    fn conflicts(&self, index: usize) -> bool {
        self.items.get(index).is_some_and(|item| {
            (item.pass == Pass::Acl && self.running > 0)
                || item.locks.iter().any(|id| self.used.contains_key(id))
                || item.uses.iter().any(|id| self.locked.contains_key(id))
        })
    }

    fn start(&mut self, index: usize) {
        let others_left = self.rows_left > 1;
        let Some(item) = self.items.get_mut(index) else { return };
        item.state = State::Running;
        item.may_retry = item.is_rows && others_left;
        self.running += 1;
        for id in &item.uses {
            *self.used.entry(*id).or_default() += 1;
        }
        for id in &item.locks {
            *self.locked.entry(*id).or_default() += 1;
        }
    }

    fn stop(&mut self, index: usize) {
        let Some(item) = self.items.get(index) else { return };
        if item.state != State::Running {
            return; // pre-data, or reported twice
        }
        self.running -= 1;
        release(&mut self.used, &item.uses);
        release(&mut self.locked, &item.locks);
        self.finish(index);
    }

    /// Marks the entry as over and counts it off at those that wait for it.
    fn finish(&mut self, index: usize) {
        let Some(item) = self.items.get_mut(index) else { return };
        item.state = State::Over;
        if std::mem::take(&mut item.is_rows) {
            self.rows_left -= 1;
        }
        for dependent in std::mem::take(&mut item.needed_by) {
            self.count_off(dependent);
        }
    }

    /// An entry waits for one less.
    fn count_off(&mut self, index: usize) {
        let Some(other) = self.items.get_mut(index) else { return };
        other.waits_for = other.waits_for.saturating_sub(1);
        // While pre-data is being taken nothing is made ready: `ready` is filled by `admit` then.
        if other.waits_for == 0
            && other.state == State::Pending
            && other.pass <= self.current
            && self.running_phase
        {
            other.state = State::Ready;
            self.ready.insert(other.key(index));
        }
    }

    /// Cycles: one at a time, never together with another. The first pass with anything left goes
    /// first; in it what waits for nothing, else the archive's first entry, whose unfinished
    /// dependencies are then ignored.
    fn next_leftover(&mut self) -> Option<usize> {
        while self.running == 0 {
            let left = self.items.iter().enumerate();
            let (index, blocked, selected) = left
                .filter(|(_, i)| matches!(i.state, State::Pending | State::Ready))
                .min_by_key(|(index, i)| (i.pass, i.waits_for > 0, *index))
                .map(|(index, i)| (index, i.waits_for > 0, i.selected))?;
            if !selected {
                self.finish(index);
                continue;
            }
            if blocked {
                self.cyclic.push(index);
            }
            self.start(index);
            return Some(index);
        }
        None
    }
}

fn release(held: &mut HashMap<i32, usize>, ids: &[i32]) {
    for id in ids {
        if let Some(count) = held.get_mut(id) {
            *count -= 1;
            if *count == 0 {
                held.remove(id);
            }
        }
    }
}

/// Fills in every entry's rank, from the end to the beginning. What lies in a circle keeps its own
/// size.
fn rank(items: &mut [Item]) {
    let mut needed_by: Vec<usize> = items.iter().map(|item| item.needed_by.len()).collect();
    let by_id: HashMap<i32, usize> =
        items.iter().enumerate().map(|(index, item)| (item.dump_id, index)).collect();
    let mut ready: Vec<usize> = (0..items.len()).filter(|index| needed_by.get(*index) == Some(&0)).collect();
    for item in items.iter_mut() {
        item.rank = item.size;
    }
    while let Some(index) = ready.pop() {
        let Some(item) = items.get(index) else { continue };
        let (mut longest, mut one_by_one, mut beside) = (0, 0u64, 0);
        for other in item.needed_by.iter().filter_map(|dependent| items.get(*dependent)) {
            longest = longest.max(other.rank);
            // Those that lock it run one after the other, whatever the number of workers.
            if other.locks.contains(&item.dump_id) {
                one_by_one = one_by_one.saturating_add(other.size);
            } else {
                beside = beside.max(other.size);
            }
        }
        let after = longest.max(one_by_one.saturating_add(beside));
        let uses = item.uses.clone();
        if let Some(item) = items.get_mut(index) {
            item.rank = item.size.saturating_add(after);
        }
        for needed in uses.iter().filter_map(|id| by_id.get(id)) {
            if let Some(count) = needed_by.get_mut(*needed) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    ready.push(*needed);
                }
            }
        }
    }
}

fn after_their_triggers(entries: &[TocEntry], items: &mut [Item]) {
    for (index, triggers) in unnamed_triggers(entries) {
        if let Some(item) = items.get_mut(index) {
            item.uses.extend(triggers);
        }
    }
}

/// No entry has this dump id. Attaching an index makes its parent valid if it is the last, and so
/// on up the tree; two at once in different branches do not see each other, and the root's index
/// stays invalid forever.
const ONE_ATTACH_AT_A_TIME: i32 = i32::MIN;
/// Nor these: the end of the rows that wait for no others; the end of the keys that need nothing
/// but their table.
const PLAIN_ROWS: i32 = i32::MIN + 1;
const PLAIN_KEYS: i32 = i32::MIN + 2;

/// Rows whose load reads another table also wait for that table's keys: each row would otherwise be
/// a scan of it.
fn keys_before_readers(waits: &Waits, entries: &[TocEntry], items: &mut [Item]) {
    let rows_read: HashSet<i32> = waits
        .on
        .iter()
        .filter(|(index, _)| entries.get(**index).is_some_and(|entry| entry.kind() == "TABLE DATA"))
        .flat_map(|(_, others)| {
            others.iter().filter_map(|&other| entries.get(other)).map(|entry| entry.dump_id)
        })
        .collect();
    let early: HashSet<i32> =
        entries.iter().filter(|entry| entry.section == Section::PreData).map(|entry| entry.dump_id).collect();
    let mut keys: HashMap<i32, Vec<i32>> = HashMap::new();
    for (index, (entry, item)) in entries.iter().zip(items.iter()).enumerate() {
        if entry.kind() != "CONSTRAINT" || waits.after_rows.contains(&index) {
            continue;
        }
        let mut of = item.uses.iter().filter(|id| !early.contains(id));
        // It needs nothing but that table, so no circle comes of it.
        if let (Some(&table), None) = (of.next(), of.next())
            && rows_read.contains(&table)
        {
            keys.entry(table).or_default().push(entry.dump_id);
        }
    }
    for index in waits.on.keys() {
        if entries.get(*index).is_some_and(|entry| entry.kind() == "TABLE DATA")
            && let Some(item) = items.get_mut(*index)
        {
            let more: Vec<i32> = item.uses.iter().filter_map(|id| keys.get(id)).flatten().copied().collect();
            item.uses.extend(more);
        }
    }
}

/// Makes the items wait as [`Waits`] says.
fn heed(waits: &Waits, entries: &[TocEntry], items: &mut Vec<Item>) {
    let ids = |indexes: &[usize]| -> Vec<i32> {
        indexes.iter().filter_map(|&index| entries.get(index)).map(|entry| entry.dump_id).collect()
    };
    for (&index, others) in &waits.on {
        if let Some(item) = items.get_mut(index) {
            let own = item.dump_id;
            let more = ids(others).into_iter().filter(|id| *id != own && !item.uses.contains(id));
            let more: Vec<i32> = more.collect();
            item.uses.extend(more);
        }
    }
    keys_before_readers(waits, entries, items);
    for &index in &waits.after_views {
        if let Some(item) = items.get_mut(index) {
            item.pass = Pass::PostAcl;
        }
    }
    if waits.late.is_empty() && waits.after_rows.is_empty() {
        return;
    }
    // What waits for one of these, by whatever way, cannot be waited for.
    let mut waited_by: HashMap<i32, Vec<usize>> = HashMap::new();
    for (index, item) in items.iter().enumerate() {
        for id in &item.uses {
            waited_by.entry(*id).or_default().push(index);
        }
    }
    let mut behind: HashSet<usize> = HashSet::new();
    let mut open: Vec<usize> = waits.late.iter().chain(&waits.after_rows).copied().collect();
    while let Some(index) = open.pop() {
        if behind.insert(index)
            && let Some(item) = items.get(index)
        {
            open.extend(waited_by.get(&item.dump_id).into_iter().flatten());
        }
    }
    let plain = |test: &dyn Fn(&TocEntry) -> bool| -> Vec<i32> {
        let all = entries.iter().enumerate();
        all.filter(|(index, entry)| test(entry) && !behind.contains(index))
            .map(|(_, entry)| entry.dump_id)
            .collect()
    };
    items.push(Item::knot(PLAIN_ROWS, plain(&|entry| entry.section == Section::Data)));
    items.push(Item::knot(PLAIN_KEYS, plain(&|entry| entry.kind() == "CONSTRAINT")));
    let mut last = PLAIN_ROWS;
    for &index in &waits.late {
        if let Some(item) = items.get_mut(index) {
            item.uses.push(last);
            last = item.dump_id;
        }
    }
    for &index in &waits.after_rows {
        if let Some(item) = items.get_mut(index) {
            item.uses.extend([last, PLAIN_KEYS]);
        }
    }
}

/// Fills in what an entry uses and locks. What it uses without naming it is in its item.
fn repoint(
    index: usize,
    entry: &TocEntry,
    post_data: bool,
    entries: &[TocEntry],
    by_id: &HashMap<i32, usize>,
    data_of: &HashMap<i32, usize>,
    items: &mut [Item],
) {
    let unnamed = items.get_mut(index).map(|item| std::mem::take(&mut item.uses)).unwrap_or_default();
    let mut uses = Vec::with_capacity(entry.dependencies.len() + unnamed.len());
    let mut seen = HashSet::new();
    for &dependency in entry.dependencies.iter().chain(&unnamed) {
        let data = if post_data { data_of.get(&dependency) } else { None };
        let id = match data.and_then(|&d| items.get(d)) {
            Some(item) => item.dump_id,
            None => dependency,
        };
        if id != entry.dump_id && by_id.contains_key(&id) && seen.insert(id) {
            uses.push(id);
        }
    }
    let locks = if post_data && entry.kind() != "INDEX" {
        let is_table = |id: &i32| {
            by_id
                .get(id)
                .and_then(|&i| entries.get(i))
                .is_some_and(|e| matches!(e.kind(), "TABLE" | "TABLE DATA"))
        };
        uses.iter().copied().filter(is_table).collect()
    } else {
        Vec::new()
    };
    let (mut uses, mut locks): (Vec<i32>, Vec<i32>) = (uses, locks);
    if entry.kind() == "INDEX ATTACH" {
        uses.push(ONE_ATTACH_AT_A_TIME);
        locks.push(ONE_ATTACH_AT_A_TIME);
    }
    if let Some(item) = items.get_mut(index) {
        item.uses = uses;
        item.locks = locks;
    }
}
