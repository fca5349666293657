//! Why a request has no identity, each with a stable reason and a public sentence; statuses and headers are the server's.

/// Why a request was not given an identity.
///
/// `Display` is the public sentence: it never holds the token, a claim's value or anything of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AuthError {
    #[error("a token is required")]
    Missing,
    #[error("the Authorization header is not one `Bearer` token")]
    HeaderMalformed,
    #[error("the request carries two tokens that differ, or a token and an API key")]
    TokensDisagree,
    #[error("the token is too long")]
    TokenTooLong,
    #[error("the token is not a signed JSON Web Token")]
    TokenMalformed,
    #[error("the token's header brings a key along or needs an extension, which is not accepted")]
    HeaderRefused,
    #[error("the token's algorithm is not accepted")]
    AlgorithmRefused,
    #[error("the token's issuer (`iss`) is not accepted")]
    IssuerRefused,
    #[error("the token names a key (`kid`) that is not known")]
    KeyUnknown,
    #[error("the keys of the token's issuer cannot be had at the moment")]
    KeysUnavailable,
    #[error("the token's signature does not verify")]
    SignatureInvalid,
    #[error("the token is not meant for this service (`aud`)")]
    AudienceRefused,
    #[error("the token has no expiry (`exp`)")]
    ExpiryMissing,
    #[error("the token has expired")]
    Expired,
    #[error("the token was revoked")]
    Revoked,
    #[error("the token is not valid yet (`nbf`)")]
    NotYetValid,
    #[error("the token's `exp` or `nbf` is not a time in seconds since 1970")]
    TimeInvalid,
    #[error("the token's user claim is not text or an integer, of 1 to 1024 bytes")]
    UserInvalid,
    #[error("the token's channels claim is not a list of texts or one text, each channel at most 255 bytes")]
    ChannelsInvalid,
    #[error("the token grants too many channels")]
    ChannelsTooMany,
    #[error("the API key is not known")]
    ApiKeyUnknown,
    #[error("the application knows no such session")]
    SessionRefused,
    #[error("the application does not allow this session to listen")]
    SessionForbidden,
    #[error("the application cannot be asked about the session at the moment")]
    SessionUnavailable,
}

/// The ways in which a bearer token can fail a request (RFC 6750 §3.1); `insufficient_scope` is decided elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// 401 without an error code: nothing was presented.
    Credentials,
    /// 400 `invalid_request`: the request itself is malformed.
    InvalidRequest,
    /// 401 `invalid_token`: what was presented is not accepted.
    InvalidToken,
    /// 403: who it is is known, and other credentials would be needed.
    Forbidden,
    /// No verdict: whoever tries again shortly may be let in.
    TryAgain,
}

impl AuthError {
    /// A stable word for a metric's label and a log line.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::HeaderMalformed => "header_malformed",
            Self::TokensDisagree => "tokens_disagree",
            Self::TokenTooLong => "token_too_long",
            Self::TokenMalformed => "token_malformed",
            Self::HeaderRefused => "header_refused",
            Self::AlgorithmRefused => "algorithm_refused",
            Self::IssuerRefused => "issuer_refused",
            Self::KeyUnknown => "key_unknown",
            Self::KeysUnavailable => "keys_unavailable",
            Self::SignatureInvalid => "signature_invalid",
            Self::AudienceRefused => "audience_refused",
            Self::ExpiryMissing => "expiry_missing",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::NotYetValid => "not_yet_valid",
            Self::TimeInvalid => "time_invalid",
            Self::UserInvalid => "user_invalid",
            Self::ChannelsInvalid => "channels_invalid",
            Self::ChannelsTooMany => "channels_too_many",
            Self::ApiKeyUnknown => "api_key_unknown",
            Self::SessionRefused => "session_refused",
            Self::SessionForbidden => "session_forbidden",
            Self::SessionUnavailable => "session_unavailable",
        }
    }

    /// What to answer, in the terms of RFC 6750 §3.1.
    #[must_use]
    pub const fn challenge(&self) -> Challenge {
        match self {
            Self::Missing | Self::SessionRefused => Challenge::Credentials,
            Self::SessionForbidden => Challenge::Forbidden,
            Self::KeysUnavailable | Self::SessionUnavailable => Challenge::TryAgain,
            Self::HeaderMalformed | Self::TokensDisagree => Challenge::InvalidRequest,
            Self::TokenTooLong
            | Self::TokenMalformed
            | Self::HeaderRefused
            | Self::AlgorithmRefused
            | Self::IssuerRefused
            | Self::KeyUnknown
            | Self::SignatureInvalid
            | Self::AudienceRefused
            | Self::ExpiryMissing
            | Self::Expired
            | Self::Revoked
            | Self::NotYetValid
            | Self::TimeInvalid
            | Self::UserInvalid
            | Self::ChannelsInvalid
            | Self::ChannelsTooMany
            | Self::ApiKeyUnknown => Challenge::InvalidToken,
        }
    }
}
