//! A way to the PostgreSQL of the tests that can go bad: between a worker and its server, as a firewall or a pooler is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A way to a server. Gone, with all connections, when it is dropped.
pub struct Proxy {
    url: String,
    /// Connections with a number below this carry nothing any more.
    silent: watch::Sender<usize>,
    opened: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// A way to the server of `url` that carries everything.
    pub async fn to(url: &str) -> Self {
        Self::listen(url, free_port().await, None).await
    }

    /// The same at this port of this machine.
    pub async fn at(url: &str, port: u16) -> Self {
        Self::listen(url, port, None).await
    }

    /// One that refuses settings in the message that opens a connection, as a connection pooler does.
    pub async fn like_a_pooler(url: &str) -> Self {
        Self::listen(url, free_port().await, Some(("08P01", "unsupported startup parameter: options"))).await
    }

    /// One that refuses them in the words of Amazon's RDS Proxy.
    pub async fn like_rds_proxy(url: &str) -> Self {
        let words = "Feature not supported: RDS Proxy currently doesn't support command-line options.";
        Self::listen(url, free_port().await, Some(("0A000", words))).await
    }

    async fn listen(url: &str, port: u16, refuses: Option<Refusal>) -> Self {
        let server = address(url);
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a free port");
        let (silent, opened) = (watch::Sender::new(0), Arc::new(AtomicUsize::new(0)));
        let (cut, count) = (silent.clone(), opened.clone());
        let accepting = tokio::spawn(async move {
            // Dropped with this task.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (number, cut) = (count.fetch_add(1, Ordering::SeqCst), cut.subscribe());
                connections.spawn(carry(client, server, number, cut, refuses));
            }
        });
        Self { url: through(url, port), silent, opened, accepting }
    }

    /// The address of the same database on this way.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How many connections were opened on it.
    pub fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }

    /// All connections that are open carry nothing any more, and nobody is told; new ones do.
    pub fn fall_silent(&self) {
        self.silent.send_replace(self.opened());
    }
}

impl Proxy {
    /// No connection carries anything any more, and those that are opened from now on do not either: the server is frozen.
    pub fn freeze(&self) {
        self.silent.send_replace(usize::MAX);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A port of this machine that was free a moment ago.
pub async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.and_then(|it| it.local_addr()).expect("a free port").port()
}

/// The address of the same database at this port of this machine.
pub fn through(url: &str, port: u16) -> String {
    url.replace(&address(url).to_string(), &format!("127.0.0.1:{port}"))
}

fn address(url: &str) -> SocketAddr {
    let (_, rest) = url.rsplit_once('@').expect("an address with a user");
    rest.split_once('/').expect("an address with a database").0.parse().expect("an IP address and a port")
}

async fn carry(
    mut client: TcpStream,
    server: SocketAddr,
    number: usize,
    mut cut: watch::Receiver<usize>,
    refuses: Option<Refusal>,
) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    if let Some(refusal) = refuses {
        match greet(&mut client, refusal).await {
            Some(startup) if server.write_all(&startup).await.is_ok() => {}
            _ => return,
        }
    }
    let cut_off = tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => false,
        cut = cut.wait_for(|silent| number < *silent) => cut.is_ok(),
    };
    if cut_off {
        // Both sockets stay open.
        std::future::pending().await
    }
}

/// The state and the message by which settings are refused.
type Refusal = (&'static str, &'static str);

/// Reads what a client says first, and returns it unless it brings settings.
async fn greet(client: &mut TcpStream, (state, message): Refusal) -> Option<Vec<u8>> {
    const ASKS_FOR_TLS: [u8; 4] = 80_877_103_i32.to_be_bytes();
    loop {
        let length = client.read_i32().await.ok()?;
        let mut body = vec![0; usize::try_from(length).ok()? - 4];
        client.read_exact(&mut body).await.ok()?;
        if body == ASKS_FOR_TLS {
            client.write_all(b"N").await.ok()?;
            continue;
        }
        if body.windows(9).any(|part| part == b"\0options\0") {
            let fields = format!("SFATAL\0VFATAL\0C{state}\0M{message}\0\0");
            let length = i32::try_from(fields.len()).expect("short") + 4;
            client.write_all(&[b"E".as_slice(), &length.to_be_bytes(), fields.as_bytes()].concat()).await.ok()?;
            return None;
        }
        return Some([length.to_be_bytes().as_slice(), &body].concat());
    }
}
