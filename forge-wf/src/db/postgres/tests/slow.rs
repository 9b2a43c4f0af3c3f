//! A network that carries little is no reason to give an answer up.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::support::Scratch;
use crate::db::postgres::PgStore;
use crate::store::conformance::support::*;
use crate::store::{Batch, Birth, Store};

/// What the way carries to the client at a time, and the pause behind that.
const CARRIED: (usize, Duration) = (16 * 1024, Duration::from_millis(25));

/// A way to the server that takes everything at once, so that the server is done, and carries it slowly. Its address.
async fn slow_way(url: &str) -> String {
    let place = url.rsplit_once('@').and_then(|(_, rest)| rest.split_once('/')).expect("an address with a place").0;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let way = url.replace(place, &listener.local_addr().unwrap().to_string());
    let place = place.to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (mut reads, mut writes) = client.into_split();
            let (mut from_server, mut to_server) = TcpStream::connect(&place).await.unwrap().into_split();
            tokio::spawn(async move { copy(&mut reads, &mut to_server).await });
            let (put, mut get) = mpsc::unbounded_channel::<Vec<u8>>();
            tokio::spawn(async move {
                let mut bytes = vec![0; CARRIED.0];
                while let Ok(length @ 1..) = from_server.read(&mut bytes).await {
                    let _ = put.send(bytes[..length].to_vec());
                }
            });
            tokio::spawn(async move {
                while let Some(bytes) = get.recv().await {
                    if writes.write_all(&bytes).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(CARRIED.1 * u32::from(bytes.len() > 1_024)).await;
                }
            });
        }
    });
    way
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_long_answer_over_a_slow_network_is_waited_for() {
    let scratch = Scratch::new().await;
    let store: Arc<dyn Store> = Arc::new(scratch.store().await);
    // Some seconds on that way, of which the server has nothing to do.
    let mut runs: Vec<_> = (0..80).map(|_| bound()).collect();
    runs.iter_mut().for_each(|run| run.input = json(&format!("\"{}\"", "x".repeat(64 * 1024))));
    let ids: Vec<_> = runs.iter().map(|run| (run.id, 0)).collect();
    let births = runs.into_iter().map(|run| Birth { run, image: executing() }).collect();
    Hand::new(&store).await.commit(Batch { births, ..Batch::default() }).await;
    let far = PgStore::connect(&slow_way(&scratch.url).await).await.unwrap();
    let begun = std::time::Instant::now();
    let journals = far.load_journals(&ids).await.unwrap();
    assert_eq!(journals.len(), ids.len());
    assert!(begun.elapsed() > Duration::from_secs(4), "it was slow: {:?}", begun.elapsed());
    far.close().await;
}
