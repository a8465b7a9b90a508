//! What a restored directory has in addition to what the backup holds: how its server recovers.
//!
//! The settings are put behind those of `postgresql.auto.conf`, which win over `postgresql.conf`:
//! recovery up to the point where the backup is consistent, with the WAL that the backup brought,
//! and then a timeline of its own. A restored server has the system identifier of the one that was
//! backed up: if it archived its WAL, it would claim the next timeline of production (trap 23).

/// Their settings file in the data directory.
pub(super) const AUTO_CONF: &[u8] = b"postgresql.auto.conf";
/// Its presence begins a recovery.
pub(super) const SIGNAL: &[u8] = b"recovery.signal";

/// The settings, to be put behind those that are there.
pub(super) fn settings(keep_archiving: bool) -> String {
    let mut text = String::from(
        "\n# Added by pgark: recovery with the WAL of the backup, up to where it is consistent.\n\
         restore_command = 'false'\n\
         recovery_target = 'immediate'\n\
         recovery_target_timeline = 'current'\n\
         recovery_target_action = 'promote'\n\
         primary_conninfo = ''\n\
         primary_slot_name = ''\n",
    );
    if !keep_archiving {
        text.push_str(
            "# This server has the system identifier of the one that was backed up: its WAL is not archived.\n\
             archive_mode = off\n",
        );
    }
    text
}
