//! Asking a server whether it serves, by its own protocol and not only by an open port.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(3);
const LONGEST_ANSWER: usize = 4 << 20;

/// Whether anything listens there.
pub(super) fn is_open(address: &str) -> bool {
    connect(address).is_ok()
}

/// The body of a successful answer to a GET request.
///
/// # Errors
///
/// Fails if nothing listens, or what it answers is not an HTTP success.
pub(super) fn http(address: &str, path: &str) -> Result<String, String> {
    http_with(address, path, "")
}

/// As [`http`], with further header lines, each ended by `\r\n`.
///
/// # Errors
///
/// As [`http`].
pub(super) fn http_with(address: &str, path: &str, headers: &str) -> Result<String, String> {
    // Of HTTP/1.0, because its answers end with the connection and are never in chunks.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n{headers}\r\n");
    let answer = exchange(address, request.as_bytes(), |_| false)?;
    body(&String::from_utf8_lossy(&answer)).map_err(|problem| format!("{address}{path} {problem}"))
}

/// As [`http`], read as JSON.
///
/// # Errors
///
/// As [`http`], and if the body is not JSON.
pub(super) fn json(address: &str, path: &str) -> Result<Value, String> {
    parse_json(&http(address, path)?).map_err(|problem| format!("{address}{path} {problem}"))
}

/// Reads JSON, with a problem that completes a sentence.
///
/// # Errors
///
/// Fails if the text is not JSON.
pub(super) fn parse_json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("answers what is not JSON: {error}"))
}

/// The text at a pointer into a JSON value.
///
/// # Errors
///
/// Fails if there is no text.
pub(super) fn text(value: &Value, pointer: &str) -> Result<String, String> {
    let text = value.pointer(pointer).and_then(Value::as_str);
    text.map(str::to_owned)
        .ok_or_else(|| format!("its answer has no text at {pointer}"))
}

/// Sends bytes and reads until the other side closes, `enough` says so, or a few seconds are over.
///
/// # Errors
///
/// Fails if nothing listens, or nothing is answered in time.
pub(super) fn exchange(
    address: &str,
    request: &[u8],
    enough: impl Fn(&[u8]) -> bool,
) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("{address} does not answer: {error}");
    let began = Instant::now();
    let mut stream = connect(address)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
    stream.write_all(request).map_err(failed)?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !enough(&answer) {
        match stream.read(&mut buffer).map_err(failed)? {
            0 => break,
            count => answer.extend_from_slice(&buffer[..count]),
        }
        if answer.len() > LONGEST_ANSWER || began.elapsed() > PATIENCE {
            return Err(format!("{address} answers without an end"));
        }
    }
    Ok(answer)
}

fn connect(address: &str) -> Result<TcpStream, String> {
    let parsed: SocketAddr = address
        .parse()
        .map_err(|error| format!("{address} is not an address: {error}"))?;
    TcpStream::connect_timeout(&parsed, PATIENCE)
        .map_err(|error| format!("nothing answers at {address}: {error}"))
}

fn body(answer: &str) -> Result<String, String> {
    let not_http = || "answers, but not in HTTP".to_owned();
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(not_http)?;
    let mut status = head.lines().next().unwrap_or_default().split(' ');
    if !status
        .next()
        .is_some_and(|version| version.starts_with("HTTP/1."))
    {
        return Err(not_http());
    }
    match status.next() {
        Some(code) if code.starts_with('2') => Ok(body.to_owned()),
        code => Err(format!("answers with status {}", code.unwrap_or("missing"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn only_a_success_has_a_body() {
        assert_eq!(body("HTTP/1.0 200 OK\r\nA: b\r\n\r\nyes"), Ok("yes".to_owned()));
        assert!(body("HTTP/1.1 503 Busy\r\n\r\nno").unwrap_err().contains("503"));
        assert!(body("+PONG\r\n\r\n").unwrap_err().contains("not in HTTP"));
        assert!(body("HTTP/1.0 200 OK\r\n").is_err());
        assert!(body("HTTP/1.0\r\n\r\n").unwrap_err().contains("missing"));
    }

    #[test]
    fn an_answer_is_read_to_its_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            stream
                .write_all(b"HTTP/1.0 200 OK\r\n\r\n{\"health\":\"true\"}")
                .unwrap();
            String::from_utf8(request).unwrap()
        });
        let answer = json(&address, "/health").unwrap();
        assert!(server.join().unwrap().starts_with("GET /health HTTP/1.0\r\n"));
        assert_eq!(text(&answer, "/health"), Ok("true".to_owned()));
        assert!(text(&answer, "/other").unwrap_err().contains("/other"));
    }

    #[test]
    fn an_endless_answer_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            while stream.write_all(&[b'x'; 65536]).is_ok() {}
        });
        assert!(http(&address, "/").unwrap_err().contains("without an end"));
        server.join().unwrap();
    }

    #[test]
    fn a_closed_port_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        assert!(http(&address, "/").unwrap_err().contains(&address));
        assert!(!is_open(&address));
    }
}
