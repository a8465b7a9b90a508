//! What the operator of a backup will be told.

use crate::facts::Missing;

/// What the operator will be told: warnings, and what is missing.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) warnings: Vec<String>,
    pub(crate) missing: Vec<Missing>,
}

impl Report {
    /// Something asked for is not in the backup.
    pub(crate) fn lost(&mut self, missing: Missing) {
        self.warnings.push(format!("{missing} is missing: {}", missing.reason));
        self.missing.push(missing);
    }

    /// Something the operator should know.
    pub(crate) fn warn(&mut self, text: &str) {
        self.warnings.push(text.to_string());
    }
}
