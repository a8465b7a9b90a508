//! The header of a page.

use crate::lsn::Lsn;

/// Bytes of a page's header (`SizeOfPageHeaderData`).
pub const HEADER_BYTES: usize = 24;
/// The only layout that PostgreSQL 8.3 and later write (`PG_PAGE_LAYOUT_VERSION`).
const LAYOUT_VERSION: u8 = 4;
/// Special space begins at a multiple of this (`MAXIMUM_ALIGNOF` of x86-64 and aarch64).
const ALIGNMENT: u16 = 8;
/// What pages are compared with; as long as the largest page.
static ZEROS: [u8; 32 << 10] = [0; 32 << 10];

/// What a page says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// `pd_lsn`: the end of the last WAL record that changed the page.
    pub lsn: Lsn,
    /// `pd_checksum`; without data checksums usually 0.
    pub checksum: u16,
    /// `pd_flags`. Which bits have a meaning may differ between releases, so none is checked here.
    pub flags: u16,
    /// `pd_lower`: where free space begins, in bytes from the page's start.
    pub lower: u16,
    /// `pd_upper`: where free space ends. 0: the page is new.
    pub upper: u16,
    /// `pd_special`: where the access method's own space begins.
    pub special: u16,
    /// The page's size in bytes, a multiple of 256 (`pd_pagesize_version` without its low byte).
    pub size: u16,
    /// The layout version (the low byte of `pd_pagesize_version`).
    pub version: u8,
    /// `pd_prune_xid`: the oldest transaction whose rows may be pruned here, or 0.
    pub prune_xid: u32,
}

/// A header that no server writes. The rules are those that let the server refuse a page as
/// invalid (`PageIsVerifiedExtended`, PostgreSQL 15, `src/backend/storage/page/bufpage.c`), without
/// its flags; size and version are what `PageInit` writes, and `pd_lower` is never inside the
/// header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// Another size than that of the file's pages.
    #[error("its header has a page size of {size} bytes")]
    Size {
        /// `pd_pagesize_version` without its low byte.
        size: u16,
    },
    /// Another layout than version 4.
    #[error("its header has layout version {version}")]
    Version {
        /// The low byte of `pd_pagesize_version`.
        version: u8,
    },
    /// Not header ≤ `pd_lower` ≤ `pd_upper` ≤ `pd_special` ≤ size of the page.
    #[error("its header has bounds out of order (lower {lower}, upper {upper}, special {special})")]
    Bounds {
        /// `pd_lower`.
        lower: u16,
        /// `pd_upper`.
        upper: u16,
        /// `pd_special`.
        special: u16,
    },
    /// Special space that begins at no multiple of 8.
    #[error("its header has special space at {special}, which is not aligned")]
    Alignment {
        /// `pd_special`.
        special: u16,
    },
}

impl Header {
    /// Reads the header of a page; none if there are less than 24 bytes.
    pub fn read(page: &[u8]) -> Option<Header> {
        let header: &[u8; HEADER_BYTES] = page.first_chunk()?;
        let (words, _) = header.as_chunks::<2>();
        let [
            lsn_high,
            lsn_high_top,
            lsn,
            lsn_top,
            checksum,
            flags,
            lower,
            upper,
            special,
            layout,
            xid,
            xid_top,
        ] = *words
        else {
            return None;
        };
        let long = |low: [u8; 2], high: [u8; 2]| u32::from_le_bytes([low[0], low[1], high[0], high[1]]);
        let [version, size] = layout;
        Some(Header {
            lsn: Lsn((u64::from(long(lsn_high, lsn_high_top)) << 32) | u64::from(long(lsn, lsn_top))),
            checksum: u16::from_le_bytes(checksum),
            flags: u16::from_le_bytes(flags),
            lower: u16::from_le_bytes(lower),
            upper: u16::from_le_bytes(upper),
            special: u16::from_le_bytes(special),
            size: u16::from_le_bytes([0, size]),
            version,
            prune_xid: long(xid, xid_top),
        })
    }

    /// Whether the page is new (`PageIsNew`): the file was extended by it, and nothing was put on
    /// it yet. It has no checksum, and must be all zeros ([`is_zero`]).
    pub fn is_new(&self) -> bool {
        self.upper == 0
    }

    /// Whether it was changed by a WAL record that ends behind `end`. Where `end` is the end of the
    /// server's WAL, the page is damaged, or another server's.
    pub fn is_beyond(&self, end: Lsn) -> bool {
        self.lsn > end
    }

    /// What is wrong with it in a file with pages of `page_size` bytes. Not for new pages.
    pub fn fault(&self, page_size: usize) -> Option<HeaderFault> {
        let Header { size, version, lower, upper, special, .. } = *self;
        let is_ordered = HEADER_BYTES <= usize::from(lower)
            && lower <= upper
            && upper <= special
            && usize::from(special) <= page_size;
        if version != LAYOUT_VERSION {
            Some(HeaderFault::Version { version })
        } else if usize::from(size) != page_size {
            Some(HeaderFault::Size { size })
        } else if !is_ordered {
            Some(HeaderFault::Bounds { lower, upper, special })
        } else if special % ALIGNMENT != 0 {
            Some(HeaderFault::Alignment { special })
        } else {
            None
        }
    }
}

/// Whether all bytes are zero, as they are in pages that a file was extended by, and in holes.
pub fn is_zero(bytes: &[u8]) -> bool {
    // One comparison of memory; it ends at the first byte that differs, usually in the LSN.
    bytes.chunks(ZEROS.len()).all(|piece| ZEROS.get(..piece.len()) == Some(piece))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 8192;

    fn empty_page() -> Header {
        let page = PAGE as u16;
        Header {
            lsn: Lsn(0x16_B374_D848),
            checksum: 0xABCD,
            flags: 4,
            lower: 24,
            upper: page,
            special: page,
            size: page,
            version: 4,
            prune_xid: 0x0102_0304,
        }
    }

    #[test]
    fn fields_are_where_postgresql_has_them() {
        let bytes = [
            0x16, 0, 0, 0, 0x48, 0xD8, 0x74, 0xB3, 0xCD, 0xAB, 4, 0, 24, 0, 0, 0x20, 0, 0x20, 4, 0x20, 4, 3,
            2, 1,
        ];
        assert_eq!(Header::read(&bytes), Some(empty_page()));
        assert_eq!(Header::read(&bytes[..23]), None);
        let mut page = bytes.to_vec();
        page.resize(PAGE, 0xFF);
        assert_eq!(Header::read(&page), Some(empty_page()));
        assert_eq!(empty_page().lsn.to_string(), "16/B374D848");
    }

    #[test]
    fn each_rule_has_its_fault() {
        let good = empty_page();
        assert_eq!(good.fault(PAGE), None);
        assert_eq!(Header { size: 32768, upper: 32768, special: 32768, ..good }.fault(32768), None);
        assert_eq!(good.fault(4096), Some(HeaderFault::Size { size: 8192 }));
        assert_eq!(Header { version: 3, ..good }.fault(PAGE), Some(HeaderFault::Version { version: 3 }));
        for (lower, upper, special) in [(23, 8192, 8192), (32, 24, 8192), (24, 8192, 8184), (24, 8192, 8200)]
        {
            let fault = Header { lower, upper, special, ..good }.fault(PAGE);
            assert_eq!(fault, Some(HeaderFault::Bounds { lower, upper, special }));
        }
        let fault = Header { upper: 8100, special: 8190, ..good }.fault(PAGE);
        assert_eq!(fault, Some(HeaderFault::Alignment { special: 8190 }));
    }

    #[test]
    fn new_and_beyond() {
        assert!(!empty_page().is_new() && Header { upper: 0, ..empty_page() }.is_new());
        // A page's LSN is the end of a record, so the last record's page has the end of the WAL.
        assert!(!empty_page().is_beyond(Lsn(0x16_B374_D848)));
        assert!(empty_page().is_beyond(Lsn(0x16_B374_D847)));
    }

    #[test]
    fn one_bit_anywhere_is_not_zero() {
        for length in [0, 1, 24, PAGE, 32 << 10, (32 << 10) + 1, 100_000] {
            let mut bytes = vec![0; length];
            assert!(is_zero(&bytes), "{length}");
            for at in (0..length).step_by(997).chain(length.checked_sub(1)) {
                bytes[at] = 0x10;
                assert!(!is_zero(&bytes), "{at} of {length}");
                bytes[at] = 0;
            }
        }
    }
}
