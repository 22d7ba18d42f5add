//! Tells a library that was cut short from a whole one.
//!
//! The system's loader maps what an ELF file's headers promise without asking whether the file is that
//! long, and touching what is missing kills the process with SIGBUS. A copy that was interrupted is
//! common enough to be worth a look before the loader sees it. Everything else is left to the loader.

/// How many bytes the file needs for its loadable parts, or `None` when `head` is no ELF file whose
/// program headers can be read. `head` is the file's beginning, at least the headers.
pub(crate) fn needed_bytes(head: &[u8]) -> Option<u64> {
    let ident = head.get(..16)?;
    if &ident[..4] != b"\x7fELF" {
        return None;
    }
    let wide = match ident[4] {
        1 => false,
        2 => true,
        _ => return None,
    };
    let reader = Reader {
        bytes: head,
        little: ident[5] == 1,
    };
    let (table_offset, entry_size, entries) = if wide {
        (reader.u64(32)?, reader.u16(54)?, reader.u16(56)?)
    } else {
        (u64::from(reader.u32(28)?), reader.u16(42)?, reader.u16(44)?)
    };
    let mut needed = 0;
    for index in 0..u64::from(entries) {
        let at = table_offset.checked_add(index * u64::from(entry_size))?;
        let at = usize::try_from(at).ok()?;
        let (offset, length) = if wide {
            (
                reader.u64(at.checked_add(8)?)?,
                reader.u64(at.checked_add(32)?)?,
            )
        } else {
            (
                u64::from(reader.u32(at.checked_add(4)?)?),
                u64::from(reader.u32(at.checked_add(16)?)?),
            )
        };
        const LOAD: u32 = 1;
        if reader.u32(at)? == LOAD {
            needed = needed.max(offset.checked_add(length)?);
        }
    }
    Some(needed)
}

struct Reader<'a> {
    bytes: &'a [u8],
    little: bool,
}

impl Reader<'_> {
    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.bytes.get(at..at.checked_add(N)?)?.try_into().ok()
    }

    fn u16(&self, at: usize) -> Option<u16> {
        let bytes = self.array(at)?;
        Some(if self.little {
            u16::from_le_bytes(bytes)
        } else {
            u16::from_be_bytes(bytes)
        })
    }

    fn u32(&self, at: usize) -> Option<u32> {
        let bytes = self.array(at)?;
        Some(if self.little {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        })
    }

    fn u64(&self, at: usize) -> Option<u64> {
        let bytes = self.array(at)?;
        Some(if self.little {
            u64::from_le_bytes(bytes)
        } else {
            u64::from_be_bytes(bytes)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn elf64(segments: &[(u32, u64, u64)]) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[32..40].copy_from_slice(&64u64.to_le_bytes());
        bytes[54..56].copy_from_slice(&56u16.to_le_bytes());
        bytes[56..58].copy_from_slice(&u16::try_from(segments.len()).unwrap().to_le_bytes());
        for (kind, offset, length) in segments {
            let mut entry = [0; 56];
            entry[..4].copy_from_slice(&kind.to_le_bytes());
            entry[8..16].copy_from_slice(&offset.to_le_bytes());
            entry[32..40].copy_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(&entry);
        }
        bytes
    }

    #[test]
    fn the_farthest_loadable_part_counts() {
        let bytes = elf64(&[(1, 0, 100), (1, 4096, 50), (4, 9999, 10)]);
        assert_eq!(needed_bytes(&bytes), Some(4146));
    }

    #[test]
    fn other_files_are_left_to_the_loader() {
        assert_eq!(needed_bytes(b""), None);
        assert_eq!(
            needed_bytes(b"this is a text file, longer than a header"),
            None
        );
        assert_eq!(needed_bytes(&elf64(&[(1, 0, 100)])[..80]), None);
        assert_eq!(needed_bytes(&elf64(&[(1, u64::MAX, 100)])), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_very_program_is_whole() {
        let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let needed = needed_bytes(&bytes).unwrap();
        assert!(
            needed > 0 && needed <= bytes.len() as u64,
            "{needed} of {}",
            bytes.len()
        );
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = bytes;
            let _ = needed_bytes(&bytes);
            for (at, magic) in b"\x7fELF\x02\x01".iter().enumerate() {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = *magic;
                }
            }
            let _ = needed_bytes(&bytes);
        }
    }
}
