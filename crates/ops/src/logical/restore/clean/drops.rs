//! The drops themselves, in one transaction: all of what the backup holds, or nothing.

use std::collections::HashSet;

use pgark_bytes::archive::statements;
use pgark_pg::Connection;

use super::inventory::{Address, Inventory};
use super::{Coming, Drops, hollow};
use crate::OpsError;
use crate::error::Doing;
use crate::logical::restore::place::DatabaseRestore;

/// Drops what the backup holds, in the connection's transaction: either all of it or, where
/// something else depends on it or something would not come back, nothing. What is not there is
/// recorded, unless that was to be expected.
pub(in crate::logical::restore) fn drop_all(
    place: &DatabaseRestore<'_>,
    connection: &mut Connection,
    notes: &mut Vec<String>,
) -> Result<(), OpsError> {
    let before = Inventory::read(connection)?;
    lock_tables(&Drops::of(place, &before, connection)?, connection)?;
    // From now on nobody adds rows, partitions, indexes or triggers to what is dropped.
    let inventory = Inventory::read(connection)?;
    let plan = Drops::of(place, &inventory, connection)?;
    if let Some(refusal) = plan.refusal(place) {
        return Err(refusal);
    }
    let chosen = |index: usize| {
        place.contents.archive.entries.get(index).is_some_and(|entry| !place.picked.is_helper(entry.dump_id))
    };
    let mut left: Vec<Vec<u8>> =
        statements::drop_statements(&place.contents.archive, &place.picked.selection, &place.options)
            .into_iter()
            .filter(|(index, _)| chosen(*index))
            .map(|(_, drop)| drop.sql)
            // What stands for a view in a circle is made here: see `hollow`.
            .filter(|sql| !sql.starts_with(PLACEHOLDER))
            .collect();
    hollow_out_views(place, connection)?;
    if !place.request.if_exists {
        connection.take_notices();
        connection.execute("SET client_min_messages = notice").doing("start to drop objects")?;
    }
    // What cannot be dropped yet (a partition's share of a constraint, something that a later drop
    // frees) is tried again after the rest, for as long as a round drops anything.
    loop {
        let (failed, first_error) = drop_round(connection, &left)?;
        match first_error {
            None => break,
            Some(error) if failed.len() == left.len() => return Err(error),
            Some(_) => left = failed,
        }
    }
    if !place.request.if_exists {
        let mut notices: Vec<String> =
            connection.take_notices().into_iter().map(|notice| notice.message).collect();
        // A drop that was tried again found what is not there again.
        let mut seen = HashSet::new();
        notices.retain(|notice| seen.insert(notice.clone()));
        notes.extend(notices);
        connection.execute("SET client_min_messages = warning").doing("drop objects")?;
    }
    refuse_more_than_planned(place, &inventory, &plan, connection)
}

const PLACEHOLDER: &[u8] = b"CREATE OR REPLACE VIEW ";

fn lock_tables(plan: &Drops, connection: &mut Connection) -> Result<(), OpsError> {
    if plan.tables.is_empty() {
        return Ok(());
    }
    let sql = [b"LOCK TABLE ".as_slice(), &plan.tables.join(b", ".as_slice()), b" IN ACCESS EXCLUSIVE MODE"];
    connection.simple_bytes(&sql.concat()).map(|_| ()).doing("lock the tables that would be dropped")
}

/// The views that the archive has in two pieces, because they need something that comes after the
/// rows or each other.
fn hollow_out_views(place: &DatabaseRestore<'_>, connection: &mut Connection) -> Result<(), OpsError> {
    for entry in &place.contents.archive.entries {
        let drop = entry.drop_stmt.as_deref().unwrap_or_default();
        let is_chosen =
            place.picked.selection.contains(entry.dump_id) && !place.picked.is_helper(entry.dump_id);
        let view = entry.tag_bytes().strip_suffix(b" _RETURN");
        let (Some(view), true, true) = (view, is_chosen, drop.starts_with(PLACEHOLDER)) else { continue };
        let schema = entry.namespace.as_deref().unwrap_or_default();
        if let Some(sql) = hollow(connection, schema, view)? {
            // Where this is not possible, the drops say what is in the way.
            let _ = drop_round(connection, &[sql])?;
        }
    }
    Ok(())
}

/// The last word is the catalog's: whatever is gone was in the plan, or comes back.
fn refuse_more_than_planned(
    place: &DatabaseRestore<'_>,
    inventory: &Inventory,
    plan: &Drops,
    connection: &mut Connection,
) -> Result<(), OpsError> {
    let present = inventory.present(connection)?;
    let gone = |address: &&Address| !present.contains(*address) && !plan.dropped.contains(*address);
    let unplanned: HashSet<Address> = inventory.objects.keys().filter(gone).copied().collect();
    if unplanned.is_empty() {
        return Ok(());
    }
    let coming = Coming::of(place);
    let is_lost = |address: &&Address| {
        inventory.objects.get(*address).is_some_and(|object| {
            !object.is_part
                && super::SURE.contains(&object.catalog)
                && !super::is_made(&coming, inventory, object)
        })
    };
    let lost: Vec<String> = unplanned
        .iter()
        .filter(is_lost)
        .filter_map(|address| inventory.objects.get(address))
        .map(super::Object::describe)
        .collect();
    if lost.is_empty() || place.request.accept_loss {
        return Ok(());
    }
    Err(OpsError::refused(
        format!("the drops also dropped what this restore does not restore: {}", super::some(&lost)),
        super::into_another_database().and("; the drops were undone"),
    ))
}

/// Tries every drop under a savepoint. Returns those that failed, and the first one's error.
fn drop_round(
    connection: &mut Connection,
    drops: &[Vec<u8>],
) -> Result<(Vec<Vec<u8>>, Option<OpsError>), OpsError> {
    let mut failed = Vec::new();
    let mut first_error = None;
    for drop in drops {
        connection.execute("SAVEPOINT one_drop").doing("start to drop an object")?;
        let text = String::from_utf8_lossy(drop).trim().to_string();
        let result = connection.simple_bytes(drop).doing(format!("run `{text}`; nothing was dropped"));
        match result {
            Ok(_) => connection.execute("RELEASE SAVEPOINT one_drop").doing("drop an object")?,
            Err(error) if error.is_refusal() => {
                connection.execute("ROLLBACK TO SAVEPOINT one_drop").doing("undo a failed drop")?;
                failed.push(drop.clone());
                first_error.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    Ok((failed, first_error))
}
