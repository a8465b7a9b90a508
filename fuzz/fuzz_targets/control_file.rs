//! Any bytes as `pg_control`: read or refused. Under a checksum that is right, every value of the
//! fields is met; and any other byte is found.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgark_bytes::control_file::{ControlFile, ControlFileError};
use pgark_bytes::crc32c;

fuzz_target!(|bytes: &[u8]| {
    let _ = ControlFile::parse(bytes);
    let mut file = bytes.to_vec();
    for crc_at in [288, 292] {
        let (Some(fields), true) = (file.get(..crc_at), file.len() >= crc_at + 4) else { continue };
        let crc = crc32c::checksum(fields);
        file[crc_at..crc_at + 4].copy_from_slice(&crc.to_le_bytes());
        if ControlFile::parse(&file).is_ok() {
            let at = usize::from(file[0]);
            file[at] ^= 1;
            let refused = ControlFile::parse(&file).expect_err("one bit is another");
            let is_version =
                matches!(refused, ControlFileError::Version { .. } | ControlFileError::ByteOrder);
            assert!(is_version || matches!(refused, ControlFileError::Checksum { .. }));
        }
    }
});
