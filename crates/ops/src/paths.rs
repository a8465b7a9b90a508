//! Paths of entries inside a backup: `/db/DB/data/SCHEMA.TABLE`, components percent-encoded.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};

/// What must not be bare in a component: separators of our own and everything that causes trouble
/// in a shell or a URL. Bytes above ASCII are always encoded.
const COMPONENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'.')
    .add(b':')
    .add(b'?')
    .add(b'\\')
    .add(b'\'')
    .add(b'<')
    .add(b'>')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'*')
    .add(b'|')
    .add(b'&')
    .add(b';')
    .add(b'$');

fn component(name: &[u8]) -> String {
    percent_encode(name, COMPONENT).to_string()
}

/// A path as it is stored, of one that someone typed: names can be in it as they are, or encoded as
/// `ls` shows them.
pub(crate) fn as_stored(typed: &str) -> String {
    // Of these signs an unescaped one belongs to the path itself, or begins an encoded one.
    const TYPED: &AsciiSet = &COMPONENT.remove(b'%').remove(b'/').remove(b'.');
    percent_encode(typed.as_bytes(), TYPED).to_string()
}

pub(crate) const GLOBALS: &str = "/globals.sql";
pub(crate) const MANIFEST: &str = "/manifest.json";
pub(crate) const SETTINGS: &str = "/settings.json";

/// A file that `/pg_hba.conf` or `/pg_ident.conf` includes, by its path on the server.
pub(crate) fn included(by: &str, path: &str) -> String {
    format!("{by}.included/{}", component(path.as_bytes()))
}

/// What all paths of a database begin with.
pub(crate) fn folder(database: &str) -> String {
    format!("/db/{}/", component(database.as_bytes()))
}

/// The SQL that makes the database itself.
pub(crate) fn definition(database: &str) -> String {
    format!("/db/{}/database.sql", component(database.as_bytes()))
}

/// The facts that masking needs.
pub(crate) fn catalog(database: &str) -> String {
    format!("/db/{}/catalog.json", component(database.as_bytes()))
}

pub(crate) fn toc(database: &str) -> String {
    format!("/db/{}/toc.dat", component(database.as_bytes()))
}

pub(crate) fn large_objects(database: &str) -> String {
    format!("/db/{}/largeobjects", component(database.as_bytes()))
}

pub(crate) fn table(database: &str, schema: &[u8], name: &[u8]) -> String {
    format!("/db/{}/data/{}.{}", component(database.as_bytes()), component(schema), component(name))
}

/// The data directory itself.
pub(crate) const DATA_DIRECTORY: &str = "/pgdata";

/// Something in the data directory, by its path below it; empty: the directory itself.
pub(crate) fn in_data_directory(path: &[u8]) -> String {
    let mut entry = DATA_DIRECTORY.to_string();
    for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        entry.push('/');
        entry.push_str(&file_name(name));
    }
    entry
}

/// A file of the server's configuration that is not in the data directory, by its path on the
/// server.
pub(crate) fn outside(path: &str) -> String {
    let mut entry = "/config".to_string();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        entry.push('/');
        entry.push_str(&file_name(name.as_bytes()));
    }
    entry
}

/// A name of a file keeps its dots.
fn file_name(name: &[u8]) -> String {
    const NAME: &AsciiSet = &COMPONENT.remove(b'.');
    match name {
        b"." | b".." => component(name),
        _ => percent_encode(name, NAME).to_string(),
    }
}

/// The path below the data directory that an entry describes; empty for the directory itself.
pub(crate) fn below_data_directory(entry: &str) -> Option<Vec<u8>> {
    let rest = entry.strip_prefix(DATA_DIRECTORY)?;
    if !rest.is_empty() && !rest.starts_with('/') {
        return None;
    }
    Some(percent_decode_str(rest.trim_start_matches('/')).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_cannot_leave_their_component() {
        let path = super::table("a/b", b"s.1", "t\n\"é".as_bytes());
        assert_eq!(path, "/db/a%2Fb/data/s%2E1.t%0A%22%C3%A9");
    }

    #[test]
    fn what_is_typed_finds_what_is_stored() {
        let stored = super::table("däta", "日本".as_bytes(), b"a b");
        assert_eq!(super::as_stored("/db/däta/data/日本.a b"), stored);
        assert_eq!(super::as_stored(&stored), stored);
        assert_eq!(super::as_stored("/pg_hba.conf"), "/pg_hba.conf");
    }

    #[test]
    fn files_of_a_data_directory_are_found_again() {
        for path in
            ["", "PG_VERSION", "base/5", "pg_tblspc/16400/PG_15_202209061/5", "a b/..", "x/%2F/\u{e9}"]
        {
            let entry = super::in_data_directory(path.as_bytes());
            assert_eq!(super::below_data_directory(&entry).unwrap(), path.as_bytes(), "{entry}");
        }
        assert_eq!(super::in_data_directory(b"base/5/1259_fsm.1"), "/pgdata/base/5/1259_fsm.1");
        assert_eq!(super::in_data_directory(b".."), "/pgdata/%2E%2E");
        assert_eq!(super::below_data_directory("/pgdatabase"), None);
        assert_eq!(
            super::outside("/etc/postgresql/15/main/pg_hba.conf"),
            "/config/etc/postgresql/15/main/pg_hba.conf"
        );
    }

    #[test]
    fn plain_names_stay_readable() {
        assert_eq!(super::table("shop", b"public", b"order_items"), "/db/shop/data/public.order_items");
    }
}
