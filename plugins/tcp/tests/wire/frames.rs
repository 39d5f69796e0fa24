//! The bytes of the frames, as the description has them.

use bytes::Bytes;
use micro_core::handler::CallKind;
use micro_core::{Body, Error, Metadata, Request, Response};
use micro_tcp::TcpConfig;
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant};

use crate::raw::*;

#[tokio::test]
async fn a_call_is_written_as_described() {
    let (frames, mut seen) = mpsc::channel(10);
    let (address, _server) = accept(move |mut end| {
        let frames = frames.clone();
        async move {
            while let Some(frame) = end.next().await {
                end.send(&self::frame(frame.call, ANSWER, 0, b"hello")).await;
                frames.send(frame).await.unwrap();
            }
        }
    })
    .await;
    let peer = dial(&address, TcpConfig::default()).await;
    for _ in 0..2 {
        let mut request = Request::new("greeter", "Say.Hi", "x");
        request.content_type = "a/b".into();
        request.metadata = Metadata::from([("Tenant", "acme"), ("Micro-Service", "forged")]);
        let answer = soon(peer.handle(request)).await.unwrap();
        assert_eq!(answer.body.single().await.unwrap(), "hello");
    }
    let metadata = b"\0\x01\0\x06\0\0\0\x04Tenantacme";
    let first = [&b"\0\x01\0\x07\0\x06\0\x03greeterSay.Hia/b"[..], metadata, b"x"].concat();
    let second = [&b"\0\x01"[..], metadata, b"x"].concat();
    for (call, flags, payload) in [(1, NAMES | 16, first), (2, 16, second)] {
        let expected = RawFrame {
            call,
            kind: CALL,
            flags,
            payload,
        };
        assert_eq!(seen.recv().await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_call_is_read_as_described() {
    let listener = serve(TcpConfig::default(), |mut request| async move {
        assert_eq!(
            (
                request.service.as_str(),
                request.endpoint.as_str(),
                request.content_type.as_str()
            ),
            ("a", "B.C", "application/json")
        );
        match request.take_body().single().await?.as_ref() {
            b"fail" => Err(Error::conflict("kit", "no")),
            b"metadata" => {
                let mut response = Response::new("with");
                response.content_type = "x/y".into();
                response.metadata.insert("A", "bc");
                Ok(response)
            }
            message => Ok(Response::new(Bytes::copy_from_slice(message))),
        }
    })
    .await;
    let mut end = RawEnd::connect(listener.address()).await;
    for (number, message, kind, flags, payload) in [
        (1, &b"hi"[..], ANSWER, 0, &b"hi"[..]),
        (
            5,
            b"fail",
            ERROR,
            0,
            br#"{"id":"kit","code":409,"detail":"no","status":"Conflict"}"#,
        ),
        (
            6,
            b"metadata",
            ANSWER,
            NAMES | 16,
            b"\0\x03x/y\0\x01\0\x01\0\0\0\x02Abcwith",
        ),
    ] {
        end.send(&call(number, message)).await;
        let expected = RawFrame {
            call: number,
            kind,
            flags,
            payload: payload.to_vec(),
        };
        assert_eq!(end.next().await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_message_in_parts_is_one_message() {
    let listener = serve_echo(TcpConfig::default()).await;
    let mut end = RawEnd::connect(listener.address()).await;
    let payload = call_payload("a", "B.C", b"\0\0\0\x06ab");
    end.send(&frame(1, CALL, NAMES | MORE, &payload)).await;
    end.send(&call(2, b"between")).await;
    assert_eq!(end.next().await.unwrap().payload, b"between");
    for part in [&b"cd"[..], b"", b"ef"] {
        end.send(&frame(1, PART, 0, part)).await;
    }
    assert_eq!(end.next().await.unwrap().payload, b"abcdef");
}

#[tokio::test]
async fn a_stream_is_written_and_read_as_described() {
    let listener = serve_echo(TcpConfig::default()).await;
    let mut end = RawEnd::connect(listener.address()).await;
    end.send(&frame(
        7,
        CALL,
        NAMES | MESSAGES | 2,
        &call_payload("a", "B.C", b""),
    ))
    .await;
    end.send(&frame(7, DATA, MORE, b"on")).await;
    end.send(&frame(7, DATA, 0, b"e")).await;
    end.send(&frame(7, DATA, 0, b"")).await;
    let several = b"\0\0\0\0\x02ab\0\0\0\0\0\0\0\0\0\x01c";
    end.send(&frame(7, DATA, SEVERAL, several)).await;
    end.send(&frame(7, END, 0, b"")).await;
    for (kind, flags, payload) in [
        (ANSWER, MESSAGES, &b""[..]),
        (DATA, 0, b"one"),
        (DATA, 0, b""),
        (DATA, SEVERAL, several),
        (END, 0, b""),
    ] {
        let expected = RawFrame {
            call: 7,
            kind,
            flags,
            payload: payload.to_vec(),
        };
        assert_eq!(end.next().await.unwrap(), expected);
    }
}

#[tokio::test]
async fn pings_are_answered_and_dropped_calls_are_cancelled() {
    let (frames, mut seen) = mpsc::channel(10);
    let (address, _server) = accept(move |mut end| {
        let frames = frames.clone();
        async move {
            end.send(&frame(0, PING, 0, b"12345678")).await;
            while let Some(frame) = end.next().await {
                frames.send(frame).await.unwrap();
            }
        }
    })
    .await;
    let peer = dial(&address, TcpConfig::default()).await;
    let mut request = Request::new("a", "B.C", "x");
    request.deadline = Some(Instant::now() + Duration::from_secs(3));
    let kinds = async {
        let mut kinds = Vec::new();
        while kinds.len() < 2 {
            let frame = seen.recv().await.unwrap();
            if frame.kind == PONG {
                assert_eq!(frame.payload, b"12345678");
            } else {
                let deadline = &frame.payload[frame.payload.len() - 9..frame.payload.len() - 1];
                let left = Duration::from_nanos(u64::from_be_bytes(deadline.try_into().unwrap()));
                assert!(
                    frame.flags == NAMES | 8 && left <= Duration::from_secs(3),
                    "{left:?}"
                );
            }
            kinds.push(frame.kind);
        }
        kinds
    };
    let kinds = soon(async {
        tokio::select! {
            _ = peer.handle(request) => unreachable!("it is not answered"),
            kinds = kinds => kinds,
        }
    });
    let mut kinds = kinds.await;
    kinds.sort_unstable();
    assert_eq!(kinds, [CALL, PONG]);
    let cancel = soon(seen.recv()).await.unwrap();
    assert_eq!((cancel.kind, cancel.call, cancel.payload), (CANCEL, 1, vec![0]));
}

#[tokio::test]
async fn what_was_read_of_a_stream_is_given_back() {
    let listener = serve(
        TcpConfig {
            stream_window: 4096,
            connection_window: 8192,
            ..TcpConfig::default()
        },
        |mut request| async move {
            let mut body = request.take_body();
            let mut count = 0;
            while let Some(message) = body.message().await {
                message?;
                count += 1;
            }
            Ok(Response::new(Body::from(vec![count])))
        },
    )
    .await;
    let mut end = RawEnd::connect(listener.address()).await;
    end.send(&frame(
        1,
        CALL,
        NAMES | MESSAGES | 2,
        &call_payload("a", "B.C", b""),
    ))
    .await;
    let (mut stream, mut connection) = (4096_i64, 8192_i64);
    for _ in 0..20 {
        // A message of 1,000 bytes counts 1,032.
        while stream < 1032 || connection < 1032 {
            let frame = end.next().await.unwrap();
            assert_eq!(frame.kind, WINDOW);
            let amount = u32::from_be_bytes(frame.payload.try_into().unwrap());
            match frame.call {
                0 => connection += i64::from(amount),
                _ => stream += i64::from(amount),
            }
        }
        end.send(&frame(1, DATA, 0, &[7; 1000])).await;
        stream -= 1032;
        connection -= 1032;
    }
    end.send(&frame(1, END, 0, b"")).await;
    loop {
        let frame = end.next().await.unwrap();
        if frame.kind == ANSWER {
            assert_eq!(frame.payload, [20]);
            break;
        }
    }
}

#[tokio::test]
async fn an_unary_call_that_is_answered_with_messages_says_so_and_is_given_up() {
    let (told, mut tells) = mpsc::channel(1);
    let (address, _server) = accept(move |mut end| {
        let told = told.clone();
        async move {
            end.next().await.unwrap();
            end.send(&frame(1, ANSWER, MESSAGES, b"")).await;
            told.send(end.next().await.unwrap().kind).await.unwrap();
        }
    })
    .await;
    let peer = dial(&address, TcpConfig::default()).await;
    let mut request = Request::new("a", "B.C", "x");
    request.kind = CallKind::Unary;
    let error = soon(peer.handle(request)).await.unwrap_err();
    assert!(error.detail().contains("answers with a stream"), "{error}");
    assert_eq!(soon(tells.recv()).await, Some(CANCEL));
}
