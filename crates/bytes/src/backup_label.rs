//! What a server says of a base backup: `backup_label`, with which a restored cluster starts, and
//! the backup history file (`SEGMENT.OFFSET.backup`), which it archives when the backup ends.
//!
//! Both are lines of a name, a colon, a blank and a value, made by `build_backup_content`
//! (PostgreSQL source, src/backend/access/transam/xlogbackup.c; before 16 in xlog.c). The history
//! file has the lines of the label, and others about the end.
//!
//! A label that is restored must be the very bytes that the server handed out, so that this module
//! only reads.

use std::fmt;
use std::str::FromStr;

use crate::lsn::Lsn;
use crate::wal_name::SegmentName;

/// A `backup_label` file, or a backup history file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupLabel {
    /// Recovery begins here: the redo location of the backup's checkpoint.
    pub start_lsn: Lsn,
    /// The WAL segment that has it.
    pub start_segment: SegmentName,
    /// Where the record of that checkpoint is.
    pub checkpoint_lsn: Lsn,
    /// How the backup was made.
    pub method: BackupMethod,
    /// Which server it was made on.
    pub from: BackupFrom,
    /// When it began, in the words of the server: a date, a time, and the abbreviation of the zone
    /// of its log, such as `2026-11-30 23:14:33 CET`.
    pub start_time: String,
    /// The name that was given to the backup, in the encoding of the session that gave it;
    /// `pg_rewind` gives none. Of a name of several lines, the first.
    pub label: Option<Vec<u8>>,
    /// The timeline at the start; `pg_rewind` does not say it.
    pub start_timeline: Option<u32>,
    /// The backup that this one is an increment to (PostgreSQL 17 and newer). No server starts with
    /// such a label: `pg_combinebackup` must make a whole backup first.
    pub incremental_from: Option<IncrementalFrom>,
    /// What a history file says of the end; `None` in a `backup_label`.
    pub stop: Option<BackupStop>,
    /// Lines with other names, as they are.
    pub unknown: Vec<Vec<u8>>,
}

/// How a backup was made (`BACKUP METHOD`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupMethod {
    /// BASE_BACKUP, or the functions in their non-exclusive form.
    Streamed,
    /// `pg_start_backup` in its exclusive form (before PostgreSQL 15).
    Exclusive,
    /// `pg_rewind` changed the directory to follow another server.
    Rewind,
}

/// Which server a backup was made on (`BACKUP FROM`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupFrom {
    /// A primary: an end-of-backup record in the WAL ends recovery from it.
    Primary,
    /// A standby: there is no such record.
    Standby,
}

/// The start of the backup that an increment builds upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncrementalFrom {
    /// Its start.
    pub lsn: Lsn,
    /// The timeline at its start.
    pub timeline: u32,
}

/// How a backup ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupStop {
    /// All WAL up to here is needed.
    pub lsn: Lsn,
    /// The WAL segment that has it.
    pub segment: SegmentName,
    /// When it ended, in the words of the server.
    pub time: String,
    /// The timeline at the end.
    pub timeline: u32,
}

/// Why a label could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackupLabelError {
    /// A line that every label has is not there.
    #[error("read the backup label: it has no line {line}")]
    Missing {
        /// The name of the line.
        line: LabelLine,
    },
    /// Two lines of one name: a label of several lines can imitate others.
    #[error("read the backup label: it has two lines {line}")]
    Twice {
        /// The name of the lines.
        line: LabelLine,
    },
    /// A value that is not of the line's form.
    #[error("read the backup label: the line {line} cannot be {value:?}")]
    Invalid {
        /// The name of the line.
        line: LabelLine,
        /// The value, cut off where it is long.
        value: String,
    },
    /// The segment of a location belongs to another timeline than the label says.
    #[error("read the backup label: it names timeline {named}, but segment {segment}")]
    Timeline {
        /// The timeline of START TIMELINE.
        named: u32,
        /// The segment of START WAL LOCATION.
        segment: SegmentName,
    },
}

/// The lines of labels and history files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelLine {
    /// `START WAL LOCATION`
    StartWalLocation,
    /// `STOP WAL LOCATION`
    StopWalLocation,
    /// `CHECKPOINT LOCATION`
    CheckpointLocation,
    /// `BACKUP METHOD`
    BackupMethod,
    /// `BACKUP FROM`
    BackupFrom,
    /// `START TIME`
    StartTime,
    /// `LABEL`
    Label,
    /// `START TIMELINE`
    StartTimeline,
    /// `STOP TIME`
    StopTime,
    /// `STOP TIMELINE`
    StopTimeline,
    /// `INCREMENTAL FROM LSN`
    IncrementalFromLsn,
    /// `INCREMENTAL FROM TLI`
    IncrementalFromTli,
}

impl LabelLine {
    const ALL: [LabelLine; 12] = [
        LabelLine::StartWalLocation,
        LabelLine::StopWalLocation,
        LabelLine::CheckpointLocation,
        LabelLine::BackupMethod,
        LabelLine::BackupFrom,
        LabelLine::StartTime,
        LabelLine::Label,
        LabelLine::StartTimeline,
        LabelLine::StopTime,
        LabelLine::StopTimeline,
        LabelLine::IncrementalFromLsn,
        LabelLine::IncrementalFromTli,
    ];

    fn name(self) -> &'static str {
        match self {
            LabelLine::StartWalLocation => "START WAL LOCATION",
            LabelLine::StopWalLocation => "STOP WAL LOCATION",
            LabelLine::CheckpointLocation => "CHECKPOINT LOCATION",
            LabelLine::BackupMethod => "BACKUP METHOD",
            LabelLine::BackupFrom => "BACKUP FROM",
            LabelLine::StartTime => "START TIME",
            LabelLine::Label => "LABEL",
            LabelLine::StartTimeline => "START TIMELINE",
            LabelLine::StopTime => "STOP TIME",
            LabelLine::StopTimeline => "STOP TIMELINE",
            LabelLine::IncrementalFromLsn => "INCREMENTAL FROM LSN",
            LabelLine::IncrementalFromTli => "INCREMENTAL FROM TLI",
        }
    }
}

impl fmt::Display for LabelLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl BackupLabel {
    /// Reads a label, or a history file.
    ///
    /// # Errors
    /// A line that is missing, is there twice, or has a value of another form.
    pub fn parse(bytes: &[u8]) -> Result<BackupLabel, BackupLabelError> {
        let lines = Lines::of(bytes)?;
        let (start_lsn, start_segment) = lines.location(LabelLine::StartWalLocation)?;
        let start_timeline = lines.maybe(LabelLine::StartTimeline, timeline)?;
        if let Some(named) = start_timeline
            && named != start_segment.timeline
        {
            return Err(BackupLabelError::Timeline { named, segment: start_segment });
        }
        let is_increment =
            lines.has(LabelLine::IncrementalFromLsn) || lines.has(LabelLine::IncrementalFromTli);
        let is_history = lines.has(LabelLine::StopWalLocation);
        Ok(BackupLabel {
            start_lsn,
            start_segment,
            checkpoint_lsn: lines.must(LabelLine::CheckpointLocation, parsed)?,
            method: lines.must(LabelLine::BackupMethod, |value| match value {
                "streamed" => Some(BackupMethod::Streamed),
                "pg_start_backup" => Some(BackupMethod::Exclusive),
                "pg_rewind" => Some(BackupMethod::Rewind),
                _ => None,
            })?,
            from: lines.must(LabelLine::BackupFrom, |value| match value {
                // PostgreSQL 13 says master.
                "primary" | "master" => Some(BackupFrom::Primary),
                "standby" => Some(BackupFrom::Standby),
                _ => None,
            })?,
            start_time: lines.must(LabelLine::StartTime, parsed)?,
            label: lines.value(LabelLine::Label).map(<[u8]>::to_vec),
            start_timeline,
            incremental_from: if is_increment { Some(lines.increment()?) } else { None },
            stop: if is_history { Some(lines.stop()?) } else { None },
            unknown: lines.unknown.iter().map(|line| line.to_vec()).collect(),
        })
    }

    /// The timeline at the start of the backup.
    pub fn timeline(&self) -> u32 {
        self.start_timeline.unwrap_or(self.start_segment.timeline)
    }
}

/// The lines of a file.
struct Lines<'a> {
    known: Vec<(LabelLine, &'a [u8])>,
    unknown: Vec<&'a [u8]>,
}

impl<'a> Lines<'a> {
    fn of(bytes: &'a [u8]) -> Result<Lines<'a>, BackupLabelError> {
        let mut lines = Lines { known: Vec::new(), unknown: Vec::new() };
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let value_of = |name: &LabelLine| line.strip_prefix(name.name().as_bytes())?.strip_prefix(b": ");
            let known = LabelLine::ALL.iter().find_map(|name| value_of(name).map(|value| (*name, value)));
            match known {
                Some((line, _)) if lines.has(line) => return Err(BackupLabelError::Twice { line }),
                Some(known) => lines.known.push(known),
                None => lines.unknown.push(line),
            }
        }
        Ok(lines)
    }

    fn value(&self, line: LabelLine) -> Option<&'a [u8]> {
        self.known.iter().find(|known| known.0 == line).map(|known| known.1)
    }

    fn has(&self, line: LabelLine) -> bool {
        self.value(line).is_some()
    }

    fn maybe<T>(
        &self,
        line: LabelLine,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, BackupLabelError> {
        let Some(value) = self.value(line) else { return Ok(None) };
        match std::str::from_utf8(value).ok().and_then(parse) {
            Some(parsed) => Ok(Some(parsed)),
            None => {
                let shown = String::from_utf8_lossy(value).chars().take(100).collect();
                Err(BackupLabelError::Invalid { line, value: shown })
            }
        }
    }

    fn must<T>(&self, line: LabelLine, parse: impl Fn(&str) -> Option<T>) -> Result<T, BackupLabelError> {
        self.maybe(line, parse)?.ok_or(BackupLabelError::Missing { line })
    }

    /// `0/E00028 (file 00000001000000000000000E)`
    fn location(&self, line: LabelLine) -> Result<(Lsn, SegmentName), BackupLabelError> {
        self.must(line, |value| {
            let (lsn, file) = value.split_once(" (file ")?;
            Some((parsed(lsn)?, parsed(file.strip_suffix(')')?)?))
        })
    }

    fn increment(&self) -> Result<IncrementalFrom, BackupLabelError> {
        Ok(IncrementalFrom {
            lsn: self.must(LabelLine::IncrementalFromLsn, parsed)?,
            timeline: self.must(LabelLine::IncrementalFromTli, timeline)?,
        })
    }

    fn stop(&self) -> Result<BackupStop, BackupLabelError> {
        let (lsn, segment) = self.location(LabelLine::StopWalLocation)?;
        Ok(BackupStop {
            lsn,
            segment,
            time: self.must(LabelLine::StopTime, parsed)?,
            timeline: self.must(LabelLine::StopTimeline, timeline)?,
        })
    }
}

fn parsed<T: FromStr>(value: &str) -> Option<T> {
    value.parse().ok()
}

/// Timelines count from 1.
fn timeline(value: &str) -> Option<u32> {
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| value.parse().ok()).flatten().filter(|timeline| *timeline != 0)
}
