//! The files of an edition, as the program holds them, and how they are read.
//!
//! A file is UTF-8. `[list]` begins a list, whose entries are the lines that follow; `[list] xx_YY`
//! says that the list is the one of that file. A file is read when it is first asked for.

use std::sync::OnceLock;

use super::list::List;

/// One locale of an edition, or what all locales share.
pub(super) struct File {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
    lists: OnceLock<Vec<Found>>,
}

/// What a file says of a list.
#[derive(Clone, Debug)]
enum Found {
    Own(Vec<&'static str>),
    Of(&'static str),
    Nothing,
}

/// The file of what all locales share.
pub(super) const COMMON: &str = "common";

macro_rules! edition {
    ($name:ident $folder:literal: $($file:literal)+) => {
        pub(super) static $name: [File; [$($file,)+].len()] = [$(File {
            name: $file,
            text: include_str!(concat!("../../vocabulary/", $folder, "/", $file, ".txt")),
            lists: OnceLock::new(),
        },)+];
    };
}

edition! { V1 "v1":
    "ar_DZ" "ar_PS" "ar_SA" "az_AZ" "bg_BG" "bn_BD" "common" "cs_CZ" "da_DK" "de_AT" "de_CH" "de_DE"
    "de_LI" "de_LU" "el_GR" "en_AU" "en_CA" "en_GB" "en_IE" "en_IN" "en_KE" "en_NG" "en_NZ" "en_PH"
    "en_PK" "en_US" "es_AR" "es_CA" "es_CL" "es_CO" "es_ES" "es_MX" "et_EE" "fa_IR" "fi_FI" "fil_PH"
    "fr_BE" "fr_CA" "fr_CH" "fr_DZ" "fr_FR" "ga_IE" "gu_IN" "ha_NG" "he_IL" "hi_IN" "hr_HR" "hu_HU"
    "hy_AM" "id_ID" "is_IS" "it_IT" "ja_JP" "ka_GE" "ko_KR" "lt_LT" "lv_LV" "mk_MK" "mr_IN" "ne_NP"
    "nl_BE" "nl_NL" "no_NO" "or_IN" "pl_PL" "pt_BR" "pt_PT" "ro_RO" "ru_RU" "si_LK" "sk_SK" "sl_SI"
    "sv_SE" "ta_IN" "th_TH" "tr_TR" "tw_GH" "uk_UA" "uz_UZ" "vi_VN" "yo_NG" "zh_CN" "zh_TW" "zu_ZA"
}

/// A list of a file, of the file that it names for it, or of what all locales share; empty if
/// nobody has it.
pub(super) fn list(files: &'static [File], name: &str, list: List) -> &'static [&'static str] {
    let mut name = name;
    // A file names another one for a list only if that one has it itself.
    for _ in 0..2 {
        match file(files, name).map(|file| file.found(list)) {
            Some(Found::Own(entries)) => return entries,
            Some(Found::Of(other)) => name = other,
            Some(Found::Nothing) | None => break,
        }
    }
    match file(files, COMMON).map(|file| file.found(list)) {
        Some(Found::Own(entries)) => entries,
        _ => &[],
    }
}

/// The file of a name.
pub(super) fn file(files: &'static [File], name: &str) -> Option<&'static File> {
    files.iter().find(|file| file.name == name)
}

impl File {
    fn found(&'static self, list: List) -> &'static Found {
        let lists = self.lists.get_or_init(|| self.parse());
        lists.get(list as usize).unwrap_or(&Found::Nothing)
    }

    fn parse(&'static self) -> Vec<Found> {
        let mut lists = vec![Found::Nothing; List::ALL.len()];
        let mut current = None;
        for line in self.text.lines() {
            if let Some((name, owner)) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                current = List::named(name);
                if let Some(found) = current.and_then(|list| lists.get_mut(list as usize)) {
                    *found = match owner.trim() {
                        "" => Found::Own(Vec::new()),
                        owner => Found::Of(owner),
                    };
                }
            } else if let Some(Found::Own(entries)) =
                current.and_then(|list: List| lists.get_mut(list as usize))
            {
                entries.push(line);
            }
        }
        lists
    }
}
