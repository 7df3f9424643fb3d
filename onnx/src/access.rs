//! Typed reading of attributes and value types: a wrong type is an error, an absent one a default.

use crate::messages::attribute_type as kind;
use crate::{AttributeProto, Error, NodeProto, TensorProto, ValueInfoProto, dimension};

impl NodeProto {
    /// The attribute of that name.
    pub fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.attribute.iter().find(|a| a.name == name)
    }

    /// The value that `get` finds in attribute `name`, `None` when there is no such attribute.
    ///
    /// Files of IR version 1 and 2 may leave `kind` at 0; then the field present decides.
    fn typed<'a, T>(
        &'a self,
        name: &str,
        want: i32,
        expected: &'static str,
        get: impl FnOnce(&'a AttributeProto) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(a) = self.attribute(name) else {
            return Ok(None);
        };
        let value = if a.kind == want || a.kind == 0 {
            get(a)
        } else {
            None
        };
        value.map(Some).ok_or_else(|| Error::Attribute {
            node: self.name.clone(),
            operator: self.op_type.clone(),
            attribute: name.into(),
            expected,
        })
    }

    /// An integer attribute, or `default`. Errors: another type.
    pub fn int(&self, name: &str, default: i64) -> Result<i64, Error> {
        Ok(self
            .typed(name, kind::INT, "an integer", |a| a.i)?
            .unwrap_or(default))
    }

    /// A float attribute, or `default`. Errors: another type.
    pub fn float(&self, name: &str, default: f32) -> Result<f32, Error> {
        Ok(self
            .typed(name, kind::FLOAT, "a float", |a| a.f)?
            .unwrap_or(default))
    }

    /// A string attribute, or `default`. Errors: another type, or not UTF-8.
    pub fn string<'a>(&'a self, name: &str, default: &'a str) -> Result<&'a str, Error> {
        let get = |a: &'a AttributeProto| std::str::from_utf8(a.s.as_deref()?).ok();
        Ok(self
            .typed(name, kind::STRING, "a string", get)?
            .unwrap_or(default))
    }

    /// A list of integers, if present. Errors: another type.
    pub fn ints(&self, name: &str) -> Result<Option<&[i64]>, Error> {
        self.typed(name, kind::INTS, "a list of integers", |a| {
            Some(&a.ints[..])
        })
    }

    /// A list of floats, if present. Errors: another type.
    pub fn floats(&self, name: &str) -> Result<Option<&[f32]>, Error> {
        self.typed(name, kind::FLOATS, "a list of floats", |a| {
            Some(&a.floats[..])
        })
    }

    /// A tensor, if present. Errors: another type.
    pub fn tensor(&self, name: &str) -> Result<Option<&TensorProto>, Error> {
        self.typed(name, kind::TENSOR, "a tensor", |a| a.t.as_ref())
    }
}

impl ValueInfoProto {
    /// Its dimensions, `None` where symbolic or unknown; `None` as a whole when the type gives no shape.
    pub fn dims(&self) -> Option<Vec<Option<i64>>> {
        let shape = self.r#type.as_ref()?.tensor_type.as_ref()?.shape.as_ref()?;
        let fixed = |d: &crate::DimensionProto| match &d.value {
            Some(dimension::Value::Fixed(n)) => Some(*n),
            _ => None,
        };
        Some(shape.dim.iter().map(fixed).collect())
    }
}
