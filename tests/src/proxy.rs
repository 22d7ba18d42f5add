//! A bad network: what passes between a client and a host, until a test cuts it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// See the module. It ends when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    budget: Arc<Budget>,
    serving: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Connections of an earlier age are cut.
    age: u64,
    /// New connections are cut at once.
    refuses: bool,
    /// Nothing passes, and nobody is told.
    frozen: bool,
}

struct Budget {
    /// Bytes from the host that pass before all connections are cut.
    left: AtomicI64,
    /// Connections that were accepted.
    accepted: AtomicUsize,
}

impl Proxy {
    /// In front of `host`.
    ///
    /// # Panics
    ///
    /// When this machine has no port left.
    pub async fn to(host: SocketAddr) -> Self {
        let (listener, address) = match TcpListener::bind("127.0.0.1:0").await {
            Ok(listener) => {
                let address = listener.local_addr();
                (listener, address)
            }
            Err(error) => panic!("cannot listen: {error}"),
        };
        let address = match address {
            Ok(address) => address,
            Err(error) => panic!("no address: {error}"),
        };
        let (state, seen) = watch::channel(State::default());
        let budget = Arc::new(Budget {
            left: AtomicI64::new(i64::MAX),
            accepted: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&budget);
        let serving = tokio::spawn(async move {
            // Dropped with the proxy, and the connections with it.
            let mut tasks = tokio::task::JoinSet::new();
            loop {
                let Ok((client, _)) = listener.accept().await else {
                    return;
                };
                shared.accepted.fetch_add(1, Ordering::SeqCst);
                if seen.borrow().refuses {
                    continue;
                }
                let (seen, budget) = (seen.clone(), Arc::clone(&shared));
                tasks.spawn(async move {
                    if let Ok(host) = TcpStream::connect(host).await {
                        pass(client, host, seen, &budget).await;
                    }
                });
                while tasks.try_join_next().is_some() {}
            }
        });
        Self {
            address,
            state,
            budget,
            serving,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same for clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections were made to it.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.budget.accepted.load(Ordering::SeqCst)
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.age += 1);
    }

    /// Cuts all connections when so many more bytes of the host have passed.
    pub fn cut_after(&self, bytes: i64) {
        self.budget.left.store(bytes, Ordering::SeqCst);
    }

    /// Cuts all new connections at once, or no longer.
    pub fn refuse(&self, refuses: bool) {
        self.state.send_modify(|state| state.refuses = refuses);
    }

    /// Lets nothing pass any more on the connections that there are, and tells nobody; or lets it pass again.
    pub fn freeze(&self, frozen: bool) {
        self.state.send_modify(|state| state.frozen = frozen);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Passes on what the two say, until one leaves or the connection is cut.
async fn pass(
    client: TcpStream,
    host: TcpStream,
    mut seen: watch::Receiver<State>,
    budget: &Budget,
) {
    let born = seen.borrow_and_update().age;
    let (client_read, client_write) = client.into_split();
    let (host_read, host_write) = host.into_split();
    let old = seen.clone();
    tokio::select! {
        () = one_way(client_read, host_write, old.clone(), None) => {}
        () = one_way(host_read, client_write, old, Some(budget)) => {}
        _ = seen.wait_for(|state| state.age > born) => {}
    }
}

async fn one_way(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut seen: watch::Receiver<State>,
    budget: Option<&Budget>,
) {
    let mut bytes = vec![0; 4096];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if seen.wait_for(|state| !state.frozen).await.is_err() {
            return;
        }
        let mut count = count;
        let mut is_last = false;
        if let Some(budget) = budget {
            let size = i64::try_from(count).unwrap_or(i64::MAX);
            let left = budget.left.fetch_sub(size, Ordering::SeqCst);
            if left < size {
                budget.left.store(i64::MAX, Ordering::SeqCst);
                count = usize::try_from(left).unwrap_or(0);
                is_last = true;
            }
        }
        if to.write_all(&bytes[..count]).await.is_err() || is_last {
            return;
        }
    }
}
