//! The connection that options and the environment describe.

use pgark_ops::{ConnInfo, OpsError};

use crate::args::Server;
use crate::environment::for_postgres;

/// The connection of `--dbname`, `--host`, `--port`, `--username` over the environment.
pub fn connection(dbname: &str, server: &Server) -> Result<ConnInfo, OpsError> {
    let mut environment = for_postgres();
    for (name, value) in [("PGHOST", &server.host), ("PGPORT", &server.port), ("PGUSER", &server.username)] {
        if let Some(value) = value {
            environment.vars.insert(name.to_string(), value.clone());
            if name == "PGHOST" {
                environment.vars.remove("PGHOSTADDR");
            }
        }
    }
    Ok(ConnInfo::resolve(dbname, &environment)?)
}

/// Whether a connection string says which database.
pub fn names_database(dbname: &str) -> Result<bool, OpsError> {
    Ok(ConnInfo::names_database(dbname, &for_postgres())?)
}
