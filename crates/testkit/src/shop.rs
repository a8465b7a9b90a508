//! The sample shop: personal data, jsonb, long text, partitions, keys, large objects, privileges.
//! Its SQL is also what `./demo` loads.

use crate::Cluster;

/// Loads the shop: needs psql variables `mb` and `seed`, and an empty database.
pub const LOAD_SQL: &str = include_str!("../sql/shop.sql");
/// Changes about 1 % of the shop's rows.
pub const CHANGE_SQL: &str = include_str!("../sql/shop_change.sql");

/// Creates the database `db` where it is missing, and fills it with a shop of about `megabytes` MB
/// (tables, TOAST and indexes together), into the schema `shop`. The same size and seed give the
/// same rows everywhere; large objects get the next free object ids. Creates the roles
/// `shop_owner`, `shop_clerk` and `shop_reader` where they are missing.
pub fn load(cluster: &Cluster, db: &str, megabytes: u32, seed: u32) {
    let quoted = db.replace('\'', "''");
    if cluster
        .psql_text("postgres", &format!("SELECT 1 FROM pg_database WHERE datname = '{quoted}'"))
        .is_empty()
    {
        cluster.create_database(db);
    }
    let (megabytes, seed) = (megabytes.to_string(), seed.to_string());
    cluster.sql_with(db, LOAD_SQL.as_bytes(), &[("mb", &megabytes), ("seed", &seed)]);
}

/// Updates about 1 % of the rows of every table, anywhere in it, inserts and deletes a few, changes
/// and adds large objects. Each call changes other rows.
pub fn change_one_percent(cluster: &Cluster, db: &str) {
    cluster.sql_with(db, CHANGE_SQL.as_bytes(), &[]);
}
