//! A client of ZooKeeper's protocol that is independent of the one that is tested: what the tests see is what anybody
//! sees.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) struct Raw {
    stream: TcpStream,
}

/// What is at a path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) data: String,
    pub(crate) version: i32,
    /// The session whose end is the node's, 0 for none.
    pub(crate) owner: i64,
}

impl Raw {
    pub(crate) async fn connect(address: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut hello = vec![0; 12];
        hello.extend(30_000_i32.to_be_bytes());
        hello.extend([0; 8]);
        hello.extend(16_i32.to_be_bytes());
        hello.extend([0; 17]);
        send(&mut stream, &hello).await;
        receive(&mut stream).await;
        Self { stream }
    }

    /// A request and its answer: the code, and what follows.
    async fn ask(&mut self, operation: i32, body: &[u8]) -> (i32, Vec<u8>) {
        let mut request = 1_i32.to_be_bytes().to_vec();
        request.extend(operation.to_be_bytes());
        request.extend(body);
        send(&mut self.stream, &request).await;
        let answer = receive(&mut self.stream).await;
        (
            i32::from_be_bytes(answer[12..16].try_into().unwrap()),
            answer[16..].to_vec(),
        )
    }

    /// Creates a persistent node that is open to everybody, as Go Micro does.
    pub(crate) async fn create(&mut self, path: &str, data: &str) {
        let mut body = [text(path), text(data)].concat();
        body.extend(1_i32.to_be_bytes());
        body.extend(31_i32.to_be_bytes());
        body.extend([text("world"), text("anyone")].concat());
        body.extend(0_i32.to_be_bytes());
        let (code, _) = self.ask(1, &body).await;
        assert!(code == 0 || code == -110, "creating {path} failed with {code}");
    }

    pub(crate) async fn delete(&mut self, path: &str) -> i32 {
        let body = [text(path), (-1_i32).to_be_bytes().to_vec()].concat();
        self.ask(2, &body).await.0
    }

    pub(crate) async fn get(&mut self, path: &str) -> Option<Seen> {
        let (code, answer) = self.ask(4, &[text(path), vec![0]].concat()).await;
        if code == -101 {
            return None;
        }
        assert_eq!(code, 0, "reading {path}");
        let length = i32::from_be_bytes(answer[..4].try_into().unwrap());
        let (data, stat) = answer[4..].split_at(usize::try_from(length).unwrap_or(0));
        Some(Seen {
            data: String::from_utf8(data.to_vec()).unwrap(),
            version: i32::from_be_bytes(stat[32..36].try_into().unwrap()),
            owner: i64::from_be_bytes(stat[44..52].try_into().unwrap()),
        })
    }

    /// The ACL of a node: permissions, scheme and id.
    pub(crate) async fn acl(&mut self, path: &str) -> Vec<(i32, String)> {
        let (code, answer) = self.ask(6, &text(path)).await;
        assert_eq!(code, 0, "reading the ACL of {path}");
        let mut rest = &answer[..];
        let int = |rest: &mut &[u8]| {
            let (head, tail) = rest.split_at(4);
            *rest = tail;
            i32::from_be_bytes(head.try_into().unwrap())
        };
        let count = int(&mut rest);
        (0..count)
            .map(|_| {
                let permissions = int(&mut rest);
                let mut texts = Vec::new();
                for _ in 0..2 {
                    let length = usize::try_from(int(&mut rest)).unwrap();
                    let (text, tail) = rest.split_at(length);
                    rest = tail;
                    texts.push(String::from_utf8(text.to_vec()).unwrap());
                }
                (permissions, texts.join(":"))
            })
            .collect()
    }
}

async fn send(stream: &mut TcpStream, message: &[u8]) {
    let length = i32::try_from(message.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length, message].concat()).await.unwrap();
}

async fn receive(stream: &mut TcpStream) -> Vec<u8> {
    let length = stream.read_i32().await.unwrap();
    let mut message = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut message).await.unwrap();
    message
}

fn text(text: &str) -> Vec<u8> {
    let mut written = i32::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    written.extend(text.as_bytes());
    written
}
