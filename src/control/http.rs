//! HTTP/1.1 (RFC 9112) as far as a control socket needs it: one request a connection, with a body of known length.

use std::fmt::Write;

/// The most bytes of a request's line and headers.
pub(super) const MAX_HEAD: usize = 8 << 10;

/// The most bytes of a body: no request has more than a few fields.
pub(super) const MAX_BODY: usize = 16 << 10;

/// The most headers.
const MAX_HEADERS: usize = 64;

/// JSON's media type.
pub(super) const JSON: &str = "application/json";

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub method: String,
    pub path: String,
    pub body: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Response {
    pub status: u16,
    pub content_type: &'static str,
    /// The methods that there are, where the request's is not among them.
    pub allow: Option<&'static str>,
    pub body: Vec<u8>,
}

impl Response {
    /// JSON.
    pub fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Response { status, content_type: JSON, allow: None, body: body.into() }
    }

    /// Why a request is refused.
    pub fn error(status: u16, message: &str) -> Self {
        Self::json(status, serde_json::json!({ "error": message }).to_string())
    }

    /// As bytes on the wire.
    pub fn into_bytes(self) -> Vec<u8> {
        let mut head = head(self.status, self.content_type);
        if let Some(allow) = self.allow {
            // Writing to a string does not fail.
            let _ = write!(head, "Allow: {allow}\r\n");
        }
        let _ = write!(head, "Content-Length: {}\r\n\r\n", self.body.len());
        let mut bytes = head.into_bytes();
        bytes.extend(self.body);
        bytes
    }
}

/// What comes before a stream of events, which ends with the connection.
pub(super) fn stream_head() -> Vec<u8> {
    (head(200, "text/event-stream") + "Cache-Control: no-store\r\n\r\n").into_bytes()
}

fn head(status: u16, content_type: &str) -> String {
    let reason = reason(status);
    format!("HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\nConnection: close\r\n")
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Error",
    }
}

/// Reads a request from what has come of it so far; `None` while some is missing. What comes behind it is not read.
///
/// # Errors
/// It is none, or one that is not taken: the response says why.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Request>, Response> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let too_large = || Response::error(431, "the request's headers are too many or too long");
    let head = match request.parse(bytes.get(..MAX_HEAD).unwrap_or(bytes)) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) if bytes.len() >= MAX_HEAD => return Err(too_large()),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(too_large()),
        Err(error) => return Err(Response::error(400, &format!("this is no HTTP/1.1 request: {error}"))),
    };
    let length = body_length(request.headers)?;
    if length > MAX_BODY {
        return Err(Response::error(413, &format!("a body has at most {MAX_BODY} bytes")));
    }
    let Some(body) = bytes.get(head..head + length) else { return Ok(None) };
    Ok(Some(Request {
        method: request.method.unwrap_or_default().to_owned(),
        path: request.path.unwrap_or_default().to_owned(),
        body: body.to_vec(),
    }))
}

/// Bytes of the body, which has to be announced.
fn body_length(headers: &[httparse::Header<'_>]) -> Result<usize, Response> {
    let mut length = None;
    for header in headers {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(Response::error(411, "a body is taken with a Content-Length only"));
        }
        if header.name.eq_ignore_ascii_case("content-length") {
            let bad = || Response::error(400, "Content-Length is no number, or there are two");
            let digits = std::str::from_utf8(header.value).ok().map(str::trim);
            let digits =
                digits.filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
            // More digits than a number has are a body that is too large.
            let number = digits.ok_or_else(bad)?.parse().unwrap_or(usize::MAX);
            if length.replace(number).is_some() {
                return Err(bad());
            }
        }
    }
    Ok(length.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(text: &str) -> u16 {
        parse(text.as_bytes()).unwrap_err().status
    }

    #[test]
    fn a_request_is_read_when_all_of_it_is_there() {
        let text = b"POST /v1/stop HTTP/1.1\r\nHost: x\r\ncontent-LENGTH: 14\r\n\r\n{\"force\":true}and more";
        let whole = text.len() - "and more".len();
        for some in 0..whole {
            assert_eq!(parse(&text[..some]), Ok(None), "{some}");
        }
        for len in whole..=text.len() {
            let request = parse(&text[..len]).unwrap().unwrap();
            assert_eq!((&*request.method, &*request.path), ("POST", "/v1/stop"));
            assert_eq!(request.body, b"{\"force\":true}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        assert_eq!(status("\u{1}\u{2}\r\n\r\n"), 400);
        assert_eq!(status("GET / HTTP/2.0\r\n\r\n"), 400);
        assert_eq!(status("GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"), 400);
        assert_eq!(status("GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n"), 400);
        assert_eq!(status("GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx"), 400);
        assert_eq!(status("GET / HTTP/1.1\r\nContent-Length: 1073741824\r\n\r\n"), 413);
        assert_eq!(status("GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n"), 413);
        assert_eq!(status("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), 411);
        assert_eq!(status(&format!("GET /{} HTTP/1.1\r\n", "x".repeat(MAX_HEAD))), 431);
        assert_eq!(status(&format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(MAX_HEADERS + 1))), 431);
    }

    #[test]
    fn whatever_comes_does_no_harm() {
        let text = b"POST /v1/stop HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";
        for at in 0..text.len() {
            for byte in 0..=255 {
                let mut text = *text;
                text[at] = byte;
                let _ = parse(&text);
            }
        }
    }

    #[test]
    fn a_response_is_whole() {
        let text = String::from_utf8(Response::error(409, "no \"way\"").into_bytes()).unwrap();
        let expected = "HTTP/1.1 409 Conflict\r\nContent-Type: application/json\r\nConnection: close\r\n\
                        Content-Length: 22\r\n\r\n{\"error\":\"no \\\"way\\\"\"}";
        assert_eq!(text, expected);
    }
}
