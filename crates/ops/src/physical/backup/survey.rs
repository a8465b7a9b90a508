//! What is known of a server before its backup begins, and whether it can be backed up at all.

use std::collections::HashMap;

use pgark_pg::{ConnInfo, Connection};

use super::request::{Request, Source};
use crate::advice::{Setting, advice};
use crate::cluster::name::Who;
use crate::error::Doing;
use crate::facts::{BackedUpTablespace, Server};
use crate::watch::Watch;
use crate::{OpsError, maintenance};

/// What is known of the server.
pub(super) struct Survey {
    /// Every other connection goes where this one went (trap 8).
    pub pinned: ConnInfo,
    pub server: Server,
    pub server_version: i32,
    pub server_version_text: String,
    pub system_identifier: u64,
    /// The same as text.
    pub identifier: String,
    pub timeline: u32,
    /// When the server was started: seconds since 1970.
    pub started: i64,
    pub page_size: u32,
    /// Pages of a relation's segment.
    pub segment_pages: u32,
    pub wal_segment_size: u32,
    pub wal_page_size: u32,
    /// How many replication connections the server allows at once.
    pub max_wal_senders: u32,
    /// Permissions of the data directory.
    pub data_directory_mode: u16,
    pub checksums: bool,
    /// As the server says it, if the role is allowed to see it.
    pub data_directory: Option<String>,
    pub port: u16,
    /// The host that was reached: a name, an address, or the folder of a socket.
    pub host: String,
    /// Files of the configuration, by the names of their settings.
    pub config_files: Vec<(&'static str, String)>,
    pub databases: Vec<String>,
    pub tablespaces: Vec<BackedUpTablespace>,
    rights: Rights,
}

impl Survey {
    /// Connects, and finds out. The connection is the session that begins and ends the backup.
    ///
    /// # Errors
    /// Everything that makes a backup impossible, each with what cures it.
    pub(super) fn of(request: &Request, watch: &Watch) -> Result<(Survey, Connection), OpsError> {
        let mut connection =
            maintenance::connect_to_read(&request.conninfo, request.maintenance_db.as_deref(), watch)?;
        let server_version = connection.server_version();
        if server_version < 130_000 {
            return Err(OpsError::refused(
                format!("the server has version {}, older than 13", server_version / 10_000),
                "pgark backs up PostgreSQL 13 and newer",
            ));
        }
        let doing = "read the cluster's properties";
        let rows = connection
            .query(
                "SELECT pg_catalog.current_setting('server_version'), pg_catalog.pg_is_in_recovery(), \
                 pg_catalog.floor(extract(epoch FROM pg_catalog.pg_postmaster_start_time()))::pg_catalog.int8, \
                 pg_catalog.current_database()",
                &[],
            )
            .doing(doing)?;
        let row = rows.first().ok_or_else(|| OpsError::refused(doing, "this is a defect of pgark"))?;
        let server_version_text = row.str(0).doing(doing)?.to_string();
        if row.str(1).doing(doing)? == "t" {
            return Err(OpsError::refused(
                "the server is a standby: physical backups of standbys are not possible yet",
                "connect to the primary",
            ));
        }
        let started: i64 = row.parse(2).doing(doing)?;
        let pinned = request.conninfo.for_host_of(&connection).with_dbname(row.str(3).doing(doing)?);
        let settings = settings(&mut connection)?;
        refuse_wal_level(&settings)?;
        let rights = Rights::read(&mut connection, server_version)?;
        rights.refuse_without_replication(request.source)?;
        // It says which system this is, without any other right.
        let system = Connection::connect_physical(&pinned)?.identify_system()?;
        let number = |name: &str| {
            settings.get(name).and_then(|value| value.parse::<u32>().ok()).ok_or_else(|| {
                OpsError::refused(format!("read the setting {name}"), "this is a defect of pgark")
            })
        };
        let mut config_files = Vec::new();
        for name in ["config_file", "hba_file", "ident_file"] {
            config_files.extend(settings.get(name).map(|path| (name, path.clone())));
        }
        let survey = Survey {
            server: Server::of(&mut connection, &request.conninfo, Some(system.timeline.into()))?,
            pinned,
            server_version,
            server_version_text,
            system_identifier: system.system_identifier,
            identifier: system.system_identifier.to_string(),
            timeline: system.timeline,
            started,
            page_size: number("block_size")?,
            segment_pages: number("segment_size")?,
            wal_segment_size: number("wal_segment_size")?,
            wal_page_size: number("wal_block_size")?,
            max_wal_senders: number("max_wal_senders")?,
            data_directory_mode: settings
                .get("data_directory_mode")
                .and_then(|mode| u16::from_str_radix(mode, 8).ok())
                .unwrap_or(0o700),
            checksums: settings.get("data_checksums").is_some_and(|value| value == "on"),
            data_directory: settings.get("data_directory").cloned(),
            host: connection.host().to_string(),
            port: settings.get("port").and_then(|port| port.parse().ok()).unwrap_or_default(),
            config_files,
            databases: databases(&mut connection)?,
            tablespaces: tablespaces(&mut connection)?,
            rights,
        };
        Ok((survey, connection))
    }

    /// Who is backed up.
    pub(super) fn who(&self) -> Who<'_> {
        Who { system_identifier: &self.identifier, server: &self.server }
    }

    /// A backup that reads the files begins and ends by functions.
    pub(super) fn refuse_without_functions(&self) -> Result<(), OpsError> {
        let Rights { role, database, grants, .. } = &self.rights;
        if grants.is_empty() {
            return Ok(());
        }
        Err(OpsError::refused(
            format!("role {role} does not have the rights that a backup of the files needs"),
            advice![
                format!("as a superuser, in the database {database}: {}; or use ", grants.join("; ")),
                Setting::Source.to("wire"),
                ", which needs REPLICATION alone"
            ],
        ))
    }

    /// A promotion, a restart or another server in between makes the files worth nothing: all that
    /// fixes a server is asked again. `replication`: a replication connection to it. Returns the
    /// time of its clock: whatever was committed before the backup ended was committed by then.
    pub(super) fn is_still_the_same(
        &self,
        connection: &mut Connection,
        replication: &mut Connection,
    ) -> Result<jiff::Timestamp, OpsError> {
        let doing = "look whether the server is still the same";
        let rows = connection
            .query(
                "SELECT pg_catalog.floor(extract(epoch FROM pg_catalog.pg_postmaster_start_time()))::pg_catalog.int8, \
                 pg_catalog.pg_is_in_recovery(), \
                 (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::pg_catalog.int8",
                &[],
            )
            .doing(doing)?;
        let row = rows.first().ok_or_else(|| OpsError::refused(doing, "this is a defect of pgark"))?;
        let clock = jiff::Timestamp::from_microsecond(row.parse(2).doing(doing)?).map_err(|error| {
            OpsError::refused(format!("read the server's clock: {error}"), "set the clock")
        })?;
        let again = || "run the backup again";
        if row.parse::<i64>(0).doing(doing)? != self.started || row.str(1).doing(doing)? == "t" {
            return Err(OpsError::refused("the server was restarted during the backup", again()));
        }
        let system = replication.identify_system()?;
        if system.system_identifier != self.system_identifier {
            let what = format!(
                "another server answers at the end of the backup: its system identifier is {}, and was {}",
                system.system_identifier, self.system_identifier
            );
            return Err(OpsError::refused(what, again()));
        }
        if system.timeline != self.timeline {
            let what = format!(
                "the server changed from timeline {} to {} during the backup",
                self.timeline, system.timeline
            );
            return Err(OpsError::refused(what, again()));
        }
        Ok(clock)
    }
}

/// The settings that a backup needs, in the units that `pg_settings` has; those that the role is
/// not allowed to see are not among them.
fn settings(connection: &mut Connection) -> Result<HashMap<String, String>, OpsError> {
    let doing = "read the server's settings";
    let rows = connection
        .query(
            "SELECT name, setting FROM pg_catalog.pg_settings WHERE name IN ('wal_level', 'block_size', 'segment_size', \
             'wal_segment_size', 'wal_block_size', 'data_checksums', 'data_directory', 'data_directory_mode', 'max_wal_senders', \
             'port', 'config_file', 'hba_file', 'ident_file')",
            &[],
        )
        .doing(doing)?;
    let mut settings = HashMap::new();
    for row in &rows {
        if let Some(value) = row.opt_str(1).doing(doing)? {
            settings.insert(row.str(0).doing(doing)?.to_string(), value.to_string());
        }
    }
    Ok(settings)
}

fn refuse_wal_level(settings: &HashMap<String, String>) -> Result<(), OpsError> {
    match settings.get("wal_level").map(String::as_str) {
        Some("minimal") => Err(OpsError::refused(
            "wal_level is minimal: the WAL does not have what makes a physical backup consistent",
            "set wal_level to replica in postgresql.conf and restart the server; logical backups work without",
        )),
        _ => Ok(()),
    }
}

/// The functions that begin and end a backup, with their arguments.
fn functions(server_version: i32) -> [&'static str; 2] {
    match server_version >= 150_000 {
        true => ["pg_backup_start(text, boolean)", "pg_backup_stop(boolean)"],
        false => ["pg_start_backup(text, boolean, boolean)", "pg_stop_backup(boolean, boolean)"],
    }
}

/// The role's rights. It need not be a superuser.
struct Rights {
    role: String,
    /// The database of the connection: rights to functions are a database's.
    database: String,
    has_replication: bool,
    /// What gives the rights to functions that are missing.
    grants: Vec<String>,
}

impl Rights {
    fn read(connection: &mut Connection, server_version: i32) -> Result<Rights, OpsError> {
        let doing = "read the role's privileges";
        let [start, stop] = functions(server_version);
        let rows = connection
            .query(
                "SELECT pg_catalog.has_function_privilege('pg_catalog.' || $1, 'EXECUTE'), \
                 pg_catalog.has_function_privilege('pg_catalog.' || $2, 'EXECUTE'), \
                 (SELECT rolreplication OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = session_user), \
                 pg_catalog.quote_ident(session_user), pg_catalog.current_database()",
                &[Some(start), Some(stop)],
            )
            .doing(doing)?;
        let row = rows.first().ok_or_else(|| OpsError::refused(doing, "this is a defect of pgark"))?;
        let has = |at: usize| Ok::<_, OpsError>(row.opt_str(at).doing(doing)? == Some("t"));
        let role = row.str(3).doing(doing)?.to_string();
        let mut grants = Vec::new();
        for (at, function) in [(0, start), (1, stop)] {
            if !has(at)? {
                grants.push(format!("GRANT EXECUTE ON FUNCTION pg_catalog.{function} TO {role}"));
            }
        }
        let database = row.str(4).doing(doing)?.to_string();
        Ok(Rights { role, database, has_replication: has(2)?, grants })
    }

    /// Every backup receives its WAL.
    fn refuse_without_replication(&self, source: Option<Source>) -> Result<(), OpsError> {
        if self.has_replication {
            return Ok(());
        }
        let Rights { role, database, grants, .. } = self;
        let mut cure = format!("as a superuser, in the database {database}: ALTER ROLE {role} REPLICATION");
        if source != Some(Source::Wire) && !grants.is_empty() {
            cure.push_str("; for a backup that reads the files on the server's host also: ");
            cure.push_str(&grants.join("; "));
        }
        Err(OpsError::refused(
            format!("role {role} does not have the rights that a physical backup needs"),
            cure,
        ))
    }
}

fn databases(connection: &mut Connection) -> Result<Vec<String>, OpsError> {
    let doing = "list the databases";
    let sql = "SELECT datname FROM pg_catalog.pg_database WHERE datname <> 'template0' ORDER BY datname";
    let rows = connection.query(sql, &[]).doing(doing)?;
    rows.iter().map(|row| Ok(row.str(0).doing(doing)?.to_string())).collect()
}

fn tablespaces(connection: &mut Connection) -> Result<Vec<BackedUpTablespace>, OpsError> {
    let doing = "list the tablespaces";
    let rows = connection
        .query(
            "SELECT oid, spcname, pg_catalog.pg_tablespace_location(oid) FROM pg_catalog.pg_tablespace \
             WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY oid",
            &[],
        )
        .doing(doing)?;
    let one = |row: &pgark_pg::Row| {
        let location = row.str(2).doing(doing)?.to_string();
        Ok(BackedUpTablespace {
            oid: row.parse(0).doing(doing)?,
            name: row.str(1).doing(doing)?.to_string(),
            // In-place ones are below pg_tblspc.
            location: Some(location).filter(|location| location.starts_with('/')),
        })
    };
    rows.iter().map(one).collect()
}
