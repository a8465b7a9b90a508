//! Settings of the server, and the files that say who may connect.

use pgark_pg::Connection;
use serde_json::{Map, Value, json};

use super::Report;
use crate::OpsError;
use crate::error::Doing;

/// A file of the server's configuration, as an entry.
pub(crate) struct ServerFile {
    /// The entry's path.
    pub entry: String,
    /// The file's path on the server.
    pub path: String,
    pub content: Vec<u8>,
}

/// All settings as JSON, those that this session fixed as they were at its login; what the role may
/// not see is not in `pg_settings`, and the report says so.
pub(crate) fn settings(connection: &mut Connection, report: &mut Report) -> Result<Vec<u8>, OpsError> {
    let doing = "read the server's settings";
    let rows = connection
        .query(
            // What this session has changed was something else before; what this role or database
            // sets is not the server's.
            "SELECT name, setting, unit, source, sourcefile, sourceline, boot_val, pending_restart::pg_catalog.text, \
               CASE WHEN source = 'session' AND NOT EXISTS ( \
                 SELECT FROM pg_catalog.pg_db_role_setting r, pg_catalog.unnest(r.setconfig) own \
                 WHERE (r.setrole <> 0 OR r.setdatabase <> 0) AND r.setrole IN (0, (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = session_user)) \
                   AND r.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())) \
                   AND pg_catalog.lower(pg_catalog.split_part(own, '=', 1)) = pg_catalog.lower(name)) THEN reset_val END \
             FROM pg_catalog.pg_settings ORDER BY name",
            &[],
        )
        .doing(doing)?;
    let mut settings = Map::new();
    for row in &rows {
        let text = |at: usize| row.opt_str(at).doing(doing);
        let mut setting = Map::new();
        for (key, at) in
            [("setting", 1), ("unit", 2), ("source", 3), ("sourcefile", 4), ("boot_val", 6), ("reset_val", 8)]
        {
            if let Some(value) = text(at)? {
                setting.insert(key.into(), json!(value));
            }
        }
        if let Some(line) = text(5)?.and_then(|line| line.parse::<u64>().ok()) {
            setting.insert("sourceline".into(), json!(line));
        }
        if text(7)? == Some("true") {
            setting.insert("pending_restart".into(), json!(true));
        }
        settings.insert(text(0)?.unwrap_or_default().to_string(), Value::Object(setting));
    }
    if !may(connection, "pg_catalog.pg_has_role('pg_read_all_settings', 'USAGE')")? {
        report.warn(
            "/settings.json does not contain settings that only pg_read_all_settings can see: GRANT pg_read_all_settings to the role",
        );
    }
    Ok(serde_json::to_vec_pretty(&settings).unwrap_or_default())
}

/// `pg_hba.conf` and `pg_ident.conf`, with the files that they include (16 and newer). What the
/// role is not allowed to read is left out, and the report says so; it need not say it of files
/// that `has_anyway` names by their paths on the server.
pub(crate) fn access_files(
    connection: &mut Connection,
    report: &mut Report,
    has_anyway: &dyn Fn(&str) -> bool,
) -> Result<Vec<ServerFile>, OpsError> {
    if !may(connection, "pg_catalog.pg_has_role('pg_read_all_settings', 'USAGE')")? {
        report.warn("/pg_hba.conf and /pg_ident.conf are left out: GRANT pg_read_all_settings to the role");
        return Ok(Vec::new());
    }
    let readable =
        "pg_catalog.has_function_privilege('pg_catalog.pg_read_binary_file(pg_catalog.text)', 'EXECUTE')";
    let can_read = may(connection, readable)?;
    let (mut files, mut left_out) = (Vec::new(), Vec::new());
    for (setting, entry) in [("hba_file", "/pg_hba.conf"), ("ident_file", "/pg_ident.conf")] {
        let doing = format!("read the path of {setting}");
        let rows = connection
            .query("SELECT pg_catalog.current_setting($1)", &[Some(setting)])
            .doing(doing.as_str())?;
        let path =
            rows.first().map(|row| row.str(0)).transpose().doing(doing)?.unwrap_or_default().to_string();
        if can_read {
            let mut reading = Reading { connection, root: entry, has_anyway, files: &mut files, report };
            reading.with_included(entry, &path, 0)?;
        } else if !has_anyway(&path) {
            left_out.push(entry);
        }
    }
    if !left_out.is_empty() {
        report.warn(&format!(
            "{} {} left out: GRANT EXECUTE ON FUNCTION pg_read_binary_file(text) and pg_read_server_files to the role",
            left_out.join(" and "),
            if left_out.len() == 1 { "is" } else { "are" }
        ));
    }
    Ok(files)
}

/// Whether a file of `pg_hba.conf`'s form names others (16 and newer).
pub(crate) fn names_others(content: &[u8]) -> bool {
    !includes(&String::from_utf8_lossy(content)).is_empty()
}

/// How deep files may include each other (hba.c, `CONF_FILE_MAX_DEPTH`).
const DEEPEST: usize = 10;

/// Reads one of the two files, and what it includes.
struct Reading<'a> {
    connection: &'a mut Connection,
    /// Its entry.
    root: &'a str,
    has_anyway: &'a dyn Fn(&str) -> bool,
    files: &'a mut Vec<ServerFile>,
    report: &'a mut Report,
}

impl Reading<'_> {
    fn with_included(&mut self, entry: &str, path: &str, depth: usize) -> Result<(), OpsError> {
        let doing = format!("read {path} from the server");
        let sql = "SELECT pg_catalog.pg_read_binary_file($1)";
        let content = match self.connection.query(sql, &[Some(path)]).doing(doing.as_str()) {
            Ok(rows) => rows.first().and_then(|row| row.get(0)).and_then(bytea).unwrap_or_default(),
            // A file that the server itself cannot read, outside of its folders, or gone since it
            // was last loaded.
            Err(error) if error.is_refusal() => {
                if !(self.has_anyway)(path) {
                    let why = match error.sqlstate() {
                        Some("42501") => "GRANT pg_read_server_files to the role".to_string(),
                        _ => crate::error::with_causes(&error),
                    };
                    self.report.warn(&format!("{entry} is left out: {why}"));
                }
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let included = if self.connection.server_version() >= 160_000 && depth < DEEPEST {
            includes(&String::from_utf8_lossy(&content))
        } else {
            Vec::new()
        };
        self.files.push(ServerFile { entry: entry.to_string(), path: path.to_string(), content });
        for (directive, name) in included {
            let full = beside(path, &name);
            let names = match directive {
                Include::Folder => self.folder(path, &full)?,
                Include::File | Include::IfThere => vec![full],
            };
            for name in names {
                if self.files.iter().any(|file| file.path == name) {
                    continue;
                }
                let entry = crate::paths::included(self.root, &name);
                if directive == Include::IfThere && !exists(self.connection, &name)? {
                    continue;
                }
                self.with_included(&entry, &name, depth + 1)?;
            }
        }
        Ok(())
    }

    /// The files in a folder that a file includes.
    fn folder(&mut self, by: &str, folder: &str) -> Result<Vec<String>, OpsError> {
        let list = "SELECT name FROM pg_catalog.pg_ls_dir($1) name WHERE name LIKE '%.conf' AND name NOT LIKE '.%' ORDER BY name COLLATE \"C\"";
        match self.connection.query(list, &[Some(folder)]).doing(format!("list {folder} on the server")) {
            Ok(rows) => Ok(rows
                .iter()
                .filter_map(|row| row.str(0).ok())
                .map(|name| format!("{folder}/{name}"))
                .collect()),
            Err(error) if error.is_refusal() => {
                self.report.warn(&format!(
                    "files in {folder}, included by {by}, are left out: {}",
                    crate::error::with_causes(&error)
                ));
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }
}

fn exists(connection: &mut Connection, path: &str) -> Result<bool, OpsError> {
    let sql = "SELECT 1 FROM pg_catalog.pg_stat_file($1, true) f WHERE f.size IS NOT NULL";
    match connection.query(sql, &[Some(path)]).doing(format!("find {path} on the server")) {
        Ok(rows) => Ok(!rows.is_empty()),
        // Whether it is there is then told by reading it.
        Err(error) if error.is_refusal() => Ok(true),
        Err(error) => Err(error),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Include {
    File,
    IfThere,
    Folder,
}

/// The include directives of a file (PostgreSQL 16 documentation, section 21.1): a word and a path,
/// perhaps in quotes.
fn includes(text: &str) -> Vec<(Include, String)> {
    text.lines()
        .filter_map(|line| {
            let (word, rest) = line.trim().split_once(char::is_whitespace)?;
            let directive = match word {
                "include" => Include::File,
                "include_if_exists" => Include::IfThere,
                "include_dir" => Include::Folder,
                _ => return None,
            };
            let rest = rest.trim();
            let name = match rest.strip_prefix('"') {
                Some(quoted) => quoted.split('"').next(),
                None => rest.split(|sign: char| sign.is_whitespace() || sign == '#').next(),
            };
            name.filter(|name| !name.is_empty()).map(|name| (directive, name.to_string()))
        })
        .collect()
}

/// A relative path is meant next to the file that names it.
fn beside(path: &str, name: &str) -> String {
    match path.rsplit_once('/') {
        Some((folder, _)) if !name.starts_with('/') => format!("{folder}/{name}"),
        _ => name.to_string(),
    }
}

/// A bytea, as a query returns it.
fn bytea(text: &[u8]) -> Option<Vec<u8>> {
    crate::hex::decode(text.strip_prefix(b"\\x")?)
}

/// Asks the server about one privilege.
pub(crate) fn may(connection: &mut Connection, condition: &str) -> Result<bool, OpsError> {
    let doing = "read the role's privileges";
    let rows = connection.query(&format!("SELECT {condition}"), &[]).doing(doing)?;
    Ok(rows.first().map(|row| row.str(0)).transpose().doing(doing)? == Some("t"))
}

#[cfg(test)]
mod tests {
    use super::{Include, beside, includes};

    #[test]
    fn include_directives_are_found() {
        let text = "# include no\nlocal all all trust\ninclude \"a b.conf\" # x\n  include_if_exists c.conf#y\ninclude_dir /d/e\ninclude\n";
        assert_eq!(
            includes(text),
            [
                (Include::File, "a b.conf".to_string()),
                (Include::IfThere, "c.conf".to_string()),
                (Include::Folder, "/d/e".to_string())
            ]
        );
        assert_eq!(beside("/etc/pg/hba", "x"), "/etc/pg/x");
        assert_eq!(beside("/etc/pg/hba", "/y"), "/y");
    }
}
