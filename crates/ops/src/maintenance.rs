//! Where to connect to a cluster before it is known which databases it has: services differ in what
//! they let a role into.

use pgark_pg::{ConnInfo, Connection, Use};

use crate::OpsError;
use crate::advice::{Setting, advice};
use crate::error::with_causes;
use crate::session::{self, SERVER, Text};
use crate::watch::Watch;

/// Databases that are there as a rule: `initdb`'s, and the one that hosted services make instead.
const USUAL: [&str; 3] = ["postgres", "template1", "defaultdb"];

/// Which databases to try.
pub(crate) struct Maintenance<'a> {
    /// The operator's own word: no other is tried.
    pub named: Option<&'a str>,
    /// Others that are likely to be there, the likeliest first.
    pub likely: Vec<&'a str>,
    /// To be tried last.
    pub unlikely: Option<&'a str>,
}

/// A settled connection for looking at a server, to the database that was named, else to that of
/// the connection string or a usual one.
///
/// # Errors
/// The only error, or all of them in one.
pub(crate) fn connect_to_read(
    conninfo: &ConnInfo,
    named: Option<&str>,
    watch: &Watch,
) -> Result<Connection, OpsError> {
    let open = |conninfo: &ConnInfo| session::open(conninfo, Use::Read, Text::ToRead, watch, SERVER);
    let maintenance = Maintenance { named, likely: vec![conninfo.dbname()], unlikely: None };
    Ok(maintenance.connect(conninfo, open)?.connection)
}

impl Maintenance<'_> {
    /// Connects to the first that lets us in. What has nothing to do with the database ends the
    /// search.
    ///
    /// # Errors
    /// The only error, or all of them in one.
    pub(crate) fn connect<C>(
        &self,
        conninfo: &ConnInfo,
        connect: impl Fn(&ConnInfo) -> Result<C, OpsError>,
    ) -> Result<C, OpsError> {
        if let Some(named) = self.named {
            return connect(&conninfo.with_dbname(named));
        }
        let mut tried: Vec<&str> = Vec::new();
        let mut refused = Vec::new();
        let guesses = self.likely.iter().copied().chain(USUAL).chain(self.unlikely);
        for name in guesses {
            if tried.contains(&name) {
                continue;
            }
            tried.push(name);
            match connect(&conninfo.with_dbname(name)) {
                Err(error) if is_of_the_database(&error) => refused.push(error),
                other => return other,
            }
        }
        // The same everywhere: it is not the database.
        if refused.iter().all(|error| error.sqlstate() == Some("28000"))
            && let Some(first) = refused.drain(..).next()
        {
            return Err(first);
        }
        let reasons: Vec<String> = refused.iter().map(|error| with_causes(error)).collect();
        Err(OpsError::refused(
            format!(
                "the role cannot connect to any of the databases {}: {}",
                tried.join(", "),
                reasons.join("; ")
            ),
            advice!["name one that it can connect to: ", Setting::MaintenanceDatabase.to("NAME")],
        ))
    }
}

/// It is not there, takes no connections, or not from this role: another may.
fn is_of_the_database(error: &OpsError) -> bool {
    matches!(error.sqlstate(), Some("3D000" | "42501" | "55000" | "28000"))
}
