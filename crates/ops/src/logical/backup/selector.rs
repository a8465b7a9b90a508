//! Which tables pg_dump will take, so that they can be locked before it runs.

use pgark_bytes::pattern::{Pattern, PatternError};

use super::catalog::Catalog;
use super::patterns::Children;
use crate::OpsError;
use crate::facts::Filters;

/// pg_dump's choice of tables (pg_dump.c, `selectDumpableNamespace`, `selectDumpableTable`).
pub(super) struct Selector {
    schema: Vec<Pattern>,
    exclude_schema: Vec<Pattern>,
    table: Vec<Pattern>,
    exclude_table: Vec<Pattern>,
}

impl Selector {
    /// Which tables pg_dump will take under these filters.
    pub(super) fn of(filters: &Filters) -> Result<Selector, OpsError> {
        let compiled = (|| {
            // Compiled to be refused early; pg_dump alone applies them.
            Pattern::relations(&filters.exclude_table_data)?;
            Pattern::plains(&filters.include_foreign_data)?;
            Pattern::plains(&filters.extension)?;
            Ok::<_, PatternError>(Selector {
                schema: Pattern::plains(&filters.schema)?,
                exclude_schema: Pattern::plains(&filters.exclude_schema)?,
                table: Pattern::relations(&filters.table)?,
                exclude_table: Pattern::relations(&filters.exclude_table)?,
            })
        })();
        compiled.map_err(|error| OpsError::Usage(error.to_string().into()))
    }

    /// Leaves in the catalog what pg_dump will take.
    pub(super) fn choose(&self, catalog: &mut Catalog, children: &Children) {
        let (named, _) = children.reached(&self.table, catalog);
        let (excluded, _) = children.reached(&self.exclude_table, catalog);
        catalog.choose(|table| {
            let included = if self.table.is_empty() {
                self.takes_schema(&table.name.schema)
            } else {
                named.contains(&table.oid)
            };
            included && !excluded.contains(&table.oid)
        });
    }

    fn takes_schema(&self, schema: &[u8]) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(schema));
        (self.schema.is_empty() || any(&self.schema)) && !any(&self.exclude_schema)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(filters: &Filters, schema: &str, name: &str) -> bool {
        let mut catalog = Catalog::for_tests(schema, name);
        Selector::of(filters).unwrap().choose(&mut catalog, &Children::none());
        catalog.lockable().count() == 1
    }

    #[test]
    fn tables_are_chosen_as_pg_dump_does() {
        let filters =
            Filters { table: vec!["shop.o*".into()], schema: vec!["x".into()], ..Filters::default() };
        assert!(
            takes(&filters, "shop", "orders") && !takes(&filters, "x", "orders"),
            "-n has no effect beside -t"
        );
        let filters =
            Filters { schema: vec!["s*".into()], exclude_schema: vec!["sh*".into()], ..Filters::default() };
        assert!(takes(&filters, "sales", "t") && !takes(&filters, "shop", "t") && !takes(&filters, "a", "t"));
        let filters = Filters { exclude_table: vec!["log_*".into()], ..Filters::default() };
        assert!(!takes(&filters, "any", "log_1") && takes(&filters, "any", "t"));
    }

    #[test]
    fn the_default_takes_everything() {
        assert!(Filters::default().is_default() && Filters::default().flags().is_empty());
        assert!(takes(&Filters::default(), "any", "t"));
    }
}
