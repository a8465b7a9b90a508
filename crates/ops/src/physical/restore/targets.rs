//! Where a restore writes to, and whether it may: nothing is touched before that is known.

use std::path::{Path, PathBuf};

use super::ground::{Ground, is_barely_begun};
use super::look::{is_filled, refuse_no_directory, resolved};
use super::report::RestoredTablespace;
use super::request::Request;
use crate::OpsError;
use crate::advice::{Advice, Setting, advice};
use crate::facts::Physical;
use crate::physical::places::{Places, is_held_back};

/// Where each tablespace goes.
pub(super) fn tablespaces(
    physical: &Physical,
    request: &Request,
) -> Result<Vec<RestoredTablespace>, OpsError> {
    let mut known = Vec::new();
    for tablespace in &physical.tablespaces {
        let is_it =
            |(key, _): &&(String, PathBuf)| *key == tablespace.oid.to_string() || *key == tablespace.name;
        let given = request.tablespaces.iter().find(is_it).map(|(_, path)| path.clone());
        let Some(original) = &tablespace.location else {
            if given.is_some() {
                return Err(OpsError::refused(
                    format!(
                        "tablespace {} is inside of the data directory, and stays there",
                        tablespace.name
                    ),
                    "",
                ));
            }
            continue;
        };
        let below = request.all_tablespaces.as_ref().map(|folder| folder.join(&tablespace.name));
        let location = given.or(below).unwrap_or_else(|| PathBuf::from(original));
        if !location.is_absolute() {
            return Err(OpsError::refused(
                format!(
                    "the directory of tablespace {}, {}, is not absolute",
                    tablespace.name,
                    location.display()
                ),
                "PostgreSQL has absolute paths of tablespaces only",
            ));
        }
        let oid = tablespace.oid;
        known.push(RestoredTablespace { oid, name: tablespace.name.clone(), location });
    }
    for (key, _) in &request.tablespaces {
        let is_known =
            |one: &&crate::facts::BackedUpTablespace| one.oid.to_string() == *key || one.name == *key;
        if !physical.tablespaces.iter().any(|one| is_known(&one)) {
            let names: Vec<&str> = physical.tablespaces.iter().map(|one| one.name.as_str()).collect();
            return Err(OpsError::refused(
                format!("the backup has no tablespace {key:?}"),
                match names.is_empty() {
                    true => "it has none".to_string(),
                    false => format!("it has {}", names.join(", ")),
                },
            ));
        }
    }
    Ok(known)
}

/// Every target is absent or empty, or is what a delta restore writes over; none is inside of
/// another one, or of the repository, or around that.
pub(super) fn refuse(
    places: &Places,
    tablespaces: &[RestoredTablespace],
    ground: Option<&Ground>,
    repository: Option<&Path>,
) -> Result<(), OpsError> {
    for (link, target) in places.all() {
        match ground {
            Some(_) if link.is_empty() => continue,
            Some(ground) if ground.leads_to(link, target) => refuse_no_directory(target)?,
            _ => refuse_target(target, || instead(link, target, tablespaces))?,
        }
    }
    let plain: Vec<PathBuf> = places.targets().map(resolved).collect();
    for (at, one) in plain.iter().enumerate() {
        for (other_at, other) in plain.iter().enumerate() {
            if at != other_at && one.starts_with(other) {
                return Err(OpsError::refused(
                    format!("{} is inside of {}", one.display(), other.display()),
                    advice![
                        "give each tablespace and the data directory a directory of its own (",
                        Setting::Tablespace.to("OID=PATH"),
                        ")",
                    ],
                ));
            }
        }
    }
    let Some(repository) = repository.map(resolved) else { return Ok(()) };
    for target in plain {
        let what = match (target.starts_with(&repository), repository.starts_with(&target)) {
            (true, _) => format!("{} is inside of the repository {}", target.display(), repository.display()),
            (_, true) => format!("the repository {} is inside of {}", repository.display(), target.display()),
            _ => continue,
        };
        return Err(OpsError::refused(what, "restore to a directory elsewhere"));
    }
    Ok(())
}

/// What to do where a target is not empty.
fn instead(link: &[u8], target: &Path, tablespaces: &[RestoredTablespace]) -> Advice {
    if let Some(RestoredTablespace { name, .. }) = tablespaces.iter().find(|one| one.location == *target) {
        return advice![
            format!("tablespace {name} would be put there; give it another directory with "),
            Setting::Tablespace.to(format!("{name}=PATH")),
        ];
    }
    if !link.is_empty() {
        return "name another directory, or remove what is in it".into();
    }
    if is_held_back(target) || is_barely_begun(target) {
        return advice!["a restore into it was broken off; ", Setting::Delta, " continues it"];
    }
    match target.join("PG_VERSION").exists() {
        true => advice![
            "name another directory, or give ",
            Setting::Delta,
            " to restore over this one: what differs is written, and what is not in the backup is deleted",
        ],
        false => "name another directory, or remove what is in it".into(),
    }
}

/// `instead`: what to do where it is not empty.
fn refuse_target(path: &Path, instead: impl FnOnce() -> Advice) -> Result<(), OpsError> {
    match is_filled(path)? {
        true => Err(OpsError::refused(format!("{} is not empty", path.display()), instead())),
        false => Ok(()),
    }
}
