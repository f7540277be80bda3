//! Is this JSON that QEMU reads? It answers what it cannot read without saying which command that
//! was, so that whoever sent it would wait in vain. Nothing is kept of what is looked through.

use std::{collections::BTreeSet, fmt};

use serde_core::de::{
    DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor,
};

/// An object, and nothing behind it. No key stands twice in it, and every character is one.
pub fn check_object(json: &str) -> serde_json::Result<()> {
    let mut reader = serde_json::Deserializer::from_str(json);
    reader.deserialize_map(Strict)?;
    reader.end()
}

struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut keys = BTreeSet::new();
        while let Some(key) = map.next_key_seed(Key)? {
            if keys.contains(&key) {
                return Err(A::Error::custom(format_args!(
                    "the member {key:?} stands there twice"
                )));
            }
            keys.insert(key);
            map.next_value_seed(Self)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Self)?.is_some() {}
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match text.chars().find(|c| is_none(*c)) {
            Some(c) => Err(E::invalid_value(Unexpected::Char(c), &"a character")),
            None => Ok(()),
        }
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<String, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        Strict.visit_str(text).map(|()| text.to_owned())
    }
}

/// Numbers that Unicode gives to no character, which QEMU refuses.
fn is_none(c: char) -> bool {
    let number = u32::from(c);
    number & 0xFFFE == 0xFFFE || (0xFDD0..=0xFDEF).contains(&number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_qemu_reads_passes() {
        for json in [
            "{}",
            " {\"a\": [1, -1.5e3, 18446744073709551615, true, null, {\"a\": \"\\ud83d\\ude00\"}]} ",
            "{\"a\": {\"b\": 1}, \"b\": {\"b\": 1}}",
            "{\n\t\"a\": \"\\u0000\"\r}",
        ] {
            assert!(check_object(json).is_ok(), "{json}: {:?}", check_object(json));
        }
    }

    #[test]
    fn what_qemu_would_answer_without_an_id_does_not() {
        for json in [
            "",
            "[]",
            "1",
            "{",
            "{} {}",
            "{'a': 1}",
            "{\"a\": 1, \"\\u0061\": 2}",
            "{\"b\": [{\"a\": 1, \"a\": 2}]}",
            "{\"a\": \"\\ud83d\"}",
            "{\"a\": \"\u{ffff}\"}",
            "{\"\\ufdd0\": 1}",
            "{\"a\": 1e999}",
            "{\"a\": NaN}",
            "{\"a\": \"\n\"}",
            "{\"a\": 01}",
        ] {
            assert!(check_object(json).is_err(), "{json}");
        }
        assert!(check_object(&format!("{{\"a\": {}}}", "[".repeat(100_000))).is_err());
    }
}
