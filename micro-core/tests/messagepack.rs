//! A format that core does not know, added by a user: no message type knows of it.

use std::sync::Arc;

use bytes::Bytes;
use micro_core::client::CallOptions;
use micro_core::codec::{Codec, Envelope, Payload, Role, Slot};
use micro_core::handler::{Context, endpoint_fn};
use micro_core::registry::MemoryRegistry;
use micro_core::transport::HttpTransport;
use micro_core::transport::http::HttpConfig;
use micro_core::{Client, Error, Result, Service, Text, wire};
use micro_testkit::codec::CodecTraits;
use serde::{Deserialize, Serialize};

/// MessagePack for everything that serde can write, structs as maps.
struct MessagePack;

const MESSAGE_PACK: Text = Text::from_static("application/msgpack");

impl Codec for MessagePack {
    fn content_type(&self) -> Text {
        MESSAGE_PACK
    }

    fn encode(&self, payload: &dyn Payload, _: &Envelope<'_>) -> Result<Bytes> {
        let value = payload.serde().ok_or_else(|| no_form(payload.type_name()))?;
        let mut bytes = Vec::new();
        let mut serializer = rmp_serde::Serializer::new(&mut bytes).with_struct_map();
        erased_serde::serialize(value, &mut serializer).map_err(|problem| {
            Error::server(500, format!("cannot write {}: {problem}", payload.type_name()))
        })?;
        Ok(bytes.into())
    }

    fn decode(&self, body: Bytes, slot: &mut dyn Slot, _: Role) -> Result<()> {
        let type_name = slot.type_name();
        let mut messagepack = rmp_serde::Deserializer::from_read_ref(&body[..]);
        let mut erased = <dyn erased_serde::Deserializer<'_>>::erase(&mut messagepack);
        slot.serde(&mut erased)
            .ok_or_else(|| no_form(type_name))?
            .map_err(|problem| Error::server(400, format!("body is not a {type_name}: {problem}")))
    }
}

fn no_form(type_name: &str) -> Error {
    Error::server(415, format!("{type_name} cannot be carried as {MESSAGE_PACK}"))
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Greeting {
    text: String,
    words: Vec<String>,
    content_type: String,
}

#[tokio::test]
async fn a_format_of_the_users_own_is_spoken_over_http() {
    let registry = Arc::new(MemoryRegistry::new());
    let transport = Arc::new(HttpTransport::new(HttpConfig::default()).unwrap());
    let greeter = Service::builder("greeter")
        .registry(registry.clone())
        .transport(transport.clone())
        .address("127.0.0.1:0")
        .codec(MessagePack)
        .handler(endpoint_fn(
            "Greeter.Hello",
            |context: Context, name: String| async move {
                Ok(Greeting {
                    words: name.split(' ').map(str::to_owned).collect(),
                    text: format!("Hello {name}"),
                    content_type: context.content_type().to_owned(),
                })
            },
        ));
    let greeter = greeter.build().unwrap().start().await.unwrap();
    let client = Client::builder(registry, transport).codec(MessagePack).build();

    for content_type in [MESSAGE_PACK, micro_core::codec::JSON] {
        let options = CallOptions {
            content_type: Some(content_type.clone()),
            ..CallOptions::default()
        };
        let client = client.with_options(options);
        let greeting: Greeting = client
            .call_plain("greeter", "Greeter.Hello", "big World".to_owned())
            .await
            .unwrap();
        let wanted = Greeting {
            text: "Hello big World".into(),
            words: vec!["big".into(), "World".into()],
            content_type: content_type.to_string(),
        };
        assert_eq!(greeting, wanted, "one handler answers both formats");
    }
    assert_eq!(greeter.record().nodes[0].metadata["protocol"], wire::PROTOCOL);
    greeter.stop().await.unwrap();
}

micro_testkit::codec_conformance!(
    || MessagePack,
    CodecTraits {
        serde: true,
        ..CodecTraits::default()
    },
);
