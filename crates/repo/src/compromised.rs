//! A writer's key that someone else had for a while before it was revoked (FORMAT.md, "Who
//! counts").
//!
//! What was made with the key since cannot be told from what the thief made. So manifests, tags,
//! tombstones and records of the quarantine of that time count no more, and no later backup depends
//! on a pack of that time: a writer does not read the chunks that it depends on, and they may be
//! junk. Index objects still count, and the packs can be read: honest backups of others may need
//! what is in them, and readers verify each chunk. Where one of them names a chunk in an honest
//! pack that does not have it, [`Repository::repair_index`] is the cure: a prune may have copied
//! such a lie into an object of its own.
//!
//! **Which packs** those are is found out once, here, and is in the list of writers by their
//! hashes. A prune leaves these packs as they are, so that the hashes stay true. One that read the
//! list before moves chunks into packs that are not in it: so packs are looked for again once the
//! list is written, until nothing new is found; and a prune that reads the new list before it puts
//! its index object gives up what it moved.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use crate::RepoError;
use crate::access::{accepted, is_before, no_writer};
use crate::at_once::each;
use crate::ids::{BackupId, Compartment, ObjectHash, hex};
use crate::manifest;
use crate::names;
use crate::pack;
use crate::prune::settle;
use crate::repository::Repository;
use crate::writers::{Compromised, Writer};

/// Where the packs of every compartment are.
const PACKS: &str = "packs/";

/// What was taken back of a writer whose key someone else had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Since when.
    pub since: Timestamp,
    /// Packs that no later backup depends on.
    pub packs: u64,
    /// Backups that counted until now.
    pub backups: Vec<BackupId>,
}

/// Packs by the keys that made them.
type Made = BTreeMap<Vec<u8>, BTreeSet<ObjectHash>>;

/// The keys that made each pack, of those that were asked for.
type Makers = HashMap<(Compartment, ObjectHash), Vec<Vec<u8>>>;

impl Repository {
    /// From now on nothing of this writer counts but what the storage took before `since`, by its
    /// own clock; and no later backup depends on packs of a later time that the writer made. Who
    /// was revoked before can be revoked in this way, too, and an earlier moment takes back more.
    ///
    /// `which`: the name, of a writer that is not revoked if there is one; or the beginning of its
    /// public key as [`Repository::key_list`] shows it.
    pub fn revoke_compromised(&self, which: &str, since: Timestamp) -> Result<Revocation, RepoError> {
        self.refuse_not_owner()?;
        let list = self.unlocked.read_writers()?;
        let meant: Vec<Writer> = meant(&list.body.writers, which).into_iter().cloned().collect();
        if meant.is_empty() {
            return Err(no_writer(which, &list.body.writers));
        }
        // Storages tell whole seconds. What was taken back stays taken back.
        let before = meant.iter().filter_map(|writer| Some(writer.compromised.as_ref()?.since)).min();
        let since = (since.as_second() * 1_000_000).min(before.unwrap_or(i64::MAX));
        let until = Timestamp::from_microsecond(since)
            .map_err(|_| RepoError::Keys { what: "there is no such time".into() })?;
        let keys: Vec<Vec<u8>> = meant.iter().map(|writer| writer.public.clone()).collect();
        let counted = self.backups_of(&keys)?;
        let signed = self.signed_by(&keys, Some(until))?;
        let mut known = Makers::new();
        let mut made = self.made_since(&meant, until, &mut known)?;
        loop {
            self.change_list(self.keys(), |body| {
                for own in body.writers.iter_mut().filter(|own| keys.contains(&own.public)) {
                    own.revoked.get_or_insert_with(|| Timestamp::now().as_microsecond());
                    own.accepted = accepted(&signed, &own.public);
                    let mut packs = made.get(&own.public).cloned().unwrap_or_default();
                    packs.extend(own.compromised.iter().flat_map(|before| before.packs.iter().copied()));
                    own.compromised = Some(Compromised { since, packs: packs.into_iter().collect() });
                }
                Ok(())
            })?;
            settle(self.store())?;
            let again = self.made_since(&meant, until, &mut known)?;
            if again == made {
                break;
            }
            made = again;
        }
        let counts = self.backups_of(&keys)?;
        let packs: BTreeSet<&ObjectHash> = made.values().flatten().collect();
        Ok(Revocation {
            since: until,
            packs: packs.len() as u64,
            backups: counted.difference(&counts).copied().collect(),
        })
    }

    /// Backups that these keys have signed and that count.
    fn backups_of(&self, keys: &[Vec<u8>]) -> Result<BTreeSet<BackupId>, RepoError> {
        let all = manifest::read_all(&self.unlocked)?.warned(&self.unlocked);
        let own =
            all.iter().filter(|manifest| manifest.distrust.is_none() && keys.contains(&manifest.signer));
        Ok(own.map(|manifest| manifest.name.id).collect())
    }

    /// The packs that these writers made, of those that the storage took at `since` or later: the
    /// directories of these alone are read. Who made a pack, or sealed a chunk in it that a prune
    /// has moved there, is in its directory. One that cannot be read may be anybody's: an index
    /// object may name chunks in it all the same.
    fn made_since(
        &self,
        writers: &[Writer],
        since: Timestamp,
        known: &mut Makers,
    ) -> Result<Made, RepoError> {
        let mut young = Vec::new();
        for folder in folders(writers) {
            for meta in names::list(self.store(), &folder)? {
                let Some((compartment, hash)) = pack::parse_name(&meta.name) else { continue };
                if self.keys().opens(compartment)
                    && !is_before(Some(since), manifest::stored(&meta), &meta.name)?
                {
                    young.push((compartment, hash, meta.size));
                }
            }
        }
        let unread: Vec<_> =
            young.iter().filter(|(at, hash, _)| !known.contains_key(&(*at, *hash))).collect();
        let makers = |(compartment, hash, size): &&(Compartment, ObjectHash, u64)| {
            self.store().cancel().check()?;
            let directory = match pack::read_directory(self.store(), self.keys(), *compartment, hash, *size) {
                Ok((_, directory)) => directory,
                // Deleted since it was listed.
                Err(RepoError::Missing { .. }) => return Ok(None),
                Err(error) if error.is_of_object() => {
                    return Ok(Some(writers.iter().map(|writer| writer.public.clone()).collect()));
                }
                Err(error) => return Err(error),
            };
            let has_made = |key: &Vec<u8>| {
                directory.signer == *key || directory.keys.iter().any(|own| own.maker.as_slice() == key)
            };
            let keys = writers.iter().map(|writer| &writer.public);
            Ok(Some(keys.filter(|key| has_made(key)).cloned().collect::<Vec<_>>()))
        };
        for ((compartment, hash, _), makers) in unread.iter().zip(each(&unread, makers)) {
            if let Some(makers) = makers? {
                known.insert((*compartment, *hash), makers);
            }
        }
        let mut made = Made::new();
        for (compartment, hash, _) in &young {
            for key in known.get(&(*compartment, *hash)).into_iter().flatten() {
                made.entry(key.clone()).or_default().insert(*hash);
            }
        }
        Ok(made)
    }
}

/// The writers that are meant.
fn meant<'w>(writers: &'w [Writer], which: &str) -> Vec<&'w Writer> {
    let named: Vec<&Writer> = writers.iter().filter(|writer| writer.name == which).collect();
    let valid: Vec<&Writer> = named.iter().copied().filter(|writer| writer.revoked.is_none()).collect();
    match (valid.is_empty(), named.is_empty()) {
        (false, _) => valid,
        (true, false) => named,
        (true, true) => {
            let is_it = |writer: &&Writer| which.len() >= 8 && hex(&writer.public).starts_with(which);
            writers.iter().filter(is_it).collect()
        }
    }
}

/// Where packs of these writers can be.
fn folders(writers: &[Writer]) -> BTreeSet<String> {
    let of = |writer: &Writer| -> Vec<String> {
        match &writer.clusters {
            None => vec![PACKS.to_string()],
            Some(own) => {
                own.iter().map(|cluster| pack::folder(Compartment(cluster.compartment.into()))).collect()
            }
        }
    };
    let found: BTreeSet<String> = writers.iter().flat_map(of).collect();
    match found.contains(PACKS) {
        true => BTreeSet::from([PACKS.to_string()]),
        false => found,
    }
}
