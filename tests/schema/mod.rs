//! As much of JSON Schema as `docs/effective.schema.json` uses, to hold real output against it.

use serde_json::Value;

/// What of a value the schema does not allow; empty when all is well.
pub(crate) fn violations(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, schema, value, "", &mut found);
    found
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let Some(rules) = schema.as_object() else {
        assert_eq!(schema, &Value::Bool(true), "a schema is an object or true");
        return;
    };
    for (rule, wanted) in rules {
        let number = |value: &Value| value.as_f64();
        let fine = match rule.as_str() {
            "$ref" => {
                let path =
                    wanted.as_str().and_then(|path| path.strip_prefix('#')).expect("a place in the schema");
                let target = root.pointer(path).unwrap_or_else(|| panic!("{path} is not in the schema"));
                check(root, target, value, at, found);
                true
            }
            "type" => match wanted {
                Value::Array(types) => types.iter().any(|wanted| is(value, wanted)),
                wanted => is(value, wanted),
            },
            "const" => value == wanted,
            "enum" => wanted.as_array().is_some_and(|values| values.contains(value)),
            "minimum" => number(value).is_none_or(|number| number >= wanted.as_f64().expect("a number")),
            "maximum" => number(value).is_none_or(|number| number <= wanted.as_f64().expect("a number")),
            "maxItems" => {
                value.as_array().is_none_or(|list| list.len() as u64 <= wanted.as_u64().expect("a size"))
            }
            "required" => wanted
                .as_array()
                .into_iter()
                .flatten()
                .all(|name| value.get(name.as_str().expect("a name")).is_some()),
            "properties" => {
                for (name, schema) in wanted.as_object().expect("properties") {
                    if let Some(value) = value.get(name) {
                        check(root, schema, value, &format!("{at}/{name}"), found);
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = rules.get("properties").and_then(Value::as_object).expect("properties");
                value.as_object().is_none_or(|object| object.keys().all(|name| known.contains_key(name)))
            }
            "items" => {
                for (index, value) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, wanted, value, &format!("{at}/{index}"), found);
                }
                true
            }
            "anyOf" => wanted.as_array().into_iter().flatten().any(|schema| {
                let mut inner = Vec::new();
                check(root, schema, value, at, &mut inner);
                inner.is_empty()
            }),
            "$schema" | "$defs" | "title" | "description" => true,
            other => panic!("the schema uses {other}, which this test does not know"),
        };
        if !fine {
            let shown: String = value.to_string().chars().take(200).collect();
            found.push(format!("{at}: {rule} {wanted:.80}: {shown}"));
        }
    }
}

fn is(value: &Value, wanted: &Value) -> bool {
    match wanted.as_str().expect("the name of a type") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type {other}"),
    }
}

/// Every line number that the output names as a place of a file.
pub(crate) fn lines(value: &Value, found: &mut std::collections::BTreeSet<u64>) {
    match value {
        Value::Object(object) => {
            if object.contains_key("file") {
                found.extend(object.get("line").and_then(Value::as_u64));
            }
            object.values().for_each(|value| lines(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| lines(value, found)),
        // Notes at the top name lines that stand in no block: `FILE:LINE: …`.
        Value::String(text) => found.extend(text.split(':').nth(1).and_then(|line| line.parse::<u64>().ok())),
        _ => {}
    }
}
