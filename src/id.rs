//! The names and numbers of the domain, each parsed once at the edge.
//!
//! Inside the library nothing with a meaning travels as a bare `String` or `u64`.

use std::fmt;
use std::sync::Arc;

use minicbor::decode::{Decode, Decoder, Error as DecodeError};
use minicbor::encode::{Encode, Encoder, Error as EncodeError, Write};

use crate::text::{self, NameError};

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Draw a new id: 128 bits from the operating system's random source.
            pub fn random() -> Self {
                Self(random_bytes())
            }

            /// Take the sixteen bytes of an id as they stand on the wire.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The sixteen bytes, as they stand on the wire.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:02x}{:02x}{:02x}{:02x}…)", stringify!($name), self.0[0], self.0[1], self.0[2], self.0[3])
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
                let at = d.position();
                let bytes = d.bytes()?;
                let bytes = bytes.try_into().map_err(|_| DecodeError::message("an id has 16 bytes").at(at))?;
                Ok(Self(bytes))
            }
        }
    };
}

random_id! {
    /// Who somebody is, whatever they are called: a guest's stay, an account, or the application itself.
    ///
    /// Never reused. Memberships, deduplication and everything else that must survive a change of alias is keyed by it.
    PrincipalId
}
random_id! {
    /// One incarnation of a room. A room that ends and is made again under its old name has a new id.
    RoomId
}
random_id! {
    /// One client's stay on the server; it outlives a broken connection.
    SessionId
}
random_id! {
    /// A client's outbox: the namespace of its publish ids. Never shown to other clients.
    OutboxId
}
random_id! {
    /// One life of a store: new for every memory start and every restored backup, so that cursors of another
    /// life are recognised.
    Lineage
}

/// A number that nobody can foresee.
pub(crate) fn random_u32() -> u32 {
    let [a, b, c, d, ..] = random_bytes();
    u32::from_be_bytes([a, b, c, d])
}

pub(crate) fn random_bytes() -> [u8; 16] {
    let mut bytes = [0; 16];
    // Without the operating system's random source no id is safe to hand out, and there is nothing to fall back to.
    getrandom::fill(&mut bytes).expect("the operating system's random source works");
    bytes
}

/// An event's number in its room: from 1, without gaps. 0 stands for "before the first event".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seq(u64);

impl Seq {
    /// Before the first event: the cursor of a reader that has seen nothing.
    pub const ZERO: Seq = Seq(0);

    /// Wrap a number as it stands on the wire.
    pub const fn new(n: u64) -> Self {
        Self(n)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of the event that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl<C> Encode<C> for Seq {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.u64(self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Seq {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        d.u64().map(Self)
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z, as the server's clock has them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Wrap a number of milliseconds since 1970-01-01T00:00:00Z.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub const fn as_millis(self) -> i64 {
        self.0
    }
}

/// For people: RFC 3339, to the second, in UTC.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(1000);
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // Years begin in March, so that a leap day ends one: 400 of them have 146,097 days, and five months 153.
        let days = days + 719_468;
        let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
        let year = era * 400 + year + i64::from(month <= 2);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:expr, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The longest such name, in characters as people count them (grapheme clusters).
            pub const MAX_CHARS: usize = $max;

            /// Check a name from outside and take it, brought into Unicode's form NFC.
            ///
            /// # Errors
            ///
            /// Says in words what is wrong with it.
            pub fn parse(raw: &str) -> Result<Self, NameError> {
                $check(raw, $what, Self::MAX_CHARS).map(Self)
            }

            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(raw: &str) -> Result<Self, NameError> {
                Self::parse(raw)
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
                e.str(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
                let at = d.position();
                Self::parse(d.str()?).map_err(|_| DecodeError::message(concat!("not a valid ", $what)).at(at))
            }
        }
    };
}

name! {
    /// The name a person shows: 1 to 32 characters, no control, invisible or bidi-control characters, no white
    /// space but single spaces inside. Emoji are fine. Who takes a new one is held to [more](Alias::unreserved).
    Alias, "alias", 32, text::check_name
}
name! {
    /// A room's label: 1 to 64 characters without white space, control, invisible or bidi-control characters.
    RoomName, "room name", 64, text::check_word
}

impl RoomName {
    /// Check that a new room may be called so: it is not taken for a direct, nor for a name in quotes.
    pub(crate) fn addressable(self) -> Result<Self, NameError> {
        match text::mistaken_room(&self.0) {
            Some(taken_for) => Err(NameError::Mistakable { what: "room name", taken_for }),
            None => Ok(self),
        }
    }
}

impl Alias {
    /// The alias without the letters' case.
    pub fn folded(&self) -> String {
        self.0.to_lowercase()
    }

    /// What this alias has in common with those that look like it, whatever their case and script: two aliases with the
    /// same skeleton can't be told apart, and only one of them may be somebody's. Not for showing. It is the skeleton of
    /// the alias as it is written; what looks like it in small letters or in capitals isn't taken beside it either.
    pub fn skeleton(&self) -> String {
        text::skeleton(&self.0)
    }

    /// The skeletons of the ways in which it may be written.
    pub(crate) fn looks(&self) -> Vec<String> {
        text::looks(&self.0)
    }

    /// Whether it can't be told from another one.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let others = other.looks();
        self.looks().iter().any(|look| others.contains(look))
    }

    /// Check that somebody may take it: it isn't kept for the server's own use, such as `admin`, doesn't look like that, and
    /// can be addressed: it isn't taken for a mask, an address, a quoted name, a direct, a room or a command. Who has it
    /// from before keeps it: that is asked of new ones.
    ///
    /// # Errors
    ///
    /// Says in words what is wrong with it.
    pub fn unreserved(self) -> Result<Self, NameError> {
        if text::is_reserved(&self.0) {
            return Err(NameError::Reserved { what: "alias" });
        }
        self.addressable()
    }

    /// The part of [`unreserved`](Self::unreserved) that isn't about who may have it.
    pub(crate) fn addressable(self) -> Result<Self, NameError> {
        match text::mistaken(&self.0) {
            Some(taken_for) => Err(NameError::Mistakable { what: "alias", taken_for }),
            None => Ok(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_keeps_what_was_typed_and_folds_case_for_comparison() {
        let alias = Alias::parse("Ärger").unwrap();
        assert_eq!(alias.as_str(), "Ärger");
        assert_eq!(alias.folded(), "ärger");
    }

    #[test]
    fn a_time_is_told_to_the_second_also_on_a_leap_day_and_before_1970() {
        for (seconds, told) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_827_696, "2000-02-29T12:34:56Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(Timestamp::from_millis(seconds * 1000 + 999).to_string(), told);
        }
        assert!(!Timestamp::from_millis(i64::MAX).to_string().is_empty());
        assert!(!Timestamp::from_millis(i64::MIN).to_string().is_empty());
    }

    #[test]
    fn a_room_name_has_no_white_space() {
        assert!(RoomName::parse("two words").is_err());
        assert!(RoomName::parse("lobby").is_ok());
    }

    #[test]
    fn debug_shows_only_the_head_of_an_id() {
        assert_eq!(format!("{:?}", RoomId::from_bytes([0xab; 16])), "RoomId(abababab…)");
    }
}
