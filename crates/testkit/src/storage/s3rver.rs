//! s3rver: checks access keys, and ignores conditional puts: the S3 server that needs one writer at
//! a time.

use super::{Service, free_port, program};

/// An s3rver with one bucket, `test`, and one access key, `S3RVER` with the secret `S3RVER`.
#[derive(Debug)]
pub struct S3rver {
    service: Service,
}

impl S3rver {
    /// Starts one.
    pub fn start() -> S3rver {
        let port = free_port();
        let folder = Service::folder("s3rver");
        let data = folder.join("data");
        std::fs::create_dir(&data).expect("make s3rver's folder");
        let service =
            Service::start(None, "s3rver", port, folder, &program("node_modules/.bin/s3rver"), |command| {
                command.args([
                    "-a",
                    "127.0.0.1",
                    "-p",
                    &port.to_string(),
                    "-s",
                    "--configure-bucket",
                    "test",
                    "-d",
                ]);
                // It seals its continuation tokens with DES.
                command.arg(data).env("NODE_OPTIONS", "--openssl-legacy-provider");
            });
        S3rver { service }
    }

    /// The URL that clients use.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.service.port)
    }
}
