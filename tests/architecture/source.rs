//! A source file as words with line numbers, without comments and without what is compiled for tests only; judges nothing.

use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// One file below `src`.
pub(crate) struct Source {
    /// Below `src`, as in `hub/ring.rs`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// What the product is built from: tests are cut out, and `a::{b, c}` is spelt out as `a::b, a::c`.
    pub(crate) words: Vec<Word>,
}

/// An identifier, a literal or a punctuation mark; `::` is one word.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) line: usize,
}

impl Source {
    pub(crate) fn parse(path: &str, text: &str) -> Self {
        let stream: TokenStream = text.parse().unwrap_or_else(|error| panic!("src/{path}: not Rust: {error}"));
        let mut words = Vec::new();
        if !is_test_file(path) {
            spell_out(without_tests(stream), &mut words);
        }
        Self { path: path.into(), text: text.into(), words }
    }

    /// Every file below `directory`.
    pub(crate) fn all(directory: &Path) -> Vec<Self> {
        let mut sources = Vec::new();
        let mut directories = vec![directory.to_owned()];
        while let Some(next) = directories.pop() {
            for entry in fs::read_dir(&next).expect("a readable directory") {
                let path = entry.expect("a readable entry").path();
                if path.is_dir() {
                    directories.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = fs::read_to_string(&path).expect("a readable file");
                    let below = path.strip_prefix(directory).expect("it was found there");
                    sources.push(Self::parse(&below.to_string_lossy(), &text));
                }
            }
        }
        sources
    }

    /// The top-level module that the file belongs to.
    pub(crate) fn room(&self) -> &str {
        self.path.split(['/', '.']).next().unwrap_or_default()
    }

    /// How many modules above the file's own there are, the crate's root among them: 1 in `sse.rs` and in `hub/mod.rs`.
    pub(crate) fn depth(&self) -> usize {
        let names = self.path.trim_end_matches(".rs").split('/');
        names.filter(|name| !["mod", "lib", "main"].contains(name)).count()
    }

    /// The lines in which the product says `code`, a piece of Rust such as `.unwrap()`.
    pub(crate) fn lines_with(&self, code: &str) -> Vec<usize> {
        let mut wanted = Vec::new();
        spell_out(code.parse::<TokenStream>().expect("a rule is Rust").into_iter().collect(), &mut wanted);
        assert!(!wanted.is_empty(), "a rule that asks for nothing would find nothing");
        let same = |found: &[Word]| found.iter().zip(&wanted).all(|(found, wanted)| found.text == wanted.text);
        self.words.windows(wanted.len()).filter(|found| same(found)).map(|found| found[0].line).collect()
    }
}

/// By its name; that such a module is declared for tests only is a rule of its own.
fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// The tokens without each item, statement or field that `#[cfg(test)]` stands before.
fn without_tests(stream: TokenStream) -> Vec<TokenTree> {
    let mut kept = Vec::new();
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        match (&tree, trees.peek()) {
            (TokenTree::Punct(mark), Some(TokenTree::Group(attribute)))
                if mark.as_char() == '#' && attribute.stream().to_string().replace(' ', "") == "cfg(test)" =>
            {
                trees.next();
                skip_item(&mut trees);
            }
            (TokenTree::Group(group), _) => {
                let inner = without_tests(group.stream()).into_iter().collect();
                let mut rebuilt = Group::new(group.delimiter(), inner);
                rebuilt.set_span(group.span());
                kept.push(rebuilt.into());
            }
            _ => kept.push(tree),
        }
    }
    kept
}

/// Goes past a semicolon or a block; past a comma where no item was begun, as in a list of fields.
fn skip_item(trees: &mut impl Iterator<Item = TokenTree>) {
    let (mut is_use, mut is_item) = (false, false);
    for tree in trees {
        match tree {
            TokenTree::Ident(word) => {
                is_use |= word == "use";
                is_item |=
                    ["fn", "impl", "struct", "enum", "trait", "type", "macro_rules"].iter().any(|item| word == item);
            }
            TokenTree::Punct(mark) if mark.as_char() == ';' || (mark.as_char() == ',' && !is_item) => return,
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace && !is_use => return,
            TokenTree::Punct(_) | TokenTree::Group(_) | TokenTree::Literal(_) => {}
        }
    }
}

fn spell_out(trees: Vec<TokenTree>, words: &mut Vec<Word>) {
    let mut colon_before = false;
    for tree in trees {
        let line = tree.span().start().line;
        let colon = matches!(&tree, TokenTree::Punct(mark) if mark.as_char() == ':');
        match tree {
            TokenTree::Group(group) if words.last().is_some_and(|word| word.text == "::") => {
                let path = words.split_off(start_of_path(words));
                let trees: Vec<TokenTree> = group.stream().into_iter().collect();
                let comma = |tree: &TokenTree| matches!(tree, TokenTree::Punct(mark) if mark.as_char() == ',');
                for member in trees.split(comma).filter(|member| !member.is_empty()) {
                    let line = member[0].span().start().line;
                    words.extend(path.iter().map(|word| Word { line, ..word.clone() }));
                    spell_out(member.to_vec(), words);
                    words.push(Word { text: ",".into(), line });
                }
            }
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::None => ("", ""),
                };
                words.push(Word { text: open.into(), line });
                spell_out(group.stream().into_iter().collect(), words);
                words.push(Word { text: close.into(), line: group.span_close().start().line });
            }
            TokenTree::Punct(_) if colon && colon_before => {
                words.last_mut().expect("the first colon").text = "::".into();
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {
                words.push(Word { text: tree.to_string(), line });
            }
        }
        colon_before = colon && words.last().is_some_and(|word| word.text == ":");
    }
}

/// Where the path begins that the words end with: `a :: b ::`.
fn start_of_path(words: &[Word]) -> usize {
    let mut start = words.len();
    while start >= 2
        && words[start - 1].text == "::"
        && words[start - 2].text.starts_with(|c: char| c.is_alphanumeric() || c == '_')
    {
        start -= 2;
    }
    start
}
