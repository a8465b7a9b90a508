//! Where a backup goes: its repository, and perhaps a second one, for which the server is read only
//! once.
//!
//! Every byte that goes into the first goes into the second too, under its keys, deduplicated and
//! mapped against what is there; each writer has its own list of entries. The second commits behind
//! the first. What goes wrong with the second never touches the first: it is recorded, the second
//! gets no more, and it has no backup; the first is complete, and the report says what is missing.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use pgark_mask::row::MaskedRow;
use pgark_repo::{BackupWriter, Class, Cut, EntryWriter, PartSummary, RepoError, StreamWriter};

use super::mapping::RowMapping;
use crate::OpsError;
use crate::facts::Note;
use crate::lock::lock;
use crate::logical::rowmap::{RowSink, Rows, StoredCopy};
use crate::logical::toc::StoredToc;

/// The writers of one backup.
pub(super) struct Destination<'a> {
    pub(super) main: &'a BackupWriter<'a>,
    pub(super) maps: &'a RowMapping<'a>,
    pub(super) second: Option<&'a SecondRepository<'a>>,
}

/// The second repository.
pub(super) struct SecondRepository<'a> {
    writer: &'a BackupWriter<'a>,
    maps: &'a RowMapping<'a>,
    failed: AtomicBool,
    failure: Mutex<Option<OpsError>>,
}

/// Why nothing is committed in the second repository.
pub(super) enum Uncommitted {
    /// Nothing is committed in the first either, and its own error says why.
    FirstFailed,
    /// What went wrong with the second.
    SecondFailed(OpsError),
}

impl From<Uncommitted> for OpsError {
    fn from(why: Uncommitted) -> OpsError {
        match why {
            Uncommitted::FirstFailed => OpsError::refused("the first repository has no backup either", ""),
            Uncommitted::SecondFailed(error) => error,
        }
    }
}

impl From<RepoError> for Uncommitted {
    fn from(error: RepoError) -> Uncommitted {
        Uncommitted::SecondFailed(error.into())
    }
}

impl<'a> SecondRepository<'a> {
    pub(super) fn new(writer: &'a BackupWriter<'a>, maps: &'a RowMapping<'a>) -> SecondRepository<'a> {
        SecondRepository { writer, maps, failed: AtomicBool::new(false), failure: Mutex::default() }
    }

    /// Does something there; a failure is kept, and is the last thing that is done there.
    fn attempt<T>(&self, work: impl FnOnce(&SecondRepository<'a>) -> Result<T, OpsError>) -> Option<T> {
        if self.failed.load(Ordering::Acquire) {
            return None;
        }
        match work(self) {
            Ok(done) => Some(done),
            Err(error) => {
                self.failed.store(true, Ordering::Release);
                lock(&self.failure).get_or_insert(error);
                None
            }
        }
    }

    /// What went wrong with it.
    pub(super) fn failure(&self) -> Option<OpsError> {
        lock(&self.failure).take()
    }
}

/// What came of one thing in the first repository, and in the second if there is one and it has not
/// failed.
pub(super) struct InEach<T> {
    pub(super) main: T,
    pub(super) second: Option<T>,
}

impl<T: Clone> InEach<T> {
    /// The same in each.
    pub(super) fn same(value: T) -> InEach<T> {
        InEach { second: Some(value.clone()), main: value }
    }
}

/// One of the repositories.
#[derive(Clone, Copy)]
pub(super) enum Which {
    First,
    Second,
}

impl<T> InEach<T> {
    /// What came of it in this one; nothing, if that has failed.
    pub(super) fn of(&self, which: Which) -> Option<&T> {
        match which {
            Which::First => Some(&self.main),
            Which::Second => self.second.as_ref(),
        }
    }

    pub(super) fn map<R>(&self, of: impl Fn(&T) -> R) -> InEach<R> {
        InEach { main: of(&self.main), second: self.second.as_ref().map(of) }
    }
}

impl<T> InEach<Vec<T>> {
    pub(super) fn none() -> InEach<Vec<T>> {
        InEach { main: Vec::new(), second: Some(Vec::new()) }
    }

    pub(super) fn push(&mut self, one: InEach<T>) {
        self.main.push(one.main);
        self.second = self.second.take().zip(one.second).map(|(mut all, one)| {
            all.push(one);
            all
        });
    }
}

impl<'a> Destination<'a> {
    /// A new entry in each. It is in a backup once it is finished.
    pub(super) fn entry(&self, path: &str, class: Class) -> DestinationEntry<'a> {
        DestinationEntry {
            main: self.main.entry(path, class),
            second: self.in_second(|second| Ok(second.writer.entry(path, class))),
        }
    }

    /// A small content as an entry in each.
    pub(super) fn whole(&self, path: &str, class: Class, content: &[u8], note: Note) -> Result<(), OpsError> {
        let mut entry = self.entry(path, class);
        entry.main.write(content)?;
        entry.second.attempt(|entry| Ok(entry.write(content)?));
        entry.finish(InEach::same(note))
    }

    /// A table of contents in each. Returns the digest of its definitions.
    pub(super) fn toc(&self, path: &str, toc: &StoredToc, note: Note) -> Result<InEach<String>, OpsError> {
        let parts = self.pieces_of(Class::Data, |out, _| {
            let out = std::cell::RefCell::new(out);
            toc.write(
                &mut |piece, name| {
                    out.borrow_mut().bytes(piece)?;
                    out.borrow_mut().end_record(name)
                },
                &mut || out.borrow_mut().cut(),
            )
        })?;
        // The part before it tells when it was made.
        let digest = parts.map(|parts: &Vec<PartSummary>| {
            parts.last().and_then(|part| part.part.digest()).unwrap_or_default()
        });
        let mut entry = self.entry(path, Class::Data);
        entry.add(parts);
        entry.finish(InEach::same(note))?;
        Ok(digest)
    }

    /// Pieces of text in each, as parts of an entry that follows.
    pub(super) fn pieces(
        &self,
        write: impl Fn(&mut Pieces<'a>, Which) -> Result<(), OpsError>,
    ) -> Result<InEach<Vec<PartSummary>>, OpsError> {
        self.pieces_of(Class::Metadata, write)
    }

    fn pieces_of(
        &self,
        class: Class,
        write: impl Fn(&mut Pieces<'a>, Which) -> Result<(), OpsError>,
    ) -> Result<InEach<Vec<PartSummary>>, OpsError> {
        let in_one = |writer: &'a BackupWriter<'a>, which| {
            let mut pieces = Pieces { writer, class, open: None, done: Vec::new() };
            write(&mut pieces, which)?;
            pieces.finish()
        };
        let main = in_one(self.main, Which::First)?;
        let second = self.in_second(|second| in_one(second.writer, Which::Second));
        Ok(InEach { main, second: second.end(Ok) })
    }

    /// A new stream in each, whose entry follows.
    pub(super) fn stream(&self, class: Class, cut: Cut) -> DestinationStream<'a> {
        DestinationStream {
            main: self.main.stream(class, cut),
            second: self.in_second(|second| Ok(second.writer.stream(class, cut))),
        }
    }

    /// The rows of one COPY in each; `rows` says what is known of them where these maps count. A
    /// masked backup takes none: see [`Destination::masked_rows`].
    pub(super) fn rows(
        &self,
        rows: impl Fn(&RowMapping<'_>) -> Result<Rows, OpsError>,
    ) -> Result<DestinationRows<'a>, OpsError> {
        self.refuse_unless(self.main.domain().is_empty())?;
        self.any_rows(rows)
    }

    /// The same for masked rows, of which a plain backup takes none.
    pub(super) fn masked_rows(
        &self,
        rows: impl Fn(&RowMapping<'_>) -> Result<Rows, OpsError>,
    ) -> Result<MaskedRows<'a>, OpsError> {
        self.refuse_unless(!self.main.domain().is_empty())?;
        Ok(MaskedRows(self.any_rows(rows)?))
    }

    fn refuse_unless(&self, is_so: bool) -> Result<(), OpsError> {
        if is_so {
            return Ok(());
        }
        Err(OpsError::refused(
            "plain rows in a masked backup, or masked ones in a plain backup",
            "this is a defect of pgark; please report it",
        ))
    }

    fn any_rows(
        &self,
        rows: impl Fn(&RowMapping<'_>) -> Result<Rows, OpsError>,
    ) -> Result<DestinationRows<'a>, OpsError> {
        let main = RowSink::new(self.main, rows(self.maps)?)?;
        let second = self.in_second(|second| RowSink::new(second.writer, rows(second.maps)?));
        Ok(DestinationRows { main, second })
    }

    /// Begins something in the second, if there is one.
    fn in_second<T>(
        &self,
        begin: impl FnOnce(&SecondRepository<'a>) -> Result<T, OpsError>,
    ) -> SecondWriter<'a, T> {
        SecondWriter(self.second.and_then(|second| Some((second, second.attempt(begin)?))))
    }
}

/// Something that is under way in the second repository; nothing once that has failed.
struct SecondWriter<'a, T>(Option<(&'a SecondRepository<'a>, T)>);

impl<T> SecondWriter<'_, T> {
    /// Goes on with it.
    fn attempt(&mut self, work: impl FnOnce(&mut T) -> Result<(), OpsError>) {
        if let Some((second, under_way)) = &mut self.0
            && second.attempt(|_| work(under_way)).is_none()
        {
            self.0 = None;
        }
    }

    /// Ends it.
    fn end<R>(self, work: impl FnOnce(T) -> Result<R, OpsError>) -> Option<R> {
        self.0.and_then(|(second, under_way)| second.attempt(|_| work(under_way)))
    }
}

/// One entry in each repository.
pub(super) struct DestinationEntry<'a> {
    main: EntryWriter<'a>,
    second: SecondWriter<'a, EntryWriter<'a>>,
}

impl DestinationEntry<'_> {
    /// Adds parts behind those that are there.
    pub(super) fn add(&mut self, parts: InEach<Vec<PartSummary>>) {
        parts.main.into_iter().for_each(|part| self.main.add(part));
        match parts.second {
            Some(parts) => self.second.attempt(|entry| {
                parts.into_iter().for_each(|part| entry.add(part));
                Ok(())
            }),
            // That has failed, and commits nothing.
            None => self.second = SecondWriter(None),
        }
    }

    pub(super) fn finish(self, note: InEach<Note>) -> Result<(), OpsError> {
        self.finish_with(note.map(|note| (note.clone(), Vec::new())))
    }

    /// The same with facts of what this backup did for it.
    pub(super) fn finish_with(self, notes: InEach<(Note, Vec<u8>)>) -> Result<(), OpsError> {
        let (note, done) = notes.main;
        self.main.finish_with(note.to_bytes(), done)?;
        if let Some((note, done)) = notes.second {
            self.second.end(|entry| Ok(entry.finish_with(note.to_bytes(), done)?));
        }
        Ok(())
    }
}

/// Bytes that become several parts of one entry: what changes by itself apart from what does not.
pub(super) struct Pieces<'a> {
    writer: &'a BackupWriter<'a>,
    class: Class,
    open: Option<StreamWriter<'a>>,
    done: Vec<PartSummary>,
}

impl<'a> Pieces<'a> {
    /// Goes on with the part.
    pub(super) fn text(&mut self, text: &str) -> Result<(), OpsError> {
        self.bytes(text.as_bytes())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), OpsError> {
        let (writer, class) = (self.writer, self.class);
        let open = self.open.get_or_insert_with(|| writer.stream(class, Cut::Records));
        Ok(open.write(bytes)?)
    }

    /// A record of this name ends here ([`StreamWriter::end_record`]).
    pub(super) fn end_record(&mut self, name: &[u8]) -> Result<(), OpsError> {
        match &mut self.open {
            Some(open) => Ok(open.end_record(name)?),
            None => Ok(()),
        }
    }

    /// What follows is another part.
    pub(super) fn cut(&mut self) -> Result<(), OpsError> {
        if let Some(open) = self.open.take() {
            self.done.push(open.finish()?);
        }
        Ok(())
    }

    /// Parts that are written already come here.
    pub(super) fn parts(&mut self, parts: &[PartSummary]) -> Result<(), OpsError> {
        self.cut()?;
        self.done.extend_from_slice(parts);
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<PartSummary>, OpsError> {
        self.cut()?;
        Ok(self.done)
    }
}

/// One stream in each repository.
pub(super) struct DestinationStream<'a> {
    main: StreamWriter<'a>,
    second: SecondWriter<'a, StreamWriter<'a>>,
}

impl DestinationStream<'_> {
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), OpsError> {
        self.main.write(bytes)?;
        self.second.attempt(|stream| Ok(stream.write(bytes)?));
        Ok(())
    }

    /// A record of this name ends here ([`StreamWriter::end_record`]).
    pub(super) fn end_record(&mut self, name: &[u8]) -> Result<(), OpsError> {
        self.main.end_record(name)?;
        self.second.attempt(|stream| Ok(stream.end_record(name)?));
        Ok(())
    }

    pub(super) fn finish(self) -> Result<InEach<PartSummary>, OpsError> {
        let main = self.main.finish()?;
        Ok(InEach { main, second: self.second.end(|stream| Ok(stream.finish()?)) })
    }
}

/// The rows of one COPY on their way into each repository.
pub(super) struct DestinationRows<'a> {
    main: RowSink<'a>,
    second: SecondWriter<'a, RowSink<'a>>,
}

impl DestinationRows<'_> {
    /// One row, or a piece of one; `ends`: the last.
    #[inline]
    pub(super) fn write(&mut self, piece: &[u8], ends: bool) -> Result<(), OpsError> {
        self.main.write(piece, ends)?;
        self.second.attempt(|sink| sink.write(piece, ends));
        Ok(())
    }

    /// `rows` is the server's own count.
    pub(super) fn finish(self, rows: u64) -> Result<InEach<StoredCopy>, OpsError> {
        let main = self.main.finish(rows)?;
        Ok(InEach { main, second: self.second.end(|sink| sink.finish(rows)) })
    }
}

/// Masked rows of one COPY on their way into each repository: it takes nothing else.
pub(super) struct MaskedRows<'a>(DestinationRows<'a>);

impl MaskedRows<'_> {
    /// One row.
    #[inline]
    pub(super) fn write(&mut self, row: MaskedRow<'_>) -> Result<(), OpsError> {
        self.0.write(row.as_bytes(), true)
    }

    /// `rows`: how many were to be stored.
    pub(super) fn finish(self, rows: u64) -> Result<InEach<StoredCopy>, OpsError> {
        self.0.finish(rows)
    }
}
