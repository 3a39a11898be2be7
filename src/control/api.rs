//! What clients can ask for, and how: methods, paths, bodies. `openapi.json`, beside this, says it in OpenAPI's words; a test makes it
//! of the types here, and compares.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::http::{Request, Response};
use super::{Answer, Command, Refusal, State};
use crate::devices::SizeReport;

/// The description of all this.
pub const OPENAPI: &str = include_str!("openapi.json");

/// The media type of Prometheus' text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4";

/// Body of a request that says nothing more.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// Body of a request to stop.
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct StopRequest {
    /// End the machine without asking its guest.
    pub force: bool,
}

/// Body of a request for another size.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ResizeRequest {
    /// The device's name or kind; may be left out if only one has a size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Bytes.
    pub size: u64,
}

/// The machine's state.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StateReply {
    /// The state that it is in now.
    pub state: State,
}

/// What has been asked for, and will be seen when it is done.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AcceptedReply {
    /// What that is.
    pub accepted: String,
}

/// A device's sizes.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SizeReply {
    /// Its name.
    pub device: String,
    /// How large it is to be, and is.
    pub size: SizeReport,
}

/// Why a request was refused.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ErrorReply {
    /// A sentence for people.
    pub error: String,
}

/// What a request comes to.
#[derive(Debug)]
pub(super) enum Action {
    /// The control thread is to do it.
    Ask(Command),
    /// The client hears of all events from now on.
    Listen,
    /// It is answered.
    Answer(Response),
}

/// What a body asks for.
type ReadBody = fn(&[u8]) -> Result<Command, Response>;

/// Finds out what a request asks for.
pub(super) fn route(request: &Request) -> Action {
    let (method, command): (&'static str, ReadBody) = match &*request.path {
        "/v1/info" => ("GET", |body| empty(body, Command::Info)),
        "/v1/metrics" => ("GET", |body| empty(body, Command::Metrics)),
        "/v1/pause" => ("POST", |body| empty(body, Command::Pause)),
        "/v1/resume" => ("POST", |body| empty(body, Command::Resume)),
        "/v1/reset" => ("POST", |body| empty(body, Command::Reset)),
        "/v1/stop" => ("POST", |body| {
            let StopRequest { force } = json(if body.is_empty() { b"{}" } else { body })?;
            Ok(Command::Stop { force })
        }),
        "/v1/resize" => ("POST", |body| {
            let ResizeRequest { device, size } = json(body)?;
            Ok(Command::Resize { device, size })
        }),
        "/v1/events" | "/v1/openapi.json" if request.method != "GET" => return not_allowed("GET"),
        "/v1/events" => return Action::Listen,
        "/v1/openapi.json" => return Action::Answer(Response::json(200, OPENAPI)),
        path => {
            let message = format!("there is no {path:?}: /v1/openapi.json tells what there is");
            return Action::Answer(Response::error(404, &message));
        }
    };
    if request.method != method {
        return not_allowed(method);
    }
    match command(&request.body) {
        Ok(command) => Action::Ask(command),
        Err(response) => Action::Answer(response),
    }
}

fn not_allowed(allow: &'static str) -> Action {
    let response = Response::error(405, &format!("it takes {allow} only"));
    Action::Answer(Response { allow: Some(allow), ..response })
}

fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Response> {
    // Fields without names are JSON, but not ours.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Response::error(400, "the body is no JSON object"));
    }
    serde_json::from_slice(body).map_err(|error| {
        let status = if error.is_data() { 422 } else { 400 };
        Response::error(status, &format!("the body can't be used: {error}"))
    })
}

/// A request whose body says nothing.
fn empty(body: &[u8], command: Command) -> Result<Command, Response> {
    if !body.is_empty() {
        let Nothing {} = json(body)?;
    }
    Ok(command)
}

/// An answer of the control thread's, for a client.
pub(super) fn response(answer: Result<Answer, Refusal>) -> Response {
    match answer {
        Ok(Answer::Info(info)) => of(200, &*info),
        Ok(Answer::State(state)) => of(200, &StateReply { state }),
        Ok(Answer::Asked(what)) => of(202, &AcceptedReply { accepted: what.to_owned() }),
        Ok(Answer::Size(device, size)) => of(200, &SizeReply { device, size }),
        Ok(Answer::Metrics(text)) => {
            Response { status: 200, content_type: PROMETHEUS, allow: None, body: text.into_bytes() }
        }
        Err(Refusal::Conflict(message)) => Response::error(409, &message),
        Err(Refusal::NoDevice(message)) => Response::error(404, &message),
        Err(Refusal::Invalid(message)) => Response::error(422, &message),
    }
}

fn of(status: u16, reply: &impl Serialize) -> Response {
    match serde_json::to_vec(reply) {
        Ok(body) => Response::json(status, body),
        Err(error) => Response::error(500, &error.to_string()),
    }
}

#[cfg(test)]
mod tests;
