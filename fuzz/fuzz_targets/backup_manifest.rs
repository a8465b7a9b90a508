//! Any bytes as a backup manifest: read or refused; what is read is written, and read again as the
//! same. Where only the checksum is wrong it is made right, so that any content is met.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgark_bytes::backup_manifest::{
    FileChecksum, Manifest, ManifestError, ManifestFile, ManifestWriter, read_manifest,
};

type File = (Vec<u8>, u64, Option<i64>, Option<FileChecksum>);

fn read(bytes: &[u8]) -> Result<(Manifest, Vec<File>), ManifestError> {
    let mut files = Vec::new();
    let manifest = read_manifest(bytes, &mut |file: ManifestFile<'_>| {
        files.push((file.path.to_vec(), file.size, file.last_modified, file.checksum));
        Ok::<_, ManifestError>(())
    })?;
    Ok((manifest, files))
}

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    let mut result = read(&bytes);
    if let Err(ManifestError::Checksum { stored, computed }) = &result {
        // The digits can be in either case.
        let place = bytes.windows(64).rposition(|digits| digits.eq_ignore_ascii_case(stored.as_bytes()));
        let Some(place) = place else { return };
        bytes[place..place + 64].copy_from_slice(computed.as_bytes());
        result = read(&bytes);
    }
    let Ok((manifest, files)) = result else { return };
    let mut writer = ManifestWriter::new(Vec::new(), manifest.version).expect("a vector takes all");
    for (path, size, last_modified, checksum) in &files {
        let file = ManifestFile { path, size: *size, last_modified: *last_modified, checksum: *checksum };
        writer.file(&file).expect("a vector takes all");
    }
    let written = writer.finish(&manifest.wal_ranges).expect("a vector takes all");
    let again = read(&written).expect("what was written is read");
    assert_eq!(again, (manifest, files));
});
