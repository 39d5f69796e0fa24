//! RabbitMQ with its management plugin, from Debian.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::backends::home::Home;
use crate::backends::probe;
use crate::backends::site::Site;
use crate::backends::table::Backend;

const MANAGEMENT: &str = "127.0.0.1:15672";
const VERSIONS: &str = "/usr/lib/rabbitmq/lib";
const PACKAGES: &[&str] = &["rabbitmq-server"];
/// The user and password guest, which RabbitMQ takes from loopback alone.
const AS_GUEST: &str = "Authorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n";

pub(in crate::backends) const BACKEND: Backend = Backend {
    name: "rabbitmq",
    address: "127.0.0.1:5672",
    needs: &[],
    services: &["rabbitmq"],
    probe,
    install,
};

/// Has the server publish and consume a message.
fn probe(_: &Home) -> Result<String, String> {
    let ask = |path| probe::parse_json(&probe::http_with(MANAGEMENT, path, AS_GUEST)?);
    match probe::text(&ask("/api/aliveness-test/%2F")?, "/status")?.as_str() {
        "ok" => probe::text(&ask("/api/overview")?, "/rabbitmq_version"),
        other => Err(format!("its test of itself says {other:?}")),
    }
}

fn install(site: &Site<'_>) -> Result<Vec<Command>, String> {
    site.file(VERSIONS, PACKAGES)?;
    let program = program()?;
    let data = site.data()?;
    let configuration = site.write(
        "rabbitmq.conf",
        "listeners.tcp.1 = 127.0.0.1:5672\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = 15672\n\
         log.console = true\nlog.console.level = warning\nlog.file = false\n\
         disk_free_limit.absolute = 50MB\nvm_memory_high_watermark.absolute = 1GB\n",
    )?;
    let plugins = site.write("enabled_plugins", "[rabbitmq_management].\n")?;
    let home = own_home(&data)?;
    // In the foreground and on loopback; else Erlang leaves one behind that listens everywhere and never ends.
    let mut names = Command::new(site.program("epmd", &["erlang-base"])?);
    names.args(["-address", "127.0.0.1", "-port", "4369"]);
    let mut server = Command::new(program);
    server
        .env("HOME", home)
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        // The machine's own name would tie the data to the machine.
        .env("RABBITMQ_NODENAME", "rabbit@localhost")
        .env("RABBITMQ_DIST_PORT", "25672")
        .env("RABBITMQ_MNESIA_BASE", data.join("mnesia"))
        .env("RABBITMQ_LOG_BASE", data.join("log"))
        .env("RABBITMQ_PID_FILE", data.join("pid"))
        .env("RABBITMQ_CONFIG_FILE", configuration)
        .env("RABBITMQ_ADVANCED_CONFIG_FILE", data.join("advanced.config"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", plugins)
        .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
        // Its schedulers would spin while they wait.
        .env(
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none",
        );
    Ok(vec![names, server])
}

/// The newest version's own program: the one in the search path changes user and folders.
fn program() -> Result<PathBuf, String> {
    let unreadable = |error: std::io::Error| format!("{VERSIONS} cannot be read: {error}");
    let mut programs = Vec::new();
    for entry in fs::read_dir(VERSIONS).map_err(unreadable)? {
        programs.push(entry.map_err(unreadable)?.path().join("sbin/rabbitmq-server"));
    }
    programs.sort();
    let found = programs.into_iter().rfind(|program| program.is_file());
    found.ok_or_else(|| format!("{VERSIONS} has no version with sbin/rabbitmq-server"))
}

/// A home with a cookie, so that neither root's nor RabbitMQ's own is touched.
fn own_home(data: &Path) -> Result<PathBuf, String> {
    let home = data.join("home");
    let cookie = home.join(".erlang.cookie");
    let made = fs::create_dir_all(&home).and_then(|()| {
        if cookie.exists() {
            return Ok(());
        }
        fs::write(&cookie, "BACKENDSTESTCOOKIE01")?;
        fs::set_permissions(&cookie, Permissions::from_mode(0o400))
    });
    made.map_err(|error| format!("{} cannot be written: {error}", cookie.display()))?;
    Ok(home)
}
