//! Where a backup goes: its repository, and perhaps a second one, for which the server is read only once.
//!
//! Every byte that goes into the first goes into the second too, under its keys, deduplicated and mapped against what is there.
//! The second commits behind the first. What goes wrong with the second never touches the first: it is noted, the second gets
//! no more, and no backup is there; the first is good, and the report says what is missing.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use pgark_repo::{BackupWriter, Class, Cut, PartSummary, StreamWriter};

use super::work::{RowMapping, take};
use crate::OpsError;
use crate::record::{Note, Written};

/// The writers of one backup.
pub(super) struct Homes<'a> {
    pub(super) main: &'a BackupWriter<'a>,
    pub(super) maps: &'a RowMapping<'a>,
    pub(super) also: Option<&'a Also<'a>>,
}

/// The second home.
pub(super) struct Also<'a> {
    pub(super) writer: &'a BackupWriter<'a>,
    pub(super) maps: &'a RowMapping<'a>,
    failed: AtomicBool,
    failure: Mutex<Option<OpsError>>,
}

impl<'a> Also<'a> {
    pub(super) fn new(writer: &'a BackupWriter<'a>, maps: &'a RowMapping<'a>) -> Also<'a> {
        Also { writer, maps, failed: AtomicBool::new(false), failure: Mutex::default() }
    }

    /// Does something there; a failure is kept, and is the last thing that is done there.
    pub(super) fn attempt<T>(&self, work: impl FnOnce(&Also<'a>) -> Result<T, OpsError>) -> Option<T> {
        if self.failed.load(Ordering::Acquire) {
            return None;
        }
        match work(self) {
            Ok(done) => Some(done),
            Err(error) => {
                self.failed.store(true, Ordering::Release);
                take(&self.failure).get_or_insert(error);
                None
            }
        }
    }

    /// What went wrong with it.
    pub(super) fn failure(&self) -> Option<OpsError> {
        take(&self.failure).take()
    }
}

impl<'a> Homes<'a> {
    /// A new stream in each.
    pub(super) fn stream(&self, class: Class, cut: Cut) -> HomesStream<'a> {
        HomesStream {
            main: self.main.stream(class, cut),
            also: self.in_second(|also| Ok(also.writer.stream(class, cut))),
        }
    }

    /// Begins something in the second home, if there is one.
    pub(super) fn in_second<T>(
        &self,
        begin: impl FnOnce(&Also<'a>) -> Result<T, OpsError>,
    ) -> InSecond<'a, T> {
        InSecond(self.also.and_then(|also| Some((also, also.attempt(begin)?))))
    }

    /// Stores a small content as one stream.
    pub(super) fn whole(
        &self,
        path: String,
        class: Class,
        content: &[u8],
        note: Note,
    ) -> Result<Written, OpsError> {
        let mut stream = self.stream(class, Cut::Content);
        stream.write(content)?;
        let (part, also) = stream.finish()?;
        Ok(Written { path, class, note, parts: vec![part], also: also.map(|part| vec![part]) })
    }

    /// Waits until what was finished is sealed, in each.
    pub(super) fn settle(&self) -> Result<(), OpsError> {
        self.main.settle()?;
        self.also.and_then(|also| also.attempt(|also| Ok(also.writer.settle()?)));
        Ok(())
    }
}

/// Something that is under way in the second home; nothing once that has failed.
pub(super) struct InSecond<'a, T>(Option<(&'a Also<'a>, T)>);

impl<T> InSecond<'_, T> {
    /// Goes on with it.
    pub(super) fn go_on(&mut self, work: impl FnOnce(&mut T) -> Result<(), OpsError>) {
        if let Some((also, under_way)) = &mut self.0
            && also.attempt(|_| work(under_way)).is_none()
        {
            self.0 = None;
        }
    }

    /// Ends it.
    pub(super) fn end<R>(self, work: impl FnOnce(T) -> Result<R, OpsError>) -> Option<R> {
        self.0.and_then(|(also, under_way)| also.attempt(|_| work(under_way)))
    }
}

/// One stream in each home.
pub(super) struct HomesStream<'a> {
    main: StreamWriter<'a>,
    also: InSecond<'a, StreamWriter<'a>>,
}

impl HomesStream<'_> {
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), OpsError> {
        self.main.write(bytes)?;
        self.also.go_on(|stream| Ok(stream.write(bytes)?));
        Ok(())
    }

    /// The part in the first home, and that in the second if all went well there.
    pub(super) fn finish(self) -> Result<(PartSummary, Option<PartSummary>), OpsError> {
        let main = self.main.finish()?;
        Ok((main, self.also.end(|stream| Ok(stream.finish()?))))
    }
}
