//! The files in which kubectl keeps clusters, users and contexts.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use micro_core::Result;
use micro_core::backend::Role;
use micro_core::transport::http::Identity;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::config::{KubernetesServer, KubernetesTls, read};
use crate::error::KUBERNETES;
use crate::token::Token;

/// One or more files, as if they were one: what comes first counts.
pub(crate) struct Kubeconfig {
    files: Vec<(PathBuf, File)>,
    role: Role,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct File {
    current_context: Option<String>,
    clusters: Option<Vec<NamedCluster>>,
    users: Option<Vec<NamedUser>>,
    contexts: Option<Vec<NamedContext>>,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    tls_server_name: Option<String>,
    insecure_skip_tls_verify: bool,
    proxy_url: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    user: Option<User>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct User {
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    username: Option<IgnoredAny>,
    exec: Option<IgnoredAny>,
    auth_provider: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Context {
    cluster: String,
    user: String,
    namespace: Option<String>,
}

impl Kubeconfig {
    pub(crate) fn read(paths: &[PathBuf], role: Role) -> Result<Self> {
        let mut files = Vec::new();
        for path in paths.iter().filter(|path| !path.as_os_str().is_empty()) {
            files.push((path.clone(), parse(&read(path, role)?, path, role)?));
        }
        Ok(Self { files, role })
    }

    pub(crate) fn server(&self, context: Option<&str>) -> Result<KubernetesServer> {
        let mut currents = self
            .files
            .iter()
            .filter_map(|(_, file)| file.current_context.as_deref());
        let Some(name) = context.or_else(|| currents.find(|name| !name.is_empty())) else {
            return Err(self.wrong("there is no current context; `kubectl config use-context` sets it"));
        };
        let context = self.find(|file| {
            let contexts = file.contexts.iter().flatten();
            contexts
                .filter(|context| context.name == name)
                .map(|named| &named.context)
                .next()
        });
        let (_, context) = context.ok_or_else(|| self.wrong(&format!("there is no context {name:?}")))?;
        let cluster = self.find(|file| {
            let clusters = file.clusters.iter().flatten();
            clusters
                .filter(|named| named.name == context.cluster)
                .map(|named| &named.cluster)
                .next()
        });
        let (path, cluster) =
            cluster.ok_or_else(|| self.wrong(&format!("there is no cluster {:?}", context.cluster)))?;
        let user = self.find(|file| {
            let users = file.users.iter().flatten();
            users
                .filter(|named| named.name == context.user)
                .map(|named| &named.user)
                .next()
        });
        let mut server = KubernetesServer::new(&cluster.server);
        server.tls = cluster.tls(path, name, self.role)?;
        if let Some(namespace) = context.namespace.as_ref().filter(|name| !name.is_empty()) {
            server.namespace.clone_from(namespace);
        }
        match user {
            Some((path, Some(user))) => user.apply(path, &context.user, &mut server, self.role)?,
            Some((_, None)) => {}
            None if context.user.is_empty() => {}
            None => return Err(self.wrong(&format!("there is no user {:?}", context.user))),
        }
        Ok(server)
    }

    /// The first of something, and the file that has it.
    fn find<'a, T>(&'a self, of: impl Fn(&'a File) -> Option<T>) -> Option<(&'a Path, T)> {
        let mut found = self
            .files
            .iter()
            .filter_map(|(path, file)| Some((path.as_path(), of(file)?)));
        found.next()
    }

    fn wrong(&self, why: &str) -> micro_core::Error {
        let paths: Vec<String> = self
            .files
            .iter()
            .map(|(path, _)| path.display().to_string())
            .collect();
        KUBERNETES.misconfigured(self.role, format!("kubeconfig {}: {why}", paths.join(", ")))
    }
}

impl Cluster {
    fn tls(&self, path: &Path, context: &str, role: Role) -> Result<Option<KubernetesTls>> {
        let unsupported = |what: &str| {
            KUBERNETES.misconfigured(
                role,
                format!(
                    "kubeconfig {}: the cluster of context {context:?} has {what}, which is not supported here",
                    path.display()
                ),
            )
        };
        if self.proxy_url.is_some() {
            return Err(unsupported("a `proxy-url`"));
        }
        if self.insecure_skip_tls_verify {
            return Err(unsupported(
                "`insecure-skip-tls-verify` instead of an authority to believe",
            ));
        }
        let authorities = content(
            &self.certificate_authority_data,
            &self.certificate_authority,
            path,
            "certificate-authority-data",
            role,
        )?;
        Ok(authorities.map(|authorities| KubernetesTls {
            authorities,
            identity: None,
            server_name: self.tls_server_name.clone(),
        }))
    }
}

impl User {
    fn apply(&self, path: &Path, name: &str, server: &mut KubernetesServer, role: Role) -> Result<()> {
        let certificates = content(
            &self.client_certificate_data,
            &self.client_certificate,
            path,
            "client-certificate-data",
            role,
        )?;
        let key = content(
            &self.client_key_data,
            &self.client_key,
            path,
            "client-key-data",
            role,
        )?;
        let wrong = |why: &str| {
            Err(KUBERNETES.misconfigured(
                role,
                format!("kubeconfig {}: the user {name:?} {why}", path.display()),
            ))
        };
        match (certificates, key, &mut server.tls) {
            (Some(certificates), Some(key), Some(tls)) => tls.identity = Some(Identity { certificates, key }),
            (Some(_), Some(_), None) | (None, None, _) => {}
            _ => return wrong("has a certificate without a key, or a key without a certificate"),
        }
        server.token = match (&self.token, &self.token_file) {
            (_, Some(file)) => Token::File(beside(path, file)),
            (Some(token), None) => Token::Text(token.clone()),
            (None, None) => Token::None,
        };
        let says_who =
            server.token != Token::None || server.tls.as_ref().is_some_and(|tls| tls.identity.is_some());
        if !says_who && (self.exec.is_some() || self.auth_provider.is_some()) {
            return wrong(
                "has credentials that another program gives (`exec`), which is not supported here; give a token, as \
                 `kubectl create token` makes it, in KUBERNETES_TOKEN",
            );
        }
        if !says_who && self.username.is_some() {
            return wrong("has a password, which Kubernetes no longer takes; give a token or a certificate");
        }
        Ok(())
    }
}

/// What a field has, or the file that another field names.
fn content(
    data: &Option<String>,
    file: &Option<PathBuf>,
    path: &Path,
    what: &str,
    role: Role,
) -> Result<Option<Vec<u8>>> {
    if let Some(data) = data {
        let data: String = data.split_ascii_whitespace().collect();
        let decoded = BASE64_STANDARD.decode(data).map_err(|problem| {
            KUBERNETES.misconfigured(
                role,
                format!("kubeconfig {}: {what} is no base64: {problem}", path.display()),
            )
        });
        return decoded.map(Some);
    }
    file.as_ref()
        .map(|file| read(&beside(path, file), role))
        .transpose()
}

/// Files are named from where the kubeconfig is.
fn beside(path: &Path, file: &Path) -> PathBuf {
    path.parent()
        .map_or_else(|| file.to_owned(), |folder| folder.join(file))
}

fn parse(bytes: &[u8], path: &Path, role: Role) -> Result<File> {
    // The reason may quote what stands there, such as a token.
    serde_saphyr::from_slice(bytes).map_err(|problem| {
        let place = problem.location().map_or_else(String::new, |place| {
            format!(" at line {}, column {}", place.line(), place.column())
        });
        KUBERNETES.misconfigured(role, format!(
            "kubeconfig {}: it is no kubeconfig; see{place}, or what `kubectl --kubeconfig … config view` says",
            path.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const WHOLE: &str = "
apiVersion: v1
kind: Config
current-context: at-home
preferences: {}
clusters:
- name: home
  cluster:
    server: https://127.0.0.1:6443
    certificate-authority: ca.crt
    tls-server-name: kubernetes
- name: away
  cluster: {server: 'https://192.0.2.1', certificate-authority-data: cGVt}
users:
- name: me
  user:
    tokenFile: token
- name: certified
  user: {client-certificate-data: Y2VydA==, client-key-data: a2V5}
- name: cloud
  user:
    exec: {apiVersion: client.authentication.k8s.io/v1, command: cloud-login}
contexts:
- name: at-home
  context: {cluster: home, user: me, namespace: shop}
- name: certified
  context: {cluster: away, user: certified}
- name: cloud
  context: {cluster: away, user: cloud}
- name: lost
  context: {cluster: nowhere, user: me}
";

    fn kubeconfig(files: &[PathBuf], context: Option<&str>) -> Result<KubernetesServer> {
        KubernetesServer::kubeconfig(files, context, Role::Registry)
    }

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        fs::write(&path, text).unwrap();
        fs::write(folder.path().join("ca.crt"), "authority").unwrap();
        (folder, path)
    }

    #[test]
    fn the_current_context_says_where_and_who() {
        let (folder, path) = written(WHOLE);
        let server = kubeconfig(std::slice::from_ref(&path), None).unwrap();
        assert_eq!(server.address, "https://127.0.0.1:6443");
        assert_eq!(server.namespace, "shop");
        assert_eq!(server.token, Token::File(folder.path().join("token")));
        let tls = server.tls.unwrap();
        assert_eq!(
            (tls.authorities.as_slice(), tls.server_name.as_deref()),
            (&b"authority"[..], Some("kubernetes"))
        );

        let server = kubeconfig(&[path], Some("certified")).unwrap();
        let identity = server.tls.unwrap().identity.unwrap();
        assert_eq!(
            (identity.certificates, identity.key),
            (b"cert".to_vec(), b"key".to_vec())
        );
        assert_eq!(
            (server.namespace.as_str(), server.token),
            ("default", Token::None)
        );
    }

    #[test]
    fn of_several_files_the_first_to_say_something_counts() {
        let (_one, first) =
            written("{\"contexts\": [{\"name\": \"at-home\", \"context\": {\"cluster\": \"away\"}}]}");
        let (_two, second) = written(WHOLE);
        let server = kubeconfig(&[first, second], None).unwrap();
        assert_eq!(server.address, "https://192.0.2.1");
    }

    #[test]
    fn what_is_missing_or_not_supported_is_said() {
        let (_folder, path) = written(WHOLE);
        for (context, said) in [
            ("cloud", "kubectl create token"),
            ("lost", "nowhere"),
            ("none", "\"none\""),
        ] {
            let error = kubeconfig(std::slice::from_ref(&path), Some(context)).unwrap_err();
            assert!(
                error.detail().contains(said) && error.detail().contains("config"),
                "{error}"
            );
        }
        let (_folder, path) = written("clusters: secret");
        let error = kubeconfig(&[path], None).unwrap_err();
        assert!(
            error.detail().contains("line 1") && !error.detail().contains("secret"),
            "{error}"
        );
        let (_folder, path) = written("a: *b");
        assert!(kubeconfig(&[path], None).is_err());
        let (_folder, path) = written("");
        assert!(kubeconfig(&[path], None).is_err());
        assert!(kubeconfig(&["/nonexistent/config".into()], None).is_err());
    }
}
