//! What can go wrong between a browser and the application; no status and no public sentence, which are the server's.

/// Why a request got no response of the application.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("the request is ambiguous: {0}")]
    Ambiguous(#[from] Ambiguity),
    #[error("CONNECT is not for this server")]
    Connect,
    #[error("the request has passed through this process already; does `upstream.url` lead to it?")]
    Loop,
    #[error("the body is larger than upstream.max_body_bytes")]
    BodyTooLarge,
    #[error("the request's body broke off or is malformed")]
    BodyBroken,
    #[error("the client sent nothing more of its body in time")]
    ClientTimeout,
    #[error("too many requests or connections at once")]
    Busy,
    #[error("cannot connect to the application: {0}")]
    Connecting(std::io::Error),
    #[error("connecting to the application took too long")]
    ConnectTimeout,
    #[error("the application did not begin to answer in time")]
    FirstByteTimeout,
    #[error("the connection to the application broke: {0}")]
    Broken(hyper::Error),
    #[error("the application's answer is not HTTP: {0}")]
    Invalid(hyper::Error),
    #[error("the application's answer opens no WebSocket")]
    NoWebSocket,
    #[error("the application's answer has a protocol or a coding that nobody asked for")]
    Unasked,
    #[error("Max-Forwards ends here")]
    LastForward,
}

/// What makes a request mean two things, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ambiguity {
    #[error("no Host")]
    NoHost,
    #[error("more than one Host")]
    TwoHosts,
    #[error("a Host that is none")]
    BadHost,
    #[error("a target that is an authority only")]
    BadTarget,
}

/// Why a response's body ended early; the client sees a broken body.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the application sent nothing for too long")]
    Idle,
    #[error("the application broke off: {0}")]
    Upstream(hyper::Error),
    #[error("the client broke off: {0}")]
    Client(hyper::Error),
    #[error("the body is too large")]
    TooLarge,
}
