//! Shipped plugin.
