//! Before the first object: looks at everything that can be known, for all databases, and makes the
//! plan. What is not possible is refused here; nothing is touched.

use std::collections::HashSet;

use pgark_bytes::archive::TocEntry;
use pgark_bytes::names::shown;
use pgark_pg::Connection;
use pgark_repo::{Backup, DataReader, Repository};

use super::place::{DatabaseRestore, Mark};
use super::plan::Plan;
use super::report::{ObjectError, Refusal};
use super::request::{Databases, Request, Target};
use super::{clean, globals, links, marks, target};
use crate::advice::{Advice, Operation, Setting, advice};
use crate::facts::{About, Missing, MissingKind};
use crate::watch::Watch;
use crate::{Job, OpsError, holders};

/// Plans a restore of this backup.
///
/// # Errors
/// Why it is not possible; of a dry run only what keeps the plan from being made.
pub(super) fn plan<'a>(
    repository: &Repository,
    backup: &'a Backup<'a>,
    reader: &'a DataReader<'a>,
    request: &'a Request,
    job: &Job,
    watch: &Watch,
) -> Result<Plan<'a>, OpsError> {
    let about = About::of(&backup.head)?;
    tell_filters(&about, job);
    let mut places = DatabaseRestore::all_of(request, backup, reader, &about)?;
    places.iter().for_each(|place| place.tell_children(job));
    job.progress.phase("checking the target");
    let globals = globals::Plan::make(backup, reader, request, watch)?;
    let mut notes = Vec::new();
    for place in &mut places {
        refuse_impossible(place, &about, &globals, watch, &mut notes)?;
    }
    notes.extend_from_slice(globals.differences());
    if request.target == Target::Clean && !request.accept_loss {
        refuse_damaged(repository, backup)?;
    }
    let lacking = lacking(&about, request, &places);
    let (drops, refusal) = (None, None);
    let mut plan = Plan { request, backup, reader, globals, places, notes, drops, refusal, lacking };
    plan_drops(&mut plan, watch)?;
    Ok(plan)
}

fn tell_filters(about: &About, job: &Job) {
    for (database, read) in about.reads.iter().filter(|(_, read)| !read.filters.is_default()) {
        job.progress.info(&format!(
            "the backup does not contain all of database {database}: {}",
            read.filters.describe()
        ));
    }
}

/// What `--clean` drops, and what of it does not come back.
fn plan_drops(plan: &mut Plan<'_>, watch: &Watch) -> Result<(), OpsError> {
    for place in plan.places.iter().filter(|place| place.target == Target::Clean) {
        let drops = clean::plan(place, watch)?;
        match drops.refusal(place) {
            Some(refusal) if !plan.request.dry_run => return Err(refusal),
            Some(refusal) => plan.refusal = plan.refusal.take().or(Some(Refusal::of(&refusal))),
            None => {
                let losses = drops.losses.iter();
                plan.notes.extend(losses.map(|loss| format!("dropped permanently: {loss}")));
            }
        }
        plan.drops.get_or_insert_default().extend(drops.list);
    }
    Ok(())
}

/// What is known to be damaged may not come back: nothing is dropped for it.
fn refuse_damaged(repository: &Repository, backup: &Backup<'_>) -> Result<(), OpsError> {
    let id = backup.head.id;
    if !repository.quarantined_backups()?.contains(&id) {
        return Ok(());
    }
    Err(OpsError::refused(
        format!("backup {id} is damaged: dropped objects might not be restored"),
        clean::into_another_database().and("; ").and(advice![
            Operation::Check,
            " lists the damage, and ",
            Operation::RepairBackups,
            " replaces the backup with one without it; nothing was changed",
        ]),
    ))
}

/// What is asked for as part of a whole, and the backup itself does not have. Rows of tables that
/// it defines are reported with the tables.
fn lacking(about: &About, request: &Request, places: &[DatabaseRestore<'_>]) -> Vec<ObjectError> {
    let is_whole = |place: &&DatabaseRestore<'_>| !place.picked.is_some_of_it();
    let of_databases = places.iter().filter(is_whole).flat_map(|place| place.contents.undefined(about));
    let is_database =
        |missing: &&Missing| missing.kind == MissingKind::Database && request.databases == Databases::All;
    let databases = about.missing.iter().filter(is_database);
    databases
        .chain(of_databases)
        .map(|missing| ObjectError::new(missing.to_string(), "it is not in this backup, which is incomplete"))
        .collect()
}

/// Every reason that is known beforehand why this restore cannot work; nothing is touched. What
/// ties the chosen objects to others is settled, too (`links`).
fn refuse_impossible(
    place: &mut DatabaseRestore<'_>,
    about: &About,
    globals: &globals::Plan,
    watch: &Watch,
    notes: &mut Vec<String>,
) -> Result<(), OpsError> {
    let request = place.request;
    let mut connection = match place.target {
        Target::Create => target::connect_to_maintenance(request, watch)?,
        Target::Existing | Target::Clean => target::connect_to_look(&place.conninfo, watch)?,
    };
    target::refuse_unfit_server(&mut connection, about.server_version)?;
    target::refuse_missing(&mut connection, place, &globals.roles, &globals.tablespaces)?;
    if place.is_marked() {
        look_for_earlier_run(place, &mut connection, watch, notes)?;
    }
    // Inside of the target, if there is one, and it stays.
    let mut inside = match place.target {
        Target::Create if place.earlier.is_some() => None,
        Target::Create if target::exists(&mut connection, place.conninfo.dbname())? => {
            // A role may have few connections.
            drop(connection);
            Some(target::connect_to_look(&place.conninfo, watch)?)
        }
        Target::Create => None,
        Target::Existing | Target::Clean => Some(connection),
    };
    if place.target != Target::Clean
        && request.choice.makes_definitions()
        && let Some(inside) = inside.as_mut()
    {
        refuse_what_is_there(place, about, inside)?;
        note_what_came_with_the_database(place, inside, notes)?;
    }
    if let Some(inside) = inside.as_mut() {
        refuse_what_never_ends(place, inside)?;
    }
    links::settle(place, inside.as_mut(), notes)
}

/// What a run that was broken off left is skipped where it is whole, and else made again, if all of
/// it is that run's.
fn look_for_earlier_run(
    place: &mut DatabaseRestore<'_>,
    connection: &mut Connection,
    watch: &Watch,
    notes: &mut Vec<String>,
) -> Result<(), OpsError> {
    let name = place.conninfo.dbname().to_string();
    let Some(mark) = marks::read(connection, &name)? else { return Ok(()) };
    match &mark {
        Mark::Whole { backup } if *backup == place.backup => {
            notes.push(format!(
                "database {name} is skipped: an earlier unfinished run restored it completely from this backup"
            ));
        }
        Mark::Begun { backup } if *backup == place.backup => {
            let strangers = clean::strangers(place, watch)?;
            if !strangers.is_empty() {
                return Err(OpsError::refused(
                    format!(
                        "database {name:?} is an unfinished restore of this backup, and contains other objects: {}",
                        some(&strangers)
                    ),
                    "move them elsewhere or drop the database, and restore again; nothing was changed",
                ));
            }
            notes.push(format!(
                "database {name} is created again: an earlier run created it from this backup and did not finish"
            ));
        }
        Mark::Begun { backup } | Mark::Whole { backup } => {
            return Err(OpsError::refused(
                format!("database {name:?} was left by an unfinished restore of backup {backup}"),
                "run that restore again to finish it, or drop the database; nothing was changed",
            ));
        }
    }
    place.earlier = Some(mark);
    Ok(())
}

/// A prepared transaction keeps its locks until someone ends it: a restore that needs one of those
/// tables would wait forever.
fn refuse_what_never_ends(place: &DatabaseRestore<'_>, inside: &mut Connection) -> Result<(), OpsError> {
    let tables: HashSet<String> = place
        .contents
        .archive
        .entries
        .iter()
        .filter(|entry| matches!(entry.kind(), "TABLE" | "TABLE DATA" | "MATERIALIZED VIEW"))
        .filter(|entry| place.picked.selection.contains(entry.dump_id))
        .map(|entry| format!("{}.{}", entry.namespace_str(), entry.tag_str()))
        .collect();
    let mut found = holders::prepared(inside, place.target == Target::Clean)?;
    found.retain(|holder| tables.contains(&holder.table));
    if found.is_empty() {
        return Ok(());
    }
    let hint = holders::hint(&found, place.conninfo.dbname(), Advice::default());
    Err(OpsError::refused(
        format!("the restore would wait forever: {}", holders::told(&found)),
        hint.and("; nothing was changed"),
    ))
}

/// Definitions go into an empty database; of some tables, into one that does not have these.
fn refuse_what_is_there(
    place: &DatabaseRestore<'_>,
    about: &About,
    inside: &mut Connection,
) -> Result<(), OpsError> {
    let database = place.conninfo.dbname();
    if place.picked.is_some_of_it() && place.target == Target::Existing {
        let relations: Vec<(Vec<u8>, Vec<u8>)> = place
            .contents
            .archive
            .entries
            .iter()
            .filter(|entry| matches!(entry.kind(), "TABLE" | "VIEW" | "MATERIALIZED VIEW" | "FOREIGN TABLE"))
            .filter(|entry| {
                place.picked.selection.contains(entry.dump_id) && !place.picked.is_helper(entry.dump_id)
            })
            .map(|entry| {
                let (schema, name) = entry.matched_name();
                (schema.to_vec(), name.to_vec())
            })
            .collect();
        let present = target::present(inside, &relations)?;
        let there: Vec<String> = relations
            .iter()
            .zip(present)
            .filter(|(_, is_there)| *is_there)
            .map(|((schema, name), _)| format!("{}.{}", shown(schema), shown(name)))
            .collect();
        if there.is_empty() {
            return Ok(());
        }
        return Err(OpsError::refused(
            format!("the target database {database:?} already has {}", some(&there)),
            clean::into_another_database().and(advice![
                ", or load rows only with ",
                Setting::DataOnly,
                "; `",
                Setting::Clean,
                " ",
                Setting::DryRun,
                "` shows what would be dropped and restored if they were replaced; nothing was changed",
            ]),
        ));
    }
    let objects = target::user_objects(inside)?;
    if objects.is_empty() {
        return Ok(());
    }
    let or = match place.target {
        Target::Create => Advice::from("or restore under another name"),
        _ => advice![
            "or see with `",
            Setting::Clean,
            " ",
            Setting::DryRun,
            "` what would be dropped and restored if it were replaced",
        ],
    };
    let itself =
        database == place.contents.database && target::is_the_source(inside, &about.system_identifier)?;
    let whose = if itself { "the database that this backup was made from, and it " } else { "" };
    Err(OpsError::refused(
        format!(
            "the target database {database:?} is {whose}{}not empty: it contains {}",
            if itself { "is " } else { "" },
            some(&objects)
        ),
        advice!["restore into an empty database, ", or, "; nothing was changed"],
    ))
}

/// Schemas that already exist are kept; extensions too, and then may be where the archive does not
/// look for them.
fn note_what_came_with_the_database(
    place: &mut DatabaseRestore<'_>,
    inside: &mut Connection,
    notes: &mut Vec<String>,
) -> Result<(), OpsError> {
    let (schemas, extensions) = (target::schemas(inside)?, target::extensions(inside)?);
    let (picked, archive) = (&place.picked, &place.contents.archive);
    for entry in archive.entries.iter().filter(|entry| picked.selection.contains(entry.dump_id)) {
        if entry.kind() == "SCHEMA" && schemas.contains(entry.tag_bytes()) {
            place.standing.insert(entry.dump_id);
        }
        let wanted = entry.namespace.as_deref().filter(|schema| !schema.is_empty());
        let wanted = wanted.map(<[u8]>::to_vec).or_else(|| schema_of_extension(entry));
        if entry.kind() == "EXTENSION"
            && let (Some(wanted), Some(is)) = (wanted, extensions.get(entry.tag_bytes()))
            && wanted != *is
        {
            notes.push(format!(
                "extension {} is in schema {} of the target, but in {} of the backup: what uses it there may fail; \
                 run DROP EXTENSION first, and the restore creates it",
                entry.tag_str(),
                String::from_utf8_lossy(is),
                String::from_utf8_lossy(&wanted)
            ));
        }
    }
    Ok(())
}

/// The schema in `CREATE EXTENSION IF NOT EXISTS e WITH SCHEMA s`.
fn schema_of_extension(entry: &TocEntry) -> Option<Vec<u8>> {
    let tokens: Vec<_> =
        pgark_bytes::sql::tokenize(entry.defn_bytes()).filter(|token| !token.is_blank()).collect();
    let at = tokens.iter().position(|token| token.is_word("schema"))?;
    tokens.get(at + 1)?.ident()
}

/// At most five names.
fn some(names: &[String]) -> String {
    let shown = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > 5 { format!("{shown} and more") } else { shown }
}
