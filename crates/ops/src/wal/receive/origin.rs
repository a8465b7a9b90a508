//! Which server WAL comes from, and how its WAL is laid out.

use pgark_bytes::wal::WalFormat;
use pgark_bytes::wal::page::PageHeader;
use pgark_bytes::wal_name::SegmentSize;
use pgark_pg::{ConnInfo, Connection};

use super::spool::Spool;
use crate::OpsError;
use crate::error::Doing;

/// Enough for the first page header of a segment.
const FIRST: u64 = 8192;

/// Opens a replication connection to the first host that is as asked.
pub(super) fn connect(conninfo: &ConnInfo) -> Result<Connection, OpsError> {
    Ok(Connection::connect_physical(conninfo)?)
}

/// A system.
pub(super) struct Origin {
    /// Its timeline is that of the moment at which it was looked at.
    pub format: WalFormat,
}

impl Origin {
    /// That of a replication connection.
    ///
    /// # Errors
    /// The server does not say it, or is too old.
    pub(super) fn of_server(connection: &mut Connection) -> Result<Origin, OpsError> {
        let major = connection.server_version() / 10_000;
        if major < 13 {
            return Err(OpsError::refused(
                format!("the server has version {major}, older than 13"),
                "pgark receives the WAL of PostgreSQL 13 and newer",
            ));
        }
        let system = connection.identify_system()?;
        let mut bytes = |setting: &'static str| {
            let text = connection.show(setting).doing("read the layout of the WAL")?;
            bytes_of(&text).ok_or_else(|| {
                OpsError::refused(
                    format!("read {setting}: {text:?} is not a size"),
                    "this is a defect of pgark",
                )
            })
        };
        let (segment, page) = (bytes("wal_segment_size")?, bytes("wal_block_size")?);
        let segment_size =
            SegmentSize::new(segment).map_err(|error| OpsError::refused(error.to_string(), ""))?;
        let format = WalFormat {
            major,
            system_identifier: system.system_identifier,
            timeline: system.timeline,
            segment_size,
            page_size: page,
        };
        Ok(Origin { format })
    }

    /// That of the first segment in a spool; None: it is empty.
    ///
    /// # Errors
    /// What is there is no WAL.
    pub(super) fn of_spool(spool: &Spool) -> Result<Option<Origin>, OpsError> {
        let Some(first) = spool.segments()?.into_iter().next() else { return Ok(None) };
        let front = spool.front(first, FIRST).unwrap_or_default();
        let page = PageHeader::parse(&front).ok();
        let Some((page, long)) = page.and_then(|page| Some((page.major, page.long?))) else {
            return Err(OpsError::refused(
                format!("{first} in the spool {} is not WAL", spool.folder().display()),
                "look at it, and move it away",
            ));
        };
        let format = WalFormat {
            major: page,
            system_identifier: long.system_identifier,
            timeline: first.timeline,
            segment_size: long.segment_size,
            page_size: long.page_size,
        };
        Ok(Some(Origin { format }))
    }
}

/// A size as SHOW prints it: `16MB`, `1GB`; without a unit they are bytes.
fn bytes_of(text: &str) -> Option<u32> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "" | "B" => 1,
        "kB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u32>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_the_server_shows_them() {
        for (text, bytes) in
            [("16MB", 16 << 20), ("1GB", 1 << 30), ("8192", 8192), ("8kB", 8192), ("1MB", 1 << 20)]
        {
            assert_eq!(bytes_of(text), Some(bytes), "{text}");
        }
        for text in ["", "MB", "16TB", "9GB", "1.5MB", "-1"] {
            assert_eq!(bytes_of(text), None, "{text}");
        }
    }
}
