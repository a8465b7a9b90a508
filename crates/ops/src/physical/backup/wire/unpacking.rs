//! An archive as it comes: plain, or one stream of Zstandard.

use std::io;

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

/// What is unpacked at once.
const PIECE: usize = 256 << 10;
/// Window of a frame at most, as a power of two: level 1 needs 512 KiB.
const MOST_WINDOW: u32 = 23;

/// Unpacks one archive.
pub(super) enum Unpacking {
    /// There is nothing to unpack.
    Plain,
    /// Compressed by the server.
    Zstd(Box<Frame>),
}

/// A stream of Zstandard.
pub(super) struct Frame {
    decoder: Decoder<'static>,
    piece: Vec<u8>,
    is_whole: bool,
}

impl Unpacking {
    pub(super) fn zstd() -> io::Result<Unpacking> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(MOST_WINDOW))?;
        Ok(Unpacking::Zstd(Box::new(Frame { decoder, piece: vec![0; PIECE], is_whole: false })))
    }

    /// Unpacks what has come, and hands it on.
    pub(super) fn unpack<E: From<io::Error>>(
        &mut self,
        bytes: &[u8],
        on_bytes: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Unpacking::Plain => on_bytes(bytes),
            Unpacking::Zstd(frame) => frame.unpack(bytes, on_bytes),
        }
    }

    /// Whether an archive can end here.
    pub(super) fn is_whole(&self) -> bool {
        match self {
            Unpacking::Plain => true,
            Unpacking::Zstd(frame) => frame.is_whole,
        }
    }
}

impl Frame {
    fn unpack<E: From<io::Error>>(
        &mut self,
        bytes: &[u8],
        on_bytes: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut input = InBuffer::around(bytes);
        loop {
            let before = input.pos();
            let mut output = OutBuffer::around(self.piece.as_mut_slice());
            let left = self.decoder.run(&mut input, &mut output)?;
            let unpacked = output.pos();
            let is_full = unpacked == PIECE;
            // Asked again behind the end of a frame, it waits for another one.
            if unpacked > 0 || input.pos() > before {
                self.is_whole = left == 0;
            }
            if unpacked > 0 {
                on_bytes(self.piece.get(..unpacked).unwrap_or_default())?;
            }
            let is_read = input.pos() >= bytes.len();
            // A full piece may have more behind it; one that is not full says that more must come.
            if is_read && !is_full {
                return Ok(());
            }
            if !is_full && input.pos() == before {
                return Err(io::Error::from(io::ErrorKind::InvalidData).into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(packed: &[u8], piece: usize) -> Result<(Vec<u8>, bool), io::Error> {
        let mut unpacking = Unpacking::zstd()?;
        let mut all = Vec::new();
        for piece in packed.chunks(piece) {
            unpacking.unpack::<io::Error>(piece, &mut |bytes| {
                assert!(bytes.len() <= PIECE);
                all.extend_from_slice(bytes);
                Ok(())
            })?;
        }
        Ok((all, unpacking.is_whole()))
    }

    #[test]
    fn a_stream_is_unpacked_in_pieces_of_any_length() {
        let plain: Vec<u8> =
            (0..3 * PIECE as u32).flat_map(|n| (n / 7).wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        for plain in [plain.as_slice(), &plain[..4 * PIECE], &vec![0; 10 * PIECE], b""] {
            let packed = zstd::encode_all(plain, 1).unwrap();
            for piece in [1 << 20, 4096, 77] {
                assert_eq!(unpacked(&packed, piece).unwrap(), (plain.to_vec(), true));
            }
            let (_, is_whole) = unpacked(&packed[..packed.len() - 1], 4096).unwrap();
            assert!(!is_whole);
        }
        assert!(unpacked(&[7; 100], 50).is_err());
        let mut plain = Unpacking::Plain;
        let mut seen = Vec::new();
        plain
            .unpack::<io::Error>(b"abc", &mut |bytes| {
                seen.extend_from_slice(bytes);
                Ok(())
            })
            .unwrap();
        assert!(plain.is_whole() && seen == b"abc");
    }
}
