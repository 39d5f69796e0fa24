//! The API server of the tests, and the pods that they make there. No kubelet runs beside it: the tests say themselves
//! that a pod runs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use micro_core::{Error, Result};
use micro_kubernetes::{KubernetesConfig, KubernetesRegistry, KubernetesTls, Token};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub(crate) const PODS: &str = "/api/v1/namespaces/default/pods";
const MERGE: &str = "application/merge-patch+json";

/// Where the server is: as `MICRO_KUBERNETES` says, or at its usual port here.
pub(crate) fn address() -> SocketAddr {
    let named = std::env::var("MICRO_KUBERNETES").unwrap_or_else(|_| "127.0.0.1:6443".to_owned());
    named
        .parse()
        .expect("MICRO_KUBERNETES is an address such as 127.0.0.1:6443")
}

/// The folder with `ca.crt` and `token`: as `MICRO_KUBERNETES_ACCOUNT` says, or where `cargo xtask backends` put it.
pub(crate) fn account() -> PathBuf {
    if let Some(named) = std::env::var_os("MICRO_KUBERNETES_ACCOUNT") {
        return named.into();
    }
    let home = std::env::var_os("MICRO_BACKENDS_HOME").filter(|value| !value.is_empty());
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/backends");
    home.map_or_else(usual, PathBuf::from)
        .join("data/kubernetes/serviceaccount")
}

fn authority() -> Vec<u8> {
    let path = account().join("ca.crt");
    std::fs::read(&path).unwrap_or_else(|problem| panic!("{}: {problem}; {NEEDED}", path.display()))
}

const NEEDED: &str = "these tests need an API server of Kubernetes: `cargo xtask backends up kubernetes` starts one, \
    MICRO_KUBERNETES names another and MICRO_KUBERNETES_ACCOUNT the folder of its ca.crt and token, and `--exclude \
    micro-kubernetes` leaves them out";

/// A configuration that reaches the server at an address, from no pod.
pub(crate) fn config(address: SocketAddr) -> KubernetesConfig {
    KubernetesConfig {
        token: Token::File(account().join("token")),
        tls: Some(KubernetesTls {
            authorities: authority(),
            ..KubernetesTls::default()
        }),
        ..KubernetesConfig::new(format!("https://{address}"))
    }
}

pub(crate) async fn connect(config: KubernetesConfig) -> Result<KubernetesRegistry> {
    let connected = KubernetesRegistry::connect(config).await;
    connected.map_err(|error: Error| error.context(NEEDED))
}

/// A pod that says that it runs. It is deleted when this is dropped.
pub(crate) struct Pod {
    pub(crate) name: String,
}

impl Pod {
    pub(crate) async fn start() -> Self {
        let pod = Self {
            name: format!("micro-test-{:016x}", fastrand::u64(..)),
        };
        let object = json!({
            "metadata": {"name": pod.name, "labels": {"micro-test": "yes"}},
            "spec": {"containers": [{"name": "none", "image": "none"}]},
        });
        ask("POST", PODS, Some(&object)).await;
        pod.set(&json!({"phase": "Running"})).await;
        pod
    }

    pub(crate) fn path(&self) -> String {
        format!("{PODS}/{}", self.name)
    }

    /// Says what a kubelet would say.
    pub(crate) async fn set(&self, status: &Value) {
        ask(
            "PATCH",
            &format!("{}/status", self.path()),
            Some(&json!({"status": status})),
        )
        .await;
    }

    pub(crate) fn config(&self) -> KubernetesConfig {
        KubernetesConfig {
            pod: self.name.clone(),
            ..config(address())
        }
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let path = format!("{}?gracePeriodSeconds=0", self.path());
        // The test's own runtime may be about to end.
        let deleting = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let deleting = async {
                tokio::time::timeout(std::time::Duration::from_secs(10), tell("DELETE", &path, None)).await
            };
            let _ = runtime.map(|runtime| runtime.block_on(deleting));
        });
        let _ = deleting.join();
    }
}

/// Asks the server for something that must succeed.
pub(crate) async fn ask(method: &str, path: &str, body: Option<&Value>) -> Value {
    let (status, answer) = tell(method, path, body).await;
    assert!(status < 300, "{method} {path}: {status} {answer}");
    answer
}

/// The status and the object of the answer.
async fn tell(method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&authority()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let encryption = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let address = address();
    let stream = TcpStream::connect(address).await;
    let stream = stream.unwrap_or_else(|problem| panic!("{address}: {problem}; {NEEDED}"));
    let name = ServerName::from(address.ip());
    let stream = TlsConnector::from(Arc::new(encryption))
        .connect(name, stream)
        .await
        .unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    let token = std::fs::read_to_string(account().join("token")).unwrap();
    let content_type = if method == "PATCH" {
        MERGE
    } else {
        "application/json"
    };
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("host", address.to_string())
        .header("authorization", format!("Bearer {}", token.trim()))
        .header("content-type", content_type)
        .body(Full::new(Bytes::from(
            body.map_or_else(String::new, Value::to_string),
        )))
        .unwrap();
    let asking = async {
        let answer = sender.send_request(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        drop(sender);
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    };
    tokio::join!(asking, async {
        let _ = connection.await;
    })
    .0
}
