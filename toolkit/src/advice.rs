//! What to try after an error.

use std::collections::BTreeSet;

use micro::{Error, ErrorKind};

use crate::failure::{Failure, is_unknown, is_unknown_endpoint};
use crate::network::Network;

/// Names that are less alike than this are no suggestion. 1 is equal.
const ALIKE: f64 = 0.7;
/// More suggestions help nobody.
const SUGGESTIONS: usize = 3;

/// The failure of a call, with what to try.
pub(crate) async fn on_call(error: &Error, network: &Network, service: &str, endpoint: &str) -> Failure {
    let failure = Failure::of(error);
    if is_unknown_endpoint(error) {
        return unknown_endpoint(failure, network, service, endpoint).await;
    }
    match error.kind() {
        ErrorKind::NotFound if is_unknown(error) => unknown_service(failure, network, service).await,
        ErrorKind::Timeout => {
            let limit = network.patience();
            failure
                .try_this(format!(
                    "--client_request_timeout=… for more time (now {limit:?})"
                ))
                .try_this(format!("micro health {service}"))
        }
        ErrorKind::Unavailable => failure
            .try_this(format!("micro health {service}"))
            .try_this("micro doctor"),
        _ if error.is_unanswered() => failure.try_this(format!("micro health {service}")),
        ErrorKind::BadRequest => {
            failure.try_this(format!("micro describe {service}, which shows what it takes"))
        }
        ErrorKind::Unauthorized | ErrorKind::Forbidden => {
            failure.try_this("--metadata Authorization=…, if the service asks who is calling")
        }
        ErrorKind::UnsupportedContentType => {
            failure.try_this("this command speaks JSON only; the service must know application/json")
        }
        ErrorKind::TooLarge => failure.try_this("a smaller request, or a higher limit at the service"),
        ErrorKind::TooManyRequests => failure.try_this("again later; the service is at its limit"),
        _ => failure,
    }
}

/// Adds the names that could have been meant.
pub(crate) async fn unknown_service(failure: Failure, network: &Network, name: &str) -> Failure {
    let services = network.services().await.unwrap_or_default();
    let names: BTreeSet<String> = services.into_iter().map(|record| record.name).collect();
    let failure = match suggestion(name, names.iter().map(String::as_str)) {
        Some(close) => failure.try_this(format!("{close}, which is known")),
        None if names.is_empty() => {
            return failure.try_this("micro doctor: no service at all is known here");
        }
        None => failure,
    };
    failure.try_this("micro list services")
}

async fn unknown_endpoint(failure: Failure, network: &Network, service: &str, endpoint: &str) -> Failure {
    let records = network.service(service).await.unwrap_or_default();
    let endpoints = records.iter().flat_map(|record| &record.endpoints);
    let names: BTreeSet<&str> = endpoints.map(|endpoint| endpoint.name.as_str()).collect();
    let failure = match suggestion(endpoint, names.into_iter()) {
        Some(close) => failure.try_this(format!("{close}, which {service} has")),
        None => failure,
    };
    failure.try_this(format!("micro describe {service}"))
}

/// The known names that are most like one, the best first. What ends or begins with it is like it, too.
fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let wanted = name.to_lowercase();
    let likeness = |known: &str| {
        let known = known.to_lowercase();
        let is_part = wanted.len() > 2 && (known.contains(&wanted) || wanted.contains(&known));
        let alike = strsim::normalized_damerau_levenshtein(&wanted, &known);
        if is_part { alike.max(ALIKE) } else { alike }
    };
    let mut close: Vec<(f64, &str)> = known
        // Comparing takes the product of the lengths; nobody types names of such a length.
        .filter(|known| known.len() <= 200)
        .map(|known| (likeness(known), known))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .collect();
    close.sort_by(|one, other| other.0.total_cmp(&one.0));
    let names: Vec<&str> = close.iter().take(SUGGESTIONS).map(|(_, name)| *name).collect();
    (!names.is_empty()).then(|| names.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_most_alike_come_first() {
        let known = ["greeter", "greeter2", "shop.greeter", "billing"];
        let suggest = |name| suggestion(name, known.into_iter());
        assert_eq!(suggest("greter").unwrap(), "greeter or greeter2");
        assert_eq!(suggest("Greeter").unwrap(), "greeter or greeter2 or shop.greeter");
        assert_eq!(suggest("zzz"), None);
    }
}
