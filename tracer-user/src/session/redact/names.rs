//! Names under which secrets are given: of options, variables, headers, keys and parameters.
//!
//! A name is taken apart into words (`clientSecret`, `CLIENT_SECRET` and `--client-secret` are the same
//! two), and the last ones decide: a *password* is a secret, a *password file* is the name of a file.

/// Longest name that is looked at; secrets have short ones.
pub(super) const NAME_MAX: usize = 64;

/// What a name says about the value beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// The value is the secret.
    Secret,
    /// It is, unless it is the name of a file.
    SecretOrPath,
    /// As openssl(1) and ffmpeg(1) have it: `pass:x`, `file:x`, or the number of a pass.
    Pass,
    /// `user:secret`.
    User,
}

/// Always a secret, alone or at the end of a name.
const SECRETS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "secret",
    "token",
    "bearer",
    "apikey",
    "accesskey",
    "secretkey",
    "accountkey",
    "sharedaccesskey",
    "encryptionkey",
    "sshpass",
    "dbpass",
    "userpass",
    "ftppass",
];
/// Also when written together with the word before: `clientsecret`, `PGPASSWORD`.
const ENDINGS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
];
/// Followed by `key`.
const KEYS: &[&str] = &[
    "access",
    "account",
    "admin",
    "api",
    "auth",
    "encrypt",
    "encryption",
    "master",
    "secret",
    "shared",
    "signing",
    "storage",
];
/// A `token` of these is a piece of text or a number of them.
const TEXT_TOKENS: &[&str] = &[
    "bos", "cls", "end", "eos", "mask", "max", "min", "n", "next", "num", "pad", "per", "sep",
    "special", "start", "stop", "unk",
];
/// An option that begins so does something with a secret and is not followed by one.
const VERBS: &[&str] = &[
    "allow", "ask", "create", "delete", "disable", "enable", "gen", "generate", "get", "has",
    "hide", "is", "list", "no", "print", "prompt", "require", "reset", "rotate", "show", "skip",
    "use", "without",
];
/// Headers whose value is a secret, wherever they stand.
const HEADERS: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
];

/// What stands beside this name.
pub(super) fn holds(name: &[u8]) -> Option<Holds> {
    if name.len() > NAME_MAX {
        return None;
    }
    if HEADERS
        .iter()
        .any(|header| name.eq_ignore_ascii_case(header.as_bytes()))
    {
        return Some(Holds::Secret);
    }
    let words = words(name);
    let last = words.last()?.as_str();
    let before = words
        .len()
        .checked_sub(2)
        .map_or("", |at| words[at].as_str());
    match (before, last) {
        ("private" | "client", "key")
        | (_, "privatekey" | "credential" | "credentials" | "pwd") => Some(Holds::SecretOrPath),
        ("secret", "string" | "value") | ("redis" | "rediscli", "auth") => Some(Holds::Secret),
        // npm's `//registry/:_auth=`.
        ("", "auth") if name.starts_with(b"_") => Some(Holds::Secret),
        (_, "auth") => Some(Holds::User),
        (_, "pass" | "passin" | "passout") => Some(Holds::Pass),
        (before, "token") if TEXT_TOKENS.contains(&before) => None,
        (before, "key") if KEYS.contains(&before) => Some(Holds::Secret),
        (_, last) if SECRETS.contains(&last) || ENDINGS.iter().any(|end| last.ends_with(end)) => {
            Some(Holds::Secret)
        }
        _ => None,
    }
}

/// Whether the value of this header runs to the end of its line, words and all.
pub(super) fn is_header(name: &[u8]) -> bool {
    HEADERS
        .iter()
        .any(|header| name.eq_ignore_ascii_case(header.as_bytes()))
}

/// What the word behind this option holds: `--password`, `-token`.
pub(super) fn option_takes(word: &[u8]) -> Option<Holds> {
    let name = word
        .strip_prefix(b"--")
        .or_else(|| word.strip_prefix(b"-"))?;
    if name.len() < 2 || !name.iter().all(|&byte| is_name_byte(byte)) {
        return None;
    }
    let first = words(name).into_iter().next()?;
    let one_word = first.len() == name.len();
    if !one_word && VERBS.contains(&first.as_str()) {
        return None;
    }
    holds(name)
}

/// What names are made of.
pub(super) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// The words of a name in lower case, of at most [`NAME_MAX`] bytes: `X-Api-Key`, `apiKey`, `API_KEY`.
fn words(name: &[u8]) -> Vec<String> {
    let name = &name[..name.len().min(NAME_MAX)];
    let mut words = vec![String::new()];
    for (at, &byte) in name.iter().enumerate() {
        let behind = name.get(at + 1).copied().unwrap_or(0);
        let ahead = at.checked_sub(1).map_or(0, |at| name[at]);
        let hump = byte.is_ascii_uppercase()
            && (ahead.is_ascii_lowercase()
                || (ahead.is_ascii_uppercase() && behind.is_ascii_lowercase()));
        if hump || !byte.is_ascii_alphanumeric() {
            words.push(String::new());
        }
        if byte.is_ascii_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.push(char::from(byte.to_ascii_lowercase()));
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The part of `value` that is the secret, if any.
pub(super) fn secret_in(holds: Holds, value: &[u8]) -> Option<std::ops::Range<usize>> {
    const NOTHING: &[&str] = &[
        "true", "false", "yes", "no", "on", "off", "none", "null", "nil",
    ];
    let all = 0..value.len();
    let says_nothing = value.iter().all(|&byte| byte == b'*')
        || NOTHING
            .iter()
            .any(|word| value.eq_ignore_ascii_case(word.as_bytes()));
    if says_nothing {
        return None;
    }
    match holds {
        // `--secret id=…,src=…` of container builds names a secret that is elsewhere.
        Holds::Secret => (!value.starts_with(b"id=")).then_some(all),
        Holds::SecretOrPath => (!is_path(value)).then_some(all),
        Holds::Pass => {
            let elsewhere = [&b"file:"[..], b"env:", b"fd:"]
                .iter()
                .any(|how| value.starts_with(how));
            let a_pass = value.len() <= 2 && value.iter().all(u8::is_ascii_digit);
            let skip = if value.starts_with(b"pass:") { 5 } else { 0 };
            (!elsewhere && !a_pass && value != b"stdin" && skip < value.len())
                .then_some(skip..value.len())
        }
        Holds::User => after(value, b':'),
    }
}

/// What follows the first `mark`.
pub(super) fn after(value: &[u8], mark: u8) -> Option<std::ops::Range<usize>> {
    let at = value.iter().position(|&byte| byte == mark)? + 1;
    (at < value.len()).then_some(at..value.len())
}

fn is_path(value: &[u8]) -> bool {
    const BEGINNINGS: &[&[u8]] = &[b"/", b"./", b"../", b"~/", b"file:", b"@"];
    const ENDINGS: &[&[u8]] = &[
        b".pem", b".key", b".json", b".crt", b".p12", b".yaml", b".yml", b".txt",
    ];
    BEGINNINGS
        .iter()
        .any(|beginning| value.starts_with(beginning))
        || ENDINGS.iter().any(|ending| value.ends_with(ending))
}
