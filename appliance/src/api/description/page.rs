//! The OpenAPI document as a page: no script, one style sheet within it, nothing loaded from anywhere.
//!
//! It knows documents of OpenAPI 3.1 as `document` writes them, and nothing of the API.

use std::fmt::Write as _;
use std::sync::LazyLock;

use base64ct::{Base64, Encoding};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::api::problem::{Kind, Words};

/// The style sheet as a policy names it.
pub fn style_source() -> &'static str {
    static SOURCE: LazyLock<String> = LazyLock::new(|| format!("sha256-{}", Base64::encode_string(&Sha256::digest(STYLE))));
    &SOURCE
}

/// The page.
pub fn page(document: &Value) -> String {
    let info = &document["info"];
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
        title = text(&info["title"])
    );
    contents(&mut page, document);
    let _ = write!(
        page,
        "<main>\n<h1>{} <small>{}</small></h1>\n<p>{}</p>\n<p><a href=\"/v1/openapi.json\">The same as an OpenAPI 3.1 document</a></p>\n",
        text(&info["title"]),
        text(&info["version"]),
        words(&info["description"]),
    );
    page.push_str("<h2 id=\"operations\">Operations</h2>\n");
    for (path, method, operation) in operations(document) {
        section(&mut page, document, path, method, operation);
    }
    problems(&mut page);
    schemas(&mut page, document);
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

/// What is asked of logs before is the same again, and HEAD is GET without a body: the page has them once.
fn operations(document: &Value) -> impl Iterator<Item = (&String, &String, &Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    let all =
        paths.flat_map(|(path, item)| item.as_object().into_iter().flatten().map(move |(method, operation)| (path, method, operation)));
    all.filter(|(path, method, _)| !path.starts_with("/v1/logs/") && *method != "head")
}

fn contents(page: &mut String, document: &Value) {
    page.push_str("<nav aria-label=\"Contents\">\n<a href=\"#operations\"><b>Operations</b></a>\n");
    for (_, _, operation) in operations(document) {
        let _ = writeln!(page, "<a href=\"#{id}\">{id}</a>", id = text(&operation["operationId"]));
    }
    page.push_str("<a href=\"#refusals\"><b>Refusals</b></a>\n");
    for kind in Kind::ALL {
        let _ = writeln!(page, "<a href=\"#{anchor}\">{anchor}</a>", anchor = kind.name());
    }
    page.push_str("<a href=\"#schemas\"><b>Schemas</b></a>\n</nav>\n");
}

fn section(page: &mut String, document: &Value, path: &str, method: &str, operation: &Value) {
    let id = text(&operation["operationId"]);
    let _ = write!(
        page,
        "<section id=\"{id}\">\n<h3><span class=\"method\">{}</span> <code>{}</code></h3>\n<p>{}</p>\n<p class=\"who\">{}</p>\n",
        escaped(&method.to_uppercase()),
        escaped(path),
        words(&operation["summary"]),
        words(&operation["description"]),
    );
    let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
    if !parameters.is_empty() {
        page.push_str("<table>\n<thead><tr><th>asked with</th><th>in</th><th>what it is</th></tr></thead>\n<tbody>\n");
        for parameter in parameters {
            let optional = if parameter["required"] == true { "" } else { " <i>optional</i>" };
            let _ = writeln!(
                page,
                "<tr><td><code>{}</code>{optional}</td><td>{}</td><td>{}</td></tr>",
                text(&parameter["name"]),
                text(&parameter["in"]),
                words(&parameter["description"])
            );
        }
        page.push_str("</tbody>\n</table>\n");
    }
    if let Some(content) = operation["requestBody"]["content"].as_object() {
        let kinds: Vec<String> = content.keys().map(|kind| escaped(kind)).collect();
        let _ = writeln!(page, "<p>Body <code>{}</code>: {}</p>", kinds.join(", "), words(&operation["requestBody"]["description"]));
    }
    page.push_str("<table>\n<thead><tr><th>answer</th><th>content</th><th>what it says</th></tr></thead>\n<tbody>\n");
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        let response = response["$ref"].as_str().and_then(|reference| document.pointer(reference.strip_prefix('#')?)).unwrap_or(response);
        let _ = writeln!(page, "<tr><td>{}</td><td>{}</td><td>{}</td></tr>", escaped(status), content(response), said(response));
    }
    page.push_str("</tbody>\n</table>\n</section>\n");
}

/// What is answered, with a link to its schema.
fn content(response: &Value) -> String {
    let Some((kind, content)) = response["content"].as_object().and_then(|content| content.iter().next()) else { return String::new() };
    match content["schema"]["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
        Some(name) => format!("<a href=\"#schema-{0}\">{0}</a>", escaped(name)),
        None => format!("<code>{}</code>", escaped(kind)),
    }
}

/// Refusals are explained once: here they are named.
fn said(response: &Value) -> String {
    let kinds = response["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"]["type"]["enum"].as_array();
    let Some(kinds) = kinds else { return words(&response["description"]) };
    let named = Kind::ALL.iter().filter(|kind| kinds.iter().any(|named| *named == kind.uri()));
    named.map(|kind| format!("<a href=\"#{0}\">{0}</a>", kind.name())).collect::<Vec<_>>().join(", ")
}

fn problems(page: &mut String) {
    page.push_str(
        "<h2 id=\"refusals\">Refusals</h2>\n<p>Each is a problem of RFC 9457; its <code>type</code> stands below its name.</p>\n",
    );
    for kind in Kind::ALL {
        let Words { status, title, cause, remedy, .. } = kind.words();
        let _ = write!(
            page,
            "<section id=\"{anchor}\">\n<h3><span class=\"method\">{status}</span> {title}</h3>\n<p><code>{uri}</code></p>\n<dl><dt>Cause</dt><dd>{cause}</dd>\
             <dt>What to do</dt><dd>{remedy}</dd></dl>\n</section>\n",
            anchor = kind.name(),
            title = escaped(title),
            uri = escaped(&kind.uri()),
            cause = coded(cause),
            remedy = coded(remedy),
        );
    }
}

fn schemas(page: &mut String, document: &Value) {
    page.push_str("<h2 id=\"schemas\">Schemas</h2>\n");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let _ = write!(page, "<section id=\"schema-{0}\">\n<h3>{0}</h3>\n<p>{1}</p>\n", escaped(name), words(&schema["description"]));
        let required = schema["required"].as_array().map_or(&[][..], Vec::as_slice);
        let members = schema["properties"].as_object();
        if members.is_some_and(|members| !members.is_empty()) {
            page.push_str("<table>\n<thead><tr><th>member</th><th>type</th><th>what it is</th></tr></thead>\n<tbody>\n");
        }
        for (member, of) in members.into_iter().flatten() {
            let optional = if required.iter().any(|name| name == member) || !of["default"].is_null() { "" } else { " <i>optional</i>" };
            let default = if of["default"].is_null() {
                String::new()
            } else {
                format!(" Default <code>{}</code>.", escaped(&of["default"].to_string()))
            };
            let _ = writeln!(
                page,
                "<tr><td><code>{}</code>{optional}</td><td>{}</td><td>{}{default}</td></tr>",
                escaped(member),
                type_of(of),
                words(&of["description"])
            );
        }
        if members.is_some_and(|members| !members.is_empty()) {
            page.push_str("</tbody>\n</table>\n");
        }
        page.push_str("</section>\n");
    }
}

fn type_of(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
        return format!("<a href=\"#schema-{0}\">{0}</a>", escaped(name));
    }
    if let Some(any) = schema["anyOf"].as_array() {
        return any.iter().map(type_of).collect::<Vec<_>>().join(" or ");
    }
    match &schema["type"] {
        Value::String(name) if name == "array" => format!("array of {}", type_of(&schema["items"])),
        Value::String(name) => escaped(name),
        Value::Array(names) => names.iter().map(text).collect::<Vec<_>>().join(" or "),
        _ => String::new(),
    }
}

fn text(value: &Value) -> String {
    escaped(value.as_str().unwrap_or_default())
}

fn words(value: &Value) -> String {
    coded(value.as_str().unwrap_or_default())
}

/// What stands between backquotes is code.
fn coded(words: &str) -> String {
    let pieces = words.split('`').enumerate();
    pieces.map(|(number, piece)| if number % 2 == 1 { format!("<code>{}</code>", escaped(piece)) } else { escaped(piece) }).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const STYLE: &str = include_str!("page.css");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_document_becomes_markup() {
        let document =
            serde_json::json!({ "info": { "title": "<script>alert(1)</script>", "version": "\"><em>", "description": "`<i>` & <u>" } });
        let page = page(&document);
        for markup in ["<script", "\"><em>", "<i>", "<u>"] {
            assert!(!page.contains(markup), "{markup}");
        }
        assert!(page.contains("<code>&lt;i&gt;</code> &amp; &lt;u&gt;"));
    }

    #[test]
    fn each_kind_has_its_place_its_cause_and_its_remedy() {
        let page = page(&serde_json::json!({}));
        for kind in Kind::ALL {
            let Words { cause, remedy, .. } = kind.words();
            assert!(page.contains(&format!("<section id=\"{}\">", kind.name())), "{kind:?}");
            assert!(page.contains(&coded(cause)) && page.contains(&coded(remedy)), "{kind:?}");
        }
    }
}
