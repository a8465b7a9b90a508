//! What people give in the place of a recipient: the file of an identity, or the identity itself.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::Failure;

/// As identities of age begin, its plugins' too.
const SECRETS: [&str; 2] = ["AGE-SECRET-KEY-", "AGE-PLUGIN-"];
/// So much of a file says what it is.
const LOOKED_AT: u64 = 64 << 10;

/// Whether a text is a secret key that was typed where a file or a public key belongs. It must not
/// be shown again.
pub fn is_secret(text: &str) -> bool {
    let text = text.trim().to_ascii_uppercase();
    SECRETS.iter().any(|begins| text.starts_with(begins))
}

/// Refuses files and secret keys among recipients, and says how to come by the recipient.
pub fn refuse_non_recipients(texts: &[String]) -> Result<(), Failure> {
    for text in texts.iter().map(|text| text.trim()) {
        if is_secret(text) {
            return Err(Failure::usage(
                "--recipient was given a secret key, and takes a public one",
                "write the secret key into a file: `age-keygen -y FILE` prints its recipient. What was typed may be in the \
                 shell's history: a new key is safer",
            ));
        }
        if text.starts_with("age1") || text.starts_with("ssh-") {
            continue;
        }
        if let Some(content) = content(text) {
            return Err(Failure::usage(
                format!("--recipient takes a public key, and {text:?} is a file"),
                &way(text, &content),
            ));
        }
    }
    Ok(())
}

/// The beginning of a file; none: there is no such file.
fn content(path: &str) -> Option<String> {
    let file = File::open(Path::new(path)).ok()?;
    let mut bytes = Vec::new();
    // Of a folder or a file that cannot be read nothing is known but that it is there.
    let _ = file.take(LOOKED_AT).read_to_end(&mut bytes);
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// How the recipient is found in what this file holds.
fn way(path: &str, content: &str) -> String {
    let mut lines = content.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let first = lines.next().unwrap_or_default();
    if first.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
        format!("`age-keygen -y {path}` prints the recipient of this identity file (age1…)")
    } else if first.to_ascii_uppercase().starts_with("AGE-PLUGIN-") {
        "the plugin's own program prints the recipient of its identity (age1NAME1…); it is often in a comment of the file".into()
    } else if content.contains("PRIVATE KEY-----") {
        format!(
            "`ssh-keygen -y -f {path}` prints the public key of this private key of SSH (ssh-ed25519 AAAA…)"
        )
    } else if first.starts_with("age1") || first.starts_with("ssh-") {
        format!("it holds a public key: --recipient \"$(cat {path})\"")
    } else {
        "a recipient begins with age1 or ssh-ed25519; `age-keygen -y FILE` prints the one of an identity file"
            .into()
    }
}
