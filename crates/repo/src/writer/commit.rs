//! The end of a backup: entries, packs, index, draft, a last look at the trash, manifest.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use minicbor::bytes::ByteArray;
use pgark_store::StoreError;

use super::locks;
use super::options::NewBackup;
use super::session::Session;
use super::streams::StreamWriter;
use crate::at_once::both;
use crate::codec::Extensions;
use crate::cut::Cut;
use crate::ids::{Hash, ObjectHash};
use crate::manifest::{
    self, Addition, BackupHead, Body, Entry, LONGEST_ABOUT, ListBuilder, ListRef, PARTS_HERE, Parts,
    Previous, Record, WritersRef,
};
use crate::names::{LARGEST_SEQUENCE, ManifestName, Which};
use crate::object;
use crate::prune::settle;
use crate::prune::trash::{INTENTS_STAY, Trash};
use crate::stream::{ChunkKind, Class, StreamRef};
use crate::unlocked::Unlocked;
use crate::{RepoError, codec, draft, pack, tombstone};

/// Commits a backup. Until the manifest's put nothing of it is visible; after that nothing of it
/// can fail.
///
/// `told` hears of every entry, and of what was done for it.
pub(super) fn commit(
    session: &Session<'_>,
    new: NewBackup,
    told: &mut dyn FnMut(&Entry, &Addition),
) -> Result<BackupHead, RepoError> {
    session.check()?;
    check_limits(session, &new)?;
    // What each entry added is known when all is sealed; the list of entries is sealed behind that.
    session.settle()?;
    let list = write_list(session, told)?;
    session.settle()?;
    let last = session.close_packs()?;
    // What the draft names is pinned, whether it is there yet or not: its put need not wait for the
    // last packs'.
    let beside = || both(|| put_draft(session), || next_place(session));
    let (stored, (drafted, place)) = both(|| session.put_last(last), beside);
    stored.and(drafted)?;
    session.end_keeping();
    // The manifest waits for all of these, none of them for another.
    let look = || both(|| look_at_trash(session), || locks::extend(session));
    let (indexed, (looked, locked)) = both(|| session.put_index(false), look);
    indexed.and(looked).and(locked)?;
    put_manifest(session, place?, new, list)
}

/// Where a backup is among those of its cluster: its number, and the one before it.
struct Place {
    sequence: u64,
    previous: Option<Previous>,
}

/// Two that end at one moment may take the same place: both are good.
///
/// Numbers count where they are verified: of a manifest or tombstone of someone who has the right
/// to write, or of what this host remembers. Else one name that someone without a key has written
/// would end them.
fn next_place(session: &Session<'_>) -> Result<Place, RepoError> {
    let repository = &session.repository.unlocked;
    let cluster = repository.keys.cluster_hash(&session.options.cluster)?;
    let is_told = |found: &Newest| found.previous.is_some() && found.unread.is_empty();
    let found = repository.find_among_last(&cluster, |which| newest(repository, which), is_told)?;
    let Newest { names, forgotten, mut previous, unread } = found;
    let remembered = repository.heads()?.newest(&cluster);
    let mut last = previous.as_ref().map(|previous| previous.sequence).max(remembered).unwrap_or(0);
    // A forgotten one keeps its number.
    last = last.max(newest_forgotten(repository, &forgotten, last)?);
    // What is damaged is named all the same, by its bytes as they are: while its number is one that
    // a backup behind the others has.
    for name in unread.iter().rev() {
        if name.sequence > last + 1 {
            break;
        }
        if let Some(rotten) = rotten(repository, name, &names)? {
            last = last.max(name.sequence);
            previous = Some(rotten);
        }
    }
    match last {
        LARGEST_SEQUENCE.. => {
            Err(RepoError::TooLarge { what: "the number of the cluster's newest backup".into() })
        }
        last => Ok(Place { sequence: last + 1, previous }),
    }
}

/// The newest backup among some of a cluster's.
struct Newest {
    names: BTreeSet<ManifestName>,
    forgotten: BTreeSet<ManifestName>,
    /// That is verified.
    previous: Option<Previous>,
    /// Names above it that cannot be read as manifests, the newest first.
    unread: Vec<ManifestName>,
}

fn newest(repository: &Unlocked, which: Which<'_>) -> Result<Newest, RepoError> {
    let (names, forgotten) = manifest::list_both(repository, which)?;
    let (mut previous, mut unread) = (None, Vec::new());
    for name in names.iter().rev() {
        match manifest::read(repository, name, |_| {}) {
            Ok(manifest) if manifest.distrust.is_none() => {
                repository.refuse_older_list(manifest.body.list.number)?;
                let id = ByteArray::from(name.id.0);
                previous = Some(Previous { sequence: name.sequence, id, hash: manifest.hash });
                break;
            }
            // Of someone who has no right to write; or forgotten since the list was made.
            Ok(_) | Err(RepoError::Missing { .. }) => {}
            Err(error) if error.is_of_object() => unread.push(name.clone()),
            Err(error) => return Err(error),
        }
    }
    Ok(Newest { names, forgotten, previous, unread })
}

/// The highest number above `than` whose tombstone is verified; 0 if there is none.
fn newest_forgotten(
    repository: &Unlocked,
    forgotten: &BTreeSet<ManifestName>,
    than: u64,
) -> Result<u64, RepoError> {
    for name in forgotten.iter().rev().take_while(|name| name.sequence > than) {
        match tombstone::read(repository, name) {
            Ok(Some(tombstone)) if tombstone.trusted => return Ok(name.sequence),
            Ok(_) => {}
            Err(error) if error.is_of_object() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(0)
}

/// A manifest that cannot be read, as the one before. None: it is nobody's, or no object at all.
fn rotten(
    repository: &Unlocked,
    name: &ManifestName,
    names: &BTreeSet<ManifestName>,
) -> Result<Option<Previous>, RepoError> {
    let others: Vec<&ManifestName> = names.iter().collect();
    if manifest::why_misnamed(repository, name, &others)?.is_some() {
        return Ok(None);
    }
    let hash = match object::get_if_there(&repository.store, &name.name()) {
        Ok(Some(bytes)) => Hash::of(&bytes),
        Ok(None) | Err(RepoError::Damaged { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(Previous { sequence: name.sequence, id: ByteArray::from(name.id.0), hash }))
}

fn check_limits(session: &Session<'_>, new: &NewBackup) -> Result<(), RepoError> {
    let too_large = |what: &str| Err(RepoError::TooLarge { what: what.to_string() });
    if new.about.len() > LONGEST_ABOUT {
        return too_large("the length of a backup's facts");
    }
    if new.kind.len() > 256 || session.options.cluster.len() > 1024 || session.options.cluster.is_empty() {
        return too_large("the length of the cluster's or the kind's name");
    }
    Ok(())
}

/// The list of entries, and what was done for them.
struct Listed {
    list: ListRef,
    entries: u64,
    additions: StreamRef,
}

fn write_list(session: &Session<'_>, told: &mut dyn FnMut(&Entry, &Addition)) -> Result<Listed, RepoError> {
    let (lane, id_key) = (session.lane(), session.id_key(ChunkKind::Metadata, &[]));
    let uncounted = Arc::default();
    let mut list = ListBuilder::new(|raw| {
        session.check()?;
        lane.store(ChunkKind::Metadata, &[], &id_key, Cow::Owned(raw), &uncounted)
    });
    let mut additions = StreamWriter::new(session, Class::Metadata, Cut::Content);
    session.entries.take(&mut |entry, addition| {
        told(&entry, &addition);
        list.add(&record(session, entry)?)?;
        match addition.is_nothing() {
            true => Ok(()),
            false => additions.write(&manifest::encode_addition(&addition)?),
        }
    })?;
    let (list, entries) = list.finish()?;
    Ok(Listed { list, entries, additions: additions.finish_stream()?.0 })
}

/// An entry for its sublist: many parts are in a stream of their own.
fn record(session: &Session<'_>, entry: Entry) -> Result<Record, RepoError> {
    let Entry { path, class, parts, about, .. } = entry;
    let too_large = |what: &str| RepoError::TooLarge { what: what.into() };
    manifest::bytes_of(&parts).map_err(too_large)?;
    let encoded: Vec<u8> = parts.iter().flat_map(codec::encode).collect();
    let parts = match encoded.len() {
        ..=PARTS_HERE => Parts::Here(parts),
        _ => {
            let mut stream = StreamWriter::new(session, Class::Metadata, Cut::Content);
            stream.write(&encoded)?;
            Parts::Apart(stream.finish_stream()?.0)
        }
    };
    Ok(Record { path, class, parts, about })
}

fn put_draft(session: &Session<'_>) -> Result<(), RepoError> {
    let (name, bytes) =
        draft::make(session.repository.keys(), session.compartment, session.id, session.packs())?;
    // Where lists are late, a pruner might see the draft gone and the manifest not yet: it stays,
    // and prune removes it.
    if session.repository.store().capabilities().list_lateness.is_zero() {
        session.goes_at_the_end(name.clone());
    }
    session.put_object(&name, bytes)
}

/// A pruner that saw neither our session nor our draft may be about to delete a pack that we depend
/// on, or have done so. It puts its intents before it lists drafts, and they stay for days.
fn look_at_trash(session: &Session<'_>) -> Result<(), RepoError> {
    let packs = session.packs();
    let (repository, compartment) = (&session.repository.unlocked, session.compartment);
    let gone = |pack: &ObjectHash| Err(RepoError::PrunedAway { pack: pack::name(compartment, pack) });
    // Where lists are late: until they show what was there when the draft was put.
    settle(&repository.store)?;
    let (trash, is_known) =
        both(|| Trash::read(repository, compartment, &session.trash), || session.is_known());
    let (trash, is_known) = (trash?, is_known?);
    if let Some(announced) = packs.iter().find(|pack| trash.announces(pack)) {
        return gone(announced);
    }
    if is_known && !trash.is_unsure && session.began.elapsed() < INTENTS_STAY / 2 {
        return Ok(());
    }
    let there = pack::list(&repository.store, compartment)?;
    packs.iter().find(|pack| !there.contains_key(*pack)).map_or(Ok(()), gone)
}

fn put_manifest(
    session: &Session<'_>,
    place: Place,
    new: NewBackup,
    listed: Listed,
) -> Result<BackupHead, RepoError> {
    let repository = &session.repository.unlocked;
    let cluster = session.options.cluster.clone();
    let cluster_hash = repository.keys.cluster_hash(&cluster)?;
    let list = repository.writers();
    let list = WritersRef { number: list.body.number, hash: list.hash.unwrap_or(Hash([0; 32])) };
    let Place { sequence, previous } = place;
    let name = ManifestName { cluster: cluster_hash, sequence, id: session.id };
    let mut body = Body {
        id: ByteArray::from(session.id.0),
        time: new.time.unwrap_or_else(Timestamp::now).as_microsecond(),
        cluster,
        kind: new.kind,
        complete: new.complete,
        sequence,
        previous,
        entries: listed.list,
        entry_count: listed.entries,
        additions: listed.additions,
        bytes_added: session.put.load(Ordering::Relaxed),
        list,
        about: new.about,
        more: Extensions::default(),
    };
    // The manifest names the bytes of its own two copies: their length depends on the number by a
    // few bytes only.
    let before = body.bytes_added;
    let mut bytes = manifest::encode(&repository.keys, &name, &body)?;
    for _ in 0..4 {
        let all = before + 2 * bytes.len() as u64;
        if body.bytes_added == all {
            break;
        }
        body.bytes_added = all;
        bytes = manifest::encode(&repository.keys, &name, &body)?;
    }
    session.check()?;
    if let Err(error) = session.put_object(&name.name(), bytes.clone()) {
        // An answer that was lost: the manifest may be there for all that, and then the backup is.
        match repository.store.get(&name.name()) {
            Ok(there) if there == bytes => {}
            Ok(_) | Err(StoreError::NotFound { .. }) => return Err(error),
            Err(_) => {
                return Err(RepoError::CommitUnsure { id: session.id.to_string(), source: Box::new(error) });
            }
        }
    }
    // Committed. What follows is for safety and may fail without harm.
    let copy = || object::put_regardless(&repository.store, &name.copy(), bytes.clone());
    // By the storage's clock, so that a wrong one of this host is told at once.
    let look = || repository.store.stat(&name.name()).ok().as_ref().and_then(manifest::stored);
    let (copied, (stored, ())) = both(copy, || both(look, || session.clean_up()));
    if let Err(error) = copied {
        repository.store.warn(&format!("the second copy of the manifest could not be written: {error}"));
    }
    let hash = Hash::of(&bytes);
    let manifest = manifest::Manifest { distrust: None, signer: Vec::new(), hash, name, body, stored };
    if let Err(error) = manifest::remember(repository, [&manifest]) {
        repository.store.warn(&format!("this host cannot remember the new backup: {error}"));
    }
    Ok(manifest.head())
}
