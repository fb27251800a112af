//! Numbers on the wire that later versions may add to.

/// An enum over such numbers, with its coding.
macro_rules! open_number {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $n:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
            /// One that this version doesn't know.
            Other(u8),
        }

        impl $name {
            /// Its number on the wire.
            pub const fn to_u8(self) -> u8 {
                match self { $(Self::$variant => $n,)* Self::Other(n) => n }
            }

            /// What a number on the wire means.
            pub const fn from_u8(n: u8) -> Self {
                match n { $($n => Self::$variant,)* n => Self::Other(n) }
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.u8(self.to_u8())?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                d.u8().map(Self::from_u8)
            }
        }
    };
}

pub(super) use open_number;
