//! What entries wait for in addition to their dependencies, because of what they read
//! ([`super::reads`]) or of what an extension made.
//!
//! * Rows of a table whose load reads other tables come after the rows of these. What could read
//!   anything comes after all other rows, one after the other, in the archive's order.
//! * Rows of tables that an extension makes come in the archive's order: pg_dump sorted them by
//!   their foreign keys, which already exist, and wrote none of that into their dependencies.
//! * A user's foreign key to such a table waits for its rows.
//! * Indexes and constraints that read other tables wait for all rows.
//! * What reads a materialised view waits until that is filled.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::filter::{foreign_key, name_of};
use super::model::{Section, TocEntry};
use super::reads::{OnTable, Reads, What, configuration};
use super::selection::Selection;

/// Waits that the archive does not name, by indexes of entries.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// An entry waits for others.
    pub on: HashMap<usize, Vec<usize>>,
    /// Rows that come after all other rows, in this order.
    pub late: Vec<usize>,
    /// What is made after all rows, and after the keys.
    pub after_rows: BTreeSet<usize>,
    /// Among them what reads a materialised view.
    pub after_views: BTreeSet<usize>,
}

impl Waits {
    /// Of an archive's entries. What `selection` does not create already exists: `triggers_fire` on
    /// it while rows are loaded.
    pub fn of(entries: &[TocEntry], selection: &Selection, triggers_fire: bool) -> Waits {
        let mut waits = Waits::default();
        let configuration = configuration(entries);
        if !configuration.is_empty() {
            waits.keys_to_extensions(entries, &configuration);
        }
        let Some(mut reads) = Reads::of(entries) else {
            waits.rows(entries, &configuration, &HashMap::new());
            return waits;
        };
        let on_table = OnTable::of(entries);
        let tables: HashSet<i32> = entries
            .iter()
            .filter(|e| matches!(e.kind(), "TABLE" | "FOREIGN TABLE"))
            .map(|e| e.dump_id)
            .collect();
        let (mut by_load, mut by_view) = (HashMap::new(), HashMap::new());
        for (index, entry) in entries.iter().enumerate() {
            match entry.kind() {
                "TABLE DATA" => {
                    let what = reads.by_load(index, selection, triggers_fire, &on_table);
                    if !what.is_nothing() {
                        by_load.insert(index, what);
                    }
                }
                "MATERIALIZED VIEW DATA" => {
                    let what = reads.by_making(index);
                    if what.anything || !what.views.is_empty() {
                        by_view.insert(index, what);
                    }
                }
                "INDEX" | "CONSTRAINT" | "CHECK CONSTRAINT" | "FK CONSTRAINT" => {
                    waits.making(index, entry, reads.by_making(index), &configuration, &tables);
                }
                _ => {}
            }
        }
        waits.rows(entries, &configuration, &by_load);
        waits.views(entries, &by_view);
        waits
    }

    fn making(
        &mut self,
        index: usize,
        entry: &TocEntry,
        what: What,
        configuration: &[usize],
        tables: &HashSet<i32>,
    ) {
        let only_extensions = !what.anything
            && what.views.is_empty()
            && what.rows.iter().all(|row| configuration.contains(row));
        // A domain's constraint looks at every table with a column of that domain.
        let is_of_domain =
            entry.kind() == "CHECK CONSTRAINT" && !entry.dependencies.iter().any(|id| tables.contains(id));
        if !only_extensions || is_of_domain {
            self.after_rows.insert(index);
        }
        if !what.views.is_empty() {
            self.after_views.insert(index);
        }
        if !what.is_nothing() {
            self.on.entry(index).or_default().extend(what.rows.into_iter().chain(what.views));
        }
    }

    /// A key that refers to an extension's table names only the extension.
    fn keys_to_extensions(&mut self, entries: &[TocEntry], configuration: &[usize]) {
        let rows: HashMap<(&[u8], &[u8]), usize> = configuration
            .iter()
            .filter_map(|&index| entries.get(index).map(|entry| (name_of(entry), index)))
            .collect();
        for (index, entry) in entries.iter().enumerate().filter(|(_, e)| e.kind() == "FK CONSTRAINT") {
            if let Some(key) = foreign_key(entry)
                && let Some(&parent) = rows.get(&(&*key.parent.0, &*key.parent.1))
            {
                self.on.entry(index).or_default().push(parent);
            }
        }
    }

    fn rows(&mut self, entries: &[TocEntry], configuration: &[usize], by_load: &HashMap<usize, What>) {
        let members: Vec<usize> = indexes(entries, |entry| entry.section == Section::Data);
        let mut group = Group::new(entries, &members);
        for pair in configuration.windows(2) {
            if let [first, second] = pair {
                group.wait(*second, *first);
            }
        }
        // First for what comes before, as a serial restore has it; then, where no circle comes of
        // it, for what comes after.
        for before in [true, false] {
            for (&index, what) in members.iter().filter_map(|index| by_load.get_key_value(index)) {
                for &row in what.rows.iter().filter(|&&row| (row < index) == before) {
                    group.wait(index, row);
                }
            }
        }
        let unsure =
            |index: &usize| by_load.get(index).is_some_and(|what| what.anything || !what.views.is_empty());
        self.late = group.last(&members, unsure);
        self.add(group);
    }

    /// The filling of materialised views that call functions which read others.
    fn views(&mut self, entries: &[TocEntry], by_view: &HashMap<usize, What>) {
        if by_view.is_empty() {
            return;
        }
        let members: Vec<usize> = indexes(entries, |entry| entry.kind() == "MATERIALIZED VIEW DATA");
        let mut group = Group::new(entries, &members);
        for before in [true, false] {
            for (&index, what) in members.iter().filter_map(|index| by_view.get_key_value(index)) {
                for &view in what.views.iter().filter(|&&view| (view < index) == before) {
                    group.wait(index, view);
                }
            }
        }
        let late = group.last(&members, |index| by_view.get(index).is_some_and(|what| what.anything));
        let is_late: HashSet<usize> = late.iter().copied().collect();
        let mut before: Vec<usize> = members.into_iter().filter(|index| !is_late.contains(index)).collect();
        for index in late {
            self.on.entry(index).or_default().append(&mut before);
            before.push(index);
        }
        self.add(group);
    }

    fn add(&mut self, group: Group) {
        for (index, others) in group.found {
            self.on.entry(index).or_default().extend(others);
        }
    }

    /// The archive's order as one connection can take it, which is another only for rows and for
    /// materialised views' contents that wait for later ones: of every place that holds another
    /// entry, the place and the entry's index.
    pub fn moved(&self, entries: &[TocEntry]) -> HashMap<usize, usize> {
        let rows: Vec<usize> = indexes(entries, |entry| entry.section == Section::Data);
        let views: Vec<usize> = indexes(entries, |entry| entry.kind() == "MATERIALIZED VIEW DATA");
        let is_late: HashSet<usize> = self.late.iter().copied().collect();
        let plain: Vec<usize> = rows.iter().copied().filter(|index| !is_late.contains(index)).collect();
        let order_of = |members: &[usize]| {
            let mut group = Group::new(entries, members);
            for (&index, others) in &self.on {
                for &other in others {
                    group.wait(index, other);
                }
            }
            group.sorted(members)
        };
        let rows_now: Vec<usize> = order_of(&plain).into_iter().chain(self.late.iter().copied()).collect();
        let views_now = order_of(&views);
        let pairs = rows.into_iter().chain(views).zip(rows_now.into_iter().chain(views_now));
        pairs.filter(|(place, index)| place != index).collect()
    }
}

fn indexes(entries: &[TocEntry], test: impl Fn(&TocEntry) -> bool) -> Vec<usize> {
    entries.iter().enumerate().filter(|(_, entry)| test(entry)).map(|(index, _)| index).collect()
}

/// Entries of one kind that wait for each other, without a circle.
struct Group {
    members: HashSet<usize>,
    waits: HashMap<usize, Vec<usize>>,
    /// Those of the waits that the archive does not name.
    found: HashMap<usize, Vec<usize>>,
}

impl Group {
    fn new(entries: &[TocEntry], members: &[usize]) -> Group {
        let by_id: HashMap<i32, usize> =
            members.iter().filter_map(|&index| Some((entries.get(index)?.dump_id, index))).collect();
        let mut waits: HashMap<usize, Vec<usize>> = HashMap::new();
        for &index in members {
            let dependencies =
                entries.get(index).map(|entry| entry.dependencies.as_slice()).unwrap_or_default();
            let named: Vec<usize> = dependencies
                .iter()
                .filter_map(|id| by_id.get(id))
                .copied()
                .filter(|other| *other != index)
                .collect();
            if !named.is_empty() {
                waits.insert(index, named);
            }
        }
        Group { members: members.iter().copied().collect(), waits, found: HashMap::new() }
    }

    /// One waits for the other, unless that waits for it.
    fn wait(&mut self, index: usize, other: usize) {
        let known = |group: &Group| group.waits.get(&index).is_some_and(|waits| waits.contains(&other));
        if index == other
            || !self.members.contains(&index)
            || !self.members.contains(&other)
            || known(self)
            || self.reaches(other, index)
        {
            return;
        }
        self.waits.entry(index).or_default().push(other);
        self.found.entry(index).or_default().push(other);
    }

    fn reaches(&self, from: usize, to: usize) -> bool {
        let mut seen = HashSet::new();
        let mut open = vec![from];
        while let Some(index) = open.pop() {
            if index == to {
                return true;
            }
            if seen.insert(index) {
                open.extend(self.waits.get(&index).into_iter().flatten());
            }
        }
        false
    }

    /// Those that come last: of which the test is true, and what waits for one of them; sorted.
    fn last(&self, members: &[usize], test: impl Fn(&usize) -> bool) -> Vec<usize> {
        let mut waited_by: HashMap<usize, Vec<usize>> = HashMap::new();
        for (&index, others) in &self.waits {
            for &other in others {
                waited_by.entry(other).or_default().push(index);
            }
        }
        let mut open: Vec<usize> = members.iter().copied().filter(test).collect();
        let mut last = HashSet::new();
        while let Some(index) = open.pop() {
            if last.insert(index) {
                open.extend(waited_by.get(&index).into_iter().flatten());
            }
        }
        let last: Vec<usize> = members.iter().copied().filter(|index| last.contains(index)).collect();
        self.sorted(&last)
    }

    /// Some members, each behind those that it waits for, else in their own order.
    fn sorted(&self, members: &[usize]) -> Vec<usize> {
        let among: HashSet<usize> = members.iter().copied().collect();
        let mut order = Vec::with_capacity(members.len());
        let mut placed = HashSet::new();
        for &member in members {
            // Depth first, without recursion: an entry is placed when all that it waits for is.
            let mut open = vec![(member, false)];
            let mut entered = HashSet::new();
            while let Some((index, is_ready)) = open.pop() {
                if placed.contains(&index) {
                    continue;
                }
                if is_ready {
                    placed.insert(index);
                    order.push(index);
                } else if entered.insert(index) {
                    open.push((index, true));
                    let mut others: Vec<usize> = self.waits.get(&index).cloned().unwrap_or_default();
                    others.sort_unstable_by(|a, b| b.cmp(a));
                    open.extend(
                        others.into_iter().filter(|other| among.contains(other)).map(|other| (other, false)),
                    );
                }
            }
        }
        order
    }
}
