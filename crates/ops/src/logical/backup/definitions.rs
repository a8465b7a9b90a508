//! Definitions that nobody has changed since this host's last backup of a database: pg_dump's table
//! of contents of then is that of now.
//!
//! Of a small database pg_dump's start and its forty queries are most of the work. What they read
//! is the system catalog, so the catalog says whether they would read the same again: each version
//! of a row has a place (`ctid`) and the transaction that wrote it (`xmin`), and an UPDATE, by
//! whatever DDL, makes another version. [`Definitions`] is the sum of both over every catalog of
//! the database, in the backup's snapshot, with the little that pg_dump reads elsewhere:
//!
//! * of the catalogs that all databases share, what is about this database or is a name;
//! * values of sequences, which are outside of transactions: the sum is taken before and behind
//!   pg_dump, and what moved meanwhile is not kept;
//! * settings, which shape the text of definitions, and what pg_dump is told;
//! * the start of the server: numbers of transactions come again only behind a recovery, which
//!   starts one.
//!
//! What VACUUM and ANALYZE write in place (page counts, frozen transactions) is not in pg_dump's
//! output. Statistics, rows of large objects and the other databases are not in the sum.
//!
//! The table of contents is kept in this host's cache, sealed. With definitions that hold passwords
//! (of user mappings, subscriptions, servers) it is not kept. The facts that masking needs are of
//! the same catalogs, and have no passwords: they are kept next to it. A backup that stores
//! everything again asks for both again.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::sync::OnceLock;
use std::time::UNIX_EPOCH;

use pgark_bytes::archive::{self, Archive, CreatedAt};
use pgark_bytes::sql::quote_ident;
use pgark_repo::{CacheFile, Repository};

use super::cluster::Survey;
use super::lead::Lead;
use crate::OpsError;
use crate::error::Doing;
use crate::tools::Tool;

/// The cache's files of this purpose.
pub(super) const PURPOSE: &str = "definitions";
/// Those with the facts that masking needs, of the same definitions.
pub(super) const FACTS_PURPOSE: &str = "catalogs";
/// How long the definitions of a database that is not backed up any more are kept.
pub(super) const UNUSED_FOR: std::time::Duration = std::time::Duration::from_secs(60 * 86_400);

/// Longer tables of contents are read by pg_dump each time: what it takes is little compared with
/// the rows.
const LONGEST: usize = 64 << 20;
/// Sequences that one query reads.
const SEQUENCES_AT_ONCE: usize = 200;

/// Catalogs without definitions, or without those that pg_dump writes. Of the shared ones `SHARED`
/// reads what counts.
const NOT_DEFINITIONS: &[&str] = &[
    "pg_auth_members",
    "pg_authid",
    "pg_database",
    "pg_db_role_setting",
    "pg_largeobject",
    "pg_parameter_acl",
    "pg_replication_origin",
    "pg_shdepend",
    "pg_shdescription",
    "pg_shseclabel",
    "pg_statistic",
    "pg_statistic_ext_data",
    "pg_subscription",
    "pg_tablespace",
];

/// Catalogs that a role without rights reads through a view, or that pg_dump leaves out for it.
const HIDDEN: &[&str] = &["pg_user_mapping"];

/// What is read elsewhere. To a role that has no right to read `pg_user_mapping` the view shows
/// what it shows to pg_dump.
const SHARED: &str = "SELECT pg_catalog.array_to_string(ARRAY[pg_catalog.version(), \
        pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time())::pg_catalog.text, \
        (pg_catalog.to_jsonb(d) - 'datfrozenxid' - 'datminmxid')::pg_catalog.text, \
        (SELECT pg_catalog.md5(pg_catalog.string_agg(r.oid::pg_catalog.text || ' ' || r.rolname, ',' ORDER BY r.oid)) \
         FROM pg_catalog.pg_roles r), \
        (SELECT pg_catalog.md5(pg_catalog.string_agg(t.oid::pg_catalog.text || ' ' || t.spcname, ',' ORDER BY t.oid)) \
         FROM pg_catalog.pg_tablespace t), \
        (SELECT pg_catalog.md5(pg_catalog.string_agg(s.setrole::pg_catalog.text || ' ' || s.setconfig::pg_catalog.text, ',' \
                ORDER BY s.setrole)) FROM pg_catalog.pg_db_role_setting s WHERE s.setdatabase = d.oid), \
        (SELECT pg_catalog.md5(c.description) FROM pg_catalog.pg_shdescription c \
         WHERE c.classoid = 'pg_catalog.pg_database'::pg_catalog.regclass AND c.objoid = d.oid), \
        (SELECT pg_catalog.md5(pg_catalog.string_agg(l.provider || ' ' || l.label, ',' ORDER BY l.provider)) \
         FROM pg_catalog.pg_shseclabel l \
         WHERE l.classoid = 'pg_catalog.pg_database'::pg_catalog.regclass AND l.objoid = d.oid), \
        (SELECT pg_catalog.md5(pg_catalog.string_agg(m.*::pg_catalog.text, ',' ORDER BY m.umid)) \
         FROM pg_catalog.pg_user_mappings m), \
        (SELECT pg_catalog.md5(pg_catalog.string_agg(g.name || '=' || coalesce(g.setting, ''), ',' ORDER BY g.name)) \
         FROM pg_catalog.pg_settings g WHERE g.name NOT IN ('lock_timeout', 'application_name')), \
        (SELECT pg_catalog.count(*) FROM pg_catalog.pg_subscription u WHERE u.subdbid = d.oid)::pg_catalog.text], ' ', 'none') \
     FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()";

/// What one backup knows for all of its databases.
pub(super) struct Recall<'a> {
    /// Whose cache; none: every database is read by pg_dump.
    repository: Option<&'a Repository>,
    survey: &'a Survey,
    /// Which pg_dump this is.
    tool: String,
    /// The catalogs with definitions, which are those of the server's version.
    catalogs: OnceLock<Vec<String>>,
}

/// The sum over everything that pg_dump reads, and where the definitions of that sum are kept.
pub(super) struct Definitions {
    sum: String,
    /// Of all sequences.
    values: String,
    file: CacheFile,
    facts: CacheFile,
}

/// Facts that are being read, to be kept with the sum.
pub(super) struct FactsToKeep<'a> {
    definitions: &'a Definitions,
    /// None: they are too long.
    lines: Option<String>,
}

impl<'a> Recall<'a> {
    pub(super) fn new(repository: Option<&'a Repository>, survey: &'a Survey) -> Recall<'a> {
        Recall { repository, survey, tool: described(&survey.tool), catalogs: OnceLock::new() }
    }

    /// Takes the sum, in the lead's snapshot and behind its locks. None: nothing is kept here, or
    /// not everything can be read.
    pub(super) fn of(
        &self,
        lead: &mut Lead,
        arguments: &[OsString],
    ) -> Result<Option<Definitions>, OpsError> {
        let Some(repository) = self.repository else { return Ok(None) };
        let name = format!("{}\0{}", self.survey.system_identifier, lead.database);
        let Some(file) = repository.cache_file(PURPOSE, name.as_bytes())? else { return Ok(None) };
        let Some(facts) = repository.cache_file(FACTS_PURPOSE, name.as_bytes())? else { return Ok(None) };
        let Some(sum) = self.sum(lead, arguments)? else { return Ok(None) };
        Ok(sequences(lead)?.map(|values| Definitions { sum, values, file, facts }))
    }

    /// The sum over everything but values of sequences.
    fn sum(&self, lead: &mut Lead, arguments: &[OsString]) -> Result<Option<String>, OpsError> {
        let mut sum = format!("{}\n{}", self.tool, told(self.survey, lead, arguments));
        let catalogs = match self.catalogs.get() {
            Some(catalogs) => catalogs,
            None => {
                let Some(found) = catalogs(lead)? else { return Ok(None) };
                self.catalogs.get_or_init(|| found)
            }
        };
        // From 14 on the place has a hash of its own, which takes the transaction as its seed.
        let each = match lead.server_version >= 140_000 {
            true => {
                "pg_catalog.sum(pg_catalog.hashtidextended(ctid, xmin::pg_catalog.text::pg_catalog.int8))"
            }
            false => {
                "pg_catalog.md5(pg_catalog.string_agg(ctid::pg_catalog.text || xmin::pg_catalog.text, ','))"
            }
        };
        let sums: Vec<String> = catalogs
            .iter()
            .map(|name| {
                format!(
                    "SELECT pg_catalog.count(*) || ' ' || coalesce({each}::pg_catalog.text, '') \
                     FROM pg_catalog.{}",
                    quote_ident(name)
                )
            })
            .collect();
        let doing = "read whether definitions have changed";
        for sql in [SHARED, &sums.join(" UNION ALL ")] {
            for row in lead.connection.query(sql, &[]).doing(doing)? {
                // The text of settings need not be UTF-8 in a SQL_ASCII database.
                sum.push_str(&String::from_utf8_lossy(row.get(0).unwrap_or_default()));
                sum.push('\n');
            }
        }
        Ok(Some(sum))
    }
}

impl Definitions {
    /// The table of contents as pg_dump wrote it when the sum was the same.
    pub(super) fn recall(&self) -> Option<Archive> {
        let kept = self.file.read()?;
        let mut archive = archive::read_toc(&mut kept.strip_prefix(self.head().as_slice())?).ok()?;
        archive.header.created = now();
        Some(archive)
    }

    /// Keeps what pg_dump wrote (`toc` as it wrote it), if no sequence moved meanwhile.
    pub(super) fn keep(&self, lead: &mut Lead, archive: &Archive, toc: &[u8]) -> Result<(), OpsError> {
        let holds_passwords = |kind: &str| ["USER MAPPING", "SUBSCRIPTION", "SERVER"].contains(&kind);
        let is_secret = archive.entries.iter().any(|entry| holds_passwords(entry.kind()));
        if !is_secret && sequences(lead)?.as_ref() == Some(&self.values) {
            self.file.write([&self.head(), toc].concat());
        }
        Ok(())
    }

    /// The lines of the facts that masking needs, as they were when the sum was the same. No
    /// sequence has a value in them.
    pub(super) fn recall_facts(&self) -> Option<String> {
        let mut kept = self.facts.read()?;
        let head = [self.sum.as_bytes(), b"\0"].concat();
        kept.strip_prefix(head.as_slice())?;
        String::from_utf8(kept.split_off(head.len())).ok()
    }

    /// What takes them up while they are read.
    pub(super) fn facts_to_keep(&self) -> FactsToKeep<'_> {
        FactsToKeep { definitions: self, lines: Some(String::new()) }
    }

    fn head(&self) -> Vec<u8> {
        [self.sum.as_bytes(), b"\0", self.values.as_bytes(), b"\0"].concat()
    }
}

impl FactsToKeep<'_> {
    pub(super) fn add(&mut self, line: &str) {
        self.lines = self.lines.take().filter(|lines| lines.len() + line.len() <= LONGEST);
        if let Some(lines) = &mut self.lines {
            lines.push_str(line);
        }
    }

    /// They are whole.
    pub(super) fn keep(self) {
        if let Some(lines) = self.lines {
            self.definitions.facts.write([self.definitions.sum.as_bytes(), b"\0", lines.as_bytes()].concat());
        }
    }
}

/// Local time, as pg_dump writes it.
fn now() -> CreatedAt {
    let now = jiff::Zoned::now();
    let is_dst = now.time_zone().to_offset_info(now.timestamp()).dst().is_dst();
    CreatedAt {
        second: now.second().into(),
        minute: now.minute().into(),
        hour: now.hour().into(),
        day: now.day().into(),
        month: i32::from(now.month()) - 1,
        year: i32::from(now.year()) - 1900,
        is_dst: is_dst.into(),
    }
}

/// What pg_dump is, and who runs it.
fn described(tool: &Tool) -> String {
    let about = std::fs::metadata(&tool.path).ok();
    let changed = about.as_ref().and_then(|about| about.modified().ok()?.duration_since(UNIX_EPOCH).ok());
    format!(
        "pgark {} {} {} {:?} {:?}",
        env!("CARGO_PKG_VERSION"),
        tool.version,
        tool.path.display(),
        changed.map(|changed| changed.as_nanos()),
        about.map(|about| about.len())
    )
}

/// What pg_dump is told, but for the snapshot.
fn told(survey: &Survey, lead: &Lead, arguments: &[OsString]) -> String {
    let mut told = format!(
        "{} {} {:?} {:?} {:?}\n",
        lead.encoding,
        lead.has_labels,
        lead.role,
        survey.pinned.role(),
        lead.login.for_child()
    );
    for argument in arguments {
        told.push_str(&crate::hex::encode(argument.as_bytes()));
        told.push('\n');
    }
    told
}

/// The catalogs that hold definitions. None: the role has no right to read one of them.
fn catalogs(lead: &mut Lead) -> Result<Option<Vec<String>>, OpsError> {
    let doing = "list the system catalogs";
    let sql = "SELECT c.relname, pg_catalog.has_table_privilege(c.oid, 'SELECT') FROM pg_catalog.pg_class c \
               WHERE c.relnamespace = 'pg_catalog'::pg_catalog.regnamespace AND c.relkind = 'r' ORDER BY c.relname";
    let mut found = Vec::new();
    for row in lead.connection.query(sql, &[]).doing(doing)? {
        let (name, is_readable) = (row.str(0).doing(doing)?, row.str(1).doing(doing)? == "t");
        match name {
            _ if NOT_DEFINITIONS.contains(&name) => {}
            _ if is_readable => found.push(name.to_string()),
            _ if HIDDEN.contains(&name) => {}
            _ => return Ok(None),
        }
    }
    Ok(Some(found))
}

/// The values of all sequences. None: one of them cannot be read.
fn sequences(lead: &mut Lead) -> Result<Option<String>, OpsError> {
    let doing = "list the sequences";
    let sql = "SELECT s.seqrelid, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), \
                      pg_catalog.has_sequence_privilege(s.seqrelid, 'SELECT') \
                      AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') \
               FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid \
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE c.relpersistence <> 't' ORDER BY s.seqrelid";
    let mut each = Vec::new();
    for row in lead.connection.query(sql, &[]).doing(doing)? {
        if row.get(2) != Some(b"t") {
            return Ok(None);
        }
        let select = format!("SELECT {} AS id, last_value, is_called FROM ", row.str(0).doing(doing)?);
        each.push([select.as_bytes(), row.get(1).unwrap_or_default()].concat());
    }
    let mut values = String::new();
    for batch in each.chunks(SEQUENCES_AT_ONCE) {
        let all = batch.join(b" UNION ALL ".as_slice());
        let sql = [
            b"SELECT pg_catalog.string_agg(id || ' ' || last_value || ' ' || is_called, ',' ORDER BY id) FROM (".as_slice(),
            &all,
            b") s",
        ]
        .concat();
        // One that was dropped just now must not end the transaction that holds the snapshot.
        let read = lead.under_savepoint(|lead| {
            let results = lead.connection.simple_bytes(&sql).doing("read the values of sequences")?;
            let row = results.first().and_then(|result| result.rows.first());
            Ok(row.and_then(|row| Some(String::from_utf8_lossy(row.get(0)?).into_owned())))
        })?;
        match read.flatten() {
            Some(read) => values.push_str(&read),
            None => return Ok(None),
        }
    }
    Ok(Some(values))
}

/// Keeps the bytes that pass, up to [`LONGEST`].
pub(super) struct Recorder<R> {
    input: R,
    passed: Vec<u8>,
    is_too_long: bool,
}

impl<R: Read> Recorder<R> {
    pub(super) fn new(input: R) -> Recorder<R> {
        Recorder { input, passed: Vec::new(), is_too_long: false }
    }

    pub(super) fn passed(self) -> Option<Vec<u8>> {
        Some(self.passed).filter(|_| !self.is_too_long)
    }
}

impl<R: Read> Read for Recorder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let got = self.input.read(buffer)?;
        if self.passed.len() + got > LONGEST {
            self.is_too_long = true;
            self.passed = Vec::new();
        }
        if !self.is_too_long {
            self.passed.extend_from_slice(buffer.get(..got).unwrap_or_default());
        }
        Ok(got)
    }
}
