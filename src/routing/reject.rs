//! Why a message, or what one mapping makes of it, is not sent: the closed list of reasons and their names in the metrics.

/// A mapping that matched and could not be followed, or a message that none matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    pub reason: Reason,
    /// Index of the mapping in the configuration; none for [`Reason::NoMapping`].
    pub mapping: Option<usize>,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $reason:ident = $name:literal,)*) => {
        /// Why nothing was sent. When several reasons hold for one mapping, the first one found counts: audiences in
        /// the order they are written (users, then channels), the event name, the data.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $reason,)*
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
        }
    };
}

reasons! {
    /// No mapping matches the routing key.
    NoMapping = "no_mapping",
    /// The message has no header of that name.
    HeaderMissing = "header_missing",
    /// The header is neither text nor an integer.
    HeaderType = "header_type",
    /// The message does not set that property.
    PropertyMissing = "property_missing",
    /// The property is neither text nor an integer.
    PropertyType = "property_type",
    /// A pointer is to be followed into a body that is not UTF-8 text or not JSON.
    BodyNotJson = "body_not_json",
    /// The JSON body has nothing at the pointer.
    PointerMissing = "pointer_missing",
    /// What is at the pointer is neither a string of Unicode text nor an integer.
    PointerType = "pointer_type",
    /// A user or channel came out as the empty text.
    AudienceEmpty = "audience_empty",
    /// A user, channel or event name came out longer than [`MAX_VALUE_BYTES`](super::MAX_VALUE_BYTES).
    ValueTooLong = "value_too_long",
    /// The body is not UTF-8 text and the mapping says `binary = "drop"`.
    BinaryDropped = "binary_dropped",
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
    }
}
