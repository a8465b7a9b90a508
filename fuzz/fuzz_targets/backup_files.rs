//! Any bytes as the small text files of a cluster and its backups: read or refused; what is written
//! again is read as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgark_bytes::backup_label::BackupLabel;
use pgark_bytes::lsn::Lsn;
use pgark_bytes::postmaster_pid::PostmasterPid;
use pgark_bytes::tablespace_map::{MapEscapes, read_tablespace_map, write_tablespace_map};
use pgark_bytes::timeline_history::TimelineHistory;
use pgark_bytes::wal_name::WalFileName;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(label) = BackupLabel::parse(bytes) {
        assert_eq!(label.timeline(), label.start_segment.timeline);
    }
    let _ = PostmasterPid::parse(bytes);
    for escapes in [MapEscapes::LineBreaks, MapEscapes::Backslashes] {
        if let Ok(tablespaces) = read_tablespace_map(bytes, escapes)
            && let Ok(map) = write_tablespace_map(&tablespaces, escapes)
        {
            assert_eq!(read_tablespace_map(&map, escapes), Ok(tablespaces));
        }
    }
    if let Ok(history) = TimelineHistory::parse(9, bytes) {
        assert_eq!(TimelineHistory::parse(9, &history.write()).as_ref(), Ok(&history));
        for ancestor in history.ancestors() {
            assert!(history.contains_up_to(ancestor.timeline, ancestor.switch_lsn));
            assert!(history.contains(history.timeline_at(ancestor.switch_lsn), ancestor.switch_lsn));
        }
        assert_eq!(history.timeline_at(Lsn(u64::MAX)), 9);
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(name) = text.parse::<WalFileName>()
    {
        assert_eq!(name.to_string(), text);
    }
});
