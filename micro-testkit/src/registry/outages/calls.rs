//! Cases about look-ups and registrations whose server goes.

use std::time::Duration;

use micro_core::registry::RegisterOptions;
use tokio::time::{Instant, sleep};

use super::subject::OutageSubject;
use crate::registry::subject::{LONG, found, ids_of};
use crate::suite::outage::{self, WATCHED};
use crate::suite::{Ending, Outcome, ensure, soon};

pub(super) async fn look_ups_fail_in_time_and_by_address_and_work_again(subject: OutageSubject) -> Outcome {
    let record = subject.direct.record("greeter", &["a"]);
    subject.direct.register(&record).await?;
    subject.look_up_until_it_works(&record.name).await?;
    subject.proxy().await.cut().await;
    let within = subject.traits.fails_within;
    for look_up in ["get_service", "list_services"] {
        let failed = match look_up {
            "get_service" => soon(within, look_up, subject.through.get_service(&record.name)).await?,
            _ => soon(within, look_up, subject.through.list_services()).await?,
        };
        let names = if look_up == "get_service" {
            record.name.as_str()
        } else {
            ""
        };
        match failed {
            Ok(found) => {
                return Err(Ending::failed(format!("{look_up} found {found:?} at no server")));
            }
            Err(error) => subject.check(&error, names)?,
        }
    }
    subject.mend().await?;
    subject.look_up_until_it_works(&record.name).await?;
    Ok(())
}

pub(super) async fn registering_fails_in_time_and_by_name_and_works_again(subject: OutageSubject) -> Outcome {
    let record = subject.direct.record("greeter", &["a"]);
    subject.proxy().await.cut().await;
    let options = RegisterOptions { ttl: Some(LONG) };
    let within = subject.traits.fails_within;
    let failed = soon(within, "register", subject.through.register(&record, options)).await?;
    let error = failed
        .err()
        .ok_or_else(|| Ending::failed("registered at no server"))?;
    subject.check(&error, &record.name)?;
    let failed = soon(within, "deregister", subject.through.deregister(&record)).await?;
    if let Err(error) = failed {
        subject.check(&error, &record.name)?;
    }
    subject.mend().await?;
    subject.register_until_it_works(&record).await?;
    subject.direct.until_nodes(&record.name, &["a"]).await?;
    Ok(subject.through.deregister(&record).await?)
}

pub(super) async fn a_short_cut_takes_no_node_away(subject: OutageSubject) -> Outcome {
    let record = subject.direct.record("greeter", &["a"]);
    subject.register_until_it_works(&record).await?;
    subject.direct.until_nodes(&record.name, &["a"]).await?;
    let until = Instant::now() + WATCHED;
    for _ in 0..3 {
        subject.proxy().await.cut().await;
        subject.mend().await?;
        subject.register_until_it_works(&record).await?;
    }
    while Instant::now() < until {
        let nodes = ids_of(&found(subject.direct.registry(), &record.name).await?);
        ensure!(nodes.len() == 1, "a short cut took the node away");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(subject.through.deregister(&record).await?)
}

pub(super) async fn a_silent_server_is_not_waited_for_without_end(subject: OutageSubject) -> Outcome {
    let record = subject.direct.record("greeter", &["a"]);
    subject.direct.register(&record).await?;
    subject.look_up_until_it_works(&record.name).await?;
    subject.proxy().await.silence();
    let within = subject.traits.fails_within;
    let failed = soon(within, "get_service", subject.through.get_service(&record.name)).await?;
    let error = failed
        .err()
        .ok_or_else(|| Ending::failed("found at a silent server"))?;
    subject.check(&error, &record.name)?;
    let options = RegisterOptions { ttl: Some(LONG) };
    let failed = soon(within, "register", subject.through.register(&record, options)).await?;
    let error = failed
        .err()
        .ok_or_else(|| Ending::failed("registered at a silent server"))?;
    subject.check(&error, &record.name)?;
    subject.mend().await?;
    subject.look_up_until_it_works(&record.name).await?;
    Ok(())
}

pub(super) async fn nobody_there_is_told_by_address(subject: OutageSubject) -> Outcome {
    subject.proxy().await.cut().await;
    let connecting = (subject.connect_through)();
    let failed = soon(subject.traits.fails_within, "connecting", connecting).await?;
    let Err(failure) = failed else {
        return Err(Ending::failed("connected to nobody"));
    };
    outage::names_address(&failure.to_string(), subject.address)
}
