//! Secrets beside their names: `NAME=x`, `--name=x`, `Name: x`, `"name": "x"`, `?name=x&`.

use super::{
    Span,
    names::{self, NAME_MAX, is_name_byte},
    words::is_reference,
};

/// Blanks between a name and its `=` or `:`; program text has one or two.
const BLANKS_MAX: usize = 4;
/// Parameters that are secrets in an address and nowhere else.
const SIGNATURES: &[&[u8]] = &[
    b"sig",
    b"signature",
    b"x-amz-signature",
    b"x-goog-signature",
];

/// Adds the secrets in one word. `code`: it is a command or program text, in which an assignment at
/// the beginning does not go to the end.
pub(super) fn find(text: &[u8], code: bool, spans: &mut Vec<Span>) {
    let mut from = 0;
    for at in 0..text.len() {
        if at >= from
            && matches!(text[at], b'=' | b':')
            && let Some(span) = Pair::at(text, at).and_then(|pair| pair.secret(code))
        {
            from = span.end;
            spans.push(span);
        }
    }
}

struct Pair<'a> {
    text: &'a [u8],
    name: Span,
    quoted: bool,
    /// Blanks between the name and the sign.
    spaced: bool,
    colon: bool,
    /// Right behind the sign.
    value: usize,
    holds: names::Holds,
}

impl<'a> Pair<'a> {
    /// The name before the sign at `at`, if it is one that secrets have.
    fn at(text: &'a [u8], at: usize) -> Option<Self> {
        let colon = text[at] == b':';
        let doubled = text.get(at + 1) == Some(&b'=') || (at > 0 && text[at - 1] == b'=');
        if !colon && doubled {
            return None;
        }
        let blanks = text[..at]
            .iter()
            .rev()
            .take(BLANKS_MAX)
            .take_while(|&&byte| byte == b' ')
            .count();
        let mut end = at - blanks;
        let quoted = end > 0 && matches!(text[end - 1], b'"' | b'\'');
        if quoted {
            end -= if end > 1 && text[end - 2] == b'\\' {
                2
            } else {
                1
            };
        } else if !colon && end > 0 && matches!(text[end - 1], b':' | b'+' | b'?') {
            end -= 1;
        }
        let letters = text[..end]
            .iter()
            .rev()
            .take(NAME_MAX + 2)
            .take_while(|&&byte| is_name_byte(byte))
            .count();
        let name = end - letters..end;
        let bare = text[name.clone()].trim_ascii_start();
        let bare = &bare[bare.iter().take_while(|&&byte| byte == b'-').count()..];
        let parameter = name.start > 0 && matches!(text[name.start - 1], b'?' | b'&');
        let holds = if parameter
            && SIGNATURES
                .iter()
                .any(|name| bare.eq_ignore_ascii_case(name))
        {
            names::Holds::Secret
        } else {
            names::holds(bare)?
        };
        Some(Self {
            text,
            name,
            quoted,
            spaced: blanks > 0,
            colon,
            value: at + 1,
            holds,
        })
    }

    fn secret(&self, code: bool) -> Option<Span> {
        if self.colon {
            self.behind_colon()
        } else {
            self.behind_equals(code)
        }
    }

    fn behind_equals(&self, code: bool) -> Option<Span> {
        let from = self.value + self.blanks_at(self.value);
        if let Some(inside) = self.quoted_at(from) {
            return self.checked(inside, true);
        }
        if self.spaced || from > self.value {
            return None;
        }
        if self.name.start == 0 && !code {
            return self.checked(from..self.text.len(), false);
        }
        // A database's `User Id=sa;Password=a b;`: blanks are part of it.
        if self.before() == Some(b';') && !code {
            return self.checked(self.until(from, |byte| byte == b';'), false);
        }
        let listed = self.before() == Some(b',');
        let span = self.until(from, |byte| {
            byte.is_ascii_whitespace()
                || matches!(byte, b'&' | b';' | b'|' | b'"' | b'\'' | b'`')
                || (listed && byte == b',')
        });
        // Program text that says where the secret comes from.
        let value = &self.text[span.clone()];
        let called = value
            .iter()
            .position(|&byte| matches!(byte, b'(' | b'['))
            .is_some_and(|at| {
                at > 0
                    && value[..at]
                        .iter()
                        .all(|&byte| byte == b'_' || byte == b'.' || byte.is_ascii_alphanumeric())
            });
        if called {
            None
        } else {
            self.checked(span, true)
        }
    }

    fn behind_colon(&self) -> Option<Span> {
        let text = self.text;
        // `password:=x` of httpie.
        let value = self.value + usize::from(text.get(self.value) == Some(&b'='));
        if text[value..].starts_with(b"//") {
            return None;
        }
        let blanks = self.blanks_at(value);
        let from = value + blanks;
        if let Some(inside) = self.quoted_at(from) {
            return self.checked(inside, true);
        }
        if self.quoted {
            let span = self.until(from, |byte| {
                byte.is_ascii_whitespace() || matches!(byte, b',' | b'}')
            });
            return self.checked(span, true);
        }
        let before = self.before();
        let enclosing = before.filter(|byte| matches!(byte, b'"' | b'\''));
        let line = self.until(from, |byte| {
            matches!(byte, b'\r' | b'\n') || Some(byte) == enclosing
        });
        if names::is_header(&text[self.name.clone()]) {
            // Not beyond the quote of the argument it stands in.
            let line = self.until(from, |byte| matches!(byte, b'\r' | b'\n' | b'"' | b'\''));
            let scheme = scheme(&text[line.clone()]);
            return self.checked(line.start + scheme..line.end, true);
        }
        let first = enclosing.is_some() || matches!(before, None | Some(b'\n' | b'='));
        let one_word = !text[line.clone()].iter().any(u8::is_ascii_whitespace);
        // `-v secret:/run/secret` mounts a volume of that name.
        let path = blanks == 0 && text.get(from) == Some(&b'/');
        if first && one_word && !path {
            self.checked(line, true)
        } else {
            None
        }
    }

    /// The part of the value that is secret, unless a shell puts another there.
    fn checked(&self, value: Span, may_refer: bool) -> Option<Span> {
        let bytes = &self.text[value.clone()];
        if bytes.is_empty() || (may_refer && is_reference(bytes)) {
            return None;
        }
        let span = names::secret_in(self.holds, bytes)?;
        Some(value.start + span.start..value.start + span.end)
    }

    fn before(&self) -> Option<u8> {
        self.name.start.checked_sub(1).map(|at| self.text[at])
    }

    fn blanks_at(&self, from: usize) -> usize {
        self.text[from..]
            .iter()
            .take_while(|&&byte| matches!(byte, b' ' | b'\t'))
            .count()
    }

    fn until(&self, from: usize, ends: impl Fn(u8) -> bool) -> Span {
        let rest = &self.text[from..];
        from..from
            + rest
                .iter()
                .position(|&byte| ends(byte))
                .unwrap_or(rest.len())
    }

    /// What is within the quotes that open at `from`; to the end when they are not closed.
    fn quoted_at(&self, from: usize) -> Option<Span> {
        let rest = &self.text[from..];
        let open = match rest {
            [b'\\', quote @ (b'"' | b'\''), ..] => &rest[..=usize::from(*quote != 0)],
            [b'"' | b'\'', ..] => &rest[..1],
            _ => return None,
        };
        let inside = &rest[open.len()..];
        let mut at = 0;
        while at < inside.len() && !inside[at..].starts_with(open) {
            // An escaped quote is part of the value, unless escaped quotes are the quotes.
            at += if inside[at] == b'\\' && open.len() == 1 {
                2
            } else {
                1
            };
        }
        let start = from + open.len();
        Some(start..start + at.min(inside.len()))
    }
}

/// Length of `Bearer ` and its like before a secret.
fn scheme(value: &[u8]) -> usize {
    let word = value
        .iter()
        .take_while(|byte| byte.is_ascii_alphabetic())
        .count();
    let blanks = value[word..]
        .iter()
        .take_while(|&&byte| byte == b' ')
        .count();
    if (1..=12).contains(&word) && blanks > 0 && word + blanks < value.len() {
        word + blanks
    } else {
        0
    }
}
