//! The smallest requests that a Go server accepts, and its oldest.

use crate::raw::{Raw, greeter, within};

async fn greets(request: &str) -> crate::raw::Message {
    let server = greeter().await;
    let answer = within(Raw::connect(server.address()).await.exchange(request)).await;
    assert_eq!(answer.status(), 200, "{request}: {answer:?}");
    assert!(answer.text().contains("Hello rs"), "{request}: {answer:?}");
    answer
}

const BODY: &str = "Content-Length: 13\r\n\r\n{\"name\":\"rs\"}";
const JSON: &str = "Content-Type: application/json\r\n";

#[tokio::test]
async fn an_endpoint_or_a_method_under_any_of_their_names_is_enough() {
    crate::raw::bounded(async {
        for names in [
            "Micro-Endpoint: Greeter.Hello",
            "Micro-Service: any.name\r\nMicro-Method: Greeter.Hello",
            "X-Micro-Service: any.name\r\nX-Micro-Endpoint: Greeter.Hello",
            "X-Micro-Method: Greeter.Hello",
            "MICRO-ENDPOINT:Greeter.Hello",
            "Micro-Endpoint: Greeter.Hello\r\nMicro-Method: Greeter.Fail\r\nX-Micro-Endpoint: Greeter.Fail",
        ] {
            greets(&format!("POST / HTTP/1.1\r\n{JSON}{names}\r\n{BODY}")).await;
        }
    })
    .await;
}

#[tokio::test]
async fn method_path_and_version_do_not_matter() {
    crate::raw::bounded(async {
        for line in [
            "GET / HTTP/1.1",
            "PUT /any/path?query HTTP/1.1",
            "POST / HTTP/1.0",
            "GET http://a/b HTTP/1.1",
        ] {
            let answer = greets(&format!(
                "{line}\r\n{JSON}Micro-Endpoint: Greeter.Hello\r\n{BODY}"
            ))
            .await;
            assert_eq!(
                answer.header("Connection").is_some(),
                line.ends_with("1.0"),
                "{answer:?}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn the_old_protocol_names_its_method_in_the_body() {
    crate::raw::bounded(async {
        let body = r#"{"id":"7","method":"Greeter.Hello","params":[{"name":"rs"}]}"#;
        for id in ["\"7\"", "7"] {
            let body = body.replace("\"7\"", id);
            let answer = greets(&format!(
                "POST / HTTP/1.1\r\n{JSON}Content-Length: {}\r\n\r\n{body}",
                body.len()
            ))
            .await;
            assert_eq!(answer.header("Content-Type"), Some("application/json"));
            assert_eq!(
                (&answer.json()["id"], &answer.json()["error"]),
                (&"7".into(), &serde_json::Value::Null)
            );
        }
        let mut body = b"\0\0\0\x18\x0a\x0dGreeter.Hello\x11\x01\0\0\0\0\0\0\0\0\0\0\x04\x0a\x02rs".to_vec();
        for content_type in [
            "",
            "Content-Type: application/protobuf\r\n",
            "Content-Type: application/octet-stream\r\n",
        ] {
            let server = greeter().await;
            let mut request = format!(
                "POST / HTTP/1.1\r\n{content_type}Content-Length: {}\r\n\r\n",
                body.len()
            )
            .into_bytes();
            request.extend_from_slice(&body);
            let answer = within(Raw::connect(server.address()).await.exchange(request)).await;
            assert!(
                answer.body.starts_with(b"\0\0\0\x09\x11\x01\0\0\0\0\0\0\0\0\0\0"),
                "{answer:?}"
            );
        }
        body.truncate(9);
        let server = greeter().await;
        let mut request = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        request.extend_from_slice(&body);
        let answer = within(Raw::connect(server.address()).await.exchange(request)).await;
        assert_eq!(
            (answer.status(), answer.json()["code"].as_i64()),
            (400, Some(400)),
            "{answer:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_caller_that_expects_100_continue_gets_it_before_it_sends_its_body() {
    crate::raw::bounded(async {
    let server = greeter().await;
    let mut connection = Raw::connect(server.address()).await;
    let head = format!(
        "POST / HTTP/1.1\r\n{JSON}Micro-Endpoint: Greeter.Hello\r\nExpect: 100-continue\r\nContent-Length: 13\r\n\r\n"
    );
    let interim = within(connection.exchange(&head)).await;
    assert_eq!(interim.first_line, "HTTP/1.1 100 Continue");
    let answer = within(connection.exchange("{\"name\":\"rs\"}")).await;
    assert!(answer.text().contains("Hello rs"));
    let at_once = format!("{head}{{\"name\":\"rs\"}}");
    let answer = within(connection.exchange(at_once)).await;
    assert_eq!(answer.status(), 200, "whoever did not wait needs no permission");
    })
    .await;
}

#[tokio::test]
async fn an_empty_body_is_the_empty_message_also_in_chunks() {
    crate::raw::bounded(async {
    let server = greeter().await;
    for content_type in [
        "application/protobuf",
        "application/json",
        "application/proto-rpc",
        "application/json-rpc",
    ] {
        for framing in ["", "Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n"] {
            let end = if framing.starts_with('T') { "0\r\n\r\n" } else { "" };
            let request = format!(
                "POST / HTTP/1.1\r\nMicro-Endpoint: Greeter.Hello\r\nContent-Type: {content_type}\r\n{framing}\r\n{end}"
            );
            let answer = within(Raw::connect(server.address()).await.exchange(request)).await;
            let body = String::from_utf8_lossy(&answer.body);
            assert!(
                answer.status() == 200 && body.contains("Hello"),
                "{content_type} {framing}: {body}"
            );
        }
    }
    })
    .await;
}

#[tokio::test]
async fn json_rpc_answers_carry_the_id_of_their_request() {
    crate::raw::bounded(async {
    let server = greeter().await;
    let body = r#"{"id":"abc","params":[{"name":"rs"}]}"#;
    let request = format!(
        "POST / HTTP/1.1\r\nMicro-Endpoint: Greeter.Hello\r\nContent-Type: application/json-rpc\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = within(Raw::connect(server.address()).await.exchange(request)).await;
    assert_eq!(answer.json()["id"], "abc");
    })
    .await;
}
