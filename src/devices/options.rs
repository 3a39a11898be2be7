//! Specifications in the command line's form: `key=value,flag,...`, into any type that serde knows.
//!
//! A flag without a value is `true`; `on` and `off` are booleans too. A comma in a value is written twice, as QEMU has it. A key that
//! is there several times is a list.

use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, IntoDeserializer, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};

/// Why a specification is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Error(message.to_string())
    }
}

/// Parses a specification; an empty one has no keys.
///
/// # Errors
/// A key is unknown, missing or there twice, or its value is not of its type.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    T::deserialize(MapDeserializer::new(split(text).into_iter()))
}

/// Keys and values in their order.
fn split(text: &str) -> Vec<(String, Value)> {
    if text.is_empty() {
        return Vec::new();
    }
    // No argument of a program holds a NUL.
    let parts = text.replace(",,", "\0");
    let mut found: Vec<(String, Value)> = Vec::new();
    for part in parts.split(',').map(|part| part.replace('\0', ",")) {
        let (key, text) = match part.split_once('=') {
            Some((key, text)) => (key, Some(text.to_owned())),
            None => (part.as_str(), None),
        };
        match found.iter_mut().find(|(known, _)| known == key) {
            Some((_, value)) => value.more.push(text),
            None => found.push((key.to_owned(), Value { key: key.to_owned(), text, more: Vec::new() })),
        }
    }
    found
}

/// A value that becomes what its key's type asks for.
struct Value {
    key: String,
    /// `None` of a flag.
    text: Option<String>,
    /// Those of the same key that follow.
    more: Vec<Option<String>>,
}

impl Value {
    /// The only value of its key.
    fn only(self) -> Result<Option<String>, Error> {
        if self.more.is_empty() {
            Ok(self.text)
        } else {
            Err(Error(format!("duplicate field `{}`", self.key)))
        }
    }

    fn text(self) -> Result<String, Error> {
        let key = self.key.clone();
        self.only()?.ok_or_else(|| Error(format!("{key} needs a value: {key}=...")))
    }
}

impl IntoDeserializer<'_, Error> for Value {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Numbers: decimal.
macro_rules! numbers {
    ($($method:ident $visit:ident),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let key = self.key.clone();
            let text = self.text()?;
            match text.parse() {
                Ok(number) => visitor.$visit(number),
                Err(_) => Err(Error(format!("{key}={text} is no number that it takes"))),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Value {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.only()? {
            Some(text) => visitor.visit_string(text),
            None => visitor.visit_bool(true),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let key = self.key.clone();
        match self.only()?.as_deref() {
            None | Some("on" | "true") => visitor.visit_bool(true),
            Some("off" | "false") => visitor.visit_bool(false),
            Some(text) => Err(Error(format!("{key}={text} is neither on nor off"))),
        }
    }

    numbers!(
        deserialize_u8 visit_u8, deserialize_u16 visit_u16, deserialize_u32 visit_u32, deserialize_u64 visit_u64,
        deserialize_i32 visit_i32, deserialize_i64 visit_i64
    );

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Value { key, text, more } = self;
        let one = |text| Value { key: key.clone(), text, more: Vec::new() };
        visitor.visit_seq(SeqDeserializer::new(std::iter::once(text).chain(more).map(one)))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let text: serde::de::value::StringDeserializer<Error> = self.text()?.into_deserializer();
        text.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        i8 i16 i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Mode {
        Fast,
        VerySafe,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    struct Spec {
        path: PathBuf,
        #[serde(default)]
        readonly: bool,
        queues: Option<u16>,
        mode: Option<Mode>,
        ports: Option<Vec<u16>>,
    }

    fn path_only(path: &str) -> Spec {
        Spec { path: path.into(), readonly: false, queues: None, mode: None, ports: None }
    }

    #[test]
    fn keys_become_fields_of_their_types() {
        let all = Spec { readonly: true, queues: Some(4), mode: Some(Mode::VerySafe), ..path_only("a b") };
        assert_eq!(parse("path=a b,readonly,queues=4,mode=very-safe"), Ok(all));
        assert_eq!(parse("path=12,readonly=off"), Ok(path_only("12")));
        assert_eq!(parse("path=true"), Ok(path_only("true")));
        assert_eq!(parse("path=a=b,,c,readonly=false"), Ok(path_only("a=b,c")));
        let ports = |text| parse::<Spec>(text).map(|spec| spec.ports);
        assert_eq!(ports("ports=1,path=x,ports=2"), Ok(Some(vec![1, 2])));
        assert_eq!(ports("ports=1,path=x"), Ok(Some(vec![1])));
        let read_only = |text| parse::<Spec>(text).map(|spec| (spec.readonly, spec.mode));
        assert_eq!(read_only("readonly=on,path=x,mode=fast"), Ok((true, Some(Mode::Fast))));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (text, told) in [
            ("", "missing field `path`"),
            ("path", "path needs a value: path=..."),
            ("path=a,path=b", "duplicate field `path`"),
            ("path=a,readonly,readonly", "duplicate field `readonly`"),
            ("path=a,queues=1,queues=2", "duplicate field `queues`"),
            ("path=a,ports=1,ports", "ports needs a value"),
            ("path=a,writable", "unknown field `writable`"),
            ("path=a,", "unknown field ``"),
            ("path=a,readonly=maybe", "readonly=maybe is neither on nor off"),
            ("path=a,queues=-1", "queues=-1 is no number that it takes"),
            ("path=a,queues=70000", "queues=70000 is no number that it takes"),
            ("path=a,queues", "queues needs a value"),
            ("path=a,mode=slow", "unknown variant `slow`, expected `fast` or `very-safe`"),
        ] {
            let error = parse::<Spec>(text).unwrap_err().to_string();
            assert!(error.starts_with(told), "{text}: {error}");
        }
    }
}
