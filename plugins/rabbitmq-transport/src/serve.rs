//! Calls at the serving end: those that run, and how one message is answered with one.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use lapin::message::Delivery;
use lapin::types::ShortString;
use micro_core::handler::CallKind;
use micro_core::wire::{END_OF_STREAM, Field, error_body, error_text, field};
use micro_core::{Error, Handler, Metadata, Result, Text};
use tokio_util::sync::CancellationToken;

use crate::config::RabbitmqTransportConfig;
use crate::head::{Head, Kind, Table};
use crate::sender::{Parcel, Sender};
use crate::serve_stream::{self, Inlet};

/// What a listener knows of its calls, across connections.
pub(crate) struct Calls {
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) max_message: usize,
    pub(crate) window: usize,
    max_calls: usize,
    running: Mutex<Running>,
    refuses: AtomicBool,
    /// Set when a closing listener has nothing left to do.
    pub(crate) closed: CancellationToken,
}

/// The calls that run. Each has a number of its own: ids are the callers', who may use one for several.
#[derive(Default)]
struct Running {
    next: u64,
    calls: HashMap<u64, Call>,
    /// The newest call of each id that its caller still waits for.
    newest: HashMap<String, u64>,
}

/// A call that runs.
struct Call {
    caller: Caller,
    cut: CancellationToken,
    /// Where messages of a stream go.
    inlet: Option<Inlet>,
}

impl Running {
    fn insert(&mut self, call: Call) -> u64 {
        let number = self.next;
        self.next += 1;
        self.newest.insert(call.caller.id.as_str().to_owned(), number);
        self.calls.insert(number, call);
        number
    }

    /// The newest call of an id.
    fn get_mut(&mut self, id: &str) -> Option<&mut Call> {
        self.calls.get_mut(self.newest.get(id)?)
    }

    fn remove(&mut self, number: u64) {
        let Some(call) = self.calls.remove(&number) else {
            return;
        };
        let id = call.caller.id.as_str();
        if self.newest.get(id) == Some(&number) {
            self.newest.remove(id);
        }
    }
}

/// Who called: where answers go.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) id: ShortString,
    reply_to: ShortString,
}

impl Caller {
    /// A message to the caller.
    pub(crate) fn parcel(&self, table: Table, kind: Kind, body: Bytes, most: usize) -> Result<Parcel> {
        Ok(Parcel {
            // The default one, which leads to the queue of the key's name.
            exchange: ShortString::default(),
            key: self.reply_to.clone(),
            properties: table.properties(&self.id, kind, most)?,
            body,
        })
    }

    /// Tells the caller that there is no answer, in words that a peer in Go reads as well.
    fn no_answer(&self, kind: Kind, why: &Error) -> Option<Parcel> {
        let mut table = Table::default();
        table.insert("Micro-Error", &error_text(why));
        self.parcel(table, kind, Bytes::new(), usize::MAX).ok()
    }
}

impl Calls {
    pub(crate) fn new(handler: Arc<dyn Handler>, config: &RabbitmqTransportConfig) -> Self {
        Self {
            handler,
            max_message: config.max_message,
            window: config.window,
            max_calls: config.max_calls,
            running: Mutex::default(),
            refuses: AtomicBool::new(false),
            closed: CancellationToken::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins with no more calls.
    pub(crate) fn refuse_more(&self) {
        self.refuses.store(true, Ordering::Release);
    }

    /// Drops a call, because its caller is gone.
    pub(crate) fn cut(&self, id: &str) {
        // It counts until its task has ended.
        let mut running = self.lock();
        if let Some(number) = running.newest.remove(id)
            && let Some(call) = running.calls.get(&number)
        {
            call.cut.cancel();
        }
    }

    /// Drops all calls. What is to be said to their callers.
    pub(crate) fn cut_all(&self) -> Vec<Parcel> {
        let mut running = self.lock();
        running.newest.clear();
        let all = std::mem::take(&mut running.calls);
        drop(running);
        let gone = Error::server(503, "the listener went away during the call");
        let waited_for = all.into_values().filter(|call| !call.cut.is_cancelled());
        let cut = waited_for.filter_map(|call| {
            call.cut.cancel();
            call.caller.no_answer(Kind::Gone, &gone)
        });
        cut.collect()
    }
}

/// What takes the messages of one connection.
#[derive(Clone)]
pub(crate) struct Serving {
    pub(crate) calls: Arc<Calls>,
    pub(crate) sender: Arc<Sender>,
}

impl Serving {
    /// Takes a message: for a call that runs, or as a call of its own, which is to be run.
    pub(crate) fn take(&self, mut delivery: Delivery) -> Option<impl Future<Output = ()> + Send + use<>> {
        let properties = &delivery.properties;
        let caller = Caller {
            id: properties.correlation_id().clone().unwrap_or_default(),
            reply_to: properties.reply_to().clone().unwrap_or_default(),
        };
        let head = Head::read(properties);
        let body = Bytes::from(std::mem::take(&mut delivery.data));
        if head.kind == Kind::Cancel {
            self.calls.cut(caller.id.as_str());
            return None;
        }
        if self.is_of_running(&caller, &head, &body) {
            return None;
        }
        // The end of a stream that is not known any more, or what no caller of a new call sends.
        let is_stray = head.error.as_deref() == Some(END_OF_STREAM) || head.kind != Kind::Message;
        if is_stray || caller.reply_to.as_str().is_empty() {
            return None;
        }
        if let Some(why) = self.why_not(&head, &body) {
            if let Some(parcel) = caller.no_answer(Kind::Refused, &why) {
                self.sender.send_soon(parcel);
            }
            return None;
        }
        let cut = CancellationToken::new();
        let (inlet, outlet) = match head.stream {
            Some(_) => {
                let (inlet, outlet) = serve_stream::inlet(self.calls.window, head.is_ours);
                (Some(inlet), Some(outlet))
            }
            None => (None, None),
        };
        let call = Call {
            caller: caller.clone(),
            cut: cut.clone(),
            inlet,
        };
        let done = Done {
            number: self.calls.lock().insert(call),
            calls: self.calls.clone(),
        };
        let serving = self.clone();
        Some(async move {
            let _until_done = done;
            let call = async {
                match outlet {
                    Some(outlet) => Box::pin(serve_stream::serve(&serving, &caller, head, outlet)).await,
                    None => serving.exchange(&caller, head, body).await,
                }
            };
            tokio::select! {
                () = cut.cancelled() => {}
                () = call => {}
            }
        })
    }

    /// Hands a message to the stream that runs for its caller, if there is one.
    fn is_of_running(&self, caller: &Caller, head: &Head, body: &Bytes) -> bool {
        let mut running = self.calls.lock();
        let Some(call) = running.get_mut(caller.id.as_str()) else {
            return false;
        };
        let Some(inlet) = &mut call.inlet else {
            // A caller in Go may use its id again, one call after the other.
            return head.kind != Kind::Message;
        };
        if body.len() > self.calls.max_message {
            inlet.fail(self.too_large(body));
        } else {
            inlet.take(head, body.clone());
        }
        true
    }

    fn why_not(&self, head: &Head, body: &Bytes) -> Option<Error> {
        if self.calls.refuses.load(Ordering::Acquire) {
            return Some(Error::server(503, "the listener is closing"));
        }
        if body.len() > self.calls.max_message && head.stream.is_none() {
            return Some(self.too_large(body));
        }
        let most = self.calls.max_calls;
        (self.calls.lock().calls.len() >= most).then(|| {
            let detail =
                format!("{most} calls run already, the limit `max_calls` of RabbitmqTransportConfig");
            Error::too_many_requests("go.micro.server", detail)
        })
    }

    fn too_large(&self, body: &Bytes) -> Error {
        let most = self.calls.max_message;
        let size = body.len();
        let detail =
            format!("the message has {size} bytes: `max_message` of RabbitmqTransportConfig allows {most}");
        Error::too_large("go.micro.server", detail)
    }

    async fn exchange(&self, caller: &Caller, head: Head, body: Bytes) {
        let (content_type, id) = (head.content_type.clone(), head.id.clone());
        let request = head.request(body.into(), CallKind::Unary);
        let answer = match self.calls.handler.handle(request).await {
            Ok(response) => match response.body.try_into_single() {
                Ok(body) if body.len() > self.calls.max_message => Err(self.too_large(&body)),
                Ok(body) => Ok((response.content_type, response.metadata, body)),
                Err(_) => Err(Error::bad_request(
                    "go.micro.server",
                    "the endpoint answers with a stream; call it as one",
                )),
            },
            Err(error) => Err(error),
        };
        let said = answer.and_then(|(said, metadata, body)| {
            let content_type = if said.is_empty() { &content_type } else { &said };
            let table = answered(content_type, &id, &metadata);
            caller.parcel(table, Kind::Message, body, self.sender.longest_head)
        });
        let parcel = said.or_else(|error| {
            let most = self.sender.longest_head;
            let mut table = answered(&content_type, &id, &Metadata::new());
            let text = table.insert_error(&error, most);
            caller.parcel(table, Kind::Message, error_body(&content_type, &text), most)
        });
        if let Ok(parcel) = parcel {
            let _ = self.sender.send(parcel).await;
        }
    }
}

/// The headers of an answer.
pub(crate) fn answered(content_type: &Text, id: &str, metadata: &Metadata) -> Table {
    let mut table = Table::default();
    for (name, value) in metadata.iter() {
        if field(name.as_bytes()) == Field::Other {
            table.insert(name, value);
        }
    }
    if !content_type.is_empty() {
        table.insert("Content-Type", content_type);
    }
    if !id.is_empty() {
        table.insert("Micro-ID", id);
    }
    table
}

/// Takes a call from those that run, when it is done or dropped.
struct Done {
    number: u64,
    calls: Arc<Calls>,
}

impl Drop for Done {
    fn drop(&mut self) {
        self.calls.lock().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Call {
        Call {
            caller: Caller {
                id: "same".into(),
                reply_to: "queue".into(),
            },
            cut: CancellationToken::new(),
            inlet: None,
        }
    }

    #[test]
    fn calls_with_one_id_all_count_and_end_each_for_itself() {
        let mut running = Running::default();
        let (first, second) = (running.insert(call()), running.insert(call()));
        assert_eq!(running.calls.len(), 2);
        running.remove(first);
        assert!(running.get_mut("same").is_some());
        running.remove(second);
        assert!(running.calls.is_empty() && running.newest.is_empty());
    }
}
