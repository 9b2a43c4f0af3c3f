//! A PgBouncer before the PostgreSQL of the tests.

use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use crate::eventually;
use crate::proxy::{free_port, through};

/// A running PgBouncer; it ends when this is dropped.
pub struct PgBouncer {
    url: String,
    process: Child,
    _folder: tempfile::TempDir,
}

impl PgBouncer {
    /// One before the server of `url`, with these further settings, as in `pool_mode = session`.
    pub async fn before(url: &str, settings: &str) -> Self {
        let (_, place) = url.rsplit_once('@').expect("an address with a user");
        let (server, database) = place.split_once('/').expect("an address with a database");
        let (host, server_port) = server.split_once(':').expect("a host and a port");
        let port = free_port().await;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = |name: &str| folder.path().join(name);
        let text = format!(
            "[databases]\n{database} = host={host} port={server_port} dbname={database}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = trust\nauth_file = {}\n{settings}\n",
            file("users").display()
        );
        std::fs::write(file("users"), "\"postgres\" \"\"\n").expect("a file in it");
        std::fs::write(file("bouncer.ini"), text).expect("a file in it");
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("a folder of this user");
        let process = program().arg(file("bouncer.ini")).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut it = Self { url: through(url, port), process: process.expect("PgBouncer starts"), _folder: folder };
        eventually("a PgBouncer that listens", async || {
            let ended = it.process.try_wait().expect("a child of this process");
            assert!(ended.is_none(), "PgBouncer ended with {ended:?}");
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        it
    }

    /// The setting by which it does not keep prepared statements: none up to version 1.20, which cannot keep them.
    pub fn keeps_no_statements() -> &'static str {
        let said = program().arg("--version").output().expect("PgBouncer says its version").stdout;
        let said = String::from_utf8(said).expect("text");
        let version = said.split_whitespace().nth(1).expect("\"PgBouncer 1.18.0\"").split('.');
        let version: Vec<u32> = version.take(2).map(|number| number.parse().expect("a number")).collect();
        if version < vec![1, 21] { "" } else { "max_prepared_statements = 0" }
    }

    /// The address of the same database through it.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// The program. It refuses to run as root, and gives up root for a user who is named.
fn program() -> Command {
    let id = |arguments: &[&str]| Command::new("id").args(arguments).output().expect("the user of this process");
    let folder = std::path::Path::new("/usr/sbin/pgbouncer");
    let mut command = if folder.is_file() { Command::new(folder) } else { Command::new("pgbouncer") };
    if id(&["-u"]).stdout.starts_with(b"0\n") {
        command.args(["-u", if id(&["-u", "postgres"]).status.success() { "postgres" } else { "nobody" }]);
    }
    command
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
