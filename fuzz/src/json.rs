//! JSON as another parser reads it: `serde_json::Value`, which says what a text means, and this,
//! which also says what `Value` forgets: that a member stood there twice.

use std::{borrow::Cow, fmt};

use serde_core::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// A whole text, with each object as the list of its members.
#[derive(Debug)]
pub enum Tree {
    Leaf(Value),
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

/// Both readings of a text that is JSON.
pub fn read(text: &str) -> Option<(Value, Tree)> {
    let value = serde_json::from_str(text).ok()?;
    let tree = serde_json::from_str(text).expect("the same parser has read it");
    Some((value, tree))
}

impl Tree {
    /// Does one of these members stand twice in this object? `None`: one of any.
    pub fn repeats(&self, names: Option<&[&str]>) -> bool {
        let Self::Object(members) = self else { return false };
        let mut seen: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
        seen.retain(|name| names.is_none_or(|names| names.contains(name)));
        let all = seen.len();
        seen.sort_unstable();
        seen.dedup();
        seen.len() < all
    }

    /// The same of any object in it.
    pub fn repeats_somewhere(&self) -> bool {
        self.repeats(None)
            || match self {
                Self::Leaf(_) => false,
                Self::List(list) => list.iter().any(Self::repeats_somewhere),
                Self::Object(members) => members.iter().any(|(_, it)| it.repeats_somewhere()),
            }
    }

    /// The last member of this name.
    pub fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().rfind(|(key, _)| key == name).map(|(_, value)| value)
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Tree;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_bool<E>(self, it: bool) -> Result<Tree, E> {
                Ok(Tree::Leaf(it.into()))
            }

            fn visit_i64<E>(self, it: i64) -> Result<Tree, E> {
                Ok(Tree::Leaf(it.into()))
            }

            fn visit_u64<E>(self, it: u64) -> Result<Tree, E> {
                Ok(Tree::Leaf(it.into()))
            }

            fn visit_f64<E>(self, it: f64) -> Result<Tree, E> {
                Ok(Tree::Leaf(it.into()))
            }

            fn visit_str<E: Error>(self, it: &str) -> Result<Tree, E> {
                Ok(Tree::Leaf(it.into()))
            }

            fn visit_unit<E>(self) -> Result<Tree, E> {
                Ok(Tree::Leaf(Value::Null))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = list.next_element()? {
                    all.push(one);
                }
                Ok(Tree::List(all))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = map.next_entry()? {
                    all.push(one);
                }
                Ok(Tree::Object(all))
            }
        }
        from.deserialize_any(Reader)
    }
}

/// Is there a zero with a sign? `Value` takes `-0` for a fraction, and so cannot judge.
pub fn has_minus_zero(text: &str) -> bool {
    text.contains("-0")
}

/// Text as C can be given it.
pub fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{FFFD}").into() } else { text.into() }
}

/// Does a string stand there that is longer than a word may be? Such a one is cut or none, by rules
/// of its own (`qmp::message`).
pub fn has_long_string(text: &str) -> bool {
    let (mut len, mut escaped) = (0, false);
    text.bytes().any(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        len = if ends { 0 } else { len + 1 };
        len > 250
    })
}
