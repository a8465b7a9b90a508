//! azurite: Azure Blob Storage's own emulator; checks keys and honours preconditions.

use std::io::Write;
use std::process::{Command, Stdio};

use super::{Service, free_port, http, program};

/// An azurite server.
#[derive(Debug)]
pub struct Azurite {
    service: Service,
}

impl Azurite {
    /// The emulator's published account.
    pub const ACCOUNT: &'static str = "devstoreaccount1";
    /// Its published key: a constant of the emulator, not a secret.
    pub const KEY: &'static str =
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

    /// Starts one without containers.
    pub fn start() -> Azurite {
        let port = free_port();
        let folder = Service::folder("azurite");
        let (data, temporary) = (folder.join("data"), folder.join("tmp"));
        std::fs::create_dir(&data).expect("make azurite's folder");
        std::fs::create_dir(&temporary).expect("make azurite's folder");
        let service = Service::start(
            None,
            "azurite",
            port,
            folder,
            &program("node_modules/.bin/azurite-blob"),
            |command| {
                command.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
                command.args(["--silent", "--skipApiVersionCheck", "--disableTelemetry", "--location"]);
                command.arg(data).env("TMPDIR", temporary);
            },
        );
        Azurite { service }
    }

    /// The URL that clients use.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/{}", self.service.port, Azurite::ACCOUNT)
    }
}

/// Makes a container: a Shared Key request (REST API, "Authorize with Shared Key"), signed by the
/// `openssl` program, so that nothing of what is under test makes its own ground.
pub fn make_container(server: &Azurite, name: &str) {
    let account = Azurite::ACCOUNT;
    let date = "x-ms-date:".to_owned() + &rfc1123_now();
    let headers = format!("{date}\nx-ms-version:2021-12-02\n");
    // With a path-style host the account stands twice: as the owner, and in the path.
    let to_sign =
        format!("PUT\n\n\n\n\n\n\n\n\n\n\n\n{headers}/{account}/{account}/{name}\nrestype:container");
    let key = hex(&decode_base64(Azurite::KEY));
    let signature = openssl(
        &["dgst", "-sha256", "-mac", "HMAC", "-macopt", &format!("hexkey:{key}"), "-binary"],
        to_sign.as_bytes(),
    );
    let signature = String::from_utf8(openssl(&["base64", "-A"], &signature)).expect("base64 is text");
    let (status, answer) = http(
        server.service.at(),
        "PUT",
        &format!("/{account}/{name}?restype=container"),
        &[
            ("x-ms-date", date.trim_start_matches("x-ms-date:")),
            ("x-ms-version", "2021-12-02"),
            ("Authorization", &format!("SharedKey {account}:{}", signature.trim())),
        ],
        "",
    );
    assert_eq!(status, 201, "make container {name}: {answer}");
}

fn rfc1123_now() -> String {
    let output = Command::new("date")
        .args(["-u", "+%a, %d %b %Y %H:%M:%S GMT"])
        .env("LC_ALL", "C")
        .output()
        .expect("ask for the date");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn decode_base64(text: &str) -> Vec<u8> {
    openssl(&["base64", "-d", "-A"], text.as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start openssl");
    child.stdin.take().expect("its input").write_all(input).expect("write to openssl");
    let output = child.wait_with_output().expect("end of openssl");
    assert!(output.status.success(), "openssl {arguments:?}");
    output.stdout
}
