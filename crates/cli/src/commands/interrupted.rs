//! What an interrupted command leaves behind, in words.

use crate::args::{Action, KeyAction, RepairAction, WalAction};

/// Where the operation itself does not say it better.
pub fn leaves(action: &Action) -> &'static str {
    const NOTHING: &str = "nothing was changed";
    match action {
        Action::Backup(_) => {
            "no backup was committed; the next one reuses what was stored so far, or a prune removes it"
        }
        Action::Import(_) => {
            "no backup was committed; the next import reuses what was stored so far, or a prune removes it"
        }
        Action::Export(args) if args.output.as_os_str() == "-" => "the output is incomplete: do not use it",
        Action::Export(_) => "nothing was exported",
        Action::Prune(args) if args.dry_run => NOTHING,
        Action::Prune(_) => {
            "every backup is intact; only unreferenced data was deleted, and the next prune continues"
        }
        Action::Check(_) => "not everything was checked; no backup was changed",
        Action::Init(_) => {
            "`pgark list` shows whether a repository exists there now; if not, start again (objects of the test may be \
             left in its folder probe/)"
        }
        Action::Key(args) if matches!(args.action, KeyAction::List(_)) => NOTHING,
        Action::Key(_) => "`pgark key list` shows the keys that apply now",
        Action::Tag(args) if args.add.is_empty() && args.remove.is_empty() => NOTHING,
        Action::Tag(_) => "`pgark tag ID` shows the current tags of a backup",
        Action::Repair(args) => match &args.action {
            RepairAction::Backups(args) if args.dry_run => NOTHING,
            RepairAction::Objects(args) if args.dry_run => NOTHING,
            _ => "what was repaired so far stays repaired; run the same command again",
        },
        Action::Sessions(args) if args.end.is_some() => {
            "the session may have ended: `pgark sessions` shows it"
        }
        Action::Storage(_) => "objects of the test may be left on the storage, in its folder probe/",
        Action::Forget(args) if args.dry_run => NOTHING,
        Action::Forget(_) => {
            "some of the backups to be removed may already be removed: `pgark list` shows the rest; no other backup was changed"
        }
        Action::Wal(args) if matches!(args.action, WalAction::Push(_)) => {
            "the file may be archived already: the server asks for it again"
        }
        Action::RestorePoint(_) => {
            "the restore point may have been made: it does no harm, but make the next one with another name"
        }
        // They say it themselves, or change nothing.
        Action::Restore(_)
        | Action::Copy(_)
        | Action::List(_)
        | Action::Show(_)
        | Action::Diff(_)
        | Action::Ls(_)
        | Action::Cat(_)
        | Action::Stats(_)
        | Action::Mask(_)
        | Action::Sessions(_)
        | Action::Trust(_)
        | Action::Wal(_)
        | Action::Config(_)
        | Action::Completions(_)
        | Action::Man(_) => NOTHING,
    }
}
