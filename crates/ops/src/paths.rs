//! Paths of entries inside a backup: `/db/DB/data/SCHEMA.TABLE`, components percent-encoded.

use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

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
    fn plain_names_stay_readable() {
        assert_eq!(super::table("shop", b"public", b"order_items"), "/db/shop/data/public.order_items");
    }
}
