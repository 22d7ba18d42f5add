//! The boundary: what crosses, and both of its sides.

pub mod types;
