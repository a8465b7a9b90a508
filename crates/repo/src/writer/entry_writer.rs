//! The writer of one entry.

use super::entries::{Finished, PartSummary};
use super::session::Session;
use super::streams::StreamWriter;
use crate::RepoError;
use crate::cut::Cut;
use crate::stream::Class;

/// Writes one entry of a backup ([`crate::BackupWriter::entry`]). Dropped unfinished, it is no
/// entry.
pub struct EntryWriter<'a> {
    session: &'a Session<'a>,
    path: String,
    class: Class,
    parts: Vec<PartSummary>,
}

impl<'a> EntryWriter<'a> {
    pub(super) fn new(session: &'a Session<'a>, path: String, class: Class) -> EntryWriter<'a> {
        EntryWriter { session, path, class, parts: Vec::new() }
    }

    /// A new stream of the entry's class, to be [added](EntryWriter::add) when it is finished.
    pub fn stream(&self, cut: Cut) -> StreamWriter<'a> {
        StreamWriter::new(self.session, self.class, cut)
    }

    /// Adds a part behind those that are there.
    pub fn add(&mut self, part: PartSummary) {
        self.parts.push(part);
    }

    /// Adds a small content as one part.
    pub fn write(&mut self, content: &[u8]) -> Result<(), RepoError> {
        let mut stream = self.stream(Cut::Content);
        stream.write(content)?;
        self.add(stream.finish()?);
        Ok(())
    }

    /// From now on the entry is in the backup, with its maker's own facts. These shall say what the
    /// entry is, and nothing of this backup alone: what did not change is not stored again.
    ///
    /// # Errors
    /// The backup has an entry of this path already; where that is not known yet, the backup fails
    /// at its end.
    pub fn finish(self, about: Vec<u8>) -> Result<(), RepoError> {
        self.finish_with(about, Vec::new())
    }

    /// [`EntryWriter::finish`] with facts of what this backup did for the entry
    /// ([`crate::Addition`]).
    pub fn finish_with(self, about: Vec<u8>, about_run: Vec<u8>) -> Result<(), RepoError> {
        let EntryWriter { session, path, class, parts } = self;
        let finished = Finished { class, parts, before: None, about, about_run };
        session.entries.put(path, finished, &session.repository.unlocked.local)
    }
}
