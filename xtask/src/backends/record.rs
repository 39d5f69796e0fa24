//! The record of what was started for a server, so that exactly that can be stopped.

use std::fs;
use std::io::ErrorKind;

use super::home::Home;
use super::process::Process;

/// What was started for one server.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// In the order of their start.
    pub(super) processes: Vec<Process>,
    /// Services of `docker-compose.yml`.
    pub(super) services: Vec<String>,
}

impl Record {
    /// The record of a server; empty if nothing was started for it.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read or understood.
    pub(super) fn read(home: &Home, name: &str) -> Result<Self, String> {
        let path = home.record(name);
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).ok_or_else(|| {
                format!(
                    "the record {} cannot be understood; look at it, stop what it names, and delete it",
                    path.display()
                )
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(format!("the record {} cannot be read: {error}", path.display())),
        }
    }

    /// Keeps the record, or deletes the file if there is nothing in it.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be written or deleted.
    pub(super) fn write(&self, home: &Home, name: &str) -> Result<(), String> {
        let path = home.record(name);
        let result = if *self == Self::default() {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        } else {
            // Renamed into place, so that an interruption leaves the old record or the new one.
            let new = path.with_extension("new");
            fs::write(&new, self.text()).and_then(|()| fs::rename(&new, &path))
        };
        result.map_err(|error| format!("the record {} cannot be written: {error}", path.display()))
    }

    /// Whether all that was started as processes still runs, and at least one was.
    pub(super) fn runs(&self) -> bool {
        !self.processes.is_empty() && self.processes.iter().all(|process| process.is_alive())
    }

    fn text(&self) -> String {
        let processes = self
            .processes
            .iter()
            .map(|process| format!("process {} {}\n", process.pid, process.started));
        let services = self.services.iter().map(|service| format!("service {service}\n"));
        processes.chain(services).collect()
    }

    fn parse(text: &str) -> Option<Self> {
        let mut record = Self::default();
        for line in text.lines() {
            let words: Vec<_> = line.split(' ').collect();
            match words[..] {
                ["process", pid, started] => record.processes.push(Process {
                    pid: pid.parse().ok()?,
                    started: started.parse().ok()?,
                }),
                ["service", service] => record.services.push(service.to_owned()),
                _ => return None,
            }
        }
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let record = Record {
            processes: vec![Process { pid: 7, started: 70 }, Process { pid: 8, started: 80 }],
            services: vec!["nsqd".to_owned()],
        };
        assert_eq!(Record::parse(&record.text()), Some(record));
        assert_eq!(Record::parse(""), Some(Record::default()));
    }

    #[test]
    fn a_damaged_record_names_no_process() {
        for text in [
            "process 7",
            "process x 1",
            "process 7 1 2",
            "7 70",
            "process -1 5",
            "\n",
        ] {
            assert_eq!(Record::parse(text), None, "{text:?}");
        }
    }
}
