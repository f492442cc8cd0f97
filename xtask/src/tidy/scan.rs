//! Reads a Rust file as far as the house rules need: which paths it names, where, and whether in
//! test code.
//!
//! A lexer and a walk over its tokens, not a parser: comments, strings and characters are left out,
//! `use` trees are spread out over any number of lines, and every `a::b` in an expression, a type or an
//! attribute counts like an import. What a macro makes of its tokens is not seen, nor is
//! `use std as s`.

use super::lex::{Token, lex};

/// A path that a file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    /// Its segments; the last is `*` for a glob import.
    pub(super) segments: Vec<String>,
    /// Line, from 1.
    pub(super) line: usize,
    /// Inside code that only tests have.
    pub(super) in_test: bool,
    /// Inline `mod name { … }` around it: what `super` climbs before it leaves the file.
    pub(super) inline_mods: usize,
}

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Paths, in order.
    pub(super) paths: Vec<Named>,
    /// Lines with an `#[allow(…)]`.
    pub(super) allows: Vec<usize>,
}

/// One open brace.
#[derive(Clone, Copy)]
struct Scope {
    in_test: bool,
    is_mod: bool,
}

/// Scans a file's text. `in_test` says that the whole file is test code.
pub(super) fn scan(text: &str, in_test: bool) -> Scan {
    let tokens = lex(text);
    let mut walk = Walk {
        tokens: &tokens,
        at: 0,
        scopes: vec![Scope {
            in_test,
            is_mod: false,
        }],
        test_item: false,
        mod_item: false,
        brackets: 0,
        scan: Scan::default(),
    };
    walk.run();
    walk.scan
}

struct Walk<'a> {
    tokens: &'a [Token<'a>],
    at: usize,
    scopes: Vec<Scope>,
    /// A test attribute was read, its item not yet entered.
    test_item: bool,
    /// `mod name` was read, its brace not yet.
    mod_item: bool,
    /// Open `(` and `[`: a `;` inside does not end an item.
    brackets: usize,
    scan: Scan,
}

impl<'a> Walk<'a> {
    fn text(&self, ahead: usize) -> &'a str {
        self.tokens
            .get(self.at + ahead)
            .map_or("", |token| token.text)
    }

    fn is_ident(&self, ahead: usize) -> bool {
        self.text(ahead)
            .starts_with(|first: char| first.is_alphabetic() || first == '_')
    }

    fn in_test(&self) -> bool {
        self.test_item || self.scopes.last().is_some_and(|scope| scope.in_test)
    }

    fn run(&mut self) {
        while self.at < self.tokens.len() {
            match self.text(0) {
                "#" => self.attribute(),
                // `use<'a>` is a bound on captured lifetimes, not an import.
                "use" if self.text(1) != "<" => {
                    self.at += 1;
                    self.use_tree(&mut Vec::new());
                }
                "mod" if self.is_ident(1) => {
                    self.mod_item = self.text(2) == "{";
                    self.at += 2;
                }
                "{" => {
                    self.scopes.push(Scope {
                        in_test: self.in_test(),
                        is_mod: self.mod_item,
                    });
                    self.test_item = false;
                    self.mod_item = false;
                    self.at += 1;
                }
                "}" => {
                    // The first scope is the file.
                    if self.scopes.len() > 1 {
                        self.scopes.pop();
                    }
                    self.at += 1;
                }
                "(" | "[" => {
                    self.brackets += 1;
                    self.at += 1;
                }
                ")" | "]" => {
                    self.brackets = self.brackets.saturating_sub(1);
                    self.at += 1;
                }
                ";" if self.brackets == 0 => {
                    self.test_item = false;
                    self.at += 1;
                }
                _ if self.is_ident(0) => self.expression_path(),
                _ => self.at += 1,
            }
        }
    }

    /// `#[…]` or `#![…]`: looks for test code and silenced lints. Its tokens are then walked like any
    /// others, so that `#[tokio::main]` is a use of tokio.
    fn attribute(&mut self) {
        let inner = self.text(1) == "!";
        let open = 1 + usize::from(inner);
        if self.text(open) == "[" {
            let name = self.text(open + 1);
            let mut depth = 0_usize;
            let mut words = Vec::new();
            for token in self.tokens.iter().skip(self.at + open) {
                match token.text {
                    "[" => depth += 1,
                    "]" => depth -= 1,
                    word => words.push(word),
                }
                if depth == 0 {
                    break;
                }
            }
            let for_tests = name == "test"
                || (name == "cfg" && words.contains(&"test") && !words.contains(&"not"));
            if for_tests && inner {
                if let Some(scope) = self.scopes.last_mut() {
                    scope.in_test = true;
                }
            } else if for_tests {
                self.test_item = true;
            }
            if name == "allow" {
                self.scan.allows.push(self.tokens[self.at].line);
            }
        }
        self.at += 1;
    }

    /// One branch of a `use` tree, `prefix` being what stands before it.
    fn use_tree(&mut self, prefix: &mut Vec<String>) {
        let depth = prefix.len();
        let line = self.tokens.get(self.at).map_or(0, |token| token.line);
        loop {
            match self.text(0) {
                "::" => self.at += 1,
                "{" => {
                    self.at += 1;
                    while !matches!(self.text(0), "}" | "") {
                        self.use_tree(prefix);
                        if self.text(0) == "," {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    break;
                }
                "*" => {
                    prefix.push("*".to_owned());
                    self.at += 1;
                    self.name(prefix.clone(), line);
                    break;
                }
                "as" => {
                    self.at += 2;
                    self.name(prefix.clone(), line);
                    break;
                }
                word if self.is_ident(0) => {
                    prefix.push(plain(word));
                    self.at += 1;
                    if !matches!(self.text(0), "::" | "as") {
                        self.name(prefix.clone(), line);
                        break;
                    }
                }
                // Not Rust, or the `;` after a group.
                _ => break,
            }
        }
        prefix.truncate(depth);
    }

    /// `a::b::c` outside `use`; one word alone names nothing foreign.
    fn expression_path(&mut self) {
        let line = self.tokens[self.at].line;
        let field = self.at > 0 && self.tokens[self.at - 1].text == ".";
        let mut segments = vec![plain(self.text(0))];
        self.at += 1;
        while self.text(0) == "::" && self.is_ident(1) {
            segments.push(plain(self.text(1)));
            self.at += 2;
        }
        if segments.len() > 1 && !field {
            self.name(segments, line);
        }
    }

    fn name(&mut self, segments: Vec<String>, line: usize) {
        self.scan.paths.push(Named {
            segments,
            line,
            in_test: self.in_test(),
            inline_mods: self.scopes.iter().filter(|scope| scope.is_mod).count(),
        });
    }
}

/// A raw identifier is the same name.
fn plain(word: &str) -> String {
    word.strip_prefix("r#").unwrap_or(word).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        let scan = scan(text, false);
        scan.paths
            .iter()
            .map(|path| path.segments.join("::"))
            .collect()
    }

    #[test]
    fn a_use_tree_over_many_lines_is_every_path_in_it() {
        let text = "pub(crate) use crate::{\n    a::{self, b as c},\n    d::*,\n};\nuse ::x;";
        assert_eq!(
            paths(text),
            ["crate::a::self", "crate::a::b", "crate::d::*", "x"]
        );
        assert_eq!(scan(text, false).paths[2].line, 3);
    }

    #[test]
    fn a_path_in_code_a_type_or_an_attribute_counts_like_an_import() {
        let text =
            "#[tokio::main] fn f(x: std::fs::File) -> Vec::<u8> { crate::probe::go(x.y::<Z>()) }";
        assert_eq!(
            paths(text),
            ["tokio::main", "std::fs::File", "crate::probe::go"]
        );
    }

    #[test]
    fn comments_and_strings_name_nothing() {
        let text = "// std::fs\n/* std::net /* nested::x */ y::z */ const A: &str = \"std::env::x\"; \
                    const B: &str = r#\"a::\"b::c\"#; const C: char = '\"'; fn g<'a>(_: &'a u8) {}";
        assert_eq!(paths(text), [""; 0]);
    }

    #[test]
    fn test_code_is_told_from_the_rest() {
        let text = "#[cfg(test)]\nmod tests {\n use super::*;\n fn f() { std::fs::x() }\n}\nuse a::b;\n\
                    #[cfg(not(test))]\nuse c::d;\n#[test]\nfn t(_: [u8; 3]) { e::f() }\nuse g::h;";
        let scan = scan(text, false);
        let told: Vec<_> = scan
            .paths
            .iter()
            .map(|p| (p.segments[0].as_str(), p.in_test))
            .collect();
        assert_eq!(
            told,
            [
                ("super", true),
                ("std", true),
                ("a", false),
                ("c", false),
                ("e", true),
                ("g", false)
            ]
        );
        assert_eq!(scan.paths[0].inline_mods, 1);
    }

    #[test]
    fn silenced_lints_are_found() {
        let text = "#![allow(dead_code)]\n#[expect(unused, reason = \"x\")]\nfn f() {}\n#[allow(x)]\nfn g() {}";
        assert_eq!(scan(text, false).allows, [1, 4]);
    }
}
