//! Pieces of a segment of WAL that is not whole yet (FORMAT.md, section 12): what a receiver puts
//! until it has all of the segment.
//!
//! **Digest.** A piece has that of the segment from its beginning to the end of the piece. So a
//! piece proves what is in front of it, whoever put that, and a chain of pieces has the digest of
//! its last one.
//!
//! **Several receivers.** They may cut a segment differently. Any chain without a gap whose digests
//! agree is one; the longest is taken. Where the segment is there, its pieces mean nothing.

use pgark_store::StoreError;

use super::{WalArchive, WalKind, WalListed, WalName, WalPut};
use crate::RepoError;
use crate::at_once::each;

/// The digest of a segment, up to where it was fed.
#[derive(Clone, Debug)]
pub struct WalDigest(blake3::Hasher);

/// A segment as far as its pieces have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalUnfinished {
    /// From the beginning of the segment on.
    pub content: Vec<u8>,
    /// What the maker said of it, up to there.
    pub facts: Vec<u8>,
}

/// A piece that was read.
struct Piece {
    from: usize,
    to: usize,
    digest: [u8; 32],
    facts: Vec<u8>,
    content: Vec<u8>,
}

/// Pieces that follow each other from the beginning of a segment on.
struct Chain<'p> {
    content: Vec<u8>,
    digest: WalDigest,
    last: &'p Piece,
}

impl WalDigest {
    /// The segment goes on with these bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn value(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}

impl WalArchive<'_> {
    /// The digest of a segment of which nothing was fed yet.
    pub fn begin_digest(&self) -> WalDigest {
        WalDigest(blake3::Hasher::new_keyed(&self.digest_key))
    }

    /// Archives a piece. `digest`: of the segment up to its end; `facts`: the same. The content is
    /// committed when this returns.
    ///
    /// # Errors
    /// [`RepoError::OtherWal`]: the piece is there, of a segment with another content.
    pub fn put_piece(
        &self,
        piece: &WalName,
        content: &[u8],
        digest: &WalDigest,
        facts: &[u8],
        level: i32,
    ) -> Result<WalPut, RepoError> {
        self.put_with(piece, content, digest.value(), facts, level)
    }

    /// The pieces of a segment, by their names.
    pub fn pieces(&self, segment: &WalName) -> Result<Vec<WalListed>, RepoError> {
        let object = segment.below(&self.folder);
        let Some((log, _)) = object.rsplit_once('/') else { return Ok(Vec::new()) };
        let mut found = self.listed(self.unlocked.store.list_after(&format!("{log}/"), &object)?);
        found.retain(|listed| listed.name.piece_of().is_some_and(|(of, ..)| of == *segment));
        Ok(found)
    }

    /// Puts pieces together, as far as they go from the beginning of their segment on; None: not at
    /// all. One that is damaged, or gone since it was listed, is not one.
    ///
    /// # Errors
    /// [`RepoError::NeedsReaderSecret`]; what the storage says.
    pub fn assemble(&self, pieces: &[WalListed]) -> Result<Option<WalUnfinished>, RepoError> {
        let mut read = Vec::new();
        for answer in each(pieces, |listed| self.read_piece(&listed.name)) {
            match answer {
                Ok(piece) => read.extend(piece),
                Err(error) if error.is_of_object() => self.unlocked.warn_once(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        let longest = self.longest_chain(&read);
        Ok(longest.map(|chain| WalUnfinished { content: chain.content, facts: chain.last.facts.clone() }))
    }

    fn read_piece(&self, name: &WalName) -> Result<Option<Piece>, RepoError> {
        let Some((_, from, to)) = name.piece_of() else { return Ok(None) };
        let Some((header, content)) = self.get(name)? else { return Ok(None) };
        let (from, to) = (from as usize, to as usize);
        Ok(Some(Piece { from, to, digest: header.digest, facts: header.facts, content }))
    }

    fn longest_chain<'p>(&self, pieces: &'p [Piece]) -> Option<Chain<'p>> {
        let chains = pieces.iter().filter_map(|first| {
            let mut chain = Chain { content: Vec::new(), digest: self.begin_digest(), last: first };
            (first.from == 0 && self.append(&mut chain, first)).then_some(())?;
            // The one that goes farthest first: small pieces are put together into larger ones.
            loop {
                let end = chain.content.len();
                let mut next: Vec<&Piece> =
                    pieces.iter().filter(|piece| piece.from <= end && piece.to > end).collect();
                next.sort_by_key(|piece| std::cmp::Reverse(piece.to));
                if !next.into_iter().any(|piece| self.append(&mut chain, piece)) {
                    return Some(chain);
                }
            }
        });
        chains.max_by_key(|chain| chain.content.len())
    }

    /// Appends a piece that belongs there: the digest says so.
    fn append<'p>(&self, chain: &mut Chain<'p>, piece: &'p Piece) -> bool {
        let mut digest = match piece.from == chain.content.len() {
            true => chain.digest.clone(),
            false => {
                let mut digest = self.begin_digest();
                digest.feed(&chain.content[..piece.from]);
                digest
            }
        };
        digest.feed(&piece.content);
        if digest.value() != piece.digest {
            return false;
        }
        chain.content.truncate(piece.from);
        chain.content.extend_from_slice(&piece.content);
        (chain.digest, chain.last) = (digest, piece);
        true
    }

    /// Deletes pieces of a segment that is there, as far as the storage allows it: they mean
    /// nothing any more.
    ///
    /// # Errors
    /// What the storage says, other than that it does not allow it; cancelled.
    pub fn delete_pieces(&self, pieces: &[WalName]) -> Result<(), RepoError> {
        let store = &self.unlocked.store;
        let own = pieces.iter().filter(|name| name.kind() == WalKind::Piece);
        let objects: Vec<String> = own.map(|name| name.below(&self.folder)).collect();
        let delete = |object: &String| match store.cancel().check() {
            Ok(()) => store.delete(object),
            Err(_) => Err(StoreError::Cancelled),
        };
        for (object, answer) in objects.iter().zip(each(&objects, delete)) {
            match answer {
                Err(error) if error.is_denied() => {
                    tracing::debug!("{object} stays: {error}");
                    return Ok(());
                }
                other => other?,
            }
        }
        Ok(())
    }
}
