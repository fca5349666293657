//! AMQP topic patterns (`*` one word, `#` zero or more, words separated by `.`): parsing and matching one text. Many patterns at once are the routing room's.

use std::fmt;

/// The words of a routing key or pattern. As in RabbitMQ the empty text has none, and `a..b` has an empty one in the middle.
pub fn words(text: &str) -> impl Iterator<Item = &str> + Clone {
    text.split('.').filter(move |_| !text.is_empty())
}

/// A topic pattern as AMQP 0-9-1 §3.1.3.3 and RabbitMQ define it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPattern(Box<str>);

impl TopicPattern {
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True when the pattern has no wildcard word, so that it matches only itself.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        !words(&self.0).any(|word| word == "*" || word == "#")
    }

    /// Whether `text` matches. Linear in both lengths times the number of `#` words; never exponential.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let pattern: Vec<&str> = words(&self.0).collect();
        let words: Vec<&str> = words(text).collect();
        // The greedy wildcard match with one remembered `#`: a later `#` makes an earlier one's choice irrelevant.
        let (mut p, mut w) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        loop {
            if p < pattern.len() && pattern[p] == "#" {
                retry = Some((p + 1, w));
                p += 1;
            } else if p < pattern.len() && w < words.len() && (pattern[p] == "*" || pattern[p] == words[w]) {
                p += 1;
                w += 1;
            } else if p == pattern.len() && w == words.len() {
                return true;
            } else {
                match retry {
                    Some((after, taken)) if taken < words.len() => {
                        retry = Some((after, taken + 1));
                        (p, w) = (after, taken + 1);
                    }
                    _ => return false,
                }
            }
        }
    }
}

impl fmt::Debug for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// The definition of a match, word for word, exponential and plainly right: what the tests hold faster code against.
#[cfg(test)]
pub(crate) fn naive_match(pattern: &[&str], words: &[&str]) -> bool {
    match (pattern.split_first(), words.split_first()) {
        (None, None) => true,
        (Some((&"#", rest)), None) => naive_match(rest, words),
        (Some((&"#", rest)), Some((_, fewer))) => naive_match(rest, words) || naive_match(pattern, fewer),
        (Some((&"*", rest)), Some((_, fewer))) => naive_match(rest, fewer),
        (Some((want, rest)), Some((word, fewer))) => want == word && naive_match(rest, fewer),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text_of(alphabet: &'static [&'static str]) -> impl Strategy<Value = String> {
        proptest::collection::vec(proptest::sample::select(alphabet), 0..7).prop_map(|words| words.join("."))
    }

    proptest! {
        #[test]
        fn matching_agrees_with_the_definition(
            pattern in text_of(&["a", "b", "", "*", "#", "*a", "##"]),
            text in text_of(&["a", "b", "", "*", "#", "*a"]),
        ) {
            let naive = naive_match(&words(&pattern).collect::<Vec<_>>(), &words(&text).collect::<Vec<_>>());
            prop_assert_eq!(TopicPattern::new(&pattern).matches(&text), naive);
        }

        #[test]
        fn a_literal_pattern_matches_only_itself(pattern in text_of(&["a", "b", "*a"]), text in text_of(&["a", "b", "*a"])) {
            let pattern = TopicPattern::new(&pattern);
            prop_assert!(pattern.is_literal());
            prop_assert_eq!(pattern.matches(&text), pattern.as_str() == text);
        }
    }

    #[test]
    fn many_hashes_do_not_explode() {
        let pattern = TopicPattern::new(&vec!["#.a"; 40].join("."));
        assert!(!pattern.matches(&vec!["a"; 39].join(".")));
        assert!(pattern.matches(&vec!["a"; 400].join(".")));
    }
}
