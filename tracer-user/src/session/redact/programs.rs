//! Short options that take a secret, by program: `-p` is a password to mysql(1) and a port to ssh(1).
//!
//! Source: each program's manual. Only options whose value is always a secret are here.

use super::Span;
use super::names::after;

/// How an option has its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `-pVALUE` only; `-p` alone asks for it.
    Attached,
    /// `-p VALUE` or `-pVALUE`.
    Either,
    /// The same, and another program with options of its own follows.
    Before,
    /// The same, and the secret is what follows this byte: `-u user:secret`.
    After(u8),
}

struct Short {
    programs: &'static [&'static str],
    /// A word that must have come before: `docker login -p`, not `docker run -p`.
    with: Option<&'static str>,
    options: &'static [&'static str],
    form: Form,
}

const SHORTS: &[Short] = &[
    Short {
        programs: &[
            "mysql",
            "mysqladmin",
            "mysqlcheck",
            "mysqldump",
            "mysqlimport",
            "mysqlshow",
            "mysqlslap",
            "mariadb",
            "mariadb-admin",
            "mariadb-check",
            "mariadb-dump",
            "mariadb-import",
            "mariadb-show",
            "7z",
            "7za",
            "7zr",
            "7zz",
            "rar",
            "unrar",
        ],
        with: None,
        options: &["-p"],
        form: Form::Attached,
    },
    Short {
        programs: &[
            "mongo",
            "mongosh",
            "mongodump",
            "mongorestore",
            "mongoexport",
            "mongoimport",
        ],
        with: None,
        options: &["-p"],
        form: Form::Either,
    },
    Short {
        programs: &[
            "docker", "podman", "buildah", "skopeo", "nerdctl", "helm", "oc", "az",
        ],
        with: Some("login"),
        options: &["-p"],
        form: Form::Either,
    },
    Short {
        programs: &["sshpass"],
        with: None,
        options: &["-p"],
        form: Form::Before,
    },
    Short {
        programs: &["redis-cli"],
        with: None,
        options: &["-a"],
        form: Form::Either,
    },
    Short {
        programs: &["curl"],
        with: None,
        options: &["-u", "-U", "--user", "--proxy-user"],
        form: Form::After(b':'),
    },
    Short {
        programs: &["http", "https", "xh", "xhs"],
        with: None,
        options: &["-a"],
        form: Form::After(b':'),
    },
    Short {
        programs: &["smbclient", "rpcclient", "smbget", "wmic", "winexe"],
        with: None,
        options: &["-U", "--user"],
        form: Form::After(b'%'),
    },
    Short {
        programs: &[
            "ldapadd",
            "ldapdelete",
            "ldapmodify",
            "ldappasswd",
            "ldapsearch",
            "ldapwhoami",
        ],
        with: None,
        options: &["-w", "-s"],
        form: Form::Either,
    },
    Short {
        programs: &[
            "zip",
            "unzip",
            "zipcloak",
            "mosquitto_pub",
            "mosquitto_sub",
            "ipmitool",
            "sqlcmd",
            "bcp",
        ],
        with: None,
        options: &["-P"],
        form: Form::Either,
    },
    Short {
        programs: &["snmpget", "snmpwalk", "snmpset", "snmpbulkwalk", "snmptrap"],
        with: None,
        options: &["-A", "-X", "-c"],
        form: Form::Either,
    },
    Short {
        programs: &["openssl"],
        with: Some("enc"),
        options: &["-k", "-K"],
        form: Form::Either,
    },
];

/// The options of the program whose arguments are being read.
#[derive(Default)]
pub(super) struct Programs {
    active: Vec<&'static Short>,
    waiting: Vec<&'static Short>,
    next: Option<Form>,
}

impl Programs {
    /// The secret in this word, from what the words before it say; and remembers what this one says.
    pub(super) fn secret_in(&mut self, word: &[u8]) -> Option<Span> {
        if let Some(form) = self.next.take() {
            if form == Form::Before {
                self.active.clear();
            }
            return match form {
                Form::After(mark) => after(word, mark),
                _ => Some(0..word.len()),
            };
        }
        let base = word.rsplit(|&byte| byte == b'/').next().unwrap_or(word);
        let of: Vec<&Short> = SHORTS
            .iter()
            .filter(|short| {
                short
                    .programs
                    .iter()
                    .any(|program| program.as_bytes() == base)
            })
            .collect();
        if !of.is_empty() {
            (self.waiting, self.active) = of.into_iter().partition(|short| short.with.is_some());
            return None;
        }
        let said = |short: &&Short| short.with.is_some_and(|with| with.as_bytes() == word);
        self.active
            .extend(self.waiting.extract_if(.., |short| said(&&**short)));
        for short in &self.active {
            // `-sSu user:x` of curl(1).
            if short.form == Form::After(b':') && is_cluster(word, b'u') {
                self.next = Some(short.form);
                return None;
            }
            for option in short.options {
                let Some(rest) = word.strip_prefix(option.as_bytes()) else {
                    continue;
                };
                if rest.is_empty() {
                    self.next = (short.form != Form::Attached).then_some(short.form);
                    return None;
                }
                // A long option has its value behind `=` or in the next word.
                let skip = match (option.starts_with("--"), rest[0]) {
                    (true, b'=') => 1,
                    (true, _) => continue,
                    (false, _) => 0,
                };
                let value = &rest[skip..];
                let from = option.len() + skip;
                let span = match short.form {
                    Form::After(mark) => after(value, mark)?,
                    _ => 0..value.len(),
                };
                if short.form == Form::Before {
                    self.active.clear();
                }
                return Some(span.start + from..span.end + from);
            }
        }
        None
    }
}

/// Several one-letter options in one word, the last of them this.
fn is_cluster(word: &[u8], letter: u8) -> bool {
    matches!(word, [b'-', letters @ .., last] if *last == letter
        && letters.iter().all(u8::is_ascii_alphabetic))
}
