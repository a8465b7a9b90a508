//! One database on its way from the backup into its target.

use std::collections::HashSet;
use std::sync::atomic::AtomicBool;

use pgark_bytes::archive::filter::load_parents_first;
use pgark_bytes::archive::statements::Options;
use pgark_pg::ConnInfo;
use pgark_repo::{Backup, DataReader};

use super::report::ObjectError;
use super::request::{Databases, Request, Target};
use super::trail::Trail;
use crate::facts::{About, MissingKind};
use crate::logical::choose;
use crate::logical::contents::Contents;
use crate::{Job, OpsError};

/// What an earlier run left in a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// It made the database, and did not finish it.
    Begun {
        /// The backup's id.
        backup: String,
    },
    /// It restored all of it.
    Whole {
        /// The backup's id.
        backup: String,
    },
}

/// One database on its way: what it takes, and where it goes.
pub(super) struct DatabaseRestore<'a> {
    pub contents: Contents,
    pub picked: choose::Picked,
    pub options: Options,
    /// The target database.
    pub conninfo: ConnInfo,
    pub target: Target,
    pub request: &'a Request,
    /// Several databases are restored.
    pub several: bool,
    /// The backup does not have the contents of all of its large objects.
    pub lacks_large_objects: bool,
    /// SCHEMA entries whose schema the target has already.
    pub standing: HashSet<i32>,
    /// The backup's id.
    pub backup: String,
    /// What an earlier run of the same restore left: it is skipped, or made again.
    pub earlier: Option<Mark>,
    /// This run created the database.
    pub created: AtomicBool,
    /// How far it is.
    pub trail: Trail,
}

impl DatabaseRestore<'_> {
    /// Whether a mark says how far the database is: one that is created with all that the backup
    /// holds of it.
    pub(super) fn is_marked(&self) -> bool {
        self.target == Target::Create && self.request.choice.is_all() && !self.picked.is_some_of_it()
    }

    /// An earlier run of the same restore did all of it.
    pub(super) fn is_there_already(&self) -> bool {
        matches!(self.earlier, Some(Mark::Whole { .. }))
    }
}

impl DatabaseRestore<'_> {
    /// Says how many tables come, or are left out, that no pattern names.
    pub(super) fn tell_children(&self, job: &Job) {
        let of_it =
            if self.several { format!("database {}: ", self.contents.database) } else { String::new() };
        for text in self.picked.children().told() {
            job.progress.info(&format!("{of_it}{text}"));
        }
    }
}

impl DatabaseRestore<'_> {
    /// Chosen tables whose rows the backup does not have, for the report.
    pub(super) fn rows_missing(&self) -> Vec<ObjectError> {
        if !self.request.choice.loads_data() {
            return Vec::new();
        }
        let missing = self.contents.missing().into_iter();
        let chosen = missing.filter(|(dump_id, _)| self.picked.selection.contains(*dump_id));
        let message = "its rows are not in this backup, which is incomplete";
        chosen.map(|(_, name)| ObjectError::new(format!("TABLE DATA {name}"), message)).collect()
    }
}

impl<'a> DatabaseRestore<'a> {
    /// Every database that is asked for, with what is chosen of it.
    pub(super) fn all_of(
        request: &'a Request,
        backup: &Backup<'_>,
        reader: &DataReader<'_>,
        about: &About,
    ) -> Result<Vec<DatabaseRestore<'a>>, OpsError> {
        let wanted: Vec<(Option<String>, Option<String>)> = match &request.databases {
            Databases::One { from, to } => vec![(from.clone(), to.clone())],
            Databases::Named(names) => names.iter().map(|name| (Some(name.clone()), None)).collect(),
            Databases::All => about.databases.iter().map(|name| (Some(name.clone()), None)).collect(),
            Databases::None => Vec::new(),
        };
        let several = !matches!(request.databases, Databases::One { .. });
        let mut places = Vec::new();
        for (from, to) in wanted {
            let mut contents = Contents::of(backup, reader, from.as_deref())?;
            contents.write_objects_behind_all();
            if !request.choice.makes_definitions() {
                load_parents_first(&mut contents.archive);
            }
            let target =
                if several && request.target == Target::Existing { Target::Create } else { request.target };
            let options = Options {
                create_database: target == Target::Create,
                no_owner: request.no_owner,
                no_privileges: request.no_privileges,
                no_tablespaces: request.choice.no_tablespaces,
                ..Options::default()
            };
            let picked = choose::select(&contents, &request.choice, &options)?;
            let conninfo = request.session().with_dbname(to.as_deref().unwrap_or(&contents.database));
            let is_object =
                |kind: &MissingKind| matches!(kind, MissingKind::LargeObject | MissingKind::LargeObjects);
            let lacks_large_objects =
                about.missing_of(&contents.database).any(|missing| is_object(&missing.kind));
            places.push(DatabaseRestore {
                contents,
                picked,
                options,
                conninfo,
                target,
                request,
                several,
                lacks_large_objects,
                standing: HashSet::new(),
                backup: backup.head.id.to_string(),
                earlier: None,
                created: AtomicBool::new(false),
                trail: Trail::default(),
            });
        }
        Ok(places)
    }
}
