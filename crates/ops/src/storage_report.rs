//! What a test of a storage found.

use std::time::Duration;

use pgark_store::probe::{self, Verdict};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

/// What was found, in the order in which people read it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct StorageReport {
    /// URL or path of the storage, without secrets.
    pub storage: String,
    /// Whether a put fails when an object of that name exists: the first put wins.
    pub put_if_absent: Finding,
    /// Whether an object can be read right after it was written.
    pub read_after_write: Finding,
    /// Whether an object is listed right after it was written.
    pub list_after_write: Finding,
    /// Whether an object is gone right after it was deleted.
    pub delete: Finding,
    /// Whether the storage keeps versions of deleted and overwritten objects; null if it cannot be
    /// asked.
    pub versions: Option<bool>,
    /// Whether objects can be locked (S3 Object Lock); null if the storage cannot be asked.
    pub object_lock: Option<bool>,
    /// This host's clock minus the storage's, in seconds.
    pub clock_skew_seconds: i64,
    /// Median duration of a put of a small object, in seconds.
    pub put_seconds: f64,
    /// Median duration of a read of a small object, in seconds.
    pub get_seconds: f64,
    /// Median duration of a list request, in seconds.
    pub list_seconds: f64,
    /// Upload of four objects of 16 MiB at once, in bytes per second; null if it was not measured
    /// (`--quick`).
    pub upload_bytes_per_second: Option<f64>,
    /// Download of the same objects, in bytes per second; null if it was not measured.
    pub download_bytes_per_second: Option<f64>,
    /// `fit for any number of writers`, `fit, with limits` or `unfit`.
    #[serde(serialize_with = "in_words")]
    #[schemars(with = "String")]
    pub verdict: Verdict,
    /// Advice for this storage, as sentences.
    pub advice: Vec<String>,
}

/// The result of one test of a storage.
#[derive(Clone, Debug, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(tag = "finding", content = "why")]
pub enum Finding {
    /// The storage does what a repository needs.
    #[serde(rename = "good")]
    Good,
    /// It does not; `why` says what was seen.
    #[serde(rename = "bad")]
    Bad(String),
    /// It could not be tested: the credentials do not allow it, or the storage cannot be asked.
    #[serde(rename = "not allowed")]
    Unknown(String),
}

impl From<probe::Finding> for Finding {
    fn from(finding: probe::Finding) -> Finding {
        match finding {
            probe::Finding::Good => Finding::Good,
            probe::Finding::Bad(why) => Finding::Bad(why),
            probe::Finding::Unknown(why) => Finding::Unknown(why),
        }
    }
}

impl From<probe::Report> for StorageReport {
    fn from(report: probe::Report) -> StorageReport {
        let seconds = |time: Duration| time.as_secs_f64();
        StorageReport {
            storage: report.location,
            put_if_absent: report.put_if_absent.into(),
            read_after_write: report.read_after_write.into(),
            list_after_write: report.list.into(),
            delete: report.delete.into(),
            versions: report.versions,
            object_lock: report.lock,
            clock_skew_seconds: report.clock_skew,
            put_seconds: seconds(report.put_latency),
            get_seconds: seconds(report.get_latency),
            list_seconds: seconds(report.list_latency),
            upload_bytes_per_second: report.upload,
            download_bytes_per_second: report.download,
            verdict: report.verdict,
            advice: report.advice,
        }
    }
}

/// A verdict, for people.
pub fn words_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Fit => "suitable for any number of writers",
        Verdict::FitWithLimits => "suitable, with limits",
        Verdict::Unfit => "unfit",
    }
}

fn in_words<S: Serializer>(verdict: &Verdict, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(words_of(*verdict))
}
