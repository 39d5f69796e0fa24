//! What the registry is told of generated services.

use std::collections::BTreeMap;

use micro::codec::Codecs;
use micro::handler::{Endpoint, IntoEndpoints};
use micro_codegen_generated::hello::HelloServer;

use crate::calls::Greeter;

fn endpoint(name: &str) -> Endpoint {
    let endpoints = HelloServer::new(Greeter).into_endpoints(&Codecs::standard());
    endpoints
        .into_iter()
        .find(|endpoint| endpoint.name == *name)
        .unwrap()
}

fn metadata(name: &str) -> BTreeMap<String, String> {
    endpoint(name).record.metadata
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn endpoints_are_named_by_service_and_method() {
    let endpoints = HelloServer::new(Greeter).into_endpoints(&Codecs::standard());
    let names: Vec<&str> = endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect();
    assert_eq!(names, ["Hello.Ping", "Hello.Count", "Hello.Sum", "Hello.Chat"]);
}

#[test]
fn a_route_and_a_comment_become_metadata() {
    assert_eq!(
        metadata("Hello.Ping"),
        pairs(&[
            (
                "description",
                "Says hello to one person.\n\nThe name may be empty."
            ),
            ("endpoint", "Hello.Ping"),
            ("handler", "rpc"),
            ("idempotent", "true"),
            ("method", "GET"),
            ("path", "/v1/ping/{name},/v1/hello/{name}"),
        ])
    );
}

#[test]
fn a_stream_says_that_it_is_one() {
    assert_eq!(
        metadata("Hello.Sum"),
        pairs(&[
            ("body", "*"),
            ("endpoint", "Hello.Sum"),
            ("handler", "rpc"),
            ("method", "POST"),
            ("path", "/v1/sum"),
            ("stream", "true"),
        ])
    );
    assert_eq!(metadata("Hello.Chat"), pairs(&[("stream", "true")]));
}

#[test]
fn the_messages_are_described() {
    let record = endpoint("Hello.Ping").record;
    assert_eq!(record.request.unwrap().name, "PingRequest");
    assert_eq!(record.response.unwrap().values[1].name, "served_by");
}
