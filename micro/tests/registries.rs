//! Several registries in one flag.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, Mutex};

use micro::prelude::*;
use micro::registry::{MemoryRegistry, Node, RegisterOptions, ServiceRecord};
use micro::{ErrorKind, Registry, Settings};

/// Registries of a program's own, and what they were made from.
#[derive(Clone, Default)]
struct Lab {
    old: MemoryRegistry,
    new: MemoryRegistry,
    made: Arc<Mutex<Vec<String>>>,
}

impl Lab {
    fn plugins(&self) -> Plugins {
        let of = |name: &'static str, registry: &MemoryRegistry| {
            let (registry, made) = (registry.clone(), self.made.clone());
            move |arguments: micro::PluginArguments| {
                made.lock()
                    .unwrap()
                    .push(format!("{name} {}", arguments.addresses.join(" ")));
                let made: Result<Arc<dyn Registry>> = match arguments.addresses.first().map(String::as_str) {
                    Some("away") => Err(Error::unavailable(name, "nobody there")),
                    Some("wrong") => Err(Error::bad_request(name, "no such address")),
                    _ => Ok(Arc::new(registry.clone())),
                };
                async move { made }
            }
        };
        let plugins = Plugins::builtin().registry("old", of("old", &self.old));
        plugins.registry("new", of("new", &self.new))
    }

    fn given(&self, words: &[&str], environment: &[(&str, &str)]) -> Result<Settings, String> {
        let arguments = Arguments::new("greeter").plugins(self.plugins());
        let parsed = arguments.parse_from(words.iter().copied(), environment.iter().copied());
        parsed.map_err(|exit| {
            assert_eq!(exit.code(), 2, "{exit}");
            exit.to_string()
        })
    }

    fn made(&self) -> Vec<String> {
        let mut made = std::mem::take(&mut *self.made.lock().unwrap());
        made.sort();
        made
    }
}

fn record() -> ServiceRecord {
    ServiceRecord::new("greeter", "1").with_nodes(vec![Node::new("a", "127.0.0.1:1")])
}

async fn has(registry: &dyn Registry) -> bool {
    registry.get_service("greeter").await.is_ok()
}

#[tokio::test]
async fn several_registries_are_one() {
    let lab = Lab::default();
    let words = [
        "--registry=old, new",
        "--registry_address=new=a:1,old=b:2,new=c:3",
    ];
    let settings = lab.given(&words, &[]).unwrap();
    assert_eq!(settings.registry.name, "old,new");
    let registry = settings.connect_registry().await.unwrap();
    assert_eq!(registry.name(), "old,new");
    assert_eq!(lab.made(), ["new a:1 c:3", "old b:2"]);
    registry
        .register(&record(), RegisterOptions::default())
        .await
        .unwrap();
    assert!(has(&lab.old).await && has(&lab.new).await);
    lab.old.deregister(&record()).await.unwrap();
    assert!(has(&*registry).await);
}

#[tokio::test]
async fn the_variables_say_it_as_well() {
    let lab = Lab::default();
    let variables = [
        ("MICRO_REGISTRY", "new,memory"),
        ("MICRO_REGISTRY_ADDRESS", "new=a:1"),
    ];
    let settings = lab.given(&[], &variables).unwrap();
    let registry = settings.connect_registry().await.unwrap();
    assert_eq!(registry.name(), "new,memory");
    assert_eq!(lab.made(), ["new a:1"]);
}

#[tokio::test]
async fn one_registry_takes_addresses_with_and_without_its_name() {
    let lab = Lab::default();
    let words = ["--registry=new", "--registry_address=a:1,new=b:2,x=c"];
    let settings = lab.given(&words, &[]).unwrap();
    let registry = settings.connect_registry().await.unwrap();
    assert_eq!(registry.name(), "memory", "the registry itself");
    assert_eq!(lab.made(), ["new a:1 b:2 x=c"]);
}

#[test]
fn what_is_wrong_is_told_with_the_form_to_write() {
    let lab = Lab::default();
    for (words, environment, message) in [
        (
            vec!["--registry=old,new", "--registry_address=a:1"],
            vec![],
            "--registry_address: \"a:1\" is the address of none of old, new; with several registries say whose each \
             is, such as old=a:1 or new=a:1",
        ),
        (
            vec!["--registry=old,new"],
            vec![("MICRO_REGISTRY_ADDRESS", "memory=a:1")],
            "the variable MICRO_REGISTRY_ADDRESS: \"memory=a:1\" is the address of none of old, new",
        ),
        (
            vec!["--registry=old,pigeon"],
            vec![],
            "--registry: no registry is called \"pigeon\"; this program has: ",
        ),
        (
            vec!["--registry=old,new,old"],
            vec![],
            "--registry: old is there twice",
        ),
        (
            vec!["--registry=,"],
            vec![],
            "--registry: no registry is called \",\"",
        ),
    ] {
        let error = lab.given(&words, &environment).err().unwrap();
        assert!(error.contains(message), "{error}");
    }
}

#[tokio::test]
async fn one_that_is_away_is_not_missed_and_one_that_is_wrong_is() {
    let lab = Lab::default();
    let connect = async |addresses: &str| {
        let addresses = format!("--registry_address={addresses}");
        let settings = lab.given(&["--registry=old,new", &addresses], &[]).unwrap();
        settings
            .connect_registry()
            .await
            .map(|registry| registry.name().to_owned())
    };
    assert_eq!(connect("old=away").await.unwrap(), "old,new");
    let error = connect("old=away,new=away").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(
        error.detail(),
        "cannot connect to the registry old: nobody there; cannot connect to the registry new: nobody there"
    );
    let error = connect("new=wrong").await.unwrap_err();
    assert_eq!(
        error.detail(),
        "cannot connect to the registry new: no such address"
    );
}
