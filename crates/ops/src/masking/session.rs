//! Whether the session itself sees masked rows (M190): then plain values are not what they seem.

use pgark_mask::finding::{Code, Finding};
use pgark_pg::Connection;

use crate::OpsError;
use crate::error::Doing;

/// So many tables are named.
const NAMED: usize = 5;

/// What masks or hides rows from the role of the session: a label of an extension that masks for
/// labelled roles (`anon`: `MASKED`; `pg_anonymize`: `anonymize`), and row-level security.
pub(crate) fn findings(connection: &mut Connection) -> Result<Vec<Finding>, OpsError> {
    let doing = "ask whether the session sees masked rows";
    let labels = connection
        .query(
            "SELECT l.provider FROM pg_catalog.pg_shseclabel l \
             JOIN pg_catalog.pg_roles r ON r.oid = l.objoid \
             WHERE l.classoid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND r.rolname = current_user \
             AND (l.label ILIKE 'masked%' OR l.label ILIKE 'anonymize%') ORDER BY 1",
            &[],
        )
        .doing(doing)?;
    let mut found = Vec::new();
    for row in &labels {
        let provider = row.str(0).doing(doing)?;
        let message =
            format!("{provider} masks rows for the session's role, so that it reads no plain values");
        found.push(Finding::new(Code::MaskedSession, message).hint("connect as a role without that label"));
    }
    let hidden = connection
        .query(
            "SELECT c.oid::pg_catalog.regclass::pg_catalog.text FROM pg_catalog.pg_class c \
             WHERE c.relrowsecurity AND pg_catalog.row_security_active(c.oid) ORDER BY 1",
            &[],
        )
        .doing(doing)?;
    if !hidden.is_empty() {
        let names: Result<Vec<&str>, _> = hidden.iter().take(NAMED).map(|row| row.str(0)).collect();
        let more = if hidden.len() > NAMED { ", …" } else { "" };
        let message = format!(
            "row-level security hides rows of {}{more} from the session's role",
            names.doing(doing)?.join(", ")
        );
        found.push(Finding::new(Code::MaskedSession, message).hint("connect as a role with BYPASSRLS"));
    }
    Ok(found)
}
