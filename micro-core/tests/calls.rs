//! What a client makes of deadlines, refusals and streams, with transports made for the purpose.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use futures_util::stream;
use micro_core::client::{CallOptions, ClientOptions};
use micro_core::handler::{CallKind, ConcurrencyLimit, Context, endpoint_fn, handler_fn};
use micro_core::registry::{MemoryRegistry, Node, RegisterOptions, ServiceRecord};
use micro_core::selector::{Candidate, Candidates, Criteria, Outcome, Selector};
use micro_core::service::RunningService;
use micro_core::transport::http::HttpConfig;
use micro_core::transport::{HttpTransport, Listener, MemoryTransport};
use micro_core::{
    Body, Client, Error, ErrorKind, Handler, Registry, Request, Response, Result, Service, Text, Transport,
};
use tokio::sync::Barrier;
use tokio::time::Instant;

/// Chooses from fixed nodes and remembers what it was told of them.
#[derive(Default)]
struct Notes {
    nodes: Vec<Arc<Candidate>>,
    marks: std::sync::Mutex<Vec<Outcome>>,
}

impl Notes {
    fn of(nodes: usize) -> Arc<Self> {
        let node = |number: usize| Arc::new(Candidate::new(Node::new(number.to_string(), "x:1"), ""));
        Arc::new(Self {
            nodes: (0..nodes).map(node).collect(),
            marks: std::sync::Mutex::default(),
        })
    }

    fn marks(&self) -> Vec<Outcome> {
        self.marks.lock().unwrap().clone()
    }
}

#[async_trait]
impl Selector for Notes {
    fn name(&self) -> &str {
        "notes"
    }

    async fn select(&self, _: &str, _: &Criteria) -> Result<Candidates> {
        Ok(Candidates::fixed(self.nodes.clone()))
    }

    fn mark(&self, _: &str, _: &Candidate, outcome: Outcome) {
        self.marks.lock().unwrap().push(outcome);
    }

    fn reset(&self, _: &str) {}
}

/// Answers at every node with one handler, or never even connects.
struct Wire(Option<Arc<dyn Handler>>);

#[async_trait]
impl Transport for Wire {
    fn name(&self) -> &str {
        "wire"
    }

    fn protocol(&self) -> &str {
        "mucp"
    }

    async fn dial(&self, _: &Node) -> Result<Arc<dyn Handler>> {
        match &self.0 {
            Some(handler) => Ok(handler.clone()),
            None => std::future::pending().await,
        }
    }

    async fn listen(&self, _: &str, _: Arc<dyn Handler>) -> Result<Box<dyn Listener>> {
        Err(Error::internal("wire", "nobody listens here"))
    }
}

fn wire(handler: impl Handler) -> Arc<dyn Transport> {
    Arc::new(Wire(Some(Arc::new(handler))))
}

fn client(transport: Arc<dyn Transport>, selector: &Arc<Notes>) -> Client {
    Client::builder(Arc::new(MemoryRegistry::new()), transport)
        .selector(selector.clone())
        .build()
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_deadline_has_passed_is_not_sent() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let transport = wire(handler_fn(move |_| {
        counted.fetch_add(1, SeqCst);
        async { Ok(Response::new("")) }
    }));
    let notes = Notes::of(2);
    let mut request = Request::new("a", "A.B", "");
    request.deadline = Some(Instant::now());
    let error = client(transport, &notes).request(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(
        error.is_never_started() && error.detail().contains("a A.B"),
        "{error}"
    );
    assert_eq!((sent.load(SeqCst), notes.marks().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn all_idempotent_calls_that_are_lost_with_a_node_are_repeated() {
    const MANY: usize = 500;
    let lost = Arc::new(Barrier::new(MANY));
    let arrived = AtomicUsize::new(0);
    let transport = wire(handler_fn(move |_| {
        let (lost, number) = (lost.clone(), arrived.fetch_add(1, SeqCst));
        async move {
            if number >= MANY {
                return Ok(Response::new(""));
            }
            lost.wait().await;
            Err(Error::unavailable("wire", "the node died").unanswered())
        }
    }));
    let client = client(transport, &Notes::of(2));
    let calls = (0..MANY).map(|_| {
        let mut request = Request::new("a", "A.B", "");
        request.idempotent = true;
        client.request(request)
    });
    for answer in join_all(calls).await {
        answer.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_out_beyond_measure_is_none() {
    let transport = wire(handler_fn(|request: Request| async move {
        assert!(request.deadline.is_none());
        Ok(Response::new(""))
    }));
    let client = Client::builder(Arc::new(MemoryRegistry::new()), transport)
        .selector(Notes::of(1))
        .options(ClientOptions {
            request_timeout: Duration::MAX,
            ..ClientOptions::default()
        });
    client
        .build()
        .request(Request::new("a", "A.B", ""))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn options_that_change_count_for_the_calls_that_follow() {
    let transport = wire(handler_fn(|_| std::future::pending()));
    let client = client(transport, &Notes::of(1));
    let waited = async || {
        let began = Instant::now();
        let error = client.request(Request::new("a", "A.B", "")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        began.elapsed().as_secs()
    };
    assert_eq!(waited().await, 30);
    client.clone().options().set(ClientOptions {
        request_timeout: Duration::from_secs(2),
        ..client.options().get()
    });
    assert_eq!(waited().await, 2);
}

#[tokio::test(start_paused = true)]
async fn dialling_ends_with_the_deadline_of_the_call() {
    let client = client(Arc::new(Wire(None)), &Notes::of(1)).with_options(CallOptions {
        timeout: Some(Duration::from_secs(2)),
        ..CallOptions::default()
    });
    let began = Instant::now();
    let error = client.request(Request::new("a", "A.B", "")).await.unwrap_err();
    assert!(
        error.is_never_started() && error.kind() == ErrorKind::Timeout,
        "{error}"
    );
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_alike_whether_its_node_or_this_side_sees_the_deadline_first() {
    const LIMIT: Duration = Duration::from_secs(2);
    let after = async |node_gives_up: Duration| {
        let notes = Notes::of(1);
        let transport = wire(handler_fn(move |_| async move {
            tokio::time::sleep(node_gives_up).await;
            Err(Error::timeout("go.micro.server", "not answered within the time"))
        }));
        let client = client(transport, &notes).with_options(CallOptions {
            timeout: Some(LIMIT),
            ..CallOptions::default()
        });
        let error = client.request(Request::new("a", "A.B", "")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        (error.id().to_owned(), error.is_unanswered(), notes.marks())
    };
    let this_side = ("go.micro.client".to_owned(), true, vec![Outcome::Failed]);
    for node_gives_up in [LIMIT * 2, LIMIT, LIMIT - Duration::from_millis(1)] {
        assert_eq!(after(node_gives_up).await, this_side, "{node_gives_up:?}");
    }
    // A node that has less time for something else says so itself.
    let (id, is_unanswered, _) = after(LIMIT / 2).await;
    assert_eq!((&*id, is_unanswered), ("go.micro.server", false));
}

#[tokio::test(start_paused = true)]
async fn what_this_side_refuses_says_nothing_about_the_nodes_and_is_tried_elsewhere() {
    let notes = Notes::of(2);
    let transport = wire(handler_fn(|_| async { Ok(Response::new("")) }));
    let client = Client::builder(Arc::new(MemoryRegistry::new()), transport)
        .selector(notes.clone())
        .wrap_attempt(ConcurrencyLimit::new(0))
        .build();
    let error = client.request(Request::new("a", "A.B", "")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooManyRequests, "{error}");
    let marks = notes.marks();
    assert!(marks.len() > 1, "tried again");
    assert!(
        marks.iter().all(|outcome| *outcome == Outcome::Ignored),
        "{marks:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_that_refuses_does_not_look_quick() {
    let notes = Notes::of(2);
    let transport = wire(handler_fn(|_| async {
        Err(Error::too_many_requests("a", "at its limit"))
    }));
    let mut request = Request::new("a", "A.B", "");
    request.idempotent = true;
    let error = client(transport, &notes).request(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooManyRequests, "{error}");
    assert_eq!(notes.marks(), [Outcome::Ignored; 6], "all attempts");
}

#[tokio::test(start_paused = true)]
async fn an_error_names_an_attempt_that_was_made() {
    let transport = wire(handler_fn(|_| async {
        Err(Error::client(503, "refused").never_started())
    }));
    let client = client(transport, &Notes::of(1)).with_options(CallOptions {
        timeout: Some(Duration::from_millis(1)),
        ..CallOptions::default()
    });
    let error = client.request(Request::new("a", "A.B", "")).await.unwrap_err();
    assert!(!error.detail().contains("attempt"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_judged_by_its_end() {
    let transport = wire(handler_fn(|request: Request| async move {
        let end = match request.endpoint.as_str() {
            "A.Cut" => vec![Err(Error::client(503, "cut").unanswered())],
            "A.Fail" => vec![Err(Error::server(500, "as asked"))],
            _ => vec![Ok("x".into())],
        };
        Ok(Response::new(Body::stream(stream::iter(end))))
    }));
    for (endpoint, marks) in [
        ("A.Cut", vec![Outcome::Ignored, Outcome::Failed]),
        ("A.Fail", vec![Outcome::Ignored]),
        ("A.End", vec![Outcome::Ignored]),
    ] {
        let notes = Notes::of(1);
        let mut request = Request::new("a", endpoint, "");
        request.kind = CallKind::Stream;
        let mut response = client(transport.clone(), &notes).request(request).await.unwrap();
        assert_eq!(notes.nodes[0].in_flight(), 1);
        while response.body.message().await.is_some() {}
        assert_eq!(notes.marks(), marks, "{endpoint}");
        assert_eq!(notes.nodes[0].in_flight(), 0);
        assert!(notes.nodes[0].latency().is_none());
    }
}

#[tokio::test]
async fn a_node_that_cuts_every_stream_is_put_out() {
    let (registry, transport) = (
        Arc::new(MemoryRegistry::new()),
        wire(handler_fn(|_| async {
            let cut = Err(Error::client(503, "cut").unanswered());
            Ok(Response::new(Body::stream(stream::iter([cut]))))
        })),
    );
    let node = Node::new("1", "x:1")
        .with_metadata("protocol", "mucp")
        .with_metadata("transport", "wire");
    let record = ServiceRecord::new("a", "1").with_nodes(vec![node]);
    registry
        .register(&record, RegisterOptions::default())
        .await
        .unwrap();
    let client = Client::new(registry, transport);
    let mut candidates = client.selector().select("a", &Criteria::default()).await.unwrap();
    let candidate = candidates.next().unwrap();
    for _ in 0..3 {
        assert!(candidate.is_well());
        let mut request = Request::new("a", "A.Cut", "");
        request.kind = CallKind::Stream;
        let mut response = client.request(request).await.unwrap();
        while response.body.message().await.is_some() {}
    }
    assert!(!candidate.is_well());
}

async fn serve(registry: &Arc<dyn Registry>, transport: &Arc<dyn Transport>) -> RunningService {
    let tell =
        |context: Context, name: String| async move { Ok(context.metadata().get(&name).map(str::to_owned)) };
    let reply = |mut context: Context, name: String| async move {
        context.reply_metadata().insert(name, "replied");
        Ok(())
    };
    let mut service = Service::builder("metadata")
        .registry(registry.clone())
        .transport(transport.clone())
        .address("127.0.0.1:0")
        .handler(endpoint_fn("Metadata.Tell", tell))
        .handler(endpoint_fn("Metadata.Reply", reply));
    service.options_mut().notice = Duration::from_millis(1);
    service.build().unwrap().start().await.unwrap()
}

fn json(endpoint: &'static str, name: &str) -> Request {
    let mut request = Request::new("metadata", endpoint, format!("\"{name}\"").into_bytes());
    request.content_type = Text::from_static("application/json");
    request
}

#[tokio::test]
async fn functions_reply_with_metadata() {
    let http = HttpTransport::new(HttpConfig::default()).unwrap();
    let transports: [Arc<dyn Transport>; 2] = [Arc::new(http), Arc::new(MemoryTransport::new())];
    for transport in transports {
        let registry: Arc<dyn Registry> = Arc::new(MemoryRegistry::new());
        let service = serve(&registry, &transport).await;
        let response = Client::new(registry, transport)
            .request(json("Metadata.Reply", "X-Note"))
            .await
            .unwrap();
        assert_eq!(response.metadata.get("x-note"), Some("replied"));
        service.stop().await.unwrap();
    }
}

/// Calls from within a call that carries `Tenant: outer`, and returns what the inner handler saw.
async fn inner(own: Option<&'static str>, chosen: Option<&'static str>) -> String {
    let registry: Arc<dyn Registry> = Arc::new(MemoryRegistry::new());
    let transport: Arc<dyn Transport> = Arc::new(MemoryTransport::new());
    let service = serve(&registry, &transport).await;
    let client = Client::new(registry.clone(), transport.clone());
    let relay = endpoint_fn("Relay.Call", move |context: Context, (): ()| {
        let client = client.within(&context).with_options(CallOptions {
            metadata: chosen.map(|value| ("Tenant", value)).into_iter().collect(),
            ..CallOptions::default()
        });
        async move {
            let mut request = json("Metadata.Tell", "Tenant");
            if let Some(own) = own {
                request.metadata.insert("tenant", own);
            }
            let body = client.request(request).await?.body.single().await?;
            Ok(String::from_utf8(body.to_vec()).unwrap().trim().to_owned())
        }
    });
    let relay = Service::builder("relay")
        .registry(registry)
        .transport(transport)
        .handler(relay);
    let relay = relay.build().unwrap().start().await.unwrap();
    let outer = relay.client().with_options(CallOptions {
        metadata: [("Tenant", "outer")].into(),
        ..CallOptions::default()
    });
    let seen = outer.call_plain("relay", "Relay.Call", ()).await.unwrap();
    drop((relay, service));
    seen
}

#[tokio::test]
async fn what_is_said_nearest_to_a_call_wins_over_what_it_inherits() {
    assert_eq!(inner(None, None).await, "\"outer\"");
    assert_eq!(inner(Some("request"), None).await, "\"request\"");
    assert_eq!(inner(Some("request"), Some("options")).await, "\"options\"");
}

#[tokio::test]
async fn a_service_takes_a_selector() {
    let notes = Notes::of(1);
    let service = Service::builder("a")
        .selector(notes.clone())
        .transport(wire(handler_fn(|_| async { Ok(Response::new("")) })))
        .build()
        .unwrap();
    service
        .client()
        .request(Request::new("a", "A.B", ""))
        .await
        .unwrap();
    assert_eq!(notes.marks().len(), 1);
}

#[test]
fn what_a_program_keeps_with_a_service_is_dropped_with_its_client() {
    let kept = Arc::new(());
    let builder = Service::builder("a").extension(kept.clone());
    assert!(builder.extensions().get::<Arc<()>>().is_some());
    let service = builder.build().unwrap();
    let client = service.client().clone();
    assert!(service.extensions().get::<Arc<()>>().is_some());
    drop(service);
    assert!(client.extensions().get::<Arc<()>>().is_some());
    drop(client);
    assert_eq!(Arc::strong_count(&kept), 1);
}
