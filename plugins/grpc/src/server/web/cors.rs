//! What browsers ask before a page may call another site.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Response as HttpResponse, StatusCode, request};
use micro_core::Body;

use super::text;
use crate::config::Origins;

/// How long a browser may remember the answer, in seconds: two hours, which is the most that browsers do.
const REMEMBERED: HeaderValue = HeaderValue::from_static("7200");

/// The origin of a request, where its page may call.
pub(super) fn allowed(headers: &HeaderMap, origins: &Origins) -> Option<HeaderValue> {
    let origin = headers.get(ORIGIN)?;
    match origins {
        Origins::None => None,
        Origins::Any => Some(HeaderValue::from_static("*")),
        Origins::Listed(origins) => origins
            .iter()
            .any(|listed| origin.as_bytes().eq_ignore_ascii_case(listed.as_bytes()))
            .then(|| origin.clone()),
    }
}

/// Whether a browser asks whether a page may call.
pub(super) fn is_preflight(head: &request::Parts) -> bool {
    head.method == Method::OPTIONS && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a browser that asks whether a page may call. `None`: the request is something else.
pub(super) fn preflight(head: &request::Parts, origin: Option<&HeaderValue>) -> Option<HttpResponse<Body>> {
    if !is_preflight(head) {
        return None;
    }
    let Some(origin) = origin else {
        return Some(text(
            StatusCode::FORBIDDEN,
            "pages of this origin may not call; list it in GrpcConfig::origins\n",
        ));
    };
    let mut answer = HttpResponse::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let headers = answer.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    // GET needs no permission.
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
    if let Some(asked) = head.headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    headers.insert(ACCESS_CONTROL_MAX_AGE, REMEMBERED);
    headers.insert(
        VARY,
        HeaderValue::from_static("origin, access-control-request-headers"),
    );
    Some(answer)
}

/// Lets a page read an answer with all of its headers.
pub(super) fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    let names: Vec<&str> = headers.keys().map(|name| name.as_str()).collect();
    if let Ok(names) = HeaderValue::try_from(names.join(",")) {
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, names);
    }
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(VARY, HeaderValue::from_static("origin"));
}
