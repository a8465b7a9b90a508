//! Large objects: read by `lo_get` under the snapshot, stored as the frames of
//! `pgark_bytes::large_objects`.

use pgark_bytes::archive::Archive;
use pgark_bytes::large_objects::{FRAME_HEAD, begin_frame};
use pgark_pg::Connection;

use super::lead::Lead;
use crate::OpsError;
use crate::advice::{Setting, advice};
use crate::error::Doing;
use crate::facts::Missing;

/// Bytes read of each object at first, and per step of those that are longer.
const STEP: usize = 1 << 20;

/// The ids of all large objects, in order.
#[derive(Default)]
pub(super) struct Listed {
    pub readable: Vec<u32>,
    /// Those that the role has no right to read. `pg_read_all_data` covers none.
    pub closed: Vec<u32>,
}

/// Whether the role has the right to read a large object (aclchk.c,
/// `pg_largeobject_aclmask_snapshot`).
const READABLE: &str = "pg_catalog.current_setting('lo_compat_privileges') = 'on' \
    OR (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = current_user) \
    OR EXISTS (SELECT FROM pg_catalog.aclexplode(coalesce(m.lomacl, pg_catalog.acldefault('L', m.lomowner))) a \
               WHERE a.privilege_type = 'SELECT' AND (a.grantee = 0 OR pg_catalog.pg_has_role(a.grantee, 'USAGE')))";

/// Lists the large objects; none if the archive promises none.
pub(super) fn list(lead: &mut Lead, archive: &Archive) -> Result<Listed, OpsError> {
    let mut listed = Listed::default();
    if !archive.entries.iter().any(|entry| entry.kind() == "BLOBS") {
        return Ok(listed);
    }
    let doing = "list the large objects";
    let sql = format!("SELECT m.oid, {READABLE} FROM pg_catalog.pg_largeobject_metadata m ORDER BY m.oid");
    for row in lead.connection.query(&sql, &[]).doing(doing)? {
        let object = row.parse(0).doing(doing)?;
        match row.str(1).doing(doing)? {
            "t" => listed.readable.push(object),
            _ => listed.closed.push(object),
        }
    }
    Ok(listed)
}

impl Listed {
    /// How many are named one by one.
    const NAMED: usize = 100;

    /// Names every object without the right to read it, before a row is copied.
    pub(super) fn refuse_closed(&self, role: &str) -> Result<(), OpsError> {
        let (Some(first), count) = (self.closed.first(), self.closed.len()) else { return Ok(()) };
        let what = match count {
            1 => format!("large object {first}"),
            _ => format!("{count} large objects: {first}, …"),
        };
        Err(OpsError::refused(
            format!("the role has no right to read {what}"),
            advice![self.grant(role), ", or back up the rest with ", Setting::KeepGoing],
        ))
    }

    fn grant(&self, role: &str) -> String {
        let named: Vec<String> = self.closed.iter().take(Self::NAMED).map(u32::to_string).collect();
        let more = if self.closed.len() > Self::NAMED { ", …" } else { "" };
        format!(
            "GRANT SELECT ON LARGE OBJECT {}{more} TO {role} (pg_read_all_data does not cover large objects)",
            named.join(", ")
        )
    }

    /// For the report of a backup that goes on without them: what is missing, and why.
    pub(super) fn lost(&self, database: &str, role: &str) -> Vec<Missing> {
        let why = |object: &dyn std::fmt::Display| {
            format!(
                "the role has no right to read it: GRANT SELECT ON LARGE OBJECT {object} TO {role} (pg_read_all_data does not \
                 cover large objects)"
            )
        };
        let named = self.closed.iter().take(Self::NAMED);
        let mut lost: Vec<Missing> =
            named.map(|object| Missing::large_object(database, *object, why(object))).collect();
        let more = self.closed.len().saturating_sub(Self::NAMED) as u64;
        if more > 0 {
            lost.push(Missing::large_objects(database, Some(more), why(&"…")));
        }
        lost
    }
}

/// What of large objects is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Whole,
    /// That they are there, and nothing else: masked backups.
    Empty,
}

/// Reads the objects from `first` to `last` but for `closed` ones, handing on frames. Returns their
/// number.
pub(crate) fn copy(
    connection: &mut Connection,
    (first, last): (u32, u32),
    closed: &[u32],
    content: Content,
    on_frame: &mut dyn FnMut(&[u8]) -> Result<(), OpsError>,
) -> Result<u64, OpsError> {
    let mut objects = 0;
    let mut longer = Vec::new();
    let mut frame = Vec::new();
    let closed: Vec<String> =
        closed.iter().filter(|oid| (first..=last).contains(*oid)).map(u32::to_string).collect();
    // The array is a constant of the query: it is looked at before an object is read, and OFFSET 0
    // keeps it there.
    let content = match content {
        Content::Whole => format!("pg_catalog.lo_get(oid, 0, {STEP})"),
        Content::Empty => "'\\x'::pg_catalog.bytea".to_string(),
    };
    let sql = format!(
        "COPY (SELECT oid, {content} FROM (SELECT oid FROM pg_catalog.pg_largeobject_metadata \
         WHERE oid >= {first} AND oid <= {last} AND oid <> ALL ('{{{}}}'::pg_catalog.oid[]) ORDER BY oid OFFSET 0) m) TO STDOUT",
        closed.join(",")
    );
    connection.copy_out::<OpsError>(sql.as_bytes(), &mut |data| {
        for row in data.split_inclusive(|byte| *byte == b'\n') {
            let (oid, content) = parse_row(row)?;
            build_frame(&mut frame, oid, 0, content)?;
            if frame.len() == FRAME_HEAD + STEP {
                longer.push(oid);
            }
            objects += 1;
            on_frame(&frame)?;
        }
        Ok(())
    })?;
    for oid in longer {
        copy_rest(connection, oid, &mut frame, on_frame)?;
    }
    Ok(objects)
}

/// The object beyond its first step.
fn copy_rest(
    connection: &mut Connection,
    oid: u32,
    frame: &mut Vec<u8>,
    on_frame: &mut dyn FnMut(&[u8]) -> Result<(), OpsError>,
) -> Result<(), OpsError> {
    let mut offset = STEP as u64;
    loop {
        let sql = format!("COPY (SELECT {oid}, pg_catalog.lo_get({oid}, {offset}, {STEP})) TO STDOUT");
        let mut read = 0;
        connection.copy_out::<OpsError>(sql.as_bytes(), &mut |row| {
            let (_, content) = parse_row(row)?;
            build_frame(frame, oid, offset, content)?;
            read = frame.len() - FRAME_HEAD;
            if read > 0 { on_frame(frame) } else { Ok(()) }
        })?;
        if read < STEP {
            return Ok(());
        }
        offset += read as u64;
    }
}

/// `oid TAB \\xHEX NEWLINE`: a bytea's text begins with `\x`, whose backslash COPY doubles.
fn parse_row(row: &[u8]) -> Result<(u32, &[u8]), OpsError> {
    let parsed = (|| {
        let tab = memchr::memchr(b'\t', row)?;
        let oid = std::str::from_utf8(row.get(..tab)?).ok()?.parse().ok()?;
        let hex = row.get(tab + 1..)?.strip_prefix(b"\\\\x")?.strip_suffix(b"\n")?;
        Some((oid, hex))
    })();
    parsed.ok_or_else(|| unreadable("a large object"))
}

fn build_frame(frame: &mut Vec<u8>, oid: u32, offset: u64, hex: &[u8]) -> Result<(), OpsError> {
    let length = u32::try_from(hex.len() / 2).map_err(|_| unreadable("a large object"))?;
    begin_frame(frame, oid, offset, length);
    if crate::hex::decode_onto(frame, hex) { Ok(()) } else { Err(unreadable("a large object's bytes")) }
}

fn unreadable(what: &str) -> OpsError {
    OpsError::refused(format!("the server's answer for {what} cannot be read"), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_becomes_a_frame() {
        let mut frame = Vec::new();
        build_frame(&mut frame, 7, 1 << 33, b"00ff").unwrap();
        let mut expected = Vec::new();
        pgark_bytes::large_objects::write_frame(&mut expected, 7, 1 << 33, &[0, 255]);
        assert_eq!(frame, expected);
        assert!(build_frame(&mut frame, 7, 0, b"0g").is_err());
    }

    #[test]
    fn a_row_that_is_not_one_is_refused() {
        assert!(parse_row(b"12\t\\\\x00\n").is_ok());
        for bad in [b"".as_slice(), b"x\t\\\\x00\n", b"12\\\\x00\n", b"12\t\\x00\n", b"12\t\\\\x00"] {
            assert!(parse_row(bad).is_err());
        }
    }
}
