//! HTTP answers. The header fields of each answer tell browsers not to guess its type, not to show it in a frame, not
//! to store it, and not to send its address to other sites.

use http_body_util::channel::Channel;
use http_body_util::{Either, Full};
use hyper::body::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

/// The body of an answer: whole, or a stream of events.
pub type Body = Either<Full<Bytes>, Channel<Bytes>>;

/// An answer.
pub type Answer = Response<Body>;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The header fields of all answers. Only the page has another policy.
const FIELDS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// An answer with that body.
pub fn with(status: StatusCode, content_type: HeaderValue, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    for (name, value) in FIELDS {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer.headers_mut().insert(header::CONTENT_TYPE, content_type);
    answer
}

/// An answer with a whole body.
pub fn whole(content_type: HeaderValue, body: impl Into<Bytes>) -> Answer {
    with(StatusCode::OK, content_type, Either::Left(Full::new(body.into())))
}

/// An answer with one line of text, for people.
pub fn line(status: StatusCode, text: &str) -> Answer {
    with(status, TEXT, Either::Left(Full::new(format!("{text}\n").into())))
}

/// Bytes, and a value that is dropped with them.
struct Held<T> {
    bytes: Vec<u8>,
    _place: T,
}

impl<T> AsRef<[u8]> for Held<T> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// An answer with JSON. Drops `place` once all bytes of the answer have left the memory.
pub fn json_with(what: &impl Serialize, place: impl Send + Sync + 'static) -> Answer {
    let bytes = serde_json::to_vec(what).unwrap_or_default();
    whole(JSON, Bytes::from_owner(Held { bytes, _place: place }))
}

/// An answer with JSON.
pub fn json(status: StatusCode, what: &impl Serialize) -> Answer {
    // This cannot fail: no type that is serialized here has a failing implementation.
    let body = serde_json::to_vec(what).unwrap_or_default();
    with(status, JSON, Either::Left(Full::new(body.into())))
}
