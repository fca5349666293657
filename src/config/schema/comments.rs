//! What the shipped file says about each key: the comment above it.

use std::collections::BTreeMap;

/// Dotted path, with 0 for any index, to its comment on one line.
#[derive(Debug)]
pub(super) struct Comments(BTreeMap<String, String>);

impl Comments {
    /// Reads a file of settings and examples: a line that starts with `#` and no space is an example, hence a setting too.
    /// Of several comments on a key the first counts.
    pub(super) fn read(text: &str) -> Self {
        let mut found = BTreeMap::new();
        let (mut table, mut comment) = (String::new(), Vec::new());
        for line in text.lines() {
            if let Some(words) = line.strip_prefix("# ") {
                comment.push(words);
                continue;
            }
            let line = line.strip_prefix('#').unwrap_or(line);
            let heading = |open: &str, close: &str| line.strip_prefix(open)?.strip_suffix(close);
            let key = if let Some(name) = heading("[[", "]]") {
                table = format!("{name}.0.");
                Some(name.to_owned())
            } else if let Some(name) = heading("[", "]") {
                table = format!("{name}.");
                Some(name.to_owned())
            } else {
                line.split_once(" = ").map(|(name, _)| format!("{table}{name}"))
            };
            if let Some(key) = key.filter(|_| !comment.is_empty()) {
                found.entry(key).or_insert_with(|| comment.join(" "));
            }
            comment.clear();
        }
        Self(found)
    }

    pub(super) fn of(&self, path: &[String]) -> Option<String> {
        self.0.get(&path.join(".")).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_comment_above_a_key_is_its_own_even_where_the_key_is_an_example() {
        let comments = Comments::read(
            "# About the file.\n\n# Whom.\n[a]\n# One\n# and two.\nx = 1\ny = 2\n# Three.\n#z = 3\n\n#[[b.c]]\n# Four.\n#x = 4\n",
        );
        let of = |path: &str| comments.of(&path.split('.').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(of("a").as_deref(), Some("Whom."));
        assert_eq!(of("a.x").as_deref(), Some("One and two."));
        assert_eq!(of("a.y"), None);
        assert_eq!(of("a.z").as_deref(), Some("Three."));
        assert_eq!(of("b.c.0.x").as_deref(), Some("Four."));
    }
}
