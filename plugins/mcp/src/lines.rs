//! The lines of a standard output, looked at as they pass: none is kept, and none may be too long.

/// So many lines in a row that are no messages, and a server is given up.
const STRAY_LINES: u32 = 1000;

/// Of so many of them the beginning is shown.
const STRAY_SHOWN: u32 = 3;

/// How much of such a line is kept until it ends, in bytes. More than is shown of it, which is cut once secrets are hidden.
pub(crate) const STRAY_BYTES: usize = 4096;

/// What was seen so far.
pub(crate) struct Lines {
    most: usize,
    length: usize,
    /// The beginning of the present line, if that is no message.
    stray: Option<Vec<u8>>,
    /// Lines that were no messages, since the last that was one.
    strays: u32,
    shown: u32,
}

impl Lines {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            length: 0,
            stray: None,
            strays: 0,
            shown: 0,
        }
    }

    /// # Errors
    ///
    /// It is too much.
    pub(crate) fn see(
        &mut self,
        mut bytes: &[u8],
        mut show: impl FnMut(&[u8]),
    ) -> Result<(), String> {
        while !bytes.is_empty() {
            let (line, ends) = match bytes.iter().position(|byte| *byte == b'\n') {
                Some(at) => (&bytes[..at], true),
                None => (bytes, false),
            };
            bytes = &bytes[line.len() + usize::from(ends)..];
            if self.length == 0 && line.first().is_some_and(|byte| !b"{[\r".contains(byte)) {
                self.stray = Some(Vec::new());
            }
            self.length += line.len();
            if let Some(stray) = &mut self.stray {
                let room = STRAY_BYTES.saturating_sub(stray.len()).min(line.len());
                stray.extend_from_slice(&line[..room]);
            }
            if self.length > self.most {
                let most = self.most;
                return Err(format!(
                    "it has sent a message of more than {most} bytes (`max_message_bytes`)"
                ));
            }
            if ends {
                self.end_line(&mut show)?;
            }
        }
        Ok(())
    }

    fn end_line(&mut self, show: &mut impl FnMut(&[u8])) -> Result<(), String> {
        let length = std::mem::take(&mut self.length);
        match self.stray.take() {
            Some(line) => {
                self.strays += 1;
                if self.shown < STRAY_SHOWN {
                    self.shown += 1;
                    show(&line);
                }
                if self.strays >= STRAY_LINES {
                    return Err(format!(
                        "it writes what is no message to its standard output, {STRAY_LINES} lines in a row"
                    ));
                }
            }
            None if length > 1 => self.strays = 0,
            None => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn see(lines: &mut Lines, bytes: &[u8]) -> (Result<(), String>, Vec<String>) {
        let mut shown = Vec::new();
        let show = |line: &[u8]| shown.push(String::from_utf8_lossy(line).into_owned());
        (lines.see(bytes, show), shown)
    }

    #[test]
    fn messages_pass_and_what_is_none_is_shown() {
        let mut lines = Lines::new(100);
        let (seen, shown) = see(&mut lines, b"{\"a\":1}\r\n\r\n\nStarting\nup {now}");
        assert_eq!((seen, shown), (Ok(()), vec!["Starting".to_owned()]));
        let (seen, shown) = see(&mut lines, b" more\n{}\n");
        assert_eq!((seen, shown), (Ok(()), vec!["up {now} more".to_owned()]));
        for (count, expected) in [(3, 1), (900, 0)] {
            let (seen, shown) = see(&mut lines, &b"x\n".repeat(count));
            assert_eq!((seen, shown.len()), (Ok(()), expected));
        }
        assert_eq!(lines.strays, 903);
        see(&mut lines, b"{}\n").0.unwrap();
        assert_eq!(lines.strays, 0);
    }

    #[test]
    fn what_is_shown_is_cut_once_secrets_are_hidden() {
        let line = format!("{} secret-0123456789\n", "x".repeat(900));
        let (_, shown) = see(&mut Lines::new(5000), line.as_bytes());
        assert_eq!(shown, [line.trim_end()]);
    }

    #[test]
    fn too_much_is_told() {
        let mut lines = Lines::new(10);
        assert!(see(&mut lines, b"{23456789\n{2345").0.is_ok());
        let told = see(&mut lines, b"6789012").0.unwrap_err();
        assert_eq!(
            told,
            "it has sent a message of more than 10 bytes (`max_message_bytes`)"
        );
        let told = see(&mut Lines::new(10), &b"x\n".repeat(1000))
            .0
            .unwrap_err();
        assert!(told.contains("1000 lines in a row"), "{told}");
    }
}
