//! Where the API server is, and who asks it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use micro_core::Result;
use micro_core::backend::{Role, ServerTls};

use crate::error::{self, KUBERNETES};
use crate::kubeconfig::Kubeconfig;
use crate::token::Token;

/// Where Kubernetes puts what a pod needs to call the API server.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// How to reach the API server, and as whom.
#[derive(Clone)]
pub struct KubernetesServer {
    /// The API server: `https://host:port`, or `http://host:port` for a `kubectl proxy`. Without a port, 443 and 80.
    pub address: String,
    /// Who is calling. Default: [`Token::None`].
    pub token: Token,
    /// Whom to believe where the server is `https`, and what to show it. Default: none.
    pub tls: Option<KubernetesTls>,
    /// The namespace of the objects that are asked for. Default: `default`.
    pub namespace: String,
    /// How long connecting may take. Default: 2 s.
    pub connect_timeout: Duration,
    /// How long a request may take, connecting included. At most a day. Default: 5 s.
    pub request_timeout: Duration,
}

/// How to speak TLS with the API server. Where a certificate says who is calling, the identity is it.
pub type KubernetesTls = ServerTls;

impl KubernetesServer {
    /// The server at an address, with neither token nor certificates.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            token: Token::None,
            tls: None,
            namespace: "default".to_owned(),
            connect_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(5),
        }
    }

    /// What the variables of the environment say, of which `variable` gives one by name, and a text of the command line
    /// if there is one.
    ///
    /// With an address, the server is there. Without one, it is the cluster's own where `KUBERNETES_SERVICE_HOST` is
    /// set, as in every pod, and else what a kubeconfig says: `KUBECONFIG`, or `~/.kube/config`. The variables
    /// `KUBERNETES_TOKEN`, `KUBERNETES_CACERT` (a file) and `KUBERNETES_NAMESPACE` count before what was found.
    ///
    /// # Errors
    ///
    /// When there is more than one address, a file cannot be read, or nothing says where the server is.
    pub fn from_addresses(
        addresses: &[String],
        variable: impl Fn(&str) -> Option<String>,
        role: Role,
    ) -> Result<Self> {
        let in_cluster = variable("KUBERNETES_SERVICE_HOST");
        let mut server = match (addresses, in_cluster) {
            ([], Some(host)) => {
                Self::in_cluster(&host, variable("KUBERNETES_SERVICE_PORT").as_deref(), role)?
            }
            ([], None) => Self::kubeconfig(&kubeconfigs(&variable, role)?, None, role)?,
            ([address], _) => Self::new(whole(address)),
            (several, _) => {
                return Err(KUBERNETES.misconfigured(
                    role,
                    format!(
                        "there is one API server, not {}{}",
                        several.join(","),
                        error::check_address(role)
                    ),
                ));
            }
        };
        if let Some(path) = variable("KUBERNETES_CACERT") {
            server.tls.get_or_insert_default().authorities = read(Path::new(&path), role)?;
        }
        if let Some(token) = variable("KUBERNETES_TOKEN") {
            server.token = Token::Text(token);
        }
        if let Some(namespace) = variable("KUBERNETES_NAMESPACE") {
            server.namespace = namespace;
        }
        server.parsed(role)?;
        Ok(server)
    }

    /// The server of the cluster that this process runs in, with the token, the authority and the namespace that
    /// Kubernetes put into the pod.
    ///
    /// # Errors
    ///
    /// When there are no such files.
    pub fn in_cluster(host: &str, port: Option<&str>, role: Role) -> Result<Self> {
        Self::in_cluster_at(Path::new(SERVICE_ACCOUNT), host, port, role)
    }

    fn in_cluster_at(folder: &Path, host: &str, port: Option<&str>, role: Role) -> Result<Self> {
        let host = match host.contains(':') {
            true => format!("[{host}]"),
            false => host.to_owned(),
        };
        let mut server = Self::new(format!("https://{host}:{}", port.unwrap_or("443")));
        server.token = Token::File(folder.join("token"));
        server.tls = Some(KubernetesTls {
            authorities: read(&folder.join("ca.crt"), role)?,
            ..KubernetesTls::default()
        });
        let namespace = read(&folder.join("namespace"), role)?;
        server.namespace = String::from_utf8_lossy(&namespace).trim().to_owned();
        Ok(server)
    }

    /// What files of `kubectl` say of a context; with `None`, of the current one. Where several files say something of
    /// the same name, the first counts.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or is none of kubectl's, the context is unknown, or it has what is not supported
    /// here: credentials by another program, or a server that is not verified.
    pub fn kubeconfig(files: &[PathBuf], context: Option<&str>, role: Role) -> Result<Self> {
        Kubeconfig::read(files, role)?.server(context)
    }

    /// Whether all of it makes sense.
    ///
    /// # Errors
    ///
    /// Says what does not, and what to write.
    pub fn check(&self, role: Role) -> Result<()> {
        self.parsed(role).map(drop)
    }

    /// The address's parts, all of the configuration checked.
    pub(crate) fn parsed(&self, role: Role) -> Result<Address> {
        let address = Address::parse(&self.address, role)?;
        if self.connect_timeout.is_zero() || self.request_timeout.is_zero() {
            return Err(KUBERNETES.misconfigured(
                role,
                "a timeout of zero lets nothing happen; give at least a millisecond",
            ));
        }
        if address.is_encrypted {
            let believed = self.tls.as_ref().filter(|tls| !tls.authorities.is_empty());
            KUBERNETES.check_encryption(role, &address.to_string(), true, believed)?;
        }
        if !address.is_encrypted && (self.tls.is_some() || self.token != Token::None) {
            return Err(KUBERNETES.misconfigured(
                role,
                format!(
                    "{address} is not encrypted, so that anybody could read the token; write https://, or leave out the \
                     token and `tls`"
                ),
            ));
        }
        check_name("namespace", &self.namespace, role)?;
        Ok(address)
    }
}

impl fmt::Debug for KubernetesServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KubernetesServer")
            .field("address", &self.address)
            .field("token", &self.token)
            .field("tls", &self.tls)
            .field("namespace", &self.namespace)
            .field("connect_timeout", &self.connect_timeout)
            .field("request_timeout", &self.request_timeout)
            .finish()
    }
}

/// Where the server is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) is_encrypted: bool,
    /// Without the brackets of IPv6.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_encrypted { "https" } else { "http" };
        write!(formatter, "{scheme}://{}", self.host_and_port())
    }
}

impl Address {
    pub(crate) fn host_and_port(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    fn parse(address: &str, role: Role) -> Result<Self> {
        let wrong = |why: &str| {
            KUBERNETES.misconfigured(
                role,
                format!("server {address:?}: {why}; write https://host:port, such as https://127.0.0.1:6443"),
            )
        };
        let uri: http::Uri = address.trim().parse().map_err(|_| wrong("it is no address"))?;
        let is_encrypted = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong("the scheme is neither http nor https")),
        };
        if uri.path() != "/" || uri.query().is_some() {
            return Err(wrong("a path is not supported"));
        }
        let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(wrong("it is no host"));
        }
        let port = match authority.as_str().len() - authority.host().len() {
            0 if is_encrypted => 443,
            0 => 80,
            _ => authority
                .port_u16()
                .filter(|port| *port != 0)
                .ok_or_else(|| wrong("the port is none"))?,
        };
        Ok(Self {
            is_encrypted,
            host: host.to_owned(),
            port,
        })
    }
}

/// An address with its scheme.
fn whole(address: &str) -> String {
    let address = address.trim();
    match address.contains("://") {
        true => address.to_owned(),
        false => format!("https://{address}"),
    }
}

/// Whether a text is a name that Kubernetes gives to most of its objects: such names stand in paths as they are.
///
/// # Errors
///
/// Names the text, and what it should be the name of.
pub fn check_name(what: &str, name: &str, role: Role) -> Result<()> {
    let is_fine =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let ends_well = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let mut bytes = name.bytes();
    if name.len() <= 253
        && name.bytes().all(is_fine)
        && ends_well(bytes.next())
        && ends_well(name.bytes().last())
    {
        return Ok(());
    }
    Err(KUBERNETES.misconfigured(
        role,
        format!("{name:?} is no name of a {what}: lower-case letters, digits, dashes and dots"),
    ))
}

/// The files of kubectl, where nobody names one.
fn kubeconfigs(variable: &impl Fn(&str) -> Option<String>, role: Role) -> Result<Vec<PathBuf>> {
    if let Some(named) = variable("KUBECONFIG") {
        return Ok(std::env::split_paths(&named).collect());
    }
    let usual = variable("HOME").map(|home| Path::new(&home).join(".kube/config"));
    match usual.filter(|path| path.is_file()) {
        Some(path) => Ok(vec![path]),
        None => Err(KUBERNETES.misconfigured(
            role,
            format!(
                "nothing says where the API server is: this is no pod (KUBERNETES_SERVICE_HOST is not set), and there is \
                 no kubeconfig (KUBECONFIG, ~/.kube/config); {}",
                error::give_address(role)
            ),
        )),
    }
}

pub(crate) fn read(path: &Path, role: Role) -> Result<Vec<u8>> {
    fs::read(path).map_err(|problem| {
        KUBERNETES.misconfigured(
            role,
            format!("the file {} cannot be read: {problem}", path.display()),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLE: Role = Role::Registry;

    fn encrypted(address: &str) -> KubernetesServer {
        KubernetesServer {
            tls: Some(KubernetesTls {
                authorities: b"pem".to_vec(),
                ..KubernetesTls::default()
            }),
            ..KubernetesServer::new(address)
        }
    }

    #[test]
    fn a_server_has_a_scheme_a_host_and_perhaps_a_port() {
        let rows = [
            ("https://10.96.0.1", "https://10.96.0.1:443"),
            (
                "https://kubernetes.default.svc:6443/",
                "https://kubernetes.default.svc:6443",
            ),
            ("https://[::1]:99", "https://[::1]:99"),
        ];
        for (address, expected) in rows {
            assert_eq!(encrypted(address).parsed(ROLE).unwrap().to_string(), expected);
        }
        let plain = KubernetesServer::new("http://127.0.0.1:8001");
        assert_eq!(plain.parsed(ROLE).unwrap().port, 8001);
        for wrong in [
            "",
            "ftp://a",
            "https://",
            "https://a:0",
            "https://a:x",
            "https://a/b",
            "https://me@a",
            "a b",
        ] {
            let error = encrypted(wrong).check(ROLE).unwrap_err();
            assert!(error.detail().contains(&format!("{wrong:?}")), "{error}");
        }
        assert_eq!(whole(" 127.0.0.1:6443"), "https://127.0.0.1:6443");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        let error = KubernetesServer::new("https://a").check(ROLE).unwrap_err();
        assert!(error.detail().contains("KUBERNETES_CACERT"), "{error}");
        let mut server = KubernetesServer::new("http://a");
        server.token = Token::Text("secret".into());
        let error = server.check(ROLE).unwrap_err();
        assert!(
            error.detail().contains("not encrypted") && !error.detail().contains("secret"),
            "{error}"
        );
        for name in ["", "Upper", "a/b", "-a", "a.", "a b"] {
            let mut server = encrypted("https://a");
            server.namespace = name.to_owned();
            let error = server.check(ROLE).unwrap_err();
            assert!(error.detail().contains("namespace"), "{name}");
        }
        let mut server = encrypted("https://a");
        server.request_timeout = Duration::ZERO;
        assert!(server.check(ROLE).is_err());
    }

    #[test]
    fn a_pod_finds_what_kubernetes_put_into_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |host, port| KubernetesServer::in_cluster_at(folder.path(), host, port, ROLE);
        let error = at("10.96.0.1", None).unwrap_err();
        assert!(error.detail().contains("ca.crt"), "{error}");
        fs::write(folder.path().join("ca.crt"), "authority").unwrap();
        fs::write(folder.path().join("namespace"), "shop\n").unwrap();
        let server = at("fd00::1", Some("6443")).unwrap();
        assert_eq!(server.parsed(ROLE).unwrap().to_string(), "https://[fd00::1]:6443");
        assert_eq!(server.namespace, "shop");
        assert_eq!(server.token, Token::File(folder.path().join("token")));
        assert_eq!(server.tls.unwrap().authorities, b"authority");
    }

    #[test]
    fn variables_say_what_no_flag_says() {
        let authority = tempfile::NamedTempFile::new().unwrap();
        fs::write(&authority, "pem").unwrap();
        let path = authority.path().display().to_string();
        let variables = |name: &str| {
            Some(match name {
                "KUBERNETES_CACERT" => path.clone(),
                "KUBERNETES_TOKEN" => "secret".into(),
                "KUBERNETES_NAMESPACE" => "shop".into(),
                _ => return None,
            })
        };
        let server = KubernetesServer::from_addresses(&["127.0.0.1:6443".into()], variables, ROLE).unwrap();
        assert_eq!(server.address, "https://127.0.0.1:6443");
        assert_eq!(server.namespace, "shop");
        assert_eq!(server.token, Token::Text("secret".into()));
        assert!(!format!("{server:?}").contains("secret"));
        let two = ["https://a".to_owned(), "https://b".to_owned()];
        assert!(KubernetesServer::from_addresses(&two, |_| None, ROLE).is_err());
    }

    #[test]
    fn who_knows_no_server_is_told_what_would_say_it() {
        let said = |role| {
            let error = KubernetesServer::from_addresses(&[], |_| None, role).unwrap_err();
            assert!(error.detail().contains("KUBECONFIG"), "{error}");
            error.detail().to_owned()
        };
        assert!(said(Role::Registry).contains("--registry_address"));
        assert!(!said(Role::Config).contains("--registry_address"));
    }
}
