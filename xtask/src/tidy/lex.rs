//! Splits Rust into words and signs with their lines; comments are left out, and every literal is the
//! token `"`.
//!
//! Source: the Rust Reference, chapter "Lexical structure". It refuses nothing: on text that is not
//! Rust it returns what it made of it, because the compiler is there to complain.

/// A word, a sign, `::` or a literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    /// As written; `"` for any literal.
    pub(super) text: &'a str,
    /// Line, from 1.
    pub(super) line: usize,
}

/// Splits the text.
pub(super) fn lex(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let (len, kind) = next(rest, first);
        let taken = &rest[..len];
        match kind {
            Kind::Skip => {}
            Kind::Keep => tokens.push(Token { text: taken, line }),
            Kind::Literal => tokens.push(Token { text: "\"", line }),
        }
        line += taken.bytes().filter(|&byte| byte == b'\n').count();
        rest = &rest[len..];
    }
    tokens
}

enum Kind {
    Skip,
    Keep,
    Literal,
}

/// Length and kind of what `rest` begins with.
fn next(rest: &str, first: char) -> (usize, Kind) {
    if first.is_whitespace() {
        return (first.len_utf8(), Kind::Skip);
    }
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), Kind::Skip);
    }
    if rest.starts_with("/*") {
        return (block_comment(rest), Kind::Skip);
    }
    if let Some(len) = string(rest) {
        return (len, Kind::Literal);
    }
    if first == '\'' {
        return quote(rest);
    }
    if rest.starts_with("::") {
        return (2, Kind::Keep);
    }
    if first.is_alphabetic() || first == '_' {
        let from = if rest.starts_with("r#") { 2 } else { 0 };
        return (from + word(&rest[from..]), Kind::Keep);
    }
    if first.is_ascii_digit() {
        return (word(rest), Kind::Literal);
    }
    (first.len_utf8(), Kind::Keep)
}

fn word(rest: &str) -> usize {
    rest.find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(rest.len())
}

/// Block comments nest.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        let tail = &rest.as_bytes()[at..];
        if tail.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if tail.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// `"…"`, raw and with a prefix `b`, `c`, `br`, `cr`; also `b'…'`.
fn string(rest: &str) -> Option<usize> {
    let prefix = ["", "b", "c", "r", "br", "cr"]
        .into_iter()
        .rev()
        .find(|prefix| {
            let tail = rest
                .strip_prefix(prefix)
                .map(|tail| tail.trim_start_matches('#'));
            let hashes = rest
                .strip_prefix(prefix)
                .is_some_and(|tail| tail.starts_with('#'));
            tail.is_some_and(|tail| tail.starts_with('"')) && (!hashes || prefix.ends_with('r'))
        });
    let Some(prefix) = prefix else {
        let tail = rest.strip_prefix("b'")?;
        return Some(2 + escaped(tail, b'\''));
    };
    let body = &rest[prefix.len()..];
    if !prefix.ends_with('r') {
        return Some(prefix.len() + 1 + escaped(&body[1..], b'"'));
    }
    let hashes = body.len() - body.trim_start_matches('#').len();
    let close = format!("\"{}", "#".repeat(hashes));
    let open = prefix.len() + hashes + 1;
    let end = rest[open..].find(&close).map(|at| open + at + close.len());
    Some(end.unwrap_or(rest.len()))
}

/// Length up to and including the unescaped `close`.
fn escaped(body: &str, close: u8) -> usize {
    let mut skip = false;
    for (at, byte) in body.bytes().enumerate() {
        match byte {
            _ if skip => skip = false,
            b'\\' => skip = true,
            byte if byte == close => return at + 1,
            _ => {}
        }
    }
    body.len()
}

/// A character or a lifetime: `'a'` ends with a quote after one character, `'a` does not.
fn quote(rest: &str) -> (usize, Kind) {
    let mut chars = rest[1..].chars();
    match chars.next() {
        Some('\\') => (1 + escaped(&rest[1..], b'\''), Kind::Literal),
        Some(c) if chars.next() == Some('\'') => (2 + c.len_utf8(), Kind::Literal),
        Some(_) => (1 + word(&rest[1..]), Kind::Skip),
        None => (1, Kind::Skip),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> String {
        let words: Vec<_> = lex(text).iter().map(|token| token.text).collect();
        words.join(" ")
    }

    #[test]
    fn literals_are_one_token_whatever_is_in_them() {
        assert_eq!(
            words(r###"a "b \" c" r#"d " e"# br##"f "# g"## c"h" i"###),
            "a \" \" \" \" i"
        );
        assert_eq!(
            words(r"'a' '\'' '\u{1F}' b'\'' 'é' 1_000u64 0x1f"),
            "\" \" \" \" \" \" \""
        );
    }

    #[test]
    fn lifetimes_are_not_characters() {
        assert_eq!(
            words("fn f<'a, 'b: 'a>(x: &'a str)"),
            "fn f < , : > ( x : & str )"
        );
    }

    #[test]
    fn comments_nest_and_lines_are_counted_through_them() {
        let tokens = lex("/* a /* b\n */ c\n*/ d // e\n\"\n\" f");
        let told: Vec<_> = tokens
            .iter()
            .map(|token| (token.text, token.line))
            .collect();
        assert_eq!(told, [("d", 3), ("\"", 4), ("f", 5)]);
    }

    #[test]
    fn text_that_is_not_rust_ends_all_the_same() {
        for text in [
            "\"open", "r#\"open", "/* open", "'", "b'", "r#", "é::", "'\\",
        ] {
            lex(text);
        }
    }
}
