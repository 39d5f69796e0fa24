//! What a server answers.

use std::error::Error as StdError;

use ::http::header::{CONTENT_TYPE, DATE, ETAG, HeaderMap, HeaderName, LAST_MODIFIED, LOCATION};
use ::http::{Response, StatusCode, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;

use super::date;
use crate::{Document, Error, ErrorKind, Format, Result};

/// How many seconds before the answer a document must have been modified last.
const LEAST_AGE: u64 = 2;

/// What an answer may be.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) format: Option<Format>,
    pub(super) largest: usize,
}

/// What a server answers.
pub(super) enum Answer {
    /// What it answered before.
    Same,
    Document {
        /// What to ask with whether it is the same.
        validators: HeaderMap,
        document: Document,
    },
}

pub(super) async fn read(name: &str, limits: Limits, answer: Response<Incoming>) -> Result<Answer> {
    let (head, body) = answer.into_parts();
    match head.status {
        StatusCode::OK => {}
        StatusCode::NOT_MODIFIED => return Ok(Answer::Same),
        status => return Err(refused(name, status, &head.headers)),
    }
    let Some(format) = limits
        .format
        .or_else(|| told(&head.headers))
        .or_else(|| of_path(name))
    else {
        return Err(Error::new(
            ErrorKind::Misused,
            format_args!(
                "{name}: neither its Content-Type nor its extension tells a format: say which it is"
            ),
        ));
    };
    let body = match Limited::new(body, limits.largest).collect().await {
        Ok(body) => body.to_bytes(),
        Err(problem) if problem.is::<LengthLimitError>() => {
            return Err(Error::new(
                ErrorKind::Invalid,
                format_args!(
                    "{name}: it has more than {} bytes: make it smaller, or allow more",
                    limits.largest
                ),
            ));
        }
        Err(problem) => {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format_args!("{name}: its answer broke off: {}", innermost(&*problem)),
            ));
        }
    };
    let text = str::from_utf8(&body);
    let text = text.map_err(|_| Error::new(ErrorKind::Invalid, format_args!("{name}: it is not UTF-8")))?;
    let document = Document::text(name, format, text);
    Ok(Answer::Document {
        validators: validators(&head.headers),
        document,
    })
}

/// What tells this document from every other: its tag, or when it was modified. That is told in seconds, so that one
/// that was modified just now may be modified once more at the same time; such a document is asked for as if it were
/// not known.
fn validators(headers: &HeaderMap) -> HeaderMap {
    let mut validators = HeaderMap::new();
    if let Some(tag) = headers.get(ETAG) {
        validators.insert(ETAG, tag.clone());
    } else if let Some(modified) = headers.get(LAST_MODIFIED)
        && let (Some(then), Some(now)) = (time(headers, &LAST_MODIFIED), time(headers, &DATE))
        && then.checked_add(LEAST_AGE).is_some_and(|settled| settled <= now)
    {
        validators.insert(LAST_MODIFIED, modified.clone());
    }
    validators
}

fn time(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    date::seconds(headers.get(name)?.to_str().ok()?)
}

fn refused(name: &str, status: StatusCode, headers: &HeaderMap) -> Error {
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => Error::new(
            ErrorKind::Missing,
            format_args!("{name}: there is nothing ({})", status.as_u16()),
        ),
        status if status.is_redirection() => {
            let to = headers
                .get(LOCATION)
                .and_then(|to| to.to_str().ok()?.parse::<Uri>().ok());
            let to = to.map_or_else(|| "elsewhere".to_owned(), |to| shown(&to));
            Error::new(
                ErrorKind::Misused,
                format_args!(
                    "{name}: it redirects to {to} ({}), which is not followed",
                    status.as_u16()
                ),
            )
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::new(
            ErrorKind::Unavailable,
            format_args!("{name}: it is not allowed ({}): check the token", status.as_u16()),
        ),
        status => Error::new(
            ErrorKind::Unavailable,
            format_args!("{name}: the server answers {status}"),
        ),
    }
}

/// An address without what may be secret in it.
fn shown(address: &Uri) -> String {
    let host = address.host().unwrap_or_default();
    match (address.scheme_str(), address.port()) {
        (Some(scheme), Some(port)) => format!("{scheme}://{host}:{port}{}", address.path()),
        (Some(scheme), None) => format!("{scheme}://{host}{}", address.path()),
        (None, _) => address.path().to_owned(),
    }
}

fn told(headers: &HeaderMap) -> Option<Format> {
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let kind = kind.split(';').next()?.trim().to_ascii_lowercase();
    let name = kind.rsplit(['/', '+']).next()?;
    Format::of_extension(name.strip_prefix("x-").unwrap_or(name))
}

fn of_path(name: &str) -> Option<Format> {
    let (_, extension) = name.rsplit('/').next()?.rsplit_once('.')?;
    Format::of_extension(extension)
}

/// The innermost reason, which says most: those around it say that a request failed.
pub(super) fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_document_that_was_modified_just_now_does_not_tell_it_from_the_next() {
        let with = |said: &[(HeaderName, &'static str)]| {
            let headers = said
                .iter()
                .map(|(name, value)| (name.clone(), value.parse().unwrap()));
            let kept = validators(&headers.collect());
            kept.keys().cloned().collect::<Vec<_>>()
        };
        let modified = (LAST_MODIFIED, "Sun, 06 Nov 1994 08:49:37 GMT");
        let at_once = (DATE, "Sun, 06 Nov 1994 08:49:38 GMT");
        let later = (DATE, "Sun, 06 Nov 1994 08:49:39 GMT");
        let tag = (ETAG, "\"x\"");
        assert_eq!(with(&[modified.clone(), later.clone()]), [LAST_MODIFIED]);
        assert_eq!(with(&[modified.clone(), at_once]), Vec::<HeaderName>::new());
        assert_eq!(with(std::slice::from_ref(&modified)), Vec::<HeaderName>::new());
        assert_eq!(with(&[modified, later, tag]), [ETAG]);
    }
}
