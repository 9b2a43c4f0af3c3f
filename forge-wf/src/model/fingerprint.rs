//! The hash of a call's arguments, and the check that a value survives JSON.
//!
//! Takes anything serde can walk; hands on 64 bits that are the same whenever the values are equal, whatever
//! order a `HashMap` happens to iterate in. Never writes JSON: that is serde_json's work.
//!
//! Maps are hashed entry by entry and the entry hashes added up, so their order does not count. Everything else
//! is hashed in order, with a tag in front of each value so that `["a", "b"]` and `["ab"]` differ. The algorithm
//! is frozen: journals of past versions hold its results.

use std::fmt;

use serde::ser::{self, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::limits::NESTING_MAX;

/// The fingerprint of `value`.
///
/// # Errors
/// What JSON cannot say: NaN, infinities, nesting beyond [`NESTING_MAX`]; or the value's own refusal.
pub fn fingerprint<T: Serialize + ?Sized>(value: &T) -> Result<u64, Unfit> {
    let mut hash = Xxh3::new();
    value.serialize(Walk { hash: &mut hash, depth: 0 })?;
    Ok(hash.digest())
}

/// Whether `value` survives JSON.
///
/// # Errors
/// As [`fingerprint`].
pub fn check<T: Serialize + ?Sized>(value: &T) -> Result<(), Unfit> {
    fingerprint(value).map(drop)
}

/// Why a value does not survive JSON.
#[derive(Debug)]
pub struct Unfit(String);

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for Unfit {}
impl ser::Error for Unfit {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

struct Walk<'h> {
    hash: &'h mut Xxh3,
    depth: usize,
}

/// One tag for each shape JSON can tell apart; structs and maps share one, as do all whole numbers.
enum Tag {
    Null = 0,
    Bool = 1,
    Whole = 2,
    Float = 3,
    Text = 4,
    Bytes = 5,
    List = 6,
    Map = 7,
    Variant = 8,
    End = 9,
}

impl<'h> Walk<'h> {
    fn put(self, tag: Tag, bytes: &[u8]) -> Result<(), Unfit> {
        self.hash.update(&[tag as u8]);
        self.hash.update(bytes);
        Ok(())
    }

    fn text(self, tag: Tag, text: &str) -> Result<(), Unfit> {
        self.hash.update(&[tag as u8]);
        self.hash.update(&(text.len() as u64).to_le_bytes());
        self.hash.update(text.as_bytes());
        Ok(())
    }

    fn float(self, value: f64) -> Result<(), Unfit> {
        if !value.is_finite() {
            return Err(Unfit(format!("{value} is not a number JSON can hold; use an Option or a finite value")));
        }
        self.put(Tag::Float, &value.to_bits().to_le_bytes())
    }

    fn enter(self) -> Result<Self, Unfit> {
        if self.depth >= NESTING_MAX {
            return Err(Unfit(format!("it is nested deeper than {NESTING_MAX} levels; flatten it")));
        }
        Ok(Self { hash: self.hash, depth: self.depth + 1 })
    }

    fn list(self) -> Result<List<'h>, Unfit> {
        let inside = self.enter()?;
        inside.hash.update(&[Tag::List as u8]);
        Ok(List(inside))
    }

    fn map(self) -> Result<Map<'h>, Unfit> {
        let inside = self.enter()?;
        inside.hash.update(&[Tag::Map as u8]);
        Ok(Map { walk: inside, sum: 0, count: 0, key: None })
    }

    fn variant(self, name: &str) -> Result<Self, Unfit> {
        let inside = self.enter()?;
        Walk { hash: inside.hash, depth: inside.depth }.text(Tag::Variant, name)?;
        Ok(inside)
    }
}

impl<'h> ser::Serializer for Walk<'h> {
    type Ok = ();
    type Error = Unfit;
    type SerializeSeq = List<'h>;
    type SerializeTuple = List<'h>;
    type SerializeTupleStruct = List<'h>;
    type SerializeTupleVariant = List<'h>;
    type SerializeMap = Map<'h>;
    type SerializeStruct = Map<'h>;
    type SerializeStructVariant = Map<'h>;

    fn serialize_bool(self, v: bool) -> Result<(), Unfit> {
        self.put(Tag::Bool, &[u8::from(v)])
    }
    fn serialize_i8(self, v: i8) -> Result<(), Unfit> {
        self.serialize_i128(v.into())
    }
    fn serialize_i16(self, v: i16) -> Result<(), Unfit> {
        self.serialize_i128(v.into())
    }
    fn serialize_i32(self, v: i32) -> Result<(), Unfit> {
        self.serialize_i128(v.into())
    }
    fn serialize_i64(self, v: i64) -> Result<(), Unfit> {
        self.serialize_i128(v.into())
    }
    fn serialize_i128(self, v: i128) -> Result<(), Unfit> {
        self.put(Tag::Whole, &v.to_le_bytes())
    }
    fn serialize_u8(self, v: u8) -> Result<(), Unfit> {
        self.serialize_i128(v.into())
    }
    fn serialize_u16(self, v: u16) -> Result<(), Unfit> {
        self.serialize_i128(v.into())
    }
    fn serialize_u32(self, v: u32) -> Result<(), Unfit> {
        self.serialize_i128(v.into())
    }
    fn serialize_u64(self, v: u64) -> Result<(), Unfit> {
        self.serialize_i128(v.into())
    }
    fn serialize_u128(self, v: u128) -> Result<(), Unfit> {
        self.put(Tag::Whole, &v.to_le_bytes())
    }
    fn serialize_f32(self, v: f32) -> Result<(), Unfit> {
        self.float(v.into())
    }
    fn serialize_f64(self, v: f64) -> Result<(), Unfit> {
        self.float(v)
    }
    fn serialize_char(self, v: char) -> Result<(), Unfit> {
        self.text(Tag::Text, v.encode_utf8(&mut [0; 4]))
    }
    fn serialize_str(self, v: &str) -> Result<(), Unfit> {
        self.text(Tag::Text, v)
    }
    fn serialize_bytes(self, v: &[u8]) -> Result<(), Unfit> {
        self.hash.update(&(v.len() as u64).to_le_bytes());
        self.put(Tag::Bytes, v)
    }
    fn serialize_none(self) -> Result<(), Unfit> {
        self.put(Tag::Null, &[])
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unfit> {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<(), Unfit> {
        self.put(Tag::Null, &[])
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Unfit> {
        self.put(Tag::Null, &[])
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Unfit> {
        self.text(Tag::Text, variant)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Unfit> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Unfit> {
        value.serialize(self.variant(variant)?)
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<List<'h>, Unfit> {
        self.list()
    }
    fn serialize_tuple(self, _: usize) -> Result<List<'h>, Unfit> {
        self.list()
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<List<'h>, Unfit> {
        self.list()
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<List<'h>, Unfit> {
        self.variant(variant)?.list()
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Map<'h>, Unfit> {
        self.map()
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Map<'h>, Unfit> {
        self.map()
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Map<'h>, Unfit> {
        self.variant(variant)?.map()
    }
}

/// Inside a list: its values, in order.
struct List<'h>(Walk<'h>);

impl List<'_> {
    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        value.serialize(Walk { hash: self.0.hash, depth: self.0.depth })
    }
    fn close(self) -> Result<(), Unfit> {
        self.0.put(Tag::End, &[])
    }
}

/// Inside a map: the sum of its entries' hashes, so their order does not count.
struct Map<'h> {
    walk: Walk<'h>,
    sum: u64,
    count: u64,
    key: Option<Xxh3>,
}

impl Map<'_> {
    fn key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unfit> {
        let mut hash = Xxh3::new();
        key.serialize(Walk { hash: &mut hash, depth: self.walk.depth })?;
        self.key = Some(hash);
        Ok(())
    }
    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        let mut hash = self.key.take().ok_or_else(|| Unfit("a map gave a value before its key".into()))?;
        value.serialize(Walk { hash: &mut hash, depth: self.walk.depth })?;
        self.sum = self.sum.wrapping_add(hash.digest());
        self.count += 1;
        Ok(())
    }
    fn close(self) -> Result<(), Unfit> {
        self.walk.hash.update(&self.count.to_le_bytes());
        self.walk.put(Tag::End, &self.sum.to_le_bytes())
    }
}

macro_rules! list_shapes {
    ($($shape:ident :: $method:ident),*) => {$(
        impl ser::$shape for List<'_> {
            type Ok = ();
            type Error = Unfit;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
                self.value(value)
            }
            fn end(self) -> Result<(), Unfit> {
                self.close()
            }
        }
    )*};
}
list_shapes!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

impl ser::SerializeMap for Map<'_> {
    type Ok = ();
    type Error = Unfit;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unfit> {
        self.key(key)
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        self.value(value)
    }
    fn end(self) -> Result<(), Unfit> {
        self.close()
    }
}

macro_rules! struct_shapes {
    ($($shape:ident),*) => {$(
        impl ser::$shape for Map<'_> {
            type Ok = ();
            type Error = Unfit;
            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Unfit> {
                self.key(key)?;
                self.value(value)
            }
            fn end(self) -> Result<(), Unfit> {
                self.close()
            }
        }
    )*};
}
struct_shapes!(SerializeStruct, SerializeStructVariant);

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_map_hashes_alike_in_every_order() {
        let pairs: Vec<(String, u32)> = (0..200).map(|n| (format!("k{n}"), n)).collect();
        let forwards: HashMap<_, _> = pairs.iter().cloned().collect();
        let backwards: HashMap<_, _> = pairs.iter().rev().cloned().collect();
        assert_eq!(fingerprint(&forwards).unwrap(), fingerprint(&backwards).unwrap());
    }

    #[test]
    fn different_values_differ() {
        let values = [
            serde_json::json!(["a", "b"]),
            serde_json::json!(["ab"]),
            serde_json::json!([["a"], "b"]),
            serde_json::json!({"a": "b"}),
            serde_json::json!(null),
            serde_json::json!([]),
        ];
        let mut hashes: Vec<u64> = values.iter().map(|value| fingerprint(value).unwrap()).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), values.len());
    }

    #[test]
    fn what_json_cannot_say_is_refused() {
        assert!(fingerprint(&f64::NAN).is_err());
        assert!(fingerprint(&vec![Some(f32::INFINITY)]).is_err());
        assert!(fingerprint(&1e308).is_ok());
        let mut deep = serde_json::json!(1);
        for _ in 0..NESTING_MAX {
            deep = serde_json::json!([deep]);
        }
        assert!(fingerprint(&deep).is_ok());
        let text = serde_json::to_string(&deep).unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "the deepest value allowed can be read");
        assert!(fingerprint(&serde_json::json!([deep])).unwrap_err().to_string().contains("127"));
    }

    #[test]
    fn the_algorithm_is_frozen() {
        #[derive(serde::Serialize)]
        struct Order {
            id: &'static str,
            qty: u32,
            price: Option<f64>,
        }
        let order = Order { id: "order-17", qty: 3, price: Some(1.5) };
        assert_eq!(fingerprint(&order).unwrap(), FROZEN);
    }
    const FROZEN: u64 = 2_466_984_443_652_500_736;
}
