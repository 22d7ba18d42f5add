//! Version 1 of the wire protocol, sentence by sentence. `tests/README.md` says which test stands for which.

mod answers;
mod behind;
mod connecting;
mod deleting;
mod doors;
mod draining;
mod endings;
mod events;
mod files;
mod heartbeats;
mod images;
mod independent;
mod large_frames;
mod mapping;
mod memory;
mod not_saved;
mod notes;
mod replay;
mod saving;
mod schedules;
mod silent;
mod stopping;
mod subagents;
mod table;
mod tools;
mod waiting;
