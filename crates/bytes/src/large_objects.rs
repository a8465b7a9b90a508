//! Large objects as a stream of frames: the content of the entry `/db/DB/largeobjects`.
//!
//! **Frame**: object id (u32), offset (u64), length (u32), all little-endian, then that many bytes.
//! Frames of one object lie in one part, in rising order of offset, but not always next to each
//! other; every object has at least one frame (an empty one for an empty object). Holes of sparse
//! objects are zeros.

/// Bytes before a frame's content.
pub const FRAME_HEAD: usize = 16;
/// A frame that says more was not made by us, and would take the memory.
const LARGEST_FRAME: usize = 16 << 20;

/// One frame read back.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The object.
    pub oid: u32,
    /// Where in the object its bytes belong.
    pub offset: u64,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// A frame says that it is longer than any that is written.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of large object {oid} claims {length} bytes, more than a frame can have")]
pub struct FrameTooLong {
    /// The object.
    pub oid: u32,
    /// What the frame says.
    pub length: usize,
}

/// Begins a frame of `length` bytes, which the caller appends.
pub fn begin_frame(frame: &mut Vec<u8>, oid: u32, offset: u64, length: u32) {
    frame.clear();
    frame.extend_from_slice(&oid.to_le_bytes());
    frame.extend_from_slice(&offset.to_le_bytes());
    frame.extend_from_slice(&length.to_le_bytes());
}

/// Builds the frame of these bytes; at most 4 GiB fit one, and callers hand in a step at a time.
pub fn write_frame(frame: &mut Vec<u8>, oid: u32, offset: u64, bytes: &[u8]) {
    begin_frame(frame, oid, offset, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    frame.extend_from_slice(bytes);
}

/// Takes whole frames from the front of `buffer` and hands them on; what is left of a frame stays.
///
/// # Errors
/// A frame that is too long, or what `on_frame` says.
pub fn take_frames<E: From<FrameTooLong>>(
    buffer: &mut Vec<u8>,
    on_frame: &mut dyn FnMut(Frame<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut at = 0;
    while let Some((oid, offset, length)) = buffer.get(at..).and_then(head) {
        if length > LARGEST_FRAME {
            return Err(FrameTooLong { oid, length }.into());
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
        for (oid, offset, content) in [(7u32, 0u64, b"\x00\xff".as_slice()), (8, 0, b""), (7, 1 << 33, b"a")]
        {
            write_frame(&mut frame, oid, offset, content);
            bytes.extend_from_slice(&frame);
        }
        for step in 1..=bytes.len() {
            let (mut buffer, mut seen) = (Vec::new(), Vec::new());
            for piece in bytes.chunks(step) {
                buffer.extend_from_slice(piece);
                take_frames::<FrameTooLong>(&mut buffer, &mut |frame| {
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
    fn a_frame_that_takes_the_memory_is_refused() {
        let mut buffer = Vec::new();
        begin_frame(&mut buffer, 9, 0, u32::MAX);
        let refused = take_frames::<FrameTooLong>(&mut buffer, &mut |_| Ok(()));
        assert_eq!(refused, Err(FrameTooLong { oid: 9, length: u32::MAX as usize }));
    }
}
