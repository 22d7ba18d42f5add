//! Version 1 of the wire protocol, sentence by sentence. `tests/README.md` says which test stands for which.

mod answers;
mod connecting;
