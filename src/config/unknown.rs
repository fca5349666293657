//! The hint for a key that does not exist: the nearest one that does. Which keys do not exist is found elsewhere.

use strsim::damerau_levenshtein;

use super::shape::{Shape, dotted};

/// The known key nearest to `path`, with `path`'s index in place of an array's 0; `None` when nothing resembles it.
pub(super) fn nearest(shape: &Shape, path: &[String]) -> Option<String> {
    let index = path.iter().find(|segment| segment.parse::<usize>().is_ok());
    let written = dotted(path);
    let last = path.last()?;
    let score = |known: &str| {
        let whole = damerau_levenshtein(&written, known);
        // The right word in the wrong section is near as well, though less so.
        let word = 1 + damerau_levenshtein(last, known.rsplit('.').next().unwrap_or(known));
        (whole.min(word), whole)
    };
    let tolerated = 2.max(last.chars().count() / 2);
    shape
        .keys()
        .into_iter()
        .map(|known| index.map_or(known.clone(), |index| known.replacen(".0.", &format!(".{index}."), 1)))
        .map(|known| (score(&known), known))
        .filter(|((near, _), _)| *near <= tolerated)
        .min()
        .map(|(_, known)| known)
}

/// The end of a sentence about an unknown key, starting with the separator: the nearest key, or else those beside it.
pub(super) fn hint(shape: &Shape, path: &[String]) -> String {
    if let Some(known) = nearest(shape, path) {
        return format!("; did you mean `{known}`?");
    }
    let around = path.split_last().and_then(|(_, around)| shape.at(around)).and_then(|known| known.as_object());
    around.map_or_else(String::new, |beside| {
        format!("; known here: {}", beside.keys().map(String::as_str).collect::<Vec<_>>().join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest_to(path: &str) -> Option<String> {
        nearest(&Shape::new(), &path.split('.').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_slip_of_the_pen_finds_the_key_that_was_meant() {
        assert_eq!(nearest_to("broker.exchnage").as_deref(), Some("broker.exchange"));
        assert_eq!(nearest_to("brokr").as_deref(), Some("broker"));
        assert_eq!(nearest_to("auth.issuer.3.secrt").as_deref(), Some("auth.issuer.3.secret"));
        assert_eq!(nearest_to("stream.heart_beat").as_deref(), Some("stream.heartbeat"));
        assert_eq!(nearest_to("broker_exchange").as_deref(), Some("broker.exchange"));
    }

    #[test]
    fn a_key_in_the_wrong_section_finds_its_own() {
        assert_eq!(nearest_to("server.exchange").as_deref(), Some("broker.exchange"));
        assert_eq!(nearest_to("exchange").as_deref(), Some("broker.exchange"));
    }

    #[test]
    fn a_key_like_no_other_gets_the_keys_beside_it() {
        assert_eq!(nearest_to("admin.xyzzyplugh"), None);
        let hint = hint(&Shape::new(), &["admin".into(), "xyzzyplugh".into()]);
        assert_eq!(hint, "; known here: listen, ready_needs_broker, reload_interval");
    }
}
