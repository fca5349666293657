//! Tests of the scanner, whole messages and any cuts of them.

use super::*;
use proptest::prelude::*;

fn found(bytes: &[u8]) -> Option<usize> {
    Scanner::default().scan(bytes).map(|found| found.index)
}

/// A message that is clear up to `end` and has its fault there.
fn faulty_from(clear: &str, fault: &str) {
    let bytes = [clear, fault, "\r\n\r\n"].concat();
    assert_eq!(found(bytes.as_bytes()), Some(clear.len()), "{bytes:?}");
}

#[test]
fn clear_messages_pass_one_after_the_other() {
    let message = "\r\nPOST / HTTP/1.1\r\nHost: a\r\ncontent-LENGTH:  3 \r\n\r\na\nb\
                   PUT /?x HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=y\r\na\rb\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n\
                   GET /a HTTP/1.0\r\n\r\n";
    assert_eq!(found(message.repeat(3).as_bytes()), None);
    assert_eq!(found([message, "GET / HTTP/1.1\n"].concat().as_bytes()), Some(message.len() + 14));
}

#[test]
fn every_second_reading_is_found_where_it_begins() {
    let get = "GET / HTTP/1.1\r\nHost: a\r\n";
    faulty_from("GET / HTTP/1.1", "\n");
    faulty_from("GET /", "#x HTTP/1.1");
    faulty_from("GET / HTTP/1.1\r", "Host: a");
    faulty_from("GET / HTTP/1.1\r\nHost", " : a");
    faulty_from("GET / HTTP/1.1\r\nHost: a", "\nX: y");
    faulty_from(get, " X: y");
    faulty_from(&[get, "Content-Length: 3\r\nContent-Length"].concat(), ": 3");
    faulty_from(&[get, "Content-Length: 3\r\nTransfer-Encoding"].concat(), ": chunked");
    faulty_from(&[get, "Transfer-Encoding: chunked\r\nContent-Length"].concat(), ": 3");
    faulty_from(&[get, "Transfer-Encoding: chunked\r\nTransfer-Encoding"].concat(), ": chunked");
    faulty_from(&[get, "Transfer-Encoding: "].concat(), "gzip, chunked");
    faulty_from(&[get, "Transfer-Encoding: chunked"].concat(), ", identity");
    faulty_from(&[get, "Content-Length: "].concat(), "+3");
    faulty_from(&[get, "Content-Length: 3"].concat(), ", 3");
    faulty_from(&[get, "Content-Length: 3 "].concat(), "3");
    faulty_from(&[get, "Content-Length: 1844674407370955161"].concat(), "6");
    let chunked = [get, "Transfer-Encoding: chunked\r\n\r\n"].concat();
    faulty_from(&[&chunked, "3"].concat(), "\nabc");
    faulty_from(&[&chunked, "3"].concat(), " \r\nabc");
    faulty_from(&chunked, "0x3\r\nabc".trim_start_matches('0'));
    faulty_from(&[&chunked, "3\r\nabc"].concat(), "d");
    faulty_from(&[&chunked, "3;x"].concat(), "\nabc");
    faulty_from(&[&chunked, "0\r\nX: y"].concat(), "\nZ: y");
    assert_eq!(found([get, "Content-Length:\r\n\r\n"].concat().as_bytes()), Some(get.len() + 16));
}

#[test]
fn nothing_is_judged_after_an_offer_to_leave_http() {
    assert_eq!(found(b"GET / HTTP/1.1\r\nUpgrade: x\r\n\r\n\n\n\0 :"), None);
}

proptest! {
    #[test]
    fn cuts_make_no_difference(
        parts in proptest::collection::vec(proptest::sample::select(vec![
            "GET / HTTP/1.1\r\n", "Host: a\r\n", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n",
            "\r\n", "5\r\n", "hello", "0\r\n", "X : y\r\n", "\n", "\r", "3;a=b\r\nabc\r\n", ": ",
        ]), 0..14),
        cut in 1usize..9,
    ) {
        let bytes = parts.concat().into_bytes();
        let mut scanner = Scanner::default();
        let mut seen = 0;
        let mut in_pieces = None;
        for piece in bytes.chunks(cut) {
            in_pieces = in_pieces.or_else(|| scanner.scan(piece).map(|found| seen + found.index));
            seen += piece.len();
        }
        prop_assert_eq!(in_pieces, found(&bytes));
    }

    #[test]
    fn any_bytes_are_scanned(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(found(&bytes).is_none_or(|index| index < bytes.len()));
    }
}
