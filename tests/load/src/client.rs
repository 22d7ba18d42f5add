//! A client that costs as little as possible, so that it is never what is measured: it reads into one buffer for
//! all connections, finds the frames by their headers, and copies nothing but a frame that is cut in two.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Most that is read at once, in bytes.
const READ: usize = 256 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// One WebSocket.
pub(crate) struct Client {
    stream: TcpStream,
    /// What was read after the last whole frame.
    rest: Vec<u8>,
    /// There may be whole frames in the rest.
    is_unparsed: bool,
}

impl Client {
    /// Connects and upgrades.
    pub(crate) async fn connect(address: SocketAddr, path: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut rest = Vec::new();
        let end = loop {
            if stream.read_buf(&mut rest).await? == 0 {
                bail!("closed before the upgrade");
            }
            if let Some(at) = rest.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
        };
        if !rest.starts_with(b"HTTP/1.1 101") {
            bail!("no upgrade: {}", String::from_utf8_lossy(&rest));
        }
        rest.drain(..end);
        Ok(Self {
            stream,
            rest,
            is_unparsed: true,
        })
    }

    /// Sends a text frame.
    pub(crate) async fn send(&mut self, text: &str) -> Result<()> {
        // The mask of zeros leaves the text as it is.
        let mut frame = vec![0x81];
        match text.len() {
            length @ ..126 => frame.push(0x80 | u8::try_from(length)?),
            length => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(length)?.to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        Ok(self.stream.write_all(&frame).await?)
    }

    /// Waits until something can be read and gives `each` the payload of every whole text frame of it.
    ///
    /// Cancel safe.
    pub(crate) async fn read(&mut self, mut each: impl FnMut(&[u8])) -> Result<()> {
        if std::mem::take(&mut self.is_unparsed) && !self.rest.is_empty() {
            let used = parse(&self.rest, &mut each)?;
            self.rest.drain(..used);
            if used > 0 {
                return Ok(());
            }
        }
        loop {
            self.stream.readable().await?;
            if BUFFER.with_borrow_mut(|buffer| self.read_now(buffer, &mut each))? {
                return Ok(());
            }
        }
    }

    /// Whether there was anything.
    fn read_now(&mut self, buffer: &mut Vec<u8>, each: &mut impl FnMut(&[u8])) -> Result<bool> {
        let kept = self.rest.len();
        if buffer.len() < kept + READ {
            buffer.resize(kept + READ, 0);
        }
        let read = match self.stream.try_read(&mut buffer[kept..]) {
            Ok(0) => bail!("the connection was closed"),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        buffer[..kept].copy_from_slice(&self.rest);
        let all = &buffer[..kept + read];
        let used = parse(all, each)?;
        self.rest.clear();
        self.rest.extend_from_slice(&all[used..]);
        Ok(true)
    }
}

/// Gives `each` the payload of every whole text frame and answers how many bytes they took.
fn parse(bytes: &[u8], each: &mut impl FnMut(&[u8])) -> Result<usize> {
    let mut used = 0;
    while let Some((opcode, payload, end)) = frame(&bytes[used..]) {
        match opcode {
            1 => each(payload),
            8 => {
                let code = payload
                    .get(..2)
                    .map(|code| u16::from_be_bytes([code[0], code[1]]));
                bail!("closed with {code:?}");
            }
            _ => {}
        }
        used += end;
    }
    Ok(used)
}

/// Opcode, payload and length of the frame at the beginning, when it is there as a whole.
fn frame(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let [first, second, ..] = *bytes else {
        return None;
    };
    // No server masks.
    let (begin, length) = match second {
        126 => (
            4,
            usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)),
        ),
        127 => {
            let length = u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?);
            (10, usize::try_from(length).ok()?)
        }
        length => (2, usize::from(length)),
    };
    let end = begin + length;
    Some((first & 0x0f, bytes.get(begin..end)?, end))
}

/// A connection for HTTP requests, one after the other.
pub(crate) struct Http {
    stream: TcpStream,
    address: SocketAddr,
}

impl Http {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, address })
    }

    /// The JSON that a request is answered with.
    pub(crate) async fn request(&mut self, method: &str, path: &str) -> Result<serde_json::Value> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\n\r\n",
            self.address
        );
        self.stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        loop {
            if self.stream.read_buf(&mut answer).await? == 0 {
                bail!("closed in the middle of an answer");
            }
            let Some(head) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
                continue;
            };
            let text = std::str::from_utf8(&answer[..head])?.to_ascii_lowercase();
            if !text.starts_with("http/1.1 2") {
                bail!("{method} {path}: {text}");
            }
            let length: usize = text
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))
                .context("an answer without a length")?
                .trim()
                .parse()?;
            if answer.len() >= head + 4 + length {
                return Ok(serde_json::from_slice(&answer[head + 4..])?);
            }
        }
    }

    /// The path of a new session's socket, and its id.
    pub(crate) async fn session(&mut self) -> Result<String> {
        let session = self.request("POST", "/sessions").await?;
        let id = session["id"].as_str().context("a session without an id")?;
        Ok(id.to_owned())
    }
}

/// The path of a session's socket.
pub(crate) fn socket(session: &str) -> String {
    format!("/ws/sessions/{session}")
}
