//! The cluster before its databases: what the first connection finds out.

use pgark_bytes::pattern::Pattern;
use pgark_bytes::sql::quote_ident;
use pgark_pg::{ConnInfo, Connection, Login, Use};

use super::request::{Databases, Request, Snapshots};
use crate::advice::{Setting, advice};
use crate::cluster::Report;
use crate::cluster::name::Who;
use crate::error::Doing;
use crate::facts::{Missing, Server};
use crate::maintenance::Maintenance;
use crate::session::{self, SERVER, Settled, Text};
use crate::tools::{Tool, find_pg_dump};
use crate::watch::Watch;
use crate::{Job, OpsError};

/// What is known before the first snapshot.
pub(super) struct Survey {
    /// The first connection; kept for what a standby needs.
    pub connection: Connection,
    /// How its session began: so does pg_dumpall's.
    pub login: Login,
    /// Every other connection goes where the first one went (trap 8).
    pub pinned: ConnInfo,
    pub server_version: i32,
    pub server_version_text: String,
    pub system_identifier: String,
    pub in_recovery: bool,
    pub timeline: Option<i64>,
    pub server: Server,
    pub tool: Tool,
    /// The role has the right to read password hashes.
    pub sees_passwords: bool,
    /// The databases to back up, in the order of their names.
    pub databases: Vec<String>,
    /// What was asked for and matched none.
    unmatched: Vec<Pattern>,
    /// What was asked for and nobody can connect to.
    closed: Vec<Closed>,
}

/// A database that nobody can connect to.
struct Closed {
    name: String,
    /// A DROP DATABASE of it was interrupted (`datconnlimit = -2`); else it does not allow
    /// connections.
    is_invalid: bool,
    /// It was asked for by its own name.
    is_named: bool,
}

impl Closed {
    fn why(&self) -> String {
        let name = quote_ident(&self.name);
        match self.is_invalid {
            true => format!(
                "it is invalid, because a DROP DATABASE of it was interrupted, and nobody can connect to it; DROP DATABASE {name} \
                 removes it"
            ),
            false => format!(
                "it does not allow connections; ALTER DATABASE {name} ALLOW_CONNECTIONS true changes that"
            ),
        }
    }

    fn is_meant_by(&self, pattern: &Pattern) -> bool {
        is_literal(pattern, &self.name)
    }
}

/// Whether a pattern is the very name.
fn is_literal(pattern: &Pattern, name: &str) -> bool {
    pattern.text() == name || pattern.text() == Pattern::literal(name)
}

impl Survey {
    /// Connects, and finds out what there is to back up and with what.
    pub(super) fn of(request: &Request, job: &Job, watch: &Watch) -> Result<Survey, OpsError> {
        let Settled { mut connection, login } = connect(request, watch)?;
        let server_version = connection.server_version();
        if server_version < 130_000 {
            return Err(OpsError::refused(
                format!("the server has version {}, older than 13", server_version / 10_000),
                "pgark backs up PostgreSQL 13 and newer",
            ));
        }
        let tool = find_pg_dump(request.pg_dump.as_deref(), &request.search_path, server_version / 10_000)?;
        let Chosen { databases, unmatched, closed } = databases(&mut connection, &request.databases)?;
        if request.filters.strict_names && !unmatched.is_empty() {
            return Err(OpsError::refused(
                format!("no database matches {}", texts(&unmatched).join(", ")),
                format!("there are {}", databases.join(", ")),
            ));
        }
        for named in request.filters_of.keys().filter(|name| !databases.contains(name)) {
            job.progress.info(&format!("filters are given for database {named}, which is not backed up"));
        }
        if request.snapshots == Snapshots::Together {
            refuse_too_many(&mut connection, databases.len(), request.jobs)?;
        }
        let doing = "read the cluster's properties";
        let rows = connection
            .query(
                "SELECT pg_catalog.current_setting('server_version'), pg_catalog.pg_is_in_recovery(), \
                 CASE WHEN pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE') \
                      THEN (SELECT system_identifier::pg_catalog.text FROM pg_catalog.pg_control_system()) END, \
                 CASE WHEN pg_catalog.pg_is_in_recovery() \
                      THEN CASE WHEN pg_catalog.has_function_privilege('pg_catalog.pg_control_checkpoint()', 'EXECUTE') \
                                THEN (SELECT timeline_id::pg_catalog.int8 FROM pg_catalog.pg_control_checkpoint()) END \
                      ELSE ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8)) \
                           ::pg_catalog.bit(32)::pg_catalog.int8 END, \
                 pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT'), pg_catalog.current_database(), \
                 pg_catalog.current_setting('role')",
                &[],
            )
            .doing(doing)?;
        let row = rows.first().ok_or_else(|| OpsError::refused(doing, "this is a defect of pgark"))?;
        let system_identifier = row.opt_str(2).doing(doing)?.map(str::to_string);
        let system_identifier = match (system_identifier, &request.cluster) {
            (Some(identifier), _) => identifier,
            (None, Some(_)) => String::new(),
            (None, None) => {
                return Err(OpsError::refused(
                    "the role has no right to read the cluster's system identifier",
                    advice![
                        "name the cluster with ",
                        Setting::Cluster.to("NAME"),
                        ", or GRANT EXECUTE ON FUNCTION pg_control_system() to the role",
                    ],
                ));
            }
        };
        let timeline = row.opt_str(3).doing(doing)?.and_then(|text| text.parse().ok());
        let server = Server::of(&mut connection, &request.conninfo, timeline)?;
        Ok(Survey {
            server,
            pinned: request
                .conninfo
                .for_host_of(&connection)
                .with_dbname(row.str(5).doing(doing)?)
                // Also one that `options`, or a setting of role or database, has chosen: pg_dump
                // gets neither of the first two.
                .with_role(Some(row.str(6).doing(doing)?).filter(|role| *role != "none")),
            sees_passwords: row.str(4).doing(doing)? == "t",
            server_version,
            server_version_text: row.str(0).doing(doing)?.to_string(),
            in_recovery: row.str(1).doing(doing)? == "t",
            timeline,
            system_identifier,
            tool,
            databases,
            unmatched,
            closed,
            login,
            connection,
        })
    }
}

impl Survey {
    /// Who is backed up.
    pub(super) fn who(&self) -> Who<'_> {
        Who { system_identifier: &self.system_identifier, server: &self.server }
    }

    /// A database that was named and is not there is missing; a pattern may match nothing.
    pub(super) fn tell_unmatched(&self, report: &mut Report) {
        for closed in self.closed.iter().filter(|closed| !closed.is_named) {
            report.warn(&format!("database {} is left out: {}", closed.name, closed.why()));
        }
        for pattern in &self.unmatched {
            if pattern.names_one() {
                let closed = self.closed.iter().find(|closed| closed.is_meant_by(pattern));
                let why = closed.map_or("it does not exist".to_string(), Closed::why);
                report.lost(Missing::database(pattern.text(), why));
            } else {
                report.warn(&format!("no database matches {}", pattern.text()));
            }
        }
    }
}

/// With `--all` the connection string's database is only where to connect first: where it does not
/// let us in, another will do.
fn connect(request: &Request, watch: &Watch) -> Result<Settled, OpsError> {
    let conninfo = request.conninfo.with_role(request.role.as_deref());
    let open = |conninfo: &ConnInfo| session::open(conninfo, Use::Read, Text::ToRead, watch, SERVER);
    match &request.databases {
        Databases::Connected => open(&conninfo),
        Databases::Matching { include, .. } => {
            let named = include.iter().map(String::as_str);
            let maintenance = Maintenance {
                named: request.maintenance_db.as_deref(),
                likely: std::iter::once(conninfo.dbname()).chain(named).collect(),
                unlikely: None,
            };
            maintenance.connect(&conninfo, open)
        }
    }
}

/// What there is to back up.
struct Chosen {
    databases: Vec<String>,
    unmatched: Vec<Pattern>,
    closed: Vec<Closed>,
}

/// The databases to back up.
fn databases(connection: &mut Connection, asked: &Databases) -> Result<Chosen, OpsError> {
    let doing = "list the databases";
    let (include, exclude, templates) = match asked {
        Databases::Connected => {
            let rows = connection.query("SELECT pg_catalog.current_database()", &[]).doing(doing)?;
            let name = rows.iter().map(|row| Ok(row.str(0).doing(doing)?.to_string()));
            let databases = name.collect::<Result<_, OpsError>>()?;
            return Ok(Chosen { databases, unmatched: Vec::new(), closed: Vec::new() });
        }
        Databases::Matching { include, exclude, templates } => (include, exclude, *templates),
    };
    let rows = connection
        .query(
            "SELECT datname, datistemplate, datallowconn, datconnlimit = -2 FROM pg_catalog.pg_database ORDER BY datname",
            &[],
        )
        .doing(doing)?;
    let patterns =
        |texts: &[String]| Pattern::plains(texts).map_err(|error| OpsError::Usage(error.to_string().into()));
    let (wanted, unwanted) = (patterns(include)?, patterns(exclude)?);
    let (mut found, mut closed, mut there) = (Vec::new(), Vec::new(), Vec::new());
    let mut matched = vec![false; wanted.len()];
    for row in &rows {
        let name = row.str(0).doing(doing)?;
        let is = |at: usize| row.str(at).map(|text| text == "t").doing(doing);
        let (is_template, allows_connections, is_invalid) = (is(1)?, is(2)?, is(3)?);
        // As pg_dumpall: nobody can connect to these.
        let is_closed = !allows_connections || is_invalid;
        let mut is_wanted = wanted.is_empty() && (!is_template || templates);
        let mut is_named = false;
        for (pattern, matched) in wanted.iter().zip(&mut matched) {
            let literal = is_literal(pattern, name);
            if pattern.matches(name.as_bytes()) && (!is_template || templates || literal) {
                *matched |= !is_closed;
                (is_wanted, is_named) = (true, is_named || literal);
            }
        }
        is_wanted &= !unwanted.iter().any(|pattern| pattern.matches(name.as_bytes()));
        match (is_wanted, is_closed) {
            // The one that is closed on every server, and holds nothing.
            (true, true) if name == "template0" && !is_named => {}
            (true, true) => closed.push(Closed { name: name.to_string(), is_invalid, is_named }),
            (true, false) => found.push(name.to_string()),
            (false, _) => {}
        }
        if !is_closed {
            there.push(name);
        }
    }
    if found.is_empty() {
        let closed: Vec<String> =
            closed.iter().map(|closed| format!("; database {}: {}", closed.name, closed.why())).collect();
        return Err(OpsError::refused(
            if include.is_empty() {
                format!("no database remains to back up{}", closed.concat())
            } else {
                format!("no database matches {}{}", include.join(", "), closed.concat())
            },
            format!("there are {}", there.join(", ")),
        ));
    }
    let unmatched =
        wanted.into_iter().zip(matched).filter(|(_, matched)| !matched).map(|(pattern, _)| pattern);
    Ok(Chosen { databases: found, unmatched: unmatched.collect(), closed })
}

fn texts(patterns: &[Pattern]) -> Vec<&str> {
    patterns.iter().map(Pattern::text).collect()
}

/// All snapshots at once need a connection for each database.
fn refuse_too_many(connection: &mut Connection, databases: usize, jobs: usize) -> Result<(), OpsError> {
    let doing = "read how many connections the server allows";
    let rows = connection
        .query(
            "SELECT pg_catalog.current_setting('max_connections')::pg_catalog.int8 \
             - pg_catalog.current_setting('superuser_reserved_connections')::pg_catalog.int8 \
             - coalesce(pg_catalog.current_setting('reserved_connections', true)::pg_catalog.int8, 0) \
             - (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend')",
            &[],
        )
        .doing(doing)?;
    let free: i64 = rows.first().map(|row| row.parse(0)).transpose().doing(doing)?.unwrap_or(0);
    // A lead for each database, the copying connections, pg_dump and pg_dumpall together with each
    // of those that open.
    let needed = i64::try_from(databases + 2 * jobs + 1).unwrap_or(i64::MAX);
    if needed > free {
        return Err(OpsError::refused(
            format!(
                "{databases} snapshots at the same time need {needed} connections; the server has {} free",
                free.max(0)
            ),
            advice![
                "use ",
                Setting::Snapshots.to("staggered"),
                ", fewer ",
                Setting::Jobs,
                ", or raise max_connections",
            ],
        ));
    }
    Ok(())
}
