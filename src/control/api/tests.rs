//! Requests, and the OpenAPI description that is made of the types.

use std::path::Path;

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::*;
use crate::control::{Event, Info};

fn request(method: &str, path: &str, body: &str) -> Request {
    Request { method: method.to_owned(), path: path.to_owned(), body: body.as_bytes().to_vec() }
}

fn refused(method: &str, path: &str, body: &str) -> Response {
    match route(&request(method, path, body)) {
        Action::Answer(response) => response,
        other => panic!("{method} {path} {body}: {other:?}"),
    }
}

fn asks(method: &str, path: &str, body: &str) -> Command {
    match route(&request(method, path, body)) {
        Action::Ask(command) => command,
        other => panic!("{method} {path} {body}: {other:?}"),
    }
}

#[test]
fn requests_become_commands() {
    assert_eq!(asks("GET", "/v1/info", ""), Command::Info);
    assert_eq!(asks("GET", "/v1/metrics", ""), Command::Metrics);
    assert_eq!(asks("POST", "/v1/pause", ""), Command::Pause);
    assert_eq!(asks("POST", "/v1/resume", "{}"), Command::Resume);
    assert_eq!(asks("POST", "/v1/reset", " { } "), Command::Reset);
    assert_eq!(asks("POST", "/v1/stop", ""), Command::Stop { force: false });
    assert_eq!(asks("POST", "/v1/stop", r#"{"force":true}"#), Command::Stop { force: true });
    let resize = |device: Option<&str>| Command::Resize { device: device.map(str::to_owned), size: 65536 };
    assert_eq!(asks("POST", "/v1/resize", r#"{"size":65536}"#), resize(None));
    assert_eq!(asks("POST", "/v1/resize", r#"{"size":65536,"device":"virtio0"}"#), resize(Some("virtio0")));
    assert!(matches!(route(&request("GET", "/v1/events", "")), Action::Listen));
}

#[test]
fn misuse_has_a_status_and_a_message() {
    for (method, path, body, status, why) in [
        ("GET", "/", "", 404, "openapi.json"),
        ("GET", "/v1/info?x=y", "", 404, "there is no"),
        ("GET", "/v1/info/", "", 404, "there is no"),
        ("DELETE", "/v1/info", "", 405, "GET only"),
        ("GET", "/v1/pause", "", 405, "POST only"),
        ("POST", "/v1/events", "", 405, "GET only"),
        ("POST", "/v1/pause", "{", 400, "EOF"),
        ("POST", "/v1/pause", "\u{0}", 400, "no JSON object"),
        ("POST", "/v1/pause", r#"{"force":true}"#, 422, "unknown field `force`"),
        ("POST", "/v1/stop", "[true]", 400, "no JSON object"),
        ("POST", "/v1/stop", r#"{"force":1}"#, 422, "invalid type"),
        ("POST", "/v1/stop", r#"{"force":true,"force":true}"#, 422, "duplicate field"),
        ("POST", "/v1/resize", "", 400, "no JSON object"),
        ("POST", "/v1/resize", "{}", 422, "missing field `size`"),
        ("POST", "/v1/resize", r#"{"size":-1}"#, 422, "invalid value"),
        ("POST", "/v1/resize", r#"{"size":"64M"}"#, 422, "invalid type"),
        ("POST", "/v1/resize", r#"{"size":1e99}"#, 422, "invalid type"),
        ("POST", "/v1/resize", r#"{"size":1,"colour":2}"#, 422, "unknown field `colour`"),
    ] {
        let response = refused(method, path, body);
        let text = String::from_utf8(response.body).unwrap();
        assert!(
            response.status == status && text.contains(why),
            "{method} {path} {body}: {} {text}",
            response.status
        );
        let ErrorReply { error } = serde_json::from_str(&text).unwrap();
        assert!(!error.is_empty());
        assert_eq!(response.allow.is_some(), status == 405);
    }
    // Deep nesting is an error, not a stack that overflows.
    assert_eq!(refused("POST", "/v1/stop", &format!(r#"{{"force":{}"#, "[".repeat(10_000))).status, 422);
}

/// Schemas of types, by name, as OpenAPI has them.
struct Schemas(schemars::SchemaGenerator);

impl Schemas {
    fn content<T: schemars::JsonSchema>(&mut self) -> Value {
        json!({ "application/json": { "schema": self.0.subschema_for::<T>() } })
    }

    fn body<T: schemars::JsonSchema>(&mut self, required: bool) -> Value {
        json!({ "required": required, "content": self.content::<T>() })
    }

    fn reply<T: schemars::JsonSchema>(&mut self, what: &str) -> Value {
        json!({ "description": what, "content": self.content::<T>() })
    }
}

/// An operation, by its success and the statuses of its refusals.
fn operation(
    schemas: &mut Schemas,
    (id, summary): (&str, &str),
    body: Option<Value>,
    success: (&str, Value),
    refusals: &[&str],
) -> Value {
    let mut responses = serde_json::Map::new();
    responses.insert(success.0.to_owned(), success.1);
    for status in refusals {
        let what = match *status {
            "400" => "The request is none, or its body is no JSON.",
            "404" => "There is no such device.",
            "409" => "The machine, or its guest, is in another state.",
            "413" => "The body is too large.",
            "422" => {
                "The body has a field, type or value that it can't have, or it is not possible with this machine."
            }
            _ => "The machine did not answer in time; it may still do what was asked for.",
        };
        responses.insert((*status).to_owned(), schemas.reply::<ErrorReply>(what));
    }
    let mut operation = json!({ "operationId": id, "summary": summary, "responses": responses });
    if let Some(body) = body {
        operation["requestBody"] = body;
    }
    operation
}

fn openapi() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut s = Schemas(settings.into_generator());
    let plain = |media: &str, what: &str| json!({ "description": what, "content": { media: { "schema": { "type": "string" } } } });
    let (nothing, stop, resize) =
        (s.body::<Nothing>(false), s.body::<StopRequest>(false), s.body::<ResizeRequest>(true));
    let get = ["504"].as_slice();
    let (info, state) = (s.reply::<Info>("The machine."), s.reply::<StateReply>("Done."));
    let (accepted, size) = (
        s.reply::<AcceptedReply>("It has been asked for."),
        s.reply::<SizeReply>("Its sizes; the actual one follows as the guest takes part."),
    );
    let change = ["400", "409", "413", "422", "504"];
    let mut paths = serde_json::Map::new();
    let mut add = |path: &str, method: &str, operation: Value| {
        paths.insert(format!("/v1/{path}"), json!({ method: operation }));
    };
    add(
        "info",
        "get",
        operation(&mut s, ("info", "What the machine is, and its state"), None, ("200", info), get),
    );
    add(
        "pause",
        "post",
        operation(
            &mut s,
            ("pause", "Hold the guest and its devices"),
            Some(nothing.clone()),
            ("200", state.clone()),
            &change,
        ),
    );
    add(
        "resume",
        "post",
        operation(
            &mut s,
            ("resume", "Let a paused machine go on"),
            Some(nothing.clone()),
            ("200", state),
            &change,
        ),
    );
    add(
        "stop",
        "post",
        operation(
            &mut s,
            ("stop", "Ask the guest to shut down, or end the machine by force"),
            Some(stop),
            ("202", accepted.clone()),
            &change,
        ),
    );
    add(
        "reset",
        "post",
        operation(&mut s, ("reset", "Start the guest anew"), Some(nothing), ("202", accepted), &change),
    );
    add(
        "resize",
        "post",
        operation(
            &mut s,
            ("resize", "Give a device another size: of a balloon, what the guest does without"),
            Some(resize),
            ("200", size),
            &["400", "404", "409", "413", "422", "504"],
        ),
    );
    add(
        "metrics",
        "get",
        operation(
            &mut s,
            ("metrics", "Counters, in Prometheus' text format"),
            None,
            ("200", plain("text/plain", "Counters.")),
            get,
        ),
    );
    let event = s.0.subschema_for::<Event>();
    let mut events = operation(
        &mut s,
        ("events", "What happens from now on, as server-sent events; the data of each is an Event"),
        None,
        ("200", plain("text/event-stream", "Events, until the machine ends.")),
        &[],
    );
    events["responses"]["200"]["content"]["text/event-stream"]["x-event-schema"] = json!(event);
    add("events", "get", events);
    add(
        "openapi.json",
        "get",
        operation(
            &mut s,
            ("openapi", "This description"),
            None,
            (
                "200",
                json!({ "description": "This.", "content": { "application/json": { "schema": { "type": "object" } } } }),
            ),
            &[],
        ),
    );
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Triarch's control socket", "version": "1" },
        "servers": [{ "url": "http://localhost" }],
        "paths": paths,
        "components": { "schemas": s.0.take_definitions(true) },
    })
}

/// `TRIARCH_BLESS=1 cargo test -p triarch openapi` writes it anew.
#[test]
fn the_openapi_description_is_that_of_the_types() {
    let found = serde_json::to_string(&openapi()).unwrap() + "\n";
    if std::env::var_os("TRIARCH_BLESS").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/control/openapi.json");
        std::fs::write(path, &found).unwrap();
        return;
    }
    assert!(found == OPENAPI, "openapi.json differs; it is now:\n{found}");
}

#[test]
fn every_path_of_the_description_is_there() {
    let description: Value = serde_json::from_str(OPENAPI).unwrap();
    let paths = description["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 9);
    for (path, methods) in paths {
        let (method, operation) = methods.as_object().unwrap().iter().next().unwrap();
        let body = if operation["requestBody"]["required"] == true { r#"{"size":0}"# } else { "" };
        if let Action::Answer(response) = route(&request(&method.to_uppercase(), path, body)) {
            assert_eq!(response.status, 200, "{path}");
        }
        assert_eq!(refused("PATCH", path, "").status, 405);
    }
}
