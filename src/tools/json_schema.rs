//! The JSON schema of `explain --effective --format json`, made from the keyword tables. The copy in `docs/` is compared
//! with it by a test.

use serde_json::{Map, Value, json};

use crate::config::blocks::TOP;
use crate::config::blocks::settings::shown_in;
use crate::config::effective::shown_as;
use crate::config::preprocess::OUR_ID;
use crate::config::schema::{Invalid, Keyword, Shape, Table};

/// Blocks inside blocks that are followed.
const MAX_DEPTH: usize = 8;

/// The schema as text.
pub(super) fn text() -> String {
    format!("{:#}\n", schema())
}

fn schema() -> Value {
    let mut definitions = Map::new();
    definitions.insert("place".to_owned(), place());
    definitions.insert("entry".to_owned(), entry());
    definitions.insert("setting".to_owned(), common());
    section(&TOP, None, "top", &mut definitions, 0);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The effective configuration of keepalived-rs",
        "description": "What `keepalived-rs explain --effective --format json` prints",
        "$ref": "#/$defs/top",
        "$defs": definitions,
    })
}

fn place() -> Value {
    json!({
        "type": "object",
        "description": "A line of a file; secrets in its text are not shown",
        "properties": {
            "file": { "type": "string" },
            "line": { "type": "integer", "minimum": 1 },
            "text": { "type": "string" },
        },
        "required": ["file", "line", "text"],
        "additionalProperties": false,
    })
}

fn entry() -> Value {
    json!({
        "type": "object",
        "description": "One line of a list",
        "properties": {
            "value": { "type": "string", "description": "As it holds" },
            "place": { "$ref": "#/$defs/place" },
            "group": { "type": "string", "description": "The sync group that brings it" },
            "ignored": { "type": "string", "description": "Why it does not count" },
            "notes": { "type": "array", "items": { "type": "string" } },
        },
        "required": ["value", "place"],
        "additionalProperties": false,
    })
}

/// Describes the block of a table under this name, and the blocks in it.
fn section(
    table: &'static Table,
    keyword: Option<&'static Keyword>,
    name: &str,
    definitions: &mut Map<String, Value>,
    depth: usize,
) {
    let block = keyword.map_or("", |keyword| keyword.name);
    let mut settings = Map::new();
    let mut inner = Vec::new();
    for word in table.keywords().filter(|word| shown_as(block, word) == word.name) {
        match word.shape {
            Shape::Block(of) if depth < MAX_DEPTH => {
                let below =
                    if keyword.is_none() { word.name.to_owned() } else { format!("{name}.{}", word.name) };
                inner.push(json!({ "$ref": format!("#/$defs/{below}") }));
                section(of.table, Some(word), &below, definitions, depth + 1);
            }
            Shape::List(_) if word.name == "virtual_server_group" => {
                inner.push(json!({ "$ref": "#/$defs/virtual_server_group" }));
                let only = Map::from_iter([(word.name.to_owned(), setting(word))]);
                definitions.insert(word.name.to_owned(), object(Some(word), &only, &[]));
            }
            _ => drop(settings.insert(word.name.to_owned(), setting(word))),
        }
    }
    for own in shown_in(block) {
        settings.insert(format!("@{OUR_ID} {}", own.keyword.name), setting(&own.keyword));
    }
    definitions.insert(name.to_owned(), object(keyword, &settings, &inner));
}

fn object(keyword: Option<&Keyword>, settings: &Map<String, Value>, inner: &[Value]) -> Value {
    let sections = match inner {
        [] => json!({ "type": "array", "maxItems": 0 }),
        inner => json!({ "type": "array", "items": { "anyOf": inner } }),
    };
    let mut described = json!({
        "type": "object",
        "properties": {
            "block": { "const": keyword.map(|keyword| keyword.name) },
            "names": { "type": "array", "items": { "type": "string" } },
            "places": { "type": "array", "items": { "$ref": "#/$defs/place" } },
            "ignored": { "type": "string", "description": "Why the block has no effect" },
            "notes": { "type": "array", "items": { "type": "string" } },
            "settings": { "type": "object", "properties": settings, "additionalProperties": false },
            "sections": sections,
        },
        "required": ["block", "names", "places", "settings", "sections"],
        "additionalProperties": false,
    });
    if let (Some(keyword), Some(object)) = (keyword, described.as_object_mut()) {
        object.insert("description".to_owned(), json!(keyword.help));
    }
    described
}

/// What every setting has beside its value.
fn common() -> Value {
    json!({
        "type": "object",
        "description": "A keyword of a block; null is unset, or told by the description of the default only",
        "properties": {
            "value": true,
            "origin": { "enum": ["file", "inherited", "default"] },
            "place": { "$ref": "#/$defs/place" },
            "from": {
                "type": "object",
                "properties": { "block": { "type": "string" }, "keyword": { "type": "string" } },
                "required": ["block", "keyword"],
                "additionalProperties": false,
            },
            "default": { "type": "string", "description": "The value without the keyword, for people" },
            "corrected": { "type": "string", "description": "Why the value is not what its place says" },
            "notes": { "type": "array", "items": { "type": "string" } },
            "more": {
                "type": "array",
                "description": "Further blocks of the same list",
                "items": { "$ref": "#/$defs/place" },
            },
            "entries": { "type": "array", "items": { "$ref": "#/$defs/entry" } },
            "unused": {
                "type": "array",
                "description": "Lines that do not count",
                "items": {
                    "type": "object",
                    "properties": { "place": { "$ref": "#/$defs/place" }, "why": { "type": "string" } },
                    "required": ["place", "why"],
                    "additionalProperties": false,
                },
            },
            "effect": { "enum": ["later", "nothing"] },
        },
        "required": ["value", "origin"],
        "additionalProperties": false,
    })
}

fn setting(keyword: &Keyword) -> Value {
    json!({
        "description": keyword.help,
        "$ref": "#/$defs/setting",
        "properties": { "value": value(keyword) },
    })
}

/// The values a keyword can have; null is unset. A value of the model may be below what can be written.
fn value(keyword: &Keyword) -> Value {
    match keyword.shape {
        Shape::Flag | Shape::Bool => json!({ "type": ["boolean", "null"] }),
        Shape::Int { min, max, .. } => {
            let set = if let Invalid::Sets(value) = keyword.invalid { value } else { min };
            json!({ "type": ["integer", "null"], "minimum": min.min(set).min(0), "maximum": max.max(set) })
        }
        Shape::Seconds { .. } => {
            json!({ "type": ["number", "null"], "minimum": 0, "description": "Seconds" })
        }
        Shape::Choice(choices) => {
            let all: Vec<Value> = choices.iter().map(|choice| json!(choice)).chain([Value::Null]).collect();
            json!({ "enum": all })
        }
        Shape::Address | Shape::Script => json!({ "type": ["string", "null"] }),
        Shape::Word | Shape::Words => json!({ "type": ["string", "number", "boolean", "null"] }),
        Shape::Block(_) | Shape::List(_) => json!({ "type": "null" }),
    }
}
