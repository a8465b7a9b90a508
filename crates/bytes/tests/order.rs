//! The schedule is sound on any TOC: once each, after its dependencies, no lock conflicts, no
//! deadlock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::Cluster;
use pgark_bytes::archive::order::{Pass, Schedule, Selection, pass, serial_order, table_data};
use pgark_bytes::archive::statements::{
    Options, Purpose, SessionState, drop_statements, required_roles, session_setup, statements,
};
use pgark_bytes::archive::{
    Archive, ArchiveVersion, Compression, CreatedAt, Format, Header, Section, TocEntry, read_toc,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

fn archive(minor: u8, entries: Vec<TocEntry>) -> Archive {
    let created = CreatedAt { second: 0, minute: 0, hour: 0, day: 1, month: 0, year: 126, is_dst: 0 };
    let header = Header {
        version: ArchiveVersion { major: 1, minor, rev: 0 },
        int_size: 4,
        off_size: 8,
        format: Format::Tar,
        compression: if minor >= 15 { Compression::Algorithm(0) } else { Compression::Level(0) },
        created,
        dbname: None,
        server_version: None,
        dump_version: None,
    };
    Archive { header, entries }
}

fn entry(dump_id: i32, desc: &str, tag: &str, section: Section, dependencies: &[i32]) -> TocEntry {
    let bytes = |s: &str| Some(s.as_bytes().to_vec());
    TocEntry {
        dump_id,
        had_dumper: matches!(desc, "TABLE DATA" | "BLOBS"),
        table_oid: 0,
        oid: 0,
        tag: bytes(tag),
        desc: bytes(desc),
        section,
        defn: if desc == "TABLE DATA" { None } else { bytes("SELECT 1;\n") },
        drop_stmt: None,
        copy_stmt: None,
        namespace: bytes("public"),
        tablespace: None,
        table_am: None,
        relkind: None,
        owner: bytes(""),
        with_oids: bytes("false"),
        dependencies: dependencies.to_vec(),
        file_name: bytes(""),
        offset: None,
        shown: None,
    }
}

const KINDS: &[(&str, &str, Section)] = &[
    ("TYPE", "t", Section::PreData),
    ("TABLE", "t", Section::PreData),
    ("TABLE", "t", Section::PreData),
    ("VIEW", "t", Section::PreData),
    ("COMMENT", "TABLE t", Section::None),
    ("TABLE DATA", "t", Section::Data),
    ("TABLE DATA", "t", Section::Data),
    ("SEQUENCE SET", "t", Section::Data),
    ("BLOBS", "BLOBS", Section::Data),
    ("INDEX", "i", Section::PostData),
    ("CONSTRAINT", "c", Section::PostData),
    ("FK CONSTRAINT", "c", Section::PostData),
    ("FK CONSTRAINT", "c", Section::PostData),
    ("TRIGGER", "c", Section::PostData),
    ("ACL", "TABLE t", Section::None),
    ("DEFAULT ACL", "x", Section::PostData),
    ("EVENT TRIGGER", "e", Section::PostData),
    ("COMMENT", "EVENT TRIGGER e", Section::None),
    ("MATERIALIZED VIEW DATA", "m", Section::PostData),
    ("STATISTICS DATA", "m", Section::PostData),
];

/// What the rules say an entry uses and locks, worked out a second time and in a plainer way.
struct Rules {
    uses: BTreeMap<usize, BTreeSet<usize>>,
    locks: BTreeMap<usize, BTreeSet<usize>>,
}

impl Rules {
    fn new(a: &Archive) -> Rules {
        let data = table_data(a);
        let position = |id: i32| a.entries.iter().position(|e| e.dump_id == id);
        let (mut uses, mut locks) = (BTreeMap::new(), BTreeMap::new());
        for (n, e) in a.entries.iter().enumerate() {
            let post = e.section == Section::PostData;
            let all: BTreeSet<usize> = e
                .dependencies
                .iter()
                .filter_map(|id| {
                    if post { data.get(id).copied().or_else(|| position(*id)) } else { position(*id) }
                })
                .filter(|d| *d != n)
                .collect();
            let mut all = all;
            let inherited =
                |e: &TocEntry| e.kind() == "TRIGGER" && e.defn_str().trim_start().starts_with("ALTER TABLE");
            let lock = |d: &usize| post && e.kind() != "INDEX" && a.entries[*d].kind().starts_with("TABLE");
            locks.insert(n, all.iter().copied().filter(lock).collect());
            if inherited(e) {
                // It waits for every trigger that is created.
                let created =
                    a.entries.iter().enumerate().filter(|(_, o)| o.kind() == "TRIGGER" && !inherited(o));
                all.extend(created.map(|(at, _)| at));
            }
            uses.insert(n, all);
        }
        Rules { uses, locks }
    }

    fn conflict(&self, a: usize, b: usize) -> bool {
        !self.locks[&a].is_disjoint(&self.uses[&b]) || !self.locks[&b].is_disjoint(&self.uses[&a])
    }
}

/// Kinds, dependencies as picks, sizes and whether each entry is selected.
type Toc = Vec<(usize, Vec<prop::sample::Index>, u64, bool)>;

fn toc(size: usize) -> impl Strategy<Value = Toc> {
    let one = (
        0..KINDS.len(),
        proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
        0u64..1000,
        prop::bool::weighted(0.85),
    );
    proptest::collection::vec(one, 1..size)
}

fn build(toc: &Toc, cycles: bool) -> (Archive, Selection, BTreeMap<i32, u64>) {
    let mut sorted: Vec<_> = toc.clone();
    sorted.sort_by_key(|(kind, ..)| match KINDS[*kind].2 {
        Section::PreData => 0,
        Section::None => 1,
        Section::Data => 2,
        Section::PostData => 3,
    });
    let mut entries: Vec<TocEntry> = Vec::new();
    let mut selection = Vec::new();
    let mut sizes = BTreeMap::new();
    let total = sorted.len();
    for (n, (kind, picks, size, selected)) in sorted.iter().enumerate() {
        let (desc, tag, section) = KINDS[*kind];
        let id = n as i32 + 1;
        let mut e = entry(id, desc, tag, section, &[]);
        let own = pass(&e);
        if desc == "TABLE DATA" {
            // One data entry per table, as pg_dump has it.
            let free = entries.iter().find(|t| {
                t.kind() == "TABLE"
                    && !entries.iter().any(|d| d.kind() == "TABLE DATA" && d.dependencies == [t.dump_id])
            });
            e.dependencies.extend(free.map(|t| t.dump_id));
        } else {
            for pick in picks {
                if cycles {
                    e.dependencies.push(pick.index(total) as i32 + 1);
                } else if n > 0 {
                    let other: &TocEntry = &entries[pick.index(n)];
                    if pass(other) <= own {
                        e.dependencies.push(other.dump_id);
                    }
                }
            }
            if picks.len() == 3 {
                e.dependencies.push(100_000); // not in the archive
            }
        }
        if *selected {
            selection.push(id);
        }
        sizes.insert(id, *size);
        entries.push(e);
    }
    (archive(14, entries), selection.into_iter().collect(), sizes)
}

/// Runs the schedule with a number of workers; `choose` picks which running entry ends next.
fn simulate(
    a: &Archive,
    selection: &Selection,
    sizes: &BTreeMap<i32, u64>,
    workers: usize,
    choices: &[prop::sample::Index],
    fails: bool,
    acyclic: bool,
) -> Vec<usize> {
    let rules = Rules::new(a);
    let mut schedule = Schedule::new(a, selection, &|id| sizes[&id]);
    let mut started: Vec<usize> = Vec::new();
    let mut over: BTreeSet<usize> = BTreeSet::new();
    let mut skipped = BTreeSet::new();
    for index in schedule.pre_data().to_vec() {
        started.push(index);
        over.insert(index);
        if fails && index.is_multiple_of(3) {
            skipped.extend(schedule.failed(index));
        } else {
            schedule.done(index);
        }
    }
    let chosen = |n: usize| selection.contains(a.entries[n].dump_id) && !skipped.contains(&n);
    let mut running: Vec<usize> = Vec::new();
    let mut choice = choices.iter().cycle();
    loop {
        while running.len() < workers {
            let Some(index) = schedule.next_ready() else { break };
            assert!(chosen(index), "handed out {index}, which is not wanted");
            for r in &running {
                assert!(!rules.conflict(*r, index), "{r} and {index} conflict");
            }
            if acyclic && pass(&a.entries[index]) == Pass::Acl {
                assert!(running.is_empty(), "privileges {index} began beside others");
                let earlier = (0..index).filter(|n| chosen(*n) && pass(&a.entries[*n]) == Pass::Acl);
                for n in earlier.filter(|n| !started.contains(n)) {
                    // What is not wanted counts as over only when its turn comes.
                    let free = rules.uses[&n].iter().all(|d| over.contains(d));
                    assert!(!free, "privileges {index} began before {n}");
                }
            }
            if acyclic {
                for d in &rules.uses[&index] {
                    assert!(over.contains(d) || !chosen(*d), "{index} began before {d}");
                }
                for (n, e) in a.entries.iter().enumerate() {
                    if chosen(n) && pass(e) < pass(&a.entries[index]) {
                        assert!(over.contains(&n), "{index} began before {n} of an earlier pass");
                    }
                }
            }
            started.push(index);
            running.push(index);
        }
        if running.is_empty() {
            break;
        }
        if acyclic && running.len() < workers {
            // Nobody idles for nothing: what could run conflicts with what runs.
            let now = running.iter().map(|r| pass(&a.entries[*r])).max().unwrap();
            for n in (0..a.entries.len()).filter(|n| chosen(*n) && !started.contains(n)) {
                let free = transitive(&rules, n, &chosen).iter().all(|d| over.contains(d));
                // Privileges run alone, in the archive's order.
                if free && pass(&a.entries[n]) <= now && pass(&a.entries[n]) != Pass::Acl {
                    assert!(running.iter().any(|r| rules.conflict(*r, n)), "{n} waits for nothing");
                }
            }
        }
        let end = running.remove(choice.next().unwrap().index(running.len()));
        over.insert(end);
        if fails && end.is_multiple_of(3) {
            schedule.failed(end);
        } else {
            schedule.done(end);
        }
    }
    let expected: BTreeSet<usize> = (0..a.entries.len()).filter(|n| chosen(*n)).collect();
    assert_eq!(started.iter().copied().collect::<BTreeSet<_>>(), expected, "some were never run");
    assert_eq!(started.len(), expected.len(), "some ran twice");
    assert_eq!(schedule.remaining(), 0);
    if acyclic {
        assert!(schedule.cyclic().is_empty());
    }
    started
}

/// Wanted entries that `n` waits for, through unwanted ones too. Those in between count as over
/// once theirs are.
fn transitive(rules: &Rules, n: usize, chosen: &dyn Fn(usize) -> bool) -> BTreeSet<usize> {
    let mut out = BTreeSet::new();
    let mut todo: Vec<usize> = rules.uses[&n].iter().copied().collect();
    let mut seen = BTreeSet::new();
    while let Some(d) = todo.pop() {
        if !seen.insert(d) {
            continue;
        }
        if chosen(d) {
            out.insert(d);
        } else {
            todo.extend(&rules.uses[&d]);
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_toc_without_cycles(toc in toc(40), workers in 1usize..6, choices in proptest::collection::vec(any::<prop::sample::Index>(), 1..20), fails: bool) {
        let (a, selection, sizes) = build(&toc, false);
        simulate(&a, &selection, &sizes, workers, &choices, fails, true);
    }

    #[test]
    fn any_toc_with_cycles(toc in toc(25), workers in 1usize..6, choices in proptest::collection::vec(any::<prop::sample::Index>(), 1..20)) {
        let (a, selection, sizes) = build(&toc, true);
        simulate(&a, &selection, &sizes, workers, &choices, false, false);
        let serial = serial_order(&a, &selection);
        let expected: BTreeSet<usize> = (0..a.entries.len()).filter(|n| selection.contains(a.entries[*n].dump_id)).collect();
        prop_assert_eq!(serial.len(), expected.len());
        prop_assert_eq!(serial.into_iter().collect::<BTreeSet<_>>(), expected);
    }
}

#[test]
fn foreign_keys_in_opposite_directions_never_run_together() {
    let pre = Section::PreData;
    let post = Section::PostData;
    let a = archive(
        14,
        vec![
            entry(1, "TABLE", "a", pre, &[]),
            entry(2, "TABLE", "b", pre, &[]),
            entry(3, "TABLE DATA", "a", Section::Data, &[1]),
            entry(4, "TABLE DATA", "b", Section::Data, &[2]),
            entry(5, "INDEX", "ia", post, &[1]),
            entry(6, "FK CONSTRAINT", "ab", post, &[1, 2]),
            entry(7, "FK CONSTRAINT", "ba", post, &[2, 1]),
            entry(8, "ACL", "TABLE a", Section::None, &[1]),
            entry(9, "INDEX", "ib", post, &[2]),
        ],
    );
    let all: Selection = (1..=9).collect();
    let mut s = Schedule::new(&a, &all, &|id| if id == 4 { 10 } else { 1 });
    assert_eq!(s.pre_data(), [0, 1]);
    s.done(0);
    assert_eq!(s.failed(1), Some(3), "the data of a table that could not be created is skipped");
    assert!(s.created_here(2) && !s.created_here(3));
    // The second table's data is skipped, so what waited for it may go, but first what more work
    // waits for.
    assert_eq!(s.next_ready(), Some(2));
    assert_eq!(s.next_ready(), Some(8));
    assert_eq!(s.next_ready(), None);
    s.done(2);
    assert_eq!(s.next_ready(), Some(4));
    assert_eq!(s.next_ready(), None, "both constraints lock what the indexes use");
    s.done(4);
    s.done(8);
    assert_eq!(s.next_ready(), Some(5));
    assert_eq!(s.next_ready(), None);
    s.failed(5);
    assert_eq!(s.next_ready(), Some(6));
    assert_eq!(s.next_ready(), None, "privileges wait for the whole main pass");
    s.done(6);
    assert_eq!(s.next_ready(), Some(7));
    s.done(7);
    assert_eq!((s.next_ready(), s.remaining()), (None, 0));
}

/// A trigger on a partitioned table is set on its partitions, too: their rows come first, and no
/// index is built meanwhile.
#[test]
fn a_trigger_on_a_partitioned_table_waits_for_its_partitions() {
    let (pre, data, post) = (Section::PreData, Section::Data, Section::PostData);
    let mut a = archive(
        14,
        vec![
            entry(1, "TABLE", "root", pre, &[]),
            entry(2, "TABLE", "middle", pre, &[]),
            entry(3, "TABLE", "leaf", pre, &[]),
            entry(4, "TABLE", "other", pre, &[]),
            entry(5, "TABLE ATTACH", "middle", pre, &[2, 1]),
            entry(6, "TABLE ATTACH", "leaf", pre, &[3, 2]),
            entry(7, "TABLE DATA", "leaf", data, &[3]),
            entry(8, "TABLE DATA", "other", data, &[4]),
            entry(9, "INDEX", "of_leaf", post, &[3]),
            entry(10, "TRIGGER", "root watch", post, &[1]),
        ],
    );
    let mut schedule = Schedule::new(&a, &(1..=10).collect(), &|_| 1);
    for index in schedule.pre_data().to_vec() {
        schedule.done(index);
    }
    let first: Vec<usize> = std::iter::from_fn(|| schedule.next_ready()).collect();
    assert_eq!(BTreeSet::from_iter(first), BTreeSet::from([6, 7]));
    schedule.done(6);
    let next = schedule.next_ready().unwrap();
    assert!(next == 8 || next == 9);
    assert_eq!(schedule.next_ready(), None, "the index and the trigger at once");
    schedule.done(next);
    assert_eq!(schedule.next_ready(), Some(17 - next));
    pgark_bytes::archive::order::name_all_dependencies(&mut a);
    assert_eq!(a.entries[9].dependencies, [1, 2, 3]);
    assert_eq!(a.entries[8].dependencies, [3]);
}

fn defined(mut entry: TocEntry, sql: &str) -> TocEntry {
    entry.defn = Some(sql.as_bytes().to_vec());
    entry
}

/// Tables `a` (rows at index 8), `codes` (9) and `big` (10), and functions over them.
fn with_functions() -> Archive {
    let (pre, data, post) = (Section::PreData, Section::Data, Section::PostData);
    let function = |id: i32, name: &str, language: &str, body: &str| {
        let sql = format!(
            "CREATE FUNCTION public.{name}(c text) RETURNS bool\n LANGUAGE {language} IMMUTABLE\n AS $_${body}$_$;\n"
        );
        defined(entry(id, "FUNCTION", &format!("{name}(text)"), pre, &[]), &sql)
    };
    archive(
        14,
        vec![
            function(
                1,
                "known",
                "plpgsql",
                "begin return exists (select from public.Codes where code = c); end",
            ),
            function(2, "pure", "sql", "select c <> ''"),
            function(3, "through", "sql", "select public.known(c) and public.pure(c)"),
            function(4, "dynamic", "plpgsql", "begin execute 'select'; return true; end"),
            defined(
                entry(5, "TABLE", "a", pre, &[3]),
                "CREATE TABLE public.a (c text, CONSTRAINT k CHECK (public.through(c)));",
            ),
            entry(6, "TABLE", "codes", pre, &[]),
            defined(
                entry(7, "TABLE", "big", pre, &[1, 2]),
                "CREATE TABLE public.big (c text DEFAULT public.known('x'::text) NOT NULL, CHECK (public.pure(c)));",
            ),
            entry(8, "SEQUENCE", "s", pre, &[]),
            entry(9, "TABLE DATA", "a", data, &[5]),
            entry(10, "TABLE DATA", "codes", data, &[6]),
            entry(11, "TABLE DATA", "big", data, &[7]),
            entry(12, "CONSTRAINT", "codes codes_pkey", post, &[6]),
            defined(
                entry(13, "INDEX", "i_known", post, &[5, 3]),
                "CREATE INDEX i ON public.a USING btree (public.through(c));",
            ),
            defined(
                entry(14, "INDEX", "i_pure", post, &[6, 2]),
                "CREATE INDEX i ON public.codes USING btree (public.pure(code));",
            ),
            defined(
                entry(15, "INDEX", "i_dynamic", post, &[6, 4]),
                "CREATE INDEX i ON public.codes USING btree (public.dynamic(code));",
            ),
        ],
    )
}

fn ready(schedule: &mut Schedule) -> BTreeSet<usize> {
    std::iter::from_fn(|| schedule.next_ready()).collect()
}

/// Rows wait for those that their checks look for, and for their keys; indexes for all rows. What
/// is proven to read nothing waits for nothing, and a default is not evaluated.
#[test]
fn what_functions_read_comes_first() {
    let a = with_functions();
    let mut s = Schedule::new(&a, &(1..=15).collect(), &|_| 1);
    for index in s.pre_data().to_vec() {
        s.done(index);
    }
    assert_eq!(ready(&mut s), [9, 10].into(), "codes and big, not a");
    s.done(9);
    assert_eq!(ready(&mut s), [11].into(), "the key of codes");
    s.done(11);
    assert_eq!(ready(&mut s), [8, 13].into(), "now a's rows, and the pure index");
    s.done(8);
    s.done(13);
    assert_eq!(ready(&mut s), [].into(), "big is still being loaded");
    s.done(10);
    assert_eq!(ready(&mut s), [12, 14].into());
    // One connection takes the rows in such an order, too, and so does a stock pg_restore of an
    // export.
    let serial = serial_order(&a, &(1..=15).collect());
    assert_eq!(serial[8..11], [9, 8, 10]);
    let mut exported = a.clone();
    pgark_bytes::archive::order::name_all_dependencies(&mut exported);
    let of = |id: i32| exported.entries.iter().find(|e| e.dump_id == id).unwrap().dependencies.clone();
    assert_eq!((of(9), of(10), of(11)), (vec![5, 10], vec![6], vec![7]));
    assert_eq!((of(13), of(14), of(15)), (vec![5, 3, 10, 9, 11], vec![6, 2], vec![6, 4, 13]));
}

/// Rows that are refused are tried once more behind the others, which no longer wait for them; not
/// if there are no others.
#[test]
fn refused_rows_are_tried_again_behind_the_others() {
    let a = with_functions();
    let mut s = Schedule::new(&a, &[5, 6, 7, 9, 10, 11, 13].into_iter().collect(), &|_| 1);
    for index in s.pre_data().to_vec() {
        s.done(index);
    }
    assert_eq!(ready(&mut s), [9, 10].into());
    assert!(s.try_again(9), "other rows are not there yet");
    assert_eq!(ready(&mut s), [8].into(), "a's rows do not wait for those of codes any longer");
    s.done(10);
    s.done(8);
    assert_eq!(s.next_ready(), Some(9), "behind all others");
    assert!(!s.try_again(9), "not a third time");
    s.failed(9);
    assert_eq!(s.next_ready(), Some(12), "the index, behind all rows");
    s.done(12);
    assert_eq!(s.next_ready(), None);
    let alone = archive(
        14,
        vec![entry(1, "TABLE", "a", Section::PreData, &[]), entry(2, "TABLE DATA", "a", Section::Data, &[1])],
    );
    let mut s = Schedule::new(&alone, &(1..=2).collect(), &|_| 1);
    s.done(0);
    assert_eq!(s.next_ready(), Some(1));
    assert!(!s.try_again(1));
}

/// Tables that an extension makes have no entry but their rows: these come in the archive's order,
/// and a user's key waits for them.
#[test]
fn rows_of_extensions_come_in_order() {
    let (pre, data) = (Section::PreData, Section::Data);
    let key = "ALTER TABLE ONLY public.t ADD CONSTRAINT k FOREIGN KEY (a) REFERENCES public.parent(id);";
    let a = archive(
        14,
        vec![
            entry(1, "EXTENSION", "e", pre, &[]),
            entry(2, "TABLE", "t", pre, &[]),
            entry(3, "TABLE DATA", "parent", data, &[101]),
            entry(4, "TABLE DATA", "child", data, &[100]),
            entry(5, "TABLE DATA", "t", data, &[2]),
            defined(entry(6, "FK CONSTRAINT", "t k", Section::PostData, &[2, 1]), key),
        ],
    );
    let mut s = Schedule::new(&a, &(1..=6).collect(), &|id| if id == 4 { 100 } else { 1 });
    s.done(0);
    s.done(1);
    assert_eq!(ready(&mut s), [2, 4].into());
    s.done(4);
    assert_eq!(ready(&mut s), [].into(), "the key waits for its parent's rows");
    s.done(2);
    assert_eq!(ready(&mut s), [3].into());
    s.done(3);
    assert_eq!(ready(&mut s), [5].into());
}

/// A definition that needs something of the post-data is none of the pre-data, and rows of its
/// table wait with it.
#[test]
fn definitions_behind_the_rows() {
    let (pre, data, post) = (Section::PreData, Section::Data, Section::PostData);
    let mut a = archive(
        14,
        vec![
            entry(1, "TABLE", "t", pre, &[]),
            entry(2, "TABLE DATA", "t", data, &[1]),
            entry(3, "CONSTRAINT", "t t_pkey", post, &[1]),
            entry(4, "MATERIALIZED VIEW", "m", post, &[1, 3]),
            entry(5, "FUNCTION", "f()", pre, &[4]),
            entry(6, "TABLE", "u", pre, &[5]),
            entry(7, "TABLE DATA", "u", data, &[6]),
        ],
    );
    let late = pgark_bytes::archive::order::postponed(&a);
    assert_eq!(BTreeSet::from_iter(late), [5, 6, 7].into());
    let mut s = Schedule::new(&a, &(1..=7).collect(), &|_| 1);
    assert_eq!(s.pre_data(), [0]);
    s.done(0);
    for index in 1..7 {
        assert_eq!(s.next_ready(), Some(index));
        s.done(index);
    }
    assert!(s.created_here(6));
    pgark_bytes::archive::order::name_all_dependencies(&mut a);
    assert_eq!((a.entries[4].section, a.entries[5].section, a.entries[6].section), (post, post, data));
}

/// A small table on whose key the checks of a large one wait is loaded before a larger one that
/// nothing waits for.
#[test]
fn what_much_work_waits_for_goes_first() {
    let post = Section::PostData;
    let a = archive(
        14,
        vec![
            entry(1, "TABLE", "small", Section::PreData, &[]),
            entry(2, "TABLE", "large", Section::PreData, &[]),
            entry(3, "TABLE DATA", "small", Section::Data, &[1]),
            entry(4, "TABLE DATA", "large", Section::Data, &[2]),
            entry(5, "CONSTRAINT", "small_pkey", post, &[1]),
            entry(6, "FK CONSTRAINT", "small_checked", post, &[1, 5]),
            entry(7, "FK CONSTRAINT", "small_checked_too", post, &[1, 5]),
        ],
    );
    let sizes = |id: i32| [0, 0, 0, 20, 50, 10, 20, 15][id as usize];
    let mut s = Schedule::new(&a, &(1..=7).collect(), &sizes);
    s.done(0);
    s.done(1);
    // 20 + the constraints one after the other (10 + 20 + 15) are more than 50.
    assert_eq!((s.next_ready(), s.next_ready()), (Some(2), Some(3)));
    s.done(2);
    assert_eq!(s.next_ready(), Some(4));
    s.done(4);
    assert_eq!((s.next_ready(), s.next_ready()), (Some(5), None));
    // Circles end too, and keep what they can.
    let circle = archive(14, vec![entry(1, "INDEX", "a", post, &[2]), entry(2, "INDEX", "b", post, &[1])]);
    let mut s = Schedule::new(&circle, &(1..=2).collect(), &|_| 1);
    assert!(s.next_ready().is_some());
}

#[test]
fn a_real_toc_is_scheduled_whole() {
    let cluster = Cluster::start();
    cluster.sql("postgres", "CREATE DATABASE rich");
    cluster.sql("rich", include_str!("rich.sql"));
    let bytes = cluster.output("pg_dump", &["-Fc", "-Z0", "-d", "rich"]);
    let a = read_toc(&mut &bytes[..]).unwrap();
    let selection = Selection::of(&a, &Options::default());
    let sizes: BTreeMap<i32, u64> = a.entries.iter().map(|e| (e.dump_id, e.dump_id as u64 % 7)).collect();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for workers in 1..5 {
        let strategy = proptest::collection::vec(any::<prop::sample::Index>(), 30);
        let choices = strategy.new_tree(&mut runner).unwrap().current();
        let started = simulate(&a, &selection, &sizes, workers, &choices, false, true);
        let last = a.entries[*started.last().unwrap()].clone();
        assert_eq!(pass(&last), Pass::PostAcl, "{}", last.describe());
    }
}

#[test]
fn newer_archives() {
    let mut table = entry(1, "TABLE", "Parts", Section::PreData, &[]);
    table.relkind = Some(i32::from(b'p'));
    table.table_am = Some(b"columnar".to_vec());
    table.owner = Some(b"Alice".to_vec());
    table.drop_stmt = Some(b"DROP TABLE public.\"Parts\";\n".to_vec());
    let mut view = entry(5, "VIEW", "v", Section::PreData, &[]);
    view.owner = Some(b"bob".to_vec());
    view.drop_stmt = Some(b"DROP VIEW public.v;\n".to_vec());
    let mut group = entry(2, "BLOB METADATA", "17..19", Section::Data, &[]);
    group.defn = Some(b"17\n19\n".to_vec());
    group.drop_stmt = Some(b"-- dummy".to_vec());
    group.owner = Some(b"bob".to_vec());
    group.namespace = None;
    let blobs = entry(3, "BLOBS", "17..19", Section::Data, &[2]);
    let mut acl = entry(4, "ACL", "LARGE OBJECTS 17..19", Section::Data, &[2]);
    acl.defn = Some(
        b"SET SESSION AUTHORIZATION \"x;LARGE OBJECT 1\";\nGRANT SELECT ON LARGE OBJECT 17 TO dave;\n\
          RESET SESSION AUTHORIZATION;\n"
            .to_vec(),
    );
    let a =
        archive(16, vec![table, view, group, blobs, acl, entry(9, "SEARCHPATH", "", Section::PreData, &[])]);
    let options = Options::default();
    let mut state = SessionState::default();
    let mut text = |index: usize| -> Vec<String> {
        statements(&a, &a.entries[index], &options, &mut state)
            .into_iter()
            .map(|s| String::from_utf8(s.sql).unwrap())
            .collect()
    };
    assert_eq!(
        text(0),
        [
            "SELECT 1;\n",
            "ALTER TABLE public.\"Parts\" OWNER TO \"Alice\";",
            "ALTER TABLE public.\"Parts\" SET ACCESS METHOD columnar;"
        ]
    );
    assert_eq!(text(1), ["SELECT 1;\n", "ALTER VIEW public.v OWNER TO bob;"]);
    assert_eq!(
        text(2),
        [
            "SELECT pg_catalog.lo_create('17');\nSELECT pg_catalog.lo_create('19');",
            "ALTER LARGE OBJECT 17 OWNER TO bob;\nALTER LARGE OBJECT 19 OWNER TO bob;"
        ]
    );
    assert_eq!(
        text(4),
        [
            "SET SESSION AUTHORIZATION \"x;LARGE OBJECT 1\";",
            "GRANT SELECT ON LARGE OBJECT 17 TO dave;\nGRANT SELECT ON LARGE OBJECT 19 TO dave;",
            "RESET SESSION AUTHORIZATION;"
        ]
    );
    let selection = Selection::of(&a, &options);
    let drops = drop_statements(&a, &selection, &options);
    assert!(drops.iter().all(|(_, s)| s.purpose == Purpose::Drop));
    let drops: Vec<String> = drops.into_iter().map(|(_, s)| String::from_utf8(s.sql).unwrap()).collect();
    assert_eq!(drops.len(), 3);
    assert!(drops[0].starts_with(
        "SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata WHERE oid = '17';\n"
    ));
    assert_eq!(&drops[1..], ["DROP VIEW IF EXISTS public.v;\n", "DROP TABLE IF EXISTS public.\"Parts\";\n"]);
}

#[test]
fn filters_take_satellites_along() {
    let a = archive(
        14,
        vec![
            entry(1, "TABLE", "a", Section::PreData, &[]),
            entry(2, "TABLE", "b", Section::PreData, &[]),
            entry(3, "ACL", "TABLE a", Section::None, &[1]),
            entry(4, "COMMENT", "TABLE b", Section::None, &[2]),
            entry(5, "ACL", "COLUMN a.x", Section::None, &[1, 3]),
            entry(6, "ENCODING", "ENCODING", Section::PreData, &[]),
            entry(7, "DATABASE", "d", Section::PreData, &[]),
        ],
    );
    let mut s = Selection::of(&a, &Options::default());
    assert_eq!(s.len(), 5);
    s.retain(&a, |e| e.tag_bytes() != b"a");
    s.remove_orphans(&a);
    let left: Vec<i32> = (1..8).filter(|id| s.contains(*id)).collect();
    assert_eq!(left, [2, 4]);
    let all = Options { create_database: true, no_privileges: true, ..Options::default() };
    assert_eq!(Selection::of(&a, &all).len(), 4);
}

/// The real thing: several connections at once restore a whole database by schedule and statements.
#[test]
fn workers_restore_a_real_database() {
    let cluster = Cluster::start();
    cluster.sql("postgres", "CREATE DATABASE rich; CREATE DATABASE copy TEMPLATE template0");
    cluster.sql("rich", include_str!("rich.sql"));
    let dir = cluster.path().join("dir");
    cluster.output("pg_dump", &["-Fd", "-Z0", "-B", "-d", "rich", "-f", dir.to_str().unwrap()]);
    let a = read_toc(&mut &std::fs::read(dir.join("toc.dat")).unwrap()[..]).unwrap();
    let selection = Selection::of(&a, &Options::default());
    let mut schedule = Schedule::new(&a, &selection, &|id| {
        std::fs::metadata(dir.join(format!("{id}.dat"))).map_or(0, |m| m.len())
    });
    let script = |indexes: &[usize]| {
        let mut state = SessionState::default();
        let mut text: Vec<u8> = session_setup(&a, 15).join(&b'\n');
        text.push(b'\n');
        for index in indexes {
            let e = &a.entries[*index];
            for s in statements(&a, e, &Options::default(), &mut state) {
                text.extend(s.sql);
                text.push(b'\n');
            }
            if e.had_dumper {
                text.extend(e.copy_stmt.clone().unwrap());
                text.extend(std::fs::read(dir.join(format!("{}.dat", e.dump_id))).unwrap());
            }
        }
        String::from_utf8(text).unwrap()
    };
    let pre = schedule.pre_data().to_vec();
    cluster.sql("copy", &script(&pre));
    for index in pre {
        schedule.done(index);
    }
    let (tell, hear) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let mut busy = 0;
        loop {
            while busy < 4 {
                let Some(index) = schedule.next_ready() else { break };
                let (text, tell, cluster) = (script(&[index]), tell.clone(), &cluster);
                scope.spawn(move || {
                    cluster.sql("copy", &text);
                    tell.send(index).unwrap();
                });
                busy += 1;
            }
            if busy == 0 {
                break;
            }
            schedule.done(hear.recv_timeout(std::time::Duration::from_secs(60)).unwrap());
            busy -= 1;
        }
    });
    assert_eq!((schedule.remaining(), schedule.cyclic()), (0, &[][..]));
    let dump = |db: &str| {
        let text = String::from_utf8(cluster.output("pg_dump", &["--no-sync", "-B", "-d", db])).unwrap();
        text.lines().filter(|l| !l.contains("restrict ")).collect::<Vec<_>>().join("\n")
    };
    let (original, copy) = (dump("rich"), dump("copy"));
    for (n, (o, c)) in original.lines().zip(copy.lines()).enumerate() {
        assert_eq!(o, c, "line {n}");
    }
    assert_eq!(original.len(), copy.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    /// A damaged archive is refused, or planned without a panic.
    #[test]
    fn damaged_archives_are_planned(
        directory: bool,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = if directory {
            include_bytes!("../../../fuzz/corpus/toc/directory-15").to_vec()
        } else {
            include_bytes!("../../../fuzz/corpus/toc/custom-15").to_vec()
        };
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let Ok(a) = read_toc(&mut &bytes[..]) else { return Ok(()) };
        let options = Options { create_database: true, ..Options::default() };
        let selection = Selection::of(&a, &options);
        let _ = session_setup(&a, 18);
        let _ = drop_statements(&a, &selection, &options);
        let _ = required_roles(&a, &selection, &options);
        let mut state = SessionState::default();
        let serial = serial_order(&a, &selection);
        for index in &serial {
            let _ = statements(&a, &a.entries[*index], &options, &mut state);
        }
        let mut schedule = Schedule::new(&a, &selection, &|id| id as u64);
        let mut ran = schedule.pre_data().len();
        while let Some(index) = schedule.next_ready() {
            ran += 1;
            schedule.done(index);
        }
        prop_assert_eq!(ran, serial.len());
    }
}
