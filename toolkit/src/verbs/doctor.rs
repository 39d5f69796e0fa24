//! `micro doctor`: whether services can find and reach each other from here, and what to do where not.

mod clocks;
mod events;
mod probe;

use std::time::Instant;

use async_trait::async_trait;
use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use super::output::Output;
use crate::failure::{Code, Failure, Outcome};
use crate::json;
use crate::network::Network;
use crate::quantity;
use crate::screen::{Paint, Screen, harmless};
use crate::verb::{Session, Verb};

pub(crate) struct Doctor;

/// What one examination found.
struct Finding {
    mark: Mark,
    /// What was examined.
    what: &'static str,
    text: String,
    /// What to do about it.
    advice: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Ok,
    Warn,
    Fail,
}

impl Finding {
    fn ok(what: &'static str, text: impl Into<String>) -> Self {
        Self {
            mark: Mark::Ok,
            what,
            text: text.into(),
            advice: None,
        }
    }

    fn warn(what: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            mark: Mark::Warn,
            advice: Some(advice.into()),
            ..Self::ok(what, text)
        }
    }

    fn fail(what: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            mark: Mark::Fail,
            ..Self::warn(what, text, advice)
        }
    }
}

#[async_trait(?Send)]
impl Verb for Doctor {
    fn command(&self) -> Command {
        Command::new("doctor")
            .about("Tells whether services can find and reach each other from here, and what to do")
            .arg(Output::text_or_json())
            .after_help(
                "Registers a service of its own for a moment, finds it over a second connection and calls it; sends \
                 an event from one connection to another; then asks every node whether it answers and what time it has. Ends with 1 if something fails.\n\n\
                 Examples:\n  micro doctor\n  micro doctor --registry_address=eth0 --server_address=10.0.0.7:0",
            )
    }

    async fn run(&self, words: &ArgMatches, session: &mut Session) -> Outcome {
        let network = session.network.clone();
        let mut report = Report {
            screen: &mut session.screen,
            is_json: Output::of(words) == Output::Json,
            found: Vec::new(),
            is_ill: false,
        };
        examine(&network, &mut report).await?;
        report.finish()
    }
}

async fn examine(network: &Network, report: &mut Report<'_>) -> Outcome {
    report.tell(settings(network))?;
    let reachable = registry(network).await;
    let is_reachable = reachable.mark != Mark::Fail;
    report.tell(reachable)?;
    if !is_reachable {
        // Nothing of the rest could be found out.
        return Ok(());
    }
    probe::examine(network, report).await?;
    events::examine(network, report).await?;
    clocks::examine(network, report).await
}

fn settings(network: &Network) -> Finding {
    let settings = network.settings();
    let place = |addresses: &[String]| match addresses {
        [] => String::new(),
        addresses => format!(" at {}", addresses.join(",")),
    };
    let encryption = if settings.tls.certificate.is_some() || settings.tls.authorities.is_some() {
        ", encrypted"
    } else {
        ""
    };
    Finding::ok(
        "settings",
        format!(
            "registry {}{}, transport {}{encryption}, broker {}{}, calls may take {:?}",
            settings.registry.name,
            place(&settings.registry.addresses),
            settings.transport.name,
            settings.broker.name,
            place(&settings.broker.addresses),
            network.patience()
        ),
    )
}

async fn registry(network: &Network) -> Finding {
    const WHAT: &str = "registry";
    let name = &network.settings().registry.name;
    let began = Instant::now();
    match network.services().await {
        Ok(records) => {
            let took = began.elapsed();
            let mut names: Vec<&str> = records.iter().map(|record| record.name.as_str()).collect();
            names.dedup();
            let text = format!(
                "{name} listed {} in {}",
                counted(names.len(), "service"),
                quantity::moment(took)
            );
            if took.as_secs() >= 2 {
                return Finding::warn(
                    WHAT,
                    text,
                    "every cold start waits as long; is the registry busy or far away?",
                );
            }
            Finding::ok(WHAT, text)
        }
        Err(failure) => Finding::fail(
            WHAT,
            format!("{name}: {}", failure.summary()),
            "check --registry and --registry_address, and whether the registry runs and can be reached",
        ),
    }
}

fn counted(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

/// What is printed of the findings, one by one.
struct Report<'a> {
    screen: &'a mut Screen,
    is_json: bool,
    found: Vec<Value>,
    is_ill: bool,
}

impl Report<'_> {
    fn tell(&mut self, finding: Finding) -> Outcome {
        let (mark, paint) = match finding.mark {
            Mark::Ok => ("ok", Paint::Good),
            Mark::Warn => ("warn", Paint::Doubtful),
            Mark::Fail => ("fail", Paint::Bad),
        };
        self.is_ill |= finding.mark == Mark::Fail;
        if self.is_json {
            self.found.push(json!({
                "mark": mark,
                "what": finding.what,
                "text": finding.text,
                "advice": finding.advice,
            }));
            return Ok(());
        }
        let palette = self.screen.palette;
        let mark = palette.paint(paint, format!("{mark:<4}"));
        self.screen.line(format!(
            "{mark}  {:<9}  {}",
            finding.what,
            harmless(&finding.text)
        ))?;
        if let Some(advice) = finding.advice {
            self.screen.line(format!("{:17}→ {}", "", harmless(&advice)))?;
        }
        Ok(())
    }

    fn finish(self) -> Outcome {
        if self.is_json {
            let text = Value::from(self.found).to_string();
            self.screen.line(json::indented(&text, self.screen.palette))?;
        }
        if self.is_ill {
            return Err(Failure::Shown(Code::Failed));
        }
        Ok(())
    }
}
