use std::ops::{BitOr, BitOrAssign};

use super::Event;
use crate::abi::types;

/// A set of kinds of events: those that a mapper wants to see.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct EventKinds(u64);

impl EventKinds {
    /// No event.
    pub const NONE: Self = Self(0);
    /// Every event that this release knows, custom ones included.
    pub const ALL: Self = Self((1 << (types::EVENT_ERROR + 1)) - 1);
    /// Custom events, and what a later release adds.
    pub const CUSTOM: Self = Self(1 << types::EVENT_CUSTOM);
    /// [`Event::StreamDelta`].
    pub const STREAM_DELTA: Self = Self(1 << types::EVENT_STREAM_DELTA);
    /// [`Event::ThinkingDelta`].
    pub const THINKING_DELTA: Self = Self(1 << types::EVENT_THINKING_DELTA);
    /// [`Event::ThinkingEnd`].
    pub const THINKING_END: Self = Self(1 << types::EVENT_THINKING_END);
    /// [`Event::TurnThinking`].
    pub const TURN_THINKING: Self = Self(1 << types::EVENT_TURN_THINKING);
    /// [`Event::PlanningStatus`].
    pub const PLANNING_STATUS: Self = Self(1 << types::EVENT_PLANNING_STATUS);
    /// [`Event::PlanReady`].
    pub const PLAN_READY: Self = Self(1 << types::EVENT_PLAN_READY);
    /// [`Event::ToolStarted`].
    pub const TOOL_STARTED: Self = Self(1 << types::EVENT_TOOL_STARTED);
    /// [`Event::ToolCall`].
    pub const TOOL_CALL: Self = Self(1 << types::EVENT_TOOL_CALL);
    /// [`Event::ProfileSwitched`].
    pub const PROFILE_SWITCHED: Self = Self(1 << types::EVENT_PROFILE_SWITCHED);
    /// [`Event::ContextCompressed`].
    pub const CONTEXT_COMPRESSED: Self = Self(1 << types::EVENT_CONTEXT_COMPRESSED);
    /// [`Event::StreamStopped`].
    pub const STREAM_STOPPED: Self = Self(1 << types::EVENT_STREAM_STOPPED);
    /// [`Event::StreamEnd`].
    pub const STREAM_END: Self = Self(1 << types::EVENT_STREAM_END);
    /// [`Event::Error`].
    pub const ERROR: Self = Self(1 << types::EVENT_ERROR);

    /// The set as it crosses: bit k for the kind k below 64, bit 0 also for every kind from 64 up.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The set of these bits; unknown ones are kept.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Both sets in one.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether an event of this kind (`RH_EVENT_…`) is in the set.
    pub const fn contains_kind(self, kind: u32) -> bool {
        let bit = if kind < 64 { kind } else { types::EVENT_CUSTOM };
        self.0 >> bit & 1 == 1
    }

    /// Whether this event is in the set.
    pub fn contains(self, event: &Event) -> bool {
        self.contains_kind(event.kind())
    }
}

impl BitOr for EventKinds {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

impl BitOrAssign for EventKinds {
    fn bitor_assign(&mut self, other: Self) {
        *self = self.union(other);
    }
}
