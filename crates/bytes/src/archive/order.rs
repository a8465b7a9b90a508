//! The order in which entries may be restored: `pg_restore`'s rules, as a schedule for many workers.
//!
//! The dependencies in a TOC do not suffice by themselves. A restore also has to know:
//!
//! * **Three passes.** Privileges come after everything of the main pass, because an owner may have revoked
//!   rights from himself; event triggers and the refreshing of materialised views come last of all, because the
//!   first would fire and the second may need the privileges.
//! * **Pre-data is serial.** It runs in the archive's order on one connection; `pg_dump` sorted it so.
//! * **Post-data waits for rows.** A post-data entry that names a TABLE means that table's data, where the
//!   archive has any.
//! * **Locks.** Apart from CREATE INDEX, post-data takes exclusive locks on the tables it depends on. Two
//!   entries, of which one locks what the other uses, never run at once: two foreign keys in opposite
//!   directions would deadlock.
//! * **Partitions.** What is done to a partitioned table is done to its partitions: a trigger on the root locks every one, and
//!   fires for each row that is loaded after it. It waits for the partitions' rows, and runs beside nothing that uses one.
//! * **Cycles.** What is left after the last pass could not be ordered; it runs alone, in the archive's order.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};

use super::model::{Archive, Section, TocEntry};
pub use super::selection::Selection;

/// The three passes of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pass {
    /// Everything else.
    Main,
    /// Privileges.
    Acl,
    /// Event triggers and what belongs to them, materialised views' contents and the statistics after them.
    PostAcl,
}

/// The pass that an entry belongs to.
pub fn pass(entry: &TocEntry) -> Pass {
    if entry.is_acl() {
        return Pass::Acl;
    }
    let late = match entry.kind() {
        "EVENT TRIGGER" | "MATERIALIZED VIEW DATA" => true,
        // They go where their object goes; ACLs and view contents have none.
        "COMMENT" | "SECURITY LABEL" => entry.tag_bytes().starts_with(b"EVENT TRIGGER "),
        // Statistics of a materialised view would be overwritten by its refresh.
        "STATISTICS DATA" => entry.section == Section::PostData,
        _ => false,
    };
    if late { Pass::PostAcl } else { Pass::Main }
}

/// Indexes into `archive.entries` in the order of a restore by one connection: three passes, each in the
/// archive's order.
pub fn serial_order(archive: &Archive, selection: &Selection) -> Vec<usize> {
    let mut order = Vec::new();
    for wanted in [Pass::Main, Pass::Acl, Pass::PostAcl] {
        order.extend(archive.entries.iter().enumerate().filter_map(|(index, e)| {
            (!e.is_setting() && selection.contains(e.dump_id) && pass(e) == wanted).then_some(index)
        }));
    }
    order
}

/// For each TABLE's dump id the index of its TABLE DATA entry.
pub fn table_data(archive: &Archive) -> HashMap<i32, usize> {
    archive
        .entries
        .iter()
        .enumerate()
        .filter(|(_, e)| e.kind() == "TABLE DATA")
        .filter_map(|(index, e)| e.dependencies.first().map(|&table| (table, index)))
        .collect()
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
}

/// Hands out entries to workers, one at a time, each as soon as it may run.
///
/// Use: first restore [`Schedule::pre_data`] in order on one connection and report each to
/// [`Schedule::done`] or [`Schedule::failed`]. Then give every idle worker what
/// [`Schedule::next_ready`] returns and report its end the same way. When it returns `None`, wait until a
/// worker ends; when no worker is busy, the restore is finished.
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
}

impl Item {
    /// The place among those that are ready: first what most work hangs on; privileges in the archive's order, because a role that
    /// grants on may need what an earlier entry grants to it.
    fn key(&self, index: usize) -> (Reverse<u64>, i32, usize) {
        match self.pass {
            Pass::Acl => (Reverse(0), i32::MIN, index),
            Pass::Main | Pass::PostAcl => (Reverse(self.rank), self.dump_id, index),
        }
    }
}

impl Schedule {
    /// A schedule for the selected entries. `size` gives, per dump id, how much work an entry is, in any unit. Of what may
    /// run, that goes first on which the longest way to the end hangs (its own work, then the work that waits for it):
    /// a small table whose key many wait for does not come last.
    pub fn new(archive: &Archive, selection: &Selection, size: &dyn Fn(i32) -> u64) -> Schedule {
        let entries = &archive.entries;
        let data_of = table_data(archive);
        let by_id: HashMap<i32, usize> = entries.iter().enumerate().map(|(i, e)| (e.dump_id, i)).collect();
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
            })
            .collect();
        for (index, below) in unnamed_partitions(entries) {
            if let Some(item) = items.get_mut(index) {
                item.uses = below;
            }
        }
        for (index, entry) in entries.iter().enumerate() {
            repoint(index, entry, entries, &by_id, &data_of, &mut items);
        }
        after_their_triggers(entries, &mut items);
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
        };
        schedule.take_pre_data(entries);
        schedule.running_phase = true;
        schedule.admit();
        schedule
    }

    /// Indexes of the entries to restore first, in this order, on one connection.
    pub fn pre_data(&self) -> &[usize] {
        &self.pre_data
    }

    /// The index of an entry that may run now beside those that are running, the most urgent first. It counts as
    /// running until [`Self::done`] or [`Self::failed`].
    ///
    /// `None` while entries are running means: nothing yet. `None` while nothing is running means: finished.
    pub fn next_ready(&mut self) -> Option<usize> {
        loop {
            if self.leftovers {
                return self.next_leftover();
            }
            // What is not wanted takes no locks; it only has to get out of the way of what waits for it.
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

    /// The entry failed. What depends on it is tried all the same (it may have been there before), except a
    /// failed TABLE's data, which is skipped: the index of the TABLE DATA entry is returned for the report.
    pub fn failed(&mut self, index: usize) -> Option<usize> {
        let data = self.items.get(index).and_then(|i| i.data);
        let mut skipped = None;
        if let Some(item) = data.and_then(|d| self.items.get_mut(d))
            && item.selected
            && matches!(item.state, State::Pending | State::Ready)
        {
            item.selected = false;
            skipped = data;
        }
        self.stop(index);
        skipped
    }

    /// A TABLE DATA entry's table was created by this very restore (its TABLE entry was reported as done):
    /// only then may the table be truncated and loaded with FREEZE. Loads through a partition root never may,
    /// which [`TocEntry::loads_via_partition_root`] tells.
    pub fn created_here(&self, data_index: usize) -> bool {
        self.items.get(data_index).is_some_and(|i| i.created)
    }

    /// Entries that depend on each other in a circle and were therefore handed out alone, after the rest.
    pub fn cyclic(&self) -> &[usize] {
        &self.cyclic
    }

    /// Entries that are selected and not yet handed out.
    pub fn remaining(&self) -> usize {
        self.items.iter().filter(|i| i.selected && matches!(i.state, State::Pending | State::Ready)).count()
    }

    /// Pre-data in order, and what stands among it and belongs to no section, until the first data entry.
    fn take_pre_data(&mut self, entries: &[TocEntry]) {
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
            if !now || pass(entry) != Pass::Main {
                continue;
            }
            // Its dependents never wait for it: the caller runs all of these before the first worker starts.
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
        let Some(item) = self.items.get_mut(index) else { return };
        item.state = State::Running;
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
        for dependent in std::mem::take(&mut item.needed_by) {
            let Some(other) = self.items.get_mut(dependent) else { continue };
            other.waits_for = other.waits_for.saturating_sub(1);
            // While pre-data is being taken nothing is made ready: `ready` is filled by `admit` then.
            if other.waits_for == 0
                && other.state == State::Pending
                && other.pass <= self.current
                && self.running_phase
            {
                other.state = State::Ready;
                self.ready.insert(other.key(dependent));
            }
        }
    }

    /// Cycles: one at a time, never beside another. The first pass with anything left goes first; in it what
    /// waits for nothing, else the archive's first entry, whose unfinished dependencies are then ignored.
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

/// Fills in every entry's rank, from the end to the beginning. What lies in a circle keeps its own size.
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

/// A trigger that a partition inherits and only sets another way (`ALTER TABLE … ENABLE|DISABLE TRIGGER`) names no
/// dependency on the trigger that it inherits: it waits for every trigger that is created. The indexes of entries that wait,
/// each with what it waits for.
fn unnamed_triggers(entries: &[TocEntry]) -> Vec<(usize, Vec<i32>)> {
    let is_setting =
        |e: &TocEntry| e.kind() == "TRIGGER" && e.defn_bytes().trim_ascii_start().starts_with(b"ALTER TABLE");
    let created: Vec<i32> =
        entries.iter().filter(|e| e.kind() == "TRIGGER" && !is_setting(e)).map(|e| e.dump_id).collect();
    let lacks = |e: &TocEntry| created.iter().copied().filter(|id| !e.dependencies.contains(id)).collect();
    entries.iter().enumerate().filter(|(_, e)| is_setting(e)).map(|(index, e)| (index, lacks(e))).collect()
}

/// The partitions, and theirs, of each partitioned table, by dump id. What attaches a partition depends on it and on its parent, and has its
/// name. (pg_dump before 14 writes that into the table's own entry: there nothing is found.)
fn partitions(entries: &[TocEntry]) -> HashMap<i32, Vec<i32>> {
    let tables: HashMap<i32, &TocEntry> =
        entries.iter().filter(|e| e.kind() == "TABLE").map(|e| (e.dump_id, e)).collect();
    let mut below: HashMap<i32, Vec<i32>> = HashMap::new();
    for attach in entries.iter().filter(|e| e.kind() == "TABLE ATTACH") {
        let named = |id: &&i32| {
            let table = tables.get(*id);
            table.is_some_and(|table| table.tag == attach.tag && table.namespace == attach.namespace)
        };
        let Some(&child) = attach.dependencies.iter().find(named) else { continue };
        let is_parent = |id: &&i32| **id != child && tables.contains_key(*id);
        if let Some(&parent) = attach.dependencies.iter().find(is_parent) {
            below.entry(parent).or_default().push(child);
        }
    }
    let all = |root: i32| {
        let (mut found, mut open) = (Vec::new(), vec![root]);
        let mut seen = HashSet::from([root]);
        while let Some(table) = open.pop() {
            for &child in below.get(&table).into_iter().flatten().filter(|child| seen.insert(**child)) {
                found.push(child);
                open.push(child);
            }
        }
        found
    };
    below.keys().map(|&root| (root, all(root))).collect()
}

/// Post-data of partitioned tables, except indexes, which are made table by table: the indexes of entries, each with the
/// partitions that it does not name.
fn unnamed_partitions(entries: &[TocEntry]) -> Vec<(usize, Vec<i32>)> {
    let below = partitions(entries);
    if below.is_empty() {
        return Vec::new();
    }
    let goes_down = |e: &TocEntry| {
        e.section == Section::PostData
            && pass(e) == Pass::Main
            && !matches!(e.kind(), "INDEX" | "INDEX ATTACH")
    };
    let missing = |e: &TocEntry| {
        let known: HashSet<i32> = e.dependencies.iter().copied().collect();
        let mut ids: Vec<i32> =
            e.dependencies.iter().filter_map(|id| below.get(id)).flatten().copied().collect();
        ids.sort_unstable();
        ids.dedup();
        ids.retain(|id| !known.contains(id));
        ids
    };
    let entries = entries.iter().enumerate().filter(|(_, e)| goes_down(e));
    entries.map(|(index, e)| (index, missing(e))).filter(|(_, ids)| !ids.is_empty()).collect()
}

fn after_their_triggers(entries: &[TocEntry], items: &mut [Item]) {
    for (index, triggers) in unnamed_triggers(entries) {
        if let Some(item) = items.get_mut(index) {
            item.uses.extend(triggers);
        }
    }
}

/// Writes into the archive what its dependencies leave out and a [`Schedule`] knows, for a parallel pg_restore of it: an
/// inherited trigger is set after it was made; what is done to a partitioned table waits for its partitions; rights in a schema come after those on it; indexes of partitions are attached
/// one after the other.
pub fn name_all_dependencies(archive: &mut Archive) {
    for (index, triggers) in unnamed_triggers(&archive.entries) {
        if let Some(entry) = archive.entries.get_mut(index) {
            entry.dependencies.extend(triggers);
        }
    }
    for (index, below) in unnamed_partitions(&archive.entries) {
        if let Some(entry) = archive.entries.get_mut(index) {
            entry.dependencies.extend(below);
        }
    }
    // Who grants on by what he was granted must be let into the schema first.
    let schemas: HashMap<Vec<u8>, i32> = archive
        .entries
        .iter()
        .filter(|entry| entry.kind() == "ACL")
        .filter_map(|entry| Some((entry.tag_bytes().strip_prefix(b"SCHEMA ")?.to_vec(), entry.dump_id)))
        .collect();
    for entry in archive.entries.iter_mut().filter(|entry| entry.kind() == "ACL") {
        let schema = entry.namespace.as_ref().and_then(|schema| schemas.get(schema)).copied();
        entry
            .dependencies
            .extend(schema.filter(|id| *id != entry.dump_id && !entry.dependencies.contains(id)));
    }
    let mut last = None;
    for entry in archive.entries.iter_mut().filter(|entry| entry.kind() == "INDEX ATTACH") {
        entry.dependencies.extend(last.filter(|id| !entry.dependencies.contains(id)));
        last = Some(entry.dump_id);
    }
}

/// No entry has this dump id. Attaching an index makes its parent valid if it is the last, and so on up the tree; two at once
/// in different branches do not see each other, and the root's index stays invalid for ever.
const ONE_ATTACH_AT_A_TIME: i32 = i32::MIN;

/// Fills in what an entry uses and locks. What it uses without naming it stands in its item.
fn repoint(
    index: usize,
    entry: &TocEntry,
    entries: &[TocEntry],
    by_id: &HashMap<i32, usize>,
    data_of: &HashMap<i32, usize>,
    items: &mut [Item],
) {
    let post_data = entry.section == Section::PostData;
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
