//! Not Google Cloud Storage: moto behind a proxy that renames what GCS's XML API calls otherwise.

use super::moto::Moto;
use super::proxy::{Network, Proxy};

/// moto that is spoken to in GCS's XML API.
#[derive(Debug)]
pub struct GcsStandIn {
    moto: Moto,
    proxy: Proxy,
}

impl GcsStandIn {
    /// Starts one without buckets.
    pub fn start() -> GcsStandIn {
        let moto = Moto::start();
        let proxy = Proxy::renaming(
            moto.port(),
            Network::default(),
            // An object that is not there has generation 0.
            &[("x-goog-if-generation-match: 0", "if-none-match: *")],
        );
        GcsStandIn { moto, proxy }
    }

    /// The URL that clients use.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.proxy.port())
    }

    /// Makes a bucket.
    pub fn make_bucket(&self, name: &str) {
        self.moto.make_bucket(name);
    }
}
