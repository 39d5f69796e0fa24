//! Reading many nodes: the requests go out together.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use micro_core::registry::ServiceRecord;

use crate::client::Client;
use crate::error::Trouble;
use crate::record::{Paths, read};

/// How many answers to wait for at once.
const AT_ONCE: usize = 64;

/// The records of one directory, with their paths.
pub(crate) async fn of_service(
    client: &Client,
    directory: String,
) -> Result<Vec<(String, ServiceRecord)>, Trouble> {
    let paths = nodes(client, directory).await?;
    records(client, paths).await
}

/// The records of all services, with their paths.
pub(crate) async fn of_all(client: &Client, paths: &Paths) -> Result<Vec<(String, ServiceRecord)>, Trouble> {
    let services = client.children(paths.root()).await?;
    let directories = services
        .into_iter()
        .map(|service| format!("{}/{service}", paths.root()));
    let directories: Vec<String> = directories.collect();
    let listed = stream::iter(directories.into_iter().map(|directory| nodes(client, directory)));
    let listed: Vec<Vec<String>> = listed.buffered(AT_ONCE).try_collect().await?;
    records(client, listed.into_iter().flatten().collect()).await
}

/// What each of these paths has now, if it is a record.
pub(crate) async fn look(
    client: &Client,
    paths: Vec<String>,
) -> Result<Vec<(String, Option<ServiceRecord>)>, Trouble> {
    let looked = stream::iter(paths.into_iter().map(|path| record(client, path)));
    looked.buffered(AT_ONCE).try_collect().await
}

async fn nodes(client: &Client, directory: String) -> Result<Vec<String>, Trouble> {
    let names = client.children(&directory).await?;
    Ok(names
        .into_iter()
        .map(|name| format!("{directory}/{name}"))
        .collect())
}

async fn records(client: &Client, paths: Vec<String>) -> Result<Vec<(String, ServiceRecord)>, Trouble> {
    let looked = look(client, paths).await?;
    let found = looked.into_iter();
    Ok(found.filter_map(|(path, record)| Some((path, record?))).collect())
}

async fn record(client: &Client, path: String) -> Result<(String, Option<ServiceRecord>), Trouble> {
    let content = client.content(&path).await?;
    let record = content.and_then(|content| read(&path, &content.data));
    Ok((path, record))
}
