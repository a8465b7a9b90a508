//! Options of PostgreSQL's own programs, which this library runs: their arguments, and none of a
//! program that uses this library. Nothing else of what is named here begins with hyphens.

pub(crate) const COMPRESS: &str = "--compress";
pub(crate) const DATABASE: &str = "--database";
pub(crate) const DATA_ONLY: &str = "--data-only";
pub(crate) const ENCODING: &str = "--encoding";
pub(crate) const EXCLUDE_SCHEMA: &str = "--exclude-schema";
pub(crate) const EXCLUDE_TABLE: &str = "--exclude-table";
pub(crate) const EXCLUDE_TABLE_DATA: &str = "--exclude-table-data";
pub(crate) const EXTENSION: &str = "--extension";
pub(crate) const FORMAT: &str = "--format";
pub(crate) const GLOBALS_ONLY: &str = "--globals-only";
pub(crate) const INCLUDE_FOREIGN_DATA: &str = "--include-foreign-data";
pub(crate) const LOCK_WAIT_TIMEOUT: &str = "--lock-wait-timeout";
/// The name that every major knows; newer ones say large objects.
pub(crate) const NO_BLOBS: &str = "--no-blobs";
pub(crate) const NO_PASSWORD: &str = "--no-password";
pub(crate) const NO_ROLE_PASSWORDS: &str = "--no-role-passwords";
pub(crate) const NO_SECURITY_LABELS: &str = "--no-security-labels";
pub(crate) const ROLE: &str = "--role";
pub(crate) const SCHEMA: &str = "--schema";
pub(crate) const SCHEMA_ONLY: &str = "--schema-only";
pub(crate) const SNAPSHOT: &str = "--snapshot";
pub(crate) const STRICT_NAMES: &str = "--strict-names";
pub(crate) const TABLE: &str = "--table";
pub(crate) const VERSION: &str = "--version";
