//! The sections as JSON: plain data, what is absent left out. `explain --schema` describes it.

use serde_json::{Map, Value, json};

use super::{Entry, Origin, Place, Section, Setting, Unused};
use crate::config::schema::Effect;

/// A section as JSON.
pub fn as_json(section: &Section) -> Value {
    let mut object = Map::new();
    object.insert("block".to_owned(), json!(section.keyword.map(|keyword| keyword.name)));
    object.insert("names".to_owned(), json!(section.names));
    object.insert("places".to_owned(), section.places.iter().map(place_json).collect());
    if let Some(why) = &section.ignored {
        object.insert("ignored".to_owned(), json!(why));
    }
    if !section.notes.is_empty() {
        object.insert("notes".to_owned(), json!(section.notes));
    }
    let settings = section.settings.iter().map(|it| (it.written(), setting_json(it))).collect();
    object.insert("settings".to_owned(), Value::Object(settings));
    object.insert("sections".to_owned(), section.sections.iter().map(as_json).collect());
    Value::Object(object)
}

fn setting_json(setting: &Setting) -> Value {
    let mut object = Map::new();
    object.insert("value".to_owned(), setting.value.clone());
    let (kind, at) = match &setting.origin {
        Origin::File(at) => ("file", Some(at)),
        Origin::Inherited { block, keyword, place } => {
            object.insert("from".to_owned(), json!({ "block": block, "keyword": keyword }));
            ("inherited", Some(place))
        }
        Origin::Default => ("default", None),
    };
    object.insert("origin".to_owned(), json!(kind));
    if let Some(at) = at {
        object.insert("place".to_owned(), place_json(at));
    }
    if !setting.keyword.default.is_empty() {
        object.insert("default".to_owned(), json!(setting.keyword.default));
    }
    if let Some(why) = &setting.corrected {
        object.insert("corrected".to_owned(), json!(why));
    }
    if !setting.notes.is_empty() {
        object.insert("notes".to_owned(), json!(setting.notes));
    }
    if !setting.more.is_empty() {
        object.insert("more".to_owned(), setting.more.iter().map(place_json).collect());
    }
    if !setting.entries.is_empty() {
        object.insert("entries".to_owned(), setting.entries.iter().map(entry_json).collect());
    }
    let unused = |unused: &Unused| json!({ "place": place_json(&unused.place), "why": unused.why });
    if !setting.unused.is_empty() {
        object.insert("unused".to_owned(), setting.unused.iter().map(unused).collect());
    }
    match setting.keyword.effect {
        Effect::Now => {}
        Effect::Later => drop(object.insert("effect".to_owned(), json!("later"))),
        Effect::Nothing => drop(object.insert("effect".to_owned(), json!("nothing"))),
    }
    Value::Object(object)
}

fn entry_json(entry: &Entry) -> Value {
    let mut object = Map::new();
    object.insert("value".to_owned(), json!(entry.value));
    object.insert("place".to_owned(), place_json(&entry.place));
    if let Some(group) = &entry.group {
        object.insert("group".to_owned(), json!(group));
    }
    if let Some(why) = &entry.ignored {
        object.insert("ignored".to_owned(), json!(why));
    }
    if !entry.notes.is_empty() {
        object.insert("notes".to_owned(), json!(entry.notes));
    }
    Value::Object(object)
}

fn place_json(place: &Place) -> Value {
    json!({ "file": place.file, "line": place.line, "text": place.text })
}
