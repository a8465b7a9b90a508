//! Commands that run around a backup.

use std::time::Duration;

use clap::Args as ClapArgs;

use super::text::text;
use crate::values::duration;

/// Heading of these options.
pub const HOOKS: &str = "Hooks (commands for /bin/sh; what they print goes to the log)";

/// What runs around a backup.
#[derive(Clone, Debug, ClapArgs)]
pub struct Hooks {
    /// Run this command before the backup; if it fails, no backup is made
    #[arg(long, value_name = "COMMAND", value_parser = text(), help_heading = HOOKS, hide_short_help = true)]
    pub hook_pre: Option<String>,
    /// Run this command after the backup, whether it succeeded or failed
    #[arg(long, value_name = "COMMAND", value_parser = text(), help_heading = HOOKS, hide_short_help = true)]
    pub hook_post: Option<String>,
    /// Run this command if the backup failed, was interrupted or is incomplete; before --hook-post
    #[arg(long, value_name = "COMMAND", value_parser = text(), help_heading = HOOKS, hide_short_help = true)]
    pub hook_failure: Option<String>,
    /// Stop a hook, and everything that it started, after this time; it has then failed. 0: no
    /// limit
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration, help_heading = HOOKS, hide_short_help = true)]
    pub hook_timeout: Duration,
}
