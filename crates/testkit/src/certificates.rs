//! Certificates for servers with TLS, made by the `openssl` program.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a client needs to talk TLS to a test server, and to fail at it.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The authority that signed the server's certificate (`sslrootcert`).
    pub ca: PathBuf,
    /// An authority that signed nothing here: verification against it must fail.
    pub other_ca: PathBuf,
    /// A client certificate for the role `postgres` (`sslcert`).
    pub client_cert: PathBuf,
    /// Its key (`sslkey`), readable by the test's user only.
    pub client_key: PathBuf,
    /// The server's certificate: for `localhost` and 127.0.0.1.
    pub server_cert: PathBuf,
    /// Its key.
    pub server_key: PathBuf,
}

impl TlsFiles {
    /// Makes the set in `folder`. Certificates are valid for two days.
    pub(crate) fn make(folder: &Path) -> TlsFiles {
        let file = |name: &str| folder.join(name);
        let files = TlsFiles {
            ca: file("ca.crt"),
            other_ca: file("other-ca.crt"),
            client_cert: file("client.crt"),
            client_key: file("client.key"),
            server_cert: file("server.crt"),
            server_key: file("server.key"),
        };
        authority(folder, "ca");
        authority(folder, "other-ca");
        signed(folder, "server", "localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1");
        signed(folder, "client", "postgres", "extendedKeyUsage=clientAuth");
        files
    }

    /// Another certificate in place of the server's, of the same authority, with this common name
    /// and this line of extensions (`subjectAltName=DNS:a,IP:127.0.0.1`; may be empty). It counts
    /// from the server's next start.
    pub fn replace_server(&self, common_name: &str, extension: &str) {
        let folder = self.ca.parent().expect("the certificates lie in a folder");
        let owner = std::fs::metadata(&self.server_key).expect("look at the server's key");
        signed(folder, "server", common_name, extension);
        std::os::unix::fs::chown(&self.server_key, Some(owner.uid()), Some(owner.gid()))
            .expect("give the key to the server");
    }
}

impl TlsFiles {
    /// A certificate of the same authority in place of the server's, of which the time is over. It
    /// counts from the server's next start.
    pub fn expire_server(&self, common_name: &str) {
        self.replace_server(common_name, &format!("subjectAltName=DNS:{common_name}"));
        let folder = self.ca.parent().expect("the certificates lie in a folder");
        let config = "[ca]\ndefault_ca = x\n[x]\ndatabase = old.txt\nserial = old.serial\nnew_certs_dir = .\ndefault_md = sha256\n\
                      policy = any\n[any]\ncommonName = supplied\n";
        for (name, text) in [("old.cnf", config), ("old.txt", ""), ("old.serial", "77\n")] {
            std::fs::write(folder.join(name), text).expect("write the certificate's configuration");
        }
        let sign = [
            "ca",
            "-batch",
            "-config",
            "old.cnf",
            "-keyfile",
            "ca.key",
            "-cert",
            "ca.crt",
            "-in",
            "server.csr",
        ];
        let time = ["-startdate", "20200101000000Z", "-enddate", "20200201000000Z"];
        openssl(
            folder,
            &[&sign[..], &time, &["-extfile", "server.ext", "-notext", "-out", "server.crt"]].concat(),
        );
    }
}

fn authority(folder: &Path, name: &str) {
    let subject = format!("/CN=pgark test {name}");
    let (key, cert) = (format!("{name}.key"), format!("{name}.crt"));
    openssl(
        folder,
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-sha256",
            "-days",
            "2",
            "-subj",
            &subject,
            "-keyout",
            &key,
            "-out",
            &cert,
        ],
    );
}

fn signed(folder: &Path, name: &str, common_name: &str, extension: &str) {
    let subject = format!("/CN={common_name}");
    let (key, request, cert, ext) =
        (format!("{name}.key"), format!("{name}.csr"), format!("{name}.crt"), format!("{name}.ext"));
    std::fs::write(folder.join(&ext), extension).expect("write the certificate's extension file");
    openssl(
        folder,
        &[
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-sha256",
            "-subj",
            &subject,
            "-keyout",
            &key,
            "-out",
            &request,
        ],
    );
    openssl(
        folder,
        &[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-sha256",
            "-days",
            "2",
            "-extfile",
            &ext,
            "-out",
            &cert,
        ],
    );
    std::fs::set_permissions(folder.join(&key), std::fs::Permissions::from_mode(0o600))
        .expect("close the key file");
}

/// A certificate that signed itself and is an authority's, as `openssl req -x509` makes it, and its
/// key. `names` as in `subjectAltName`; `is_over`: its time is.
pub(crate) fn self_signed(folder: &Path, names: &str, is_over: bool) -> (PathBuf, PathBuf) {
    let config = format!(
        "[ca]\ndefault_ca = x\n[x]\ndatabase = own.txt\nserial = own.serial\nnew_certs_dir = .\ndefault_md = sha256\npolicy = any\n\
         x509_extensions = v3\n[any]\ncommonName = supplied\n[v3]\nbasicConstraints = critical,CA:TRUE\nsubjectAltName = {names}\n"
    );
    for (name, text) in [("own.cnf", config.as_str()), ("own.txt", ""), ("own.serial", "01\n")] {
        std::fs::write(folder.join(name), text).expect("write the certificate's configuration");
    }
    let new = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    openssl(folder, &[&new[..], &["-subj", "/CN=own", "-keyout", "own.key", "-out", "own.csr"]].concat());
    let time: &[&str] = match is_over {
        true => &["-startdate", "20200101000000Z", "-enddate", "20200201000000Z"],
        false => &["-days", "2"],
    };
    let sign = ["ca", "-batch", "-config", "own.cnf", "-selfsign", "-keyfile", "own.key", "-in", "own.csr"];
    openssl(folder, &[&sign[..], &["-out", "own.crt", "-notext"], time].concat());
    (folder.join("own.crt"), folder.join("own.key"))
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("run the openssl program");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl TlsFiles {
    /// Two revocation lists of the authority: an empty one, and one that names the server's
    /// certificate.
    pub fn revocation_lists(&self) -> (PathBuf, PathBuf) {
        let folder = self.ca.parent().expect("a folder");
        let config = "[ca]\ndefault_ca = x\n[x]\ndatabase = index.txt\ncrlnumber = crlnumber\ndefault_md = sha256\n\
                      default_crl_days = 2\n";
        for (name, text) in [("ca.cnf", config), ("index.txt", ""), ("crlnumber", "01\n")] {
            std::fs::write(folder.join(name), text).expect("write the authority's files");
        }
        let ca = ["ca", "-config", "ca.cnf", "-keyfile", "ca.key", "-cert", "ca.crt"];
        openssl(folder, &[&ca[..], &["-gencrl", "-out", "empty.crl"]].concat());
        openssl(folder, &[&ca[..], &["-revoke", "server.crt"]].concat());
        openssl(folder, &[&ca[..], &["-gencrl", "-out", "revoked.crl"]].concat());
        (folder.join("empty.crl"), folder.join("revoked.crl"))
    }

    /// The client's key again, behind a password.
    pub fn encrypted_client_key(&self, password: &str) -> PathBuf {
        let folder = self.ca.parent().expect("a folder");
        let pass = format!("pass:{password}");
        openssl(
            folder,
            &["pkey", "-in", "client.key", "-aes256", "-passout", &pass, "-out", "client.enc.key"],
        );
        let file = folder.join("client.enc.key");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("close the key file");
        file
    }
}
