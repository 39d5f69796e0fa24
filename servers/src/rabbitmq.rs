//! RabbitMQ, a single node, without its management. Beside it runs an `epmd` of its own, which Erlang's nodes ask for each
//! other: one of the machine's would keep the names of nodes that were killed, and outlive them all.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::process::Site;
use crate::{Kind, programs};

/// Takes further lines of the configuration. With a listener of TLS among these, it listens nowhere else.
pub(crate) fn command(site: &Site<'_>, arguments: &[String]) -> Result<Command> {
    let [clients, distribution, names, ..] = *site.ports;
    let data = site.data.join("rabbitmq");
    let home = data.join("home");
    fs::create_dir_all(&home)?;
    let cookie = home.join(".erlang.cookie");
    if !cookie.exists() {
        fs::write(&cookie, "SERVERSTESTCOOKIE")?;
        fs::set_permissions(&cookie, Permissions::from_mode(0o400))?;
    }
    let is_encrypted = arguments.iter().any(|line| line.starts_with("listeners.ssl"));
    let listener = match is_encrypted {
        true => "listeners.tcp = none".to_owned(),
        false => format!("listeners.tcp.1 = 127.0.0.1:{clients}"),
    };
    let configuration = data.join("rabbitmq.conf");
    fs::write(
        &configuration,
        format!(
            "{listener}\nlog.console = true\nlog.console.level = warning\nlog.file = false\n\
             disk_free_limit.absolute = 50MB\nvm_memory_high_watermark.absolute = 1GB\n{}\n",
            arguments.join("\n")
        ),
    )?;
    let plugins = data.join("enabled_plugins");
    fs::write(&plugins, "[].\n")?;
    let mut command = Command::new(programs::of(Kind::Rabbitmq)?);
    command
        .env("HOME", home)
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env("ERL_EPMD_PORT", names.to_string())
        .env("RABBITMQ_NODENAME", format!("rabbit{clients}@localhost"))
        .env("RABBITMQ_DIST_PORT", distribution.to_string())
        .env("RABBITMQ_MNESIA_BASE", data.join("mnesia"))
        .env("RABBITMQ_LOG_BASE", data.join("log"))
        .env("RABBITMQ_PID_FILE", data.join("pid"))
        .env("RABBITMQ_CONFIG_FILE", configuration)
        .env("RABBITMQ_ADVANCED_CONFIG_FILE", data.join("advanced.config"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", plugins)
        .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
        // As under systemd its script becomes the server, which can then be killed; nobody listens there.
        .env("NOTIFY_SOCKET", data.join("nobody"))
        .env(
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none",
        );
    Ok(command)
}

/// The `epmd` that has to run before it.
pub(crate) fn names(port: u16) -> Command {
    let mut command = Command::new("epmd");
    command.args(["-address", "127.0.0.1", "-port", &port.to_string()]);
    command
}

/// Begins to speak AMQP, as it does only when it is ready for clients.
pub(crate) async fn probe(address: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"AMQP\0\0\x09\x01").await?;
    let mut head = [0; 11];
    stream.read_exact(&mut head).await?;
    ensure!(
        head[0] == 1 && head[7..] == [0, 10, 0, 10],
        "it does not speak AMQP yet"
    );
    Ok(())
}
