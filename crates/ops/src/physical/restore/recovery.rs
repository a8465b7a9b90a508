//! What a restored directory has in addition to what the backup holds: how its server recovers.
//!
//! The settings are put behind those of `postgresql.auto.conf`, which win over `postgresql.conf`.
//! Without a target, the server recovers up to the point where the backup is consistent, with the
//! WAL that the backup brought, and then begins a timeline of its own. With one, it asks for
//! archived WAL. The timeline is a number: a history that is archived later must not change what
//! was planned.
//!
//! A restored server has the system identifier of the one that was backed up: if it archived its
//! WAL, it would claim the next timeline of production (trap 23).

use std::fmt::Write;

use jiff::Timestamp;

use super::request::{FetchCommand, TargetAction};
use crate::physical::start::shell_word;
use crate::wal::point::{Goal, Until};

/// Their settings file in the data directory.
pub(super) const AUTO_CONF: &[u8] = b"postgresql.auto.conf";
/// Their presence begins a recovery.
pub(super) const SIGNAL: &[u8] = b"recovery.signal";
pub(super) const STANDBY_SIGNAL: &[u8] = b"standby.signal";

/// How a restored server recovers.
pub(super) enum Recovery {
    /// To the end of the backup, with the WAL in it.
    Own,
    /// To a target, with archived WAL.
    Point { goal: Goal, restore_command: String },
    /// On and on: it is a standby.
    Standby { restore_command: Option<String>, primary_conninfo: Option<String>, slot: Option<String> },
}

/// The targets that a server knows. It fails where two are set.
const TARGETS: [&str; 5] = [
    "recovery_target",
    "recovery_target_name",
    "recovery_target_xid",
    "recovery_target_lsn",
    "recovery_target_time",
];

impl Recovery {
    /// The file that begins it.
    pub(super) fn signal(&self) -> &'static [u8] {
        match self {
            Recovery::Own | Recovery::Point { .. } => SIGNAL,
            Recovery::Standby { .. } => STANDBY_SIGNAL,
        }
    }

    /// The settings, to be put behind those that are there.
    pub(super) fn settings(&self, action: TargetAction, keep_archiving: bool) -> String {
        let mut lines = Lines::default();
        // First, because the server takes a target that is cleared last for "none is set".
        for target in TARGETS {
            lines.set(target, "");
        }
        match self {
            Recovery::Own => {
                lines.comment("recovery with the WAL of the backup, up to where it is consistent");
                lines.set("restore_command", "false");
                lines.set("recovery_target", "immediate");
                lines.set("recovery_target_timeline", "current");
                lines.set("recovery_target_action", action.name());
                lines.primary(None, None);
            }
            Recovery::Point { goal, restore_command } => {
                lines.comment("recovery with archived WAL");
                lines.set("restore_command", restore_command);
                lines.target(&goal.until);
                let timeline = goal.timeline.map_or_else(|| "current".into(), |number| number.to_string());
                lines.set("recovery_target_timeline", &timeline);
                lines.set("recovery_target_action", action.name());
                lines.primary(None, None);
            }
            Recovery::Standby { restore_command, primary_conninfo, slot } => {
                lines.comment("a standby");
                lines.set("restore_command", restore_command.as_deref().unwrap_or_default());
                lines.set("recovery_target_timeline", "latest");
                lines.primary(primary_conninfo.as_deref(), slot.as_deref());
            }
        }
        if !keep_archiving {
            lines.comment(
                "this server has the system identifier of the one that was backed up: its WAL is not archived",
            );
            lines.set("archive_mode", "off");
        }
        lines.text
    }
}

/// Lines of a configuration file.
#[derive(Default)]
struct Lines {
    text: String,
}

impl Lines {
    fn comment(&mut self, text: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "# Added by pgark: {text}.");
    }

    /// A setting: in its value quotes and backslashes are doubled
    /// (src/backend/utils/misc/guc-file.l, `DeescapeQuotedString`).
    fn set(&mut self, name: &str, value: &str) {
        let value = value.replace('\\', "\\\\").replace('\'', "''").replace('\n', "\\n");
        let _ = writeln!(self.text, "{name} = '{value}'");
    }

    fn primary(&mut self, conninfo: Option<&str>, slot: Option<&str>) {
        self.set("primary_conninfo", conninfo.unwrap_or_default());
        self.set("primary_slot_name", slot.unwrap_or_default());
    }

    fn target(&mut self, until: &Until) {
        let mut inclusive = true;
        match until {
            Until::End => {}
            Until::Time { time, inclusive: own } => {
                inclusive = *own;
                self.set("recovery_target_time", &for_server(*time));
            }
            Until::Lsn { lsn, inclusive: own } => {
                inclusive = *own;
                self.set("recovery_target_lsn", &lsn.to_string());
            }
            Until::Transaction { xid, inclusive: own } => {
                inclusive = *own;
                self.set("recovery_target_xid", &xid.to_string());
            }
            Until::Name(name) => self.set("recovery_target_name", name),
        }
        self.set("recovery_target_inclusive", if inclusive { "on" } else { "off" });
    }
}

/// A time as every server reads it, in UTC, to the microsecond.
fn for_server(time: Timestamp) -> String {
    time.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S%.6f+00").to_string()
}

impl FetchCommand {
    /// As the server gives it to a shell, which it does after it has put names in the places of %f
    /// and %p, and a percent sign in that of %%.
    pub(super) fn text(&self, cluster: &str, last_segment: Option<&str>, unfinished: bool) -> String {
        match self {
            FetchCommand::Given(text) => text.clone(),
            FetchCommand::Own { program, options, cluster: of, up_to, with_partial } => {
                let word = |text: &str| shell_word(text).replace('%', "%%");
                let mut words = vec![word(program), "wal fetch %f %p".into()];
                words.extend(options.iter().map(|option| word(option)));
                words.extend([of.to_string(), word(cluster)]);
                words.extend(last_segment.into_iter().flat_map(|last| [up_to.to_string(), word(last)]));
                words.extend(unfinished.then(|| with_partial.to_string()));
                words.join(" ")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pgark_bytes::lsn::Lsn;

    use super::*;

    fn goal(until: Until, timeline: Option<u32>) -> Recovery {
        let goal = Goal {
            backup: "4f0c".into(),
            timeline,
            until,
            from: Lsn(0),
            to: Lsn(0),
            segments: 1,
            last_segment: None,
            needs_unfinished: false,
            lsn: None,
            time: None,
            note: None,
        };
        Recovery::Point { goal, restore_command: "fetch it's \\n %f".into() }
    }

    /// The last line of each setting.
    fn value(text: &str, name: &str) -> Option<String> {
        let line = text.lines().rev().find_map(|line| line.strip_prefix(&format!("{name} = ")));
        line.map(str::to_string)
    }

    #[test]
    fn one_target_is_set_and_it_comes_last() {
        let time: Timestamp = "2026-12-01T09:30:00.000001Z".parse().unwrap();
        for (until, name, expected) in [
            (
                Until::Time { time, inclusive: true },
                "recovery_target_time",
                "'2026-12-01 09:30:00.000001+00'",
            ),
            (Until::Lsn { lsn: Lsn(0x1_0000_0028), inclusive: false }, "recovery_target_lsn", "'1/28'"),
            (Until::Transaction { xid: 740, inclusive: true }, "recovery_target_xid", "'740'"),
            (Until::Name("it's".into()), "recovery_target_name", "'it''s'"),
        ] {
            let text = goal(until.clone(), Some(3)).settings(TargetAction::Pause, false);
            assert_eq!(value(&text, name).as_deref(), Some(expected), "{text}");
            let set = text
                .lines()
                .filter(|line| TARGETS.iter().any(|name| line.starts_with(&format!("{name} = "))));
            let set: Vec<&str> = set.collect();
            assert!(set[..5].iter().all(|line| line.ends_with("= ''")) && set.len() == 6, "{text}");
            assert_eq!(value(&text, "recovery_target_timeline").as_deref(), Some("'3'"));
            assert_eq!(value(&text, "recovery_target_action").as_deref(), Some("'pause'"));
            assert_eq!(value(&text, "archive_mode").as_deref(), Some("'off'"));
            assert_eq!(value(&text, "restore_command").as_deref(), Some("'fetch it''s \\\\n %f'"));
        }
        let text = goal(Until::End, None).settings(TargetAction::Promote, true);
        assert_eq!(value(&text, "recovery_target_timeline").as_deref(), Some("'current'"));
        assert!(value(&text, "archive_mode").is_none(), "{text}");
    }

    #[test]
    fn commands_keep_their_words() {
        let own = FetchCommand::Own {
            program: "/opt/pg ark/pgark".into(),
            options: vec!["--repo".into(), "/b/100%".into(), "--identity".into(), "/e/it's".into()],
            cluster: "of",
            up_to: "to",
            with_partial: "partial",
        };
        let text = own.text("shop a", Some("00000001"), false);
        assert_eq!(
            text,
            "'/opt/pg ark/pgark' wal fetch %f %p --repo /b/100%% --identity '/e/it'\\''s' of 'shop a' to 00000001"
        );
        assert!(own.text("shop", None, true).ends_with(" of shop partial"));
        assert_eq!(FetchCommand::Given("cp /a/%f %p".into()).text("x", None, true), "cp /a/%f %p");
    }
}
