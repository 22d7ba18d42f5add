//! The agent `acp`, in the real host and as a real library, with an agent in a real process.

mod answering;
mod confining;
mod faults;
mod independent;
mod keeping;
mod killed;
mod permissions;
mod prompting;
mod stage;
mod stopping;
mod tools;
