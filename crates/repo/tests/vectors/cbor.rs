//! CBOR as FORMAT.md allows it, and as JSON: bytes as `h'00ff'`, text as `"text"` in front of what
//! it says.

use serde_json::json;

use crate::Answer;

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Number(i128),
    Bytes(Vec<u8>),
    Text(String),
    List(Vec<Value>),
    Flag(bool),
    Null,
}

/// The only value in these bytes.
pub fn one(mut bytes: &[u8]) -> Answer<Value> {
    let value = take(&mut bytes)?;
    if bytes.is_empty() { Ok(value) } else { Err("bytes behind the CBOR".into()) }
}

/// Values one after the other, to the end.
pub fn all(mut bytes: &[u8]) -> Answer<Vec<Value>> {
    let mut values = Vec::new();
    while !bytes.is_empty() {
        values.push(take(&mut bytes)?);
    }
    Ok(values)
}

fn split<'b>(bytes: &mut &'b [u8], count: usize) -> Answer<&'b [u8]> {
    let (taken, rest) = bytes.split_at_checked(count).ok_or("the CBOR is cut off")?;
    *bytes = rest;
    Ok(taken)
}

fn take(bytes: &mut &[u8]) -> Answer<Value> {
    let first = split(bytes, 1)?[0];
    let (major, short) = (first >> 5, first & 31);
    if major == 7 {
        return match short {
            20 | 21 => Ok(Value::Flag(short == 21)),
            22 => Ok(Value::Null),
            _ => Err("CBOR that FORMAT.md does not use".into()),
        };
    }
    let (number, least) = match short {
        0..24 => (u64::from(short), 0),
        24..28 => {
            let bytes = split(bytes, 1 << (short - 24))?;
            let number = bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
            (number, [24, 1 << 8, 1 << 16, 1 << 32][usize::from(short - 24)])
        }
        _ => return Err("CBOR of an indefinite length".into()),
    };
    if number < least {
        return Err("a number in CBOR that is not in its shortest form".into());
    }
    let count = usize::try_from(number).map_err(|_| "a length in CBOR")?;
    match major {
        0 => Ok(Value::Number(number.into())),
        1 => Ok(Value::Number(-1 - i128::from(number))),
        2 => Ok(Value::Bytes(split(bytes, count)?.to_vec())),
        3 => {
            let text = String::from_utf8(split(bytes, count)?.to_vec());
            Ok(Value::Text(text.map_err(|_| "text in CBOR that is not UTF-8")?))
        }
        4 => Ok(Value::List((0..count).map(|_| take(bytes)).collect::<Answer<_>>()?)),
        _ => Err("CBOR that FORMAT.md does not use".into()),
    }
}

impl Value {
    pub fn number<N: TryFrom<i128>>(&self) -> Answer<N> {
        match self {
            Value::Number(number) => N::try_from(*number).map_err(|_| format!("the number {number}")),
            other => Err(format!("{other:?} where a number is meant")),
        }
    }

    pub fn bytes(&self) -> Answer<&[u8]> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            other => Err(format!("{other:?} where bytes are meant")),
        }
    }

    pub fn array<const N: usize>(&self) -> Answer<[u8; N]> {
        self.bytes()?.try_into().map_err(|_| format!("not {N} bytes"))
    }

    pub fn text(&self) -> Answer<&str> {
        match self {
            Value::Text(text) => Ok(text),
            other => Err(format!("{other:?} where text is meant")),
        }
    }

    pub fn flag(&self) -> Answer<bool> {
        match self {
            Value::Flag(flag) => Ok(*flag),
            other => Err(format!("{other:?} where yes or no is meant")),
        }
    }

    pub fn list(&self) -> Answer<&[Value]> {
        match self {
            Value::List(list) => Ok(list),
            other => Err(format!("{other:?} where a list is meant")),
        }
    }

    /// The fields of a structure that has so many.
    pub fn fields<const N: usize>(&self) -> Answer<&[Value; N]> {
        self.list()?.try_into().map_err(|_| format!("a structure that has not {N} fields"))
    }

    /// What it says, if it is there.
    pub fn given(&self) -> Option<&Value> {
        (*self != Value::Null).then_some(self)
    }

    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Number(number) => match (u64::try_from(*number), i64::try_from(*number)) {
                (Ok(number), _) => json!(number),
                (_, Ok(number)) => json!(number),
                _ => json!(number.to_string()),
            },
            Value::Bytes(bytes) => json!(format!("h'{}'", crate::hex(bytes))),
            Value::Text(text) => json!(text),
            Value::List(list) => list.iter().map(Value::to_json).collect(),
            Value::Flag(flag) => json!(flag),
            Value::Null => serde_json::Value::Null,
        }
    }

    /// A structure with the names of its fields.
    pub fn to_named(&self, names: &[&str]) -> Answer<serde_json::Value> {
        let list = self.list()?;
        if list.len() != names.len() {
            return Err(format!("{} fields, not {}", list.len(), names.len()));
        }
        Ok(names.iter().zip(list).map(|(name, value)| (name.to_string(), value.to_json())).collect())
    }
}
