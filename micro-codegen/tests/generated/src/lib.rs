//! Code that was generated from the test protos, as a program has it.
#![deny(missing_docs, unreachable_pub, clippy::pedantic)]

micro::include_proto!("protos");

#[doc(hidden)]
pub mod stub {
    #![allow(missing_docs, clippy::pedantic)]
    use micro::codec::Message;
    use micro::handler::{StreamSender, Streaming};
    pub use micro::*;

    #[derive(Clone, Debug)]
    pub struct Client;

    pub mod client {
        #[derive(Clone, Copy, Debug)]
        pub struct Method {
            pub endpoint: &'static str,
            pub is_idempotent: bool,
        }
        impl Method {
            pub const fn new(endpoint: &'static str) -> Self {
                Self {
                    endpoint,
                    is_idempotent: false,
                }
            }
            pub const fn idempotent(self) -> Self {
                Self {
                    is_idempotent: true,
                    ..self
                }
            }
        }
        #[derive(Clone, Debug, Default)]
        pub struct CallOptions;
        #[derive(Debug)]
        pub struct ClientStream<A, B>(std::marker::PhantomData<(A, B)>);
    }
    use client::*;

    impl Client {
        pub fn with_options(&self, _: CallOptions) -> Self {
            Self
        }
        pub fn within(&self, _: &Context) -> Self {
            Self
        }
        pub async fn unary<Req: Message, Resp: Message>(&self, _: &Text, _: Method, _: &Req) -> Result<Resp> {
            Ok(Resp::default())
        }
        pub async fn server_streaming<Req: Message, Resp: Message>(
            &self,
            _: &Text,
            _: Method,
            _: &Req,
        ) -> Result<Streaming<Resp>> {
            Err(Error::internal("stub", ""))
        }
        pub fn client_streaming<Req: Message, Resp: Message>(
            &self,
            _: &Text,
            _: Method,
        ) -> Result<ClientStream<Req, Resp>> {
            Err(Error::internal("stub", ""))
        }
        pub fn bidirectional_streaming<Req: Message, Resp: Message>(
            &self,
            _: &Text,
            _: Method,
        ) -> Result<(StreamSender<Req>, Streaming<Resp>)> {
            Err(Error::internal("stub", ""))
        }
    }
}
