//! What a writer says of itself in its session (FORMAT.md, section 8): for whom it writes, where it
//! runs, and whether it is to be the only one.
//!
//! All of it is in the session's extensions, which older programs ignore. Nothing that keeps
//! data safe depends on it.

use minicbor::bytes::ByteVec;

use crate::codec::Extensions;
use crate::host;

/// What a session says in addition to its id and its time. A writer of an older program says
/// nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Announcement {
    /// The cluster's name.
    pub cluster: String,
    /// What is being done, in the caller's word.
    pub purpose: String,
    /// The host's name.
    pub host: String,
    /// The process, as its host knows it.
    pub process: String,
    /// Of those that say so one at a time writes for a cluster.
    pub alone: bool,
}

impl Announcement {
    /// What this process says.
    pub(crate) fn new(cluster: &str, purpose: &str, alone: bool) -> Announcement {
        let (host, process) =
            host::this().map(|host| (host.name.clone(), host.process.clone())).unwrap_or_default();
        Announcement { cluster: cluster.into(), purpose: purpose.into(), host, process, alone }
    }

    pub(crate) fn to_extensions(&self) -> Extensions {
        let texts = [
            ("cluster", &self.cluster),
            ("host", &self.host),
            ("process", &self.process),
            ("purpose", &self.purpose),
        ];
        let said = texts.into_iter().filter(|(_, text)| !text.is_empty());
        let said = said.map(|(name, text)| (name, ByteVec::from(text.clone().into_bytes())));
        Extensions::of(said.chain(self.alone.then(|| ("alone", ByteVec::from(Vec::new())))))
    }

    pub(crate) fn of(extensions: &Extensions) -> Announcement {
        let text = |name| {
            extensions.get(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
        };
        Announcement {
            cluster: text("cluster"),
            purpose: text("purpose"),
            host: text("host"),
            process: text("process"),
            alone: extensions.get("alone").is_some(),
        }
    }

    /// Whether its process ran on this host and is gone: it was killed, or the host has started
    /// again since.
    pub(crate) fn is_gone(&self) -> bool {
        !self.process.is_empty()
            && host::this()
                .is_some_and(|host| host.name == self.host && !(host.is_alive)(self.process.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::Announcement;
    use crate::codec::{self, Extensions};

    #[test]
    fn what_is_said_is_heard() {
        let said = Announcement {
            cluster: "prod".into(),
            purpose: "backup".into(),
            host: "db1".into(),
            process: String::new(),
            alone: true,
        };
        let bytes = codec::encode(&said.to_extensions());
        assert_eq!(Announcement::of(&codec::decode::<Extensions>(&bytes).unwrap()), said);
        let silent = Announcement::default();
        assert_eq!(silent.to_extensions(), Extensions::default());
        assert_eq!(Announcement::of(&Extensions::default()), silent);
    }
}
