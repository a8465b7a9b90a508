//! What a restore leaves out.

/// What a restore leaves out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// The database itself is created: its properties, privileges and comment are restored too.
    pub create_database: bool,
    /// No `OWNER TO`, no `AUTHORIZATION`.
    pub no_owner: bool,
    /// No privileges and default privileges.
    pub no_privileges: bool,
    /// Everything goes to the default tablespace.
    pub no_tablespaces: bool,
    /// Everything gets the default table access method.
    pub no_table_access_method: bool,
}
