//! All patterns of a table in one tree of words, asked once per message; knows neither captures nor what a pattern is for.

use hashbrown::HashMap;

use super::pattern::Word;

const ROOT: u32 = 0;

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, u32>,
    one: Option<u32>,
    many: Option<u32>,
    /// Reached over a `#`, so that it stays reached whatever words follow.
    stays: bool,
    /// The patterns that end here, by their number.
    ends: Vec<usize>,
}

/// Patterns by their words, each known by a number.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
}

impl Trie {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::default()] }
    }

    pub(super) fn insert(&mut self, pattern: &[Word<&str>], number: usize) {
        let mut at = ROOT;
        for word in pattern {
            at = self.child(at, *word);
        }
        self.nodes[at as usize].ends.push(number);
    }

    fn child(&mut self, at: u32, word: Word<&str>) -> u32 {
        let fresh = u32::try_from(self.nodes.len()).expect("a table is limited to far fewer words");
        let node = &mut self.nodes[at as usize];
        let child = match word {
            Word::Literal(literal) => *node.literals.entry(literal.into()).or_insert(fresh),
            Word::One => *node.one.get_or_insert(fresh),
            Word::Many => *node.many.get_or_insert(fresh),
        };
        if child == fresh {
            self.nodes.push(Node { stays: word == Word::Many, ..Node::default() });
        }
        child
    }

    /// The numbers, ascending, of the patterns that match every key which `words` matches. For a routing key, which is
    /// all literals, these are the patterns that match it.
    ///
    /// A word at a time over the set of nodes reached so far: the cost grows with the words and with the patterns that
    /// begin like them, not with the table, and since a node is in the set at most once it is never exponential.
    /// For a pattern with wildcards the answer is sound but not complete: two patterns together may cover a third.
    pub(super) fn covering<'w>(&self, words: impl Iterator<Item = Word<&'w str>>) -> Vec<usize> {
        let (mut reached, mut next) = (Vec::new(), Vec::new());
        self.reach(ROOT, &mut reached);
        for word in words {
            self.step(&reached, word, &mut next);
            std::mem::swap(&mut reached, &mut next);
            if reached.is_empty() {
                break;
            }
        }
        let mut found: Vec<usize> = reached.iter().flat_map(|&at| &self.nodes[at as usize].ends).copied().collect();
        found.sort_unstable();
        found
    }

    /// Replaces `next` by the nodes that one more word leads to from those of `reached`.
    fn step(&self, reached: &[u32], word: Word<&str>, next: &mut Vec<u32>) {
        next.clear();
        for &at in reached {
            let node = &self.nodes[at as usize];
            if node.stays {
                next.push(at);
            }
            if let Word::Literal(literal) = word
                && let Some(&child) = node.literals.get(literal)
            {
                self.reach(child, next);
            }
            // A `#` that is to be covered may stand for no word at all, which a `*` cannot.
            if let (Some(child), Word::Literal(_) | Word::One) = (node.one, word) {
                self.reach(child, next);
            }
        }
        next.sort_unstable();
        next.dedup();
    }

    /// Adds a node, and those behind it over a `#`, which may stand for no word.
    fn reach(&self, at: u32, reached: &mut Vec<u32>) {
        let mut at = Some(at);
        while let Some(node) = at {
            reached.push(node);
            at = self.nodes[node as usize].many;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::{naive_match, words};
    use proptest::prelude::*;

    fn pattern(text: &str) -> Vec<Word<&str>> {
        let word = |word| match word {
            "*" => Word::One,
            "#" => Word::Many,
            literal => Word::Literal(literal),
        };
        words(text).map(word).collect()
    }

    fn trie_of<'p>(patterns: impl IntoIterator<Item = &'p str>) -> Trie {
        let mut trie = Trie::new();
        for (number, text) in patterns.into_iter().enumerate() {
            trie.insert(&pattern(text), number);
        }
        trie
    }

    fn matching(trie: &Trie, key: &str) -> Vec<usize> {
        trie.covering(words(key).map(Word::Literal))
    }

    #[test]
    fn wildcards_in_a_key_are_literals() {
        let trie = trie_of(["a.*", "*.b", "#", "*.*"]);
        assert_eq!(matching(&trie, "*.#"), [2, 3]);
        assert_eq!(matching(&trie, "a.b"), [0, 1, 2, 3]);
        assert_eq!(matching(&trie, ""), [2]);
    }

    #[test]
    fn a_pattern_is_covered_by_what_matches_all_its_keys() {
        let trie = trie_of(["#", "*.#", "a.*", "a.#", "a.b"]);
        let covering = |text| trie.covering(pattern(text).into_iter());
        assert_eq!(covering("a.b"), [0, 1, 2, 3, 4]);
        assert_eq!(covering("a.*"), [0, 1, 2, 3]);
        assert_eq!(covering("a.#"), [0, 1, 3]);
        assert_eq!(covering("#"), [0]);
    }

    #[test]
    fn ten_thousand_patterns_cost_no_more_than_a_few() {
        let texts: Vec<String> = (0..10_000).map(|n| format!("user{n}.*.#.end")).collect();
        let trie = trie_of(texts.iter().map(String::as_str));
        let (mut reached, mut next) = (vec![ROOT], Vec::new());
        for word in words("user77.a.b.c.end") {
            trie.step(&reached, Word::Literal(word), &mut next);
            std::mem::swap(&mut reached, &mut next);
            assert!(reached.len() <= 3, "{} nodes", reached.len());
        }
        assert_eq!(matching(&trie, "user77.a.b.c.end"), [77]);
    }

    #[test]
    fn nested_hashes_do_not_explode() {
        let text = vec!["#.a"; 60].join(".");
        let trie = trie_of([text.as_str()]);
        assert_eq!(matching(&trie, &vec!["a"; 59].join(".")), [0; 0]);
        assert_eq!(matching(&trie, &vec!["a"; 127].join(".")), [0]);
    }

    fn text_of(alphabet: &'static [&'static str]) -> impl Strategy<Value = String> {
        proptest::collection::vec(proptest::sample::select(alphabet), 0..6).prop_map(|words| words.join("."))
    }

    fn naive(pattern: &str, key: &str) -> bool {
        naive_match(&words(pattern).collect::<Vec<_>>(), &words(key).collect::<Vec<_>>())
    }

    proptest! {
        #[test]
        fn the_trie_agrees_with_a_scan_of_the_definition(
            patterns in proptest::collection::vec(text_of(&["a", "b", "", "*", "#", "*a"]), 0..12),
            key in text_of(&["a", "b", "", "*", "#", "*a"]),
        ) {
            let trie = trie_of(patterns.iter().map(String::as_str));
            let scan: Vec<usize> = (0..patterns.len()).filter(|&n| naive(&patterns[n], &key)).collect();
            prop_assert_eq!(matching(&trie, &key), scan);
        }

        #[test]
        fn a_covering_pattern_matches_every_key_of_the_covered(
            patterns in proptest::collection::vec(text_of(&["a", "b", "*", "#"]), 0..8),
            covered in text_of(&["a", "b", "*", "#"]),
            keys in proptest::collection::vec(text_of(&["a", "b", "c"]), 20),
        ) {
            let trie = trie_of(patterns.iter().map(String::as_str));
            let covering = trie.covering(pattern(&covered).into_iter());
            for key in keys.iter().filter(|key| naive(&covered, key)) {
                for &number in &covering {
                    prop_assert!(naive(&patterns[number], key), "{} {}", patterns[number], key);
                }
            }
        }
    }
}
