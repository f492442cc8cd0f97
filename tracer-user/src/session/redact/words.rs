//! Secrets by their place: the word behind `--password`, in an argument list and in a shell command
//! that is one argument of it.

use super::{
    Span,
    names::{self, Holds},
    pairs, programs, shapes,
};

/// How deep commands within commands are followed: `sh -c "ssh host 'mysql -px'"` has two.
const DEPTH: u32 = 4;

/// The secrets in each of these arguments; they may overlap.
pub(super) fn find(argv: &[Vec<u8>]) -> Vec<Vec<Span>> {
    let mut found = Vec::with_capacity(argv.len());
    // Options, assignments, headers, addresses and commands all have one of these in them. Without, a word can
    // give itself away by its look alone.
    let is_telling = |byte: &u8| matches!(byte, b'-' | b'=' | b':') || byte.is_ascii_whitespace();
    if !argv.iter().flatten().any(is_telling) {
        found.extend(argv.iter().map(|word| {
            let mut spans = Vec::new();
            shapes::find(word, &mut spans);
            spans
        }));
        return found;
    }
    let mut reader = Reader::default();
    let mut code = false;
    for word in argv {
        let mut spans = Vec::new();
        spans.extend(reader.secret_in(word));
        pairs::find(word, code, &mut spans);
        shapes::find(word, &mut spans);
        in_command(word, 0, DEPTH, &mut spans);
        code = takes_code(word);
        found.push(spans);
    }
    found
}

/// What the words so far say of the next one.
#[derive(Default)]
struct Reader {
    holds: Option<Holds>,
    programs: programs::Programs,
}

impl Reader {
    fn secret_in(&mut self, word: &[u8]) -> Option<Span> {
        if let Some(holds) = self.holds.take()
            && !is_option(word)
        {
            return names::secret_in(holds, word);
        }
        self.holds = names::option_takes(word);
        self.programs.secret_in(word)
    }
}

/// Whether this is an option, rather than a value that begins with a dash.
fn is_option(word: &[u8]) -> bool {
    match word {
        [b'-', b'-', first, ..] => first.is_ascii_alphabetic(),
        [b'-', letter] => letter.is_ascii_alphabetic(),
        _ => false,
    }
}

/// Whether the next word is a command or program text: `-c`, `-lc`, `-qefc`.
fn takes_code(word: &[u8]) -> bool {
    matches!(word, [b'-', letters @ .., b'c' | b'e'] if letters.iter().all(u8::is_ascii_alphabetic))
}

/// Reads an argument as the command it may be.
fn in_command(text: &[u8], offset: usize, depth: u32, spans: &mut Vec<Span>) {
    if !text.iter().any(u8::is_ascii_whitespace) {
        return;
    }
    let mut reader = Reader::default();
    for token in (Tokens { text, at: 0 }) {
        let inner = unquoted(text, &token);
        // A quote that is never closed goes with its value: alone, it would change what follows.
        let value = inner.clone().unwrap_or_else(|| token.clone());
        let word = &text[value.clone()];
        if let Some(span) = reader.secret_in(word)
            && !is_reference(&word[span.clone()])
        {
            let from = offset + value.start;
            spans.push(span.start + from..span.end + from);
        }
        // A command that was cut off has no closing quote either.
        let opened =
            matches!(text[token.start], b'"' | b'\'').then_some(token.start + 1..token.end);
        if let Some(command) = inner.or(opened).filter(|_| depth > 0) {
            in_command(
                &text[command.clone()],
                offset + command.start,
                depth - 1,
                spans,
            );
        }
    }
}

/// Whether a shell puts something else here: `$TOKEN`, `${TOKEN}`, `$(cat token)`.
pub(super) fn is_reference(value: &[u8]) -> bool {
    let is_name = |name: &[u8]| {
        name.first()
            .is_some_and(|byte| byte.is_ascii_uppercase() || *byte == b'_')
            && name
                .iter()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_')
    };
    match value {
        // The blank in `$(cat token)` ends the word.
        [b'$'] | [b'$', b'(', ..] => true,
        [b'$', b'{', name @ .., b'}'] | [b'$', name @ ..] => is_name(name),
        _ => false,
    }
}

/// What is within the quotes around a word.
fn unquoted(text: &[u8], token: &Span) -> Option<Span> {
    match &text[token.clone()] {
        [open @ (b'"' | b'\''), .., close] if open == close => Some(token.start + 1..token.end - 1),
        _ => None,
    }
}

/// The words of a command as a shell would see them, quotes included.
struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
}

impl Iterator for Tokens<'_> {
    type Item = Span;

    fn next(&mut self) -> Option<Span> {
        let apart = |byte: u8| {
            byte.is_ascii_whitespace() || matches!(byte, b';' | b'|' | b'&' | b'(' | b')')
        };
        let start = self.at + self.text[self.at..].iter().position(|&byte| !apart(byte))?;
        let mut quote = None;
        let mut end = start;
        while let Some(&byte) = self.text.get(end) {
            match quote {
                None if apart(byte) => break,
                None if matches!(byte, b'"' | b'\'') => quote = Some(byte),
                Some(open) if byte == open => quote = None,
                _ if byte == b'\\' && quote != Some(b'\'') => end += 1,
                _ => {}
            }
            end += 1;
        }
        self.at = end.min(self.text.len());
        Some(start..self.at)
    }
}
