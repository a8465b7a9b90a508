//! What objects of WAL are called (FORMAT.md, section 12).

use crate::ids::unhex;

/// Where all WAL is.
pub(crate) const FOLDER: &str = "wal/";
/// What says which systems' WAL each cluster has.
pub(crate) const SYSTEMS: &str = "systems/";

/// A file of a WAL archive, by the name that the server gives it.
///
/// Names of segments of one timeline sort as their LSNs do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WalName {
    timeline: u32,
    file: String,
    kind: WalKind,
}

/// What a file of a WAL archive is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WalKind {
    /// A whole segment: 24 hex digits.
    Segment,
    /// The last segment of a timeline that was left: `SEGMENT.partial`.
    Partial,
    /// Where a backup began and ended: `SEGMENT.OFFSET.backup`.
    BackupHistory,
    /// Where a timeline came from: `TIMELINE.history`.
    History,
    /// Some bytes of a segment that is not whole yet, as a receiver puts them: `SEGMENT.FROM-TO`,
    /// each 8 hex digits. Servers know no such file.
    Piece,
}

impl WalName {
    /// Of a file's name as PostgreSQL writes it, hex digits in upper case; None: it is no file of a
    /// WAL archive.
    pub fn parse(file: &str) -> Option<WalName> {
        WalName::parse_all(file).filter(|name| name.kind != WalKind::Piece)
    }

    /// The bytes of a segment from one offset up to another one; None: it is no segment, or these
    /// are no bytes of one.
    pub fn piece(segment: &WalName, from: u32, to: u32) -> Option<WalName> {
        let file = format!("{}.{from:08X}-{to:08X}", segment.file);
        WalName::parse_all(&file).filter(|_| segment.kind == WalKind::Segment)
    }

    fn parse_all(file: &str) -> Option<WalName> {
        let (stem, rest) = file.split_at_checked(file.find('.').unwrap_or(file.len()))?;
        let is_hex = |text: &str, digits: usize| {
            text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'))
        };
        let kind = match rest {
            "" if is_hex(stem, 24) => WalKind::Segment,
            ".partial" if is_hex(stem, 24) => WalKind::Partial,
            ".history" if is_hex(stem, 8) => WalKind::History,
            _ if is_hex(stem, 24) => match rest.strip_prefix('.')?.split_at_checked(8)? {
                (offset, ".backup") if is_hex(offset, 8) => WalKind::BackupHistory,
                (from, to) if is_hex(from, 8) => {
                    let to = to.strip_prefix('-')?;
                    (is_hex(to, 8) && from < to).then_some(WalKind::Piece)?
                }
                _ => return None,
            },
            _ => return None,
        };
        let timeline = u32::from_be_bytes(unhex(&stem.get(..8)?.to_ascii_lowercase())?);
        Some(WalName { timeline, file: file.to_string(), kind })
    }

    /// The file's name.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What it is.
    pub fn kind(&self) -> WalKind {
        self.kind
    }

    /// Of a piece: the segment, and the offsets in it at which the piece begins and ends.
    pub fn piece_of(&self) -> Option<(WalName, u32, u32)> {
        let (segment, offsets) = self.file.split_once('.').filter(|_| self.kind == WalKind::Piece)?;
        let (from, to) = offsets.split_once('-')?;
        let offset = |digits| u32::from_str_radix(digits, 16).ok();
        Some((WalName::parse(segment)?, offset(from)?, offset(to)?))
    }

    /// Whether a file of so many bytes can have this name.
    pub(super) fn fits(&self, bytes: u64) -> bool {
        self.piece_of().is_none_or(|(_, from, to)| u64::from(to - from) == bytes)
    }

    /// The timeline that it belongs to.
    pub fn timeline(&self) -> u32 {
        self.timeline
    }

    /// Its object below the folder of its cluster and system.
    pub(super) fn below(&self, folder: &str) -> String {
        let file = self.file.to_ascii_lowercase();
        match (self.kind, file.get(8..16)) {
            (WalKind::Segment | WalKind::Piece, Some(log)) => {
                format!("{folder}{:08x}/{log}/{file}", self.timeline)
            }
            _ => format!("{folder}{:08x}/{file}", self.timeline),
        }
    }

    /// The file of an object below such a folder.
    pub(super) fn parse_below(folder: &str, object: &str) -> Option<WalName> {
        let path = object.strip_prefix(folder)?;
        let (_, file) = path.rsplit_once('/')?;
        if file.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        // PostgreSQL writes hex digits in upper case, and words in lower case.
        let of_server = match file.split_once('.') {
            None => file.to_ascii_uppercase(),
            Some((stem, "partial")) => format!("{}.partial", stem.to_ascii_uppercase()),
            Some((stem, "history")) => format!("{}.history", stem.to_ascii_uppercase()),
            Some((stem, rest)) => {
                let (offsets, word) = match rest.strip_suffix(".backup") {
                    Some(offset) => (offset, ".backup"),
                    None => (rest, ""),
                };
                format!("{}.{}{word}", stem.to_ascii_uppercase(), offsets.to_ascii_uppercase())
            }
        };
        WalName::parse_all(&of_server).filter(|name| name.below(folder) == object)
    }
}

/// The folder of a timeline.
pub(super) fn timeline_folder(folder: &str, timeline: u32) -> String {
    format!("{folder}{timeline:08x}/")
}

/// Whether it is the full name of a file's object.
pub(crate) fn is_wal(object: &str) -> bool {
    let folder = || {
        let (cluster, rest) = object.strip_prefix(FOLDER)?.split_once('/')?;
        let (system, _) = rest.split_once('/')?;
        unhex::<16>(cluster)?;
        unhex::<8>(system)?;
        object.get(..FOLDER.len() + cluster.len() + system.len() + 2)
    };
    folder().is_some_and(|folder| WalName::parse_below(folder, object).is_some())
}

/// Whether it is the full name of an object that says that a cluster has the WAL of a system.
pub(crate) fn is_system(object: &str) -> bool {
    let parts = object.strip_prefix(SYSTEMS).and_then(|rest| rest.split_once('/'));
    parts.is_some_and(|(cluster, system)| unhex::<16>(cluster).is_some() && unhex::<8>(system).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "wal/5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b/0123456789abcdef/";

    #[test]
    fn files_have_one_object_each() {
        for (file, kind, timeline, object) in [
            ("0000000A00000001000000FE", WalKind::Segment, 10, "0000000a/00000001/0000000a00000001000000fe"),
            (
                "000000010000000000000007.partial",
                WalKind::Partial,
                1,
                "00000001/000000010000000000000007.partial",
            ),
            ("0000001F.history", WalKind::History, 31, "0000001f/0000001f.history"),
            (
                "000000010000000000000002.00000028.backup",
                WalKind::BackupHistory,
                1,
                "00000001/000000010000000000000002.00000028.backup",
            ),
        ] {
            let name = WalName::parse(file).unwrap();
            assert_eq!((name.kind(), name.timeline(), name.file()), (kind, timeline, file));
            let full = format!("{BASE}{object}");
            assert_eq!(name.below(BASE), full);
            assert_eq!(WalName::parse_below(BASE, &full), Some(name.clone()));
            assert!(is_wal(&full) && !is_wal(&full.to_uppercase()) && !is_wal(&format!("{full}.bak")));
            assert_eq!(name.piece_of(), None);
            assert_eq!(WalName::piece(&name, 0, 1).is_some(), kind == WalKind::Segment);
        }
        let segment = WalName::parse("0000000A00000001000000FE").unwrap();
        let piece = WalName::piece(&segment, 0x1000, 0xABC000).unwrap();
        let full = format!("{BASE}0000000a/00000001/0000000a00000001000000fe.00001000-00abc000");
        assert_eq!((piece.kind(), piece.below(BASE)), (WalKind::Piece, full.clone()));
        assert_eq!(WalName::parse_below(BASE, &full), Some(piece.clone()));
        assert!(is_wal(&full) && segment < piece);
        assert_eq!(piece.piece_of(), Some((segment.clone(), 0x1000, 0xABC000)));
        assert_eq!((WalName::parse(piece.file()), WalName::piece(&segment, 7, 7)), (None, None));
        assert!(!is_wal(BASE) && !is_wal("wal/id"));
        let system = "systems/5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b/0123456789abcdef";
        assert!(is_system(system) && !is_system(&format!("{system}/x")) && !is_system("systems/x"));
    }

    #[test]
    fn other_files_have_none() {
        for file in [
            "",
            "archive_status",
            "00000001000000000000000",
            "0000000100000000000000011",
            "00000001000000000000000a",
            "000000010000000000000001.done",
            "000000010000000000000001.0028.backup",
            "00000001.partial",
            "RECOVERYHISTORY",
            "00000001.history.tmp",
            "é00000010000000000000001",
            "000000010000000000000001.00000000-00000001",
            "000000010000000000000001.0000002é.backup",
        ] {
            assert_eq!(WalName::parse(file), None, "{file}");
        }
        for object in [
            "00000002/00000000/000000010000000000000001",
            "00000001/00000001/000000010000000000000001",
            "00000001/000000010000000000000001",
            "00000001/00000000/000000010000000000000001.partial",
            "00000001/00000000/x",
            "00000001/000000010000000000000001.00000000-00000001",
            "00000001/00000000/000000010000000000000001.00000001-00000001",
            "00000001/00000000/000000010000000000000001.00000000-0000001",
            "00000001/00000000/000000010000000000000001.00000000-00000001.backup",
        ] {
            assert_eq!(WalName::parse_below(BASE, &format!("{BASE}{object}")), None, "{object}");
        }
    }
}
