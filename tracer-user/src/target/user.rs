//! The user a command runs as.
//!
//! Source: the user and group databases of this machine (getpwnam(3), getgrouplist(3)), name service
//! switch included, through the nix crate. Looked up before the fork, since those functions may take
//! locks and open sockets.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use thiserror::Error;

/// A user with what a login would give it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub(super) name: OsString,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
    pub(super) home: OsString,
    pub(super) shell: OsString,
}

/// Why a user cannot be had.
#[derive(Debug, Error)]
pub enum UserError {
    /// No such user.
    #[error("no user named {name:?} on this machine; `getent passwd` lists them")]
    Unknown {
        /// As it was asked for.
        name: String,
    },
    /// The database could not be read.
    #[error("cannot look up user {name:?}")]
    Lookup {
        /// As it was asked for.
        name: String,
        /// What the system said.
        source: Errno,
    },
}

impl User {
    /// Looks up a user by name, or by number when no user has that name.
    ///
    /// # Errors
    /// [`UserError`] names the user.
    pub fn lookup(name: &str) -> Result<Self, UserError> {
        let failed = |source| UserError::Lookup {
            name: name.to_owned(),
            source,
        };
        let mut found = nix::unistd::User::from_name(name).map_err(failed)?;
        if let (None, Ok(uid)) = (&found, name.parse::<u32>()) {
            found = nix::unistd::User::from_uid(uid.into()).map_err(failed)?;
        }
        let Some(user) = found else {
            return Err(UserError::Unknown {
                name: name.to_owned(),
            });
        };
        let login = CString::new(user.name.as_bytes()).map_err(|_| failed(Errno::EINVAL))?;
        let groups = nix::unistd::getgrouplist(&login, user.gid).map_err(failed)?;
        Ok(Self {
            name: user.name.into(),
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            groups: groups.into_iter().map(nix::unistd::Gid::as_raw).collect(),
            home: user.dir.into_os_string(),
            shell: user.shell.into_os_string(),
        })
    }

    /// The login name.
    #[must_use]
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// The user id.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// The variables that name a user, as `login(1)` sets them; all others stay.
    pub(super) fn environment(&self) -> [Vec<u8>; 4] {
        [
            ("HOME", &self.home),
            ("USER", &self.name),
            ("LOGNAME", &self.name),
            ("SHELL", &self.shell),
        ]
        .map(|(key, value)| {
            let mut entry = key.as_bytes().to_vec();
            entry.push(b'=');
            entry.extend_from_slice(value.as_bytes());
            entry
        })
    }
}

/// Whether an entry of the environment is one of those a user change replaces.
pub(super) fn is_of_user(entry: &[u8]) -> bool {
    [&b"HOME="[..], b"USER=", b"LOGNAME=", b"SHELL="]
        .iter()
        .any(|key| entry.starts_with(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_name_and_by_number() {
        let root = User::lookup("root").unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert!(root.environment().contains(&b"HOME=/root".to_vec()));
        assert_eq!(User::lookup("0").unwrap(), root);
    }

    #[test]
    fn an_unknown_user_is_named() {
        let error = User::lookup("no-such-user-here").unwrap_err();
        assert!(
            error.to_string().contains("\"no-such-user-here\""),
            "{error}"
        );
    }
}
