//! What the control thread does for clients.

use std::sync::Mutex;
use std::time::Instant;

use triarch_devices::Shutdown;

use super::{Answer, Command, Control, Event, Info, Refusal, State, metrics};
use crate::devices::SizeReport;
use crate::machine::{Error, Machine, Outcome};
use crate::shutdown::{Asked, Request};
use crate::virtio::Virtio;

impl Machine {
    /// Obeys all commands that have come. Returns how the run ends, if one of them ends it.
    pub(crate) fn obey(
        &mut self,
        control: &Control<'_>,
        request: &mut Request,
    ) -> Result<Option<Outcome>, Error> {
        while let Some((command, ticket)) = control.take() {
            let mut end = None;
            let answer = match command {
                Command::Info => Ok(Answer::Info(Box::new(control.info(self.state())))),
                Command::Metrics => {
                    Ok(Answer::Metrics(metrics::text(&control.info(self.state()), &control.stats.exits())))
                }
                Command::Pause => self.hold(control)?,
                Command::Resume => self.go_on(control)?,
                Command::Stop { force: false } => self.ask_to_stop(control, request),
                Command::Stop { force: true } => {
                    end = Some(Outcome::Quit);
                    Ok(Answer::Asked("the machine ends"))
                }
                Command::Reset => {
                    end = Some(Outcome::Restart);
                    Ok(Answer::Asked("the guest is started anew"))
                }
                Command::Resize { device, size } => control.resize(device.as_deref(), size, &self.virtio),
            };
            control.answer(ticket, answer);
            if end.is_some() {
                return Ok(end);
            }
        }
        Ok(None)
    }

    fn state(&self) -> State {
        if self.on_hold { State::Paused } else { State::Running }
    }

    fn hold(&mut self, control: &Control<'_>) -> Result<Result<Answer, Refusal>, Error> {
        if self.on_hold {
            return Ok(Err(Refusal::Conflict("the machine is paused already".to_owned())));
        }
        self.pause()?;
        self.on_hold = true;
        control.tell(Event::Paused);
        Ok(Ok(Answer::State(State::Paused)))
    }

    fn go_on(&mut self, control: &Control<'_>) -> Result<Result<Answer, Refusal>, Error> {
        if !self.on_hold {
            return Ok(Err(Refusal::Conflict("the machine is not paused".to_owned())));
        }
        self.on_hold = false;
        self.resume()?;
        control.tell(Event::Resumed);
        Ok(Ok(Answer::State(State::Running)))
    }

    fn ask_to_stop(&self, control: &Control<'_>, request: &mut Request) -> Result<Answer, Refusal> {
        if self.on_hold {
            return Err(Refusal::Conflict("the machine is paused, and its guest can't hear".to_owned()));
        }
        let device: Option<&Mutex<dyn Shutdown>> = self.shutdown.as_deref();
        match request.ask(device, Instant::now()) {
            Asked::NoWay => Err(Refusal::Invalid(
                "this machine has no way to ask its guest to shut down: only force can stop it".to_owned(),
            )),
            Asked::DoesNotListen => Err(Refusal::Conflict(
                "the guest does not listen to a request to shut down (yet): only force can stop it"
                    .to_owned(),
            )),
            Asked::Told | Asked::Later => {
                control.tell(Event::Stopping);
                Ok(Answer::Asked("the guest is asked to shut down"))
            }
        }
    }
}

impl Control<'_> {
    /// The machine, as it is now.
    fn info(&self, state: State) -> Info {
        let about = &self.about;
        let mut devices = about.devices.clone();
        for (host, index) in self.devices.iter().zip(&about.virtio) {
            if let Some(device) = devices.get_mut(*index) {
                device.size = host.size();
            }
        }
        Info {
            name: about.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            isa: about.isa.clone(),
            board: about.board.clone(),
            state,
            vcpus: about.vcpus,
            memory: about.memory,
            uptime: self.began.elapsed().as_secs(),
            resets: self.resets,
            devices,
        }
    }

    fn resize(&self, device: Option<&str>, size: u64, virtio: &Virtio) -> Result<Answer, Refusal> {
        let (index, name) = self.device(device)?;
        let host = self.devices.get(index).ok_or_else(|| Refusal::NoDevice(format!("{name} is gone")))?;
        virtio
            .change_config(index, || host.resize(size))
            .map_err(|error| Refusal::Invalid(format!("{name}: {error:#}")))?;
        self.tell(Event::Resized { device: name.clone(), size });
        let report = host.size().unwrap_or(SizeReport { requested: size, actual: size });
        Ok(Answer::Size(name, report))
    }

    /// The virtio device of this name or kind, or the only one that has a size: its index among virtio devices, and its name.
    fn device(&self, wanted: Option<&str>) -> Result<(usize, String), Refusal> {
        let virtio = self.about.virtio.iter().filter_map(|index| self.about.devices.get(*index));
        let mut found = (0..).zip(virtio.zip(self.devices)).filter(|(_, (device, host))| match wanted {
            Some(wanted) => device.name == wanted || device.kind == wanted,
            None => host.size().is_some(),
        });
        match (found.next(), found.next(), wanted) {
            (Some((index, (device, _))), None, _) => Ok((index, device.name.clone())),
            (Some(_), Some(_), Some(wanted)) => {
                Err(Refusal::Conflict(format!("there are several devices {wanted}: say which by its name")))
            }
            (Some(_), Some(_), None) => {
                Err(Refusal::Conflict("several devices have a size: say which by its name".to_owned()))
            }
            (None, _, Some(wanted)) => {
                Err(Refusal::NoDevice(format!("there is no virtio device {wanted:?}")))
            }
            (None, _, None) => Err(Refusal::NoDevice("no device has a size that can be changed".to_owned())),
        }
    }
}
