//! Writing a backup.
//!
//! **Purpose.** Many streams become chunks, chunks packs, and one manifest makes a backup of them.
//!
//! **The way of a byte.** [`StreamWriter::write`] collects, cuts, hashes and looks up in the
//! caller's thread; only a chunk that is nowhere goes on (one copy) through a queue that is bounded
//! in bytes. Sealers (as many as jobs) compress it, seal it under a key of their own and append it
//! to the open metadata pack, or the open data pack of the writer's lane (one lane for each job,
//! fewer where packs are large, so that what one writer writes lies together; the first 64 MiB go
//! into one). Whoever fills a pack closes it and hands it to the uploaders. The renewer puts an
//! index object and renews the session every five minutes, and earlier when 256 Ki chunks wait,
//! whose ids then move from memory into a file.
//!
//! **Order of writes.** Session object; packs; index objects that name only packs that were put; at
//! the end the list of entries (as a stream like any other), the last packs and at the same time
//! the draft that names every pack reused; a look at `trash/`, and at the same time the last index
//! object; the manifest. The manifest's put is the commit: before it the backup does not exist,
//! after it nothing can make it fail. Then its second copy; session object and draft are removed.
//! `prune/model.rs` tries these orders.
//!
//! **Reusing what is there.** A chunk is known only if the index names a pack that no pruner has in
//! its lists and no check found damaged, and that the storage lists with that very size; of very
//! many packs a sample is listed (`ground.rs`). What the index names and the storage does not have
//! is stored again. Where the units of earlier maps are can be looked up together (`look_up.rs`).
//!
//! **Retries.** A failure of the storage that may pass is tried again; a put that is then told
//! "already exists" is read back and compared. Any other failure of any thread stops the session:
//! every later call of its writers is told `Cancelled`, and the first failure is what
//! [`Repository::write_backup`] returns.
//!
//! **Cancel.** The flag is looked at by every wait, every write and every put. Nothing is committed
//! afterwards.
//!
//! **What a crash leaves.** Packs, index objects of packs that are whole, one session object,
//! perhaps a draft: all are harmless. Packs in an index serve the next backup; the rest is for
//! prune.
//!
//! **Memory.** Per job 2 MiB of waiting chunks, a sealer's scratch, and two packs of 16 MiB: one
//! that is filled and one on its way (or fewer and larger ones in the same room); one pack of
//! metadata, about 25 MiB of ids, and some thousand finished entries for all (the others lie in a
//! temporary file); a stream that is being written holds 1 MiB, and up to 16 MiB while its row is
//! longer than that.

mod buffers;
mod commit;
mod dedup;
mod entries;
mod entry_writer;
mod ground;
#[cfg(test)]
mod hostile;
mod known;
mod locks;
mod look_up;
mod options;
mod queue;
mod session;
mod streams;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use crate::RepoError;
use crate::cut::Cut;
use crate::manifest::{Addition, BackupHead, Entry};
use crate::map::{EarlierMap, Files, ItemKind, MapRef, MapTarget, MapWriter, Part, read_files};
use crate::reader::{ChunkReader, DataReader};
use crate::repository::Repository;
use crate::stream::Class;
pub(crate) use dedup::Found;
pub(crate) use entries::Added;
pub use entries::PartSummary;
pub use entry_writer::EntryWriter;
pub use options::{NewBackup, WriteOptions};
pub(crate) use session::{Lane, Session};
use session::{MOST_JOBS, StopOnDrop};
pub use streams::StreamWriter;

/// Writes the entries of one backup, from many threads at once.
pub struct BackupWriter<'a> {
    session: &'a Session<'a>,
    /// Reads what earlier backups left under the metadata key.
    earlier: ChunkReader<'a>,
}

impl<'a> BackupWriter<'a> {
    /// A new entry. It is in the backup once it is finished; no path may occur twice.
    pub fn entry(&self, path: impl Into<String>, class: Class) -> EntryWriter<'a> {
        EntryWriter::new(self.session, path.into(), class)
    }

    /// A new stream, for whoever does not know its entry yet ([`EntryWriter::add`]).
    pub fn stream(&self, class: Class, cut: Cut) -> StreamWriter<'a> {
        StreamWriter::new(self.session, class, cut)
    }

    /// A new stream of data of which a holder of the writer key can guess nothing: neither ids nor
    /// cuts depend on its content, and nothing of it is ever reused by another. It is stored whole
    /// each time.
    pub fn salted_stream(&self) -> StreamWriter<'a> {
        StreamWriter::salted(self.session)
    }

    /// The mask domain of the backup's data; empty for plain data.
    pub fn domain(&self) -> &[u8] {
        self.session.domain()
    }

    /// A new map of items of this kind.
    pub fn map<K: ItemKind>(&self, kind: K, target: MapTarget) -> MapWriter<'_, K> {
        MapWriter::new(self.session, &self.earlier, kind, target)
    }

    /// A map of an earlier backup, for its items to be matched. What of it is gone or damaged is as
    /// if it had never been.
    pub fn earlier_map<K: ItemKind>(&self, map: &MapRef) -> Result<EarlierMap<K>, RepoError> {
        EarlierMap::load(self.session, &self.earlier, map)
    }

    /// Looks up where the units of earlier maps are, of all of them together: much quicker than one
    /// by one where most of them will be kept. Whoever begins [`BackupWriter::earlier_map`] of one
    /// of them profits; it is no error to leave this out.
    pub fn look_up(&self, maps: &[&MapRef]) -> Result<(), RepoError> {
        // What describes the maps is read here and again when each is opened.
        let is_far = self.session.repository.store().capabilities().remote;
        if is_far && !self.session.items().is_kept() {
            return Ok(());
        }
        look_up::look_up(self.session, &self.earlier, maps)
    }

    /// Releases what an earlier map holds of its items' hashes, once the caller has taken what it
    /// needs.
    pub fn release_lists<K: ItemKind>(&self, map: &mut EarlierMap<K>) -> Result<(), RepoError> {
        map.release_lists(self.session)
    }

    /// Which files a map of pages of an earlier backup covers; none if its description is gone or
    /// damaged.
    pub fn earlier_files(&self, map: &MapRef) -> Result<Option<Files>, RepoError> {
        match read_files(&self.earlier, map) {
            Ok(files) => Ok(Some(files)),
            Err(RepoError::Damaged { .. } | RepoError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes an entry of an earlier backup of this repository as it is, with its facts, and with
    /// what it added then, if that is given. Nothing of it is stored again, and a prune spares its
    /// packs.
    ///
    /// # Errors
    /// [`RepoError::Missing`] if a chunk of it has no place that can be reused; damage of its tree.
    pub fn keep_entry(&self, entry: &Entry, added: Option<&Addition>) -> Result<(), RepoError> {
        entry.parts.iter().try_for_each(|part| self.lean_on(part))?;
        self.session.entries.keep(entry, added, &self.session.repository.unlocked.local)
    }

    /// Reuses a part that is already stored.
    fn lean_on(&self, part: &Part) -> Result<(), RepoError> {
        let mut seen = HashSet::new();
        for stream in part.streams() {
            self.earlier.walk(stream, &mut |child, level| {
                self.session.check()?;
                // A node that is named often is walked once.
                if level > 0 && !seen.insert(child.id) {
                    return Ok(false);
                }
                self.session.lean_on(&child.id).map(|()| true)
            })?;
        }
        if let Part::Map(map) = part {
            let (kind, records) = crate::map::records(&self.earlier, map)?;
            for record in records {
                self.session.check()?;
                self.session.lean_on(&record.group)?;
                let group = crate::map::group(&self.earlier, &record, kind)?;
                for chunk in crate::map::used_chunks(&record, &group)? {
                    self.session.lean_on(&chunk.id)?;
                }
                // A list may be gone.
                if let Some(list) = &group.list {
                    self.session.dedup().lean_on(list)?;
                }
            }
        }
        Ok(())
    }

    /// Copies an entry of another repository, with its facts and those of what the original did
    /// for it; every byte is verified. `on_bytes` hears of those that are read.
    pub fn copy_entry(
        &self,
        from: &DataReader<'_>,
        entry: &Entry,
        about_run: Vec<u8>,
        cut: Cut,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<(), RepoError> {
        let mut copy = self.entry(&entry.path, entry.class);
        for number in 0..entry.parts.len() {
            copy.add(self.copy_part(from, entry, number, cut, on_bytes)?);
        }
        copy.finish_with(entry.about.clone(), about_run)
    }

    fn copy_part(
        &self,
        from: &DataReader<'_>,
        entry: &Entry,
        number: usize,
        cut: Cut,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<PartSummary, RepoError> {
        if let Some(Part::Map(map)) = entry.parts.get(number) {
            let label = format!("part {} of {}", number + 1, entry.path);
            return crate::map::copy(self.session, from.chunks(), map, &label, on_bytes);
        }
        let mut part = from.read_part(entry, number)?;
        let is_salted = entry.parts.get(number).is_some_and(Part::is_salted);
        let mut stream = if is_salted { self.salted_stream() } else { self.stream(entry.class, cut) };
        while let Some(chunk) = part.next_chunk()? {
            on_bytes(chunk.len() as u64);
            stream.write(&chunk)?;
            // What the records are is not known here: the original's cuts are as good.
            if cut == Cut::Records && !is_salted {
                stream.cut_here()?;
            }
        }
        stream.finish()
    }

    /// Raw bytes of the entries that are finished.
    pub fn bytes_raw(&self) -> u64 {
        self.session.entries.bytes_raw()
    }

    /// Sealed bytes stored so far, for progress.
    pub fn bytes_added(&self) -> u64 {
        self.session.sealed.load(Ordering::Relaxed)
    }

    /// The id that the backup will have.
    pub fn id(&self) -> crate::BackupId {
        self.session.id
    }
}

impl Repository {
    /// Writes one backup: runs `work`, which writes entries and returns what is to be said of them,
    /// then commits. If `work` fails or panics, if the storage fails, or if the job is cancelled
    /// before the commit, no backup exists.
    pub fn write_backup<T, E: From<RepoError>>(
        &self,
        options: &WriteOptions,
        work: impl FnOnce(&BackupWriter<'_>) -> Result<(NewBackup, T), E>,
    ) -> Result<(BackupHead, T), E> {
        self.write_backup_told(options, work, &mut |_, _| {})
    }

    /// [`Repository::write_backup`]; `told` hears of every entry, in the order of their paths, and
    /// of what was done for it, before the commit.
    pub fn write_backup_told<T, E: From<RepoError>>(
        &self,
        options: &WriteOptions,
        work: impl FnOnce(&BackupWriter<'_>) -> Result<(NewBackup, T), E>,
        told: &mut dyn FnMut(&Entry, &Addition),
    ) -> Result<(BackupHead, T), E> {
        let session = Session::begin(self, options)?;
        let result = thread::scope(|scope| {
            let _stop = StopOnDrop(&session);
            for _ in 0..options.jobs.clamp(1, MOST_JOBS) {
                scope.spawn(|| session.run_sealer());
            }
            for _ in 0..session.uploaders() {
                scope.spawn(|| session.run_uploader());
            }
            scope.spawn(|| session.run_renewer());
            let earlier = self.chunks(session.dedup().index())?.with_cache(Arc::clone(session.items()));
            let (new, answer) = work(&BackupWriter { session: &session, earlier })?;
            Ok((commit::commit(&session, new, told)?, answer))
        });
        session.clean_up();
        session.items().sweep();
        self.index.forget();
        match result {
            // What a writer was told is "cancelled"; here is why.
            Err(told) => Err(session.failure().map_or(told, E::from)),
            committed => committed,
        }
    }
}
