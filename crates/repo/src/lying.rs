//! Doors for tests: objects as a writer puts them who does not follow the protocol.

use crate::RepoError;
use crate::object;
use crate::pack;
use crate::prune::trash;
use crate::random;
use crate::repository::Repository;

impl Repository {
    /// A mark, or an intent, on the pack of this name, as a pruner leaves it that is gone. Returns
    /// its name.
    pub fn put_mark(&self, pack: &str, intent: bool) -> Result<String, RepoError> {
        let (compartment, hash) =
            pack::parse_name(pack).ok_or_else(|| RepoError::Missing { object: pack.into() })?;
        let pruner = random::backup_id()?.to_string();
        let name = trash::name(compartment, &hash, &pruner, intent);
        let bytes = trash::make(self.keys(), &name, &hash, intent)?;
        object::put(self.store(), &name, bytes)?;
        Ok(name)
    }
}
