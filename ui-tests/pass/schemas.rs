//! What a type looks like in a journal, and what of it counts for a signature.
#![deny(unused)]
#![allow(dead_code)]

use std::collections::{BTreeMap, HashMap, VecDeque};

use forge_wf::__private::{Schema as _, Step};
use forge_wf::prelude::*;

/// The same form, written in other words.
mod alike {
    use super::*;

    #[derive(Schema, Serialize, Deserialize)]
    pub struct Plain {
        pub order_id: String,
        pub lines: Vec<u32>,
    }

    #[derive(Schema, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case", bound = "")]
    pub struct Renamed {
        #[serde(rename = "lines", alias = "rows")]
        pub rows: VecDeque<u32>,
        #[serde(skip)]
        pub cache: u8,
        pub order_id: Box<str>,
    }

    #[derive(Schema, Serialize, Deserialize)]
    #[serde(transparent)]
    pub struct Transparent {
        pub held: Plain,
    }

    #[derive(Schema, Serialize, Deserialize)]
    pub struct Newtype(pub Plain);
}

macro_rules! unlike {
    ($($name:ident { $($item:tt)+ })+) => {
        $(mod $name {
            use super::*;
            #[derive(Schema, Serialize, Deserialize)]
            $($item)+
        })+
        const UNLIKE: &[u128] = &[$($name::It::STRUCTURE.digest()),+];
    };
}

unlike! {
    plain { pub struct It { a: u32 } }
    b { pub struct It { a: u64 } }
    c { pub struct It { b: u32 } }
    d { pub struct It { a: Option<u32> } }
    e { pub struct It { #[serde(default)] a: u32 } }
    f { pub struct It { a: u32, b: u32 } }
    g { #[serde(rename_all = "UPPERCASE")] pub struct It { a: u32 } }
    h { #[serde(deny_unknown_fields)] pub struct It { a: u32 } }
    i { pub struct It { #[serde(flatten)] a: HashMap<String, u32> } }
    j { pub struct It { a: HashMap<String, u32> } }
    k { pub struct It(u32, u32); }
    l { pub struct It(u32, u64); }
    m { pub struct It; }
    n { pub enum It { A, B } }
    o { pub enum It { A, C } }
    p { pub enum It { A, B(u32) } }
    q { pub enum It { A, B { x: u32 } } }
    r { #[serde(tag = "t")] pub enum It { A, B { x: u32 } } }
    s { #[serde(tag = "t", content = "c")] pub enum It { A, B { x: u32 } } }
    t { #[serde(untagged)] pub enum It { A, B { x: u32 } } }
    u { #[serde(rename_all = "snake_case")] pub enum It { A, B { x: u32 } } }
    v { #[serde(rename_all_fields = "UPPERCASE")] pub enum It { A, B { x: u32 } } }
    w { #[serde(from = "u8", into = "u8")] #[derive(Clone)] pub struct It { a: u8 } }
    x { pub struct It { #[serde(with = "as_text")] a: u32 } }
    y { #[serde(rename_all(serialize = "UPPERCASE"))] pub struct It { a: u32 } }
}

impl From<u8> for w::It {
    fn from(_: u8) -> Self {
        unimplemented!()
    }
}

impl From<w::It> for u8 {
    fn from(_: w::It) -> Self {
        unimplemented!()
    }
}

mod as_text {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(number: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&number.to_string())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        String::deserialize(deserializer).map(|text| text.len() as u32)
    }
}

/// Types that hold themselves and each other.
#[derive(Schema, Serialize, Deserialize)]
pub struct Tree<T> {
    value: T,
    children: Vec<Tree<T>>,
    parent: Option<Box<Self>>,
}

#[derive(Schema, Serialize, Deserialize)]
pub struct Chicken {
    #[schema(opaque)]
    egg: Option<Box<Egg>>,
}

#[derive(Schema, Serialize, Deserialize)]
pub struct Egg {
    chicken: Box<Chicken>,
}

/// Has no form, and counts by its name.
#[derive(Serialize, Deserialize)]
pub struct Formless;

#[derive(Schema, Serialize, Deserialize)]
pub struct Holder<'a, T, const N: usize>
where
    T: Clone,
{
    formless: BTreeMap<String, Formless>,
    text: std::borrow::Cow<'a, str>,
    rest: T,
    #[serde(skip)]
    size: std::marker::PhantomData<[u8; N]>,
}

/// Steps of the same name whose argument has the same name and not the same form.
mod before {
    use super::*;

    #[derive(Schema, Serialize, Deserialize)]
    pub struct Order {
        pub cents: u64,
    }

    #[step]
    pub async fn charge(order: &Order) -> Result<u64> {
        Ok(order.cents)
    }

    #[workflow]
    pub async fn checkout(ctx: &WorkflowContext, order: Order) -> Result<u64> {
        charge(ctx, &order).await
    }
}

mod after {
    use super::*;

    #[derive(Schema, Serialize, Deserialize)]
    pub struct Order {
        pub cents: u32,
    }

    #[step]
    pub async fn charge(order: &Order) -> Result<u64> {
        Ok(order.cents.into())
    }

    #[workflow]
    pub async fn checkout(ctx: &WorkflowContext, order: Order) -> Result<u64> {
        charge(ctx, &order).await
    }
}

#[derive(Schema, Serialize, Deserialize, Event)]
pub struct Approved {
    by: String,
    trees: Vec<Tree<u8>>,
}

/// What has no form of a user's own counts as it is written: nobody's signature changes by a new build of the library.
#[step]
async fn plain_step(number: u64) -> Result<u64> {
    Ok(number)
}

#[workflow(steps(plain_step))]
async fn waits(ctx: &WorkflowContext) -> Result<Vec<Tree<u8>>> {
    Ok(ctx.wait_for_event::<Approved>().await?.trees)
}

fn main() {
    let plain = alike::Plain::STRUCTURE;
    assert_eq!(plain, alike::Renamed::STRUCTURE);
    assert_eq!(plain, alike::Transparent::STRUCTURE);
    assert_eq!(plain, alike::Newtype::STRUCTURE);
    for (place, one) in UNLIKE.iter().enumerate() {
        assert!(UNLIKE[place + 1..].iter().all(|other| other != one), "{place}");
    }
    assert_ne!(<Tree<u8>>::STRUCTURE, <Tree<u16>>::STRUCTURE);
    assert_ne!(Chicken::STRUCTURE, Egg::STRUCTURE);
    assert_eq!(<Holder<'_, u8, 1>>::STRUCTURE, <Holder<'static, u8, 2>>::STRUCTURE, "what is skipped says nothing");
    assert_ne!(before::charge::INTERFACE, after::charge::INTERFACE);
    assert_ne!(before::checkout::SIGNATURE, after::checkout::SIGNATURE);
    assert_ne!(waits::SIGNATURE, plain_step::INTERFACE);
}
