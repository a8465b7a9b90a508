//! Names of a database whose encoding is not UTF-8, as UTF-8; and who inherits from whom where the
//! archive does not say it.
//!
//! An archive's names are in the database's encoding. Which text they are was asked of the server
//! when the backup was made, and is in `/manifest.json`; for a dump that came from elsewhere the
//! tables of this program must do. What neither knows is shown byte by byte.

use std::collections::{BTreeMap, HashMap, HashSet};

use pgark_bytes::archive::Archive;
use pgark_bytes::archive::family::Inheritance;
use pgark_bytes::{encoding, names};
use pgark_repo::{Backup, DataReader};
use serde::Deserialize;

use crate::logical::whole::read_whole;
use crate::paths;
use crate::{OpsError, hex};

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    databases: Vec<Database>,
}

#[derive(Deserialize)]
struct Database {
    name: String,
    /// Hex digits of a name in the database's encoding, and its text.
    #[serde(default)]
    names: BTreeMap<String, String>,
    #[serde(default)]
    relations: Vec<Relation>,
}

#[derive(Deserialize)]
struct Relation {
    schema: String,
    name: String,
    /// Schemas and names of what it is a partition of, or inherits from.
    #[serde(default)]
    parents: Vec<(String, String)>,
}

/// Gives the archive's entries their names for people and for patterns. Returns who inherits from
/// whom, if the archive, one of rows only, has no definitions that say it.
pub(crate) fn settle(
    archive: &mut Archive,
    backup: &Backup<'_>,
    reader: &DataReader<'_>,
    database: &str,
) -> Result<Vec<Inheritance>, OpsError> {
    let own_encoding =
        archive.client_encoding().filter(|name| !matches!(name.as_str(), "UTF8" | "SQL_ASCII"));
    let own_encoding = own_encoding.filter(|_| !archive.foreign_names().is_empty());
    let has_definitions = archive.entries.iter().any(|entry| entry.kind() == "TABLE");
    let has_rows = archive.entries.iter().any(|entry| entry.kind() == "TABLE DATA");
    if own_encoding.is_none() && (has_definitions || !has_rows) {
        return Ok(Vec::new());
    }
    let described = read(backup, reader, database)?;
    let mut known: HashMap<Vec<u8>, String> = HashMap::new();
    let mut relations = Vec::new();
    if let Some(described) = described {
        let names = described.names.into_iter();
        known.extend(names.filter_map(|(digits, text)| Some((hex::decode(digits.as_bytes())?, text))));
        relations = described.relations;
    }
    let mut inheritance = Vec::new();
    if !has_definitions {
        // Rows depend on a table that this archive does not have: they stand for it.
        let there: HashSet<i32> = archive.entries.iter().map(|entry| entry.dump_id).collect();
        for entry in archive.entries.iter_mut().filter(|entry| entry.kind() == "TABLE DATA") {
            entry.dependencies.retain(|id| there.contains(id));
        }
        let raw: HashMap<&str, &Vec<u8>> = known.iter().map(|(raw, text)| (text.as_str(), raw)).collect();
        let bytes = |text: &str| raw.get(text).map_or_else(|| text.as_bytes().to_vec(), |raw| raw.to_vec());
        for relation in &relations {
            let child = (bytes(&relation.schema), bytes(&relation.name));
            inheritance.extend(relation.parents.iter().map(|(schema, name)| Inheritance {
                child: child.clone(),
                parent: (bytes(schema), bytes(name)),
            }));
        }
    }
    if let Some(own) = own_encoding {
        archive.show(&|name| {
            let known = known.get(name).cloned();
            known
                .or_else(|| encoding::of_server(&own, name))
                .unwrap_or_else(|| names::shown(name).into_owned())
        });
    }
    Ok(inheritance)
}

fn read(backup: &Backup<'_>, reader: &DataReader<'_>, database: &str) -> Result<Option<Database>, OpsError> {
    let Some(entry) = backup.entry(paths::MANIFEST)? else { return Ok(None) };
    // A manifest of another program, or one that has become unreadable, says nothing.
    let manifest: Option<Manifest> = serde_json::from_slice(&read_whole(reader, &entry)?).ok();
    let databases = manifest.map(|manifest| manifest.databases).unwrap_or_default();
    Ok(databases.into_iter().find(|described| described.name == database))
}
