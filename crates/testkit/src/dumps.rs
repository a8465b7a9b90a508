//! Dumps as other programs lay them out, built from stock pg_dump output.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Cluster;

fn run(command: &mut Command) {
    let output = command.output().expect("a stock program starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// `pg_dump --format FORMAT` with more options, to a path.
pub fn pg_dump(cluster: &Cluster, db: &str, path: &Path, options: &[&str]) {
    run(cluster.client("pg_dump").args(options).args(["-d", &cluster.conninfo(db), "-f"]).arg(path));
}

/// A Greenmask dump directory: pg_dump's directory format with every data file in gzip, `heartbeat`
/// and `metadata.json`.
pub fn greenmask(cluster: &Cluster, db: &str, storage: &Path) -> PathBuf {
    let folder = storage.join("1717000000000");
    fs::create_dir_all(storage).expect("a folder can be made");
    pg_dump(cluster, db, &folder, &["-Fd", "-Z6"]);
    let header = format!("{{\"dbName\": \"{db}\", \"dumpVersion\": \"1.14.0\", \"format\": \"TAR\"}}");
    fs::write(
        folder.join("metadata.json"),
        format!("{{\"originalSize\": 1, \"header\": {header}, \"entries\": []}}"),
    )
    .expect("a file can be written");
    fs::write(folder.join("heartbeat"), "done").expect("a file can be written");
    // Its data files end with two line feeds, not three.
    for entry in fs::read_dir(&folder).expect("a folder can be listed") {
        let path = entry.expect("a folder can be listed").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".dat.gz") && !name.starts_with("blob_") {
            let script = "set -e; gzip -dc \"$1\" > \"$1.plain\"; truncate -s -1 \"$1.plain\"; gzip -c \"$1.plain\" > \"$1\"; rm \"$1.plain\"";
            run(Command::new("sh").args(["-c", script, "sh"]).arg(&path));
        }
    }
    folder
}

/// What Plakar's PostgreSQL integration lays out now: `00000-globals.sql` and numbered dumps, in
/// the order of names.
pub fn plakar_new(cluster: &Cluster, databases: &[&str], folder: &Path) {
    fs::create_dir_all(folder).expect("a folder can be made");
    run(cluster.client("pg_dumpall").args(["--globals-only", "-f"]).arg(folder.join("00000-globals.sql")));
    let mut sorted = databases.to_vec();
    sorted.sort_unstable();
    for (number, db) in sorted.iter().enumerate() {
        pg_dump(cluster, db, &folder.join(format!("{:05}-{db}.dump", number + 1)), &["-Fc", "-Z0"]);
    }
    manifest(cluster, folder);
}

/// What it laid out before: one database as `globals.sql` and `NAME.dump`.
pub fn plakar_old(cluster: &Cluster, db: &str, folder: &Path) {
    fs::create_dir_all(folder).expect("a folder can be made");
    run(cluster.client("pg_dumpall").args(["--globals-only", "-f"]).arg(folder.join("globals.sql")));
    pg_dump(cluster, db, &folder.join(format!("{db}.dump")), &["-Fc", "-Z0"]);
    manifest(cluster, folder);
}

/// What it laid out before for a whole cluster: pg_dumpall's script as `all.sql`.
pub fn plakar_all(cluster: &Cluster, folder: &Path) {
    fs::create_dir_all(folder).expect("a folder can be made");
    run(cluster.client("pg_dumpall").arg("-f").arg(folder.join("all.sql")));
    manifest(cluster, folder);
}

fn manifest(cluster: &Cluster, folder: &Path) {
    let identifier = cluster.psql_text("postgres", "SELECT system_identifier FROM pg_control_system()");
    let text = format!(
        "{{\n  \"version\": 2,\n  \"created_at\": \"2026-01-02T03:04:05Z\",\n  \"connector\": \"postgresql\",\n  \
         \"cluster_system_identifier\": \"{identifier}\",\n  \"dump_format\": \"custom\"\n}}\n"
    );
    fs::write(folder.join("manifest.json"), text).expect("a file can be written");
}
