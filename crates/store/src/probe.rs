//! What a storage can, found out by trying: for `pgark storage test` and `pgark init`.
//!
//! Everything happens in a folder of its own, `probe/<random>/`, which is empty again at the end
//! unless the storage does not let us delete. Nothing else of the storage is read or changed.

use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use crate::{PutOutcome, Storage, StoreError, lock};

/// The folder of all probes.
pub const FOLDER: &str = "probe/";
/// Threads that put one name at one moment, and how often.
const RACERS: usize = 8;
const RACES: usize = 3;
/// Requests whose times are taken.
const TIMED: usize = 7;
/// Objects of the throughput's measure, as large as packs, and how many move at once.
const OBJECT: usize = 16 << 20;
const OBJECTS: usize = 8;
const AT_ONCE: usize = 4;
/// A clock that differs by more is worth a word.
const SKEW: i64 = 60;

/// What a trial found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// As it must be.
    Good,
    /// Not as it must be: why.
    Bad(String),
    /// The credentials may not do it, or it cannot be asked.
    Unknown(String),
}

impl Finding {
    fn of(result: Result<bool, StoreError>, otherwise: &str) -> Finding {
        match result {
            Ok(true) => Finding::Good,
            Ok(false) => Finding::Bad(otherwise.into()),
            Err(error) => Finding::Bad(error.to_string()),
        }
    }
}

/// How far a storage can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// For any number of writers.
    Fit,
    /// With what the advice says.
    FitWithLimits,
    /// Not at all.
    Unfit,
}

/// Everything that was found out.
#[derive(Clone, Debug)]
pub struct Report {
    /// The storage.
    pub location: String,
    /// Of several puts of one name one wins, and what is there is never changed.
    pub put_if_absent: Finding,
    /// What was put is read at once, whole and in ranges.
    pub read_after_write: Finding,
    /// What was put is listed at once.
    pub list: Finding,
    /// What was deleted is gone at once.
    pub delete: Finding,
    /// Whether what is deleted or overwritten stays as a version.
    pub versions: Option<bool>,
    /// Whether objects can be locked.
    pub lock: Option<bool>,
    /// Whether what is put here is locked, by options that are set.
    pub locks: bool,
    /// Our clock minus the storage's, in seconds.
    pub clock_skew: i64,
    /// Median times of requests for a small object.
    pub put_latency: Duration,
    /// To read it.
    pub get_latency: Duration,
    /// To list its folder.
    pub list_latency: Duration,
    /// Bytes per second with four objects of 16 MiB at once; None if that was not measured.
    pub upload: Option<f64>,
    /// The same in the other direction.
    pub download: Option<f64>,
    /// How far it can be trusted.
    pub verdict: Verdict,
    /// What to know or to do, as sentences.
    pub advice: Vec<String>,
}

/// One run.
struct Probe<'s> {
    store: &'s Storage,
    folder: String,
    put: Mutex<Vec<String>>,
}

/// Tries everything. `throughput`: also how fast it is, which moves 128 MiB in each direction.
///
/// # Errors
/// The storage cannot be reached, or lets us do nothing at all; cancelled.
pub fn run(store: &Storage, throughput: bool, on_phase: &dyn Fn(&str)) -> Result<Report, StoreError> {
    let folder = format!("{FOLDER}{:016x}/", fastrand::u64(..));
    let probe = Probe { store, folder, put: Mutex::default() };
    let report = probe.report(throughput, on_phase);
    if report.is_err() {
        // Behind a failure or a cancel: once, and nobody waits to see it gone.
        let _ = probe.remove();
    }
    report
}

impl Probe<'_> {
    fn check(&self) -> Result<(), StoreError> {
        self.store.cancel().check().map_err(|_| StoreError::Cancelled)
    }

    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.folder)
    }

    fn put(&self, name: &str, bytes: impl Into<Bytes>) -> Result<PutOutcome, StoreError> {
        let name = self.name(name);
        let mut put = lock(&self.put);
        if !put.contains(&name) {
            put.push(name.clone());
        }
        drop(put);
        self.store.put_if_absent(&name, bytes.into())
    }

    fn report(&self, throughput: bool, on_phase: &dyn Fn(&str)) -> Result<Report, StoreError> {
        on_phase("testing put, read and list");
        // The first of these says what is wrong with credentials, bucket or network.
        self.store.list(&self.folder)?;
        self.put("first", "first")?;
        let mut put_if_absent = self.never_changes();
        let read_after_write = Finding::of(self.reads_back(), "what was written is not what is read");
        let list =
            Finding::of(self.lists(), "an object that was put is missing from the list, or listed twice");
        let stat = self.store.stat(&self.name("first"))?;
        let clock_skew = seconds(SystemTime::now()) - seconds(stat.modified);
        self.check()?;
        on_phase("testing parallel puts");
        if put_if_absent == Finding::Good {
            put_if_absent = Finding::of(self.one_wins(), "of several parallel puts, more than one succeeded");
        }
        if !self.store.capabilities().atomic_put_if_absent && put_if_absent == Finding::Good {
            put_if_absent = Finding::Bad("the storage accepts the condition and ignores it".into());
        }
        on_phase("measuring latency");
        let (put_latency, get_latency, list_latency) = self.latencies()?;
        let (upload, download) = match throughput {
            true => {
                on_phase("measuring throughput");
                let (upload, download) = self.throughput()?;
                (Some(upload), Some(download))
            }
            false => (None, None),
        };
        on_phase("testing delete");
        let versions = self.store.keeps_versions().unwrap_or_default();
        let lock = self.store.can_lock().unwrap_or_default();
        let delete = self.clean_up();
        self.check()?;
        let mut report = Report {
            location: self.store.location(),
            put_if_absent,
            read_after_write,
            list,
            delete,
            versions,
            lock,
            locks: self.store.retention().is_some(),
            clock_skew,
            put_latency,
            get_latency,
            list_latency,
            upload,
            download,
            verdict: Verdict::Fit,
            advice: Vec::new(),
        };
        judge(&mut report);
        Ok(report)
    }

    fn never_changes(&self) -> Finding {
        let tried = || -> Result<bool, StoreError> {
            let again = self.put("first", "second")?;
            Ok(again == PutOutcome::AlreadyExists && self.store.get(&self.name("first"))? == b"first")
        };
        Finding::of(tried(), "an existing object was overwritten")
    }

    fn reads_back(&self) -> Result<bool, StoreError> {
        let bytes: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
        self.put("read", bytes.clone())?;
        let name = self.name("read");
        let range = self.store.get_range(&name, 1000, 5000)?;
        let beyond = self.store.get_range(&name, bytes.len() as u64 - 1, 2);
        Ok(self.store.get(&name)? == bytes
            && bytes.get(1000..6000) == Some(range.as_slice())
            && matches!(beyond, Err(StoreError::TooShort { .. }))
            && matches!(self.store.get(&self.name("none")), Err(StoreError::NotFound { .. })))
    }

    fn lists(&self) -> Result<bool, StoreError> {
        for number in 0..3 {
            let name = format!("list/{number}");
            self.put(&name, "x")?;
            let listed = self.store.list(&self.folder)?;
            if listed.iter().filter(|meta| meta.name == self.name(&name)).count() != 1 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn one_wins(&self) -> Result<bool, StoreError> {
        for race in 0..RACES {
            let name = format!("race/{race}");
            let start = Barrier::new(RACERS);
            let outcomes: Vec<Result<PutOutcome, StoreError>> = thread::scope(|scope| {
                let racers: Vec<_> = (0..RACERS)
                    .map(|racer| {
                        let (name, start) = (&name, &start);
                        scope.spawn(move || {
                            start.wait();
                            self.put(name, vec![b'0' + racer as u8; 2000])
                        })
                    })
                    .collect();
                racers.into_iter().map(|racer| racer.join().unwrap_or(Err(StoreError::Cancelled))).collect()
            });
            let mut won = 0;
            for outcome in outcomes {
                won += usize::from(outcome? == PutOutcome::Created);
            }
            if won != 1 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn latencies(&self) -> Result<(Duration, Duration, Duration), StoreError> {
        let mut times: [Vec<Duration>; 3] = Default::default();
        let [puts, gets, lists] = &mut times;
        for number in 0..TIMED {
            self.check()?;
            let name = format!("time/{number}");
            let started = Instant::now();
            self.put(&name, "x")?;
            puts.push(started.elapsed());
            let started = Instant::now();
            self.store.get(&self.name(&name))?;
            gets.push(started.elapsed());
            let started = Instant::now();
            self.store.list(&self.name("time/"))?;
            lists.push(started.elapsed());
        }
        Ok((median(puts), median(gets), median(lists)))
    }

    fn throughput(&self) -> Result<(f64, f64), StoreError> {
        let mut random = fastrand::Rng::new();
        let bytes: Bytes =
            std::iter::repeat_with(|| random.u64(..).to_le_bytes()).take(OBJECT / 8).flatten().collect();
        let started = Instant::now();
        self.at_once(&|number| {
            // No two are the same: a storage may know one that it has.
            let name = format!("large/{number}");
            self.put(&name, bytes.slice(number..)).map(|_| ())
        })?;
        let up = started.elapsed();
        let started = Instant::now();
        self.at_once(&|number| self.store.get(&self.name(&format!("large/{number}"))).map(|_| ()))?;
        let down = started.elapsed();
        let rate = |time: Duration| (OBJECT * OBJECTS) as f64 / time.as_secs_f64().max(1e-6);
        Ok((rate(up), rate(down)))
    }

    fn at_once(&self, work: &(dyn Fn(usize) -> Result<(), StoreError> + Sync)) -> Result<(), StoreError> {
        thread::scope(|scope| {
            let workers: Vec<_> = (0..AT_ONCE)
                .map(|worker| {
                    scope.spawn(move || {
                        for number in (worker..OBJECTS).step_by(AT_ONCE) {
                            self.check()?;
                            work(number)?;
                        }
                        Ok(())
                    })
                })
                .collect();
            workers.into_iter().try_for_each(|worker| worker.join().unwrap_or(Err(StoreError::Cancelled)))
        })
    }

    /// Deletes what was put, and returns its names.
    fn remove(&self) -> Result<Vec<String>, StoreError> {
        let names = std::mem::take(&mut *lock(&self.put));
        names.iter().try_for_each(|name| self.store.delete(name))?;
        Ok(names)
    }

    fn clean_up(&self) -> Finding {
        let names = match self.remove() {
            Ok(names) => names,
            Err(error) if error.is_denied() => return Finding::Unknown(error.to_string()),
            Err(error) => return Finding::Bad(error.to_string()),
        };
        let gone = || -> Result<bool, StoreError> {
            let read = names.first().map(|name| self.store.get(name));
            Ok(!matches!(read, Some(Ok(_))) && self.store.list(&self.folder)?.is_empty())
        };
        Finding::of(gone(), "a deleted object still exists")
    }
}

fn seconds(time: SystemTime) -> i64 {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// The verdict, and what it rests on.
fn judge(report: &mut Report) {
    let mut advice = Vec::new();
    let mut verdict = Verdict::Fit;
    for finding in [&report.read_after_write, &report.list] {
        if let Finding::Bad(why) = finding {
            verdict = Verdict::Unfit;
            advice.push(format!("do not keep backups here: {why}"));
        }
    }
    if let Finding::Bad(why) = &report.put_if_absent {
        advice.push(format!(
            "put-if-absent is ignored ({why}): pgark allows one writer at a time here, and refuses a second one"
        ));
        verdict = if verdict == Verdict::Unfit { verdict } else { Verdict::FitWithLimits };
    }
    match &report.delete {
        Finding::Good => {}
        Finding::Unknown(why) => {
            advice.push(format!(
                "these credentials have no delete permission ({why}): they are enough for backups, but `pgark prune` needs others; the test's objects remain in {FOLDER}"
            ));
            verdict = if verdict == Verdict::Unfit { verdict } else { Verdict::FitWithLimits };
        }
        Finding::Bad(why) => {
            advice.push(format!("deleting does not work: {why}"));
            verdict = if verdict == Verdict::Unfit { verdict } else { Verdict::FitWithLimits };
        }
    }
    match (report.versions, report.lock) {
        (Some(false), _) => advice.push(
            "the bucket keeps no versions: deleted objects are lost. With versioning, the bucket can be read as it was earlier".into(),
        ),
        (Some(true), Some(false)) => advice.push(
            "the bucket keeps versions: prune frees space only with a lifecycle rule that removes old versions".into(),
        ),
        (Some(true), Some(true)) if !report.locks => advice.push(
            "the bucket has object lock: the storage options object_lock and lock_for make backups undeletable for a while".into(),
        ),
        _ => {}
    }
    if report.locks && report.lock == Some(false) {
        advice.push("object_lock is set, and the bucket has none: every put will be refused".into());
        verdict = Verdict::Unfit;
    }
    if report.clock_skew.abs() > SKEW {
        advice.push(format!(
            "this host's clock differs from the storage's by {} s: correct it",
            report.clock_skew
        ));
    }
    report.verdict = verdict;
    report.advice = advice;
}
