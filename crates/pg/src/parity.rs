//! Connection strings and URIs mean what they mean to libpq: both are asked, and must agree.
//!
//! libpq answers through a small C program (`tests/libpq_oracle.c`), built by each run of the test:
//! no unsafe code here.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::keywords::{KEYWORDS, Support};
use crate::resolve::parse_text;

type Parameters = BTreeMap<String, String>;

/// What libpq says of each text; `None`: it refuses it.
fn libpq(texts: &[String]) -> Vec<Option<Parameters>> {
    let thread = format!("{:?}", std::thread::current().id()).replace(['(', ')'], "");
    let folder = std::env::temp_dir().join(format!("pgark-t-{}-oracle-{thread}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let program = folder.join("oracle");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/libpq_oracle.c");
    let include = Command::new("pg_config").arg("--includedir").output().expect("pg_config (libpq-dev)");
    let include = String::from_utf8(include.stdout).unwrap();
    let built = Command::new("cc")
        .args(["-o".as_ref(), program.as_os_str(), source.as_ref(), "-lpq".as_ref()])
        .arg(format!("-I{}", include.trim()))
        .status()
        .expect("cc");
    assert!(built.success());
    let mut child =
        Command::new(&program).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines: String = texts
        .iter()
        .map(|text| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n")
        .collect();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let _ = std::fs::remove_dir_all(&folder);
    let answers: Vec<_> = String::from_utf8(output.stdout).unwrap().lines().map(answer).collect();
    assert_eq!(answers.len(), texts.len());
    answers
}

fn answer(line: &str) -> Option<Parameters> {
    if line == "-" {
        return None;
    }
    let pair = |word: &str| {
        let (keyword, hex) = word.split_once('=').unwrap();
        let bytes: Vec<u8> =
            (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect();
        (keyword.to_string(), String::from_utf8_lossy(&bytes).into_owned())
    };
    Some(line.split_whitespace().map(pair).collect())
}

/// What we make of it: the last of equal keywords wins, and one that libpq does not know is
/// refused.
fn ours(text: &str) -> Option<Parameters> {
    let pairs = parse_text(text).ok()?;
    let known = |keyword: &str| KEYWORDS.iter().any(|(known, _, _)| *known == keyword);
    pairs.iter().all(|(keyword, _)| known(keyword)).then(|| pairs.into_iter().collect())
}

/// Where we knowingly differ: a keyword that only a newer libpq than this machine's knows; one that
/// it knows and we do not (`authtype` and `tty` are relics without effect); bytes that are not
/// UTF-8.
fn comparable(text: &str) -> bool {
    const NEWER: [&str; 9] = [
        "servicefile",
        "sslcertmode",
        "sslnegotiation",
        "require_auth",
        "gssdelegation",
        "load_balance_hosts",
        "sslkeylogfile",
        "min_protocol_version",
        "max_protocol_version",
    ];
    let relics = ["authtype", "tty", "oauth", "scram_"];
    !NEWER.iter().chain(&relics).any(|word| text.contains(word)) && !text.contains('\0')
}

fn compare(texts: Vec<String>) -> usize {
    let texts: Vec<String> = texts.into_iter().filter(|text| comparable(text)).collect();
    let answers = libpq(&texts);
    let mut accepted = 0;
    for (text, expected) in texts.iter().zip(answers) {
        // A value of bytes that are no UTF-8 came back with replacements: we refuse such.
        if expected.as_ref().is_some_and(|all| all.values().any(|value| value.contains('\u{fffd}'))) {
            continue;
        }
        accepted += usize::from(expected.is_some());
        assert_eq!(ours(text), expected, "libpq and we differ on {text:?}");
    }
    accepted
}

#[test]
fn strings_that_people_write() {
    let texts = [
        "",
        "   ",
        "host=a",
        "host = a",
        " host\t=\n a ",
        "host=a dbname=b user=c password=d",
        "host=a host=b",
        "host=",
        "host= dbname=x",
        "host='' dbname=x",
        "host='a b'",
        r"host='it\'s'",
        r"host=it\'s\ a",
        r"host='a\\b'",
        r"host=a\",
        r"host='a\",
        "host='a",
        "host='a'b=c",
        "host='a'dbname=b",
        "host=a'b'",
        "host",
        "host a=b",
        "=a",
        "host=a =b",
        "host==a",
        "no_such=1",
        "HOST=a",
        "requiressl=1",
        "requiressl=0",
        "port=5432,5433 host=a,b",
        "host=/tmp,/run user='x y'",
        "options='-c a=b -c c=d'",
        "password='p=w\u{e9}\u{304b}'",
        "sslmode=verify-full sslrootcert=/a/b",
        "sslmode=nonsense",
        "connect_timeout=ten",
        "dbname=postgresql://a/b",
        "host=a\u{a0}b",
        "host=a\u{b}port=1",
        "postgresql://",
        "postgres://",
        "postgresql:///",
        "postgresql:/a",
        "Postgresql://a",
        "postgresql://h",
        "postgresql://h/",
        "postgresql://h:1/d",
        "postgresql://h:/d",
        "postgresql://:1/d",
        "postgresql://u@h",
        "postgresql://u:@h",
        "postgresql://:p@h",
        "postgresql://@h",
        "postgresql://u:p@",
        "postgresql://u:p:q@h",
        "postgresql://u:p@w@h/d",
        "postgresql://u:p?w@h/d",
        "postgresql://u:p/w@h/d",
        "postgresql://u%20x:p%40w@h/d%2Fe",
        "postgresql://%2Ftmp:5/d",
        "postgresql://%2ftmp/d",
        "postgresql://a,b,c/d",
        "postgresql://a:1,b:2/d",
        "postgresql://a:1,b/d",
        "postgresql://,/d",
        "postgresql://a,/d",
        "postgresql://,a:1/d",
        "postgresql://[::1]/d",
        "postgresql://[::1]:5/d",
        "postgresql://[::1],[fe80::1]:3/d",
        "postgresql://[]/d",
        "postgresql://[::1",
        "postgresql://[::1]x/d",
        "postgresql://[::1]?user=a",
        "postgresql://::1/d",
        "postgresql://h?user=a",
        "postgresql://h/?user=a",
        "postgresql://h/d?user=a&user=b",
        "postgresql://u@h/d?user=b&host=c&port=7",
        "postgresql://h/d?",
        "postgresql://h/d?&user=a",
        "postgresql://h/d?user=a&",
        "postgresql://h/d?user=a&&dbname=b",
        "postgresql://h/d?user",
        "postgresql://h/d?user=a=b",
        "postgresql://h/d?=a",
        "postgresql://h/d?user=",
        "postgresql://h/d?ssl=true",
        "postgresql://h/d?ssl=false",
        "postgresql://h/d?sslmode=require",
        "postgresql://h/d?us%65r=a",
        "postgresql://h/d?no_such=1",
        "postgresql://h/d?user=a?b",
        "postgresql://h/d/e",
        "postgresql://h/d%",
        "postgresql://h/d%2",
        "postgresql://h/d%zz",
        "postgresql://h/d%+1",
        "postgresql://h/d%00",
        "postgresql://h/%e9",
        "postgresql://h/%c3%a9",
        "postgresql://h/d?options=-c%20a%3Db",
        "postgresql://h/a b",
        "postgresql://h?/d",
        "postgresql://h#x/d",
    ];
    let accepted = compare(texts.iter().map(|text| (*text).to_string()).collect());
    assert!(accepted > 50, "libpq accepted only {accepted}");
}

/// Strings made of what matters to the two grammars, in any order.
#[test]
fn strings_that_nobody_writes() {
    const PIECES: [&str; 54] = [
        "host",
        "port",
        "dbname",
        "user",
        "password",
        "sslmode",
        "options",
        "=",
        "=",
        "=",
        " ",
        " ",
        "'",
        "'",
        "\\",
        "\\'",
        "a",
        "b",
        "1",
        "postgresql://",
        "postgres://",
        "/",
        "/",
        ":",
        ":",
        "@",
        "@",
        "?",
        "?",
        "&",
        "&",
        ",",
        ",",
        "[",
        "]",
        "[::1]",
        "%",
        "%20",
        "%2F",
        "%41",
        "%zz",
        "%00",
        "\t",
        "\n",
        "é",
        "\u{a0}",
        "ssl=true",
        "requiressl=1",
        "user=a",
        "host=b",
        " dbname='x y'",
        "//",
        "connect_timeout=3",
        "=''",
    ];
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % limit as u64) as usize
    };
    let mut texts = Vec::new();
    for number in 0..6000 {
        let mut text = match number % 3 {
            0 => "postgresql://".to_string(),
            1 => "host=a ".to_string(),
            _ => String::new(),
        };
        for _ in 0..below(9) {
            text.push_str(PIECES[below(PIECES.len())]);
        }
        texts.push(text);
    }
    let accepted = compare(texts);
    assert!(accepted > 500, "libpq accepted only {accepted}");
}

/// Every parameter that this machine's libpq knows is one that we know, and say something about.
#[test]
fn no_keyword_is_unknown() {
    let output = libpq(&["host=a".to_string()]);
    assert_eq!(output.len(), 1);
    for (keyword, _, support) in KEYWORDS {
        if comparable(keyword) && *support != Support::Yes {
            // Known to libpq, refused or moot here: never "unknown".
            assert!(libpq(&[format!("{keyword}=x")])[0].is_some(), "{keyword} is no parameter of libpq");
        }
    }
}
