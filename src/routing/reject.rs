//! Why a message, or what one mapping makes of it, is not sent: the closed list of reasons and their names in the metrics.

/// A mapping that matched and could not be followed, or a message that none matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    pub reason: Reason,
    /// Index of the mapping in the configuration; none for [`Reason::NoMapping`].
    pub mapping: Option<usize>,
}

macro_rules! reasons {
    ($($reason:ident = $name:literal, $clause:literal;)*) => {
        /// Why nothing was sent. When several reasons hold for one mapping, the first one found counts: audiences in
        /// the order they are written (users, then channels), the event name, the data.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = $clause] $reason,)*
        }

        impl Reason {
            /// Every reason, so that each can be counted from zero on.
            pub const ALL: &'static [Self] = &[$(Self::$reason,)*];

            /// The stable name, used as a metric label.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$reason => $name,)*
                }
            }

            /// What happened, as a clause for people.
            #[must_use]
            pub const fn clause(self) -> &'static str {
                match self {
                    $(Self::$reason => $clause,)*
                }
            }
        }
    };
}

reasons! {
    NoMapping = "no_mapping", "no mapping matches the routing key";
    HeaderMissing = "header_missing", "the message has no header of that name";
    HeaderType = "header_type", "the header is neither text nor an integer";
    PropertyMissing = "property_missing", "the message does not set that property";
    PropertyType = "property_type", "the property is neither text nor an integer";
    BodyNotJson = "body_not_json", "a pointer is to be followed into a body that is not UTF-8 text or not JSON";
    PointerMissing = "pointer_missing", "the JSON body has nothing at the pointer";
    PointerType = "pointer_type", "what is at the pointer is neither a string of Unicode text nor an integer";
    AudienceEmpty = "audience_empty", "a user or channel came out as the empty text";
    ValueTooLong = "value_too_long", "a user, channel or event name came out longer than 1024 bytes";
    BinaryDropped = "binary_dropped", "the body is not UTF-8 text and the mapping says `binary = \"drop\"`";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_reason_has_its_own_name() {
        let names: HashSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
        let limit = format!("longer than {} bytes", crate::routing::MAX_VALUE_BYTES);
        assert!(Reason::ValueTooLong.clause().ends_with(&limit));
    }
}
