//! Who we are: keys of the agent, key files, password, in this order; a certificate goes before the
//! key that it is of.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::client::{self, AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::{AgentClient, AgentStream};
use russh::keys::signature::Signer as _;
use russh::keys::ssh_encoding::Encode;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{
    Algorithm, Certificate, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey, load_public_key,
    load_secret_key,
};
use russh::{AgentAuthError, MethodKind, MethodSet, Signer};
use secrecy::ExposeSecret;

use super::connect::failed;
use crate::error::with_causes;
use crate::target::SftpConfig;
use crate::{Cause, StoreError};

/// A server that asks more often than this does not end.
const QUESTIONS: u32 = 8;

/// Tries what there is; the error lists what was tried.
pub(super) async fn log_in<H: client::Handler>(
    handle: &mut Handle<H>,
    config: &SftpConfig,
    shown: &str,
) -> Result<(), StoreError> {
    let broken =
        |error: russh::Error| failed(shown, format!("log in: {}", with_causes(&error)), Cause::Network);
    let mut login =
        Login { handle, config, certificates: Vec::new(), tried: Vec::new(), takes: MethodSet::empty() };
    login.read_certificates();
    if let Some(socket) = &config.agent {
        match login.by_agent(socket).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(why) => login.tried.push(format!("the agent ({why})")),
        }
    }
    for path in &config.keys {
        match login.by_key(path).await.map_err(broken)? {
            None => return Ok(()),
            Some(why) => login.tried.push(format!("the key {} ({why})", path.display())),
        }
    }
    if let Some(password) = &config.password
        && login.by_password(password.expose_secret()).await.map_err(broken)?
    {
        return Ok(());
    }
    Err(login.refused(shown))
}

struct Login<'a, H: client::Handler> {
    handle: &'a mut Handle<H>,
    config: &'a SftpConfig,
    certificates: Vec<Certificate>,
    /// What did not log in, in words.
    tried: Vec<String>,
    /// What the server said last that it would take.
    takes: MethodSet,
}

impl<H: client::Handler> Login<'_, H> {
    /// Those that are named, and those next to the keys.
    fn read_certificates(&mut self) {
        let beside = |key: &PathBuf| PathBuf::from(format!("{}-cert.pub", key.display()));
        let beside = self.config.keys.iter().map(beside).filter(|path| path.exists());
        for path in self.config.certificates.iter().cloned().chain(beside) {
            let read = std::fs::read_to_string(&path).map_err(|error| error.to_string());
            let read = read
                .and_then(|text| Certificate::from_openssh(text.trim()).map_err(|error| error.to_string()));
            match read {
                Ok(certificate) if self.certificates.contains(&certificate) => {}
                Ok(certificate) => self.certificates.push(certificate),
                Err(why) => self.tried.push(format!("the certificate {} ({why})", path.display())),
            }
        }
    }

    fn certificates_of(&self, key: &KeyData) -> Vec<Certificate> {
        self.certificates.iter().filter(|one| one.public_key() == key).cloned().collect()
    }

    fn is_in(&mut self, result: AuthResult) -> bool {
        match result {
            AuthResult::Success => true,
            AuthResult::Failure { remaining_methods, .. } => {
                self.takes = remaining_methods;
                false
            }
        }
    }

    /// Whether that logged in.
    async fn by_agent(&mut self, socket: &Path) -> Result<bool, String> {
        let mut agent = AgentClient::connect_uds(socket).await.map_err(|error| error.to_string())?.dynamic();
        let identities = agent.request_identities().await.map_err(|error| error.to_string())?;
        let wanted = self.config.only_these_keys.then(|| public_halves(&self.config.keys));
        let mut count = Count::default();
        for identity in identities {
            let key = match &identity {
                AgentIdentity::PublicKey { key, .. } => key.key_data(),
                AgentIdentity::Certificate { certificate, .. } => certificate.public_key(),
            };
            if wanted.as_ref().is_some_and(|wanted| !wanted.contains(key)) {
                continue;
            }
            let hash = self.hash_for(&key.algorithm()).await.map_err(|error| error.to_string())?;
            let is_in = match identity {
                AgentIdentity::Certificate { certificate, .. } => {
                    self.certificate(certificate, hash, &mut agent).await
                }
                AgentIdentity::PublicKey { key, .. } => {
                    for certificate in self.certificates_of(key.key_data()) {
                        let is_in = self.certificate(certificate, hash, &mut PlainKey(&mut agent)).await;
                        if count.add(is_in)? {
                            return Ok(true);
                        }
                    }
                    let user = &self.config.user;
                    let result = self.handle.authenticate_publickey_with(user, key, hash, &mut agent).await;
                    result.map(|result| self.is_in(result))
                }
            };
            if count.add(is_in)? {
                return Ok(true);
            }
        }
        let refused = count.refused;
        self.tried.push(match count.unsigned {
            None => format!("{refused} keys of the agent"),
            Some(why) => format!("{refused} keys of the agent (which could not sign with others: {why})"),
        });
        Ok(false)
    }

    async fn certificate<S: Signer>(
        &mut self,
        certificate: Certificate,
        hash: Option<HashAlg>,
        signer: &mut S,
    ) -> Result<bool, S::Error> {
        let user = &self.config.user;
        let result = self.handle.authenticate_certificate_with(user, certificate, hash, signer).await?;
        Ok(self.is_in(result))
    }

    /// The hash to sign with; only with RSA keys there is a choice, and the server says which it
    /// takes (RFC 8308).
    async fn hash_for(&self, algorithm: &Algorithm) -> Result<Option<HashAlg>, russh::Error> {
        match matches!(algorithm, Algorithm::Rsa { .. }) {
            true => Ok(self.handle.best_supported_rsa_hash().await?.flatten()),
            false => Ok(None),
        }
    }

    /// None if that logged in; else why not.
    async fn by_key(&mut self, path: &Path) -> Result<Option<String>, russh::Error> {
        let passphrase = self.config.key_passphrase.as_ref().map(|secret| secret.expose_secret());
        let key = match load_secret_key(path, passphrase) {
            Ok(key) => key,
            Err(russh::keys::Error::KeyIsEncrypted) => {
                return Ok(Some("it has a passphrase, and none was given".into()));
            }
            Err(error) => return Ok(Some(error.to_string())),
        };
        let hash = self.hash_for(&key.algorithm()).await?;
        let certificates = self.certificates_of(key.public_key().key_data());
        let with_certificate = if certificates.is_empty() { "" } else { ", also with its certificate" };
        for certificate in certificates {
            match self.certificate(certificate, hash, &mut OwnKey(&key)).await {
                Ok(true) => return Ok(None),
                Ok(false) => {}
                Err(AgentAuthError::Send(_)) => return Err(russh::Error::SendError),
                Err(AgentAuthError::Key(error)) => return Ok(Some(error.to_string())),
            }
        }
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
        let result = self.handle.authenticate_publickey(&self.config.user, key).await?;
        Ok((!self.is_in(result)).then(|| format!("refused{with_certificate}")))
    }

    /// Whether that logged in.
    async fn by_password(&mut self, password: &str) -> Result<bool, russh::Error> {
        let user = &self.config.user;
        let result = self.handle.authenticate_password(user, password).await?;
        if self.is_in(result) {
            return Ok(true);
        }
        let mut more = String::new();
        // Many servers take a password only as the answer to a question (RFC 4256).
        if self.takes.contains(&MethodKind::KeyboardInteractive) {
            let mut answer = self.handle.authenticate_keyboard_interactive_start(user, None).await?;
            let mut is_given = false;
            for _ in 0..QUESTIONS {
                let prompts = match answer {
                    KeyboardInteractiveAuthResponse::Success => return Ok(true),
                    KeyboardInteractiveAuthResponse::Failure { remaining_methods, .. } => {
                        self.takes = remaining_methods;
                        break;
                    }
                    KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => prompts,
                };
                let answers = match prompts.as_slice() {
                    [] => Vec::new(),
                    [one] if !one.echo && !is_given => {
                        is_given = true;
                        vec![password.to_string()]
                    }
                    // A code or a new password: nobody sits there.
                    [first, ..] => {
                        more = format!(" (the server also asks {:?})", first.prompt.trim());
                        break;
                    }
                };
                answer = self.handle.authenticate_keyboard_interactive_respond(answers).await?;
            }
        }
        self.tried.push(format!("the password{more}"));
        Ok(false)
    }

    fn refused(&self, shown: &str) -> StoreError {
        let tried = if self.tried.is_empty() {
            "nothing: no agent, no key and no password".into()
        } else {
            self.tried.join(", ")
        };
        let takes: Vec<&str> = self.takes.iter().map(Into::into).collect();
        let takes =
            if takes.is_empty() { String::new() } else { format!("; it accepts: {}", takes.join(", ")) };
        let answer = format!("the server refuses user {}; tried: {tried}{takes}", self.config.user);
        // A connection that breaks looks like a refusal; a server that has had enough of refusals
        // breaks it, too.
        let passing = self.handle.is_closed();
        let (operation, object) = ("connect to", shown.to_string());
        StoreError::Failed { operation, object, answer, cause: Cause::Credentials, passing }
    }
}

/// What became of the agent's keys.
#[derive(Default)]
struct Count {
    refused: u32,
    /// Why the agent did not sign with one.
    unsigned: Option<String>,
}

impl Count {
    /// Whether that logged in; an error ends all tries.
    fn add(&mut self, is_in: Result<bool, AgentAuthError>) -> Result<bool, String> {
        match is_in {
            Ok(true) => return Ok(true),
            Ok(false) => self.refused += 1,
            // One whose use someone did not confirm; the next may be another's.
            Err(AgentAuthError::Key(error)) => self.unsigned = Some(error.to_string()),
            Err(error @ AgentAuthError::Send(_)) => return Err(error.to_string()),
        }
        Ok(false)
    }
}

/// Of keys whose secret half may lie elsewhere.
fn public_halves(keys: &[PathBuf]) -> Vec<KeyData> {
    let public = |key: &PathBuf| {
        load_public_key(format!("{}.pub", key.display())).or_else(|_| load_public_key(key)).ok()
    };
    keys.iter().filter_map(public).map(|key| key.key_data().clone()).collect()
}

/// A key at hand that signs for a certificate of it.
struct OwnKey<'a>(&'a PrivateKey);

impl Signer for OwnKey<'_> {
    type Error = AgentAuthError;

    async fn auth_sign(
        &mut self,
        _certificate: &AgentIdentity,
        hash: Option<HashAlg>,
        mut data: Vec<u8>,
    ) -> Result<Vec<u8>, AgentAuthError> {
        let signature = match self.0.key_data() {
            KeypairData::Rsa(pair) => (pair, hash).try_sign(&data),
            pair => pair.try_sign(&data),
        };
        let signature =
            signature.map_err(|error| russh::keys::Error::from(russh::keys::ssh_key::Error::from(error)))?;
        signature.encode_prefixed(&mut data).map_err(russh::keys::Error::from)?;
        Ok(data)
    }
}

/// A key of the agent that signs for a certificate which the agent does not have.
struct PlainKey<'a>(&'a mut AgentClient<Box<dyn AgentStream + Send + Unpin>>);

impl Signer for PlainKey<'_> {
    type Error = AgentAuthError;

    async fn auth_sign(
        &mut self,
        identity: &AgentIdentity,
        hash: Option<HashAlg>,
        data: Vec<u8>,
    ) -> Result<Vec<u8>, AgentAuthError> {
        let identity = match identity {
            AgentIdentity::Certificate { certificate, comment } => AgentIdentity::PublicKey {
                key: PublicKey::from(certificate.public_key().clone()),
                comment: comment.clone(),
            },
            key => key.clone(),
        };
        Ok(self.0.sign_request(&identity, hash, data).await?)
    }
}
