//! The roles that an archive needs to exist before it can be restored.

use std::collections::BTreeSet;

use super::model::{Archive, TocEntry};
use super::order::Selection;
use super::statements::{Options, owner_name};
use crate::sql::{self, Kind, Token};

/// Bare names, in the dump's encoding, of every role that restoring the selected entries names:
/// owners, grantees and grantors, roles of default privileges, policies, user mappings and database
/// settings.
///
/// `PUBLIC`, `CURRENT_USER` and their like are no roles. With `no_owner` and `no_privileges`
/// policies and user mappings still name theirs.
pub fn required_roles(archive: &Archive, selection: &Selection, options: &Options) -> BTreeSet<Vec<u8>> {
    let mut roles = BTreeSet::new();
    for entry in &archive.entries {
        if !selection.contains(entry.dump_id) || entry.is_setting() {
            continue;
        }
        if !options.no_owner {
            roles.extend(owner_name(entry).map(<[u8]>::to_vec));
        }
        if entry.is_acl() && options.no_privileges {
            continue;
        }
        of_definition(entry, options, &mut roles);
    }
    roles
}

fn of_definition(entry: &TocEntry, options: &Options, roles: &mut BTreeSet<Vec<u8>>) {
    let kind = entry.kind();
    let relevant = entry.is_acl()
        || matches!(kind, "POLICY" | "USER MAPPING" | "DATABASE PROPERTIES")
        || (kind == "SCHEMA" && !options.no_owner);
    if !relevant {
        return;
    }
    for statement in sql::split(entry.defn_bytes()) {
        let tokens: Vec<Token<'_>> = sql::tokenize(statement).filter(|t| !t.is_blank()).collect();
        let mut c = Cursor { tokens: &tokens, at: 0 };
        match kind {
            "POLICY" => policy(&mut c, roles),
            "USER MAPPING" => {
                if c.skip_to(&["for"]) {
                    c.role(roles);
                }
            }
            "DATABASE PROPERTIES" => {
                if c.word("alter") && c.word("role") {
                    c.role(roles);
                }
            }
            "SCHEMA" => {
                if c.skip_to(&["authorization"]) {
                    c.role(roles);
                }
            }
            _ => privileges(&mut c, roles),
        }
    }
}

/// `CREATE POLICY p ON t … TO a, b USING (…)`. The name of the policy is skipped: it may be any
/// word.
fn policy(c: &mut Cursor<'_>, roles: &mut BTreeSet<Vec<u8>>) {
    if !(c.word("create") && c.word("policy")) {
        return;
    }
    c.at += 1;
    while let Some(token) = c.tokens.get(c.at) {
        if token.is_symbol(b'(') {
            return; // USING and WITH CHECK come last
        }
        if c.word("to") {
            c.roles(roles);
            return;
        }
        c.at += 1;
    }
}

/// `GRANT`, `REVOKE`, `ALTER DEFAULT PRIVILEGES` and `SET SESSION AUTHORIZATION`.
fn privileges(c: &mut Cursor<'_>, roles: &mut BTreeSet<Vec<u8>>) {
    if c.word("set") {
        if c.word("session") && c.word("authorization") {
            c.role(roles);
        }
        return;
    }
    if c.word("alter") {
        // ALTER DEFAULT PRIVILEGES FOR ROLE r [IN SCHEMA s] …
        if !(c.word("default") && c.word("privileges")) {
            return;
        }
        if c.word("for") && (c.word("role") || c.word("user")) {
            c.roles(roles);
        }
        if c.word("in") && c.word("schema") {
            c.names(&mut |_| {});
        }
    }
    let behind = if c.word("grant") {
        "to"
    } else if c.word("revoke") {
        "from"
    } else {
        return;
    };
    if c.skip_to(&[behind]) {
        c.roles(roles);
        // [WITH GRANT OPTION] [GRANTED BY r]
        if c.skip_to(&["granted"]) && c.word("by") {
            c.role(roles);
        }
    }
}

struct Cursor<'a> {
    tokens: &'a [Token<'a>],
    at: usize,
}

impl Cursor<'_> {
    /// Steps over this keyword if it is next.
    fn word(&mut self, word: &str) -> bool {
        let found = self.tokens.get(self.at).is_some_and(|t| t.is_word(word));
        self.at += usize::from(found);
        found
    }

    /// Steps behind the first of these keywords that is outside parentheses. They are reserved
    /// words wherever this is used, so no bare name can be one.
    fn skip_to(&mut self, words: &[&str]) -> bool {
        let mut depth = 0usize;
        while let Some(token) = self.tokens.get(self.at) {
            self.at += 1;
            match token.kind {
                Kind::Symbol(b'(') => depth += 1,
                Kind::Symbol(b')') => depth = depth.saturating_sub(1),
                _ if depth == 0 && words.iter().any(|w| token.is_word(w)) => return true,
                _ => {}
            }
        }
        false
    }

    /// One name; special words that stand for a role are left out.
    fn name(&mut self, found: &mut dyn FnMut(Vec<u8>)) {
        let Some(token) = self.tokens.get(self.at) else { return };
        let Some(name) = token.ident() else { return };
        self.at += 1;
        let special = ["public", "current_user", "current_role", "session_user", "user", "default"]
            .iter()
            .any(|w| token.is_word(w));
        if !special {
            found(name);
        }
    }

    /// Names with commas between them.
    fn names(&mut self, found: &mut dyn FnMut(Vec<u8>)) {
        loop {
            self.word("group");
            self.name(found);
            if !self.tokens.get(self.at).is_some_and(|t| t.is_symbol(b',')) {
                return;
            }
            self.at += 1;
        }
    }

    fn role(&mut self, roles: &mut BTreeSet<Vec<u8>>) {
        self.name(&mut |name| {
            roles.insert(name);
        });
    }

    fn roles(&mut self, roles: &mut BTreeSet<Vec<u8>>) {
        self.names(&mut |name| {
            roles.insert(name);
        });
    }
}
