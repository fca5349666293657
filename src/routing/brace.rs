//! The braces that patterns and templates share: literal text, `{…}`, and `{{` and `}}` for literal braces; not what stands between them.

use super::problem::Problem;

/// A run of literal text, or what stands between one pair of braces.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'t> {
    Text(String),
    Braced(&'t str),
}

/// Splits `text`; no two texts are neighbours and none is empty. What is between braces cannot hold a brace itself.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece<'_>>, Problem> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        literal.push_str(&rest[..at]);
        let brace = &rest[at..];
        if let Some(after) = brace.strip_prefix("{{") {
            literal.push('{');
            rest = after;
        } else if let Some(after) = brace.strip_prefix("}}") {
            literal.push('}');
            rest = after;
        } else if let Some(inside) = brace.strip_prefix('{') {
            let (inside, after) = inside.split_once('}').ok_or(Problem::Unclosed)?;
            if inside.contains('{') {
                return Err(Problem::Unclosed);
            }
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Braced(inside));
            rest = after;
        } else {
            return Err(Problem::Stray);
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(text: &str) -> Piece<'_> {
        Piece::Text(text.to_owned())
    }

    #[test]
    fn doubled_braces_are_literal_and_single_ones_enclose() {
        assert_eq!(pieces(""), Ok(vec![]));
        assert_eq!(pieces("a{{b}}c"), Ok(vec![text("a{b}c")]));
        assert_eq!(pieces("a-{id}"), Ok(vec![text("a-"), Piece::Braced("id")]));
        assert_eq!(pieces("{{{id}}}"), Ok(vec![text("{"), Piece::Braced("id"), text("}")]));
        assert_eq!(pieces("{a}{b}"), Ok(vec![Piece::Braced("a"), Piece::Braced("b")]));
    }

    #[test]
    fn a_brace_alone_is_a_problem() {
        for unclosed in ["{", "a{b", "{a{b}", "{a{{b}}"] {
            assert_eq!(pieces(unclosed), Err(Problem::Unclosed), "{unclosed}");
        }
        for stray in ["}", "a}b", "{{a}", "{a}}"] {
            assert_eq!(pieces(stray), Err(Problem::Stray), "{stray}");
        }
    }

    proptest! {
        #[test]
        fn text_with_its_braces_doubled_is_itself(written in "[a{}.é]{0,20}") {
            let doubled = written.replace('{', "{{").replace('}', "}}");
            let expected = if written.is_empty() { vec![] } else { vec![text(&written)] };
            prop_assert_eq!(pieces(&doubled), Ok(expected));
        }
    }
}
