//! The Kubernetes API server, built from source, with its state in etcd.
//!
//! No kubelet and no controller run beside it: tests make pods and set their status themselves. Its certificates and
//! tokens are made anew for each home, and lie in `serviceaccount/` as a pod would find them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::backends::home::Home;
use crate::backends::probe;
use crate::backends::site::Site;
use crate::backends::table::Backend;
use crate::steps;

const ADDRESS: &str = "127.0.0.1:6443";
/// May do everything. It guards a server on loopback that has nothing to hide.
const TOKEN: &str = "backends-admin-token";
/// May do nothing, for tests of what a service without rights is told.
const TOKEN_WITHOUT_RIGHTS: &str = "backends-user-token";

pub(in crate::backends) const BACKEND: Backend = Backend {
    name: "kubernetes",
    address: ADDRESS,
    needs: &["etcd"],
    services: &[],
    probe,
    install,
};

/// Waits for the default namespace too, which the server makes just after it is ready.
fn probe(home: &Home) -> Result<String, String> {
    let authority = home.data("kubernetes")?.join("ca.crt");
    if !authority.is_file() {
        return Err("it was never started from here, so there is no certificate to trust".to_owned());
    }
    get(&authority, "/readyz")?;
    let namespace = probe::parse_json(&get(&authority, "/api/v1/namespaces/default")?)?;
    match probe::text(&namespace, "/status/phase")?.as_str() {
        "Active" => {}
        other => return Err(format!("its default namespace is {other}")),
    }
    let version = probe::text(&probe::parse_json(&get(&authority, "/version")?)?, "/gitVersion")?;
    Ok(version.trim_start_matches('v').to_owned())
}

/// The body of an answer over TLS, for which this task borrows curl's.
fn get(authority: &Path, path: &str) -> Result<String, String> {
    if !probe::is_open(ADDRESS) {
        return Err(format!("nothing answers at {ADDRESS}"));
    }
    let mut command = Command::new("curl");
    command
        .args([
            "--fail",
            "--silent",
            "--show-error",
            "--max-time",
            "3",
            "--cacert",
        ])
        .arg(authority)
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        .arg(format!("https://{ADDRESS}{path}"));
    Ok(String::from_utf8_lossy(&steps::captured(&mut command)?).into_owned())
}

fn install(site: &Site<'_>) -> Result<Vec<Command>, String> {
    site.program("curl", &["curl"])?;
    site.program("openssl", &["openssl"])?;
    const VERSION: &str = "k8s.io/component-base/version";
    let flags =
        format!("-s -w -X {VERSION}.gitVersion=v1.34.4 -X {VERSION}.gitMajor=1 -X {VERSION}.gitMinor=34");
    let program = site.go_build("k8s.io/kubernetes/cmd/kube-apiserver", "kube-apiserver", &flags)?;
    let data = site.data()?;
    make_certificates(site, &data)?;
    let tokens = site.write(
        "tokens.csv",
        &format!("{TOKEN},admin,admin-uid,\"system:masters\"\n{TOKEN_WITHOUT_RIGHTS},nobody,nobody-uid\n"),
    )?;
    lay_out_service_account(site, &data)?;
    let file = |option: &str, path: PathBuf| format!("--{option}={}", path.display());
    let mut command = Command::new(program);
    command
        .args([
            "--etcd-servers=http://127.0.0.1:2379",
            "--etcd-prefix=/kubernetes-for-tests",
        ])
        .args([
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--secure-port=6443",
        ])
        // An endpoint may not have a loopback address.
        .arg("--endpoint-reconciler-type=none")
        .arg(file("tls-cert-file", data.join("tls.crt")))
        .arg(file("tls-private-key-file", data.join("tls.key")))
        .arg(file("token-auth-file", tokens))
        .args(["--authorization-mode=RBAC", "--anonymous-auth=false"])
        .arg("--service-account-issuer=https://kubernetes.default.svc")
        .arg(file("service-account-key-file", data.join("sa.pub")))
        .arg(file("service-account-signing-key-file", data.join("sa.key")))
        .arg("--service-cluster-ip-range=10.96.0.0/24")
        // Without controllers nobody makes the account that this would ask for.
        .arg("--disable-admission-plugins=ServiceAccount")
        .args(["--allow-privileged=false", "--profiling=false", "-v=0"]);
    Ok(vec![command])
}

fn make_certificates(site: &Site<'_>, data: &Path) -> Result<(), String> {
    if data.join("tls.crt").is_file() {
        return Ok(());
    }
    const SCRIPT: &str = "set -e; umask 077
        openssl ecparam -name prime256v1 -genkey -noout -out sa.key
        openssl ec -in sa.key -pubout -out sa.pub
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj /CN=backends \\
            -keyout ca.key -out ca.crt -addext basicConstraints=critical,CA:TRUE \\
            -addext keyUsage=critical,keyCertSign,cRLSign
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=kube-apiserver \\
            -keyout tls.key -out tls.csr
        openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -extfile tls.ext -out tls.new
        mv tls.new tls.crt";
    site.write(
        "tls.ext",
        "subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost,DNS:kubernetes.default.svc\n\
         extendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n",
    )?;
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT]).current_dir(data);
    site.run("make certificates", &mut command)
}

fn lay_out_service_account(site: &Site<'_>, data: &Path) -> Result<(), String> {
    let folder = data.join("serviceaccount");
    let copied =
        fs::create_dir_all(&folder).and_then(|()| fs::copy(data.join("ca.crt"), folder.join("ca.crt")));
    copied.map_err(|error| format!("{} cannot be written: {error}", folder.display()))?;
    site.write("serviceaccount/token", TOKEN)?;
    site.write("serviceaccount/namespace", "default")?;
    Ok(())
}
