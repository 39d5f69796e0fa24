//! A Kubernetes API server. Its certificates and tokens are those that `cargo xtask backends up kubernetes` made.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::process::Site;
use crate::{Kind, programs};

/// May do everything. It guards a server on loopback that has nothing to hide.
pub const TOKEN: &str = "backends-admin-token";
const PODS: &str = "/api/v1/namespaces/default/pods";

pub(crate) fn command(site: &Site<'_>) -> Result<Command> {
    let below = site.below.context("it needs an etcd")?;
    let file = |option: &str, name: &str| format!("--{option}={}", made(name).display());
    let mut command = Command::new(programs::of(Kind::Kubernetes)?);
    command
        .arg(format!("--etcd-servers=http://{below}"))
        .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
        .arg(format!("--secure-port={}", site.ports[0]))
        // An endpoint may not have a loopback address.
        .arg("--endpoint-reconciler-type=none")
        .arg(file("tls-cert-file", "tls.crt"))
        .arg(file("tls-private-key-file", "tls.key"))
        .arg(file("token-auth-file", "tokens.csv"))
        .args(["--authorization-mode=RBAC", "--anonymous-auth=false"])
        .arg("--service-account-issuer=https://kubernetes.default.svc")
        .arg(file("service-account-key-file", "sa.pub"))
        .arg(file("service-account-signing-key-file", "sa.key"))
        .arg("--service-cluster-ip-range=10.96.0.0/24")
        // Without controllers nobody makes the account that this would ask for.
        .arg("--disable-admission-plugins=ServiceAccount")
        .args(["--allow-privileged=false", "--profiling=false", "-v=0"]);
    Ok(command)
}

/// Waits for the default namespace too, which the server makes just after it is ready.
pub(crate) async fn probe(address: SocketAddr) -> Result<()> {
    request(address, "GET", "/readyz", "").await?;
    let namespace = request(address, "GET", "/api/v1/namespaces/default", "").await?;
    ensure!(
        namespace.contains("Active"),
        "its default namespace is not active yet"
    );
    Ok(())
}

/// The body of an answer over TLS, for which this borrows curl.
///
/// # Errors
///
/// When nobody answers, or with a status that is none of success.
pub async fn request(address: SocketAddr, method: &str, path: &str, body: &str) -> Result<String> {
    let mut command = Command::new("curl");
    command
        .args([
            "--fail-with-body",
            "--silent",
            "--show-error",
            "--max-time",
            "5",
            "--request",
            method,
        ])
        .arg("--cacert")
        .arg(made("ca.crt"))
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        .kill_on_drop(true);
    if !body.is_empty() {
        let kind = if method == "PATCH" {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        command.args(["--header", &format!("Content-Type: {kind}"), "--data", body]);
    }
    let output = command.arg(format!("https://{address}{path}")).output().await?;
    let [answer, problem] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    ensure!(
        output.status.success(),
        "{method} {path}: {}{answer}",
        problem.trim()
    );
    Ok(answer)
}

/// What a program needs to know to ask the server.
pub fn credentials() -> Vec<(String, String)> {
    let authority = authority().display().to_string();
    let credentials = [
        ("KUBERNETES_TOKEN", TOKEN.to_owned()),
        ("KUBERNETES_CACERT", authority),
    ];
    credentials.map(|(name, value)| (name.to_owned(), value)).into()
}

/// What it needs to register as the pod of this name.
pub fn variables(pod: &str) -> Vec<(String, String)> {
    let mut variables = credentials();
    variables.push(("HOSTNAME".to_owned(), pod.to_owned()));
    variables
}

/// Makes a pod that runs, as far as the server knows: no kubelet says otherwise.
///
/// # Errors
///
/// When there is one of this name, or the server does not answer.
pub async fn start_pod(address: SocketAddr, name: &str) -> Result<()> {
    let pod = format!(
        r#"{{ "apiVersion": "v1", "kind": "Pod", "metadata": {{ "name": "{name}" }},
             "spec": {{ "containers": [{{ "name": "node", "image": "none" }}] }} }}"#
    );
    let running = r#"{ "status": { "phase": "Running" } }"#;
    request(address, "POST", PODS, &pod).await?;
    request(address, "PATCH", &format!("{PODS}/{name}/status"), running).await?;
    Ok(())
}

/// Takes a pod away, at once, and waits for it as a destructor may: only so long that the server has heard of it.
///
/// # Errors
///
/// When the server cannot be asked.
pub fn end_pod(address: SocketAddr, name: &str) -> Result<()> {
    let mut command = std::process::Command::new("curl");
    command
        .args([
            "--silent",
            "--output",
            "/dev/null",
            "--max-time",
            "5",
            "--request",
            "DELETE",
            "--cacert",
        ])
        .arg(authority())
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        .arg(format!("https://{address}{PODS}/{name}?gracePeriodSeconds=0"));
    command.status()?;
    Ok(())
}

/// The certificate of the authority that its own is from (PEM).
pub fn authority() -> PathBuf {
    made("ca.crt")
}

fn made(name: &str) -> PathBuf {
    programs::home().join("data/kubernetes").join(name)
}
