//! The API server of the tests, and the objects that they make there.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use micro_config::{Error, ErrorKind, Result};
use micro_kubernetes_config::{
    KubernetesServer, KubernetesSource, KubernetesSourceConfig, KubernetesTls, ObjectKind, Token,
};
use serde_json::{Value, json};
use tokio::process::Command;

pub(crate) const NAMESPACE: &str = "/api/v1/namespaces/default";
const NEEDED: &str = "these tests need an API server of Kubernetes: `cargo xtask backends up kubernetes` starts one, \
    MICRO_KUBERNETES names another and MICRO_KUBERNETES_ACCOUNT the folder of its ca.crt and token, and `--exclude \
    micro-kubernetes-config` leaves them out";

/// An API server, and the folder with the `ca.crt` and the `token` of somebody who may do everything there.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) address: SocketAddr,
    pub(crate) account: PathBuf,
}

impl Cluster {
    /// Where `MICRO_KUBERNETES` and `MICRO_KUBERNETES_ACCOUNT` say, or where `cargo xtask backends` put it.
    pub(crate) fn usual() -> Self {
        let address = std::env::var("MICRO_KUBERNETES").unwrap_or_else(|_| "127.0.0.1:6443".to_owned());
        Self::at(
            address
                .parse()
                .expect("MICRO_KUBERNETES is an address such as 127.0.0.1:6443"),
        )
    }

    /// One of a test's own, which has the same certificates and tokens.
    pub(crate) fn at(address: SocketAddr) -> Self {
        let home = std::env::var_os("MICRO_BACKENDS_HOME").filter(|value| !value.is_empty());
        let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/backends");
        let usual = home.map_or_else(usual, PathBuf::from);
        let named = std::env::var_os("MICRO_KUBERNETES_ACCOUNT").map(PathBuf::from);
        Self {
            address,
            account: named.unwrap_or_else(|| usual.join("data/kubernetes/serviceaccount")),
        }
    }

    /// How to reach it at an address, which may be a proxy's.
    pub(crate) fn server(&self, address: SocketAddr) -> KubernetesServer {
        let authority = self.account.join("ca.crt");
        let authorities = std::fs::read(&authority);
        let authorities =
            authorities.unwrap_or_else(|problem| panic!("{}: {problem}; {NEEDED}", authority.display()));
        KubernetesServer {
            token: Token::File(self.account.join("token")),
            tls: Some(KubernetesTls {
                authorities,
                ..KubernetesTls::default()
            }),
            ..KubernetesServer::new(format!("https://{address}"))
        }
    }

    /// Asks it for something, with curl.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let failed = |why: String| Error::new(ErrorKind::Unavailable, format!("{method} {path}: {why}"));
        let token = std::fs::read_to_string(self.account.join("token"));
        let token = token.map_err(|problem| failed(format!("{problem}; {NEEDED}")))?;
        let mut command = Command::new("curl");
        command
            .args(["--fail-with-body", "--silent", "--show-error", "--max-time", "20"])
            .args(["--request", method, "--cacert"])
            .arg(self.account.join("ca.crt"))
            .args(["--header", &format!("Authorization: Bearer {}", token.trim())])
            .kill_on_drop(true);
        if let Some(body) = body {
            // What is applied is made where it is not there yet.
            let kind = match method {
                "PATCH" => "application/apply-patch+yaml",
                _ => "application/json",
            };
            let kind = format!("Content-Type: {kind}");
            command.args(["--header", &kind, "--data", &body.to_string()]);
        }
        let output = command.arg(format!("https://{}{path}", self.address)).output();
        let output = output.await.map_err(|problem| failed(problem.to_string()))?;
        let [answer, problem] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
        match output.status.success() {
            true => Ok(serde_json::from_str(&answer).unwrap_or(Value::Null)),
            false => Err(failed(format!("{}{answer}; {NEEDED}", problem.trim()))),
        }
    }

    /// An object that is not there yet, with a name that no other test has.
    pub(crate) fn object(&self, kind: ObjectKind) -> Object {
        Object {
            cluster: self.clone(),
            kind,
            name: format!("micro-test-{:016x}", fastrand::u64(..)),
        }
    }
}

/// A ConfigMap or a Secret of a test's own.
pub(crate) struct Object {
    cluster: Cluster,
    kind: ObjectKind,
    pub(crate) name: String,
}

impl Object {
    pub(crate) fn source(&self) -> KubernetesSource {
        KubernetesSource::new(self.config(self.cluster.address)).unwrap()
    }

    pub(crate) fn config(&self, address: SocketAddr) -> KubernetesSourceConfig {
        KubernetesSourceConfig {
            kind: self.kind,
            name: self.name.clone(),
            ..KubernetesSourceConfig::new(self.cluster.server(address))
        }
    }

    /// Makes it, or changes it: these are its keys then.
    pub(crate) async fn put(&self, entries: &[(&str, &str)]) -> Result<()> {
        let kind = match self.kind {
            ObjectKind::ConfigMap => "ConfigMap",
            ObjectKind::Secret => "Secret",
        };
        let data = entries.iter().map(|&(key, value)| {
            let value = match self.kind {
                ObjectKind::ConfigMap => value.to_owned(),
                ObjectKind::Secret => BASE64_STANDARD.encode(value),
            };
            (key.to_owned(), Value::String(value))
        });
        let object = json!({
            "apiVersion": "v1",
            "kind": kind,
            "metadata": {"name": self.name},
            "data": data.collect::<serde_json::Map<_, _>>(),
        });
        let path = format!("{}?fieldManager=micro-test&force=true", self.path());
        self.cluster.ask("PATCH", &path, Some(&object)).await.map(drop)
    }

    pub(crate) async fn remove(&self) -> Result<()> {
        self.cluster.ask("DELETE", &self.path(), None).await.map(drop)
    }

    fn path(&self) -> String {
        let resource = match self.kind {
            ObjectKind::ConfigMap => "configmaps",
            ObjectKind::Secret => "secrets",
        };
        format!("{NAMESPACE}/{resource}/{}", self.name)
    }
}
