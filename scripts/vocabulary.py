#!/usr/bin/env python3
"""Makes the word lists of crates/mask from a pinned release of the PyPI package Faker (MIT).

It is run by hand: `python3 -m venv V && V/bin/pip install Faker==40.63.0 && V/bin/python
scripts/vocabulary.py`. An edition that was released never changes; new words are a new edition,
in a folder of its own. The output depends only on the release of Faker and on Python's
`random.Random`, which keeps its sequences.

A file is one locale. `[list]` begins a list; `[list] xx_YY` says that the list is that locale's.
Lists are sorted, but for months, weekdays and formats. src/vocabulary/list.rs says what
each list is.
"""

import hashlib
import importlib
import os
import re
import shutil
import sys
import unicodedata

import faker
from faker import Faker

RELEASE = "40.63.0"
EDITION = "v1"
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "crates", "mask", "vocabulary")

LOCALES = """ar_DZ ar_PS ar_SA az_AZ bg_BG bn_BD cs_CZ da_DK de_AT de_CH de_DE de_LI de_LU el_GR en_AU
en_CA en_GB en_IE en_IN en_KE en_NG en_NZ en_PH en_PK en_US es_AR es_CA es_CL es_CO es_ES es_MX et_EE
fa_IR fi_FI fil_PH fr_BE fr_CA fr_CH fr_DZ fr_FR ga_IE gu_IN ha_NG he_IL hi_IN hr_HR hu_HU hy_AM id_ID
is_IS it_IT ja_JP ka_GE ko_KR lt_LT lv_LV mk_MK mr_IN ne_NP nl_BE nl_NL no_NO or_IN pl_PL pt_BR pt_PT
ro_RO ru_RU si_LK sk_SK sl_SI sv_SE ta_IN th_TH tr_TR tw_GH uk_UA uz_UZ vi_VN yo_NG zh_CN zh_TW
zu_ZA""".split()

# Whose list a locale takes where it has none: the first of its language that has one, else en_US.
FIRST = ["ar_SA", "ar_DZ", "de_DE", "en_US", "en_GB", "es_ES", "fr_FR", "nl_NL", "pt_PT", "zh_CN"]

# Most entries of a list: a fiction needs variety, and the program stays small.
MOST = {
    "first_male": 400, "first_female": 400, "first_neutral": 200, "middle_male": 200, "middle_female": 200,
    "last": 1000, "last_male": 700, "last_female": 700, "street": 400, "city": 400, "state": 120,
    "country": 260, "job": 300, "word": 500, "company_word": 200, "postcode": 40, "number": 8,
}
LONGEST = 48

# Slips of Faker's lists.
SLIPS = {"auch Schlauchin", "Dussen van", "Corporacin"}

# Where Faker's address is not a street and a number.
LINES = {
    "az_AZ": "{street} {number}", "bn_BD": "{number}, {street}", "en_PH": "{number} {street}",
    "es_AR": "{street} {number}", "es_CO": "{street} # {number}", "es_MX": "{street} {number}",
    "fil_PH": "{number} {street}", "hu_HU": "{street} {number}", "ja_JP": "{street}{number}",
    "ko_KR": "{street} {number}", "ne_NP": "{street} {number}", "no_NO": "{street} {number}",
    "pl_PL": "{street} {number}", "ro_RO": "{street} {number}", "ru_RU": "{street}, д. {number}",
    "uk_UA": "вул. {street}, буд. {number}", "vi_VN": "{number} {street}", "zh_CN": "{street}{number}",
    "zh_TW": "{street}{number}", "zu_ZA": "{number} {street}", "de_CH": "{street} {number}",
}
NUMBERS = {
    "ja_JP": ["%丁目%番%号", "%丁目%#番%号", "%丁目%#番%#号"], "zh_CN": ["%号", "%#号", "%##号"],
    "zh_TW": ["%號", "%#號", "%##號"], "hu_HU": ["%.", "%#.", "%##."], "ro_RO": ["nr. %", "nr. %#", "nr. %##"],
    "es_CO": ["%-%", "%#-%#", "%#-%"], "vi_VN": ["Số %", "Số %#", "Số %##"],
}
NAMES = {"ja_JP": "{last} {first}", "vi_VN": "{last} {middle} {first}", "hu_HU": "{last} {first}"}

# Titles where Faker has none or calls the particles of last names so: male and female.
TITLES = {
    "es_AR": ("Dr.|Sr.", "Dra.|Sra."), "es_CA": ("Dr.|Sr.", "Dra.|Sra."), "es_ES": ("Dr.|Sr.", "Dra.|Sra."),
    "fr_FR": ("Dr|M.", "Dr|Mme"), "pt_PT": ("Dr.|Sr.", "Dra.|Sra."), "nl_NL": ("Dhr.|Dr.", "Dr.|Mevr."),
    "nl_BE": ("Dhr.|Dr.", "Dr.|Mevr."), "pl_PL": ("Dr|Pan", "Dr|Pani"), "ro_RO": ("Dl.|Dr.", "Dna.|Dr."),
    "sv_SE": ("Dr.|Herr", "Dr.|Fru"),
}
# Faker's Chinese companies are parodies of real ones.
COMPANIES = {"zh_CN": ["{last}{last}{suffix}"], "zh_TW": ["{last}{last}{suffix}"]}

# South, north, west and east of a rectangle inside or near the country, in degrees.
BOXES = {
    "AR": (-50, -24, -70, -59), "AT": (47, 48, 10, 16), "AU": (-37, -17, 118, 149), "AZ": (39, 41, 46, 49),
    "BD": (22, 26, 88, 92), "BE": (50, 51, 3, 6), "BG": (42, 43, 23, 27), "BR": (-28, -4, -60, -40),
    "CA": (45, 58, -120, -66), "CH": (46, 47, 7, 10), "CL": (-50, -19, -73, -69), "CN": (23, 41, 86, 121),
    "CO": (0, 10, -77, -70), "CZ": (49, 50, 13, 18), "DE": (48, 54, 7, 14), "DK": (55, 57, 8, 12),
    "DZ": (20, 36, -2, 8), "EE": (58, 59, 24, 27), "ES": (37, 43, -7, 0), "FI": (60, 68, 22, 29),
    "FR": (44, 50, -1, 6), "GB": (51, 58, -5, 1), "GE": (41, 42, 42, 46), "GH": (5, 11, -3, 1),
    "GR": (36, 41, 20, 26), "HR": (44, 46, 14, 18), "HU": (46, 48, 17, 22), "HY": (39, 41, 44, 46),
    "AM": (39, 41, 44, 46), "ID": (-8, 0, 101, 130), "IE": (52, 55, -10, -6), "IL": (30, 33, 34, 35),
    "IN": (9, 30, 73, 86), "IR": (27, 37, 47, 61), "IS": (64, 66, -22, -15), "IT": (40, 46, 8, 16),
    "JP": (33, 43, 131, 143), "KE": (-3, 4, 35, 40), "KR": (35, 38, 126, 129), "LI": (47, 48, 9, 10),
    "LK": (6, 9, 80, 81), "LT": (54, 56, 21, 26), "LU": (49, 50, 5, 7), "LV": (56, 57, 21, 28),
    "MK": (41, 42, 21, 22), "MX": (16, 30, -110, -90), "NG": (5, 13, 3, 13), "NL": (51, 53, 4, 7),
    "NO": (59, 70, 6, 24), "NP": (27, 29, 81, 87), "NZ": (-46, -35, 167, 178), "PH": (6, 18, 120, 125),
    "PK": (25, 36, 63, 74), "PL": (50, 54, 15, 23), "PS": (31, 33, 34, 36), "PT": (37, 42, -9, -7),
    "RO": (44, 47, 22, 28), "RU": (50, 66, 32, 130), "SA": (18, 30, 40, 50), "SE": (56, 68, 13, 20),
    "SI": (45, 46, 14, 16), "SK": (48, 49, 17, 22), "TH": (7, 19, 99, 104), "TR": (37, 41, 27, 43),
    "TW": (22, 25, 120, 122), "UA": (47, 51, 24, 38), "US": (30, 48, -122, -75), "UZ": (39, 43, 58, 71),
    "VN": (9, 22, 104, 108), "ZA": (-33, -24, 19, 31),
}


def own(kind, locale):
    """Faker's class for a locale, or for its language; None if it has none of its own."""
    for name in (locale, locale.split("_")[0]):
        path = os.path.join(os.path.dirname(faker.__file__), "providers", kind, name)
        if os.path.isdir(path) and not (kind == "address" and name in ("de", "en", "es", "th")):
            return importlib.import_module(f"faker.providers.{kind}.{name}").Provider
    return None


def clean(entries, most=LONGEST):
    """One spelling each, without what no list may hold."""
    seen, result = set(), []
    for entry in entries:
        entry = re.sub(r"\s+", " ", unicodedata.normalize("NFC", str(entry))).strip(" ,;")
        bad = any(unicodedata.category(c) in ("Cc", "Cf", "Co", "Cn", "Zl", "Zp") for c in entry)
        if not entry or bad or entry in SLIPS or len(entry) > most or entry[0] == "[" or any(c in entry for c in "{}\\"):
            continue
        if entry.lower() not in seen:
            seen.add(entry.lower())
            result.append(entry)
    return result


def rank(entry):
    return hashlib.sha256(entry.encode()).digest()


def limited(name, entries):
    """At most so many of a list: the most usual where Faker has weights, else a fixed choice."""
    most = MOST.get(name)
    if name.startswith(("first", "last", "street", "city")):
        # A few names have their other form in parentheses.
        dropped = [entry for entry in entries if re.search(r"[()]", str(entry))]
        keep = (lambda e: e not in set(dropped))
        entries = {e: n for e, n in entries.items() if keep(e)} if isinstance(entries, dict) else filter(keep, entries)
    if isinstance(entries, dict):
        entries = clean(sorted(entries, key=lambda entry: (-entries[entry], rank(str(entry)))))
        chosen = entries[:most]
    else:
        chosen = sorted(clean(entries), key=rank)[:most]
    return sorted(chosen)


def sampled(locale, name, methods, tries=6000):
    """What Faker's methods say, with how often."""
    fake = Faker(locale)
    fake.seed_instance(f"{locale} {name}")
    method = next((getattr(fake, method) for method in methods if hasattr(fake, method)), None)
    counts = {}
    for _ in range(tries if method else 0):
        entry = str(method())
        counts[entry] = counts.get(entry, 0) + 1
    # The numbers of a sample are no weights: only what a provider prefers clearly comes first.
    return {entry: count if count > tries / 500 else 1 for entry, count in counts.items()}


def attribute(provider, *names):
    for name in names:
        value = getattr(provider, name, None)
        if value is not None and not isinstance(value, property) and len(value) >= 2:
            return value
    return None


def feminine(name):
    """The feminine form of a Polish last name that is an adjective."""
    return name[:-1] + "a" if re.search(r"([sc]k|dzk|n|w)[iy]$", name) else name


def tokens(text, names):
    """A format of Faker in our words; None if it has a part that is not ours."""
    text = text.replace("\n", ", ").strip(" ,")
    for pattern, token in names:
        text = re.sub(r"\{\{\s*(" + pattern + r")\s*\}\}", "{" + token + "}", text)
    return None if "{{" in text else text


def persons(locale, provider):
    lists = {}
    both = attribute(provider, "first_names")
    lists["first_male"] = attribute(provider, "first_names_male") or both
    lists["first_female"] = attribute(provider, "first_names_female") or both
    lists["first_neutral"] = attribute(provider, "first_names_nonbinary", "first_names_unisex")
    # Faker's weights are low for most names of some locales; the lists say each name once.
    if locale == "pl_PL":
        unisex = sorted(provider.unisex_last_names, key=rank)[:500]
        lists["last_male"] = list(provider.male_last_names) + unisex
        lists["last_female"] = [feminine(name) for name in provider.male_last_names] + unisex
    elif attribute(provider, "last_names_male") or locale == "is_IS":
        lists["last_male"] = sampled(locale, "last_male", ["last_name_male"])
        lists["last_female"] = sampled(locale, "last_female", ["last_name_female"])
        if set(lists["last_male"]) == set(lists["last_female"]):
            lists["last"] = lists.pop("last_male")
            del lists["last_female"]
    else:
        lists["last"] = attribute(provider, "last_names")
    lists["middle_male"] = attribute(provider, "middle_names_male", "middle_names")
    lists["middle_female"] = attribute(provider, "middle_names_female", "middle_names")
    return lists


def titles(locale, provider):
    if locale in TITLES:
        male, female = (words.split("|") for words in TITLES[locale])
        return {"title_male": sorted(male), "title_female": sorted(female), "title_neutral": ["Dr.", "Prof."]}
    neutral = attribute(provider, "prefixes_nonbinary", "prefixes_neutral", "prefixes")
    male, female = attribute(provider, "prefixes_male"), attribute(provider, "prefixes_female")
    neutral = neutral and [title for title in neutral if title not in ("Ind.", "Misc.")]
    male, female = male or neutral, female or neutral
    if not male or not female or min(len(set(male)), len(set(female))) < 2:
        return {}
    shared = [title for title in male if title in set(female)]
    lists = {"title_male": male, "title_female": female, "title_neutral": neutral or shared}
    return {name: limited(name, titles) for name, titles in lists.items() if titles}


def name_format(locale, provider):
    for text in getattr(provider, "formats_male", None) or provider.formats:
        text = tokens(text, [(r"(first|given)_names?\w*", "first"), (r"last_names?\w*", "last")])
        if text and sorted(re.findall(r"\{\w+\}", text)) == ["{first}", "{last}"]:
            return NAMES.get(locale, text)
    return NAMES.get(locale, "{first} {last}")


def line_format(locale, provider):
    for text in provider.street_address_formats:
        text = tokens(text, [("street_name", "street"), ("building_number", "number")])
        if text and sorted(re.findall(r"\{\w+\}", text)) == ["{number}", "{street}"]:
            return LINES.get(locale, text)
    return LINES.get(locale, "{number} {street}")


def house_numbers(locale, provider):
    numbers = [n for n in provider.building_number_formats if re.fullmatch(r"[#%][#%/-]*[aAbBcCаб]?", n)]
    numbers = ["%" + n[1:] for n in numbers if len(n) <= 6]
    return NUMBERS.get(locale) or (numbers if len(set(numbers)) > 1 else ["%", "%#", "%##"])


def postcodes(locale):
    """Formats: # a digit, % one of 1 to 9, ? a letter. Letters that never change stay."""
    samples = sorted(sampled(locale, "postcode", ["postcode"], 3000))
    digits = {}
    for text in samples:
        shape = "".join("#" if c.isdecimal() else "?" if c in ASCII else c for c in text)
        digits.setdefault(shape, []).append(text)
    formats = []
    for shape, texts in digits.items():
        places = [{text[i] for text in texts} for i in range(len(shape))]
        # The first digit of a postcode says the region: it is kept where few are used.
        formats.append("".join(
            next(iter(seen)) if len(seen) == 1 else "%" if c == "#" and "0" not in seen else c
            for c, seen in zip(shape, places)))
    return formats


ASCII = set("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def addresses(locale, provider):
    streets = {"ja_JP": ["town"], "vi_VN": ["street"]}.get(locale, ["street_name"])
    lists = {"street": sampled(locale, "street", streets)}
    parts = {"ko_KR": ("road_name", "road_suffix"), "zh_TW": ("street_name", "street_name_suffix")}
    if locale in parts:
        names, ends = (sorted(sampled(locale, part, [part], 2000)) for part in parts[locale])
        lists["street"] = {name + end: 1 for name in names for end in ends}
    cities = {"uk_UA": ["city_name"], "it_IT": ["city"]}.get(locale, ["city"])
    lists["city"] = sampled(locale, "city", cities)
    lists["state"] = sampled(locale, "state", STATES)
    english = own("address", "en_US").countries
    if provider.countries is not BASE_COUNTRIES and (locale[:2] == "en" or provider.countries != english):
        lists["country"] = sampled(locale, "country", ["country"])
    lists["postcode"] = postcodes(locale)
    return lists


STATES = ["administrative_unit", "state", "province", "prefecture", "region", "county", "region_name"]
BASE_COUNTRIES = importlib.import_module("faker.providers.address").Provider.countries

COMPANY = [("last_name", "last"), ("company_suffix", "suffix"), ("company_prefix", "prefix"),
           (r"company_type|company_category|company_limited_prefix", "word")]


def companies(locale, provider):
    formats = []
    for text in provider.formats:
        text = text.replace("{{company_name_word}}{{brand_suffix}}", "{{company_type}}")
        text = tokens(text, COMPANY)
        # Three names are one list of partners; a last name alone is a person.
        if text and text != "{last}" and "{suffix}{last}" not in text and not re.search(r"[^ «»,.&(){}\w-]", text):
            formats.append(text)
    lists = {"company": COMPANIES.get(locale) or list(dict.fromkeys(formats))[:8]}
    methods = {"suffix": ["company_suffix"], "prefix": ["company_prefix"],
               "word": ["company_type", "company_category", "company_limited_prefix"]}
    for token, names in methods.items():
        if token == "suffix" or any("{" + token + "}" in text for text in lists["company"]):
            words = sampled(locale, "company " + token, names, 3000)
            if locale == "ko_KR" and token == "word":
                brands = sorted(sampled(locale, "brand", ["brand_suffix"], 500), key=rank)
                names = sorted(sampled(locale, "brand name", ["company_name_word"], 500), key=rank)
                words = {a + b: 1 for a in names for b in brands[:8]}
            lists["company_" + token] = limited("company_" + token, words)
    return lists


def words(provider):
    chosen = [word for word in provider.word_list if " " not in str(word).strip()]
    joint, end = provider.word_connector, getattr(provider, "sentence_punctuation", ".")
    return limited("word", chosen), "{word}" + joint + "{word}" + end.strip()


def own_lists(locale):
    """Every list that Faker has for a locale itself."""
    lists = {}
    person = own("person", locale)
    # Faker's classes of a whole language (en, es) are no locale's own.
    if person:
        for name, entries in persons(locale, person).items():
            if entries:
                lists[name] = limited(name, entries)
        lists.update(titles(locale, person))
        lists["name"] = [name_format(locale, person)]
    address = own("address", locale)
    if address:
        for name, entries in addresses(locale, address).items():
            entries = limited(name, entries)
            if len(entries) >= 2 or name == "postcode":
                lists[name] = entries
        lists["number"] = house_numbers(locale, address)
        lists["line"] = [line_format(locale, address)]
    company = own("company", locale)
    if company:
        found = companies(locale, company)
        if found["company"]:
            lists.update(found)
    if own("job", locale) and own("job", locale).__module__.endswith(locale):
        lists["job"] = limited("job", sampled(locale, "job", ["job"]))
    lorem = own("lorem", locale)
    if lorem:
        lists["word"], sentence = words(lorem)
        lists["sentence"] = [sentence]
    if own("date_time", locale):
        provider = own("date_time", locale)
        months, days = attribute(provider, "MONTH_NAMES"), attribute(provider, "DAY_NAMES")
        if locale == "en_US":
            months, days = None, None
        if months:
            lists["month"] = clean(months[key] for key in sorted(months))
        if days:
            lists["weekday"] = clean(days[key] for key in sorted(days))
    if locale == "en_US":
        lists["month"] = MONTHS.split()
        lists["weekday"] = DAYS.split()
    box = BOXES.get(locale.split("_")[1])
    if box:
        lists["box"] = [str(degrees) for degrees in box]
    return {name: entries for name, entries in lists.items() if entries}


MONTHS = "January February March April May June July August September October November December"
DAYS = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday"

# Lists that come from one locale together, and those that a locale can do without.
GROUPS = [
    ["first_male", "first_female", "first_neutral", "middle_male", "middle_female", "last", "last_male",
     "last_female", "name"],
    ["title_male", "title_female", "title_neutral"],
    ["street", "number", "line"], ["city"], ["state"], ["postcode"], ["country"],
    ["company", "company_suffix", "company_prefix", "company_word"],
    ["job"], ["word", "sentence"], ["month"], ["weekday"], ["box"],
]


def common():
    """What no locale has: Latin words, and lists that are the same everywhere."""
    latin = importlib.import_module("faker.providers.lorem.la").Provider
    currency = importlib.import_module("faker.providers.currency").Provider
    word, sentence = words(latin)
    return {
        "word": word,
        "sentence": [sentence],
        "box": ["-60", "70", "-180", "180"],
        "timezone": limited("timezone", sampled("en_US", "timezone", ["timezone"])),
        "currency": sorted(f"{code} {name}" for code, name in currency.currencies if len(code) == 3),
    }


def text_of(locale, lists, everyone):
    """The file of a locale."""
    language = locale.split("_")[0]
    family = [name for name in FIRST if name.split("_")[0] == language]
    family += sorted(name for name in LOCALES if name.split("_")[0] == language and name not in family)
    lines = []
    for group in GROUPS:
        others = ["common"] if group[0] in ("word", "box") else ["en_US"]
        owners = [locale] + ([] if group == ["box"] else family) + others
        owner = next(owner for owner in owners if group[0] in everyone[owner])
        for name in group:
            if owner == locale and name in lists:
                lines += [f"[{name}]"] + lists[name]
            elif owner != locale and name in everyone[owner]:
                lines += [f"[{name}] {owner}"]
    return lines


def main():
    if os.environ.get("PYTHONHASHSEED") != "0":
        # Faker draws from sets in places, whose order hangs on this.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": "0"})
    if faker.VERSION != RELEASE:
        sys.exit(f"this is Faker {faker.VERSION}; the lists are of {RELEASE}")
    everyone = {locale: own_lists(locale) for locale in LOCALES}
    everyone["common"] = common()
    folder = os.path.join(ROOT, EDITION)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    for locale, lists in everyone.items():
        if locale == "common":
            lines = [line for name, entries in lists.items() for line in [f"[{name}]"] + entries]
        else:
            lines = text_of(locale, lists, everyone)
        with open(os.path.join(folder, locale + ".txt"), "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
