//! Text in other encodings than UTF-8, where no server can be asked: names in dumps that came from
//! elsewhere, and what is typed in a terminal that is not UTF-8.

use encoding_rs::Encoding;

/// The text of a name or value in an encoding, by PostgreSQL's name for that; none if it is not
/// known, or the bytes are none in it.
pub fn of_server(encoding: &str, bytes: &[u8]) -> Option<String> {
    if encoding == "LATIN1" {
        return Some(latin1(bytes));
    }
    decode(label(encoding)?, bytes)
}

/// The bytes of a text in an encoding, by PostgreSQL's name for that; none if it is not known, or
/// has not all of the characters.
pub fn to_server(encoding: &str, text: &str) -> Option<Vec<u8>> {
    if encoding == "LATIN1" {
        return text.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect();
    }
    let (bytes, _, has_others) = Encoding::for_label(label(encoding)?.as_bytes())?.encode(text);
    (!has_others).then(|| bytes.into_owned())
}

/// The Web's name for an encoding of PostgreSQL.
fn label(encoding: &str) -> Option<&'static str> {
    Some(match encoding {
        "EUC_JP" => "euc-jp",
        "EUC_KR" | "UHC" => "euc-kr",
        "EUC_CN" | "GBK" => "gbk",
        "GB18030" => "gb18030",
        "BIG5" => "big5",
        "SJIS" => "shift_jis",
        "KOI8R" => "koi8-r",
        "KOI8U" => "koi8-u",
        "WIN866" => "ibm866",
        "WIN874" => "windows-874",
        "LATIN2" => "iso-8859-2",
        "LATIN3" => "iso-8859-3",
        "LATIN4" => "iso-8859-4",
        "LATIN5" => "iso-8859-9",
        "LATIN6" => "iso-8859-10",
        "LATIN7" => "iso-8859-13",
        "LATIN8" => "iso-8859-14",
        "LATIN9" => "iso-8859-15",
        "LATIN10" => "iso-8859-16",
        "ISO_8859_5" => "iso-8859-5",
        "ISO_8859_6" => "iso-8859-6",
        "ISO_8859_7" => "iso-8859-7",
        "ISO_8859_8" => "iso-8859-8",
        "WIN1250" => "windows-1250",
        "WIN1251" => "windows-1251",
        "WIN1252" => "windows-1252",
        "WIN1253" => "windows-1253",
        "WIN1254" => "windows-1254",
        "WIN1255" => "windows-1255",
        "WIN1256" => "windows-1256",
        "WIN1257" => "windows-1257",
        "WIN1258" => "windows-1258",
        _ => return None,
    })
}

/// The text of what was typed under a locale (`ja_JP.eucJP`, `ru_RU.KOI8-R`, `de_DE@euro`); none if
/// its encoding is not known, or the bytes are none in it. The locale `C` knows no letters beyond
/// ASCII.
pub fn of_locale(locale: &str, bytes: &[u8]) -> Option<String> {
    let (name, modifier) = locale.split_once('@').unwrap_or((locale, ""));
    let codeset = match name.split_once('.') {
        Some((_, codeset)) => codeset,
        None if modifier == "euro" => "ISO-8859-15",
        None => old_default(name)?,
    };
    let codeset: String =
        codeset.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let label = match codeset.as_str() {
        "eucjp" | "ujis" => "euc-jp".to_string(),
        "euckr" => "euc-kr".to_string(),
        "euccn" | "gb2312" | "gbk" => "gbk".to_string(),
        "gb18030" => "gb18030".to_string(),
        "big5" | "big5hkscs" => "big5".to_string(),
        "sjis" | "shiftjis" => "shift_jis".to_string(),
        "koi8r" => "koi8-r".to_string(),
        "koi8u" => "koi8-u".to_string(),
        "tis620" => "windows-874".to_string(),
        "iso88591" | "latin1" => return Some(latin1(bytes)),
        other => match (other.strip_prefix("iso8859"), other.strip_prefix("cp")) {
            (Some(part), _) => format!("iso-8859-{part}"),
            (None, Some("866")) => "ibm866".to_string(),
            (None, Some(page)) => format!("windows-{page}"),
            _ => other.to_string(),
        },
    };
    decode(&label, bytes)
}

/// What a locale without a codeset means, of those that people still have.
fn old_default(name: &str) -> Option<&'static str> {
    Some(match name.split('_').next()? {
        "C" | "POSIX" | "" => return None,
        "ja" => "eucJP",
        "ko" => "eucKR",
        "ru" => "ISO-8859-5",
        "uk" => "KOI8-U",
        "cs" | "hr" | "hu" | "pl" | "ro" | "sk" | "sl" => "ISO-8859-2",
        "el" => "ISO-8859-7",
        "he" => "ISO-8859-8",
        "tr" => "ISO-8859-9",
        "zh" if name == "zh_TW" => "Big5",
        "zh" => "GB2312",
        _ => "ISO-8859-1",
    })
}

fn decode(label: &str, bytes: &[u8]) -> Option<String> {
    let encoding = Encoding::for_label(label.as_bytes())?;
    encoding.decode_without_bom_handling_and_without_replacement(bytes).map(|text| text.into_owned())
}

/// The Web takes ISO 8859-1 for a code page of Windows; servers and locales do not.
fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::{of_locale, of_server, to_server};

    #[test]
    fn encodings_of_servers() {
        let is = |encoding: &str, bytes: &[u8], text: &str| {
            assert_eq!(of_server(encoding, bytes).as_deref(), Some(text), "{encoding}");
        };
        is("EUC_JP", b"\xc6\xfc\xcb\xdc", "日本");
        is("KOI8R", b"\xd4\xc1\xc2\xcc\xc9\xc3\xc1", "таблица");
        is("WIN1251", b"\xf2\xe0\xe1\xeb\xe8\xf6\xe0", "таблица");
        is("LATIN1", b"\xe9\x80", "é\u{80}");
        is("LATIN9", b"\xa4", "€");
        assert_eq!((of_server("EUC_JP", b"\xc6"), of_server("EUC_TW", b"\xa4\xa4")), (None, None));
    }

    #[test]
    fn texts_go_back_into_their_encoding_or_are_refused() {
        let is = |encoding: &str, text: &str, bytes: Option<&[u8]>| {
            assert_eq!(to_server(encoding, text).as_deref(), bytes, "{encoding} {text}");
        };
        is("EUC_JP", "日本", Some(b"\xc6\xfc\xcb\xdc"));
        is("KOI8R", "таблица", Some(b"\xd4\xc1\xc2\xcc\xc9\xc3\xc1"));
        is("LATIN1", "é\u{80}", Some(b"\xe9\x80"));
        is("LATIN1", "€", None);
        is("LATIN9", "€", Some(b"\xa4"));
        is("WIN1252", "таблица", None);
        is("EUC_TW", "a", None);
    }

    #[test]
    fn encodings_of_locales() {
        let is = |locale: &str, bytes: &[u8], text: &str| {
            assert_eq!(of_locale(locale, bytes).as_deref(), Some(text), "{locale}");
        };
        is("ja_JP.eucJP", b"\xc6\xfc\xcb\xdc", "日本");
        is("ru_RU.KOI8-R", b"\xd4", "т");
        is("ru_RU.CP1251", b"\xf2", "т");
        is("de_DE.ISO-8859-1", b"\xe4", "ä");
        is("de_DE@euro", b"\xa4", "€");
        is("pl_PL", b"\xb1", "ą");
        assert_eq!((of_locale("C", b"\xe4"), of_locale("", b"\xe4")), (None, None));
        assert_eq!(of_locale("C.UTF-8", b"\xe4"), None);
    }
}
