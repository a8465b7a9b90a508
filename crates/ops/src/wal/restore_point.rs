//! `restore-point`: makes a named point in the WAL of a server, to which it can be recovered.

use pgark_pg::ConnInfo;
use schemars::JsonSchema;
use serde::Serialize;

use crate::error::Doing;
use crate::watch::Watch;
use crate::{Job, OpsError, maintenance};

/// Bytes that a server keeps of a name (`MAXFNAMELEN` in src/include/access/xlog_internal.h, with
/// the zero behind it).
const LONGEST_NAME: usize = 63;

/// What to make, and where.
pub struct Request {
    /// The server.
    pub conninfo: ConnInfo,
    /// Where to connect; by default what the connection string says, or a usual one.
    pub maintenance_db: Option<String>,
    /// The name of the point.
    pub name: String,
    /// End the segment then, so that it is archived at once.
    pub switch: bool,
}

/// A restore point that was made.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "RestorePoint")]
pub struct Report {
    /// Its name.
    pub name: String,
    /// WAL position where its record ends.
    pub lsn: String,
    /// The time of the server when it was made: RFC 3339, UTC.
    pub time: String,
    /// The segment of the WAL that the point is in: it can be recovered to once that is archived.
    pub segment: String,
    /// Whether the segment was ended.
    pub switched: bool,
}

/// Makes a point.
///
/// # Errors
/// The name is too long, the server recovers, or the role may not do it.
pub fn run(request: &Request, job: &Job) -> Result<Report, OpsError> {
    let bytes = request.name.len();
    if bytes > LONGEST_NAME {
        return Err(OpsError::refused(
            format!("the name of the restore point has {bytes} bytes"),
            format!("a server takes at most {LONGEST_NAME}"),
        ));
    }
    let watch = Watch::new(&job.cancel);
    watch.during_job(|| make(request, &watch))
}

fn make(request: &Request, watch: &Watch) -> Result<Report, OpsError> {
    let mut connection =
        maintenance::connect_to_read(&request.conninfo, request.maintenance_db.as_deref(), watch)?;
    let doing = "make a restore point";
    let rows = connection
        .query(
            "SELECT point::pg_catalog.text, pg_catalog.pg_walfile_name(point), \
             pg_catalog.to_char(pg_catalog.clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') \
             FROM pg_catalog.pg_create_restore_point($1) AS point",
            &[Some(request.name.as_str())],
        )
        .doing(doing)?;
    let row = rows.first().ok_or_else(|| OpsError::refused(doing, "this is a defect of pgark"))?;
    let text = |column: usize| Ok::<_, OpsError>(row.str(column).doing(doing)?.to_string());
    let report = Report {
        name: request.name.clone(),
        lsn: text(0)?,
        segment: text(1)?,
        time: text(2)?,
        switched: request.switch,
    };
    if request.switch {
        connection.query("SELECT pg_catalog.pg_switch_wal()", &[]).doing("end the segment of the WAL")?;
    }
    Ok(report)
}
