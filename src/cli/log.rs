//! Log lines on standard error: `triarch: warning: text`.
//!
//! tracing-subscriber's registry keeps 32 KiB for spans, which there are none of here; this keeps nothing.

use std::fmt::{self, Write};

use anyhow::Context;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::tell::tell;

/// The most detail that is told.
const LEVEL: Level = Level::INFO;

/// Sends log lines to standard error from now on. Called once a process.
pub(super) fn to_stderr() -> anyhow::Result<()> {
    tracing::subscriber::set_global_default(Log(|line: &str| tell(line))).context("can't log")
}

/// Hands each event on as a line.
struct Log<F>(F);

impl<F: Fn(&str) + Send + Sync + 'static> Subscriber for Log<F> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= LEVEL
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::from_level(LEVEL))
    }

    fn event(&self, event: &Event<'_>) {
        let kind = match *event.metadata().level() {
            Level::ERROR => "error: ",
            Level::WARN => "warning: ",
            _ => "",
        };
        let mut line = Line(kind.to_owned());
        event.record(&mut line);
        (self.0)(&line.0);
    }

    // Spans are not enabled.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// A line being made of an event's message and fields.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn lines_say_how_bad_it_is() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let told = lines.clone();
        let log = Log(move |line: &str| told.lock().unwrap().push(line.to_owned()));
        tracing::subscriber::with_default(log, || {
            tracing::error!("no {}", "room");
            tracing::warn!(vcpu = 3, "odd");
            tracing::info!("well");
            tracing::debug!("not told");
            tracing::error_span!("not told").in_scope(|| {});
        });
        let expected = ["error: no room", "warning: odd vcpu=3", "well"];
        assert_eq!(*lines.lock().unwrap(), expected);
    }
}
