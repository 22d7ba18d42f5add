//! Tools of MCP servers: a program that is started, a server over HTTP, and real ones from npm and PyPI.

mod away;
mod calling;
mod hostile;
mod http;
mod independent;
mod listing;
mod processes;
mod stage;
