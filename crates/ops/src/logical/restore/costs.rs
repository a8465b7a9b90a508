//! What the order of a restore's work hangs on.

use std::collections::HashMap;

use crate::logical::contents::Contents;

/// How long each entry will take about, in nanoseconds, by dump id. Only the order of work hangs on
/// it.
pub(super) fn costs(contents: &Contents) -> HashMap<i32, u64> {
    // Measured on PostgreSQL 15: COPY of narrow and of wide rows, B-trees, foreign keys.
    const LOAD_A_ROW: u64 = 450;
    const LOAD_A_BYTE: u64 = 8;
    const INDEX_A_ROW: u64 = 400;
    const CHECK_A_ROW: u64 = 300;
    // Even an empty table or a comment takes its round trips.
    const ANY: u64 = 300_000;
    let mut costs = HashMap::new();
    let mut rows_of: HashMap<i32, u64> = HashMap::new();
    for toc in contents.archive.entries.iter().filter(|toc| toc.kind() == "TABLE DATA") {
        if let Some((entry, rows)) = contents.tables.get(&toc.dump_id) {
            costs.insert(toc.dump_id, ANY + rows * LOAD_A_ROW + entry.bytes_raw * LOAD_A_BYTE);
            rows_of.extend(toc.dependencies.first().map(|table| (*table, *rows)));
        }
    }
    for toc in &contents.archive.entries {
        let per_row = match toc.kind() {
            "TABLE DATA" => continue,
            "BLOBS" => {
                let bytes = contents.large_objects.as_ref().map_or(0, |entry| entry.bytes_raw);
                costs.insert(toc.dump_id, ANY + bytes * LOAD_A_BYTE);
                continue;
            }
            "INDEX" | "CONSTRAINT" | "MATERIALIZED VIEW DATA" => INDEX_A_ROW,
            "FK CONSTRAINT" | "CHECK CONSTRAINT" => CHECK_A_ROW,
            _ => 0,
        };
        // The referenced table of a foreign key comes among the dependencies too; the first is the
        // one that is read.
        let rows = toc.dependencies.iter().find_map(|id| rows_of.get(id)).copied().unwrap_or(0);
        costs.insert(toc.dump_id, ANY + rows * per_row);
    }
    costs
}
