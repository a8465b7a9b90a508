//! Doors for the fuzz targets: what people write and what servers answer.

use crate::cloud::as_of;
use crate::http;
use crate::url::StorageUrl;

/// A URL: what is taken must come back as it is shown.
pub fn url(text: &str) {
    if let Ok(url) = StorageUrl::parse(text) {
        let shown = url.to_string();
        assert_eq!(StorageUrl::parse(&shown).map(|again| again.to_string()), Ok(shown));
    }
}

/// A page of a list of versions, an error document, a date.
pub fn answer(text: &str) {
    let _ = as_of::read_page(text);
    let _ = http::element(text, "Code");
    let _ = http::httpdate(text);
}

/// The lines of a known_hosts file.
pub fn known_hosts(text: &str) {
    crate::sftp::known_hosts::read_any(text);
}
