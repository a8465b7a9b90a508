//! Entries of a physical backup that do not come from the data directory as it is copied.

use std::path::{Path, PathBuf};

use pgark_pg::Connection;
use pgark_repo::{BackupWriter, Class, Cut};
use serde_json::json;

use super::survey::Survey;
use crate::cluster::described::{ClusterFacts, now};
use crate::cluster::{Report, settings};
use crate::error::Doing;
use crate::facts::{Note, Owned, write_whole};
use crate::{OpsError, paths};

/// `/settings.json`, `/pg_hba.conf`, `/pg_ident.conf` and `/manifest.json`, as logical backups have
/// them.
pub(super) fn of_the_cluster(
    writer: &BackupWriter<'_>,
    survey: &Survey,
    connection: &mut Connection,
    data_directory: &Path,
    cluster: &str,
    report: &mut Report,
) -> Result<(), OpsError> {
    let all = settings::settings(connection, report)?;
    write_whole(writer, paths::SETTINGS.to_string(), Class::Data, &all, &Note::Settings)?;
    for file in settings::access_files(connection, report, &|path| is_copied(survey, data_directory, path))? {
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

/// The path on this host of a file in the data directory, by its path on the server; None for a
/// file outside.
fn inside(survey: &Survey, data_directory: &Path, path: &str) -> Option<PathBuf> {
    let own = Path::new(path).strip_prefix(data_directory).ok();
    let of_server = || Path::new(path).strip_prefix(survey.data_directory.as_deref()?).ok();
    own.or_else(of_server).map(|below| data_directory.join(below))
}

/// Whether a file of the configuration is copied with the data directory, and all that it includes:
/// then it does not matter that the role has no right to read it.
fn is_copied(survey: &Survey, data_directory: &Path, path: &str) -> bool {
    let content = inside(survey, data_directory, path).and_then(|path| std::fs::read(path).ok());
    content.is_some_and(|content| survey.server_version < 160_000 || !settings::names_others(&content))
}

/// Files of the configuration that are not in the data directory (trap 25): a restore leaves them
/// out unless it is asked for them.
pub(super) fn outside(
    writer: &BackupWriter<'_>,
    survey: &Survey,
    connection: &mut Connection,
    data_directory: &Path,
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
    for path in files.iter().filter(|path| inside(survey, data_directory, path).is_none()) {
        match std::fs::read(path) {
            Ok(content) => {
                let note = Note::File { owned: Owned::default(), modified: String::new() };
                write_whole(writer, paths::outside(path), Class::Data, &content, &note)?;
            }
            Err(error) => report.warn(&format!("{path} is not in the backup: {error}")),
        }
    }
    Ok(())
}
