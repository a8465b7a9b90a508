//! What `pgark --version` says.

use std::sync::LazyLock;

/// `0.1.0 (a1b2c3d4, repository format 0, edition 3)`; from a tarball without the commit.
pub fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let commit = option_env!("PGARK_COMMIT").map(|commit| format!("{commit}, ")).unwrap_or_default();
        format!("{} ({commit}repository {})", env!("CARGO_PKG_VERSION"), pgark_ops::format_name())
    });
    &VERSION
}
