//! Entries of a physical backup that do not come from the data directory as it is copied.

use std::path::Path;

use pgark_pg::Connection;
use pgark_repo::{BackupWriter, Class, Cut};
use serde_json::json;

use super::source::Open;
use super::survey::Survey;
use crate::cluster::described::{ClusterFacts, now};
use crate::cluster::{Report, settings};
use crate::error::{Doing, with_causes};
use crate::facts::{Note, Owned, write_whole};
use crate::{OpsError, paths};

/// `/settings.json`, `/pg_hba.conf`, `/pg_ident.conf` and `/manifest.json`, as logical backups have
/// them.
pub(super) fn of_the_cluster(
    writer: &BackupWriter<'_>,
    survey: &Survey,
    connection: &mut Connection,
    source: &Open,
    cluster: &str,
    report: &mut Report,
) -> Result<(), OpsError> {
    let all = settings::settings(connection, report)?;
    write_whole(writer, paths::SETTINGS.to_string(), Class::Data, &all, &Note::Settings)?;
    for file in settings::access_files(connection, report, &|path| is_copied(survey, source, path))? {
        let note = Note::ServerFile { path: file.path };
        write_whole(writer, file.entry, Class::Data, &file.content, &note)?;
    }
    let facts = ClusterFacts::read(connection)?;
    let head = json!({
        "version": 2,
        "connector": "postgresql",
        "host": connection.host(),
        "port": connection.port().to_string(),
        "server_version": survey.server_version_text,
        "server_version_num": survey.server_version,
        "cluster_system_identifier": survey.identifier,
        "in_recovery": false,
        "program": format!("pgark {}", env!("CARGO_PKG_VERSION")),
        "cluster": cluster,
        "timeline": survey.timeline,
        "cluster_config": facts.config,
        "roles": facts.roles,
        "tablespaces": facts.tablespaces,
        "databases": facts.databases,
    });
    // What is another thing each time comes last, as a part of its own.
    let mut entry = writer.entry(paths::MANIFEST, Class::Metadata);
    let head = head.to_string();
    let mut stream = writer.stream(Class::Metadata, Cut::Content);
    stream.write(head.strip_suffix('}').unwrap_or(&head).as_bytes())?;
    entry.add(stream.finish()?);
    let mut stream = writer.stream(Class::Metadata, Cut::Content);
    stream.write(format!(",\"created_at\":{}}}", json!(now())).as_bytes())?;
    entry.add(stream.finish()?);
    Ok(entry.finish(Note::Manifest.to_bytes())?)
}

/// The path below the data directory of a file in it, by its path on the server; None for a file
/// outside.
fn inside<'p>(survey: &Survey, source: &Open, path: &'p str) -> Option<&'p Path> {
    let own = match source {
        Open::Files(directory) => Path::new(path).strip_prefix(directory.path()).ok(),
        Open::Wire => None,
    };
    own.or_else(|| Path::new(path).strip_prefix(survey.data_directory.as_deref()?).ok())
}

/// Whether a file of the configuration is copied with the data directory, and all that it includes:
/// then it does not matter that the role has no right to read it. What a file includes that has not
/// come over the wire yet is not known.
fn is_copied(survey: &Survey, source: &Open, path: &str) -> bool {
    let Some(below) = inside(survey, source, path) else { return false };
    let is_alone = || match source {
        Open::Files(directory) => {
            std::fs::read(directory.path().join(below)).is_ok_and(|content| !settings::names_others(&content))
        }
        Open::Wire => false,
    };
    survey.server_version < 160_000 || is_alone()
}

/// Files of the configuration that are not in the data directory (trap 25): a restore leaves them
/// out unless it is asked for them. They are read where the other files are read: on this host, or
/// by the server, if the role is allowed to.
pub(super) fn outside(
    writer: &BackupWriter<'_>,
    survey: &Survey,
    connection: &mut Connection,
    source: &Open,
    report: &mut Report,
) -> Result<(), OpsError> {
    let doing = "read which files the settings come from";
    let sql =
        "SELECT DISTINCT sourcefile FROM pg_catalog.pg_settings WHERE sourcefile IS NOT NULL ORDER BY 1";
    let rows = connection.query(sql, &[]).doing(doing)?;
    let mut files: Vec<String> = survey.config_files.iter().map(|(_, path)| path.clone()).collect();
    for row in &rows {
        files.push(row.str(0).doing(doing)?.to_string());
    }
    files.sort();
    files.dedup();
    if matches!(source, Open::Wire) && survey.data_directory.is_none() {
        // Then the role does not see where the files are, either.
        return Ok(());
    }
    for path in files.iter().filter(|path| inside(survey, source, path).is_none()) {
        let content = match source {
            Open::Files(_) => std::fs::read(path).map_err(|error| error.to_string()),
            Open::Wire => read_by_server(connection, path),
        };
        match content {
            Ok(content) => {
                let note = Note::File { owned: Owned::default(), modified: String::new() };
                write_whole(writer, paths::outside(path), Class::Data, &content, &note)?;
            }
            Err(why) => report.warn(&format!("{path} is not in the backup: {why}")),
        }
    }
    Ok(())
}

/// A file of the server's host; else why not.
fn read_by_server(connection: &mut Connection, path: &str) -> Result<Vec<u8>, String> {
    let sql = "SELECT pg_catalog.encode(pg_catalog.pg_read_binary_file($1), 'hex')";
    let rows = connection.query(sql, &[Some(path)]).map_err(|error| with_causes(&error))?;
    let text = rows.first().and_then(|row| row.opt_str(0).ok().flatten()).unwrap_or_default();
    crate::hex::decode(text.as_bytes()).ok_or_else(|| "the server's answer cannot be read".to_string())
}
