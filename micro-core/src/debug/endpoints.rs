//! `Debug.*` as endpoints.

use super::{
    Diagnostics, HealthRequest, HealthResponse, LogRequest, Record, StatsRequest, StatsResponse,
    TraceRequest, TraceResponse,
};
use crate::Result;
use crate::codec::Codecs;
use crate::handler::{
    Context, Endpoint, IntoEndpoints, ServerStreaming, StreamSender, Unary, server_streaming, unary,
};

impl IntoEndpoints for Diagnostics {
    /// `Debug.Health`, `Debug.Stats`, `Debug.Log` and `Debug.Trace`, which the registry does not list.
    fn into_endpoints(self, codecs: &Codecs) -> Vec<Endpoint> {
        let endpoints = [
            unary::<HealthRequest, HealthResponse>("Debug.Health", codecs, self.clone()),
            unary::<StatsRequest, StatsResponse>("Debug.Stats", codecs, self.clone()),
            server_streaming::<LogRequest, Record>("Debug.Log", codecs, self.clone()),
            unary::<TraceRequest, TraceResponse>("Debug.Trace", codecs, self),
        ];
        endpoints.into_iter().map(Endpoint::internal).collect()
    }
}

impl Unary<HealthRequest, HealthResponse> for Diagnostics {
    async fn call(&self, _: &mut Context, _: HealthRequest) -> Result<HealthResponse> {
        let status = self.readiness().status().to_owned();
        Ok(HealthResponse { status })
    }
}

impl Unary<StatsRequest, StatsResponse> for Diagnostics {
    async fn call(&self, _: &mut Context, _: StatsRequest) -> Result<StatsResponse> {
        Ok(self.stats())
    }
}

impl Unary<TraceRequest, TraceResponse> for Diagnostics {
    async fn call(&self, _: &mut Context, request: TraceRequest) -> Result<TraceResponse> {
        let spans = self.spans(&request.id);
        Ok(TraceResponse { spans })
    }
}

impl ServerStreaming<LogRequest, Record> for Diagnostics {
    async fn call(&self, _: &mut Context, request: LogRequest, replies: StreamSender<Record>) -> Result<()> {
        let count = match usize::try_from(request.count) {
            Ok(count @ 1..) => count,
            _ => usize::MAX,
        };
        if request.stream {
            return self.follow(count, request.since, &replies).await;
        }
        for record in self.0.log.recent(count, request.since) {
            replies.send(record).await?;
        }
        Ok(())
    }
}

impl Diagnostics {
    /// Sends lines until the reader leaves, which drops this, or the service stops.
    async fn follow(&self, count: usize, since: i64, replies: &StreamSender<Record>) -> Result<()> {
        let mut reader = self.0.log.reader(count, since);
        let send = async {
            loop {
                let lines = reader.wait().await;
                if lines.lost > 0 {
                    replies.send(lost(lines.lost)).await?;
                }
                for record in lines.records {
                    replies.send(Record::clone(&record)).await?;
                }
            }
        };
        tokio::select! {
            ended = send => ended,
            () = replies.closed() => Ok(()),
            () = self.0.closing.cancelled() => Ok(()),
        }
    }
}

fn lost(lines: u64) -> Record {
    let metadata = [("level", "warn".to_owned()), ("lost", lines.to_string())];
    Record {
        timestamp: i64::try_from(super::seconds(std::time::SystemTime::now())).unwrap_or(i64::MAX),
        metadata: metadata.map(|(name, value)| (name.to_owned(), value)).into(),
        message: format!("{lines} lines were lost here: they came faster than they were read"),
    }
}
