//! The agent `openai`, in the real host and as a real library, on a model's server that the test leads.

mod answering;
mod compressing;
mod failing;
mod independent;
mod kinds;
mod looking_back;
mod planning;
mod profiles;
mod remembering;
mod responses;
mod retrying;
mod stage;
mod subagents;
mod tools;
