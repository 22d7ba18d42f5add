//! The plugin room with real libraries: loading them, running their agents, calling their tools, mapping events.

mod c;
mod earlier_images;
mod foreign;
mod instances;
mod loading;
mod logs;
mod mapping;
mod renewal;
mod running;
mod shipped;
mod stage;
mod tools;
