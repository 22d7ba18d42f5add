//! The fields of a frame, one after another.

use plugin_api::EventRef;
use plugin_api::abi::import::event_name;

use super::FrameError;

/// What stands before a frame: its length.
pub(super) const HEAD: usize = 4;

/// The fields of a frame that are still to be read.
pub(super) struct Fields<'a> {
    pub(super) kind: u8,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn of(frame: &'a [u8]) -> Result<Self, FrameError> {
        let (kind, rest) = frame.split_first().ok_or(FrameError::Empty)?;
        Ok(Self { kind: *kind, rest })
    }

    fn number<const BYTES: usize>(&mut self) -> Result<[u8; BYTES], FrameError> {
        let (number, rest) = self
            .rest
            .split_first_chunk::<BYTES>()
            .ok_or(FrameError::CutShort(self.kind))?;
        self.rest = rest;
        Ok(*number)
    }

    #[inline]
    pub(super) fn int(&mut self) -> Result<u32, FrameError> {
        self.number().map(u32::from_le_bytes)
    }

    #[inline]
    pub(super) fn long(&mut self) -> Result<u64, FrameError> {
        self.number().map(u64::from_le_bytes)
    }

    #[inline]
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], FrameError> {
        let length = self.int()? as usize;
        let (bytes, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(FrameError::CutShort(self.kind))?;
        self.rest = rest;
        Ok(bytes)
    }

    #[inline]
    pub(super) fn text(&mut self) -> Result<&'a str, FrameError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| FrameError::NotUtf8(self.kind))
    }

    #[inline]
    pub(super) fn event(&mut self) -> Result<EventRef<'a>, FrameError> {
        let kind = self.int()?;
        let subagent = match self.int()? {
            0 => false,
            1 => true,
            value => return Err(self.bad(value)),
        };
        let name = self.text()?;
        Ok(EventRef {
            kind,
            subagent,
            // That of a known kind does not cross, and would not count.
            name: event_name(kind).unwrap_or(name),
            id: self.text()?,
            parent: self.text()?,
            text: self.text()?,
            json: self.text()?,
        })
    }

    pub(super) fn bad(&self, value: u32) -> FrameError {
        let kind = self.kind;
        FrameError::BadValue { kind, value }
    }

    pub(super) fn end(self) -> Result<(), FrameError> {
        match (self.kind, self.rest.len()) {
            (_, 0) => Ok(()),
            (kind, bytes) => Err(FrameError::TooMuch { kind, bytes }),
        }
    }
}

/// A frame that is being written.
pub(super) struct Frame<'a> {
    to: &'a mut Vec<u8>,
    /// Where it begins.
    at: usize,
}

impl<'a> Frame<'a> {
    #[inline]
    pub(super) fn begin(to: &'a mut Vec<u8>, kind: u8) -> Self {
        let at = to.len();
        to.extend_from_slice(&[0, 0, 0, 0, kind]);
        Self { to, at }
    }

    #[inline]
    pub(super) fn int(self, number: u32) -> Self {
        self.to.extend_from_slice(&number.to_le_bytes());
        self
    }

    #[inline]
    pub(super) fn long(self, number: u64) -> Self {
        self.to.extend_from_slice(&number.to_le_bytes());
        self
    }

    #[inline]
    pub(super) fn bytes(self, bytes: &[u8]) -> Self {
        // What does not fit makes a frame that is too long, which whoever sends it refuses to send.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let frame = self.int(length);
        frame.to.extend_from_slice(bytes);
        frame
    }

    #[inline]
    pub(super) fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    #[inline]
    pub(super) fn event(self, event: &EventRef<'_>) -> Self {
        let name = match event_name(event.kind) {
            Some(_) => "",
            None => event.name,
        };
        self.int(event.kind)
            .int(u32::from(event.subagent))
            .text(name)
            .text(event.id)
            .text(event.parent)
            .text(event.text)
            .text(event.json)
    }

    #[inline]
    pub(super) fn end(self) {
        let length = self.to.len() - self.at - HEAD;
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.to[self.at..self.at + HEAD].copy_from_slice(&length.to_le_bytes());
    }
}
