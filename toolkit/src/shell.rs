//! The shell: the same verbs, one line each, over one network.

mod complete;
mod lines;
mod words;

use std::ffi::OsString;
use std::sync::Arc;

use crate::arguments::{self, Asked};
use crate::failure::{Failure, Outcome};
use crate::network::Network;
use crate::screen::Paint;
use crate::verb::{self, Place, Session};

use self::lines::Lines;

/// How the shell goes on after a line.
enum Next {
    Line,
    End,
}

/// Reads lines and does what they say, until `quit` or the end of the input. `flags` are those that the shell was
/// started with, as variables: those of a line win over them.
pub(crate) async fn run(session: &mut Session, flags: Vec<(OsString, OsString)>) -> Outcome {
    session.place = Place::Shell;
    let mut environment: Vec<(OsString, OsString)> = std::env::vars_os()
        .filter(|(name, _)| !flags.iter().any(|(flag, _)| flag == name))
        .collect();
    environment.extend(flags);
    let mut lines = Lines::open(&session.network)?;
    if lines.is_edited() {
        greet(session)?;
    }
    let mut last = Ok(());
    while let Some(line) = lines.next().await? {
        let done = if lines.is_edited() {
            tokio::select! {
                done = obey(session, &environment, &line) => done,
                // The line's verb is dropped, and the shell goes on.
                _ = tokio::signal::ctrl_c() => Ok(Next::Line),
            }
        } else {
            obey(session, &environment, &line).await
        };
        match done {
            Ok(Next::Line) => {}
            Ok(Next::End) => break,
            Err(Failure::Unread) => return Err(Failure::Unread),
            Err(failure) => {
                failure.print();
                if failure.code() != 0 && !lines.is_edited() {
                    last = Err(failure.printed());
                }
            }
        }
    }
    last
}

fn greet(session: &mut Session) -> Outcome {
    let registry = &session.network.settings().registry;
    let place = match registry.addresses.as_slice() {
        [] => registry.name.clone(),
        addresses => format!("{} at {}", registry.name, addresses.join(",")),
    };
    let screen = &mut session.screen;
    let text = format!(
        "micro {}, registry {place}. `help` lists the verbs, Tab completes, `quit` ends.",
        env!("CARGO_PKG_VERSION")
    );
    screen.line(screen.palette.paint(Paint::Quiet, text))?;
    Ok(())
}

async fn obey(session: &mut Session, environment: &[(OsString, OsString)], line: &str) -> Outcome<Next> {
    let mut words = words::split(line).map_err(Failure::usage)?;
    // Examples are pasted as they are.
    if words.first().is_some_and(|word| word == "micro") {
        words.remove(0);
    }
    match words.first().map(String::as_str) {
        None => return Ok(Next::Line),
        Some(first) if first.starts_with('#') => return Ok(Next::Line),
        Some("quit" | "exit") => return Ok(Next::End),
        Some(_) => {}
    }
    let words = words.into_iter().map(OsString::from);
    let asked = arguments::read(arguments::shell_command(), words, environment.to_vec())?;
    let Asked {
        settings,
        verb,
        words,
        has_flags,
    } = asked;
    let verb = verb::named(&verb).ok_or_else(|| Failure::usage(format!("no verb is called {verb}")))?;
    if !has_flags {
        verb.run(&words, session).await?;
        return Ok(Next::Line);
    }
    let own = std::mem::replace(&mut session.network, Arc::new(Network::new(settings)));
    let mut restored = Restored {
        session,
        own: Some(own),
    };
    verb.run(&words, restored.session).await?;
    restored.restore();
    Ok(Next::Line)
}

/// Gives the session its network back, even where the line is interrupted.
struct Restored<'a> {
    session: &'a mut Session,
    own: Option<Arc<Network>>,
}

impl Restored<'_> {
    fn restore(&mut self) {
        if let Some(own) = self.own.take() {
            self.session.network = own;
        }
    }
}

impl Drop for Restored<'_> {
    fn drop(&mut self) {
        self.restore();
    }
}
