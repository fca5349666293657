//! What is kept of a request, the faults of the section, and the verdict on the session of an open stream.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::auth::AuthConfig;
use crate::event::UserId;
use crate::setting::Span;

fn session(headers: &[(&str, &str)]) -> Option<Session> {
    let mut request = Request::get("/events?token=t0k3n");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let peer = Peer { address: IpAddr::from([192, 0, 2, 7]), secure: false };
    Session::of(&request.body(()).unwrap(), peer, &Trusted::default(), &HeaderValue::from_static("r1"))
}

#[test]
fn only_what_makes_a_session_and_for_whom_is_kept_and_none_of_it_is_shown() {
    let session = session(&[
        ("host", "shop.example"),
        ("cookie", "sid=s3cr3t"),
        ("cookie", "b=c"),
        ("authorization", "Basic s3cr3t"),
        ("x-api-key", "s3cr3t"),
        ("x-forwarded-for", "1.1.1.1"),
        ("last-event-id", "1-2"),
    ]);
    let session = session.unwrap();
    let mut names: Vec<_> = session.headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    let expected = [
        "authorization",
        "cookie",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
        "x-request-id",
    ];
    assert_eq!(names, expected);
    assert_eq!(
        (&session.headers[COOKIE], &session.headers["x-forwarded-for"]),
        (&"sid=s3cr3t; b=c".parse().unwrap(), &"192.0.2.7".parse().unwrap())
    );
    assert!(!format!("{session:?} {:?}", session.headers).contains("s3cr3t"));
}

#[test]
fn a_request_without_cookie_and_authorization_has_no_session() {
    assert!(session(&[("host", "a"), ("x-user", "eve")]).is_none());
    assert!(session(&[("cookie", "")]).is_none());
}

#[test]
fn every_fault_of_the_section_is_told_at_once_and_without_a_url_there_is_none() {
    let config = ForwardConfig {
        url: Some("http://u:s3cr3t@app/".into()),
        ca_file: Some("/nonexistent/ca.pem".into()),
        user: "X User".into(),
        ..ForwardConfig::default()
    };
    let faults = Forward::new(&config).err().unwrap();
    let keys: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(keys, ["auth.forward.url", "auth.forward.ca_file", "auth.forward.user"]);
    assert!(!format!("{faults:?}").contains("s3cr3t"));
    assert!(Forward::new(&ForwardConfig { url: None, ..config }).unwrap().is_none());
}

#[test]
fn sessions_differ_by_cookie_authorization_and_host() {
    let keys = [
        vec![("host", "a"), ("cookie", "x")],
        vec![("host", "b"), ("cookie", "x")],
        vec![("host", "a"), ("authorization", "x")],
        vec![("host", "a"), ("cookie", "x"), ("authorization", "x")],
        vec![("host", "a"), ("cookie", "y")],
    ];
    let keys: std::collections::HashSet<_> = keys.iter().map(|headers| session(headers).unwrap().key).collect();
    assert_eq!(keys.len(), 5);
    let again = session(&[("host", "a"), ("cookie", "x"), ("accept", "*/*")]).unwrap();
    assert!(keys.contains(&again.key), "nothing else matters");
}

/// An application that answers each connection with the status that `status` has then, for user ada.
async fn application(status: Arc<AtomicU16>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/session", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut heard = Vec::new();
            while !heard.ends_with(b"\r\n\r\n") {
                heard.push(socket.read_u8().await.unwrap());
            }
            let status = status.load(Ordering::Relaxed);
            let answer = format!(
                "HTTP/1.1 {status} Said\r\nX-User: ada\r\nX-Channels: news\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            );
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    url
}

#[tokio::test]
async fn an_open_stream_goes_on_ends_or_stays_as_it_is_by_what_the_application_says() {
    let status = Arc::new(AtomicU16::new(200));
    let url = application(Arc::clone(&status)).await;
    let config = ForwardConfig { url: Some(url), cache: Span::from_secs(0), ..ForwardConfig::default() };
    let authenticator = Arc::new(Authenticator::load(&AuthConfig::default()).unwrap());
    let sessions = Sessions::new(Forward::new(&config).unwrap().unwrap(), authenticator, Arc::default());
    assert_eq!(sessions.interval(), Some(Duration::from_secs(60)));
    let session = session(&[("host", "a"), ("cookie", "sid=1")]).unwrap();
    let known = sessions.recheck(&session).await;
    let Verdict::Known(identity) = &known else { panic!("{known:?}") };
    assert_eq!(identity.user().map(UserId::as_str), Some("ada"));
    assert!(identity.grants().covers("news"));
    for (said, expected) in [
        (401, Verdict::Over(AuthError::SessionRefused)),
        (403, Verdict::Over(AuthError::SessionForbidden)),
        (500, Verdict::Undecided),
        (302, Verdict::Undecided),
        (200, known),
    ] {
        status.store(said, Ordering::Relaxed);
        assert_eq!(sessions.recheck(&session).await, expected, "{said}");
    }
    let never = ForwardConfig { recheck: Span::from_secs(0), ..config };
    let sessions =
        Sessions::new(Forward::new(&never).unwrap().unwrap(), Arc::clone(&sessions.authenticator), Arc::default());
    assert_eq!(sessions.interval(), None);
}

#[tokio::test]
async fn those_who_wait_in_vain_while_others_are_answered_say_nothing_of_the_application() {
    // It answers who comes first, and nobody who comes after.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/session", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        while !heard.ends_with(b"\r\n\r\n") {
            heard.push(first.read_u8().await.unwrap());
        }
        first.write_all(b"HTTP/1.1 401 Said\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        let mut others = Vec::new();
        while let Ok(other) = listener.accept().await {
            others.push(other);
        }
    });
    let config = ForwardConfig {
        url: Some(url),
        timeout: Span::from_secs(1),
        max_asking: 1,
        breaker_failures: 2,
        ..ForwardConfig::default()
    };
    let authenticator = Arc::new(Authenticator::load(&AuthConfig::default()).unwrap());
    let sessions = Sessions::new(Forward::new(&config).unwrap().unwrap(), authenticator, Arc::default());
    let crowd: Vec<_> = (0..20_u32).map(|number| session(&[("cookie", &number.to_string())]).unwrap()).collect();
    let ask = || futures_util::future::join_all(crowd.iter().map(|session| sessions.identify(session)));
    let verdicts = ask().await;
    assert_eq!(verdicts[0], Err(AuthError::SessionRefused));
    assert!(verdicts[1..].iter().all(|verdict| *verdict == Err(AuthError::SessionUnavailable)), "{verdicts:?}");
    assert!(sessions.breaker().admit(Instant::now()), "the application did what it could");
    ask().await;
    assert!(!sessions.breaker().admit(Instant::now()), "nobody was answered");
}
