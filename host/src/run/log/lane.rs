//! Live readers of one version of the protocol, and the frames that they share.

use std::task::Waker;

use crate::run::window::Window;

/// See the module.
#[derive(Debug)]
pub(in crate::run) struct Lane {
    pub(in crate::run) window: Window,
    /// The place of each live cursor; `None` for a free slot.
    readers: Vec<Option<Reader>>,
    live: usize,
    /// No reader wants to be woken before there is an event at this position; `u64::MAX` when none wants to.
    wanted: u64,
    /// The place of the reader that is furthest, in the window's count of bytes pushed.
    furthest: u64,
}

#[derive(Debug)]
struct Reader {
    next: u64,
    place: u64,
    /// Woken by the event at the position.
    waker: Option<(u64, Waker)>,
}

impl Lane {
    /// A lane without readers; the next event has position `next`.
    pub(super) fn new(next: u64) -> Self {
        let mut window = Window::default();
        window.restart(next);
        Self {
            window,
            readers: Vec::new(),
            live: 0,
            wanted: u64::MAX,
            furthest: 0,
        }
    }

    /// Whether somebody reads.
    pub(super) fn is_live(&self) -> bool {
        self.live > 0
    }

    /// Whether even the furthest reader is more than half of a window of `limit` bytes behind. Not without one.
    pub(super) fn is_behind(&self, limit: usize) -> bool {
        self.live > 0 && self.window.pushed() - self.furthest > limit as u64 / 2
    }

    /// Whether every reader has read everything before `next`.
    pub(super) fn is_read_up(&self, next: u64) -> bool {
        self.readers
            .iter()
            .flatten()
            .all(|reader| reader.next >= next)
    }

    /// Registers a reader whose next event is `next`; frames are encoded from now on, from position `following`.
    pub(in crate::run) fn join(&mut self, next: u64, following: u64) -> usize {
        if self.live == 0 {
            self.window.restart(following);
            self.furthest = self.window.pushed();
        }
        self.live += 1;
        let place = self.window.pushed();
        let reader = Some(Reader {
            next,
            place,
            waker: None,
        });
        self.furthest = self.furthest.max(place);
        match self.readers.iter().position(Option::is_none) {
            Some(slot) => {
                self.readers[slot] = reader;
                slot
            }
            None => {
                self.readers.push(reader);
                self.readers.len() - 1
            }
        }
    }

    /// By how many events the furthest reader is behind position `last`, and how many are behind the window.
    pub(super) fn lag(&self, last: u64) -> (u64, usize) {
        let readers = self.readers.iter().flatten();
        let first = self.window.first();
        readers.fold((0, 0), |(most, lagging), reader| {
            let behind = (last + 1).saturating_sub(reader.next);
            (most.max(behind), lagging + usize::from(reader.next < first))
        })
    }

    /// Notes where a reader is now.
    pub(super) fn moved(&mut self, slot: usize, next: u64, place: u64) {
        if let Some(Some(reader)) = self.readers.get_mut(slot) {
            reader.next = next;
            reader.place = place;
        }
        self.furthest = self.furthest.max(place);
    }

    /// Has a reader woken by the event at position `want`.
    pub(super) fn wait(&mut self, slot: usize, want: u64, waker: &Waker) {
        if let Some(Some(reader)) = self.readers.get_mut(slot) {
            self.wanted = self.wanted.min(want);
            reader.waker = Some((want, waker.clone()));
        }
    }

    /// Whether somebody may want to be woken by the event at position `last`.
    pub(super) fn is_awaited(&self, last: u64) -> bool {
        self.wanted <= last
    }

    /// Hands out those who want to be woken by the event at position `last`.
    pub(super) fn take_waiting(&mut self, last: u64, mut take: impl FnMut(Waker)) {
        self.wanted = u64::MAX;
        for reader in self.readers.iter_mut().flatten() {
            if let Some((_, waker)) = reader.waker.take_if(|(want, _)| *want <= last) {
                take(waker);
            } else if let Some((want, _)) = reader.waker {
                self.wanted = self.wanted.min(want);
            }
        }
    }

    /// Takes a reader out; `following` is the position of the next event.
    pub(super) fn leave(&mut self, slot: usize, following: u64) {
        if let Some(reader) = self.readers.get_mut(slot) {
            *reader = None;
        }
        self.live -= 1;
        if self.live == 0 {
            self.window.restart(following);
            self.readers = Vec::new();
            self.wanted = u64::MAX;
        }
        self.furthest = self
            .readers
            .iter()
            .flatten()
            .map(|reader| reader.place)
            .max()
            .unwrap_or(self.window.pushed());
    }

    /// Drops frames that every reader has read.
    pub(super) fn trim(&mut self, following: u64) {
        let least = self
            .readers
            .iter()
            .flatten()
            .map(|reader| reader.next)
            .min();
        self.window.trim(least.unwrap_or(following));
    }
}
