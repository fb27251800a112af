//! Peers that speak something else than this port: each is told what is wrong in its own language.

use crate::protocol::frame;
#[cfg(feature = "tls")]
use crate::protocol::frame::{HEADER_LEN, Header, MAX_HANDSHAKE_BODY};
use crate::protocol::message::ErrorReply;
#[cfg(feature = "tls")]
use crate::protocol::message::Kind;
use crate::protocol::{self, Code};

/// As many of a connection's first bytes tell what it speaks.
#[cfg(feature = "tls")]
pub(crate) const HEAD: usize = HEADER_LEN;

/// What a stranger speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stranger {
    /// TLS, at a port without it.
    Tls,
    /// chatnet without TLS, at a port with it.
    #[cfg(feature = "tls")]
    Plaintext,
    Http,
    Ssh,
    /// Anything else.
    #[cfg(feature = "tls")]
    Unknown,
}

/// What speaks at a port without TLS; none if it is to be answered in chatnet's frames.
pub(crate) fn at_plaintext(head: &[u8]) -> Option<Stranger> {
    match frame::stranger(head)? {
        "TLS" => Some(Stranger::Tls),
        "HTTP" => Some(Stranger::Http),
        "SSH" => Some(Stranger::Ssh),
        _ => None,
    }
}

/// What speaks at a port with TLS, its first byte being no TLS record's.
#[cfg(feature = "tls")]
pub(crate) fn at_tls(head: &[u8]) -> Stranger {
    if let Some(stranger) = at_plaintext(head) {
        return stranger;
    }
    let header = head.first_chunk::<HEADER_LEN>().map(|head| Header::from_bytes(*head));
    let hello = |header: &Header| header.kind == Kind::Hello.0 && header.length <= MAX_HANDSHAKE_BODY;
    if header.as_ref().is_some_and(hello) { Stranger::Plaintext } else { Stranger::Unknown }
}

impl Stranger {
    /// What is wrong.
    pub(crate) const fn code(self) -> Code {
        match self {
            Self::Tls => Code::TLS_NOT_SPOKEN,
            #[cfg(feature = "tls")]
            Self::Plaintext => Code::TLS_REQUIRED,
            _ => Code::NOT_CHATNET,
        }
    }

    /// What is wrong, and what to do.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Tls => {
                "this is a chatnet server without TLS; connect without it (chatnet --plaintext) if that is meant"
            }
            #[cfg(feature = "tls")]
            Self::Plaintext => "this server speaks TLS only; connect with TLS (chatnet without --plaintext)",
            Self::Http => "this is a chatnet server and speaks no HTTP; connect with a chatnet client",
            Self::Ssh => "this is a chatnet server, not an SSH server; connect with a chatnet client",
            #[cfg(feature = "tls")]
            Self::Unknown => "this is a chatnet server; connect with a chatnet client, over TLS",
        }
    }

    /// The answer, in the stranger's language.
    pub(crate) fn answer(self) -> Vec<u8> {
        match self {
            Self::Tls => {
                // A fatal alert, handshake_failure: a TLS client stops there. chatnet's own reads on, and finds why.
                let mut answer = vec![0x15, 3, 3, 0, 2, 2, 40];
                answer.extend(self.frame());
                answer
            }
            Self::Http => {
                let text = self.text();
                let length = text.len() + 1;
                format!(
                    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
                     Connection: close\r\n\r\n{text}\n"
                )
                .into_bytes()
            }
            Self::Ssh => ssh(self.text()),
            #[cfg(feature = "tls")]
            Self::Plaintext | Self::Unknown => self.frame(),
        }
    }

    fn frame(self) -> Vec<u8> {
        let (code, text) = (self.code(), self.text().to_owned());
        let (request, retry_after_ms, suggestion) = (None, None, None);
        protocol::to_frame(&ErrorReply { code, text, request, fatal: true, retry_after_ms, suggestion })
    }
}

/// An SSH server's banner and a disconnect message (RFC 4253, 4.2 and 11.1): the client shows its text.
fn ssh(text: &str) -> Vec<u8> {
    const DISCONNECT: u8 = 1;
    const PROTOCOL_ERROR: u32 = 2;
    let mut payload = vec![DISCONNECT];
    payload.extend(PROTOCOL_ERROR.to_be_bytes());
    payload.extend((text.len() as u32).to_be_bytes());
    payload.extend(text.as_bytes());
    payload.extend(0u32.to_be_bytes());
    // Packets are padded, with 4 bytes at least, to a multiple of 8.
    let padding = 4 + (8 - (4 + 1 + payload.len() + 4) % 8) % 8;
    let mut answer = b"SSH-2.0-chatnet\r\n".to_vec();
    answer.extend(((1 + payload.len() + padding) as u32).to_be_bytes());
    answer.push(padding as u8);
    answer.extend(payload);
    answer.resize(answer.len() + padding, 0);
    answer
}

/// What a server without TLS says to a TLS client behind its alert, if `bytes` hold that.
#[cfg(feature = "tls")]
pub(crate) fn behind_alert(bytes: &[u8]) -> Option<ErrorReply> {
    let rest = bytes.get(7..).filter(|_| bytes[0] == 0x15)?;
    in_frame(rest)
}

/// The refusal that a frame holds.
#[cfg(feature = "tls")]
pub(crate) fn in_frame(bytes: &[u8]) -> Option<ErrorReply> {
    let (frame, _) = frame::split(bytes, MAX_HANDSHAKE_BODY).ok()??;
    if frame.header.kind == Kind::ErrorReply.0 { protocol::decode(frame.body).ok() } else { None }
}

#[cfg(all(test, feature = "tls"))]
mod tests {
    use super::*;

    #[test]
    fn who_speaks_what_is_known_by_the_first_bytes() {
        assert_eq!(at_plaintext(&[0x16, 3, 1, 2, 0, 1, 0, 1]), Some(Stranger::Tls));
        assert_eq!(at_plaintext(b"USER x\r\n"), None);
        assert_eq!(at_tls(b"GET / HT"), Stranger::Http);
        assert_eq!(at_tls(b"SSH-2.0-"), Stranger::Ssh);
        assert_eq!(at_tls(&[0, 0, 0, 19, 0, 1, 0, 0]), Stranger::Plaintext);
        assert_eq!(at_tls(&[0, 0, 0, 19, 0, 9, 0, 0]), Stranger::Unknown);
        assert_eq!(at_tls(b"GE"), Stranger::Unknown);
    }

    #[test]
    fn behind_the_alert_a_chatnet_client_finds_the_reason() {
        let told = behind_alert(&Stranger::Tls.answer()).unwrap();
        assert_eq!((told.code, told.fatal), (Code::TLS_NOT_SPOKEN, true));
        assert_eq!(behind_alert(b"HTTP/1.1 400"), None);
        assert_eq!(behind_alert(&[0x15, 3]), None);
    }

    #[test]
    fn an_ssh_disconnect_is_padded_as_the_rfc_says() {
        for text in ["", "a", "abcdefg", "this is a longer one"] {
            let answer = ssh(text);
            let packet = &answer[17..];
            let length = u32::from_be_bytes(packet[..4].try_into().unwrap()) as usize;
            assert_eq!(packet.len(), 4 + length);
            assert_eq!(packet.len() % 8, 0);
            assert!(packet[4] >= 4);
        }
    }
}
