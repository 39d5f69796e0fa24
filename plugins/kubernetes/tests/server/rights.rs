//! Who may do what: tokens, roles, and what is told to who lacks them.

use micro_core::ErrorKind;
use micro_core::registry::Registry;
use micro_kubernetes::{KubernetesConfig, KubernetesTls, Token};
use serde_json::{Value, json};

use crate::cluster::{Pod, account, address, ask, config, connect};
use crate::told::{LONG, found, name, record};

const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";

/// A service account with a role of its own.
struct Account {
    name: String,
    token: String,
}

impl Account {
    async fn with(rules: Value) -> Self {
        let name = format!("micro-test-{:08x}", fastrand::u32(..));
        let metadata = json!({"name": name});
        ask("POST", ACCOUNTS, Some(&json!({"metadata": metadata}))).await;
        ask(
            "POST",
            &format!("{ROLES}/roles"),
            Some(&json!({"metadata": metadata, "rules": rules})),
        )
        .await;
        let binding = json!({
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}],
        });
        ask("POST", &format!("{ROLES}/rolebindings"), Some(&binding)).await;
        let path = format!("{ACCOUNTS}/{name}/token");
        let made = ask("POST", &path, Some(&json!({"spec": {"expirationSeconds": 3600}}))).await;
        let token = made["status"]["token"].as_str().unwrap().to_owned();
        Self { name, token }
    }

    async fn remove(self) {
        for folder in [
            format!("{ROLES}/rolebindings"),
            format!("{ROLES}/roles"),
            ACCOUNTS.to_owned(),
        ] {
            ask("DELETE", &format!("{folder}/{}", self.name), None).await;
        }
    }
}

fn with(token: &str, config: KubernetesConfig) -> KubernetesConfig {
    KubernetesConfig {
        token: Token::Text(token.to_owned()),
        ..config
    }
}

/// Connects until the roles have reached the authorizer, which takes a moment.
async fn connect_soon(config: KubernetesConfig) -> micro_kubernetes::KubernetesRegistry {
    let connecting = async {
        loop {
            match connect(config.clone()).await {
                Ok(registry) => return registry,
                Err(error) if error.kind() == ErrorKind::Forbidden => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::time::timeout(crate::told::PATIENCE, connecting)
        .await
        .unwrap()
}

#[tokio::test]
async fn the_role_of_the_front_page_is_enough() {
    let account = Account::with(json!([
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "patch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]))
    .await;
    let pod = Pod::start().await;
    let mut config = with(&account.token, pod.config());
    config.endpoint_slices = Some(micro_kubernetes::EndpointSlices::default());
    let registry = connect_soon(config).await;
    let name = name();
    registry.watch(Some(&name)).await.unwrap();
    registry
        .register(&record(&name, "1", &["a"]), LONG)
        .await
        .unwrap();
    assert_eq!(found(&registry, &name).await, ["a"]);
    registry.deregister(&record(&name, "1", &["a"])).await.unwrap();
    assert!(found(&registry, &name).await.is_empty());
    account.remove().await;
}

#[tokio::test]
async fn who_may_only_read_is_told_what_to_grant() {
    let account =
        Account::with(json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}])).await;
    let pod = Pod::start().await;
    let registry = connect_soon(with(&account.token, pod.config())).await;
    let name = name();
    let error = registry
        .register(&record(&name, "1", &["a"]), LONG)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert!(
        error.detail().contains("patch on pods") && error.detail().contains(&name),
        "{error}"
    );
    let error = registry.watch(Some(&name)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert!(error.detail().contains("watch"), "{error}");
    account.remove().await;
}

#[tokio::test]
async fn who_may_do_nothing_is_refused_when_connecting() {
    let error = connect(with("backends-user-token", config(address())))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert!(
        error.detail().contains("list") && error.detail().contains("RoleBinding"),
        "{error}"
    );

    let error = connect(with("no-such-token", config(address())))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert!(
        error.detail().contains("KUBERNETES_TOKEN") && !error.detail().contains("no-such"),
        "{error}"
    );
}

#[tokio::test]
async fn a_kubeconfig_says_where_and_who() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    let (authority, token) = (account().join("ca.crt"), account().join("token"));
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\nclusters:\n- name: here\n  cluster:\n    \
         server: https://{}\n    certificate-authority: {}\nusers:\n- name: me\n  user:\n    tokenFile: {}\n\
         contexts:\n- name: here\n  context: {{cluster: here, user: me, namespace: default}}\n",
        address(),
        authority.canonicalize().unwrap().display(),
        token.canonicalize().unwrap().display(),
    );
    std::fs::write(&path, text).unwrap();
    let pod = Pod::start().await;
    let variables = |name: &str| match name {
        "KUBECONFIG" => Some(path.display().to_string()),
        "HOSTNAME" => Some(pod.name.clone()),
        _ => None,
    };
    let registry = connect(KubernetesConfig::from_addresses(&[], variables).unwrap())
        .await
        .unwrap();
    let name = name();
    registry
        .register(&record(&name, "1", &["a"]), LONG)
        .await
        .unwrap();
    assert_eq!(found(&registry, &name).await, ["a"]);
}

#[tokio::test]
async fn a_server_that_no_believed_authority_vouches_for_is_refused() {
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let mut config = config(address());
    config.tls = Some(KubernetesTls {
        authorities: other.cert.pem().into_bytes(),
        ..KubernetesTls::default()
    });
    let error = connect(config).await.unwrap_err();
    assert!(
        error.detail().contains("certificate") && error.detail().contains("6443"),
        "{error}"
    );
}
