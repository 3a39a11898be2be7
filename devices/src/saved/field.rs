//! The bytes of states, as the module's documentation lists them.

use super::{Error, Kind, Result, Saved};

/// What a state is made of.
pub trait Field: Sized {
    /// Appends the bytes.
    fn put(&self, to: &mut Vec<u8>);

    /// Takes the bytes.
    fn take(from: &mut Reader<'_>) -> Result<Self>;
}

/// The bytes of a state that are not read yet.
pub struct Reader<'a> {
    kind: Kind,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(kind: Kind, rest: &'a [u8]) -> Self {
        Reader { kind, rest }
    }

    fn bytes(&mut self, len: usize) -> Result<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Error::Truncated { kind: self.kind })?;
        self.rest = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Error::Truncated { kind: self.kind })?;
        self.rest = rest;
        Ok(*bytes)
    }

    /// A number of parts, each of which has at least one byte: so the bytes bound what is made of them.
    fn count(&mut self) -> Result<usize> {
        let count = usize::try_from(u32::take(self)?).unwrap_or(usize::MAX);
        if count > self.rest.len() { Err(Error::Truncated { kind: self.kind }) } else { Ok(count) }
    }

    pub(super) const fn end(&self) -> Result<()> {
        match self.rest.len() {
            0 => Ok(()),
            bytes => Err(Error::Trailing { kind: self.kind, bytes }),
        }
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Field for $number {
            fn put(&self, to: &mut Vec<u8>) {
                to.extend(self.to_le_bytes());
            }

            fn take(from: &mut Reader<'_>) -> Result<Self> {
                Ok(Self::from_le_bytes(from.array()?))
            }
        }
    )*};
}

numbers!(u8, u16, u32, u64, i64);

impl Field for bool {
    fn put(&self, to: &mut Vec<u8>) {
        to.push((*self).into());
    }

    fn take(from: &mut Reader<'_>) -> Result<Self> {
        match u8::take(from)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Error::Invalid { kind: from.kind, what: "a flag that is neither 0 nor 1" }),
        }
    }
}

impl<T: Field> Field for Option<T> {
    fn put(&self, to: &mut Vec<u8>) {
        self.is_some().put(to);
        if let Some(part) = self {
            part.put(to);
        }
    }

    fn take(from: &mut Reader<'_>) -> Result<Self> {
        Ok(if bool::take(from)? { Some(T::take(from)?) } else { None })
    }
}

impl<A: Field, B: Field> Field for (A, B) {
    fn put(&self, to: &mut Vec<u8>) {
        self.0.put(to);
        self.1.put(to);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self> {
        Ok((A::take(from)?, B::take(from)?))
    }
}

impl<const N: usize> Field for [u8; N] {
    fn put(&self, to: &mut Vec<u8>) {
        to.extend(self);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self> {
        from.array()
    }
}

impl<T: Field> Field for Vec<T> {
    fn put(&self, to: &mut Vec<u8>) {
        put_count(self.len(), to);
        self.iter().for_each(|part| part.put(to));
    }

    fn take(from: &mut Reader<'_>) -> Result<Self> {
        let count = from.count()?;
        (0..count).map(|_| T::take(from)).collect()
    }
}

impl Field for Saved {
    fn put(&self, to: &mut Vec<u8>) {
        self.kind.0.put(to);
        self.version.put(to);
        put_count(self.bytes.len(), to);
        to.extend(&self.bytes);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self> {
        let (kind, version) = (Kind(from.array()?), u32::take(from)?);
        let count = from.count()?;
        Ok(Saved { kind, version, bytes: from.bytes(count)?.to_vec() })
    }
}

/// No device has as much state as could not be counted; a count that is cut off would be found when it is read.
fn put_count(count: usize, to: &mut Vec<u8>) {
    u32::try_from(count).unwrap_or(u32::MAX).put(to);
}

/// Defines a plain type for saved state: its kind and version, and its fields in the order of their bytes.
///
/// Without kind and version, it is a part of a state.
macro_rules! state {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident: $kind:literal, $version:literal {
            $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
        }
    ) => {
        $crate::saved::state! {
            $(#[$meta])*
            $vis struct $name { $($(#[$field_meta])* $field: $type,)* }
        }

        impl $crate::saved::State for $name {
            const KIND: $crate::saved::Kind = $crate::saved::Kind::new($kind);
            const VERSION: u32 = $version;
        }
    };
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$meta])*
        $vis struct $name {
            $($(#[$field_meta])* $field: $type,)*
        }

        impl $crate::saved::Field for $name {
            fn put(&self, to: &mut Vec<u8>) {
                $($crate::saved::Field::put(&self.$field, to);)*
            }

            fn take(from: &mut $crate::saved::Reader<'_>) -> $crate::saved::Result<Self> {
                Ok($name { $($field: $crate::saved::Field::take(from)?,)* })
            }
        }
    };
}
pub(crate) use state;
