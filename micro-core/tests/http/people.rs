//! What a person with curl meets.

use crate::raw::{Message, Raw, greeter, within};

async fn ask(headers: &str, body: &str) -> Message {
    let server = greeter().await;
    let request = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nUser-Agent: curl/8\r\nAccept: */*\r\n{headers}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    within(Raw::connect(server.address()).await.exchange(request)).await
}

#[tokio::test]
async fn a_content_type_and_an_endpoint_get_json() {
    crate::raw::bounded(async {
        let answer = ask(
            "Content-Type: application/json\r\nMicro-Endpoint: Greeter.Hello",
            r#"{"name":"you"}"#,
        )
        .await;
        assert_eq!(
            (answer.status(), answer.json()["greeting"].as_str()),
            (200, Some("Hello you"))
        );
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
        assert!(
            answer.text().ends_with('\n'),
            "a prompt comes on a line of its own"
        );
    })
    .await;
}

#[tokio::test]
async fn errors_have_a_status_and_a_body_to_read() {
    crate::raw::bounded(async {
        let cases = [
            (
                "Greeter.Fail",
                r#"{"id":"a","code":409,"detail":"asked"}"#,
                409,
                "asked",
            ),
            (
                "Greeter.Fail",
                r#"{"id":"a","code":7,"detail":"odd"}"#,
                500,
                "odd",
            ),
            (
                "Greeter.Nothing",
                "{}",
                404,
                "Greeter has Count, Echo, Fail, Hello, Sleep",
            ),
            ("Nobody.Hello", "{}", 404, "known here: Greeter"),
            ("Hello", "{}", 400, "Handler.Method"),
            ("Greeter.Hello", "{", 400, "HelloRequest"),
            ("Greeter.Hello", r#"{"nam":"you"}"#, 400, "nam"),
        ];
        for (endpoint, body, status, detail) in cases {
            let answer = ask(
                &format!("Content-Type: application/json\r\nMicro-Endpoint: {endpoint}"),
                body,
            )
            .await;
            assert_eq!(answer.status(), status, "{answer:?}");
            assert_eq!(answer.header("Content-Type"), Some("application/json"));
            assert!(
                answer.json()["detail"].as_str().unwrap().contains(detail),
                "{answer:?}"
            );
            assert!(answer.header("Micro-Error").is_some() && answer.text().ends_with('\n'));
        }
    })
    .await;
}

#[tokio::test]
async fn the_content_type_that_curl_sends_by_itself_is_answered_with_those_known() {
    crate::raw::bounded(async {
        let answer = ask(
            "Content-Type: application/x-www-form-urlencoded\r\nMicro-Endpoint: Greeter.Hello",
            "{}",
        )
        .await;
        assert_eq!(answer.status(), 415);
        assert!(
            answer.text().contains("application/json") && answer.text().contains("urlencoded"),
            "{answer:?}"
        );
        let answer = ask("Content-Type: application/x-www-form-urlencoded", "{}").await;
        assert_eq!(answer.status(), 415, "also without an endpoint");
    })
    .await;
}

#[tokio::test]
async fn a_parameter_of_the_content_type_does_no_harm() {
    crate::raw::bounded(async {
        let answer = ask(
            "Content-Type: application/json; charset=utf-8\r\nMicro-Endpoint: Greeter.Hello",
            "{}",
        )
        .await;
        assert_eq!(answer.status(), 200);
    })
    .await;
}

#[tokio::test]
async fn a_stream_comes_as_lines() {
    crate::raw::bounded(async {
        let headers = "Content-Type: application/json\r\nMicro-Endpoint: Greeter.Count";
        let answer = ask(headers, r#"{"count":3}"#).await;
        assert_eq!(answer.header("Transfer-Encoding"), Some("chunked"));
        let lines: Vec<serde_json::Value> = answer
            .text()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(
            lines
                .iter()
                .map(|line| line["greeting"].as_str().unwrap())
                .collect::<Vec<_>>(),
            ["count 1", "count 2", "count 3"]
        );
        let server = greeter().await;
        let mut connection = Raw::connect(server.address()).await;
        connection
            .send(format!(
                "POST / HTTP/1.0\r\n{headers}\r\nContent-Length: 11\r\n\r\n{{\"count\":3}}"
            ))
            .await;
        let bytes = within(connection.rest()).await;
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            !head.contains("chunked") && head.contains("Connection: close"),
            "{head}"
        );
        assert_eq!(body.lines().count(), 3, "{body}");
    })
    .await;
}

#[tokio::test]
async fn a_framework_that_calls_a_stream_as_one_message_is_told() {
    crate::raw::bounded(async {
        let answer = ask(
            "Content-Type: application/json\r\nMicro-Id: 1\r\nMicro-Endpoint: Greeter.Count",
            r#"{"count":3}"#,
        )
        .await;
        assert!(
            answer.header("Micro-Error").unwrap().contains("call it as one"),
            "{answer:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_browser_is_told_how_to_call() {
    crate::raw::bounded(async {
        let server = greeter().await;
        let answer = within(
            Raw::connect(server.address())
                .await
                .exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        )
        .await;
        assert_eq!(answer.status(), 400);
        assert!(
            answer.json()["detail"]
                .as_str()
                .unwrap()
                .contains("Micro-Endpoint"),
            "{answer:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn what_answers_head_closes_the_connection() {
    crate::raw::bounded(async {
        let server = greeter().await;
        let answer = within(
            Raw::connect(server.address())
                .await
                .exchange("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"),
        )
        .await;
        assert_eq!(answer.header("Connection"), Some("close"));
    })
    .await;
}
