//! A client of version 2 of the protocol that outlives its connections: it comes back by itself, resumes where it was,
//! sends again what was not acknowledged, and hands its caller one uninterrupted stream.
//!
//! It shares nothing with the host but [`protocol`](crate::protocol), and could be a program's only use of this crate.
//!
//! In reading order: [`session`] (the client), [`item`] (what it hands out), [`options`] and `address` (how it connects);
//! `link` (one connection), `track` (what was got, and whether it is all), `outbox` (what was not acknowledged),
//! [`fault`] (what a lost connection means) and [`backoff`] (when to come back).
//!
//! There is no task behind a [`Session`]: everything happens while its caller waits for
//! [`Session::next`], and a caller that does not ask holds the host up as any slow reader does. So nothing piles
//! up, and nothing is left behind when it is dropped.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use roundhouse_host::client::{Item, Message, Options, Session};
//!
//! let options = Options::new("http://127.0.0.1:8080", "0199c3a2-5b7e-7cc0-8f35-6f1c1d2c9a10")?;
//! let mut session = Session::new(options);
//! session.send(Message::new("Hello"))?;
//! loop {
//!     match session.next().await? {
//!         Item::Event(event) if event.kind() == "stream_end" => break,
//!         Item::Event(event) => println!("{}", event.value),
//!         Item::Reload(_) => println!("something was missed: the history has it"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```

pub mod address;
pub mod backoff;
pub mod fault;
pub mod item;
mod link;
pub mod options;
mod outbox;
pub mod session;
mod track;

pub use address::{Address, InvalidAddress};
pub use backoff::Backoff;
pub use fault::{Ended, Fault};
pub use item::{Ack, Event, Greeting, Item, Limits, Refused, RunningRun, StopAck};
pub use options::{InvalidOptions, Options};
pub use outbox::{Message, OutboxFull};
pub use session::Session;
