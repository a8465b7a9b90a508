//! A bucket as it was: reads behind delete markers and newer versions.
//!
//! The versions below the repository's folder are listed once, when it is opened. Of each object
//! the newest version that is not younger than the moment is the one that is seen; where that is a
//! delete marker there is none. Nothing can be written or deleted. Source: Amazon S3 API reference,
//! ListObjectVersions, version 2006-03-01.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bytes::Bytes;
use jiff::Timestamp;
use quick_xml::Reader;
use quick_xml::events::Event;

use super::CloudStore;
use super::s3::Version;
use crate::traffic::TrafficReport;
use crate::{Cancel, Capabilities, ObjectMeta, PutOutcome, Store, StoreError, name};

/// One page of a list of versions.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub versions: Vec<Version>,
    /// Where the next begins: key and version.
    pub next: Option<(String, String)>,
}

/// Reads a page: `Version` and `DeleteMarker` elements, and the markers of the next page.
pub(crate) fn read_page(text: &str) -> Result<Page, String> {
    let mut reader = Reader::from_str(text);
    let mut page = Page::default();
    let mut open: Vec<String> = Vec::new();
    let mut version: Option<Version> = None;
    let (mut truncated, mut next) = (false, (String::new(), String::new()));
    let mut value = String::new();
    loop {
        match reader.read_event().map_err(|error| format!("a list of versions cannot be parsed: {error}"))? {
            Event::Start(start) => {
                let name = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
                if open.len() == 1 && (name == "Version" || name == "DeleteMarker") {
                    version = Some(Version { deleted: name == "DeleteMarker", ..Version::default() });
                }
                value.clear();
                open.push(name);
            }
            Event::Text(part) => value.push_str(&part.decode().map_err(|error| error.to_string())?),
            Event::GeneralRef(entity) => {
                let name = entity.decode().map_err(|error| error.to_string())?;
                match entity.resolve_char_ref().ok().flatten() {
                    Some(letter) => value.push(letter),
                    None => value.push_str(quick_xml::escape::resolve_xml_entity(&name).unwrap_or_default()),
                }
            }
            Event::End(_) => {
                let name = open.pop().unwrap_or_default();
                match (open.len(), name.as_str(), &mut version) {
                    (1, "Version" | "DeleteMarker", _) => page.versions.extend(version.take()),
                    (1, "IsTruncated", _) => truncated = value.trim() == "true",
                    (1, "NextKeyMarker", _) => next.0 = std::mem::take(&mut value),
                    (1, "NextVersionIdMarker", _) => next.1 = std::mem::take(&mut value),
                    (2, "Key", Some(version)) => version.key = std::mem::take(&mut value),
                    (2, "VersionId", Some(version)) => version.id = std::mem::take(&mut value),
                    (2, "Size", Some(version)) => version.size = value.trim().parse().unwrap_or_default(),
                    (2, "LastModified", Some(version)) => {
                        let moment: Option<Timestamp> = value.trim().parse().ok();
                        version.modified = moment.map(Into::into);
                    }
                    _ => {}
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    if truncated && next.0.is_empty() {
        return Err("a list of versions is incomplete and does not say where it continues".into());
    }
    page.next = truncated.then_some(next);
    Ok(page)
}

/// Objects by name: version, size and time of each.
pub(crate) type Seen = BTreeMap<String, (String, ObjectMeta)>;

/// The view.
pub(crate) struct AsOf {
    store: CloudStore,
    moment: SystemTime,
    seen: Seen,
}

/// Lists what was there at that moment.
pub(crate) fn what_was_there(
    store: &CloudStore,
    moment: SystemTime,
    cancel: &Cancel,
) -> Result<Seen, StoreError> {
    let Some(s3) = &store.s3 else {
        return Err(StoreError::Unsupported {
            what: format!("{}: only S3 buckets can be seen as they were earlier", store.shown),
            hint: "restore the deleted or overwritten objects with the storage's own tools first".into(),
        });
    };
    if store.keeps_versions(cancel)? != Some(true) {
        return Err(StoreError::Unsupported {
            what: format!(
                "{}: the bucket keeps no versions, so it cannot be read as it was earlier",
                store.shown
            ),
            hint: "read it as it is now; versioning protects only what is written after it was enabled"
                .into(),
        });
    }
    let root = if store.prefix.is_empty() { String::new() } else { format!("{}/", store.prefix) };
    let versions = store.ask(cancel, "list the versions in", "", s3.versions(&root))?;
    let mut newest: BTreeMap<String, Version> = BTreeMap::new();
    for version in versions {
        let Some(modified) = version.modified.filter(|modified| *modified <= moment) else { continue };
        let Some(name) = store.below(&version.key).filter(|name| name::check(name).is_ok()) else {
            continue;
        };
        // A list has the newest of each key first; of two of one moment the first therefore stays.
        let stays = newest.get(name).is_some_and(|known| known.modified >= Some(modified));
        if !stays {
            newest.insert(name.to_string(), version);
        }
    }
    Ok(newest
        .into_iter()
        .filter(|(_, version)| !version.deleted)
        .map(|(name, version)| {
            let modified = version.modified.unwrap_or(moment);
            let meta = ObjectMeta { name: name.clone(), size: version.size, modified };
            (name, (version.id, meta))
        })
        .collect())
}

impl AsOf {
    pub(crate) fn new(store: CloudStore, moment: SystemTime, seen: Seen) -> AsOf {
        AsOf { store, moment, seen }
    }

    fn find(&self, operation: &'static str, name: &str) -> Result<&(String, ObjectMeta), StoreError> {
        name::check(name)?;
        let none = || StoreError::NotFound { operation, object: self.store.object(name) };
        self.seen.get(name).ok_or_else(none)
    }

    fn read_only<T>(&self) -> Result<T, StoreError> {
        let moment = Timestamp::try_from(self.moment).unwrap_or_default();
        Err(StoreError::Unsupported {
            what: format!("{} is seen as of {moment:.0}, and the past cannot be changed", self.store.shown),
            hint: "use the repository as it is now".into(),
        })
    }
}

impl Store for AsOf {
    fn location(&self) -> String {
        self.store.location()
    }

    fn place(&self) -> String {
        self.store.place()
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    fn put_if_absent(&self, _: &str, _: Bytes, _: &Cancel) -> Result<PutOutcome, StoreError> {
        self.read_only()
    }

    fn get(&self, name: &str, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
        let (version, _) = self.find("read", name)?;
        self.store.read(name, None, Some(version.clone()), cancel)
    }

    fn get_range(&self, name: &str, offset: u64, len: u64, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
        let (version, meta) = self.find("read", name)?;
        self.store.read_range(name, offset, len, Some(version.clone()), || Ok(meta.size), cancel)
    }

    fn stat(&self, name: &str, _: &Cancel) -> Result<ObjectMeta, StoreError> {
        Ok(self.find("look at", name)?.1.clone())
    }

    fn list(&self, prefix: &str, _: &Cancel) -> Result<Vec<ObjectMeta>, StoreError> {
        name::check_prefix(prefix)?;
        let from = self.seen.range(prefix.to_string()..);
        Ok(from.take_while(|(name, _)| name.starts_with(prefix)).map(|(_, (_, meta))| meta.clone()).collect())
    }

    fn delete(&self, _: &str, _: &Cancel) -> Result<(), StoreError> {
        self.read_only()
    }

    fn traffic(&self) -> Option<TrafficReport> {
        self.store.traffic()
    }

    fn is_past(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_read() {
        let text = r#"<?xml version="1.0"?><ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
            <Name>b</Name><IsTruncated>true</IsTruncated><NextKeyMarker>a&amp;b</NextKeyMarker><NextVersionIdMarker>7</NextVersionIdMarker>
            <Version><Key>p/x</Key><VersionId>1</VersionId><LastModified>2026-11-21T10:00:00.000Z</LastModified><Size>12</Size>
            <Owner><ID>me</ID></Owner></Version>
            <DeleteMarker><Key>p/y</Key><VersionId>2</VersionId><LastModified>2026-11-21T10:00:01Z</LastModified></DeleteMarker>
            </ListVersionsResult>"#;
        let page = read_page(text).unwrap();
        assert_eq!(page.next, Some(("a&b".into(), "7".into())));
        let shown: Vec<_> =
            page.versions.iter().map(|v| (v.key.as_str(), v.id.as_str(), v.size, v.deleted)).collect();
        assert_eq!(shown, [("p/x", "1", 12, false), ("p/y", "2", 0, true)]);
        assert!(page.versions.iter().all(|version| version.modified.is_some()));
        assert!(read_page("<a><b></a>").is_err());
        assert!(
            read_page("<ListVersionsResult><IsTruncated>true</IsTruncated></ListVersionsResult>").is_err()
        );
    }
}
