//! Servers that speak nonsense.

use std::time::Duration;

use micro_core::ErrorKind;
use micro_core::registry::Registry;
use micro_zookeeper::{ZookeeperConfig, ZookeeperRegistry};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::zookeeper::{LONG, PATIENCE, greeter};

/// A session of 10 s.
const WELCOME: &[u8] = b"\0\0\0\x25\0\0\0\0\0\0\x27\x10\x01\0\0\0\0\0\0\x02\0\0\0\x100123456789abcdef\0";

async fn read_frame(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut frame = vec![0; usize::try_from(stream.read_i32().await?).unwrap()];
    stream.read_exact(&mut frame).await?;
    Ok(frame)
}

/// Serves each connection: the welcome, `good` requests with an empty list, and then nonsense.
async fn serve(listener: TcpListener, good: usize, nonsense: Vec<u8>) {
    let mut connections = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let nonsense = nonsense.clone();
        connections.spawn(async move {
            read_frame(&mut stream).await?;
            stream.write_all(WELCOME).await?;
            for _ in 0..good {
                let request = read_frame(&mut stream).await?;
                let mut answer = 20_i32.to_be_bytes().to_vec();
                answer.extend(&request[..4]);
                answer.extend([0; 16]);
                stream.write_all(&answer).await?;
            }
            read_frame(&mut stream).await?;
            stream.write_all(&nonsense).await?;
            // It stays open: a client must not wait for more.
            std::future::pending::<std::io::Result<()>>().await
        });
    }
}

async fn config(listener: &TcpListener) -> ZookeeperConfig {
    ZookeeperConfig {
        servers: vec![listener.local_addr().unwrap().to_string()],
        request_timeout: Duration::from_secs(20),
        ..ZookeeperConfig::default()
    }
}

#[tokio::test]
async fn nonsense_is_an_error_and_never_waited_for() {
    let mut wrong_answer = b"\0\0\0\x10".to_vec();
    wrong_answer.extend(77_i32.to_be_bytes());
    wrong_answer.extend([0; 12]);
    let rows: [(&[u8], &str); 6] = [
        (b"\x7f\xff\xff\xff", "larger than"),
        (b"\xff\xff\xff\xff", "negative length"),
        (b"\0\0\0\x02ab", "ends within a number"),
        (&wrong_answer, "belongs to no request"),
        (
            b"\0\0\0\x14\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\x7f\xff\xff\xff",
            "ends within",
        ),
        (
            b"\0\0\0\x12\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            "ends within",
        ),
    ];
    for (nonsense, words) in rows {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = config(&listener).await;
        let server = tokio::spawn(serve(listener, 1, nonsense.to_vec()));
        let registry = ZookeeperRegistry::connect(config).await.unwrap();
        let looked = timeout(Duration::from_secs(15), registry.get_service("greeter")).await;
        let error = looked.expect("an answer to nonsense").unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::TooLarge),
            "{error}"
        );
        assert!(
            error.detail().contains(words) || error.kind() == ErrorKind::TooLarge,
            "{words}: {error}"
        );
        server.abort();
    }
}

#[tokio::test]
async fn what_is_no_zookeeper_is_told_so() {
    for (greeting, words) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            "does not speak ZooKeeper's protocol",
        ),
        (b"\xff\xff\xff\xff", "does not speak ZooKeeper's protocol"),
        (b"\0\0\0\x01a", "ends within"),
        (b"", "hung up"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = config(&listener).await;
        let server = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = read_frame(&mut stream).await;
                let _ = stream.write_all(greeting).await;
            }
        });
        let error = ZookeeperRegistry::connect(config).await.unwrap_err();
        assert!(error.detail().contains(words), "{error}");
        server.abort();
    }
}

/// An answer to a request: a code, and what comes behind it.
async fn answer(stream: &mut TcpStream, request: &[u8], code: i32, body: &[u8]) -> std::io::Result<()> {
    let length = i32::try_from(16 + body.len()).unwrap();
    let mut answer = length.to_be_bytes().to_vec();
    answer.extend(&request[..4]);
    answer.extend([0; 8]);
    answer.extend(code.to_be_bytes());
    answer.extend(body);
    stream.write_all(&answer).await
}

/// The welcome to another session, or with a timeout of zero to none.
fn welcome(timeout: i32, session: u8) -> Vec<u8> {
    let mut welcome = WELCOME.to_vec();
    welcome[8..12].copy_from_slice(&timeout.to_be_bytes());
    welcome[19] = session;
    welcome
}

const CREATE: i32 = 1;
const GET_DATA: i32 = 4;
const NO_NODE: i32 = -101;

/// Serves until something is created, which is answered or not.
async fn until_created(stream: &mut TcpStream, is_answered: bool) -> std::io::Result<()> {
    loop {
        let request = read_frame(stream).await?;
        match i32::from_be_bytes(request[4..8].try_into().unwrap()) {
            CREATE if !is_answered => return Ok(()),
            CREATE => return answer(stream, &request, 0, &[0; 4]).await,
            GET_DATA => answer(stream, &request, NO_NODE, &[]).await?,
            _ => answer(stream, &request, 0, &[0; 4]).await?,
        }
    }
}

#[tokio::test]
async fn what_a_broken_connection_kept_out_of_a_new_session_is_written_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = config(&listener).await;
    let serving = async {
        // A first session, one that is over, and a new one whose connection breaks before the node is restored.
        for (timeout, session, is_answered) in [(10_000, 2, true), (0, 0, true), (10_000, 3, false)] {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_frame(&mut stream).await.unwrap();
            stream.write_all(&welcome(timeout, session)).await.unwrap();
            if timeout > 0 {
                until_created(&mut stream, is_answered).await.unwrap();
            }
        }
        let (mut stream, _) = listener.accept().await.unwrap();
        read_frame(&mut stream).await.unwrap();
        stream.write_all(&welcome(10_000, 3)).await.unwrap();
        until_created(&mut stream, true).await.unwrap();
    };
    let registering = async {
        let registry = ZookeeperRegistry::connect(config).await.unwrap();
        registry.register(&greeter("a"), LONG).await.unwrap();
        registry
    };
    let (_registry, restored) = tokio::join!(registering, timeout(PATIENCE, serving));
    restored.expect("the node is written into the new session");
}

#[tokio::test]
async fn a_server_that_does_not_take_leave_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = config(&listener).await;
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_frame(&mut stream).await.unwrap();
        stream.write_all(WELCOME).await.unwrap();
        let request = read_frame(&mut stream).await.unwrap();
        answer(&mut stream, &request, 0, &[0; 4]).await.unwrap();
        stream
    };
    let (registry, mut stream) = tokio::join!(ZookeeperRegistry::connect(config), serving);
    drop(registry.unwrap());
    let mut rest = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut rest))
        .await
        .expect("it hangs up")
        .unwrap();
    assert_eq!(
        rest,
        [0, 0, 0, 8, 0, 0, 0, 0, 255, 255, 255, 245],
        "it says goodbye"
    );
}
