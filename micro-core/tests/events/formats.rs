//! Events in several formats.

use super::*;

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Placed {
    #[prost(string, tag = "1")]
    order: String,
    #[prost(int32, tag = "2")]
    items: i32,
}

impl Payload for Placed {
    fn type_name(&self) -> &'static str {
        "Placed"
    }

    fn protobuf(&self) -> Option<&dyn ProtobufView> {
        Some(self)
    }

    fn serde(&self) -> Option<&dyn erased_serde::Serialize> {
        Some(self)
    }
}

impl Slot for Placed {
    fn type_name(&self) -> &'static str {
        "Placed"
    }

    fn protobuf(&mut self) -> Option<&mut dyn ProtobufSlot> {
        Some(self)
    }

    fn serde(
        &mut self,
        deserializer: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Option<Result<(), erased_serde::Error>> {
        Some(erased_serde::deserialize(deserializer).map(|value| *self = value))
    }
}

impl ProtobufView for Placed {
    fn encoded_len(&self) -> usize {
        prost::Message::encoded_len(self)
    }

    fn encode(&self, buffer: &mut BytesMut) {
        prost::Message::encode_raw(self, buffer);
    }
}

impl ProtobufSlot for Placed {
    fn merge(&mut self, encoding: Encoding<'_>) -> Result<(), String> {
        prost::Message::merge(self, encoding).map_err(|problem| problem.to_string())
    }
}

impl Message for Placed {}

fn speaking(content_type: micro_core::Text) -> CallOptions {
    CallOptions {
        content_type: Some(content_type),
        ..CallOptions::default()
    }
}

#[tokio::test]
async fn events_are_read_in_the_format_that_they_state() {
    let house = House::new();
    let (noted, mut events) = mpsc::channel(4096);
    let service = house
        .subscribed(subscriber("orders", move |context: Context, placed: Placed| {
            let _ = noted.try_send((context.content_type().to_owned(), placed));
            async { Ok(()) }
        }))
        .await;
    let placed = Placed {
        order: "7".into(),
        items: 3,
    };
    for (options, content_type) in [
        (CallOptions::default(), JSON),
        (speaking(JSON), JSON),
        (speaking(PROTOBUF), PROTOBUF),
    ] {
        let client = house.client().with_options(options);
        within(client.publish("orders", &placed)).await.unwrap();
        let (stated, arrived) = within(events.recv()).await.unwrap();
        assert_eq!((stated.as_str(), &arrived), (&*content_type, &placed));
    }
    // Without a statement it is protobuf, as in Go Micro.
    let bytes = prost::Message::encode_to_vec(&placed);
    within(house.broker.publish("orders", BrokerMessage::new(bytes)))
        .await
        .unwrap();
    assert_eq!(within(events.recv()).await.unwrap().1, placed);
    // And encoded by somebody else.
    let client = house.client();
    within(client.publish_encoded("orders", JSON, r#"{"order":"8"}"#))
        .await
        .unwrap();
    assert_eq!(within(events.recv()).await.unwrap().1.order, "8");
    service.stop().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_encoded_is_not_published() {
    let house = House::new();
    let client = house.client().with_options(speaking("text/x-unknown".into()));
    let error = within(client.publish_plain("orders", 7_u64)).await.unwrap_err();
    assert!(error.detail().contains("text/x-unknown"), "{error}");
    let client = house.client().with_options(speaking(PROTOBUF));
    let error = within(client.publish_plain("orders", 7_u64)).await.unwrap_err();
    assert!(error.detail().contains("orders"), "{error}");
}
