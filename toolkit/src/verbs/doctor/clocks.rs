//! Whether every node answers, and whether its clock is right.

use std::time::{Duration, UNIX_EPOCH};

use super::{Finding, Report, counted};
use crate::failure::Outcome;
use crate::network::Network;
use crate::nodes::{self, Answer, Silence, number};

/// Clocks are told in whole seconds, so that less says nothing.
const APART: u64 = 2;
/// More nodes in trouble are counted, not named.
const NAMED: usize = 5;

pub(super) async fn examine(network: &Network, report: &mut Report<'_>) -> Outcome {
    let places = nodes::places(network, None).await?;
    // Those of doctors, such as this one's, which has just gone.
    let is_service = |place: &nodes::Place| !place.service.starts_with("micro-doctor-");
    let places: Vec<_> = places.into_iter().filter(is_service).collect();
    let answers = nodes::ask_all(network, places, "Debug.Stats", "{}").await?;
    let now = UNIX_EPOCH.elapsed().unwrap_or_default();
    for finding in reachable(&answers) {
        report.tell(finding)?;
    }
    for finding in clocks(&answers, now) {
        report.tell(finding)?;
    }
    Ok(())
}

fn reachable(answers: &[Answer]) -> Vec<Finding> {
    const WHAT: &str = "nodes";
    let is_lost = |answer: &&Answer| matches!(answer.result, Err(Silence::Unreachable(_)));
    let lost: Vec<&Answer> = answers.iter().filter(is_lost).collect();
    let there = answers.len() - lost.len();
    if answers.is_empty() {
        let advice = "start one, or look elsewhere with --registry and --registry_address";
        return vec![Finding::warn(WHAT, "no nodes but the probe are known", advice)];
    }
    let mut findings = Vec::new();
    if there > 0 {
        findings.push(Finding::ok(WHAT, format!("{} answered", counted(there, "node"))));
    }
    for answer in lost.iter().take(NAMED) {
        let place = &answer.place;
        let text = format!("{} at {} did not answer", place.node.id, place.node.address);
        let advice =
            "has it died? then its record lapses soon; else check its --server_advertise and the firewall";
        findings.push(Finding::fail(WHAT, text, advice));
    }
    if lost.len() > NAMED {
        let text = format!("{} more did not answer", lost.len() - NAMED);
        findings.push(Finding::fail(WHAT, text, "`micro health` names them"));
    }
    findings
}

fn clocks(answers: &[Answer], now: Duration) -> Vec<Finding> {
    const WHAT: &str = "clocks";
    let told: Vec<(&Answer, u64)> = answers
        .iter()
        .filter_map(|answer| Some((answer, number(answer.result.as_ref().ok()?, "timestamp"))))
        .filter(|(_, timestamp)| *timestamp > 0)
        .collect();
    let mut findings: Vec<Finding> = told
        .iter()
        .map(|(answer, timestamp)| {
            (
                answer,
                timestamp.abs_diff(now.as_secs()),
                *timestamp > now.as_secs(),
            )
        })
        .filter(|(_, apart, _)| *apart > APART)
        .take(NAMED)
        .map(|(answer, apart, is_ahead)| {
            let side = if is_ahead { "ahead of" } else { "behind" };
            let text = format!("{} is {apart} s {side} this machine", answer.place.node.id);
            Finding::warn(WHAT, text, "set the clocks of both machines, such as by NTP")
        })
        .collect();
    if findings.is_empty() && !told.is_empty() {
        let text = format!("{} within {APART} s of this machine", counted(told.len(), "node"));
        findings.push(Finding::ok(WHAT, text));
    }
    findings
}

#[cfg(test)]
mod tests {
    use micro::Error;
    use micro::registry::Node;
    use serde_json::{Value, json};

    use super::super::Mark;
    use super::*;

    fn answer(id: &str, result: Result<Value, Silence>) -> Answer {
        Answer {
            place: nodes::Place {
                service: "greeter".into(),
                version: "1".into(),
                node: Node::new(id, "127.0.0.1:1"),
            },
            result,
            took: Duration::from_millis(1),
        }
    }

    fn marks(findings: &[Finding]) -> Vec<(Mark, &str)> {
        findings
            .iter()
            .map(|finding| (finding.mark, finding.text.as_str()))
            .collect()
    }

    #[test]
    fn clocks_that_are_apart_are_told_with_the_side() {
        let at = |timestamp: u64| Ok(json!({ "timestamp": timestamp.to_string() }));
        let answers = [
            answer("right", at(1001)),
            answer("early", at(1060)),
            answer("late", at(900)),
            answer("silent", Err(Silence::NoDebug)),
        ];
        let findings = clocks(&answers, Duration::from_secs(1000));
        assert_eq!(
            marks(&findings),
            [
                (Mark::Warn, "early is 60 s ahead of this machine"),
                (Mark::Warn, "late is 100 s behind this machine")
            ]
        );
        let findings = clocks(&answers[..1], Duration::from_secs(1000));
        assert_eq!(
            marks(&findings),
            [(Mark::Ok, "1 node within 2 s of this machine")]
        );
        assert!(clocks(&answers[3..], Duration::from_secs(1000)).is_empty());
    }

    #[test]
    fn only_nodes_that_nobody_answers_at_are_lost() {
        let gone = || Err(Silence::Unreachable(Error::client(503, "refused")));
        let answers = [answer("a", gone()), answer("b", Err(Silence::NoDebug))];
        assert_eq!(
            marks(&reachable(&answers)),
            [
                (Mark::Ok, "1 node answered"),
                (Mark::Fail, "a at 127.0.0.1:1 did not answer")
            ]
        );
        assert_eq!(reachable(&[])[0].mark, Mark::Warn);
    }
}
