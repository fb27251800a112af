//! The stable numbers of refusals and goodbyes.

use std::fmt;

use minicbor::decode::{Decode, Decoder, Error as DecodeError};
use minicbor::encode::{Encode, Encoder, Error as EncodeError, Write};

/// Why something was refused or a connection ended: a number that never changes its meaning.
///
/// A number that this version doesn't know keeps its value; judge it by its hundred: 1xx the connection, 2xx who may
/// come in, 3xx rooms, 4xx what was published, 5xx the server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u16);

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $n:literal, $text:literal;)*) => {
        impl Code {
            $($(#[doc = $doc])+ pub const $name: Code = Code($n);)*

            /// The code's name as it stands in PROTOCOL.md, `"unknown"` for one that this version doesn't know.
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $($n => $text,)*
                    _ => "unknown",
                }
            }

            /// Every code of this version.
            pub const ALL: &'static [Code] = &[$(Code($n)),*];
        }
    };
}

codes! {
    /// The peer left of its own accord.
    GOODBYE = 0, "goodbye";
    /// The first bytes are not a chatnet `Hello`.
    NOT_CHATNET = 100, "not_chatnet";
    /// No version is spoken by both.
    UNSUPPORTED_VERSION = 101, "unsupported_version";
    /// A frame is longer than agreed.
    FRAME_TOO_LONG = 102, "frame_too_long";
    /// A body can't be decoded.
    MALFORMED = 103, "malformed";
    /// A message came where the protocol has no place for it.
    OUT_OF_ORDER = 104, "out_of_order";
    /// The message's kind is not known here.
    UNSUPPORTED_KIND = 105, "unsupported_kind";
    /// The handshake wasn't completed in time.
    HANDSHAKE_TIMEOUT = 106, "handshake_timeout";
    /// Nothing was heard for three heartbeats.
    IDLE_TIMEOUT = 107, "idle_timeout";
    /// The client can't take the server's largest event.
    LIMITS_TOO_SMALL = 108, "limits_too_small";
    /// A frame was begun and not completed in time.
    FRAME_TIMEOUT = 109, "frame_timeout";
    /// The server speaks TLS only, and the client doesn't.
    TLS_REQUIRED = 110, "tls_required";
    /// The client speaks TLS, and the server doesn't.
    TLS_NOT_SPOKEN = 111, "tls_not_spoken";
    /// Somebody present has this alias, or one that looks like it; the error's suggestion is free.
    ALIAS_IN_USE = 200, "alias_in_use";
    /// The alias breaks the rules for names, or is kept for the server's own use.
    ALIAS_INVALID = 201, "alias_invalid";
    /// The credentials are wrong.
    AUTH_FAILED = 202, "auth_failed";
    /// The server doesn't offer this way to authenticate.
    MECHANISM_UNSUPPORTED = 203, "mechanism_unsupported";
    /// The server has as many connections as it takes.
    SERVER_FULL = 204, "server_full";
    /// This address has as many connections as it may have.
    TOO_MANY_CONNECTIONS = 205, "too_many_connections";
    /// The application doesn't let this client in.
    CONNECT_REFUSED = 206, "connect_refused";
    /// The session that the token names has ended, or never was: begin a new one.
    SESSION_EXPIRED = 207, "session_expired";
    /// Another connection goes on with this session.
    SESSION_REPLACED = 208, "session_replaced";
    /// The application doesn't let this client have the alias.
    ALIAS_REFUSED = 209, "alias_refused";
    /// Too many logins have failed; try again later.
    TOO_MANY_LOGINS = 220, "too_many_logins";
    /// The server doesn't take new accounts, or not with this code.
    REGISTRATION_CLOSED = 221, "registration_closed";
    /// No secret may be sent over this connection: it isn't encrypted.
    INSECURE = 222, "insecure";
    /// The password can't be one: too short, or too long.
    PASSWORD_INVALID = 223, "password_invalid";
    /// Banned from the server.
    BANNED = 224, "banned";
    /// The session was ended by its owner, or with its account's password.
    SESSION_REVOKED = 225, "session_revoked";
    /// New accounts need a code here: ask for it, and send it too.
    CODE_NEEDED = 226, "code_needed";
    /// There is no such room, or not for this client.
    NO_SUCH_ROOM = 300, "no_such_room";
    /// The name breaks the rules for rooms.
    ROOM_NAME_INVALID = 301, "room_name_invalid";
    /// Only members may do this.
    NOT_A_MEMBER = 302, "not_a_member";
    /// The session is in as many rooms as it may be, or the server has as many as it takes.
    TOO_MANY_ROOMS = 303, "too_many_rooms";
    /// The application doesn't let this client into the room.
    JOIN_REFUSED = 304, "join_refused";
    /// Put out of the room.
    KICKED = 310, "kicked";
    /// Banned from the room.
    ROOM_BANNED = 311, "room_banned";
    /// Only who is invited may come in.
    INVITE_ONLY = 312, "invite_only";
    /// The room's password is missing, or wrong.
    ROOM_PASSWORD = 313, "room_password";
    /// The room has as many members as it may.
    ROOM_FULL = 314, "room_full";
    /// One's role doesn't permit this.
    NOT_PERMITTED = 315, "not_permitted";
    /// There is a room of this name already.
    ROOM_EXISTS = 316, "room_exists";
    /// Nobody is known by this name or id.
    NO_SUCH_PERSON = 317, "no_such_person";
    /// One of the two has blocked the other.
    BLOCKED = 318, "blocked";
    /// The request is not one that can be done.
    BAD_REQUEST = 319, "bad_request";
    /// The text is not UTF-8, holds characters that are not allowed, or has too many lines.
    TEXT_INVALID = 400, "text_invalid";
    /// The event is larger than the server takes.
    EVENT_TOO_LARGE = 401, "event_too_large";
    /// The application refused the message.
    MESSAGE_REFUSED = 402, "message_refused";
    /// The application's handler failed or took too long; the message may be sent again.
    HANDLER_FAILED = 403, "handler_failed";
    /// An earlier publish id is missing; send again from the one named.
    RESEND = 404, "resend";
    /// Too much is waiting to be stored; send again later.
    BUSY = 405, "busy";
    /// The room's head is not the one that was expected.
    PRECONDITION_FAILED = 406, "precondition_failed";
    /// The kind of event is not one that clients may publish.
    EVENT_KIND_REFUSED = 407, "event_kind_refused";
    /// More than one may do in so short a time; try again when the answer says.
    RATE_LIMITED = 408, "rate_limited";
    /// Muted in this room.
    MUTED = 420, "muted";
    /// Only moderators talk in this room.
    ANNOUNCEMENT_ONLY = 421, "announcement_only";
    /// Nobody talks in this room any more.
    ARCHIVED = 422, "archived";
    /// Something went wrong inside the server; its log says what.
    INTERNAL = 500, "internal";
    /// The server is stopping.
    SHUTTING_DOWN = 501, "shutting_down";
    /// The application or an operator ended the connection.
    DISCONNECTED = 502, "disconnected";
    /// The store can't keep events at the moment.
    STORE_FAILED = 503, "store_failed";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code({} {})", self.0, self.name())
    }
}

impl<C> Encode<C> for Code {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.u16(self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Code {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        d.u16().map(Code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_and_names_are_unique_and_documented() {
        let document = include_str!("PROTOCOL.md");
        let mut seen = HashSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.name()), "{code} twice");
            assert!(document.contains(&format!("| {} | `{}` |", code.0, code.name())), "PROTOCOL.md lacks {code}");
        }
    }
}
