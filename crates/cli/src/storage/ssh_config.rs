//! What OpenSSH's own configuration says of a host: `~/.ssh/config`, then `/etc/ssh/ssh_config`.
//!
//! Source: ssh_config(5) of OpenSSH 9. The first value of a keyword counts; only files of keys and
//! certificates add up. Of `Match` the criteria `all`, `host`, `originalhost`, `user` and
//! `localuser` are known; a block with another does not apply. Tests compare this with `ssh -G`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use pgark_ops::storage::ssh_patterns;

use crate::error::Failure;

/// Files that include one another.
const DEEPEST: usize = 16;
const HINT: &str = "see ssh_config(5)";

/// What it says; paths are expanded.
#[derive(Debug)]
pub struct SshSettings {
    pub host: Option<String>,
    pub port: Option<u16>,
    pub user: Option<String>,
    pub keys: Vec<PathBuf>,
    pub certificates: Vec<PathBuf>,
    pub only_these_keys: bool,
    pub known_hosts: Option<Vec<PathBuf>>,
    pub known_hosts_of_all: Option<Vec<PathBuf>>,
    /// The name under which the host's key is known.
    pub known_as: Option<String>,
    /// The inner None: no agent.
    pub agent: Option<Option<String>>,
    /// A command whose input and output are the connection.
    pub proxy: Option<String>,
}

/// Who asks, for which host.
pub struct Asked<'a> {
    pub host: &'a str,
    pub port: Option<u16>,
    /// Of the URL.
    pub user: Option<&'a str>,
    pub local_user: &'a str,
    pub home: Option<&'a Path>,
    /// Of the surroundings.
    pub variable: Variables<'a>,
}

/// Values as they were written.
#[derive(Default)]
struct Found {
    host_name: Option<String>,
    port: Option<u16>,
    user: Option<String>,
    identity_files: Vec<String>,
    certificate_files: Vec<String>,
    identities_only: Option<bool>,
    user_known_hosts: Option<Vec<String>>,
    global_known_hosts: Option<Vec<String>>,
    host_key_alias: Option<String>,
    identity_agent: Option<String>,
    proxy: Option<Proxy>,
}

enum Proxy {
    None,
    Command(String),
    /// Hosts, and the file that says so.
    Jump(String, PathBuf),
}

/// Reads these files, the user's own first.
pub fn read(files: &[PathBuf], asked: &Asked<'_>) -> Result<SshSettings, Failure> {
    let mut found = Found::default();
    for file in files {
        if file.is_file() {
            found.read(file, file.parent().unwrap_or(file), asked, 0)?;
        }
    }
    found.settle(asked)
}

impl Found {
    /// `folder` is where relative names of included files begin.
    fn read(&mut self, file: &Path, folder: &Path, asked: &Asked<'_>, depth: usize) -> Result<(), Failure> {
        let failed = |error| Failure::input(format!("read {}", file.display()), error);
        // A command in it is run: whoever is allowed to write it may do what we may. ssh asks the
        // same.
        let status = fs::metadata(file).map_err(failed)?;
        let owner_is_trusted = status.uid() == 0 || status.uid() == rustix::process::geteuid().as_raw();
        if !owner_is_trusted || status.mode() & 0o022 != 0 {
            return Err(Failure::usage(
                format!("{}: others can write to it", file.display()),
                "it must belong to you or root, and nobody else may have write permission: chmod go-w",
            ));
        }
        let text = fs::read(file).map_err(failed)?;
        let text = String::from_utf8_lossy(&text);
        let mut active = true;
        for (number, line) in text.lines().enumerate() {
            let wrong =
                |what: String| Failure::usage(format!("{}:{}: {what}", file.display(), number + 1), HINT);
            let Some(line) = Line::split(line).map_err(wrong)? else { continue };
            match line.keyword.as_str() {
                "host" => {
                    active = ssh_patterns::fits_one_of(line.words.iter().map(String::as_str), asked.host)
                }
                "match" => active = self.matches(&line.words, asked).map_err(wrong)?,
                _ if !active => {}
                "include" if depth == DEEPEST => {
                    return Err(wrong("files include one another too deeply".into()));
                }
                "include" => {
                    for pattern in &line.words {
                        for file in included(pattern, folder, asked.home) {
                            self.read(&file, folder, asked, depth + 1)?;
                        }
                    }
                }
                _ => self.set(&line, file).map_err(wrong)?,
            }
        }
        Ok(())
    }

    /// The first value stays. What says nothing of how a host is reached is skipped.
    fn set(&mut self, line: &Line<'_>, file: &Path) -> Result<(), String> {
        let value = || line.words.first().cloned().ok_or_else(|| format!("{} has no value", line.keyword));
        match line.keyword.as_str() {
            "hostname" => _ = self.host_name.get_or_insert(value()?),
            "port" => {
                let value = value()?;
                let port = value.parse::<u16>().ok().filter(|port| *port > 0);
                self.port.get_or_insert(port.ok_or_else(|| format!("{value:?} is not a port"))?);
            }
            "user" => _ = self.user.get_or_insert(value()?),
            "identityfile" | "certificatefile" => {
                let value = value()?;
                let files = match line.keyword.as_str() {
                    "identityfile" => &mut self.identity_files,
                    _ => &mut self.certificate_files,
                };
                if !files.contains(&value) {
                    files.push(value);
                }
            }
            "identitiesonly" => {
                let only = match value()?.as_str() {
                    "yes" | "true" => true,
                    "no" | "false" => false,
                    other => return Err(format!("{other:?} is neither yes nor no")),
                };
                self.identities_only.get_or_insert(only);
            }
            "userknownhostsfile" => {
                value()?;
                self.user_known_hosts.get_or_insert_with(|| line.words.clone());
            }
            "globalknownhostsfile" => {
                value()?;
                self.global_known_hosts.get_or_insert_with(|| line.words.clone());
            }
            "hostkeyalias" => _ = self.host_key_alias.get_or_insert(value()?),
            "identityagent" => _ = self.identity_agent.get_or_insert(value()?),
            "proxycommand" => {
                value()?;
                let command = line.rest.to_string();
                let proxy = if is_none(&command) { Proxy::None } else { Proxy::Command(command) };
                self.proxy.get_or_insert(proxy);
            }
            "proxyjump" => {
                let hosts = value()?;
                let proxy = if is_none(&hosts) { Proxy::None } else { Proxy::Jump(hosts, file.into()) };
                self.proxy.get_or_insert(proxy);
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether every criterion of a `Match` holds.
    fn matches(&self, words: &[String], asked: &Asked<'_>) -> Result<bool, String> {
        let mut words = words.iter().map(String::as_str);
        let mut holds = true;
        while let Some(criterion) = words.next() {
            let (criterion, attached) = match criterion.split_once('=') {
                Some((criterion, patterns)) => (criterion, Some(patterns)),
                None => (criterion, None),
            };
            let (negated, name) = match criterion.strip_prefix('!') {
                Some(name) => (true, name.to_ascii_lowercase()),
                None => (false, criterion.to_ascii_lowercase()),
            };
            let subject = match name.as_str() {
                "all" => {
                    holds &= !negated;
                    continue;
                }
                "host" => self.host_name.as_deref().unwrap_or(asked.host),
                "originalhost" => asked.host,
                "user" => asked.user.or(self.user.as_deref()).unwrap_or(asked.local_user),
                "localuser" => asked.local_user,
                // What depends on the network, on a command or on a second pass.
                _ => return Ok(false),
            };
            let patterns = attached.or_else(|| words.next());
            let patterns = patterns.ok_or_else(|| format!("Match {name} needs a pattern"))?;
            holds &= ssh_patterns::fits_one_of(patterns.split(','), subject) != negated;
        }
        Ok(holds)
    }

    fn settle(self, asked: &Asked<'_>) -> Result<SshSettings, Failure> {
        let host = match &self.host_name {
            Some(name) => Some(expand(name, &[('h', asked.host)], None)?),
            None => None,
        };
        let reached = host.as_deref().unwrap_or(asked.host);
        let port = asked.port.or(self.port);
        let user = asked.user.or(self.user.as_deref()).unwrap_or(asked.local_user);
        let home = asked.home.map(|home| home.display().to_string()).unwrap_or_default();
        let port_text = port.unwrap_or(22).to_string();
        let known_as = self.host_key_alias.as_deref().unwrap_or(asked.host);
        let tokens = [
            ('h', reached),
            ('n', asked.host),
            ('r', user),
            ('u', asked.local_user),
            ('d', home.as_str()),
            ('p', port_text.as_str()),
            ('k', known_as),
        ];
        let path = |text: &String| -> Result<PathBuf, Failure> {
            Ok(below_home(&expand(text, &tokens, Some(asked.variable))?, asked.home))
        };
        let paths = |texts: &Option<Vec<String>>| -> Result<Option<Vec<PathBuf>>, Failure> {
            let named = |texts: &Vec<String>| texts.iter().filter(|text| !is_none(text)).map(path).collect();
            texts.as_ref().map(named).transpose()
        };
        let agent = match self.identity_agent.as_deref() {
            None | Some("SSH_AUTH_SOCK") => None,
            Some(text) if is_none(text) => Some(None),
            Some(text) => Some(match text.strip_prefix('$').filter(|name| !name.starts_with('{')) {
                Some(variable) => (asked.variable)(variable),
                None => Some(path(&text.to_string())?.display().to_string()),
            }),
        };
        let proxy = match &self.proxy {
            None | Some(Proxy::None) => None,
            // The shell's process becomes the command's; variables are the shell's.
            Some(Proxy::Command(command)) => {
                // A URL must not bring commands of its own; ssh refuses such names, too.
                let is_wrong = |(token, value): &&(char, &str)| {
                    "hnrk".contains(*token) && command.contains(&format!("%{token}")) && !is_plain(value)
                };
                if let Some((token, value)) = tokens.iter().find(is_wrong) {
                    return Err(Failure::usage(
                        format!("{value:?} cannot be used for %{token} in a ProxyCommand"),
                        "there, hosts and users can only have letters, digits and -._:%@,/[]",
                    ));
                }
                Some(format!("exec {}", expand(command, &tokens, None)?))
            }
            Some(Proxy::Jump(hosts, file)) => Some(jump(hosts, file, reached, &port_text)?),
        };
        let named = |files: &Vec<String>| -> Result<Vec<PathBuf>, Failure> {
            files.iter().filter(|text| !is_none(text)).map(path).collect()
        };
        Ok(SshSettings {
            port: self.port,
            keys: named(&self.identity_files)?,
            certificates: named(&self.certificate_files)?,
            only_these_keys: self.identities_only.unwrap_or(false),
            known_hosts: paths(&self.user_known_hosts)?,
            known_hosts_of_all: paths(&self.global_known_hosts)?,
            known_as: self.host_key_alias.clone(),
            agent,
            proxy,
            user: self.user.clone(),
            host,
        })
    }
}

/// What ssh itself does for `ProxyJump`: the last host of the list forwards to ours, by way of the
/// others.
fn jump(hosts: &str, file: &Path, host: &str, port: &str) -> Result<String, Failure> {
    let wrong = || Failure::usage(format!("{}: {hosts:?} is not a valid ProxyJump", file.display()), HINT);
    let (before, last) = match hosts.rsplit_once(',') {
        Some((before, last)) => (Some(before), last),
        None => (None, hosts),
    };
    let last = last.strip_prefix("ssh://").unwrap_or(last).trim_end_matches('/');
    let (user, address) = match last.rsplit_once('@') {
        Some((user, address)) => (Some(user), address),
        None => (None, last),
    };
    let (name, jump_port) = match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, rest)) => (name, rest.strip_prefix(':')),
        None => match address.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (address, None),
        },
    };
    for text in [Some(name), user, jump_port, before, Some(host)].into_iter().flatten() {
        if !is_plain(text) {
            return Err(wrong());
        }
    }
    let file = file.display().to_string().replace('\'', r"'\''");
    let mut command = format!("exec ssh -F '{file}' -o BatchMode=yes");
    for (option, value) in [("-l", user), ("-p", jump_port), ("-J", before)] {
        if let Some(value) = value {
            command.push_str(&format!(" {option} {value}"));
        }
    }
    command.push_str(&format!(" -W '[{host}]:{port}' -- {name}"));
    Ok(command)
}

/// Whether this may become a word of a shell's command.
fn is_plain(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:%@,/[]".contains(c);
    !text.is_empty() && !text.starts_with('-') && text.chars().all(plain)
}

/// One line that says something.
struct Line<'l> {
    /// In small letters.
    keyword: String,
    words: Vec<String>,
    /// All words as they are.
    rest: &'l str,
}

impl<'l> Line<'l> {
    /// None for an empty line and for a comment.
    fn split(line: &'l str) -> Result<Option<Line<'l>>, String> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(None);
        }
        let end = line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len());
        let (keyword, rest) = line.split_at(end);
        let rest = rest.trim_start();
        let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start();
        let mut words = Vec::new();
        let mut left = rest;
        while !left.is_empty() && !left.starts_with('#') {
            let mut word = String::new();
            let mut quote = None;
            let mut chars = left.char_indices().peekable();
            let mut after = left.len();
            while let Some((at, c)) = chars.next() {
                match (c, quote) {
                    ('\\', _) if chars.peek().is_some_and(|(_, next)| matches!(next, '\'' | '"' | '\\')) => {
                        word.extend(chars.next().map(|(_, next)| next));
                    }
                    (c, Some(open)) if c == open => quote = None,
                    ('"' | '\'', None) => quote = Some(c),
                    (c, None) if c.is_whitespace() => {
                        after = at;
                        break;
                    }
                    (c, _) => word.push(c),
                }
            }
            // Commands are taken as they are: their quotes are the shell's.
            if quote.is_some() && !keyword.eq_ignore_ascii_case("proxycommand") {
                return Err("a quote is not closed".into());
            }
            words.push(word);
            left = left.get(after..).unwrap_or_default().trim_start();
        }
        Ok(Some(Line { keyword: keyword.to_ascii_lowercase(), words, rest }))
    }
}

/// The files that an `Include` names, sorted; wildcards are in the last component only. None is no
/// error.
fn included(pattern: &str, folder: &Path, home: Option<&Path>) -> Vec<PathBuf> {
    // An absolute name stays what it is.
    let path = folder.join(below_home(pattern, home));
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Vec::new() };
    if !name.contains(['*', '?']) {
        return if path.is_file() { vec![path] } else { Vec::new() };
    }
    let entries = path.parent().and_then(|folder| fs::read_dir(folder).ok());
    let fits = |path: &PathBuf| {
        let found = path.file_name().and_then(|found| found.to_str());
        found.is_some_and(|found| {
            ssh_patterns::fits(name, found) && (name.starts_with('.') || !found.starts_with('.'))
        })
    };
    let mut files: Vec<PathBuf> =
        entries.into_iter().flatten().flatten().map(|entry| entry.path()).filter(fits).collect();
    files.retain(|path| path.is_file());
    files.sort();
    files
}

fn below_home(text: &str, home: Option<&Path>) -> PathBuf {
    match (text.strip_prefix("~/"), home) {
        (Some(below), Some(home)) => home.join(below),
        _ => PathBuf::from(text),
    }
}

/// A variable's value.
type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Replaces `%h` and the like, `%%`, and `${VARIABLE}` where these count.
fn expand(text: &str, tokens: &[(char, &str)], variables: Option<Variables<'_>>) -> Result<String, Failure> {
    let wrong = |what: String| Failure::usage(format!("ssh_config: {text:?}: {what}"), HINT);
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['%', '$']) {
        let (before, special) = rest.split_at(at);
        out.push_str(before);
        let variable = special.strip_prefix("${").and_then(|name| name.split_once('}'));
        if let (Some((name, after)), Some(variables)) = (variable, variables) {
            out.push_str(&variables(name).ok_or_else(|| wrong(format!("{name} is not set")))?);
            rest = after;
        } else if let Some(token) = special.strip_prefix('%') {
            let c = token.chars().next().ok_or_else(|| wrong("it ends with %".into()))?;
            match tokens.iter().find(|(name, _)| *name == c) {
                Some((_, value)) => out.push_str(value),
                None if c == '%' => out.push('%'),
                None => return Err(wrong(format!("%{c} is not supported here"))),
            }
            rest = token.get(c.len_utf8()..).unwrap_or_default();
        } else {
            out.push('$');
            rest = special.get(1..).unwrap_or_default();
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn is_none(text: &str) -> bool {
    text.eq_ignore_ascii_case("none")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use super::*;

    /// Whatever the umask is.
    fn write(path: impl AsRef<Path>, text: impl AsRef<[u8]>) -> std::io::Result<()> {
        std::fs::write(&path, text)?;
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o600))
    }

    fn asked<'a>(host: &'a str, home: Option<&'a Path>) -> Asked<'a> {
        let variable: Variables<'_> = &|name| (name == "SET").then(|| "value".to_string());
        Asked { host, port: None, user: None, local_user: "me", home, variable }
    }

    const TEXT: &str = r#"
# What stands before every Host is for all.
IdentitiesOnly yes
Host backup back* !backdoor
  HostName 10.0.0.5
  Port=2222
  User "pgbackup"
  IdentityFile /keys/a
  IdentityFile "/keys/b c"
  IdentityFile /keys/a
  CertificateFile /keys/%n-cert.pub
  CertificateFile /keys/d-cert.pub
Host *.example.org !db.example.org   # and so on
  HostName %h.internal
  UserKnownHostsFile /k1 /k2
  identityagent /run/agent
Match host 10.0.0.* user pgbackup
  HostKeyAlias vault
Match originalhost backup,other
  ProxyJump admin@jump.example.org:2200
INCLUDE
Match exec "false" all
  Port 77
Host other
  ProxyCommand none
  Port 33
  Compression yes
Host ?ther !nother
  User = someone
Host quite*
  ProxyCommand nc -x "a b" %h %p
Match !host 10.0.0.5
  Port 44
Match all
  Port 55
  IdentityFile /keys/c
"#;

    /// OpenSSH's own reading, keyword and value.
    fn told_by_ssh(file: &Path, host: &str) -> Vec<(String, String)> {
        let told =
            Command::new("ssh").arg("-G").arg("-F").arg(file).args(["-l", "me", host]).output().unwrap();
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        let text = String::from_utf8(told.stdout).unwrap();
        text.lines().filter_map(|line| line.split_once(' ')).map(|(k, v)| (k.into(), v.into())).collect()
    }

    #[test]
    fn ssh_reads_the_same() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("config");
        std::fs::create_dir(folder.path().join("d")).unwrap();
        write(folder.path().join("d/1.conf"), "Host quiet\nPort 66\nHost none\nPort 1\n").unwrap();
        write(folder.path().join("d/.2.conf"), "Port 3\n").unwrap();
        let include = format!("Include {0}/d/*.conf {0}/nothing", folder.path().display());
        // ssh is told the user, so what follows of him applies to both.
        let text = TEXT.replace("INCLUDE", &include).replace("user pgbackup", "user me");
        write(&file, text).unwrap();
        let hosts = [
            "backup",
            "backup2",
            "backdoor",
            "db.example.org",
            "web.example.org",
            "other",
            "nother",
            "quiet",
            "quite",
            "10.0.0.5",
            "x",
        ];
        for host in hosts {
            let told = told_by_ssh(&file, host);
            let all = |keyword: &str| -> Vec<&str> {
                told.iter().filter(|(name, _)| name == keyword).map(|(_, value)| value.as_str()).collect()
            };
            let one = |keyword: &str| all(keyword).first().map(|value| value.to_string());
            let mut with_user = asked(host, None);
            with_user.user = Some("me");
            let ours = read(std::slice::from_ref(&file), &with_user).unwrap();
            assert_eq!(ours.host.as_deref().unwrap_or(host), one("hostname").unwrap(), "{host}");
            assert_eq!(ours.port.unwrap_or(22).to_string(), one("port").unwrap(), "{host}");
            let shown = |files: &[PathBuf]| -> Vec<String> {
                files.iter().map(|path| path.display().to_string()).collect()
            };
            assert_eq!(shown(&ours.keys), all("identityfile"), "{host}");
            // Of certificates ssh shows what is written there.
            let written: Vec<String> =
                all("certificatefile").iter().map(|path| path.replace("%n", host)).collect();
            assert_eq!(shown(&ours.certificates), written, "{host}");
            assert_eq!(if ours.only_these_keys { "yes" } else { "no" }, one("identitiesonly").unwrap());
            assert_eq!(ours.known_as, one("hostkeyalias"), "{host}");
            assert_eq!(ours.agent.clone().flatten(), one("identityagent"), "{host}");
            match &ours.known_hosts {
                Some(files) => {
                    assert_eq!(Some(shown(files).join(" ")), one("userknownhostsfile"), "{host}");
                }
                None => assert!(one("userknownhostsfile").unwrap().contains("known_hosts2"), "{host}"),
            }
            match (&ours.proxy, one("proxyjump"), one("proxycommand")) {
                (Some(ours), Some(jump), _) => {
                    assert_eq!(jump, "admin@jump.example.org:2200");
                    assert!(
                        ours.contains("-l admin -p 2200 -W '[") && ours.ends_with(" -- jump.example.org"),
                        "{ours}"
                    );
                }
                (Some(ours), None, Some(command)) => {
                    assert_eq!(command, "nc -x \"a b\" %h %p");
                    assert_eq!(ours, &format!("exec nc -x \"a b\" {host} 44"));
                }
                (None, None, None) => {}
                other => panic!("{host}: {other:?}"),
            }
        }
    }

    #[test]
    fn paths_are_expanded() {
        let home = tempfile::TempDir::new().unwrap();
        let folder = home.path().join(".ssh");
        std::fs::create_dir(&folder).unwrap();
        let file = folder.join("config");
        write(
            &file,
            "Include more\nIdentityFile ~/.ssh/%h-%r-%u-%p\nIdentityFile %d/${SET}/50%%\nUserKnownHostsFile none\nHostKeyAlias k\n",
        )
        .unwrap();
        write(folder.join("more"), "HostName real\nUser remote\nPort 9\nIdentityAgent $SET\n").unwrap();
        let found =
            read(&[file.clone(), home.path().join("nowhere")], &asked("alias", Some(home.path()))).unwrap();
        assert_eq!(found.keys, [folder.join("real-remote-me-9"), home.path().join("value/50%")]);
        assert_eq!(found.known_hosts, Some(Vec::new()));
        assert_eq!((found.known_as.as_deref(), found.agent), (Some("k"), Some(Some("value".into()))));
        assert_eq!((found.host.as_deref(), found.user.as_deref()), (Some("real"), Some("remote")));
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o620)).unwrap();
        let error = read(std::slice::from_ref(&file), &asked("alias", Some(home.path()))).unwrap_err();
        assert!(format!("{error:?}").contains("others can write to it"), "{error:?}");
        write(&file, "ProxyCommand nc %h %p\n").unwrap();
        for host in ["$(touch${IFS}x)", "a;b", "`id`", "-oProxyCommand"] {
            let error = read(std::slice::from_ref(&file), &asked(host, None)).unwrap_err();
            assert!(format!("{error:?}").contains("cannot be used for %h in a ProxyCommand"), "{error:?}");
        }
        for (text, says) in [
            ("Port many", ":1: \"many\" is not a port"),
            ("\nUser", ":2: user has no value"),
            ("User \"a", ":1: a quote is not closed"),
            ("IdentitiesOnly perhaps", "neither yes nor no"),
            ("IdentityFile /%C", "%C is not supported"),
            ("IdentityFile /${UNSET}", "UNSET is not set"),
            ("Match host", "needs a pattern"),
            ("ProxyJump -oProxyCommand=x", "is not a valid ProxyJump"),
            ("ProxyJump a;b", "is not a valid ProxyJump"),
            ("Include config", "too deeply"),
        ] {
            write(&file, text).unwrap();
            let error = read(std::slice::from_ref(&file), &asked("alias", Some(home.path()))).unwrap_err();
            let told = format!("{error:?}").replace("\\\"", "\"");
            assert!(told.contains(says), "{told}");
        }
    }

    proptest::proptest! {
        /// Any text is read or refused.
        #[test]
        fn any_text_is_read_or_refused(
            lines in proptest::collection::vec(("(host|match|port|user|identityfile|certificatefile|proxycommand|proxyjump|identityagent|.{0,5})", "[ =]?", ".{0,20}"), 0..8),
        ) {
            let folder = tempfile::TempDir::new().unwrap();
            let file = folder.path().join("config");
            let text: String = lines.iter().map(|(keyword, between, rest)| format!("{keyword}{between}{rest}\n")).collect();
            write(&file, text).unwrap();
            let _ = read(std::slice::from_ref(&file), &asked("alias", Some(folder.path())));
        }
    }
}
