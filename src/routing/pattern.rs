//! The routing-key pattern of one mapping: reading it, its binding key, and what it captures of a key. Many patterns at once are the trie's.

use super::brace::{Piece, pieces};
use super::problem::{MAX_BINDING_KEY_BYTES, Problem};
use crate::topic;

/// One word of a pattern. A routing key is a pattern of literals, so that `*` in a key is no wildcard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Word<T> {
    Literal(T),
    /// `*`: one word.
    One,
    /// `#`: any number of words, none included.
    Many,
}

/// A named part of a routing key: the pattern's words `from..to`.
#[derive(Debug)]
struct Capture {
    name: Box<str>,
    from: usize,
    to: usize,
}

/// A routing-key pattern with captures. `{x}` is held as a One, `{x...}` as a One and a Many.
#[derive(Debug)]
pub(super) struct KeyPattern {
    words: Box<[Word<Box<str>>]>,
    captures: Box<[Capture]>,
}

impl KeyPattern {
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        if text.is_empty() {
            return Err(Problem::KeyMissing);
        }
        let (mut words, mut captures) = (Vec::new(), Vec::<Capture>::new());
        for fragments in fragments_by_word(pieces(text)?) {
            match fragments.as_slice() {
                [] => words.push(Word::Literal("".into())),
                [Piece::Text(text)] => words.push(match text.as_str() {
                    "*" => Word::One,
                    "#" => Word::Many,
                    literal => Word::Literal(literal.into()),
                }),
                [Piece::Braced(inside)] => {
                    let (name, several) = capture_name(inside)?;
                    if captures.iter().any(|capture| &*capture.name == name) {
                        return Err(Problem::CaptureTwice(name.to_owned()));
                    }
                    let from = words.len();
                    words.push(Word::One);
                    words.extend(several.then_some(Word::Many));
                    captures.push(Capture { name: name.into(), from, to: words.len() });
                }
                several => return Err(first_braced(several)),
            }
        }
        let pattern = Self { words: words.into(), captures: captures.into() };
        match pattern.binding_key().len() {
            length if length > MAX_BINDING_KEY_BYTES => Err(Problem::KeyTooLong(length)),
            _ => Ok(pattern),
        }
    }

    /// The place of a capture in what [`Self::captures`] gives.
    pub(super) fn capture(&self, name: &str) -> Option<usize> {
        self.captures.iter().position(|capture| &*capture.name == name)
    }

    /// The words with every run of wildcards in its one normal form, each `*` before a single `#`: two patterns that
    /// match the same keys have the same normal form.
    pub(super) fn normal_form(&self) -> Vec<Word<&str>> {
        let mut normal = Vec::with_capacity(self.words.len());
        let mut open_end = false;
        for word in &self.words {
            match word {
                Word::Many => open_end = true,
                Word::One => normal.push(Word::One),
                Word::Literal(literal) => {
                    normal.extend(std::mem::take(&mut open_end).then_some(Word::Many));
                    normal.push(Word::Literal(&**literal));
                }
            }
        }
        normal.extend(open_end.then_some(Word::Many));
        normal
    }

    /// The AMQP binding key that matches the same routing keys.
    pub(super) fn binding_key(&self) -> String {
        let words = self.normal_form();
        let texts = words.iter().map(|word| match word {
            Word::Literal(literal) => literal,
            Word::One => "*",
            Word::Many => "#",
        });
        texts.collect::<Vec<_>>().join(".")
    }

    /// The captured parts of a key in the order of the pattern, or nothing when it does not match. Where several
    /// readings are possible, the earlier a wildcard stands, the fewer words it takes.
    pub(super) fn captures<'k>(&self, key: &Key<'k>) -> Option<Vec<&'k str>> {
        let starts = self.align(key)?;
        Some(self.captures.iter().map(|capture| key.span(starts[capture.from], starts[capture.to])).collect())
    }

    /// Where in the key each word of the pattern begins, and behind them where the last one ends.
    ///
    /// The wildcard match with one remembered `#`: each `#` takes as few words as let the words up to the next `#`
    /// follow, and a later `#` never has to undo that. Linear in both lengths times the number of `#`.
    fn align(&self, key: &Key<'_>) -> Option<Vec<usize>> {
        let words = key.words();
        let mut starts = vec![0; self.words.len() + 1];
        let (mut at, mut taken) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        loop {
            starts[at] = taken;
            let fits = match (self.words.get(at), words.get(taken)) {
                (None, None) => return Some(starts),
                (Some(Word::Many), _) => {
                    retry = Some((at + 1, taken));
                    at += 1;
                    continue;
                }
                (Some(Word::One), Some(_)) => true,
                (Some(Word::Literal(literal)), Some(word)) => **literal == **word,
                _ => false,
            };
            if fits {
                (at, taken) = (at + 1, taken + 1);
            } else {
                let (after, before) = retry.filter(|(_, before)| *before < words.len())?;
                retry = Some((after, before + 1));
                (at, taken) = (after, before + 1);
            }
        }
    }
}

/// Sorts the pieces of a pattern by the words they belong to. A dot between braces separates nothing.
fn fragments_by_word(pieces: Vec<Piece<'_>>) -> Vec<Vec<Piece<'_>>> {
    let mut words = vec![Vec::new()];
    for piece in pieces {
        match piece {
            Piece::Braced(inside) => words.last_mut().expect("it begins with one word").push(Piece::Braced(inside)),
            Piece::Text(text) => {
                for (n, fragment) in text.split('.').enumerate() {
                    if n > 0 {
                        words.push(Vec::new());
                    }
                    if !fragment.is_empty() {
                        let word = words.last_mut().expect("it begins with one word");
                        word.push(Piece::Text(fragment.to_owned()));
                    }
                }
            }
        }
    }
    words
}

fn first_braced(fragments: &[Piece<'_>]) -> Problem {
    let braced = fragments.iter().find_map(|fragment| match fragment {
        Piece::Braced(inside) => Some((*inside).to_owned()),
        Piece::Text(_) => None,
    });
    Problem::CaptureInWord(braced.unwrap_or_default())
}

/// The name between the braces, and whether it captures several words.
fn capture_name(inside: &str) -> Result<(&str, bool), Problem> {
    let (name, several) = inside.strip_suffix("...").map_or((inside, false), |name| (name, true));
    if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-') {
        return Err(Problem::CaptureName(inside.to_owned()));
    }
    Ok((name, several))
}

/// A routing key split into its words once.
pub(super) struct Key<'k> {
    text: &'k str,
    words: Vec<&'k str>,
}

impl<'k> Key<'k> {
    pub(super) fn new(text: &'k str) -> Self {
        Self { text, words: topic::words(text).collect() }
    }

    pub(super) fn words(&self) -> &[&'k str] {
        &self.words
    }

    /// The words `from..to` with their dots.
    fn span(&self, from: usize, to: usize) -> &'k str {
        let length = |words: &[&str]| words.iter().map(|word| word.len() + 1).sum::<usize>();
        let start = length(&self.words[..from]);
        // Each word but the last has its dot behind it.
        let end = start + length(&self.words[from..to]).saturating_sub(1);
        &self.text[start..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::naive_match;
    use proptest::prelude::*;

    fn captured(pattern: &str, key: &str) -> Option<Vec<String>> {
        let captures = KeyPattern::parse(pattern).unwrap().captures(&Key::new(key))?;
        Some(captures.into_iter().map(ToOwned::to_owned).collect())
    }

    fn binding_key(pattern: &str) -> String {
        KeyPattern::parse(pattern).unwrap().binding_key()
    }

    #[test]
    fn a_capture_takes_one_word_and_with_dots_one_or_more() {
        assert_eq!(captured("user.{user}.{event}", "user.42.hi"), Some(vec!["42".into(), "hi".into()]));
        assert_eq!(captured("user.{user}.{event}", "user.42.hi.there"), None);
        assert_eq!(captured("channel.{c...}", "channel"), None);
        assert_eq!(captured("channel.{c...}", "channel.a.b.c"), Some(vec!["a.b.c".into()]));
        assert_eq!(captured("{a...}.x.{b}", "p.q.x.r"), Some(vec!["p.q".into(), "r".into()]));
        assert_eq!(captured("{ключ}.ü", "☃.ü"), Some(vec!["☃".into()]));
    }

    #[test]
    fn empty_words_are_words_and_the_empty_key_has_none() {
        assert_eq!(captured("user.{user}.x", "user..x"), Some(vec![String::new()]));
        assert_eq!(captured("{all...}", ".."), Some(vec!["..".into()]));
        assert_eq!(captured("{all...}", ""), None);
        assert_eq!(captured("#", ""), Some(vec![]));
        assert_eq!(captured("a..b", "a..b"), Some(vec![]));
    }

    #[test]
    fn the_earliest_wildcards_take_as_little_as_possible() {
        assert_eq!(captured("{a...}.{b...}", "1.2.3"), Some(vec!["1".into(), "2.3".into()]));
        assert_eq!(captured("#.{a}.#", "1.2.3"), Some(vec!["1".into()]));
        assert_eq!(captured("{a...}.x.{b...}", "1.x.2.x.3"), Some(vec!["1".into(), "2.x.3".into()]));
        assert_eq!(captured("#.x.{b}", "x.x.x.1"), Some(vec!["1".into()]));
    }

    #[test]
    fn the_binding_key_stands_for_each_capture_and_is_in_normal_form() {
        assert_eq!(binding_key("user.{user}.#"), "user.*.#");
        assert_eq!(binding_key("channel.{c...}"), "channel.*.#");
        assert_eq!(binding_key("#.{a...}.#.*.b"), "*.*.#.b");
        assert_eq!(binding_key("{{a}}..*b"), "{a}..*b");
    }

    #[test]
    fn a_binding_key_is_at_most_255_bytes() {
        assert!(KeyPattern::parse(&"k".repeat(255)).is_ok());
        assert_eq!(KeyPattern::parse(&"k".repeat(256)).unwrap_err(), Problem::KeyTooLong(256));
        // What counts is the binding key, not the text it comes from.
        assert!(KeyPattern::parse(&format!("{{{}}}", "n".repeat(300))).is_ok());
    }

    #[test]
    fn each_problem_of_a_pattern_is_named() {
        let problem = |text: &str| KeyPattern::parse(text).unwrap_err();
        assert_eq!(problem(""), Problem::KeyMissing);
        assert_eq!(problem("a.{b"), Problem::Unclosed);
        assert_eq!(problem("a.b}"), Problem::Stray);
        assert_eq!(problem("a.x{b}"), Problem::CaptureInWord("b".into()));
        assert_eq!(problem("{a}{b...}"), Problem::CaptureInWord("a".into()));
        assert_eq!(problem("a.{}"), Problem::CaptureName(String::new()));
        assert_eq!(problem("a.{...}"), Problem::CaptureName("...".into()));
        assert_eq!(problem("a.{b.c}"), Problem::CaptureName("b.c".into()));
        assert_eq!(problem("{a}.{a...}"), Problem::CaptureTwice("a".into()));
    }

    #[test]
    fn many_open_captures_do_not_explode() {
        let pattern = (0..40).map(|n| format!("{{c{n}...}}.a")).collect::<Vec<_>>().join(".");
        assert_eq!(captured(&pattern, &vec!["a"; 400].join(".")).map(|captures| captures.len()), Some(40));
        assert_eq!(captured(&pattern, &vec!["b"; 400].join(".")), None);
    }

    /// The lengths a pattern's words can take, each way of matching one list, the earliest wildcards shortest first.
    fn readings(pattern: &[Word<Box<str>>], words: &[&str]) -> Vec<Vec<usize>> {
        let Some((first, rest)) = pattern.split_first() else {
            return if words.is_empty() { vec![vec![]] } else { vec![] };
        };
        let lengths = match first {
            Word::Many => 0..=words.len(),
            Word::Literal(literal) if words.first() == Some(&&**literal) => 1..=1,
            Word::One if !words.is_empty() => 1..=1,
            Word::One | Word::Literal(_) => return vec![],
        };
        let after = |length: usize| readings(rest, &words[length..]).into_iter().map(move |tail| [vec![length], tail]);
        lengths.flat_map(|length| after(length).map(|parts| parts.concat()).collect::<Vec<_>>()).collect()
    }

    prop_compose! {
        fn pattern_and_key()(
            words in proptest::collection::vec(proptest::sample::select(&["a", "b", "", "*", "#", "{}", "{...}"][..]), 1..7),
            key in proptest::collection::vec(proptest::sample::select(&["a", "b", "", "*", "#"][..]), 0..7),
        ) -> (String, String) {
            let named = words.iter().enumerate().map(|(n, word)| word.replace('{', &format!("{{c{n}")));
            let pattern = named.collect::<Vec<_>>().join(".");
            (if pattern.is_empty() { "a".into() } else { pattern }, key.join("."))
        }
    }

    proptest! {
        #[test]
        fn a_pattern_matches_what_its_binding_key_matches((pattern, key) in pattern_and_key()) {
            let pattern = KeyPattern::parse(&pattern).unwrap();
            let binding = pattern.binding_key();
            let naive = naive_match(
                &topic::words(&binding).collect::<Vec<_>>(),
                &topic::words(&key).collect::<Vec<_>>(),
            );
            prop_assert_eq!(pattern.captures(&Key::new(&key)).is_some(), naive);
        }

        #[test]
        fn the_alignment_is_the_first_of_all_readings((pattern, key) in pattern_and_key()) {
            let (pattern, key) = (KeyPattern::parse(&pattern).unwrap(), Key::new(&key));
            let lengths = pattern.align(&key).map(|starts| starts.windows(2).map(|pair| pair[1] - pair[0]).collect());
            prop_assert_eq!(lengths, readings(&pattern.words, key.words()).into_iter().next());
        }

        #[test]
        fn captures_put_back_into_the_pattern_give_the_key(words in proptest::collection::vec(
            (0..3, proptest::collection::vec(proptest::sample::select(&["a", "b", "é", "", "*", "#"][..]), 1..4)), 1..6,
        )) {
            let (mut pattern, mut key) = (vec!["first".to_owned()], vec!["first"]);
            for (n, (kind, words)) in words.iter().enumerate() {
                let (word, taken) = match kind {
                    0 => ("literal".to_owned(), &["literal"][..]),
                    1 => (format!("{{c{n}}}"), &words[..1]),
                    _ => (format!("{{c{n}...}}"), &words[..]),
                };
                pattern.push(word);
                key.extend(taken);
            }
            let mut captures = captured(&pattern.join("."), &key.join(".")).expect("the key was made to match").into_iter();
            let rebuilt = pattern.into_iter().map(|word| if word.starts_with('{') { captures.next().unwrap() } else { word });
            prop_assert_eq!(rebuilt.collect::<Vec<_>>().join("."), key.join("."));
            prop_assert_eq!(captures.next(), None);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}", near in "[a.{}*#]{0,12}") {
            for text in [text, near] {
                if let Ok(pattern) = KeyPattern::parse(&text) {
                    prop_assert!(pattern.binding_key().len() <= MAX_BINDING_KEY_BYTES);
                }
            }
        }
    }
}
