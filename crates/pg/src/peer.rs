//! `requirepeer`: whether the process at the other end of a unix socket runs as the OS user that
//! was named.

use std::fs;

use crate::PgError;
use crate::conninfo::ConnInfo;
use crate::stream::Stream;

const USERS: &str = "/etc/passwd";

/// Asks the kernel who listens. Over TCP nobody can tell, and libpq does not ask either.
pub(crate) fn check(stream: &Stream, info: &ConnInfo) -> Result<(), PgError> {
    let wanted = info.get("requirepeer");
    let Stream::Unix(socket) = stream else { return Ok(()) };
    if wanted.is_empty() {
        return Ok(());
    }
    let peer = rustix::net::sockopt::socket_peercred(socket)
        .map_err(|error| PgError::Auth(format!("requirepeer: find out whose socket it is: {error}")))?;
    let id = peer.uid.as_raw();
    let users = fs::read(USERS)
        .map_err(|error| PgError::Auth(format!("requirepeer: read the users in {USERS}: {error}")))?;
    match name_of(id, &String::from_utf8_lossy(&users)) {
        Some(name) if name == wanted => Ok(()),
        Some(name) => Err(PgError::Auth(format!(
            "requirepeer specifies \"{wanted}\", but actual peer user name is \"{name}\""
        ))),
        // A user of a directory service: a name that we cannot know is not the one that was asked
        // for.
        None => Err(PgError::Auth(format!(
            "requirepeer specifies \"{wanted}\", but the server's user has the id {id}, which is not in {USERS}"
        ))),
    }
}

fn name_of(id: u32, users: &str) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::name_of;

    #[test]
    fn the_first_user_with_the_id() {
        let users = "root:x:0:0::/root:/bin/sh\n# none\nbad\npostgres:x:113:1::/:/x\ntwin:x:113:1::/:/x\n";
        assert_eq!(name_of(0, users), Some("root"));
        assert_eq!(name_of(113, users), Some("postgres"));
        assert_eq!(name_of(1, users), None);
    }
}
