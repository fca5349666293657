//! Templates: literal text mixed with sources, as `user`, `channel` and `event` are written. Where a value comes from is the source's.

use std::borrow::Cow;

use super::MAX_VALUE_BYTES;
use super::brace::{Piece, pieces};
use super::problem::Problem;
use super::reject::Reason;
use super::source::{MessageView, Source};

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    Value(Source),
}

/// A text to be filled from a message: `order-{id}`, `{header:tenant}.{body:/customer/id}`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Template(Box<[Part]>);

impl Template {
    /// Reads a template; `capture` gives the place of a capture in the routing-key pattern.
    pub(super) fn parse(text: &str, capture: impl Fn(&str) -> Option<usize>) -> Result<Self, Problem> {
        let part = |piece| match piece {
            Piece::Text(literal) => Ok(Part::Literal(literal.into())),
            Piece::Braced(source) => Source::parse(source, &capture).map(Part::Value),
        };
        let template = Self(pieces(text)?.into_iter().map(part).collect::<Result<_, _>>()?);
        match template.constant() {
            Some(constant) if constant.len() > MAX_VALUE_BYTES => Err(Problem::ValueTooLong),
            _ => Ok(template),
        }
    }

    /// The text when it is the same for every message.
    pub(super) fn constant(&self) -> Option<&str> {
        match &*self.0 {
            [] => Some(""),
            [Part::Literal(literal)] => Some(literal),
            _ => None,
        }
    }

    /// The text for one message, at most [`MAX_VALUE_BYTES`] long; a single source is not copied.
    pub(super) fn fill<'a>(&'a self, message: &MessageView<'a>, captures: &[&'a str]) -> Result<Cow<'a, str>, Reason> {
        let mut filled = Cow::Borrowed("");
        for part in &self.0 {
            let text = match part {
                Part::Literal(literal) => Cow::Borrowed(&**literal),
                Part::Value(source) => source.read(message, captures)?,
            };
            if filled.len() + text.len() > MAX_VALUE_BYTES {
                return Err(Reason::ValueTooLong);
            }
            // Adding to an empty `Cow` takes the other as it is.
            filled += text;
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Message, Scalar};
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Template, Problem> {
        Template::parse(text, |name| ["a", "b"].iter().position(|known| *known == name))
    }

    fn fill(text: &str) -> Result<String, Reason> {
        let message = Message { headers: vec![("h".into(), Scalar::Text("é".repeat(500)))], ..Message::default() };
        let template = parse(text).unwrap();
        template.fill(&MessageView::new(&message), &["1", "2.3"]).map(Cow::into_owned)
    }

    #[test]
    fn literals_and_sources_are_joined_in_order() {
        assert_eq!(fill("order-{a}"), Ok("order-1".into()));
        assert_eq!(fill("{b}{a}.{a}"), Ok("2.31.1".into()));
        assert_eq!(fill("{{{a}}}"), Ok("{1}".into()));
        assert_eq!(fill("plain"), Ok("plain".into()));
        assert_eq!(fill(""), Ok(String::new()));
    }

    #[test]
    fn a_value_beyond_the_limit_is_refused() {
        assert_eq!(fill("{header:h}").map(|text| text.len()), Ok(1000));
        assert_eq!(fill("{header:h}{header:h}"), Err(Reason::ValueTooLong));
        assert_eq!(parse(&"x".repeat(MAX_VALUE_BYTES + 1)), Err(Problem::ValueTooLong));
        assert!(parse(&"x".repeat(MAX_VALUE_BYTES)).is_ok());
    }

    #[test]
    fn only_a_template_without_sources_is_constant() {
        assert_eq!(parse("x{{y}}").unwrap().constant(), Some("x{y}"));
        assert_eq!(parse("").unwrap().constant(), Some(""));
        assert_eq!(parse("x{a}").unwrap().constant(), None);
        assert_eq!(parse("{a}").unwrap().constant(), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}", near in "[ab{}:/~.]{0,12}", kind in "(header|property|body):[{}/~a]{0,6}") {
            for text in [text, near, format!("{{{kind}}}")] {
                let read = parse(&text);
                prop_assert!(read.is_ok() || !read.unwrap_err().to_string().is_empty());
            }
        }
    }
}
