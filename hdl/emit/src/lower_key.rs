//! rust-hdl's names of signals: paths, array indices, loop variables.

use super::error::EmitError;
use super::lower::Lower;
use rust_hdl_core::ast::VerilogExpression as Ast;

impl Lower<'_> {
    /// rust-hdl's key of a plain signal expression, array indices worked out.
    pub(super) fn key_of(&self, e: &Ast) -> Result<Option<String>, EmitError> {
        match e {
            Ast::Paren(e) => self.key_of(e),
            Ast::Signal(name) => {
                let name = name
                    .trim_start_matches('.')
                    .replace("::", "$")
                    .replace('.', "$");
                let mut name = name.strip_suffix("$next").unwrap_or(&name).to_owned();
                while let Some(open) = name.find('[') {
                    let close = name[open..].find(']').map(|c| c + open);
                    let index =
                        close.and_then(|close| index_value(&name[open + 1..close], &self.loops));
                    let (Some(close), Some(index)) = (close, index) else {
                        return self.refuse(
                            format!("the array index in `{name}`"),
                            "index with literals and loop variables; select at run time with a match",
                        );
                    };
                    name.replace_range(open..=close, &format!("${index}"));
                }
                Ok(Some(name))
            }
            _ => Ok(None),
        }
    }
}

/// Value of an index made of integers, loop variables, `+`, `-`, `*` and parentheses.
fn index_value(text: &str, loops: &[(String, usize)]) -> Option<usize> {
    fn sum(s: &mut &str, loops: &[(String, usize)]) -> Option<usize> {
        let mut value = product(s, loops)?;
        loop {
            if let Some(rest) = s.strip_prefix('+') {
                *s = rest;
                value = value.checked_add(product(s, loops)?)?;
            } else if let Some(rest) = s.strip_prefix('-') {
                *s = rest;
                value = value.checked_sub(product(s, loops)?)?;
            } else {
                return Some(value);
            }
        }
    }
    fn product(s: &mut &str, loops: &[(String, usize)]) -> Option<usize> {
        let mut value = atom(s, loops)?;
        while let Some(rest) = s.strip_prefix('*') {
            *s = rest;
            value = value.checked_mul(atom(s, loops)?)?;
        }
        Some(value)
    }
    fn atom(s: &mut &str, loops: &[(String, usize)]) -> Option<usize> {
        if let Some(rest) = s.strip_prefix('(') {
            *s = rest;
            let value = sum(s, loops)?;
            *s = s.strip_prefix(')')?;
            return Some(value);
        }
        let end = s
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(s.len());
        let (word, rest) = s.split_at(end);
        *s = rest;
        word.parse().ok().or_else(|| {
            loops
                .iter()
                .rev()
                .find(|(name, _)| name == word)
                .map(|(_, v)| *v)
        })
    }
    let mut rest = text;
    let value = sum(&mut rest, loops)?;
    rest.is_empty().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_follow_loop_variables_and_precedence() {
        let loops = [("i".to_string(), 3), ("j".to_string(), 5)];
        assert_eq!(index_value("i+2*j", &loops), Some(13));
        assert_eq!(index_value("(i+2)*j-1", &loops), Some(24));
        assert_eq!(index_value("i-4", &loops), None);
        assert_eq!(index_value("k", &loops), None);
        assert_eq!(index_value("i+", &loops), None);
    }
}
