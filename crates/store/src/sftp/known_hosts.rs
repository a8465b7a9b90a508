//! What known_hosts files say of a host: its keys, the authorities that may vouch for it, and what
//! is revoked.
//!
//! Source: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT", of OpenSSH 9; tests compare the reading with
//! `ssh-keygen -F`. As with ssh, all files count, a key that one of them revokes is never good, a
//! line that makes no sense is skipped, and a key that is there under the bare name is good on
//! every port. Unlike ssh, a certificate must name the host.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use russh::keys::ssh_key::certificate::CertType;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Algorithm, Certificate, HashAlg, PublicKey, PublicKeyOrCertificate};

use crate::{Cause, ssh_patterns};

/// The port that a name without one stands for.
const USUAL_PORT: u16 = 22;

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Key,
    /// `@cert-authority`
    Authority,
    /// `@revoked`
    Revoked,
}

/// A line about our host.
#[derive(Debug)]
struct Line {
    file: PathBuf,
    number: usize,
    role: Role,
    key: KeyData,
    /// It has the port, or no port is needed; else only the bare name.
    is_exact: bool,
}

/// All that is known of one host.
#[derive(Debug)]
pub(super) struct KnownHost {
    name: String,
    lines: Vec<Line>,
    /// The files, for messages; with why one could not be read.
    files: String,
    /// How the host becomes known.
    way: String,
}

/// Why the host is not the one that is meant.
#[derive(Debug)]
pub(super) struct Refusal {
    pub why: String,
    pub cause: Cause,
}

impl KnownHost {
    pub(super) fn read(files: &[PathBuf], name: &str, port: u16) -> KnownHost {
        let name = name.to_ascii_lowercase();
        let exact = match port {
            USUAL_PORT => name.clone(),
            port => format!("[{name}]:{port}"),
        };
        let way = match file_for_more(files) {
            Some(file) => format!("`{} >> {file}`", scan(&name, port)),
            None => "name a file for its key with the storage option known_hosts".to_string(),
        };
        let (mut lines, mut shown) = (Vec::new(), Vec::new());
        for file in files {
            match fs::read(file) {
                Ok(bytes) => lines.extend(read_lines(file, &String::from_utf8_lossy(&bytes), &exact, &name)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    shown.push(format!("{}: {error}", file.display()));
                    continue;
                }
            }
            shown.push(file.display().to_string());
        }
        let files = if shown.is_empty() { "none is set".into() } else { shown.join(", ") };
        KnownHost { name, lines, files, way }
    }

    /// The same host, which becomes known in another way.
    pub(super) fn becomes_known(self, way: String) -> KnownHost {
        KnownHost { way, ..self }
    }

    fn of(&self, role: Role) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(move |line| line.role == role)
    }

    /// Whether a key of this kind is known.
    pub(super) fn has_key_of(&self, algorithm: &Algorithm) -> bool {
        self.of(Role::Key).any(|line| match (algorithm, line.key.algorithm()) {
            (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }) => true,
            (one, other) => *one == other,
        })
    }

    /// Whether someone may vouch for the host.
    pub(super) fn has_authority(&self) -> bool {
        self.of(Role::Authority).next().is_some()
    }

    /// Whether the host may show this; `now` in seconds since 1970.
    pub(super) fn judge(&self, shown: &PublicKeyOrCertificate, now: u64) -> Result<(), Refusal> {
        let (key, certificate) = (shown.public_key(), shown.certificate());
        let is_signer = |line: &&Line| certificate.is_some_and(|shown| *shown.signature_key() == line.key);
        if let Some(line) = self.of(Role::Revoked).find(|line| line.key == *key.key_data() || is_signer(line))
        {
            let what = if line.key == *key.key_data() { "key" } else { "certificate's authority" };
            let why = format!("the host's {what} is revoked by {}", line.place());
            return Err(Refusal { why, cause: Cause::HostKeyRevoked });
        }
        if let (Some(certificate), Some(authority)) = (certificate, self.of(Role::Authority).find(is_signer))
        {
            let wrong = |what: String| {
                let id = certificate.key_id();
                let why = format!("the host's certificate {id:?} (authority: {}) {what}", authority.place());
                Refusal { why, cause: Cause::HostCertificate }
            };
            return judge_certificate(certificate, &authority.key, &self.name, now).map_err(wrong);
        }
        if self.of(Role::Key).any(|line| line.key == *key.key_data()) {
            return Ok(());
        }
        self.unknown(&key)
    }

    fn unknown(&self, key: &PublicKey) -> Result<(), Refusal> {
        let print = key.fingerprint(HashAlg::Sha256);
        let kind = key.algorithm().to_string();
        let other = self.of(Role::Key).find(|line| line.is_exact && line.key.algorithm() == key.algorithm());
        Err(match other {
            Some(line) => Refusal {
                why: format!(
                    "the host's {kind} key is {print}, and {} has another: it was changed, or another host answers",
                    line.place()
                ),
                cause: Cause::HostKey,
            },
            None => Refusal {
                why: format!(
                    "the host is unknown: its {kind} key {print} is in no known_hosts file ({})",
                    self.files
                ),
                cause: Cause::HostUnknown(self.way.clone()),
            },
        })
    }
}

/// The command that prints a host's keys as lines of known_hosts.
pub(super) fn scan(host: &str, port: u16) -> String {
    match port {
        USUAL_PORT => format!("ssh-keyscan {host}"),
        port => format!("ssh-keyscan -p {port} {host}"),
    }
}

/// The file that a new host goes into, as a shell takes it.
pub(super) fn file_for_more(files: &[PathBuf]) -> Option<String> {
    let file = files.first()?.display().to_string();
    let is_plain = file.bytes().all(|sign| sign.is_ascii_alphanumeric() || b"/._-+".contains(&sign));
    Some(if is_plain { file } else { format!("'{}'", file.replace('\'', "'\\''")) })
}

impl Line {
    fn place(&self) -> String {
        format!("{} line {}", self.file.display(), self.number)
    }
}

/// Lines about the host of this name.
fn read_lines(file: &Path, text: &str, exact: &str, bare: &str) -> Vec<Line> {
    let of_line = |(number, line): (usize, &str)| {
        let (role, hosts, rest) = parts(line)?;
        let is_exact = is_meant(hosts, exact);
        if !is_exact && !is_meant(hosts, bare) {
            return None;
        }
        let key = PublicKey::from_openssh(&rest).ok()?.key_data().clone();
        Some(Line { file: file.into(), number, role, key, is_exact })
    };
    (1..).zip(text.lines()).filter_map(of_line).collect()
}

/// A door for the fuzz target: the lines of any text are read, with a name on a port of its own.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_any(text: &str) {
    read_lines(Path::new("known_hosts"), text, "[host]:2222", "host");
}

/// Role, hosts, and the kind and text of the key.
fn parts(line: &str) -> Option<(Role, &str, String)> {
    let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
    let first = words.next().filter(|word| !word.starts_with('#'))?;
    let (role, hosts) = match first {
        "@cert-authority" => (Role::Authority, words.next()?),
        "@revoked" => (Role::Revoked, words.next()?),
        marker if marker.starts_with('@') => return None,
        hosts => (Role::Key, hosts),
    };
    Some((role, hosts, format!("{} {}", words.next()?, words.next()?)))
}

/// Whether a line's hosts, patterns or one hashed name, mean this one.
fn is_meant(hosts: &str, name: &str) -> bool {
    let Some(hashed) = hosts.strip_prefix('|') else {
        return ssh_patterns::fits_one_of(hosts.split(','), name);
    };
    // HMAC-SHA1 of the name under the salt.
    let is_same = |hashed: &str| {
        let (salt, hash) = hashed.strip_prefix("1|")?.split_once('|')?;
        let (salt, hash) = (STANDARD.decode(salt).ok()?, STANDARD.decode(hash).ok()?);
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
        Some(hmac::verify(&key, name.as_bytes(), &hash).is_ok())
    };
    is_same(hashed).unwrap_or(false)
}

/// Whether a certificate, which this authority is said to have signed, is one of the host
/// (OpenSSH's PROTOCOL.certkeys). That the host has the secret half of its key was seen by the
/// exchange of keys.
fn judge_certificate(
    certificate: &Certificate,
    authority: &KeyData,
    name: &str,
    now: u64,
) -> Result<(), String> {
    if certificate.cert_type() != CertType::Host {
        return Err("is not a host certificate".into());
    }
    if certificate.signature().algorithm() == (Algorithm::Rsa { hash: None }) {
        return Err("is signed with SHA-1".into());
    }
    let time = |seconds: u64| {
        let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        time.map_or_else(|| format!("second {seconds}"), |time| time.to_string())
    };
    if now < certificate.valid_after() {
        return Err(format!("is valid only from {} on", time(certificate.valid_after())));
    }
    if now >= certificate.valid_before() {
        return Err(format!("was valid until {}", time(certificate.valid_before())));
    }
    if let Some((option, _)) = certificate.critical_options().iter().next() {
        return Err(format!("has the critical option {option:?}, which pgark does not know"));
    }
    let names = certificate.valid_principals();
    if !names.iter().any(|own| own == name) {
        let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
        let names = if names.is_empty() { "no host".into() } else { quoted.join(", ") };
        return Err(format!("is for {names}, not for {name}"));
    }
    certificate
        .validate_at(now, [&authority.fingerprint(HashAlg::Sha256)])
        .map_err(|_| "is not signed by its authority".to_string())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;
    use russh::keys::PrivateKey;
    use russh::keys::ssh_key::certificate::Builder;
    use russh::keys::ssh_key::private::KeypairData;
    use tempfile::TempDir;

    use super::*;

    const HOUR: u64 = 3600;
    const NOW: u64 = 1_800_000_000;

    fn key(seed: u8) -> PrivateKey {
        let pair = russh::keys::ssh_key::private::Ed25519Keypair::from_seed(&[seed; 32]);
        PrivateKey::new(KeypairData::from(pair), "").unwrap()
    }

    fn line(hosts: &str, seed: u8) -> String {
        format!("{hosts} {}\n", key(seed).public_key().to_openssh().unwrap())
    }

    fn known(text: &str, name: &str, port: u16) -> (TempDir, KnownHost) {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("known_hosts");
        fs::write(&file, text).unwrap();
        let known = KnownHost::read(&[file], name, port);
        (folder, known)
    }

    fn judge(text: &str, name: &str, port: u16, seed: u8) -> Result<(), String> {
        let shown = PublicKeyOrCertificate::from(key(seed).public_key().clone());
        known(text, name, port).1.judge(&shown, NOW).map_err(|refusal| refusal.why)
    }

    #[test]
    fn lines_are_counted_as_editors_do_and_nonsense_is_skipped() {
        let text = format!(
            "# comment\n\n  # another\nhost ssh-ed25519 nonsense\nhost\n@unknown {}\t{}",
            line("host", 1),
            line("host", 2).replacen(' ', "\t ", 1)
        );
        assert!(judge(&text, "HOST", 22, 2).is_ok());
        let why = judge(&text, "host", 22, 3).unwrap_err();
        assert!(why.contains("known_hosts line 7 has another"), "{why}");
        let why = judge(&text, "other", 22, 3).unwrap_err();
        assert!(why.contains("is in no known_hosts file"), "{why}");
    }

    #[test]
    fn a_bare_name_is_good_on_every_port_and_never_says_that_a_key_was_changed() {
        let text = line("host", 1);
        assert!(judge(&text, "host", 2222, 1).is_ok());
        assert!(judge(&text, "host", 2222, 2).unwrap_err().contains("is in no known_hosts file"));
        let text = line("[host]:2222", 1);
        assert!(judge(&text, "host", 2222, 2).unwrap_err().contains("was changed"));
        assert!(judge(&text, "host", 22, 1).unwrap_err().contains("is in no known_hosts file"));
        assert!(judge(&text, "host", 2223, 1).unwrap_err().contains("is in no known_hosts file"));
    }

    #[test]
    fn an_unknown_host_brings_the_line_that_makes_it_known() {
        let way = |text: &str, name: &str, port: u16| {
            let (folder, host) = known(text, name, port);
            let shown = PublicKeyOrCertificate::from(key(3).public_key().clone());
            let hint = host.judge(&shown, NOW).unwrap_err().cause.hint().unwrap();
            hint.replace(folder.path().to_str().unwrap(), "~/.ssh")
        };
        let hint = way("", "host", 2222);
        assert!(hint.contains("compare the fingerprint"), "{hint}");
        assert!(hint.contains("`ssh-keyscan -p 2222 host >> ~/.ssh/known_hosts`"), "{hint}");
        assert!(way("", "host", 22).contains("`ssh-keyscan host >> ~/.ssh/known_hosts`"));
        // One that was changed is another matter.
        let hint = way(&line("host", 1), "host", 22);
        assert!(hint.contains("ssh-keygen -R") && !hint.contains(">>"), "{hint}");
        assert_eq!(file_for_more(&["/a b/it's".into()]).unwrap(), "'/a b/it'\\''s'");
        assert_eq!(file_for_more(&[]), None);
    }

    #[test]
    fn what_is_revoked_anywhere_is_never_good() {
        let folder = TempDir::new().unwrap();
        let (good, bad) = (folder.path().join("good"), folder.path().join("bad"));
        fs::write(&good, line("host", 1)).unwrap();
        fs::write(&bad, format!("# away with it\n{}", line("@revoked *", 1))).unwrap();
        let shown = PublicKeyOrCertificate::from(key(1).public_key().clone());
        for files in [[good.clone(), bad.clone()], [bad, good]] {
            let refusal = KnownHost::read(&files, "host", 2222).judge(&shown, NOW).unwrap_err();
            assert_eq!(refusal.cause, Cause::HostKeyRevoked);
            assert!(refusal.why.contains("is revoked by") && refusal.why.contains("bad line 2"));
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told_of() {
        let folder = TempDir::new().unwrap();
        let known = KnownHost::read(&[folder.path().into()], "host", 22);
        let why =
            known.judge(&PublicKeyOrCertificate::from(key(1).public_key().clone()), NOW).unwrap_err().why;
        assert!(why.contains("Is a directory"), "{why}");
        let known = KnownHost::read(&[], "host", 22);
        let why =
            known.judge(&PublicKeyOrCertificate::from(key(1).public_key().clone()), NOW).unwrap_err().why;
        assert!(why.contains("none is set"), "{why}");
    }

    /// A certificate of key 1 by key 9, good for an hour around now, of "host"; changed as asked.
    fn certificate(change: impl FnOnce(&mut Builder), authority: u8) -> PublicKeyOrCertificate {
        let nonce = [7; 16];
        let mut builder =
            Builder::new(nonce, key(1).public_key().key_data().clone(), NOW - HOUR, NOW + HOUR).unwrap();
        builder.key_id("db server").unwrap();
        change(&mut builder);
        PublicKeyOrCertificate::Certificate(builder.sign(&key(authority)).unwrap())
    }

    fn of_host(builder: &mut Builder) {
        builder.cert_type(CertType::Host).unwrap();
        builder.valid_principal("host").unwrap().valid_principal("db").unwrap();
    }

    #[test]
    fn a_certificate_is_as_good_as_its_authority_its_time_and_its_names() {
        let authority = line("@cert-authority h*", 9);
        let (_folder, host) = known(&authority, "host", 2222);
        assert!(host.has_authority());
        host.judge(&certificate(of_host, 9), NOW).unwrap();
        host.judge(&certificate(of_host, 9), NOW + HOUR - 1).unwrap();
        let refused = |shown: PublicKeyOrCertificate, now: u64, part: &str| {
            let refusal = host.judge(&shown, now).unwrap_err();
            assert!(refusal.why.contains(part), "{}", refusal.why);
            refusal.cause
        };
        for (now, part) in
            [(NOW + HOUR, "was valid until 2027-"), (NOW - HOUR - 1, "is valid only from 2027-")]
        {
            assert_eq!(refused(certificate(of_host, 9), now, part), Cause::HostCertificate);
        }
        let of_other = |builder: &mut Builder| {
            builder.cert_type(CertType::Host).unwrap().valid_principal("other").unwrap();
        };
        refused(certificate(of_other, 9), NOW, "is for \"other\", not for host");
        let of_all = |builder: &mut Builder| {
            builder.cert_type(CertType::Host).unwrap().all_principals_valid().unwrap();
        };
        refused(certificate(of_all, 9), NOW, "is for no host, not for host");
        let of_user = |builder: &mut Builder| {
            builder.cert_type(CertType::User).unwrap().valid_principal("host").unwrap();
        };
        refused(certificate(of_user, 9), NOW, "is not a host certificate");
        let critical = |builder: &mut Builder| {
            of_host(builder);
            builder.critical_option("new", "").unwrap();
        };
        refused(certificate(critical, 9), NOW, "has the critical option \"new\"");
        // Someone else's is no more than its key.
        let cause = refused(certificate(of_host, 8), NOW, "is in no known_hosts file");
        assert!(matches!(cause, Cause::HostUnknown(_)), "{cause:?}");
        let (_folder, host) = known(&format!("{authority}{}", line("host", 1)), "host", 22);
        host.judge(&certificate(of_host, 8), NOW).unwrap();
        // An authority does not stand for the key itself, and may be revoked.
        let (_folder, host) = known(&authority, "host", 22);
        assert!(host.judge(&PublicKeyOrCertificate::from(key(9).public_key().clone()), NOW).is_err());
        let (_folder, host) = known(&format!("{authority}{}", line("@revoked *", 9)), "host", 22);
        let refusal = host.judge(&certificate(of_host, 9), NOW).unwrap_err();
        assert_eq!(refusal.cause, Cause::HostKeyRevoked);
        assert!(refusal.why.contains("authority is revoked"), "{}", refusal.why);
    }

    #[test]
    fn a_certificate_that_was_tampered_with_is_not_good() {
        let (_folder, host) = known(&line("@cert-authority *", 9), "host", 22);
        let PublicKeyOrCertificate::Certificate(good) = certificate(of_host, 9) else { unreachable!() };
        let mut bytes = good.to_bytes().unwrap();
        let at = bytes.windows(4).position(|window| window == b"host").unwrap();
        bytes[at..at + 4].copy_from_slice(b"evil");
        let forged = Certificate::from_bytes(&bytes).unwrap();
        let (_folder2, evil) = known(&line("@cert-authority *", 9), "evil", 22);
        let why = evil.judge(&PublicKeyOrCertificate::Certificate(forged), NOW).unwrap_err().why;
        assert!(why.contains("is not signed by its authority"), "{why}");
        host.judge(&PublicKeyOrCertificate::Certificate(good), NOW).unwrap();
    }

    /// Lines that OpenSSH finds for a name, with what they are.
    fn found_by_ssh_keygen(file: &Path, name: &str) -> Vec<(usize, Role)> {
        let output = Command::new("ssh-keygen").args(["-F", name, "-f"]).arg(file).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let of_line = |line: &str| {
            let (_, rest) = line.strip_prefix("# Host ")?.split_once(" found: line ")?;
            let mut words = rest.split_whitespace();
            let number = words.next()?.parse().ok()?;
            let role = match words.next() {
                Some("CA") => Role::Authority,
                Some("REVOKED") => Role::Revoked,
                _ => Role::Key,
            };
            Some((number, role))
        };
        text.lines().filter_map(of_line).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]

        #[test]
        fn lines_are_found_that_ssh_keygen_finds(
            lines in prop::collection::vec(
                ("(@revoked |@cert-authority |@other |#| |)", "[!*?ab,]{1,6}|\\[[ab*]{1,2}\\]:2[23]", "( |\t)", "( c|)"), 0..8),
            name in "[ab]{1,3}",
            is_hashed: bool,
        ) {
            let folder = TempDir::new().unwrap();
            let file = folder.path().join("known_hosts");
            let mut text = String::new();
            for (number, (marker, hosts, between, comment)) in (0u8..).zip(&lines) {
                let key = key(number).public_key().to_openssh().unwrap();
                text.push_str(&format!("{marker}{hosts}{between}{key}{comment}\n"));
            }
            if is_hashed {
                // Of its own, since ssh-keygen hashes nothing where a line makes no sense.
                fs::write(&file, format!("{}{}", line(&name, 200), line(&format!("[{name}]:23"), 201))).unwrap();
                let done = Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(&file).output().unwrap();
                prop_assert!(done.status.success());
                text.push_str(&fs::read_to_string(&file).unwrap());
            }
            fs::write(&file, &text).unwrap();
            for port in [22, 23] {
                let exact = if port == 22 { name.clone() } else { format!("[{name}]:{port}") };
                let known = KnownHost::read(std::slice::from_ref(&file), &name, port);
                let ours: Vec<(usize, Role)> =
                    known.lines.iter().filter(|line| line.is_exact).map(|line| (line.number, line.role)).collect();
                prop_assert_eq!(ours, found_by_ssh_keygen(&file, &exact), "{}", fs::read_to_string(&file).unwrap());
            }
        }

        #[test]
        fn any_file_is_read(text in "(([@|!#]?[a-c*?|,1]{0,9}[ \t]){0,4}\n){0,5}", port in prop::sample::select(&[22u16, 23])) {
            known(&text, "a", port);
        }
    }
}
