//! Timeline history files (`00000002.history`): which timelines a timeline came from, and where
//! each of them was left.
//!
//! Each line is a timeline, a tab, the LSN where the next one branched off, a tab, and the reason
//! for people (PostgreSQL source, src/backend/access/transam/timeline.c). The oldest comes first;
//! the timeline itself is not listed. Lines that are empty or begin with `#` are skipped: a server
//! leaves an empty one between what it copies of the parent's file and what it adds.

use crate::lsn::Lsn;

/// A timeline and those that it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineHistory {
    timeline: u32,
    ancestors: Vec<Ancestor>,
}

/// A timeline that another came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ancestor {
    /// The timeline.
    pub timeline: u32,
    /// Where the next one of the history branched off: WAL from here on is not part of it.
    pub switch_lsn: Lsn,
    /// Why, for people, in the encoding of the server.
    pub reason: Vec<u8>,
}

/// Why a history could not be read, or cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimelineHistoryError {
    /// A line that is not a timeline, an LSN and a reason.
    #[error("read the history of timeline {timeline}: line {line} is not a timeline and an LSN")]
    Invalid {
        /// The timeline whose history it is.
        timeline: u32,
        /// The number of the line, from 1.
        line: usize,
    },
    /// Timelines that do not rise, or one that is not below the timeline itself.
    #[error("read the history of timeline {timeline}: timeline {ancestor} is not in its order")]
    Order {
        /// The timeline whose history it is.
        timeline: u32,
        /// The timeline that is not above the one in front, or not below the timeline itself.
        ancestor: u32,
    },
    /// A timeline that was left before it began.
    #[error("read the history of timeline {timeline}: timeline {ancestor} was left before it began")]
    Switch {
        /// The timeline whose history it is.
        timeline: u32,
        /// The timeline that was left.
        ancestor: u32,
    },
    /// A reason of several lines, which a file cannot hold.
    #[error("write the history of timeline {timeline}: the reason why {ancestor} was left has a line break")]
    Reason {
        /// The timeline whose history it is.
        timeline: u32,
        /// The timeline that was left.
        ancestor: u32,
    },
}

impl TimelineHistory {
    /// Of a timeline and those before it, the oldest first. The first timeline of a cluster,
    /// usually 1, has no history.
    ///
    /// # Errors
    /// Timelines or LSNs that do not rise, or a reason of several lines.
    pub fn new(timeline: u32, ancestors: Vec<Ancestor>) -> Result<TimelineHistory, TimelineHistoryError> {
        let (mut below, mut begin) = (0, Lsn(0));
        for ancestor in &ancestors {
            let Ancestor { timeline: ancestor, switch_lsn, reason } = ancestor;
            if *ancestor <= below || *ancestor >= timeline {
                return Err(TimelineHistoryError::Order { timeline, ancestor: *ancestor });
            }
            if *switch_lsn < begin {
                return Err(TimelineHistoryError::Switch { timeline, ancestor: *ancestor });
            }
            if reason.contains(&b'\n') {
                return Err(TimelineHistoryError::Reason { timeline, ancestor: *ancestor });
            }
            (below, begin) = (*ancestor, *switch_lsn);
        }
        Ok(TimelineHistory { timeline, ancestors })
    }

    /// Reads the history file of a timeline, whose own number is in the name of the file only.
    ///
    /// # Errors
    /// A line of another form, or timelines or LSNs that do not rise.
    pub fn parse(timeline: u32, bytes: &[u8]) -> Result<TimelineHistory, TimelineHistoryError> {
        let mut ancestors = Vec::new();
        for (line, text) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            let text = text.trim_ascii_start();
            if !text.is_empty() && !text.starts_with(b"#") {
                let ancestor = ancestor(text).ok_or(TimelineHistoryError::Invalid { timeline, line })?;
                ancestors.push(ancestor);
            }
        }
        TimelineHistory::new(timeline, ancestors)
    }

    /// The content of its history file.
    pub fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for Ancestor { timeline, switch_lsn, reason } in &self.ancestors {
            bytes.extend_from_slice(format!("{timeline}\t{switch_lsn}\t").as_bytes());
            bytes.extend_from_slice(reason);
            bytes.push(b'\n');
        }
        bytes
    }

    /// The timeline itself.
    pub fn timeline(&self) -> u32 {
        self.timeline
    }

    /// The timelines that it came from, the oldest first.
    pub fn ancestors(&self) -> &[Ancestor] {
        &self.ancestors
    }

    /// Whether the byte of this timeline at this LSN is part of the history: whoever replays the
    /// history up to there replays it.
    pub fn contains(&self, timeline: u32, lsn: Lsn) -> bool {
        self.span_of(timeline).is_some_and(|(begin, end)| begin <= lsn && end.is_none_or(|end| lsn < end))
    }

    /// Whether all of this timeline up to this LSN, which is the end of something, is part of the
    /// history. Where the next timeline branched off is the last such LSN.
    pub fn contains_up_to(&self, timeline: u32, end_lsn: Lsn) -> bool {
        let span = self.span_of(timeline);
        span.is_some_and(|(begin, end)| begin <= end_lsn && end.is_none_or(|end| end_lsn <= end))
    }

    /// The timeline whose byte at this LSN is part of the history.
    pub fn timeline_at(&self, lsn: Lsn) -> u32 {
        let ancestor = self.ancestors.iter().find(|ancestor| lsn < ancestor.switch_lsn);
        ancestor.map_or(self.timeline, |ancestor| ancestor.timeline)
    }

    /// Where a timeline's part of the history begins and ends; the timeline itself has no end yet.
    fn span_of(&self, timeline: u32) -> Option<(Lsn, Option<Lsn>)> {
        let mut begin = Lsn(0);
        for ancestor in &self.ancestors {
            if ancestor.timeline == timeline {
                return Some((begin, Some(ancestor.switch_lsn)));
            }
            begin = ancestor.switch_lsn;
        }
        (timeline == self.timeline).then_some((begin, None))
    }
}

/// `1<tab>0/1200000<tab>no recovery target specified`
fn ancestor(line: &[u8]) -> Option<Ancestor> {
    let mut fields = line.splitn(3, |byte| *byte == b'\t');
    let timeline = std::str::from_utf8(fields.next()?).ok()?;
    let timeline = timeline.bytes().all(|byte| byte.is_ascii_digit()).then(|| timeline.parse().ok())??;
    let switch_lsn = std::str::from_utf8(fields.next()?).ok()?.trim_ascii_end().parse().ok()?;
    Some(Ancestor { timeline, switch_lsn, reason: fields.next().unwrap_or_default().to_vec() })
}
