//! What crosses between the host and a worker process, as bytes. Pure: nothing here reads or writes anything.
//!
//! A frame is its length, four bytes, the lowest first, and as many bytes: one that says what it is, and its fields one
//! after another. Numbers have a fixed width, the lowest byte first; a text is its length in four bytes and its UTF-8.
//! Frames follow one another without anything in between, so that many are written, and read, at once.
//!
//! A worker is not trusted: whatever bytes come, [`Decoder`] and [`FromWorker::read`] answer a frame or a [`FrameError`],
//! and take no more memory than the bytes that have come and the bound on a frame's length.

mod fields;
mod from_worker;
#[cfg(test)]
mod tests;
mod to_worker;

pub use from_worker::FromWorker;
pub use to_worker::ToWorker;

use fields::HEAD;

/// What a decoder begins with.
const FIRST_ROOM: usize = 64 * 1024;

/// The longest frame that a host sends: a run's parameters, an image.
pub const TO_WORKER_BYTES: usize = 1 << 30;

/// The longest frame that a worker sends if no event may be larger.
pub const FROM_WORKER_BYTES: usize = 64 << 20;

/// What came is no frame.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FrameError {
    /// Longer than a frame may be.
    #[error("a frame of {length} bytes, and {limit} are allowed")]
    TooLong {
        /// What it says of itself.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// It does not even say what it is.
    #[error("an empty frame")]
    Empty,
    /// It is of no kind that this release knows.
    #[error("a frame of an unknown kind ({0})")]
    UnknownKind(u8),
    /// It ends within a field.
    #[error("a frame of kind {0} that ends within a field")]
    CutShort(u8),
    /// There is something after its last field.
    #[error("a frame of kind {kind} with {bytes} bytes too many")]
    TooMuch {
        /// What it is.
        kind: u8,
        /// How much.
        bytes: usize,
    },
    /// A text in it is not UTF-8.
    #[error("a frame of kind {0} with a text that is not UTF-8")]
    NotUtf8(u8),
    /// A number in it has no meaning.
    #[error("a frame of kind {kind} with {value} where it means nothing")]
    BadValue {
        /// What it is.
        kind: u8,
        /// The number.
        value: u32,
    },
}

/// Cuts what comes into frames.
#[derive(Debug)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// What is in the buffer and not yet taken.
    from: usize,
    to: usize,
    limit: usize,
}

impl Decoder {
    /// One for frames of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            buffer: vec![0; FIRST_ROOM],
            from: 0,
            to: 0,
            limit,
        }
    }

    /// Where what comes next is to be put; never empty. Call it after [`Self::next_frame`] has answered `None`.
    pub fn room(&mut self) -> &mut [u8] {
        if self.from > 0 {
            self.buffer.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
        }
        if self.to == self.buffer.len() {
            // Twice what has come: a length that is only claimed costs nothing.
            self.buffer.resize(self.buffer.len() * 2, 0);
        } else if self.to == 0 && self.buffer.len() > 16 * FIRST_ROOM {
            // A large frame has gone by.
            self.buffer = vec![0; FIRST_ROOM];
        }
        &mut self.buffer[self.to..]
    }

    /// Says that so many bytes have been put there; more than there was room for count as that.
    pub fn filled(&mut self, bytes: usize) {
        self.to = self.buffer.len().min(self.to + bytes);
    }

    /// Whether a frame has come whole.
    ///
    /// # Errors
    ///
    /// [`FrameError::TooLong`]; nothing that comes after it means anything.
    pub fn has_frame(&self) -> Result<bool, FrameError> {
        Ok(self.whole()?.is_some())
    }

    /// The next frame, without its length, if it has come whole.
    ///
    /// # Errors
    ///
    /// As [`Self::has_frame`].
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let Some(length) = self.whole()? else {
            return Ok(None);
        };
        let begin = self.from + HEAD;
        self.from = begin + length;
        Ok(Some(&self.buffer[begin..begin + length]))
    }

    /// The length of the next frame, if it has come whole.
    #[inline]
    fn whole(&self) -> Result<Option<usize>, FrameError> {
        let came = &self.buffer[self.from..self.to];
        let Some((head, rest)) = came.split_first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*head) as usize;
        if length > self.limit {
            let limit = self.limit;
            return Err(FrameError::TooLong { length, limit });
        }
        Ok((rest.len() >= length).then_some(length))
    }
}

/// How something that the host started has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End<'a> {
    /// It is done, with this result.
    Finished(&'a str),
    /// An instance was made; it goes by the scope that it was made with.
    Made,
    /// It saw the stop and ended for it.
    Stopped(&'a str),
    /// It failed: `RH_FAILED_…`, and a text.
    Failed(u32, &'a str),
}

/// The answer to a request, as it crosses: JSON, or why there is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reply<'a> {
    /// The answer.
    Ok(&'a str),
    /// The host does not know the method.
    Unsupported,
    /// It was cancelled.
    Cancelled,
    /// It failed; a `ServiceErrorData`.
    Failed(&'a str),
}
