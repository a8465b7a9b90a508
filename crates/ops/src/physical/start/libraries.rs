//! Libraries that a server loads, and whether this host has them.
//!
//! A list of libraries is one of names, parted by commas, in double quotes where they have other
//! signs (`SplitDirectoriesString` in PostgreSQL's src/backend/utils/adt/varlena.c). A name without
//! a slash is searched for in `dynamic_library_path`, `$libdir` means the folder of the server's
//! libraries, and `.so` may be left out (`expand_dynamic_library_name`,
//! src/backend/utils/fmgr/dfmgr.c).

use std::path::{Path, PathBuf};

/// A library that every server has.
const COMMON: &str = "libpqwalreceiver.so";
const LIBDIR: &str = "$libdir";

/// The folder of the libraries of the server whose programs are in `programs`.
pub(super) fn folder(programs: &Path) -> Option<PathBuf> {
    let programs = programs.canonicalize().ok()?;
    let above = programs.parent()?;
    ["lib", "lib/postgresql", "lib64", "lib64/postgresql", "lib64/pgsql", "lib/pgsql"]
        .iter()
        .map(|name| above.join(name))
        .find(|folder| folder.join(COMMON).is_file())
}

/// A list without what is not here, and what that is.
pub(super) fn available(list: &str, path: &str, libdir: &Path) -> (String, Vec<String>) {
    let (there, missing): (Vec<String>, Vec<String>) =
        names(list).into_iter().partition(|name| exists(name, path, libdir));
    let quoted: Vec<String> = there.iter().map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
    (quoted.join(","), missing)
}

/// The names of a list.
fn names(list: &str) -> Vec<String> {
    let (mut names, mut name, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut signs = list.chars().peekable();
    while let Some(sign) = signs.next() {
        match sign {
            '"' if is_quoted && signs.peek() == Some(&'"') => {
                signs.next();
                name.push('"');
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => names.push(std::mem::take(&mut name)),
            sign => name.push(sign),
        }
    }
    names.push(name);
    names.into_iter().map(|name| name.trim().to_string()).filter(|name| !name.is_empty()).collect()
}

fn exists(name: &str, path: &str, libdir: &Path) -> bool {
    let is_file = |path: PathBuf| {
        let mut with_end = path.clone().into_os_string();
        with_end.push(".so");
        path.is_file() || Path::new(&with_end).is_file()
    };
    let expanded = |text: &str| match text.strip_prefix(LIBDIR) {
        Some(rest) => libdir.join(rest.trim_start_matches('/')),
        None => PathBuf::from(text),
    };
    match name.contains('/') {
        true => is_file(expanded(name)),
        false => path.split(':').any(|folder| is_file(expanded(folder.trim()).join(name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_the_server_does() {
        assert_eq!(names("a, \"b c\" ,\"d\"\"e,f\",,$libdir/g"), ["a", "b c", "d\"e,f", "$libdir/g"]);
        assert!(names("").is_empty() && names(" , ").is_empty());
    }

    #[test]
    fn what_is_not_here_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pg_stat_statements.so"), "").unwrap();
        std::fs::write(other.path().join("mine.so"), "").unwrap();
        let absolute = other.path().join("mine").display().to_string();
        let list = format!("pg_stat_statements, timescaledb,$libdir/pg_stat_statements,{absolute},mine");
        let available = |path: &str| available(&list, path, folder.path());
        let (there, missing) = available(LIBDIR);
        assert_eq!(missing, ["timescaledb", "mine"]);
        let all =
            ["pg_stat_statements", "$libdir/pg_stat_statements", &absolute].map(|name| format!("\"{name}\""));
        assert_eq!(there, all.join(","));
        let (_, missing) = available(&format!("{}:$libdir", other.path().display()));
        assert_eq!(missing, ["timescaledb"]);
    }
}
