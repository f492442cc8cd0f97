//! Splits shell text into words and what separates commands.
//!
//! POSIX shell token recognition (XCU 2.3) without expansion: quotes are removed, redirections,
//! comments and documents passed over. Recognises a function definition only to give up on it.

/// What a text is made of, as far as commands go.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A word, quotes removed; an expansion in it is a `$`.
    Word(Vec<u8>),
    /// What ends a command: a newline, `;`, `&`, `|`, a parenthesis.
    Separator,
    /// The text's end.
    End,
}

/// Reads one text from its start.
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// The next token; `None` for a function definition.
    pub(super) fn next(&mut self) -> Option<Token> {
        loop {
            let Some(&byte) = self.text.get(self.at) else {
                return Some(Token::End);
            };
            match byte {
                b' ' | b'\t' => self.at += 1,
                b'#' => self.skip_until(|byte| byte == b'\n'),
                b'&' if self.text.get(self.at + 1) == Some(&b'>') => self.redirection(),
                b'(' if self.text.get(self.at + 1) == Some(&b')') => return None,
                b'\n' | b';' | b'&' | b'|' | b'(' | b')' => {
                    self.at += 1;
                    return Some(Token::Separator);
                }
                b'<' if self.text[self.at..].starts_with(b"<<")
                    && !self.text[self.at..].starts_with(b"<<<") =>
                {
                    // The rest is a document for the command just read.
                    self.at = self.text.len();
                }
                b'<' | b'>' => self.redirection(),
                _ => {
                    let word = self.word();
                    let redirects = matches!(self.text.get(self.at), Some(b'<' | b'>'))
                        && word.iter().all(u8::is_ascii_digit);
                    if !redirects {
                        return Some(Token::Word(word));
                    }
                }
            }
        }
    }

    fn skip_until(&mut self, stop: impl Fn(u8) -> bool) {
        while self.text.get(self.at).is_some_and(|&byte| !stop(byte)) {
            self.at += 1;
        }
    }

    fn redirection(&mut self) {
        self.skip_until(|byte| !b"<>&|-".contains(&byte));
        self.skip_until(|byte| !b" \t".contains(&byte));
        self.word();
    }

    /// One word, quotes removed; expansions stay as text.
    fn word(&mut self) -> Vec<u8> {
        let mut word = Vec::new();
        while let Some(&byte) = self.text.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b'(' | b')' | b'<' | b'>' => break,
                b'\\' => {
                    word.extend(self.text.get(self.at + 1));
                    self.at += 2;
                }
                b'\'' => {
                    self.at += 1;
                    let from = self.at;
                    self.skip_until(|byte| byte == b'\'');
                    word.extend_from_slice(&self.text[from..self.at]);
                    self.at += 1;
                }
                b'"' => self.double_quoted(&mut word),
                _ => self.expandable(&mut word),
            }
        }
        word
    }

    fn double_quoted(&mut self, word: &mut Vec<u8>) {
        self.at += 1;
        while let Some(&byte) = self.text.get(self.at) {
            match byte {
                b'"' => {
                    self.at += 1;
                    return;
                }
                b'\\' => {
                    word.extend(self.text.get(self.at + 1));
                    self.at += 2;
                }
                _ => self.expandable(word),
            }
        }
    }

    /// One byte, or a whole `$(…)`, `${…}` or backquoted command.
    fn expandable(&mut self, word: &mut Vec<u8>) {
        let rest = &self.text[self.at..];
        let length = match rest {
            [b'$', b'(', ..] => balanced(rest, b'(', b')'),
            [b'$', b'{', ..] => balanced(rest, b'{', b'}'),
            [b'`', inner @ ..] => inner
                .iter()
                .position(|&byte| byte == b'`')
                .map_or(rest.len(), |end| end + 2),
            _ => {
                word.extend_from_slice(&rest[..1]);
                self.at += 1;
                return;
            }
        };
        // Only that it is an expansion matters, not which: one `$` says so.
        word.push(b'$');
        word.push(b'(');
        self.at += length;
    }
}

/// Length up to the closing mate of the first `open`.
fn balanced(text: &[u8], open: u8, close: u8) -> usize {
    let mut depth = 0_usize;
    for (at, &byte) in text.iter().enumerate() {
        if byte == open {
            depth += 1;
        } else if byte == close {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return at + 1;
            }
        }
    }
    text.len()
}
