//! How QEMU reads what a client sends: values one behind the other with or without line ends, and
//! after what is no JSON on from the next sign that may begin something.

use std::ops::Range;

use serde_json::{Map, Value};

/// What came of one piece of input.
#[derive(Debug, PartialEq)]
pub enum Read {
    Value {
        value: Value,
        /// A number in it is beyond all bounds, and stands there as null.
        infinite: bool,
    },
    /// It was no JSON.
    Error(String),
}

#[derive(Clone, Debug, Default)]
pub struct Input {
    token: Vec<u8>,
    state: State,
    tokens: Vec<Vec<u8>>,
    braces: i64,
    brackets: i64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Start,
    /// In a string that this quote ends.
    String(u8),
    Escape(u8),
    Word,
    Number,
    /// After an error, until a sign that may begin something.
    Recovery,
}

impl Input {
    /// What is whole with these bytes.
    pub fn read(&mut self, bytes: &[u8]) -> Vec<Read> {
        let mut read = Vec::new();
        for byte in bytes {
            self.byte(*byte, &mut read);
        }
        read
    }

    fn byte(&mut self, byte: u8, read: &mut Vec<Read>) {
        let goes_on = match self.state {
            State::Word => byte.is_ascii_lowercase(),
            State::Number => byte.is_ascii_alphanumeric() || b"+-.".contains(&byte),
            _ => true,
        };
        if !goes_on {
            if self.state == State::Number && !is_number(&self.token) {
                return self.stray(byte, read);
            }
            self.state = State::Start;
            self.end_token(read);
        }
        match self.state {
            State::Start => self.begin(byte, read),
            State::String(_) | State::Escape(_) if !PLAIN.contains(&byte) => {
                self.stray(byte, read);
            }
            State::String(quote) => {
                self.token.push(byte);
                match byte {
                    b'\\' => self.state = State::Escape(quote),
                    _ if byte == quote => {
                        self.state = State::Start;
                        self.end_token(read);
                    }
                    _ => {}
                }
            }
            State::Escape(quote) => {
                self.token.push(byte);
                self.state = State::String(quote);
            }
            State::Word | State::Number => self.token.push(byte),
            State::Recovery if !PLAIN.contains(&byte) || is_structural(byte) => {
                self.state = State::Start;
                self.begin(byte, read);
            }
            State::Recovery => {}
        }
    }

    fn begin(&mut self, byte: u8, read: &mut Vec<Read>) {
        self.state = match byte {
            b' ' | b'\t' | b'\r' | b'\n' => return,
            b'"' | b'\'' => State::String(byte),
            b'a'..=b'z' => State::Word,
            b'-' | b'0'..=b'9' => State::Number,
            _ if is_structural(byte) => State::Start,
            _ => return self.stray(byte, read),
        };
        self.token.push(byte);
        if self.state == State::Start {
            self.end_token(read);
        }
    }

    /// No token goes on with this byte.
    fn stray(&mut self, byte: u8, read: &mut Vec<Read>) {
        self.token.push(byte);
        let token = String::from_utf8_lossy(&std::mem::take(&mut self.token)).into_owned();
        self.state = State::Recovery;
        self.forget();
        read.push(Read::Error(format!("JSON parse error, stray '{token}'")));
    }

    fn end_token(&mut self, read: &mut Vec<Read>) {
        let token = std::mem::take(&mut self.token);
        match token[0] {
            b'{' => self.braces += 1,
            b'}' => self.braces -= 1,
            b'[' => self.brackets += 1,
            b']' => self.brackets -= 1,
            _ => {}
        }
        self.tokens.push(token);
        if self.braces + self.brackets > NESTING_MAX {
            self.forget();
            read.push(Read::Error("JSON nesting depth limit exceeded".into()));
        } else if self.braces < 0 || self.brackets < 0 || self.braces + self.brackets == 0 {
            let mut parser = Parser { tokens: &self.tokens, infinite: false };
            let parsed = parser.value();
            let infinite = parser.infinite;
            read.push(match parsed {
                Ok(value) => Read::Value { value, infinite },
                Err(text) => Read::Error(format!("JSON parse error, {text}")),
            });
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.tokens.clear();
        (self.braces, self.brackets) = (0, 0);
    }
}

struct Parser<'a> {
    tokens: &'a [Vec<u8>],
    infinite: bool,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<&[u8]> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    fn next_is(&mut self, sign: u8) -> bool {
        let is = self.tokens.first().is_some_and(|token| **token == [sign]);
        if is {
            self.tokens = &self.tokens[1..];
        }
        is
    }

    fn value(&mut self) -> Result<Value, String> {
        let Some(token) = self.next() else { return Err("premature EOI".into()) };
        match token {
            b"{" => self.object(),
            b"[" => self.array(),
            [b'"' | b'\'', ..] => string(token).map(Value::String),
            b"true" => Ok(true.into()),
            b"false" => Ok(false.into()),
            b"null" => Ok(Value::Null),
            [b'a'..=b'z', ..] => {
                Err(format!("invalid keyword '{}'", String::from_utf8_lossy(token)))
            }
            [b'-' | b'0'..=b'9', ..] => {
                let number = serde_json::from_slice(token);
                self.infinite |= number.is_err();
                Ok(number.unwrap_or(Value::Null))
            }
            _ => Err("expecting value".into()),
        }
    }

    fn object(&mut self) -> Result<Value, String> {
        let mut members = Map::new();
        if self.next_is(b'}') {
            return Ok(members.into());
        }
        loop {
            let Value::String(name) = self.value()? else {
                return Err("key is not a string in object".into());
            };
            if !self.next_is(b':') {
                return Err("missing : in object pair".into());
            }
            if members.insert(name, self.value()?).is_some() {
                return Err("duplicate key".into());
            }
            if self.next_is(b'}') {
                return Ok(members.into());
            }
            if !self.next_is(b',') {
                return Err("expected separator in dict".into());
            }
        }
    }

    fn array(&mut self) -> Result<Value, String> {
        let mut values = Vec::new();
        if self.next_is(b']') {
            return Ok(values.into());
        }
        loop {
            values.push(self.value()?);
            if self.next_is(b']') {
                return Ok(values.into());
            }
            if !self.next_is(b',') {
                return Err("expected separator in list".into());
            }
        }
    }
}

/// The text of a string in quotes of either kind.
fn string(token: &[u8]) -> Result<String, String> {
    let invalid = || "invalid UTF-8 sequence in string".to_string();
    let text = std::str::from_utf8(&token[1..token.len() - 1]).map_err(|_| invalid())?;
    // QEMU takes no such code points, and JSON knows no such quotes.
    if text.chars().any(|c| u32::from(c) & 0xfffe == 0xfffe) {
        return Err(invalid());
    }
    let text =
        if token[0] == b'\'' { text.replace('"', "\\\"").replace("\\'", "'") } else { text.into() };
    let invalid = |_| format!("{text} holds an invalid escape sequence");
    serde_json::from_str(&format!("\"{text}\"")).map_err(invalid)
}

/// `serde_json` takes the same numbers, but for those beyond its bounds.
fn is_number(token: &[u8]) -> bool {
    match serde_json::from_slice::<Value>(token) {
        Ok(_) => true,
        Err(error) => error.to_string().starts_with("number out of range"),
    }
}

fn is_structural(byte: u8) -> bool {
    b"{}[]:,".contains(&byte)
}

const NESTING_MAX: i64 = 1024;
/// Bytes that may stand in a string.
const PLAIN: Range<u8> = b' '..0xfe;
