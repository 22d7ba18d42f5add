//! The versions of the protocol, and how a connection asks for one.

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// What a connection gets that asks for none.
    V1,
    /// Positions, exact resume, message ids, stop in band.
    V2,
}

impl Version {
    /// Every version, oldest first.
    pub const ALL: [Self; 2] = [Self::V1, Self::V2];

    /// The version that the query parameter `v` asks for. One that the host does not know means the newest: a client
    /// of the future can do with what this host has.
    #[must_use]
    pub fn asked(v: Option<&str>) -> Self {
        match v {
            None | Some("1") => Self::V1,
            Some(_) => Self::V2,
        }
    }

    /// Its place in [`Version::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}
