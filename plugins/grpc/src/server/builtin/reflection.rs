//! `grpc.reflection`, in both of its versions, whose messages are the same.

mod files;
mod messages;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use micro_core::debug::Diagnostics;
use micro_core::{Body, Request, Response, Result};
use prost::Message;

use self::messages::{
    Answer, ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse, Question,
    ServerReflectionRequest, ServerReflectionResponse, ServiceResponse,
};
use super::{check_format, decode};

pub(in crate::server) use self::files::Files;

const NOT_FOUND: i32 = 5;
const INVALID_ARGUMENT: i32 = 3;

/// Answers questions one after the other, until there are no more or the service stops.
pub(super) fn answer(diagnostics: &Diagnostics, files: Arc<Files>, mut request: Request) -> Result<Response> {
    check_format(&request)?;
    let diagnostics = diagnostics.clone();
    Ok(Response::new(Body::stream(Answers {
        questions: Some(request.take_body()),
        files,
        closing: Box::pin(async move { diagnostics.closing().await }),
    })))
}

struct Answers {
    /// `None` after the end.
    questions: Option<Body>,
    files: Arc<Files>,
    closing: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Stream for Answers {
    type Item = Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let answers = self.get_mut();
        let Some(questions) = &mut answers.questions else {
            return Poll::Ready(None);
        };
        if answers.closing.as_mut().poll(context).is_ready() {
            answers.questions = None;
            return Poll::Ready(None);
        }
        let question = ready!(questions.poll_message(context));
        Poll::Ready(question.map(|question| {
            let request = decode(&question?, "ServerReflection.ServerReflectionInfo")?;
            Ok(answers.files.response(request).encode_to_vec().into())
        }))
    }
}

impl Files {
    fn response(&self, request: ServerReflectionRequest) -> ServerReflectionResponse {
        let answer = match &request.question {
            Some(question) => self.answer(question),
            None => error(INVALID_ARGUMENT, "the request asks nothing".into()),
        };
        ServerReflectionResponse {
            valid_host: request.host.clone(),
            original_request: Some(request),
            answer: Some(answer),
        }
    }

    fn answer(&self, question: &Question) -> Answer {
        match question {
            Question::FileByFilename(name) => self.files(self.named(name), "file", name),
            Question::FileContainingSymbol(symbol) => self.files(self.declaring(symbol), "symbol", symbol),
            Question::FileContainingExtension(extension) => {
                let (of, number) = (&extension.containing_type, extension.extension_number);
                self.files(
                    self.extending(of, number),
                    "extension",
                    &format!("{number} of {of}"),
                )
            }
            Question::AllExtensionNumbersOfType(name) => {
                if self.declaring(name).is_none() {
                    return error(NOT_FOUND, format!("the type {name:?} is not known here"));
                }
                Answer::AllExtensionNumbers(ExtensionNumberResponse {
                    base_type_name: name.clone(),
                    extension_number: self.extensions_of(name),
                })
            }
            Question::ListServices(_) => Answer::ListServices(ListServiceResponse {
                service: self
                    .services()
                    .map(|name| ServiceResponse {
                        name: name.to_owned(),
                    })
                    .collect(),
            }),
        }
    }

    /// A file and all that it imports, so that the caller need not ask for them.
    fn files(&self, found: Option<usize>, what: &str, name: &str) -> Answer {
        match found {
            Some(file) => Answer::FileDescriptor(FileDescriptorResponse {
                file_descriptor_proto: self.with_imports(file),
            }),
            None => error(NOT_FOUND, format!("the {what} {name:?} is not known here")),
        }
    }
}

fn error(error_code: i32, error_message: String) -> Answer {
    Answer::Error(ErrorResponse {
        error_code,
        error_message,
    })
}
