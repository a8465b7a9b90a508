//! What a test of a storage found.

use std::time::Duration;

use pgark_store::probe::{self, Verdict};
use serde::{Serialize, Serializer};

/// What was found, in the order in which people read it.
#[derive(Clone, Debug, Serialize)]
pub struct StorageReport {
    /// Where it is.
    pub storage: String,
    /// Of several puts of one name one wins, and what is there is never changed.
    pub put_if_absent: Finding,
    /// What was put is read at once.
    pub read_after_write: Finding,
    /// What was put is listed at once.
    pub list_after_write: Finding,
    /// What was deleted is gone at once.
    pub delete: Finding,
    /// Whether what is deleted or overwritten stays as a version.
    pub versions: Option<bool>,
    /// Whether objects can be locked.
    pub object_lock: Option<bool>,
    /// Our clock minus the storage's.
    pub clock_skew_seconds: i64,
    /// Median times of requests for a small object: to put it,
    pub put_seconds: f64,
    /// to read it,
    pub get_seconds: f64,
    /// to list its folder.
    pub list_seconds: f64,
    /// With four objects of 16 MiB at once; none if it was not measured.
    pub upload_bytes_per_second: Option<f64>,
    /// The same in the other direction.
    pub download_bytes_per_second: Option<f64>,
    /// How far it can be trusted.
    #[serde(serialize_with = "in_words")]
    pub verdict: Verdict,
    /// What to know or to do, as sentences.
    pub advice: Vec<String>,
}

/// One thing that a storage has to do.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
#[serde(tag = "finding", content = "why")]
pub enum Finding {
    /// As it must be.
    #[serde(rename = "good")]
    Good,
    /// Not as it must be: why.
    #[serde(rename = "bad")]
    Bad(String),
    /// The credentials do not allow it, or it cannot be asked.
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
