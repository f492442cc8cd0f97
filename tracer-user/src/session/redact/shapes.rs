//! Secrets by their own look: tokens whose makers gave them a prefix, JWTs, private keys, passwords in
//! addresses.
//!
//! Source: the prefixes as their makers publish them for secret scanners. A prefix alone is not enough:
//! length, alphabet and a digit keep ordinary names out.

use super::{Span, words::is_reference};

/// Furthest that an `@` is looked for in an address whose password holds a slash.
const ADDRESS_MAX: usize = 256;

/// What follows a prefix.
#[derive(Clone, Copy)]
enum Body {
    /// `[A-Za-z0-9]`
    Plain,
    /// `[A-Za-z0-9_]`
    Under,
    /// `[A-Za-z0-9_-]`
    Dash,
    /// `[A-Za-z0-9_.-]`
    Dots,
    /// `[A-Z0-9]`
    Upper,
    /// All that an address may hold behind its host.
    Path,
}

impl Body {
    fn has(self, byte: u8) -> bool {
        let plain = byte.is_ascii_alphanumeric();
        match self {
            Self::Plain => plain,
            Self::Under => plain || byte == b'_',
            Self::Dash => plain || matches!(byte, b'_' | b'-'),
            Self::Dots => plain || matches!(byte, b'_' | b'-' | b'.'),
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Path => plain || matches!(byte, b'_' | b'-' | b'/'),
        }
    }
}

/// Prefix, what follows it, and how much of that at least.
const TOKENS: &[(&[u8], Body, usize)] = &[
    (b"ghp_", Body::Under, 16),
    (b"gho_", Body::Under, 16),
    (b"ghu_", Body::Under, 16),
    (b"ghs_", Body::Under, 16),
    (b"ghr_", Body::Under, 16),
    (b"github_pat_", Body::Under, 16),
    (b"glpat-", Body::Dots, 16),
    (b"gldt-", Body::Dash, 16),
    (b"glrt-", Body::Dots, 16),
    (b"AKIA", Body::Upper, 16),
    (b"ASIA", Body::Upper, 16),
    (b"xoxa-", Body::Dash, 10),
    (b"xoxb-", Body::Dash, 10),
    (b"xoxe-", Body::Dash, 10),
    (b"xoxe.", Body::Dots, 10),
    (b"xoxo-", Body::Dash, 10),
    (b"xoxp-", Body::Dash, 10),
    (b"xoxr-", Body::Dash, 10),
    (b"xoxs-", Body::Dash, 10),
    (b"xapp-", Body::Dash, 10),
    (b"sk_live_", Body::Plain, 10),
    (b"sk_test_", Body::Plain, 10),
    (b"rk_live_", Body::Plain, 10),
    (b"rk_test_", Body::Plain, 10),
    (b"whsec_", Body::Plain, 16),
    (b"AIza", Body::Dash, 30),
    (b"ya29.", Body::Dots, 20),
    (b"npm_", Body::Plain, 30),
    (b"pypi-", Body::Dash, 30),
    (b"hf_", Body::Plain, 30),
    (b"SG.", Body::Dots, 40),
    (b"dop_v1_", Body::Plain, 32),
    (b"dckr_pat_", Body::Dash, 16),
    (b"hvs.", Body::Dash, 20),
    (b"shpat_", Body::Plain, 20),
    (b"lin_api_", Body::Plain, 20),
    (b"ATATT3", Body::Dash, 40),
    (b"AGE-SECRET-KEY-1", Body::Upper, 40),
    (b"hooks.slack.com/services/", Body::Path, 16),
    (b"discord.com/api/webhooks/", Body::Path, 16),
];
/// How a JWT's first part begins: `{"alg":`, `{"typ":`, `{"kid":`, `{"enc":`.
const JWT_HEADS: &[&[u8]] = &[b"eyJhbGci", b"eyJ0eXAi", b"eyJraWQi", b"eyJlbmMi"];
const KEY_BEGIN: &[u8] = b"-----BEGIN ";

/// Adds the secrets in one word.
pub(super) fn find(text: &[u8], spans: &mut Vec<Span>) {
    let mut at = 0;
    while at < text.len() {
        let begins = at == 0 || !text[at - 1].is_ascii_alphanumeric();
        let rest = &text[at..];
        let span = match text[at] {
            b':' if rest.starts_with(b"://") => address(text, at + 3),
            b'-' => private_key(rest).map(|span| span.start + at..span.end + at),
            byte if begins && byte.is_ascii_alphabetic() => {
                token(rest).map(|span| span.start + at..span.end + at)
            }
            _ => None,
        };
        at = match span {
            Some(span) => {
                let end = span.end;
                spans.push(span);
                end.max(at + 1)
            }
            None => at + 1,
        };
    }
}

fn run(text: &[u8], body: Body) -> &[u8] {
    &text[..text.iter().take_while(|&&byte| body.has(byte)).count()]
}

/// A token at the beginning of `text`.
fn token(text: &[u8]) -> Option<Span> {
    let first = text.first();
    for &(prefix, body, min) in TOKENS {
        // Most words begin with another letter, which is told without a call.
        if prefix.first() == first
            && let Some(rest) = text.strip_prefix(prefix)
        {
            let found = run(rest, body);
            let enough = found.len() >= min && found.iter().any(u8::is_ascii_digit);
            return enough.then(|| keep_host(prefix)..prefix.len() + found.len());
        }
    }
    match text {
        [b's', b'k', b'-', rest @ ..] => {
            // `sk-learn-contrib-2024` is no secret: real ones hold a long piece without dashes.
            let found = run(rest, Body::Dash);
            let piece = |piece: &[u8]| piece.len() >= 16 && piece.iter().any(u8::is_ascii_digit);
            found
                .split(|&byte| byte == b'-')
                .any(piece)
                .then(|| 0..3 + found.len())
        }
        [b'e', b'y', b'J', ..] => jwt(text),
        [b'b' | b'B', tail @ ..] if tail.len() > 6 && tail[..6].eq_ignore_ascii_case(b"earer ") => {
            let value = &tail[6..];
            let length = value
                .iter()
                .take_while(|&&byte| {
                    Body::Dots.has(byte) || matches!(byte, b'~' | b'+' | b'/' | b'=')
                })
                .count();
            let secret = length >= 16 && value[..length].iter().any(u8::is_ascii_digit);
            secret.then_some(7..7 + length)
        }
        _ => None,
    }
}

/// An address stays readable up to what is secret in it.
fn keep_host(prefix: &[u8]) -> usize {
    if prefix.ends_with(b"/") {
        prefix.len()
    } else {
        0
    }
}

/// Three parts in base64url, the first two JSON; one cut off is one too.
fn jwt(text: &[u8]) -> Option<Span> {
    let head = run(text, Body::Dash);
    let payload = text
        .get(head.len()..)
        .and_then(|rest| rest.strip_prefix(b"."));
    let whole = head.len() >= 10 && payload.is_some_and(|payload| payload.starts_with(b"eyJ"));
    let cut = head.len() >= 16 && JWT_HEADS.iter().any(|begin| head.starts_with(begin));
    (whole || cut).then(|| 0..run(text, Body::Dots).len())
}

/// The inside of a private key, to its end or the end of the text.
fn private_key(text: &[u8]) -> Option<Span> {
    let rest = text.strip_prefix(KEY_BEGIN)?;
    let label = rest.iter().take(40).position(|&byte| byte == b'-')?;
    if !rest[..label].ends_with(b"PRIVATE KEY") && !rest[..label].ends_with(b"PRIVATE KEY BLOCK") {
        return None;
    }
    let start = KEY_BEGIN.len()
        + label
        + rest[label..]
            .iter()
            .take_while(|&&byte| byte == b'-')
            .count();
    let end = text[start..]
        .windows(8)
        .position(|window| window == b"-----END");
    Some(start..end.map_or(text.len(), |end| start + end))
}

/// The password in an address, whose authority begins at `from`.
fn address(text: &[u8], from: usize) -> Option<Span> {
    let ends = |byte: &u8| {
        byte.is_ascii_whitespace()
            || matches!(byte, b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>' | b'`')
    };
    let rest = &text[from..];
    let authority = &rest[..rest.iter().position(ends).unwrap_or(rest.len())];
    let span = if let Some(at) = authority.iter().rposition(|&byte| byte == b'@') {
        let user = &authority[..at];
        match user.iter().position(|&byte| byte == b':') {
            Some(colon) => colon + 1..at,
            // A long user with a digit and no password is a token.
            None if user.len() >= 20 && user.iter().any(u8::is_ascii_digit) => 0..at,
            None => return None,
        }
    } else {
        let colon = authority.iter().position(|&byte| byte == b':')?;
        let port = &authority[colon + 1..];
        if authority.starts_with(b"[") || port.is_empty() || port.iter().all(u8::is_ascii_digit) {
            return None;
        }
        // No port: a password with a slash in it, or one that is cut off.
        let ahead = &rest[..rest.len().min(ADDRESS_MAX)];
        let word = ahead
            .iter()
            .position(|byte| byte.is_ascii_whitespace() || *byte == b'"');
        let ahead = &ahead[..word.unwrap_or(ahead.len())];
        match ahead.iter().rposition(|&byte| byte == b'@') {
            Some(at) => colon + 1..at,
            None if authority.len() == rest.len() => colon + 1..authority.len(),
            None => return None,
        }
    };
    (!span.is_empty() && !is_reference(&rest[span.clone()]))
        .then(|| span.start + from..span.end + from)
}
