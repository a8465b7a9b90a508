//! One database, one repository, and the memory of what each committed backup must give back.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hasher};
use std::path::Path;
use std::process::{Child, Output};
use std::time::{Duration, Instant};

use pgark_testkit::oracle::{Snapshot, assert_same};
use pgark_testkit::{Cluster, is_full};

use super::support::{Desk, text};

/// How often: the short count in every run, the long one with `PGARK_TEST_FULL=1`.
pub fn times(short: usize, long: usize) -> usize {
    if is_full() { long } else { short }
}

/// Small, seeded, good enough for moments in time.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit.max(1)
    }
}

/// Moments within the time that a command takes: as long as it took the last time that it came to
/// its end.
pub struct Moments {
    random: Random,
    whole: Duration,
}

impl Moments {
    pub fn new(random: Random, whole: Duration) -> Moments {
        Moments { random, whole }
    }

    /// What the command has just taken, undisturbed.
    pub fn took(&mut self, whole: Duration) {
        self.whole = whole;
    }

    /// Waits for a random moment of the command's run; false if its end came first. How long it
    /// took then is where the next moments lie, so that enough of them meet it on any machine.
    pub fn meets(&mut self, child: &mut Child) -> bool {
        let begun = Instant::now();
        let until = self.whole.mul_f64(self.random.below(1000) as f64 / 1000.0);
        loop {
            if child.try_wait().unwrap().is_some() {
                self.whole = begun.elapsed();
                return false;
            }
            if begun.elapsed() >= until {
                return true;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The same, and kills it.
    pub fn kill(&mut self, child: &mut Child) -> bool {
        let met = self.meets(child);
        // One that has ended cannot be killed any more.
        let _ = child.kill();
        child.wait().unwrap();
        met
    }
}

/// A row of the table that `./test` prints.
pub fn tell(test: &str, faults: usize, result: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(format!("{test}.md")), format!("| {test} | {faults} | {result} |\n")).unwrap();
}

/// The database `d` of a cluster of its own, with a repository for one age identity.
pub struct Site {
    pub cluster: Cluster,
    pub desk: Desk,
    round: u64,
    /// Hash of the rows of every committed backup.
    committed: BTreeMap<String, u64>,
    of_others: BTreeSet<String>,
}

/// Every table of the site's database.
const TABLES: [&str; 3] = ["big", "wide", "small"];

impl Site {
    pub fn new() -> Site {
        Site::with(Cluster::start(), 60_000)
    }

    pub fn with(cluster: Cluster, rows: u32) -> Site {
        Site::at(cluster, rows, Desk::with_identity())
    }

    pub fn at(cluster: Cluster, rows: u32, desk: Desk) -> Site {
        // What faults are answered with while a run succeeds all the same.
        desk.expects(&[
            "retrying",
            "could not be removed",
            "the second copy is used",
            "every host needs a new writer key now",
        ]);
        cluster.create_database("d");
        cluster.sql(
            "d",
            &format!(
                "CREATE TABLE big AS SELECT g AS id, 0 AS round, sha256(g::text::bytea)::text AS text FROM generate_series(1, {rows}) g;
                 ALTER TABLE big ADD PRIMARY KEY (id);
                 CREATE TABLE wide AS SELECT g AS id, 0 AS round, repeat(md5(g::text), 3000) AS text FROM generate_series(1, 60) g;
                 CREATE TABLE small (id serial PRIMARY KEY, round int, text text); INSERT INTO small (round, text) VALUES (0, E'a\\tb\\n');
                 SELECT lo_from_bytea(77, sha512('x'));"
            ),
        );
        Site { cluster, desk, round: 0, committed: BTreeMap::new(), of_others: BTreeSet::new() }
    }

    /// Changes a fifth of the rows, all in one place.
    pub fn change(&mut self) {
        self.round += 1;
        let round = self.round;
        self.cluster.sql(
            "d",
            &format!(
                "UPDATE big SET round = {round}, text = sha256((id + {round} * 1000000)::text::bytea)::text
                   WHERE id % 5 = 0 AND id < 50000;
                 UPDATE wide SET round = {round}, text = repeat(md5((id + {round})::text), 3000) WHERE id % 7 = 0;
                 INSERT INTO small (round, text) VALUES ({round}, 'round');"
            ),
        );
    }

    pub fn info(&self) -> String {
        self.cluster.conninfo("d")
    }

    /// What a backup of the database as it is now must hold.
    pub fn state(&self) -> u64 {
        hash(TABLES.iter().map(|table| {
            let mut copy = self.cluster.client("psql");
            copy.args(["-X", "-q", "-d", &self.info(), "-c", &format!("COPY {table} TO STDOUT")]);
            copy.env("PGOPTIONS", "-c statement_timeout=0");
            let output = copy.output().unwrap();
            assert!(output.status.success(), "{}", text(&output.stderr));
            output.stdout
        }))
    }

    fn stored(&self, id: &str) -> u64 {
        hash(TABLES.iter().map(|table| {
            let output = self.desk.run(&["cat", &format!("{id}:/db/d/data/public.{table}")]);
            assert!(output.status.success(), "backup {id}: {}", text(&output.stderr));
            output.stdout
        }))
    }

    fn listed(&self) -> BTreeSet<String> {
        let list = self.desk.json(&["list", "--json"])["backups"].clone();
        list.as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_string()).collect()
    }

    /// A backup that must work, and is remembered.
    #[track_caller]
    pub fn backup(&mut self) -> serde_json::Value {
        let state = self.state();
        let made = self.desk.json(&["backup", "--dbname", &self.info(), "--json"]);
        assert_eq!(made["status"], "complete");
        self.committed.insert(made["id"].as_str().unwrap().to_string(), state);
        made
    }

    /// A backup that somebody else made of the state as it is.
    pub fn remember(&mut self, id: &str) {
        let state = self.state();
        self.committed.insert(id.to_string(), state);
    }

    /// A backup of another database: not ours to compare.
    pub fn leave_out(&mut self, id: &str) {
        self.of_others.insert(id.to_string());
    }

    /// After a fault: the repository is clean, and no backup was lost or made up. A backup that was
    /// committed just before the fault counts, and must be whole.
    #[track_caller]
    pub fn verify(&mut self) {
        let output = self.desk.run(&["check", "--read-data", "--json"]);
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
        let listed = self.listed();
        for known in self.committed.keys() {
            assert!(listed.contains(known), "backup {known} is gone");
        }
        let new: Vec<&String> = listed
            .iter()
            .filter(|id| !self.committed.contains_key(*id) && !self.of_others.contains(*id))
            .collect();
        assert!(new.len() <= 1, "{new:?}");
        if let Some(id) = new.first() {
            let state = self.state();
            assert_eq!(self.stored(id), state, "the backup {id}, committed before the fault, is not whole");
            self.committed.insert((*id).clone(), state);
        }
    }

    /// Every committed backup gives the rows that it was made of, and the newest restores equal to
    /// the database.
    #[track_caller]
    pub fn verify_all(&mut self) {
        self.verify();
        let newest = self.backup();
        assert!(
            newest["bytes_added"].as_u64().unwrap() * 2 < newest["bytes_raw"].as_u64().unwrap(),
            "nothing of what is stored was used again: {newest}"
        );
        for (id, state) in &self.committed {
            assert_eq!(self.stored(id), *state, "backup {id}");
        }
        let target = self.cluster.conninfo("whole");
        self.desk.ok(&["restore", newest["id"].as_str().unwrap(), "--dbname", &target, "--create"]);
        assert_same(&Snapshot::take(&self.cluster, "d"), &Snapshot::take(&self.cluster, "whole"));
        self.cluster.drop_database("whole");
    }

    /// A backup that is perhaps forgotten: if it is, it need not be there any more.
    pub fn may_be_gone(&mut self, id: &str) {
        if !self.listed().contains(id) {
            self.committed.remove(id);
        }
    }

    /// The oldest backup that is remembered, by what `list` shows.
    pub fn oldest(&self) -> String {
        let list = self.desk.json(&["list", "--json"])["backups"].clone();
        list[0]["id"].as_str().unwrap().to_string()
    }

    pub fn committed(&self) -> usize {
        self.committed.len()
    }
}

/// It failed, with 1, and said why and what to do.
#[track_caller]
pub fn failed(output: &Output, cause: &[&str]) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(cause.iter().any(|words| said.contains(words)), "none of {cause:?} in: {said}");
}

/// Of the rows of each stream, in whatever order: a table is a set, and under a row map newer rows
/// come last.
fn hash(streams: impl Iterator<Item = Vec<u8>>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for stream in streams {
        let mut rows: Vec<&[u8]> = stream.split_inclusive(|byte| *byte == b'\n').collect();
        rows.sort_unstable();
        hasher.write_usize(rows.len());
        for row in rows {
            hasher.write_usize(row.len());
            hasher.write(row);
        }
    }
    hasher.finish()
}
