//! The live view, over sources in memory and files.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use micro_config::{Config, Document, Env, ErrorKind, Flags, Format, Memory, Result, Source, async_trait};
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);

/// A source that always says one text.
struct Text(Format, &'static str);

impl std::fmt::Display for Text {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("text")
    }
}

#[async_trait]
impl Source for Text {
    async fn read(&mut self) -> Result<Vec<Document>> {
        let extension = self.0.to_string().to_lowercase();
        Ok(vec![Document::text(format!("conf.{extension}"), self.0, self.1)])
    }
}

#[derive(Debug, Deserialize, PartialEq)]
struct Settings {
    server: Server,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Server {
    host: String,
    port: u16,
}

#[tokio::test]
async fn later_sources_win_and_tables_are_merged() {
    let config = Config::builder()
        .source(Text(Format::Toml, "[server]\nhost = \"a\"\nport = 1\n"))
        .source(Text(Format::Yaml, "server:\n  port: 2\n"))
        .source(Env::stripped("APP").variables([("APP_SERVER_PORT".to_owned(), "3".to_owned())]))
        .source(Flags::from_args(["--server-port=4"]))
        .build()
        .await
        .unwrap();
    let settings: Settings = config.scan().unwrap();
    let server = Server {
        host: "a".into(),
        port: 4,
    };
    assert_eq!(settings, Settings { server });
    assert_eq!(config.view().origin_of("server.host").unwrap().line, Some(2));
    assert_eq!(
        config.view().origin_of("server.port").unwrap().document,
        "flag --server-port"
    );
}

#[tokio::test]
async fn errors_say_the_path_the_document_and_the_line() {
    for (format, text) in [
        (Format::Toml, "[server]\nhost = \"a\"\nport = \"secret\"\n"),
        (Format::Yaml, "server:\n  host: a\n  port: secret\n"),
        (
            Format::Json,
            "{\"server\":\n {\"host\": 1,\n  \"port\": \"secret\"\n}}",
        ),
    ] {
        let config = Config::builder()
            .source(Text(format, text))
            .build()
            .await
            .unwrap();
        let error = config.scan::<Settings>().unwrap_err().to_string();
        let extension = format.to_string().to_lowercase();
        assert_eq!(
            error,
            format!("server.port: invalid type: string, expected u16 (conf.{extension} line 3)")
        );
    }
}

#[tokio::test]
async fn a_change_is_seen_by_views_live_values_and_watches() {
    let memory = Memory::from(json!({"server": {"port": 1}}));
    let config = Config::builder()
        .source(memory.clone())
        .debounce(Duration::ZERO)
        .build()
        .await
        .unwrap();
    let live = config.live::<u16>("server.port").unwrap();
    let mut watch = config.watch::<u16>("server.port");
    assert_eq!(*live.get(), 1);
    memory.set("server.host", "elsewhere");
    memory.set("server.port", 2);
    let next = timeout(SOON, watch.next()).await.unwrap();
    assert_eq!(next.unwrap().unwrap(), 2);
    assert_eq!(*live.get(), 2);
    assert_eq!(config.get::<u16>("server.port").unwrap(), 2);
    memory.set("server.port", "none");
    let next = timeout(SOON, watch.next()).await.unwrap();
    assert_eq!(next.unwrap().unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(*live.get(), 2);
    assert!(live.error().is_some());
    config.close().await;
    assert!(timeout(SOON, watch.next()).await.unwrap().is_none());
}

#[cfg(feature = "file")]
#[tokio::test]
async fn a_written_file_is_seen() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("conf.toml");
    std::fs::write(&file, "port = 1\n").unwrap();
    let config = Config::builder()
        .source(micro_config::File::new(&file))
        .build()
        .await
        .unwrap();
    let mut watch = config.watch::<u16>("port");
    std::fs::write(&file, "port = 2\n").unwrap();
    let next = timeout(SOON, watch.next()).await.unwrap();
    assert_eq!(next.unwrap().unwrap(), 2);
    std::fs::write(&file, "port = \n").unwrap();
    std::fs::write(&file, "port = 3\n").unwrap();
    let next = timeout(SOON, watch.next()).await.unwrap();
    assert_eq!(next.unwrap().unwrap(), 3);
}
