//! Who may do what: tokens, roles, authorities, and what is told to who lacks them.

use micro_config::{ErrorKind, Source};
use micro_kubernetes_config::{KubernetesSource, KubernetesSourceConfig, ObjectKind, Token};
use serde_json::{Value, json};

use crate::cluster::{Cluster, NAMESPACE, Object};
use crate::soon::{failure, read, soon};

const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";

/// A service account with a role of its own.
struct Account {
    cluster: Cluster,
    name: String,
    token: String,
}

impl Account {
    async fn with(cluster: &Cluster, rules: Value) -> Self {
        let name = format!("micro-test-{:08x}", fastrand::u32(..));
        let metadata = json!({"name": name});
        let accounts = format!("{NAMESPACE}/serviceaccounts");
        let make = async |path: &str, object: Value| cluster.ask("POST", path, Some(&object)).await.unwrap();
        make(&accounts, json!({"metadata": metadata})).await;
        let role = json!({"metadata": metadata, "rules": rules});
        make(&format!("{ROLES}/roles"), role).await;
        let binding = json!({
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}],
        });
        make(&format!("{ROLES}/rolebindings"), binding).await;
        let wanted = json!({"spec": {"expirationSeconds": 3600}});
        let made = make(&format!("{accounts}/{name}/token"), wanted).await;
        let token = made["status"]["token"].as_str().unwrap().to_owned();
        Self {
            cluster: cluster.clone(),
            name,
            token,
        }
    }

    fn source(&self, object: &Object) -> KubernetesSource {
        let mut config = object.config(self.cluster.address);
        config.server.token = Token::Text(self.token.clone());
        KubernetesSource::new(config).unwrap()
    }

    async fn remove(self) {
        let accounts = format!("{NAMESPACE}/serviceaccounts");
        for folder in [
            format!("{ROLES}/rolebindings"),
            format!("{ROLES}/roles"),
            accounts,
        ] {
            let path = format!("{folder}/{}", self.name);
            self.cluster.ask("DELETE", &path, None).await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_role_of_the_front_page_is_enough_and_is_about_one_object() {
    let cluster = Cluster::usual();
    for kind in [ObjectKind::ConfigMap, ObjectKind::Secret] {
        let (object, other) = (cluster.object(kind), cluster.object(kind));
        object.put(&[("a", "1")]).await.unwrap();
        let resource = match kind {
            ObjectKind::ConfigMap => "configmaps",
            ObjectKind::Secret => "secrets",
        };
        let account = Account::with(
            &cluster,
            json!([{
                "apiGroups": [""],
                "resources": [resource],
                "resourceNames": [object.name],
                "verbs": ["list", "watch"],
            }]),
        )
        .await;
        let mut source = account.source(&object);
        // Roles reach the authorizer after a moment.
        let reading = async {
            while source.read().await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        soon(reading).await;
        object.put(&[("a", "2")]).await.unwrap();
        soon(source.changed()).await.unwrap();
        assert_eq!(read(&mut source).await[0].1, "\"2\"");

        let error = failure(&mut account.source(&other)).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        for part in [
            &format!("default/{}", other.name),
            &format!("resources: [{resource}]"),
            &format!("resourceNames: [{}]", other.name),
            "verbs: [list, watch]",
            "RoleBinding",
        ] {
            assert!(error.to_string().contains(part), "{part}: {error}");
        }
        account.remove().await;
        object.remove().await.unwrap();
    }
}

#[tokio::test]
async fn who_may_list_and_not_watch_is_told_so() {
    let cluster = Cluster::usual();
    let object = cluster.object(ObjectKind::ConfigMap);
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]);
    let account = Account::with(&cluster, rules).await;
    let mut source = account.source(&object);
    let refused = async {
        loop {
            let error = source.read().await.unwrap_err().to_string();
            if error.contains("cannot watch") {
                return error;
            }
        }
    };
    let error = soon(refused).await;
    assert!(error.contains("verbs: [list, watch]"), "{error}");
    account.remove().await;
}

#[tokio::test]
async fn a_wrong_token_and_a_server_that_nobody_vouches_for_are_told_without_showing_anything() {
    let cluster = Cluster::usual();
    let object = cluster.object(ObjectKind::ConfigMap);
    let with = |change: &dyn Fn(&mut KubernetesSourceConfig)| {
        let mut config = object.config(cluster.address);
        change(&mut config);
        KubernetesSource::new(config).unwrap()
    };
    let mut source = with(&|config| config.server.token = Token::Text("no-such-token".into()));
    let error = failure(&mut source).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let shown = format!("{error} {source:?}");
    assert!(
        shown.contains("KUBERNETES_TOKEN") && !shown.contains("no-such"),
        "{shown}"
    );

    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let mut source = with(&|config| {
        config.server.tls.get_or_insert_default().authorities = other.cert.pem().into_bytes();
    });
    let error = failure(&mut source).await.to_string();
    assert!(
        error.contains("certificate") && error.contains(&cluster.address.to_string()),
        "{error}"
    );
}
