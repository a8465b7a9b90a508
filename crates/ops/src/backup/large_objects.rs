//! Large objects: read by `lo_get` under the snapshot, stored as a stream of frames.
//!
//! **Frame**: object id (u32), offset (u64), length (u32), all little-endian, then that many bytes. Frames of one object
//! lie in one part, in rising order of offset, but not always next to each other; every object has at least one frame
//! (an empty one for an empty object). Holes of sparse objects are zeros.

use pgark_bytes::archive::Archive;
use pgark_pg::Connection;

use super::lead::Lead;
use crate::OpsError;
use crate::error::Doing;

/// Bytes read of each object at first, and per step of those that are longer.
const STEP: usize = 1 << 20;
/// A frame that says more was not made by us, and would take the memory.
const LARGEST_FRAME: usize = 16 << 20;
/// Bytes before a frame's content.
pub(crate) const FRAME_HEAD: usize = 16;

/// The ids of all large objects, in order.
#[derive(Default)]
pub(super) struct Listed {
    pub readable: Vec<u32>,
    /// Those that the role may not read. `pg_read_all_data` covers none.
    pub closed: Vec<u32>,
}

/// Whether the role may read a large object (aclchk.c, `pg_largeobject_aclmask_snapshot`).
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
            format!("{}, or back up the rest with --keep-going", self.grant(role)),
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

    /// The same, for the report of a backup that goes on without them: what is missing, and why.
    pub(super) fn lost(&self, role: &str) -> Vec<(String, String)> {
        let why = |object: &dyn std::fmt::Display| {
            format!(
                "the role has no right to read it: GRANT SELECT ON LARGE OBJECT {object} TO {role} (pg_read_all_data does not \
                 cover large objects)"
            )
        };
        let named = self.closed.iter().take(Self::NAMED);
        let mut lost: Vec<_> = named.map(|object| (format!("large object {object}"), why(object))).collect();
        let more = self.closed.len().saturating_sub(Self::NAMED);
        if more > 0 {
            lost.push((format!("{more} more large objects"), why(&"…")));
        }
        lost
    }
}

/// Reads the objects from `first` to `last` but for `closed` ones, handing on frames. Returns their number.
pub(crate) fn copy(
    connection: &mut Connection,
    (first, last): (u32, u32),
    closed: &[u32],
    on_frame: &mut dyn FnMut(&[u8]) -> Result<(), OpsError>,
) -> Result<u64, OpsError> {
    let mut objects = 0;
    let mut longer = Vec::new();
    let mut frame = Vec::new();
    let closed: Vec<String> =
        closed.iter().filter(|oid| (first..=last).contains(*oid)).map(u32::to_string).collect();
    // The array is a constant of the query: it is looked at before an object is read, and OFFSET 0 keeps it there.
    let sql = format!(
        "COPY (SELECT oid, pg_catalog.lo_get(oid, 0, {STEP}) FROM (SELECT oid FROM pg_catalog.pg_largeobject_metadata \
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

fn begin_frame(frame: &mut Vec<u8>, oid: u32, offset: u64, length: u32) {
    frame.clear();
    frame.extend_from_slice(&oid.to_le_bytes());
    frame.extend_from_slice(&offset.to_le_bytes());
    frame.extend_from_slice(&length.to_le_bytes());
}

fn build_frame(frame: &mut Vec<u8>, oid: u32, offset: u64, hex: &[u8]) -> Result<(), OpsError> {
    let length = u32::try_from(hex.len() / 2).map_err(|_| unreadable("a large object"))?;
    begin_frame(frame, oid, offset, length);
    if crate::hex::decode_onto(frame, hex) { Ok(()) } else { Err(unreadable("a large object's bytes")) }
}

fn unreadable(what: &str) -> OpsError {
    OpsError::refused(format!("the server's answer for {what} cannot be read"), "")
}

/// Builds the frame of these bytes; at most 4 GiB fit one, and callers hand in a step at a time.
pub(crate) fn write_frame(frame: &mut Vec<u8>, oid: u32, offset: u64, bytes: &[u8]) {
    begin_frame(frame, oid, offset, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    frame.extend_from_slice(bytes);
}

/// One frame read back.
pub(crate) struct Frame<'a> {
    pub oid: u32,
    pub offset: u64,
    pub bytes: &'a [u8],
}

/// Takes whole frames from the front of `buffer` and hands them on; what is left of a frame stays.
pub(crate) fn take_frames(
    buffer: &mut Vec<u8>,
    on_frame: &mut dyn FnMut(Frame<'_>) -> Result<(), OpsError>,
) -> Result<(), OpsError> {
    let mut at = 0;
    while let Some((oid, offset, length)) = buffer.get(at..).and_then(head) {
        if length > LARGEST_FRAME {
            return Err(OpsError::refused(
                format!("a piece of large object {oid} says that it has {length} bytes, more than any"),
                "run `pgark check --read-data`",
            ));
        }
        let start = at + FRAME_HEAD;
        let Some(bytes) = buffer.get(start..start + length) else { break };
        on_frame(Frame { oid, offset, bytes })?;
        at = start + length;
    }
    buffer.drain(..at);
    Ok(())
}

fn head(bytes: &[u8]) -> Option<(u32, u64, usize)> {
    let oid = u32::from_le_bytes(bytes.get(0..4)?.try_into().ok()?);
    let offset = u64::from_le_bytes(bytes.get(4..12)?.try_into().ok()?);
    let length = u32::from_le_bytes(bytes.get(12..16)?.try_into().ok()?);
    Some((oid, offset, usize::try_from(length).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_however_they_are_cut() {
        let mut bytes = Vec::new();
        let mut frame = Vec::new();
        for (oid, offset, hex) in [(7u32, 0u64, b"00ff".as_slice()), (8, 0, b""), (7, 1 << 33, b"61")] {
            build_frame(&mut frame, oid, offset, hex).unwrap();
            bytes.extend_from_slice(&frame);
        }
        for step in 1..=bytes.len() {
            let (mut buffer, mut seen) = (Vec::new(), Vec::new());
            for piece in bytes.chunks(step) {
                buffer.extend_from_slice(piece);
                take_frames(&mut buffer, &mut |frame| {
                    seen.push((frame.oid, frame.offset, frame.bytes.to_vec()));
                    Ok(())
                })
                .unwrap();
            }
            assert!(buffer.is_empty());
            assert_eq!(seen, [(7, 0, vec![0, 255]), (8, 0, vec![]), (7, 1 << 33, b"a".to_vec())]);
        }
    }

    #[test]
    fn a_row_that_is_not_one_is_refused() {
        assert!(parse_row(b"12\t\\\\x00\n").is_ok());
        for bad in [b"".as_slice(), b"x\t\\\\x00\n", b"12\\\\x00\n", b"12\t\\x00\n", b"12\t\\\\x00"] {
            assert!(parse_row(bad).is_err());
        }
    }
}
