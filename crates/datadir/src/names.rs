//! Names of files, as PostgreSQL makes them. Names are bytes.

/// One of the forks of a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fork {
    /// The relation itself: no suffix.
    Main,
    /// The free space map: `_fsm`.
    FreeSpaceMap,
    /// The visibility map: `_vm`. Not all changes of it are in the WAL.
    VisibilityMap,
    /// What an unlogged relation begins with after a crash: `_init`.
    Init,
}

impl Fork {
    const SUFFIXES: [(&[u8], Fork); 3] =
        [(b"_fsm", Fork::FreeSpaceMap), (b"_vm", Fork::VisibilityMap), (b"_init", Fork::Init)];

    /// Its suffix in names of files, empty for the main fork.
    pub fn suffix(self) -> &'static str {
        match self {
            Fork::Main => "",
            Fork::FreeSpaceMap => "_fsm",
            Fork::VisibilityMap => "_vm",
            Fork::Init => "_init",
        }
    }
}

/// Blocks of a segment where PostgreSQL was built without `--with-segsize`: 1 GiB of 8 KiB pages.
pub const DEFAULT_SEGMENT_BLOCKS: u32 = 131_072;

/// A file of a relation that is not temporary, by its name: `16384`, `16384.1`, `16384_vm`,
/// `16384_fsm.2` (`GetRelationPath`, PostgreSQL 15, `src/common/relpath.c`; `_mdfd_segpath`,
/// `src/backend/storage/smgr/md.c`). All forks have pages with headers and, where the cluster has
/// data checksums, with checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelationFile {
    /// The number in the name (`relfilenode`), never 0.
    pub filenode: u32,
    /// Which of its forks.
    pub fork: Fork,
    /// Which segment of the fork, from 0.
    pub segment: u32,
}

impl RelationFile {
    /// Reads a name; none if it is not of this form.
    pub fn parse(name: &[u8]) -> Option<RelationFile> {
        let (name, segment) = without_segment(name)?;
        let (name, fork) = without_fork(name);
        Some(RelationFile { filenode: number(name)?, fork, segment })
    }

    /// The number of its first block in the fork; `segment_blocks` is
    /// [`DEFAULT_SEGMENT_BLOCKS`] or what the server was built with. None: no fork is so long.
    pub fn first_block(&self, segment_blocks: u32) -> Option<u32> {
        self.segment.checked_mul(segment_blocks)
    }
}

impl std::fmt::Display for RelationFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.filenode, self.fork.suffix())?;
        if self.segment > 0 { write!(f, ".{}", self.segment) } else { Ok(()) }
    }
}

/// Whether it is a file of a temporary relation: `t3_16384`, `t3_16384_fsm.1`
/// (`looks_like_temp_rel_name`, PostgreSQL 15, `src/backend/storage/file/fd.c`).
pub fn is_temporary_relation(name: &[u8]) -> bool {
    let Some((name, _)) = without_segment(name) else { return false };
    let (name, _) = without_fork(name);
    let Some(numbers) = name.strip_prefix(b"t") else { return false };
    let mut parts = numbers.split(|byte| *byte == b'_');
    let (Some(backend), Some(filenode), None) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    [backend, filenode].iter().all(|part| !part.is_empty() && part.iter().all(u8::is_ascii_digit))
}

/// Whether it is a segment of a transaction status (`SlruFileName`, PostgreSQL 15 and 17,
/// `src/backend/access/transam/slru.c`): 4 to 6 or 15 hexadecimal digits.
pub fn is_status_segment(name: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'A'..=b'F');
    matches!(name.len(), 4..=6 | 15) && name.iter().all(is_digit)
}

/// A number as PostgreSQL writes object identifiers: no sign, no zero in front, never 0.
pub fn number(digits: &[u8]) -> Option<u32> {
    let is_canonical = digits.iter().all(u8::is_ascii_digit) && !digits.starts_with(b"0");
    is_canonical.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}

/// Paths below the data directory that may be links to folders elsewhere: `pg_wal`
/// (`initdb --waldir`) and the tablespaces.
pub(crate) fn is_followed_link(path: &[u8]) -> bool {
    path == b"pg_wal" || path.strip_prefix(b"pg_tblspc/").is_some_and(|oid| number(oid).is_some())
}

/// Splits off `.1`; none where what is behind the dot is not a segment's number.
fn without_segment(name: &[u8]) -> Option<(&[u8], u32)> {
    match name.iter().position(|byte| *byte == b'.') {
        None => Some((name, 0)),
        Some(dot) => Some((name.get(..dot)?, number(name.get(dot + 1..)?)?)),
    }
}

fn without_fork(name: &[u8]) -> (&[u8], Fork) {
    Fork::SUFFIXES
        .iter()
        .find_map(|(suffix, fork)| Some((name.strip_suffix(*suffix)?, *fork)))
        .unwrap_or((name, Fork::Main))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(name: &str) -> Option<(u32, Fork, u32)> {
        RelationFile::parse(name.as_bytes()).map(|file| (file.filenode, file.fork, file.segment))
    }

    #[test]
    fn names_of_relations() {
        assert_eq!(parsed("16384"), Some((16384, Fork::Main, 0)));
        assert_eq!(parsed("1.31"), Some((1, Fork::Main, 31)));
        assert_eq!(parsed("16384_fsm"), Some((16384, Fork::FreeSpaceMap, 0)));
        assert_eq!(parsed("4294967295_vm.2"), Some((u32::MAX, Fork::VisibilityMap, 2)));
        assert_eq!(parsed("16384_init"), Some((16384, Fork::Init, 0)));
        for other in [
            "",
            "0",
            "016384",
            "16384.0",
            "16384.01",
            "16384.",
            ".1",
            "16384_",
            "16384_xyz",
            "_vm",
            "16384.1_vm",
            "16384_vm_vm",
            "4294967296",
            "t3_16384",
            "+1",
            "1 ",
            "PG_VERSION",
            "pg_filenode.map",
            "16384.1.2",
            "16384\u{e9}",
        ] {
            assert_eq!(parsed(other), None, "{other}");
        }
        assert_eq!(RelationFile::parse(b"1638\xff"), None);
    }

    #[test]
    fn segments_begin_behind_each_other() {
        let first = |name: &[u8], blocks| RelationFile::parse(name).unwrap().first_block(blocks);
        assert_eq!(first(b"16384", DEFAULT_SEGMENT_BLOCKS), Some(0));
        assert_eq!(first(b"16384_fsm.3", DEFAULT_SEGMENT_BLOCKS), Some(393_216));
        assert_eq!(first(b"16384.2", 2048), Some(4096));
        assert_eq!(first(b"16384.32767", DEFAULT_SEGMENT_BLOCKS), Some(4_294_836_224));
        assert_eq!(first(b"16384.32768", DEFAULT_SEGMENT_BLOCKS), None);
    }

    #[test]
    fn temporary_relations() {
        for temporary in ["t3_16384", "t0_1", "t12_16384_fsm", "t12_16384_vm.1", "t12_16384.7"] {
            assert!(is_temporary_relation(temporary.as_bytes()), "{temporary}");
        }
        for other in ["t3", "t3_", "t_16384", "16384", "t3_16384_xyz", "t3_1_2", "tx_1", "t3_16384.", "t"] {
            assert!(!is_temporary_relation(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn segments_of_transaction_status() {
        for status in ["0000", "00AF", "12345", "FFFFFF", "000000000000ABC"] {
            assert!(is_status_segment(status.as_bytes()), "{status}");
        }
        for other in ["", "000", "00af", "0000.1", "1234567", "000G", "00 0"] {
            assert!(!is_status_segment(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn links_that_are_followed() {
        assert!(is_followed_link(b"pg_wal") && is_followed_link(b"pg_tblspc/16400"));
        for other in
            [&b"pg_tblspc"[..], b"pg_tblspc/", b"pg_tblspc/x", b"pg_tblspc/1/2", b"base/1", b"base/pg_wal"]
        {
            assert!(!is_followed_link(other));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(filenode in 1u32.., fork in 0usize..4, segment in 0u32..) {
            let fork = [Fork::Main, Fork::FreeSpaceMap, Fork::VisibilityMap, Fork::Init][fork];
            let file = RelationFile { filenode, fork, segment };
            let name = file.to_string();
            prop_assert_eq!(RelationFile::parse(name.as_bytes()), Some(file));
            let temporary = format!("t7_{name}");
            prop_assert!(is_temporary_relation(temporary.as_bytes()));
            prop_assert_eq!(RelationFile::parse(temporary.as_bytes()), None);
        }

        #[test]
        fn a_name_that_is_read_is_the_one_that_is_written(name in "[0-9_.fsmviniт]{0,14}") {
            if let Some(file) = RelationFile::parse(name.as_bytes()) {
                prop_assert_eq!(file.to_string(), name.clone());
                prop_assert!(!is_temporary_relation(name.as_bytes()));
            }
        }
    }
}
