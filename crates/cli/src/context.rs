//! What every command gets in addition to its own arguments.

use crate::args::Common;
use crate::config::Config;

/// Options of every command, and the file.
pub struct Context {
    pub common: Common,
    pub config: Config,
}
